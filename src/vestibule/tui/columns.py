"""Columns of the lists: what each says of an item, and how much room it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from vestibule.tui.text import plain

_FEW: Final = 4


class Column(msgspec.Struct, frozen=True):
    """One column."""

    head: str
    text: Callable[[Any], str]
    least: int
    """Columns of the terminal that it needs."""
    most: int = 0
    """What it gets at most where there is room; 0: as little as it needs."""
    role: Callable[[Any], str] | str = ""
    right: bool = False
    """Figures end at the same place."""
    rank: int = 0
    """Where there is no room for all, the highest goes first; 0: it stays."""

    drawn: Callable[[Any, int], str] | None = None
    """In place of a text: what fills so many columns."""

    def shown(self, item: Any, room: int) -> tuple[str, str]:
        """Its text of an item, and how that looks."""
        role = self.role if isinstance(self.role, str) else self.role(item)
        return self.drawn(item, room) if self.drawn is not None else plain(self.text(item)), role


def widths(columns: Sequence[Column], room: int) -> list[int]:
    """How wide each is; 0: it isn't shown. A blank stands after each but the last."""
    shown = list(columns)
    while len(shown) > 1 and _needed(shown) > room and any(column.rank for column in shown):
        shown.remove(max(shown, key=lambda column: column.rank))
    got = {id(column): column.least for column in shown}
    spare = room - _needed(shown)
    for column in shown:
        # A sign or two that make a word whole come first.
        few = column.most - column.least
        if 0 < few <= min(_FEW, spare):
            got[id(column)] += few
            spare -= few
    growing = [column for column in shown if column.most > got[id(column)]]
    while spare > 0 and growing:
        # The one that is furthest from what it would like: all grow in proportion.
        column = max(growing, key=lambda one: (one.most - got[id(one)]) / one.most)
        got[id(column)] += 1
        spare -= 1
        growing = [one for one in growing if got[id(one)] < one.most]
    if spare and shown:
        # What is left over, or wanting, is the widest's.
        widest = max(shown, key=lambda column: got[id(column)])
        got[id(widest)] = max(got[id(widest)] + spare, 1)
    return [got.get(id(column), 0) for column in columns]


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.least for column in columns) + len(columns) - 1
