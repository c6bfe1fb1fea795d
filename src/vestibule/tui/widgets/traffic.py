"""The traffic: requests as they end, the newest on top; followed or held, all or some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from vestibule.admin_model import Row
from vestibule.core.figure import milliseconds
from vestibule.tui.columns import Column
from vestibule.tui.filters import Filter, parsed
from vestibule.tui.ring import Ring, View
from vestibule.tui.text import clock, count
from vestibule.tui.theme import role_of, sign_of
from vestibule.tui.widgets.rows import Rows

_SLOW_MS: Final = 1000.0
"""What takes longer is marked."""


def _slow(row: Row) -> str:
    return "warn" if row.took_ms >= _SLOW_MS else ""


HOST: Final = Column("host", lambda row: row.name or "-", 8, 24, "dim")
COLUMNS: Final = (
    Column("time", lambda row: clock(row.at), 8, role="dim"),
    HOST,
    Column("meth", lambda row: row.method, 4, 6),
    Column("path", lambda row: row.path, 12, 48),
    Column("", lambda row: sign_of(row.status), 1, role=lambda row: role_of(row.status)),
    Column("stat", lambda row: str(row.status or "left"), 4, role=lambda row: role_of(row.status)),
    Column("ms", lambda row: milliseconds(row.took_ms), 5, 6, _slow, right=True),
    Column("person", lambda row: row.person or "-", 8, 26, lambda row: "" if row.person else "faint"),
    Column("via", lambda row: row.provider or "-", 6, 14, "dim", rank=1),
    Column("decision", lambda row: row.decision or "-", 8, 28, "dim"),
)


class TrafficPane(Vertical):
    """Live traffic of what is asked for."""

    DEFAULT_CSS = """
    TrafficPane { height: 1fr; }
    TrafficPane Input { display: none; height: 1; border: none; padding: 0 1; background: $panel; dock: bottom; }
    TrafficPane Input.open { display: block; }
    """

    def __init__(
        self,
        ring: Ring,
        *,
        only: Callable[[Row], bool] | None = None,
        has_host: bool = True,
        what: str = "traffic",
    ) -> None:
        """`only`: rows of anything else are none of this pane's."""
        super().__init__(id="traffic")
        self._only = only
        self._what = what
        self.filter = Filter()
        self.view = View(ring, self._wanted)
        self._is_paused = False
        columns = COLUMNS if has_host else tuple(one for one in COLUMNS if one is not HOST)
        self.rows = Rows(columns, empty="no requests yet", id="requests", rests=False)
        self.input = Input(placeholder="host:app status:4xx person:ada decision:denied text", id="filter")

    def compose(self) -> ComposeResult:
        """The rows, and below them the filter."""
        yield self.rows
        yield self.input

    def on_mount(self) -> None:
        """Show what is there."""
        self.add_class("pane")
        self.rows.show(self.view)
        self._tell()

    # -- following ----------------------------------------------------------------------------

    def tick(self) -> None:
        """Take what came."""
        fresh = self.view.sync()
        if not fresh:
            return
        if not self.view.is_held:
            self.rows.changed()
        self._tell()

    def toggle(self) -> None:
        """Pause, or go on."""
        self._is_paused = not self.view.is_held
        if self._is_paused:
            self.view.hold()
        else:
            self.view.follow()
            self.rows.go(0)
        self.rows.changed()
        self._tell()

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Whoever goes down wants to read: it stands still until they are back at the top."""
        event.stop()
        if event.at:
            self.view.hold()
        elif not self._is_paused and self.view.is_held:
            self.view.follow()
            self.rows.changed()
        self._tell()

    # -- filtering ----------------------------------------------------------------------------

    def open_filter(self) -> None:
        """Ask for a filter."""
        self.input.add_class("open")
        self.input.focus()

    def close_filter(self, *, clear: bool) -> bool:
        """The filter line away; False: there was none, and nothing to clear."""
        was_open = self.input.has_class("open")
        had_words = bool(self.filter.words)
        if clear:
            self.input.value = ""
            self._narrow("")
        self.input.set_class(bool(self.filter.words), "open")
        if was_open:
            self.rows.focus()
        return was_open or had_words

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow as it is typed."""
        event.stop()
        self._narrow(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep it."""
        event.stop()
        self.close_filter(clear=False)

    def _narrow(self, line: str) -> None:
        self.filter = parsed(line)
        self.view.want(self._wanted)
        self.rows.cursor = 0
        self.rows.empty = "nothing that fits this filter" if self.filter.words else "no requests yet"
        self.rows.changed()
        self._tell()

    def _wanted(self, row: Row) -> bool:
        # The console asks the API all the time: who wants to see that says `kind:admin`.
        is_ours = row.kind != "admin" or ("kind", "admin") in self.filter.words
        return is_ours and (self._only is None or self._only(row)) and self.filter.takes(row)

    def _tell(self) -> None:
        how = "following"
        if self.view.is_held:
            how = f"paused, {count(self.view.waiting)} newer" if self.view.waiting else "paused"
        filtered = f"{self._what} · {self.filter.line}" if self.filter.words else self._what
        self.border_title = f"{filtered} · {how}"
        self.border_subtitle = count(len(self.view))
