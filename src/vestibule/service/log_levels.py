"""How much is logged, changed while running: in every process that hears of changes, until all have ended.

Nothing of it is stored. A change is told with all levels as they are then, and the time it was made: the later one
counts. A process that begins, or may have missed something, asks; whoever has heard of a change tells it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from vestibule.errors import Invalid
from vestibule.observe import clock
from vestibule.observe.log import COMPONENTS, LEVELS, OFF, Levels
from vestibule.store import base

SET: Final = "log levels"
"""Kind of change: these are the levels from now on (`_Told`, as JSON)."""
ASKED: Final = "log levels asked"
"""Kind of change: somebody wants to know what they are."""
ALL: Final = "level"
"""What stands for all components without a level of their own."""

Later = Callable[[Callable[[], Any]], Any]


class _Told(msgspec.Struct, frozen=True, array_like=True):
    """What is told of a change."""

    at: float
    level: str
    own: dict[str, str]


class LogLevels:
    """The levels of this process, as somebody here or elsewhere has set them."""

    def __init__(
        self, levels: Levels, changes: base.Changes, *, later: Later, now: Callable[[], float] = clock.now
    ) -> None:
        """`later` has something done soon, not at once: what is published while a change is told reaches nobody."""
        self._levels = levels
        self._changes = changes
        self._later = later
        self._now = now
        self._set_at = 0.0
        """0: they are those of the configuration."""
        changes.subscribe(SET, self._heard)
        changes.subscribe(ASKED, self._answer)

    def begin(self) -> None:
        """Ask what they are elsewhere."""
        self._changes.publish(ASKED, "")

    def state(self) -> dict[str, str]:
        """The level of all others under `level`, and by component its own, empty where it has none."""
        own = self._levels.own
        return {ALL: self._levels.level, **{name: own.get(name, "") for name in COMPONENTS}}

    def set(self, wanted: Mapping[str, str]) -> None:
        """Change these, here and everywhere. Raises Invalid, with every fault; then nothing is changed."""
        faults = tuple((name, fault) for name, value in wanted.items() if (fault := _fault(name, value)))
        if faults:
            raise Invalid(faults)
        own = {**self._levels.own, **{name: value for name, value in wanted.items() if name != ALL}}
        self._set_at = max(self._now(), self._set_at + 0.001)
        self._levels.set(wanted.get(ALL, self._levels.level), own)
        self._changes.publish(SET, self._told())

    def _told(self) -> str:
        told = _Told(self._set_at, self._levels.level, dict(self._levels.own))
        return msgspec.json.encode(told).decode()

    def _heard(self, key: str) -> None:
        if key == base.EVERYTHING:
            self._later(self.begin)
            return
        told = msgspec.json.decode(key, type=_Told)
        if told.at > self._set_at and told.level in LEVELS:
            self._set_at = told.at
            self._levels.set(told.level, told.own)

    def _answer(self, key: str) -> None:
        if self._set_at and key != base.EVERYTHING:
            self._later(lambda: self._changes.publish(SET, self._told()))


def _fault(name: str, value: str) -> str:
    if name == ALL:
        return "" if value in LEVELS else f"is one of {', '.join(LEVELS)}"
    if name not in COMPONENTS:
        return f"there is no such component: {', '.join(COMPONENTS)}"
    known = (*LEVELS, OFF, "")
    return "" if value in known else f"is one of {', '.join(known[:-1])}, or empty for none of its own"
