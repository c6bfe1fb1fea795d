"""What the program asks of a store, as Protocols. A backend is one file beside this one.

Every method may raise `StoreError` (away, full, broken) and nothing else of its own. `now` is UNIX seconds
and always an argument. Hashes are SHA-256 of the handle; a handle itself never reaches a store. A method
that writes returns only when the write is durable as far as its docstring says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from vestibule.model import Session, User


class SealedGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as a store sees it: who owns it and a sealed box, bound to (owner, client, version)."""

    owner: str
    client: str
    version: int
    sealed: bytes
    expires_at: float
    """When the row may be swept: the end of the owner."""


class Held(msgspec.Struct, frozen=True):
    """A session found by a handle, and until when that handle is honoured."""

    session: Session
    good_until: float
    """The session's absolute end for its current handle; earlier for the one before a renewal."""


class Sessions(Protocol):
    """Sessions by permanent id and by the hash of their current handle."""

    async def create(self, session: Session, handle_hash: bytes) -> None:
        """Store a new session, its id and handle unused; durable against kill -9 and power cut on return."""

    async def by_handle(self, handle_hash: bytes, now: float) -> Held | None:
        """The session whose current handle, or honoured previous one, has this hash; None if none lives.

        A session lives while neither its absolute nor its idle end has come and its user, if it has one,
        exists, is not disabled, and is not valid only from a later time on.
        """

    async def by_id(self, session_id: str, now: float) -> Session | None:
        """The session of this permanent id if it lives, or None."""

    async def save(self, session: Session, expect_version: int) -> bool:
        """Replace the session if its stored version is the expected one; False when someone was faster.

        The stored version becomes `expect_version + 1`; last-seen never goes backwards. Durable on return.
        """

    async def renew_handle(
        self, session: Session, expect_version: int, handle_hash: bytes, *, old_good_until: float
    ) -> bool:
        """Like `save`, with a new handle; the old one is honoured until `old_good_until`, none older.

        Durable on return.
        """

    async def delete(self, session_id: str) -> bool:
        """End it and its grants; durable on return. False when it was not there."""

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Set last-seen of many (id, seen_at), never backwards; may be lost in a crash."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` dead sessions with their grants; how many went."""


class Grants(Protocol):
    """Sealed grants by (owner, client)."""

    async def get(self, owner: str, client: str) -> SealedGrant | None:
        """The grant, or None."""

    async def put(self, grant: SealedGrant, expect_version: int | None) -> bool:
        """Insert (`expect_version` None, replaces any) or replace by compare-and-set; durable on return."""

    async def delete(self, owner: str, client: str, expect_version: int | None = None) -> bool:
        """Drop it, if its version is the expected one; False when it was not there. Durable on return."""

    async def of(self, owner: str) -> tuple[SealedGrant, ...]:
        """All grants of an owner, in order of their clients."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` grants whose owner's end has passed; how many went."""


class Marks(Protocol):
    """Things that may happen once: consumed flows, hand-off codes, replay marks."""

    async def consume(self, kind: str, key: bytes, now: float, expires_at: float) -> bool:
        """True for the first caller with this (kind, key), False for later ones until it expires; durable."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete expired marks; how many went."""


class Leases(Protocol):
    """Who may do a job or a refresh now."""

    async def acquire(self, name: str, owner: str, now: float, ttl_s: float) -> int | None:
        """A fencing number, or None while another owner holds it.

        It is greater than every earlier one of this store. The owner who holds it gets it anew, for longer.
        """

    async def release(self, name: str, owner: str) -> None:
        """Give it up early; nothing happens when it is not this owner's."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` leases that ran out; how many went."""


class People(Protocol):
    """Users and their identities: records, in SQL."""

    async def user_of(self, issuer: str, subject: str) -> User | None:
        """The user this identity belongs to, or None."""

    async def register(self, user: User, issuer: str, subject: str, client: str, now: float) -> User:
        """Insert user and identity together; when the identity came to exist meanwhile, that identity's user.

        `client` is the identity client that vouched first. Durable on return.
        """

    async def user(self, user_id: str) -> User | None:
        """The user, or None."""

    async def seen(self, user: User, now: float) -> None:
        """Keep name and address as last told by a provider, and when."""


class Changes(Protocol):
    """Tells every worker and node what was revoked or changed (DESIGN.md section 2, the revocation bound)."""

    def publish(self, kind: str, key: str) -> None:
        """Tell all listeners, this process's own at once."""

    def subscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call `listener(key)` for every change of this kind."""

    def is_current(self, now_mono: float) -> bool:
        """True while a heartbeat arrived within the last second, so that caches are good."""


class ChangeListener(Protocol):
    """Takes one change."""

    def __call__(self, key: str, /) -> None:
        """Forget what is cached under `key`."""
