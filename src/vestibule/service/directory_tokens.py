"""Bearer tokens of organisations' directories: made, listed, revoked, and found by who shows one.

An organisation has two at most, so that its directory can go over from one to the next.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from vestibule.core.app_token import NAME_MAX_CHARS, RANDOM_BYTES, is_token, written
from vestibule.core.limit import Limit
from vestibule.core.lockout import network_of
from vestibule.core.session import ID_BYTES, SEEN_EVERY_S, hash_of
from vestibule.errors import Conflict, Invalid, NotFound
from vestibule.model import Secret
from vestibule.protocol import base64url
from vestibule.protocol.scim_error import ScimError
from vestibule.store.base_directory import TOKENS_MAX, Directory, DirectoryToken, JoinBy

PREFIX: Final = "vst_scim_"
FAILURES_MAX: Final = 20
"""Wrong tokens that an address (of IPv6 its first 64 bits) may send in a window; more are answered 429."""
WINDOW_S: Final = 60.0


class DirectoryTokens:
    """All of them. Every method may raise StoreError."""

    def __init__(self, store: Directory, *, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._store = store
        self._random = random
        self._failures = Limit(FAILURES_MAX, WINDOW_S)

    async def make(
        self, org_id: str, name: str, life_s: float | None, now: float
    ) -> tuple[DirectoryToken, Secret]:
        """A new token as it is listed, and the token itself, which is nowhere else; durable on return.

        `life_s` None: until it is revoked. Raises Invalid, Conflict `too_many_tokens`.
        """
        if len(name) > NAME_MAX_CHARS or not (name.isprintable() or not name):
            raise Invalid((("name", f"is a line of at most {NAME_MAX_CHARS} characters"),))
        token = DirectoryToken(
            id=base64url.encode(self._random(ID_BYTES)),
            org_id=org_id,
            name=name,
            created_at=now,
            expires_at=None if life_s is None else now + life_s,
        )
        text = written(self._random(RANDOM_BYTES), prefix=PREFIX)
        if not await self._store.create_token(token, hash_of(text)):
            raise Conflict(
                f"An organisation has {TOKENS_MAX} tokens at most: revoke one first.", code="too_many_tokens"
            )
        return token, Secret(text)

    async def list(self, org_id: str) -> tuple[DirectoryToken, ...]:
        """The organisation's, the oldest first."""
        return await self._store.tokens(org_id)

    async def revoke(self, org_id: str, token_id: str) -> DirectoryToken:
        """End it at once and everywhere; as it was. Raises NotFound."""
        known = next((one for one in await self._store.tokens(org_id) if one.id == token_id), None)
        if known is None or not await self._store.delete_token(org_id, token_id):
            raise NotFound(f"There is no token {token_id}.")
        return known

    async def rule(self, org_id: str) -> JoinBy:
        """By what sign-ins and entries are one person."""
        return await self._store.rule(org_id)

    async def set_rule(self, org_id: str, rule: JoinBy) -> None:
        """Have it be this, for those who aren't joined yet."""
        await self._store.set_rule(org_id, rule)

    async def prove(self, authorization: str, address: str, now: float) -> DirectoryToken:
        """Whose token this is. Raises ScimError 401, 429.

        It is looked up by its hash, so how long that takes says nothing of the tokens there are; and each request looks
        it up, so a revoked one is good for nothing from then on.

        Threat: a tenant of a directory service sends wrong ones from the address that all its tenants come from. A good
        one is taken from there all the same: nobody guesses 256 bits, however often they may try.
        """
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        is_one = scheme.lower() == "bearer" and is_token(text, prefix=PREFIX)
        token = await self._store.token_by_hash(hash_of(text), now) if is_one else None
        if token is None:
            place = network_of(address)
            if is_one and self._failures.wait_s(place, now):
                raise ScimError(429, "too many wrong tokens came from there: wait a minute")
            if is_one:
                self._failures.add(place, now)
            raise ScimError(401, "a directory's token is needed, and this is none")
        if token.seen_at is None or now - token.seen_at >= SEEN_EVERY_S:
            await self._store.token_seen(token.id, now)
        return token
