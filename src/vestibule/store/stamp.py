"""The second way of telling that something was changed: a row of the store, for those whom the channel doesn't reach.

A process that can write a revocation to the store can write this, too, whatever became of the channel. All read it
twice a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vestibule.observe import clock
from vestibule.store.base import Tries

_KIND: Final = "changes"
_KEY: Final = b"unheard"
_WINDOW_S: Final = 100 * 365 * 86_400.0
"""It never ends: clocks that are hours apart see the same row."""


class Stamp:
    """Counts how often somebody had to tell something this way."""

    def __init__(self, tries: Tries, *, now: Callable[[], float] = clock.now) -> None:
        """`tries`: those of the store that a revocation is written to first, which is SQL."""
        self._tries = tries
        self._now = now

    async def read(self) -> int:
        """The count. Raises StoreError."""
        number, _ = await self._tries.count(_KIND, _KEY, self._now())
        return number

    async def raise_(self) -> None:
        """Have every process forget all it cached, within a second. Raises StoreError."""
        await self._tries.add(_KIND, _KEY, self._now(), _WINDOW_S)
