"""How many requests there were, how they ended and how long they took: by name, and over the last minutes.

Records are taken in when somebody looks, or once in a while: a request costs no more than a place in a list.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from vestibule.observe.traffic import SWITCHED, Kind, Record

STEP_S: Final = 5.0
STEPS: Final = 180
"""So a quarter of an hour is told of."""
NAMES_MAX: Final = 2000
"""Names beyond are counted under none: those of edges are addresses."""
WAITING_MAX: Final = 100_000
_RECENT_STEPS: Final = 12
_NOW_STEPS: Final = 2
_GROWTH: Final = 1.1
_LEAST_S: Final = 0.0001
_BOUNDS_S: Final = tuple(_LEAST_S * _GROWTH**power for power in range(145))
"""0.1 ms to 90 s, each a tenth above the one before: so near is a percentile."""


class Step(NamedTuple):
    """What there was in one step of time."""

    requests: int
    errors: int
    denials: int
    sign_ins: int
    p50_s: float
    p95_s: float
    p99_s: float


class Count(NamedTuple):
    """What there was by one name."""

    requests: int = 0
    errors: int = 0
    denials: int = 0
    per_s: float = 0.0
    """Of the last ten seconds."""
    last_at: float = 0.0
    p95_s: float = 0.0
    """Of the last minute."""


class _Cell:
    """The figures of one step."""

    __slots__ = ("denials", "errors", "requests", "sign_ins", "took")

    def __init__(self) -> None:
        self.requests = self.errors = self.denials = self.sign_ins = 0
        self.took: dict[int, int] = {}
        """How many took how long, by the place in `_BOUNDS_S`."""

    def add(self, record: Record) -> None:
        self.requests += 1
        status = record.status
        if status >= 400:
            self.errors += status >= 500
            self.denials += record.is_denial
        if status != SWITCHED:
            place = bisect_left(_BOUNDS_S, record.took_s)
            self.took[place] = self.took.get(place, 0) + 1


_Cells: TypeAlias = dict[int, _Cell]
"""By the number of their step."""


class _Named:
    """Totals and the last steps of one name."""

    __slots__ = ("cells", "denials", "errors", "last_at", "requests")

    def __init__(self) -> None:
        self.requests = self.errors = self.denials = 0
        self.last_at = 0.0
        self.cells: _Cells = {}


class Rates:
    """Takes records; belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: list[Record] = []
        self._all: _Cells = {}
        self._names: dict[tuple[Kind, str], _Named] = {}

    def add(self, record: Record) -> None:
        """Have it counted, soon."""
        self._waiting.append(record)
        if len(self._waiting) >= WAITING_MAX:
            self.take_in()

    def signed_in(self, at: float, count: int) -> None:
        """So many people have."""
        if count:
            _cell(self._all, at, STEPS).sign_ins += count

    def take_in(self) -> None:
        """Count what waits."""
        waiting, self._waiting = self._waiting, []
        for record in waiting:
            if record.kind is not Kind.ADMIN:
                _cell(self._all, record.at, STEPS).add(record)
            named = self._named(record)
            if named is not None:
                named.requests += 1
                named.errors += record.status >= 500
                named.denials += record.is_denial
                named.last_at = record.at
                _cell(named.cells, record.at, _RECENT_STEPS).add(record)

    def steps(self, now: float) -> tuple[float, tuple[Step, ...]]:
        """When the first began, and all steps of the last minutes, the oldest first; the last one is under way.

        What operators ask, consoles and pages above all, isn't in them: an idle gateway is seen to be idle.
        """
        self.take_in()
        last = int(now // STEP_S)
        numbers = range(last - STEPS + 1, last + 1)
        return numbers[0] * STEP_S, tuple(_step(self._all.get(number)) for number in numbers)

    def per_s(self, now: float) -> float:
        """Requests a second, of the last ten seconds, without the operators'."""
        self.take_in()
        return _per_s(self._all, now)

    def count(self, kind: Kind, name: str, now: float) -> Count:
        """What there was by this name."""
        self.take_in()
        named = self._names.get((kind, name))
        if named is None:
            return Count()
        last = int(now // STEP_S)
        recent = [
            named.cells[number]
            for number in range(last - _RECENT_STEPS + 1, last + 1)
            if number in named.cells
        ]
        return Count(
            named.requests,
            named.errors,
            named.denials,
            _per_s(named.cells, now),
            named.last_at,
            percentiles(_together(recent), (0.95,))[0],
        )

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Those of a kind that requests came to."""
        self.take_in()
        return tuple(name for of, name in self._names if of is kind)

    def _named(self, record: Record) -> _Named | None:
        key = record.kind, record.edge or record.name.decode("ascii", "replace")
        named = self._names.get(key)
        if named is None and len(self._names) < NAMES_MAX:
            named = self._names[key] = _Named()
        return named


def percentiles(took: dict[int, int], shares: Iterable[float]) -> tuple[float, ...]:
    """The times below which these shares of all stayed, in seconds; 0 where there was nothing."""
    total = sum(took.values())
    places = sorted(took)
    found = []
    for share in shares:
        left = math.ceil(total * share)
        at = 0.0
        for place in places:
            left -= took[place]
            if left <= 0:
                at = _BOUNDS_S[min(place, len(_BOUNDS_S) - 1)]
                break
        found.append(at if total else 0.0)
    return tuple(found)


def _cell(cells: _Cells, at: float, most: int) -> _Cell:
    """The cell of this time; the one farthest from it goes: the oldest, or one from before a clock was set back."""
    number = int(at // STEP_S)
    cell = cells.get(number)
    if cell is None:
        cell = cells[number] = _Cell()
        if len(cells) > most:
            del cells[max(cells, key=lambda other: abs(other - number))]
    return cell


def _step(cell: _Cell | None) -> Step:
    if cell is None:
        return Step(0, 0, 0, 0, 0.0, 0.0, 0.0)
    return Step(
        cell.requests,
        cell.errors,
        cell.denials,
        cell.sign_ins,
        *percentiles(cell.took, (0.5, 0.95, 0.99)),
    )


def _per_s(cells: _Cells, now: float) -> float:
    """Of the last whole steps that make ten seconds."""
    last = int(now // STEP_S)
    whole = sum(cells[number].requests for number in range(last - _NOW_STEPS, last) if number in cells)
    return whole / (_NOW_STEPS * STEP_S)


def _together(cells: Iterable[_Cell]) -> dict[int, int]:
    took: dict[int, int] = {}
    for cell in cells:
        for place, count in cell.took.items():
            took[place] = took.get(place, 0) + count
    return took
