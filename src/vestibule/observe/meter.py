"""Counters and histograms of one process: adding to one is a look-up and a sum, and no more than so many there are.

Labels are names of the configuration, or words of a fixed list. Yet whatever goes wrong elsewhere, no client makes
this grow: a family has a cap on its series, and what comes after that is counted as `other`.

In a worker it holds what has come since the last report (`take`), which the control process adds to its own (`merge`).
So nothing counted there goes down when a worker dies, and a new one begins with nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

SERIES_MAX: Final = 2000
"""Of one family."""
OTHER: Final = "other"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
FINE: Final = (0.0001, 0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0)

Labels: TypeAlias = tuple[str, ...]


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of one thing: its name, as Prometheus knows it, and which labels its series have."""

    name: str
    """Of a counter it ends in `_total`."""
    told: str
    """One sentence, for people."""
    labels: Labels = ()
    kind: str = "counter"
    """`counter`, `gauge` or `histogram`."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without the last, which is infinite."""


FOLDED: Final = Family(
    name="vestibule_series_folded_total",
    told="How often something was counted as `other`, since a metric has as many series as it may.",
    labels=("metric",),
)


class Growth(msgspec.Struct, frozen=True, array_like=True):
    """How much one series has grown: a counter by one number; a histogram by one for each bucket, and by the sum."""

    family: str
    labels: Labels
    by: list[float]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How one process is just now."""

    name: str
    """`gateway` (the only one), `control`, `worker 1`, …"""
    pid: int
    started_at: float
    heard_at: float
    """When it said this, by its own clock, which all of them share."""
    requests: int = 0
    """How many it has answered."""
    memory_bytes: int = 0
    """Resident."""
    cpu_s: float = 0.0
    open_files: int = 0
    connections: dict[str, int] = {}
    """Open ones, by the listener's address."""
    log_dropped: int = 0
    """Lines of the log that nobody took."""
    beat_age_s: float = 0.0
    """Since when it can't be sure to have heard of every change by others; 0: it is sure."""


class Meter:
    """Belongs to the event loop it is used on."""

    __slots__ = ("_series",)

    def __init__(self) -> None:
        self._series: dict[str, dict[Labels, list[float]]] = {}

    def add(self, family: Family, labels: Labels = (), by: float = 1.0) -> None:
        """Count."""
        found = self._series.get(family.name)
        values = found.get(labels) if found is not None else None
        if values is None:
            values = self._made(family.name, labels, 1)
        values[0] += by

    def observe(self, family: Family, labels: Labels, value: float) -> None:
        """Put one value into its bucket."""
        found = self._series.get(family.name)
        values = found.get(labels) if found is not None else None
        if values is None:
            values = self._made(family.name, labels, len(family.bounds) + 2)
        values[bisect_left(family.bounds, value)] += 1.0
        values[-1] += value

    def values(self, family: Family, labels: Labels) -> list[float]:
        """Where this series is counted: for who counts often, and looks it up once."""
        found = self._series.get(family.name, {}).get(labels)
        size = len(family.bounds) + 2 if family.bounds else 1
        return self._made(family.name, labels, size) if found is None else found

    def series(self, family: Family) -> Iterator[tuple[Labels, list[float]]]:
        """What was counted: a number, or the buckets (each without those below) and the sum."""
        yield from self._series.get(family.name, {}).items()

    def take(self) -> list[Growth]:
        """All of it, to be told to another process; here counting begins anew."""
        taken = []
        for name, series in self._series.items():
            for labels, values in series.items():
                if any(values):
                    taken.append(Growth(name, labels, values.copy()))
                    values[:] = [0.0] * len(values)
        return taken

    def merge(self, grown: Iterable[Growth]) -> None:
        """Add what another process has counted."""
        for one in grown:
            found = self._series.get(one.family, {}).get(one.labels)
            values = self._made(one.family, one.labels, len(one.by)) if found is None else found
            if len(values) == len(one.by):
                for place, by in enumerate(one.by):
                    values[place] += by

    def _made(self, name: str, labels: Labels, size: int) -> list[float]:
        """The values of a series that isn't there yet; those of `other`, when there are enough."""
        series = self._series.setdefault(name, {})
        if len(series) >= SERIES_MAX:
            self.add(FOLDED, (name,))
            labels = (OTHER,) * len(labels)
        return series.setdefault(labels, [0.0] * size)
