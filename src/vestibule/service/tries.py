"""What failed too often, counted for all processes: a lockout spread over nodes is one lockout.

Each process counts by itself first (`core.lockout`, `core.limit`), so that what is over there costs no store anything.
Only failures are written, and of them so many a second: who tries more is counted by each process alone. While the
store is away, or slow, that count holds by itself, and so does whatever was known to be locked: nobody is kept out
because the store can't be asked, and nobody gets more tries from one process than before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from vestibule.core.limit import Limit
from vestibule.core.lockout import Counter
from vestibule.core.recent import Recent
from vestibule.errors import StoreError
from vestibule.store import base

WRITES_MAX: Final = 50
"""Failures that one process writes in a second."""
READS_MAX: Final = 200
"""Counts that one process asks for in a second."""
_SECOND_S: Final = 1.0
_LOCKED_MAX: Final = 10_000
_ANY: Final = ""


class SharedTries:
    """Failures by counter. Raises nothing of its own: a store that is away has counted nothing."""

    def __init__(
        self, store: base.Tries, *, writes_max: int = WRITES_MAX, reads_max: int = READS_MAX
    ) -> None:
        self._store = store
        self._writes = Limit(writes_max, _SECOND_S)
        self._reads = Limit(reads_max, _SECOND_S)
        self._locked: Recent[tuple[str, str], float] = Recent(_LOCKED_MAX)

    def known_wait_s(self, counters: Iterable[Counter], now: float) -> float:
        """For how long one of these is known to be locked, without asking; 0: none is."""
        return max((0.0, *(self._locked.get((one.kind, one.key), now) - now for one in counters)))

    async def wait_s(self, counters: Iterable[Counter], now: float) -> float:
        """For how long one of these is locked; 0: none is, as far as can be known."""
        counters = tuple(counters)
        for one in counters:
            if self.known_wait_s((one,), now) <= 0:
                await self._look(one, now)
        return self.known_wait_s(counters, now)

    async def failed(self, counters: Iterable[Counter], now: float) -> None:
        """Something that is counted by these has failed."""
        for one in counters:
            if self._writes.wait_s(_ANY, now):
                return
            self._writes.add(_ANY, now)
            try:
                number = await self._store.add(one.kind, _key(one), now, one.window_s)
            except StoreError:
                return
            if number >= one.most:
                await self._look(one, now)

    async def _look(self, counter: Counter, now: float) -> None:
        """Keep until when it is locked, if it is."""
        if self._reads.wait_s(_ANY, now):
            return
        self._reads.add(_ANY, now)
        try:
            number, ends_at = await self._store.count(counter.kind, _key(counter), now)
        except StoreError:
            return
        if number >= counter.most:
            # A clock that jumped where it was written locks nobody for longer than a window.
            self._locked.put((counter.kind, counter.key), min(ends_at, now + counter.window_s))


def _key(counter: Counter) -> bytes:
    """What the store knows it by: no names and no addresses."""
    return hashlib.sha256(f"{counter.kind}\0{counter.key}".encode("utf-8", "surrogatepass")).digest()
