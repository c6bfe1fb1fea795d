"""Credentials that were found good a moment ago, and whose they are here.

What is kept is found by the SHA-256 of host and whole credential, so that another credential never finds it, however
much of it is the same (attacks.md O11; CVE-2026-33496, CVE-2026-27840); it is good under what the host accepted then
only. It holds for at most a minute, and never longer than the credential: that is how late a token that is revoked at
its issuer, or a password that was changed, is noticed at the latest. A person who is blocked here is out at once; where
several processes share a database, within a second.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from vestibule.core.credential import Accepted
from vestibule.core.recent import Recent
from vestibule.core.route import Host
from vestibule.errors import UserDisabled
from vestibule.model import Caller, Identity, User
from vestibule.observe import clock
from vestibule.service.flight import Flights
from vestibule.service.sessions import USER, Find
from vestibule.service.unchanged import Unchanged
from vestibule.store.base import EVERYTHING, Changes

LIFE_S: Final = 60.0
"""How long a credential that was good is taken for good unseen."""
CAPACITY: Final = 10_000

OwnerOf = Callable[[Identity], Awaitable[User | None]]
Prove = Callable[[], Coroutine[Any, Any, Caller]]


class _Kept(msgspec.Struct):
    caller: Caller
    """With the person."""
    accepted: Accepted
    good_until: float
    looked_mono: float
    """When it was looked whose it is."""


class Proofs:
    """What is known of credentials, in bounded memory."""

    def __init__(
        self,
        owner_of: OwnerOf,
        changes: Changes,
        *,
        affiliated: Find | None = None,
        now: Callable[[], float] = clock.now,
        mono: Callable[[], float] = time.monotonic,
        capacity: int = CAPACITY,
    ) -> None:
        """`owner_of`: the user an account belongs to (`People.owner_of`); `affiliated`: what is said of a user here."""
        self._affiliated = affiliated
        self._owner_of = owner_of
        self._now = now
        self._mono = mono
        self._salt = secrets.token_bytes(16)
        """Of this process: nothing that is kept says anything of a password elsewhere."""
        self._kept: Recent[bytes, _Kept] = Recent(capacity)
        self._flights: Flights[Caller] = Flights()
        self._unchanged = Unchanged(changes, mono)
        changes.subscribe(USER, self._forget_user)

    def key(self, host: Host, authorization: bytes) -> bytes:
        """What this credential is known by at this host."""
        return hashlib.sha256(b"\0".join((self._salt, host.name, authorization))).digest()

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """Whose it is, where that was found out a moment ago."""
        kept = self._kept.get(self.key(host, authorization))
        if kept is None or not self._is_good(kept, host) or not self._unchanged.holds(kept.looked_mono):
            return None
        return kept.caller

    async def load(self, host: Host, authorization: bytes, prove: Prove) -> Caller:
        """Whose it is; `prove` finds out, once for all that ask at a time, and raises what is wrong with it.

        Raises that, UserDisabled, StoreError.
        """
        key = self.key(host, authorization)
        kept = self._kept.get(key)
        if kept is not None and self._is_good(kept, host):
            if self._unchanged.holds(kept.looked_mono):
                return kept.caller
            return await self._settled(key, host, kept.caller, kept.good_until)
        # Who comes after a change was told shares nothing that began before it.
        flight = (key, self._unchanged.count)
        return await self._flights.share(flight, partial(self._proven, key, host, prove), name="credential")

    async def _proven(self, key: bytes, host: Host, prove: Prove) -> Caller:
        caller = await prove()
        good_until = self._now() + LIFE_S
        if caller.expires_at is not None:
            good_until = min(good_until, caller.expires_at)
        return await self._settled(key, host, caller, good_until)

    async def _settled(self, key: bytes, host: Host, proven: Caller, good_until: float) -> Caller:
        """The caller with the person it is, kept. Threat: who was blocked here comes by a token from elsewhere."""
        count, mono = self._unchanged.count, self._mono()
        user = await self._owner_of(proven.identities[0]) if proven.identities else None
        if user is not None and user.disabled:
            self._kept.pop(key, None)
            raise UserDisabled("This account has been switched off.", detail=f"user {user.id}")
        own = None
        if user is not None and self._affiliated is not None:
            own = await self._affiliated(user.id, proven.identities)
        caller = replace(proven, user_id=user.id if user else "", affiliated=own)
        if count == self._unchanged.count and self._now() < good_until:
            self._kept.put(key, _Kept(caller, host.accepts, good_until, mono))
        return caller

    def _is_good(self, kept: _Kept, host: Host) -> bool:
        return kept.accepted is host.accepts and self._now() < kept.good_until

    def forget_client(self, client: str) -> None:
        """Nothing that this client vouched for is known any more."""
        self._forget(lambda caller: any(identity.client == client for identity in caller.identities))

    def _forget_user(self, user_id: str) -> None:
        if user_id == EVERYTHING:
            self._unchanged.doubt()  # that the credentials are good is still so
            return
        self._forget(lambda caller: caller.user_id == user_id)

    def _forget(self, is_meant: Callable[[Caller], bool]) -> None:
        self._unchanged.changed()
        for key, kept in tuple(self._kept.items()):
            if is_meant(kept.caller):
                del self._kept[key]

    async def close(self) -> None:
        """Wait for what is being found out."""
        await self._flights.close()
