"""Plots as SVG, drawn here: figures over the last minutes, as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import minijinja
import msgspec
from minijinja import Markup

WIDTH: Final = 480
HEIGHT: Final = 170
_LEFT: Final = 52
_RIGHT: Final = 4
_TOP: Final = 14
_BOTTOM: Final = 22
_LINES: Final = ("one", "two", "three")


class Line(msgspec.Struct, frozen=True):
    """One line of a plot."""

    label: str
    values: Sequence[float]


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A plot with its words."""

    title: str
    summary: str
    """What it shows, for who doesn't see it."""
    svg: Markup
    labels: tuple[str, ...]
    """Of its lines, where it has several."""


def plot(title: str, lines: Sequence[Line], *, began_at: datetime, every_s: float, unit: str = "") -> Plot:
    """A plot of lines that are as long; the first is filled where it is alone."""
    top = _nice(max((value for line in lines for value in line.values), default=0.0))
    latest = ", ".join(f"{_figure(line.values[-1] if line.values else 0.0)} {line.label}" for line in lines)
    most = _figure(max((value for line in lines for value in line.values), default=0.0))
    summary = f"{title}: now {latest}; at most {most}{' ' + unit if unit else ''}."
    steps = max((len(line.values) for line in lines), default=0)
    ended_at = began_at + timedelta(seconds=every_s * steps)
    parts = [
        f'<div role="img" aria-label="{minijinja.escape(summary)}">',
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">',
        *_grid(top, unit),
        *(
            _drawn(line, kind, top, is_alone=len(lines) == 1)
            for line, kind in zip(lines, _LINES, strict=False)
        ),
        f'<text x="{_LEFT}" y="{HEIGHT - 5}">{began_at:%H:%M}</text>',
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{ended_at:%H:%M} UTC</text>',
        "</svg></div>",
    ]
    labels = tuple(line.label for line in lines) if len(lines) > 1 else ()
    return Plot(title=title, summary=summary, svg=Markup("".join(parts)), labels=labels)


def _grid(top: float, unit: str) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        figure = _figure(top * share) + (f" {unit}" if unit and share == 1.0 else "")
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{figure}</text>')
    return parts


def _drawn(line: Line, kind: str, top: float, *, is_alone: bool) -> str:
    if not line.values:
        return ""
    room = WIDTH - _LEFT - _RIGHT
    step = room / max(1, len(line.values) - 1)
    points = " ".join(
        f"{_LEFT + number * step:.1f},{_y(value, top)}" for number, value in enumerate(line.values)
    )
    drawn = f'<polyline class="line {kind}" points="{points}"/>'
    if is_alone:
        end = f"{_LEFT + (len(line.values) - 1) * step:.1f}"
        floor = _y(0.0, top)
        drawn = f'<polygon class="area" points="{_LEFT},{floor} {points} {end},{floor}"/>{drawn}'
    return drawn


def _y(value: float, top: float) -> float:
    room = HEIGHT - _TOP - _BOTTOM
    return round(_TOP + room * (1 - min(value, top) / top), 1)


def _nice(most: float) -> float:
    """The end of an axis: 1, 2 or 5 of its power of ten."""
    if most <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * factor for factor in (1, 2, 5, 10) if most <= power * factor)


def _figure(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    if value >= 1000:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value == int(value) or value >= 10 else f"{value:.1f}"
