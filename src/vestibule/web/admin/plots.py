"""Plots as SVG, drawn here: figures over the last minutes, as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import minijinja
import msgspec
from minijinja import Markup

WIDTH: Final = 1000
HEIGHT: Final = 120
_EDGE: Final = 3
"""Room above and below, so that a line at the very top or bottom is seen whole."""
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
        f'<div class="plot" role="img" aria-label="{minijinja.escape(summary)}">',
        f'<div class="axis"><span>{_figure(top)}{" " + unit if unit else ""}</span>',
        f"<span>{_figure(top / 2)}</span><span>0</span></div>",
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">',
        *_grid(),
        *(
            _drawn(line, kind, top, is_alone=len(lines) == 1)
            for line, kind in zip(lines, _LINES, strict=False)
        ),
        f'</svg><div class="times"><span>{began_at:%H:%M}</span><span>{ended_at:%H:%M} UTC</span></div></div>',
    ]
    labels = tuple(line.label for line in lines) if len(lines) > 1 else ()
    return Plot(title=title, summary=summary, svg=Markup("".join(parts)), labels=labels)


def _grid() -> list[str]:
    return [f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>' for y in map(_y, (0.0, 0.5, 1.0))]


def _drawn(line: Line, kind: str, top: float, *, is_alone: bool) -> str:
    if not line.values:
        return ""
    step = WIDTH / max(1, len(line.values) - 1)
    points = " ".join(f"{number * step:.1f},{_y(value / top)}" for number, value in enumerate(line.values))
    drawn = f'<polyline class="line {kind}" points="{points}"/>'
    if is_alone:
        floor = _y(0.0)
        drawn = f'<polygon class="area" points="0,{floor} {points} {WIDTH},{floor}"/>{drawn}'
    return drawn


def _y(share: float) -> float:
    return round(_EDGE + (HEIGHT - 2 * _EDGE) * (1 - min(share, 1.0)), 1)


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
