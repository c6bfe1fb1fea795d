"""The requests that the console remembers, and what a pane shows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from vestibule.admin_model import Row

KEPT: Final = 10_000
"""Requests that are remembered; the oldest go."""


class Ring:
    """The latest requests, the oldest first."""

    __slots__ = ("_kept", "rows", "total")

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self.rows: list[Row] = []
        self.total = 0
        """How many there ever were."""

    def add(self, batch: Iterable[Row]) -> None:
        """Take these, the oldest first."""
        before = len(self.rows)
        self.rows.extend(batch)
        self.total += len(self.rows) - before
        # Not at every batch: what is cut off a list moves all that stays.
        if len(self.rows) > self._kept + self._kept // 4:
            del self.rows[: -self._kept]

    def since(self, mark: int) -> Sequence[Row]:
        """Those that came after so many."""
        fresh = min(self.total - mark, len(self.rows))
        return self.rows[-fresh:] if fresh > 0 else ()


class View:
    """What one pane shows of a ring: the rows that are wanted, the newest first; following it, or held still."""

    def __init__(self, ring: Ring, wanted: Callable[[Row], bool]) -> None:
        self._ring = ring
        self._wanted = wanted
        self._rows: list[Row] = []
        self._mark = 0
        self._held: list[Row] | None = None
        self.refill()

    @property
    def is_held(self) -> bool:
        """True while it stands still."""
        return self._held is not None

    @property
    def waiting(self) -> int:
        """How many came since it was held."""
        return max(len(self._rows) - len(self._held), 0) if self._held is not None else 0

    def __len__(self) -> int:
        return len(self._shown)

    def __getitem__(self, at: int) -> Row:
        """The row at this place, 0 the newest."""
        shown = self._shown
        return shown[len(shown) - 1 - at]

    def want(self, wanted: Callable[[Row], bool]) -> None:
        """Show other rows; it goes on following, or is held at what there is now."""
        self._wanted = wanted
        if self._held is not None:
            self._held = [row for row in self._ring.rows if wanted(row)]
        self.refill()

    def refill(self) -> None:
        """Begin anew with all that the ring has."""
        self._rows = [row for row in self._ring.rows if self._wanted(row)]
        self._mark = self._ring.total

    def sync(self) -> int:
        """Take what came since; how many of it are wanted."""
        if self._mark == self._ring.total:
            return 0
        fresh = [row for row in self._ring.since(self._mark) if self._wanted(row)]
        self._mark = self._ring.total
        self._rows.extend(fresh)
        if len(self._rows) > KEPT + KEPT // 4:
            del self._rows[:-KEPT]
        return len(fresh)

    def hold(self) -> None:
        """Stand still."""
        if self._held is None:
            self._held = list(self._rows)

    def follow(self) -> None:
        """Go on."""
        self._held = None

    @property
    def _shown(self) -> list[Row]:
        return self._rows if self._held is None else self._held
