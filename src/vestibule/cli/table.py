"""Tables for people: as wide as the terminal; whole where there is none, for grep and files."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

GAP = "  "
_UNBOUNDED = 1_000_000


class Column(NamedTuple):
    """A column: its head, its text of an item, and whether it may be cut to make room."""

    head: str
    text: Callable[[Any], str]
    may_shrink: bool = False


def table(items: Sequence[Any], columns: Sequence[Column], width: int = 0) -> str:
    """The table. What doesn't fit is cut, in the columns that may shrink, the widest first."""
    width = width or shutil.get_terminal_size((_UNBOUNDED, 24)).columns
    cells = [[plain(column.text(item)) for column in columns] for item in items]
    heads = [column.head for column in columns]
    widths = [max(map(_width, [head, *texts])) for head, *texts in zip(heads, *cells, strict=True)]
    room = width - len(GAP) * (len(columns) - 1)
    while sum(widths) > room:
        shrinking = [
            number for number, column in enumerate(columns) if column.may_shrink and widths[number] > 8
        ]
        if not shrinking:
            break
        widths[max(shrinking, key=lambda number: widths[number])] -= 1
    rows = [heads, *cells]
    return "\n".join(
        GAP.join(_fitted(text, room) for text, room in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def fields(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values, one pair a line; what is empty is left out."""
    shown = [(name, plain(value)) for name, value in pairs if value]
    longest = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name:<{longest}}  {value}" for name, value in shown)


def plain(text: str) -> str:
    """The text without what would steer a terminal. Threat: names of people, which anybody may choose."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _width(text: str) -> int:
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def _fitted(text: str, room: int) -> str:
    """The text, cut or padded to this many columns."""
    if _width(text) <= room:
        return text + " " * (room - _width(text))
    kept, used = "", 0
    for char in text:
        used += _char_width(char)
        if used > room - 1:
            break
        kept += char
    return kept + "…" + " " * (room - 1 - _width(kept))
