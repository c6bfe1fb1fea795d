"""How often somebody may do what costs others something: so many times in a window, by key, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice, takewhile
from typing import Final

_LOOKED_AT: Final = 8
"""How many of the oldest keys are looked at for one that may be forgotten."""


class Limit:
    """Counts by key (a client's address, mostly); the key that was counted longest ago is forgotten first.

    One that need not wait goes before one that must. Threat: who comes from many addresses, so that what the first
    of them did is forgotten.
    """

    def __init__(self, count: int, window_s: float, *, keys: int = 10_000) -> None:
        self._count = count
        self._window_s = window_s
        self._keys = keys
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def wait_s(self, key: str, now: float) -> float:
        """For how long this key must wait; 0: it need not."""
        began_at, count = self._counts.get(key, (now, 0))
        left_s = began_at + self._window_s - now
        return left_s if count >= self._count and left_s > 0 else 0.0

    def add(self, key: str, now: float) -> None:
        """Once more."""
        began_at, count = self._counts.get(key, (now, 0))
        if began_at + self._window_s <= now:
            began_at, count = now, 0
        self._counts[key] = began_at, count + 1
        self._counts.move_to_end(key)
        if len(self._counts) > self._keys:
            self._forget_one(now)

    def take_back(self, key: str) -> None:
        """One of those that were added did not count after all."""
        began_at, count = self._counts.get(key, (0.0, 0))
        if count > 1:
            self._counts[key] = began_at, count - 1
        else:
            self._counts.pop(key, None)

    def _forget_one(self, now: float) -> None:
        """The oldest that need not wait, or the oldest, where all that are looked at must; never the newest."""
        oldest = list(islice(self._counts, min(_LOOKED_AT, len(self._counts) - 1)))
        waiting = list(takewhile(lambda key: self.wait_s(key, now) > 0, oldest))
        goes = oldest[len(waiting)] if len(waiting) < len(oldest) else waiting.pop(0)
        for key in waiting:
            self._counts.move_to_end(key)  # so that others are looked at the next time
        del self._counts[goes]
