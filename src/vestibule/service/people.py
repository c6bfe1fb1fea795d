"""People as this installation knows them: found by what a provider vouches for, registered when new."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from vestibule.core.person import account_of, newcomer, told_anew
from vestibule.core.session import ID_BYTES
from vestibule.errors import UserDisabled
from vestibule.model import Identity, User
from vestibule.protocol import base64url
from vestibule.store import base


class People:
    """Finds and registers users."""

    def __init__(self, store: base.People, *, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._store = store
        self._random = random

    async def admit(self, identity: Identity, now: float) -> User:
        """The user this identity belongs to, registered if new, with name and address as told just now.

        A person is (issuer, subject): an address that another user has too joins nobody. Whether the person
        may come in is not asked here. Raises UserDisabled, StoreError.
        """
        user = await self._store.user_of(identity.issuer, identity.subject)
        if user is None:
            new = newcomer(identity, base64url.encode(self._random(ID_BYTES)), now)
            user = await self._store.register(new, account_of(identity, new.id, "", now)) or new
        if user.disabled:
            raise UserDisabled("This account has been switched off.", detail=f"user {user.id}")
        told = told_anew(user, identity, now)
        await self._store.seen(told, account_of(identity, user.id, "", now))
        return told
