"""A store of two: sessions and what lasts minutes in Redis, people, keys and revocations in the database.

Redis may lose what it had confirmed: its latest writes when a replica takes over, all since a snapshot where it keeps
no log. So it never has the last word on whether a session may live. Every end is written to the database first, and
every session that Redis gives is asked about there: whether it, or its parent, was ended, and whether its user may be
here. An end whose second half failed is an end all the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final, Protocol

from vestibule.errors import StoreError
from vestibule.model import Session
from vestibule.observe import clock
from vestibule.store import base
from vestibule.store.base import Held

MARGIN_S: Final = 86_400.0
"""How much longer than the session a revocation is kept: its end may have been moved meanwhile, the clock too."""
LONGEST_S: Final = 400 * 86_400.0
"""How long one is kept of which Redis could not say when it ends."""


class Kept(base.Sessions, Protocol):
    """Sessions of which also the dead can be had, which doesn't know users."""

    async def kept(self, session_id: str) -> Session | None:
        """The session, dead or alive."""

    async def kept_of(self, user_id: str) -> tuple[Session, ...]:
        """All of a user's, dead or alive."""

    def kept_by(self, client: str) -> AsyncIterator[list[Session]]:
        """A few at a time, all that have to do with a client, dead or alive."""

    async def delete_all(self, ids: Iterable[str]) -> tuple[str, ...]:
        """As `delete`, each of them."""


class Elsewhere(Protocol):
    """What Redis keeps: `store.redis.Store`."""

    @property
    def sessions(self) -> Kept:
        """Signed-in browsers."""

    @property
    def grants(self) -> base.Grants:
        """What they hold."""

    @property
    def marks(self) -> base.Marks:
        """What may happen once."""

    @property
    def leases(self) -> base.Leases:
        """Who may do what now."""

    @property
    def parking(self) -> base.Parking:
        """What waits for a browser."""

    @property
    def tries(self) -> base.Tries:
        """How often it went wrong."""

    async def close(self) -> None:
        """Let go of it."""


class Database(base.Store, Protocol):
    """What the database keeps."""

    @property
    def revocations(self) -> base.Revocations:
        """Which sessions were ended of late."""


class Sessions:
    """`store.base.Sessions`."""

    def __init__(
        self, kept: Kept, revocations: base.Revocations, *, now: Callable[[], float] = clock.now
    ) -> None:
        """`now` is asked where Redis can't say when a session ends."""
        self._kept = kept
        self._revocations = revocations
        self._now = now

    async def create(self, session: Session, handle_hash: bytes) -> None:
        """Redis alone: a new id was never revoked."""
        await self._kept.create(session, handle_hash)

    async def by_handle(self, handle_hash: bytes, now: float) -> Held | None:
        """Redis, then the database; who has no session's handle costs the latter nothing."""
        held = await self._kept.by_handle(handle_hash, now)
        if held is None or not await self._revocations.living((held.session,)):
            return None
        return held

    async def by_id(self, session_id: str, now: float) -> Session | None:
        """Redis, then the database, which is asked in any case: an answer means that both are there."""
        session = await self._kept.by_id(session_id, now)
        living = await self._revocations.living(() if session is None else (session,))
        return session if living else None

    async def save(self, session: Session, expect_version: int) -> bool:
        """Redis alone: who reads what was ended meanwhile doesn't get it."""
        return await self._kept.save(session, expect_version)

    async def renew_handle(
        self, session: Session, expect_version: int, handle_hash: bytes, *, old_good_until: float
    ) -> bool:
        """As `save`."""
        return await self._kept.renew_handle(
            session, expect_version, handle_hash, old_good_until=old_good_until
        )

    async def delete(self, session_id: str) -> tuple[str, ...]:
        """The database first; that counts for the children, too. Without Redis the session ends, and it raises."""
        if not session_id:
            return ()
        longest = self._now() + LONGEST_S
        try:
            session = await self._kept.kept(session_id)
        except StoreError:
            await self._revocations.revoke([(session_id, longest)])
            raise
        # One that Redis doesn't have, some process knew: it was lost, and may be brought back.
        until = longest if session is None else session.expires_at + MARGIN_S
        await self._revocations.revoke([(session_id, until)])
        return await self._kept.delete(session_id)

    async def of_user(self, user_id: str, now: float) -> tuple[Session, ...]:
        """Redis, then the database."""
        return await self._living(await self._kept.of_user(user_id, now))

    async def delete_of(self, user_id: str) -> tuple[str, ...]:
        """The database first. One that begins meanwhile is none of those."""
        if not user_id:
            return ()
        sessions = await self._kept.kept_of(user_id)
        await self._revoke(sessions)
        return await self._kept.delete_all(one.id for one in sessions)

    async def delete_by(self, client: str) -> tuple[str, ...]:
        """A few at a time, the database first."""
        ended: list[str] = []
        async for some in self._kept.kept_by(client):
            await self._revoke(some)
            ended += await self._kept.delete_all(one.id for one in some)
        return tuple(ended)

    async def by_sid(self, issuer: str, sid: str, now: float) -> tuple[Session, ...]:
        """Redis, then the database."""
        return await self._living(await self._kept.by_sid(issuer, sid, now))

    async def of_host(self, host: str, page: base.Page, now: float) -> tuple[Session, ...]:
        """Redis, then the database; what it says is over makes no page shorter."""
        found: list[Session] = []
        after = page.after
        while len(found) < page.limit:
            some = await self._kept.of_host(host, base.Page(after, page.limit), now)
            found += await self._living(some)
            if len(some) < page.limit:
                break
            after = some[-1].created_at, some[-1].id
        return tuple(found[: page.limit])

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Redis alone."""
        await self._kept.touch(seen)

    async def tally(self, now: float) -> int:
        """Redis alone."""
        return await self._kept.tally(now)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Redis; and what of the database is about sessions that are dead by now anyway."""
        await self._revocations.sweep(now, limit)
        return await self._kept.sweep(now, limit)

    async def _living(self, sessions: tuple[Session, ...]) -> tuple[Session, ...]:
        if not sessions:
            return ()
        living = await self._revocations.living(sessions)
        return tuple(one for one in sessions if one.id in living)

    async def _revoke(self, sessions: Sequence[Session]) -> None:
        if sessions:
            await self._revocations.revoke([(one.id, one.expires_at + MARGIN_S) for one in sessions])


class Store:
    """`store.base.Store`."""

    def __init__(self, elsewhere: Elsewhere, database: Database) -> None:
        self.elsewhere = elsewhere
        """For who wants to know how long asking it takes."""
        self.database = database
        """For what must stand beside people: a bus' stamp."""
        self.kept = elsewhere.sessions
        """Sessions as Redis alone has them: for who asks whether it is there."""
        self.sessions = Sessions(elsewhere.sessions, database.revocations)
        self.grants = elsewhere.grants
        self.marks = elsewhere.marks
        self.leases = elsewhere.leases
        self.parking = elsewhere.parking
        self.tries = elsewhere.tries
        self.signing_keys = database.signing_keys
        self.presence = database.presence

    async def close(self) -> None:
        """Let go of both."""
        try:
            await self.elsewhere.close()
        finally:
            await self.database.close()
