"""Who is told of people's sessions: of those that begin, and of those that end before their time."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Protocol

from vestibule.errors import StoreError
from vestibule.model import Session


class Witness(Protocol):
    """Told of sessions of people; what was handed on is part of what it was handed on from. Raises nothing."""

    async def began(self, session: Session) -> None:
        """Somebody has a session."""

    async def ended(self, sessions: Iterable[Session]) -> None:
        """These are over before their time."""

    async def ended_all(self, user_id: str, sessions: Iterable[Session]) -> None:
        """All of a person's are over, these among them."""

    async def ended_by(self, client: str, count: int) -> None:
        """All that had to do with this client are over, so many."""


class Watch:
    """Tells a witness, once there is one, of what it is to be told of."""

    def __init__(self) -> None:
        self._witness: Witness | None = None

    def by(self, witness: Witness) -> None:
        """Tell this one."""
        self._witness = witness

    async def began(self, session: Session) -> None:
        """This one is new, or somebody's now."""
        if self._witness is not None and _is_told(session):
            await self._witness.began(session)

    async def before_end(
        self, cached: Session | None, read: Callable[[], Awaitable[Session | None]]
    ) -> Session | None:
        """A session that is about to end, if its end is to be told; `read` asks the store for it."""
        known = cached
        if known is None and self._witness is not None:
            with contextlib.suppress(StoreError):  # what is to end, ends whether or not somebody can be told
                known = await read()
        return known if known is not None and _is_told(known) else None

    async def ended(self, session: Session | None) -> None:
        """This one is over."""
        if self._witness is not None and session is not None:
            await self._witness.ended((session,))

    async def ended_all(self, user_id: str, known: Iterable[Session], ended: Collection[str]) -> None:
        """All of a person's are over; of those that were known, these (their ids)."""
        if self._witness is not None:
            theirs = [one for one in known if not one.parent_id and one.id in ended]
            await self._witness.ended_all(user_id, theirs)

    async def ended_by(self, client: str, count: int) -> None:
        """All that had to do with this client are over, if there were any."""
        if self._witness is not None and count:
            await self._witness.ended_by(client, count)


def _is_told(session: Session) -> bool:
    return bool(session.user_id) and not session.parent_id
