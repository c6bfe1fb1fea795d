"""The wall clock that everything here goes by: the system's, but for its jumps.

Sessions, credentials and keys end at times of the wall clock. A system clock that is set an hour back would make them
live an hour longer, one set a day ahead would sign everybody out and sweep their sessions away, before anybody could
set it right. So this clock is anchored to the machine's steady one (CLOCK_BOOTTIME, which runs through sleep, and which
nobody can set) and looks at the system's once a second:

- a small difference (`JUMP_S`) is followed: the clock was corrected;
- a large one is held, and told in the log: time goes on here as if nothing had happened. What is judged by *other*
  machines' words (tokens of a provider, certificates) goes by the time here, too, so an operator who did set the
  clock right sees providers refused until it is believed;
- one that has lasted is believed: after `BELIEVE_S`, long enough for somebody, or for NTP, to take an error back; or
  after as long as the time before it had lasted, where that is less, but a minute at least. A machine without a clock
  of its own, which begins with a wrong one and is set right half a minute later, has the right time a minute later.

A process that starts while the system's clock is wrong can't know, and believes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from vestibule.observe.log import Log

JUMP_S: Final = 60.0
"""What no correction of a clock that works comes to, and what no lifetime here notices."""
BELIEVE_S: Final = 600.0
AT_LEAST_S: Final = 60.0
LOOK_S: Final = 1.0
_boot_time: Final = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """UNIX seconds that go on evenly; a call of it is the time."""

    __slots__ = (
        "_log",
        "_look_at",
        "_offset_s",
        "_other_s",
        "_other_since",
        "_since",
        "_steady",
        "_wall",
    )

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = _boot_time,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._log: Log | None = None
        self._since = steady()
        """Since when, by the steady clock, the offset is believed."""
        self._offset_s = wall() - self._since
        self._other_s = 0.0
        """The offset that the system's clock has jumped to, while it isn't believed."""
        self._other_since = 0.0
        """Since when; 0: it has not jumped."""
        self._look_at = self._since + LOOK_S

    def __call__(self) -> float:
        """The time, in UNIX seconds."""
        steady = self._steady()
        if steady >= self._look_at:
            self._look(steady)
        return steady + self._offset_s

    def tell(self, log: Log) -> None:
        """Write jumps into this log."""
        self._log = log

    def _look(self, steady: float) -> None:
        """See what became of the system's clock."""
        self._look_at = steady + LOOK_S
        offset_s = self._wall() - steady
        if abs(offset_s - self._offset_s) <= JUMP_S:
            self._follow(offset_s)
        elif not self._other_since or abs(offset_s - self._other_s) > JUMP_S:
            self._hold(offset_s, steady)
        elif steady - self._other_since >= self._patience_s():
            self._believe(offset_s, steady)
        else:
            self._other_s = offset_s

    def _follow(self, offset_s: float) -> None:
        if self._other_since:
            self._other_since = 0.0
            self._tell("clock_set_right", by_s=0.0, meaning="the system's clock is as it was")
        self._offset_s = offset_s

    def _hold(self, offset_s: float, steady: float) -> None:
        self._other_s, self._other_since = offset_s, steady
        meaning = (
            f"time goes on here as before; if the clock stays so, it is believed in {self._patience_s():.0f} s. "
            "Until then tokens of providers may look too old or too new; a restart believes it at once"
        )
        self._tell("clock_jumped", by_s=offset_s - self._offset_s, meaning=meaning)

    def _believe(self, offset_s: float, steady: float) -> None:
        by_s = offset_s - self._offset_s
        self._offset_s, self._since, self._other_since = offset_s, steady, 0.0
        self._tell("clock_believed", by_s=by_s, meaning="sessions end by the system's clock as it is now")

    def _patience_s(self) -> float:
        """How long a jump must have lasted."""
        return min(BELIEVE_S, max(AT_LEAST_S, self._other_since - self._since))

    def _tell(self, event: str, *, by_s: float, meaning: str) -> None:
        if self._log is not None:
            self._log.warning(event, by_s=round(by_s, 1), meaning=meaning)


now: Final = Clock()
"""The time of this process, in UNIX seconds. Processes that are forked from it have the same."""
