"""Whether what was read of the store is still so: while this process hears of changes, and a second besides.

Caches stand on this: an entry is dropped when its change is heard of; what of all the others is asked here
(DESIGN.md section 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vestibule.store import base

UNCONFIRMED_S = 1.0
"""How old an entry may be that no heartbeat vouches for."""


class Unchanged:
    """What one cache has heard of changes."""

    __slots__ = ("_changes", "_doubted_mono", "_mono", "count")

    def __init__(self, changes: base.Changes, mono: Callable[[], float]) -> None:
        self._changes = changes
        self._mono = mono
        self._doubted_mono = -math.inf
        """Nothing whose read was begun before is good unseen."""
        self.count = 0
        """How many changes were heard of: what was read while it rose is not kept."""

    def holds(self, read_mono: float) -> bool:
        """True where what was read then, and dropped by no change since, may be used without asking again."""
        mono = self._mono()
        is_good = self._changes.is_current(mono) or mono - read_mono < UNCONFIRMED_S
        return is_good and read_mono > self._doubted_mono

    def changed(self) -> None:
        """Something was changed."""
        self.count += 1

    def doubt(self) -> None:
        """Anything may have been changed: what is there is good no more, but for while the store is away."""
        self.count += 1
        self._doubted_mono = self._mono()
