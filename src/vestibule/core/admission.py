"""How large a share of the requests is taken while more come than can be answered.

What is measured is how late the event loop is. A queue that stands (no look at it within an interval found it short)
makes everybody wait in vain, so then less is taken; a single pause is nobody's queue (the idea is CoDel's, RFC 8289
section 3). What is taken goes down by a factor and up by steps, as congestion windows do (RFC 5681 section 3.1).
"""

from __future__ import annotations

from typing import Final

TARGET_S: Final = 0.1
"""How late the loop may be for long."""
INTERVAL_S: Final = 0.1
LOOKS: Final = 3
"""An interval has at least so many looks."""
LEAST: Final = 0.02
"""So much is always taken: else nobody would see that it goes better."""
_DOWN: Final = 0.9
_UP: Final = 0.02


class Admission:
    """Takes a share of what asks."""

    def __init__(self) -> None:
        self.share = 1.0
        """Of those who ask, from `LEAST` to 1: all."""
        self._credit = 0.0
        self._looks = 0
        self._least_s = 0.0
        self._until_mono = 0.0

    def look(self, late_s: float, now_mono: float) -> None:
        """So late the loop was now."""
        self._least_s = late_s if not self._looks else min(self._least_s, late_s)
        self._looks += 1
        if now_mono < self._until_mono or self._looks < LOOKS:
            return
        if self._least_s > TARGET_S:
            # The later it is, the more at once: half of all at ten times the target.
            self.share = max(LEAST, self.share * max(0.5, 1 - (1 - _DOWN) * self._least_s / TARGET_S / 2))
        elif self.share < 1.0:
            self.share = min(1.0, self.share + _UP)
        self._looks, self._until_mono = 0, now_mono + INTERVAL_S

    def admits(self) -> bool:
        """Whether this one is taken; over many, as many as the share says, evenly."""
        self._credit += self.share
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
