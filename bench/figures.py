"""Figures of a measurement: rounds of each subject, their ratio round by round, and the table."""

from __future__ import annotations

from statistics import median
from typing import Any

import msgspec

OURS = "vestibule"


class Figure(msgspec.Struct, kw_only=True):
    """One thing measured: for each subject one value a round."""

    name: str
    unit: str
    values: dict[str, list[float]]
    higher_is_better: bool = True
    bar: str = ""
    """What the project asks of it."""
    notes: dict[str, Any] = {}

    def ratios(self, other: str) -> list[float]:
        """Ours to the other's, round by round: what both suffered in a round cancels out."""
        pairs = zip(self.values[OURS], self.values[other], strict=True)
        return [ours / theirs for ours, theirs in pairs if theirs]

    def others(self) -> list[str]:
        """The subjects we are compared with."""
        return [name for name in self.values if name != OURS] if OURS in self.values else []


def as_json(figures: list[Figure]) -> bytes:
    """The figures with all their rounds, and the medians."""
    rows = []
    for figure in figures:
        row = msgspec.to_builtins(figure)
        row["median"] = {name: median(values) for name, values in figure.values.items()}
        row["ratio"] = {name: median(figure.ratios(name)) for name in figure.others() if figure.ratios(name)}
        rows.append(row)
    return msgspec.json.format(msgspec.json.encode(rows))


def as_table(figures: list[Figure]) -> str:
    """The figures for people: median (lowest to highest), and the ratio to each other subject."""
    rows = [("", "median", "lowest", "highest", "ours to theirs", "lowest", "highest")]
    for figure in figures:
        bar = f" (bar: {figure.bar})" if figure.bar else ""
        rows.append((f"{figure.name}, {figure.unit}{bar}", "", "", "", "", "", ""))
        for name, values in figure.values.items():
            notes = figure.notes.get(name, [])
            ratios = figure.ratios(name) if name in figure.others() else []
            busy = median(note["cpu"] for note in notes) if notes else 1.0
            shown = f"  {name}" + (f" (had {busy:.0%} of its core)" if busy < 0.9 else "")
            rows.append((shown, *_spread(values), *_spread(ratios, digits=2)))
    widths = [max(len(row[i]) for row in rows if i or row[1]) for i in range(len(rows[0]))]
    return "\n".join(_line(row, widths) for row in rows) + "\n"


def _spread(values: list[float], digits: int | None = None) -> tuple[str, str, str]:
    if not values:
        return "", "", ""
    return _shown(median(values), digits), _shown(min(values), digits), _shown(max(values), digits)


def _shown(value: float, digits: int | None) -> str:
    if digits is None:
        digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    if not any(row[1:]) and row[0]:
        return row[0]
    cells = [row[0].ljust(widths[0])] + [
        cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
    ]
    return "  ".join(cells).rstrip()
