"""What people are affiliated with, put on their sessions and callers as these are read.

A process that knows that there are no organisations asks nobody. What was put on is dropped, as all that is known of a
person, by a change told under `AFFILIATION`: so what is taken away holds at the next request on every node.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from vestibule.core.organisation import Affiliation, counting, identity_of
from vestibule.model import Identity, User
from vestibule.service.sessions import USER
from vestibule.service.unchanged import Unchanged
from vestibule.store import base
from vestibule.store.base_organisations import Affiliations

AFFILIATION: Final = USER
"""Kind of change: what this user is affiliated with was changed."""
Arrived: TypeAlias = Callable[[str, User, Identity, float], Awaitable[None]]
"""Told that somebody has come by a provider of the organisation of this id, at this time."""
ORGANISATION: Final = "organisation"
"""Kind of change: there is another organisation, or one less."""


class Affiliated:
    """What the gateway itself says of people, in this process."""

    def __init__(
        self,
        find: Callable[[str], Awaitable[tuple[Affiliation, ...]]],
        are_any: Callable[[], Awaitable[bool]],
        changes: base.Changes,
        *,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        """`find`: all of a user's; `are_any`: whether there are organisations at all."""
        self._find = find
        self._ask = are_any
        self._mono = mono
        self._unchanged = Unchanged(changes, mono)
        self._none_mono: float | None = None
        """When it was read that there are none; None: there are, or nobody has asked."""
        changes.subscribe(ORGANISATION, self._changed)

    async def begin(self) -> None:
        """Know whether there are any, so that the first who comes doesn't wait for it. Raises StoreError."""
        await self._are_any()

    async def identity_of(self, user_id: str, identities: Sequence[Identity] = ()) -> Identity | None:
        """What is said of this user, who has come with these identities; None: nothing. Raises StoreError."""
        if not user_id or (self._none_mono is not None and self._unchanged.holds(self._none_mono)):
            return None
        if not await self._are_any():
            return None
        return identity_of(counting(await self._find(user_id), identities))

    async def _are_any(self) -> bool:
        count, mono = self._unchanged.count, self._mono()
        found = await self._ask()
        if found:
            self._none_mono = None
        elif count == self._unchanged.count:
            self._none_mono = mono
        return found

    def _changed(self, key: str) -> None:
        if key == base.EVERYTHING:
            self._unchanged.doubt()
        else:
            self._unchanged.changed()
            self._none_mono = None


async def all_of(sources: Sequence[Affiliations], user_id: str) -> tuple[Affiliation, ...]:
    """What these say of the user, together. Raises StoreError: of what one can't say, nothing is known."""
    found: list[Affiliation] = []
    for source in sources:
        found += await source.affiliations_of(user_id)
    return tuple(found)
