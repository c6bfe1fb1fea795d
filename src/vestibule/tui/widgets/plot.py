"""Figures of the last minutes as bars, a row of them a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from vestibule.admin_model import Series
from vestibule.core.figure import milliseconds
from vestibule.tui.text import clock, count, fit, sparkline, spread
from vestibule.tui.theme import DARK, PALETTES
from vestibule.tui.widgets.lines import Piece

_LABEL: Final = 10
_FIGURE: Final = 16


class Plots(Widget):
    """A label, the bars, and beside them the last and the highest."""

    DEFAULT_CSS = """
    Plots { height: 8; }
    """

    def __init__(self, *, id: str = "") -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id or None)
        self._series: Series | None = None

    def show(self, series: Series) -> None:
        """Show these."""
        self._series = series
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One figure's row; the last says from when on."""
        palette = PALETTES.get(self.app.theme, PALETTES[DARK])
        pieces = self._row(y)
        segments = [Segment(text, palette[role]) for text, role in pieces]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _row(self, y: int) -> Sequence[Piece]:
        series = self._series
        if series is None:
            return (("asking …", "dim"),) if y == 0 else ()
        rows = (
            ("requests", series.requests, "name", _whole),
            ("failed", series.errors, "bad", _whole),
            ("refused", series.denials, "warn", _whole),
            ("sign-ins", series.sign_ins, "ok", _whole),
            ("p50", series.p50_ms, "name", milliseconds),
            ("p95", series.p95_ms, "name", milliseconds),
            ("p99", series.p99_ms, "name", milliseconds),
        )
        room = max(self.size.width - _LABEL - _FIGURE - 2, 4)
        if y == len(rows):
            began = f"from {clock(series.began_at)}, a step {series.every_s:.0f} s"
            return (
                (" " * _LABEL, ""),
                (fit(began, room), "faint"),
                (fit("now / most", _FIGURE, right=True), "faint"),
            )
        if y > len(rows):
            return ()
        name, values, role, words = rows[y]
        bars = sparkline(spread(values, room), room)
        figures = f"{words(values[-1]) if values else '-'} / {words(max(values, default=0))}"
        return (
            (fit(name, _LABEL), "dim"),
            (fit(bars, room, right=True), role),
            (fit(figures, _FIGURE, right=True), ""),
        )


def _whole(value: float) -> str:
    return count(int(value))
