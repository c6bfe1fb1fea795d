"""One request, and all that it has caused: the backend's part and the API calls, as a tree with their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from vestibule.admin_model import Node, Row, Trace
from vestibule.core.figure import milliseconds, size
from vestibule.errors import VestibuleError
from vestibule.tui.columns import Column
from vestibule.tui.desk import Desk
from vestibule.tui.screens.page import Page
from vestibule.tui.text import clock, lane
from vestibule.tui.theme import role_of, sign_of
from vestibule.tui.widgets.lines import Line, Lines, facts
from vestibule.tui.widgets.rows import Rows


class Branch(msgspec.Struct, frozen=True):
    """One line of the tree."""

    row: Row
    twigs: str
    """What stands before it: `│  └─ `."""
    is_backend: bool
    """What the backend took for the row, and no request of its own."""
    began_ms: float
    """After the first of the tree began."""
    took_ms: float


def branches(trace: Trace) -> list[Branch]:
    """The lines of a trace: under each request its backend, and under that what the backend called."""
    roots = trace.roots
    if not roots:
        return []
    origin = min(_began(node.row) for node in roots)
    return [line for node in roots for line in _lines(node, origin, "", "")]


def _lines(node: Node, origin: datetime, twigs: str, below: str) -> Iterator[Branch]:
    row = node.row
    began = (_began(row) - origin) / timedelta(milliseconds=1)
    yield Branch(row, twigs, is_backend=False, began_ms=began, took_ms=row.took_ms)
    under = below
    if row.backend_ms and row.kind in {"host", "serving"}:
        # What of it came before the backend was asked isn't told: the gateway's own part is next to nothing.
        yield Branch(row, f"{below}└─ ", is_backend=True, began_ms=began, took_ms=row.backend_ms)
        under = f"{below}   "
    children = sorted(node.children, key=lambda child: _began(child.row))
    for number, child in enumerate(children, 1):
        is_last = number == len(children)
        yield from _lines(
            child, origin, under + ("└─ " if is_last else "├─ "), under + ("   " if is_last else "│  ")
        )


def _began(row: Row) -> datetime:
    """Rows say when they ended."""
    return row.at - timedelta(milliseconds=row.took_ms)


def words_of(branch: Branch, backend: str) -> str:
    """What a line is about."""
    row = branch.row
    if branch.is_backend:
        return f"{branch.twigs}backend {backend}".rstrip()
    whom = {"call": "call ", "edge": "edge ", "serving": "serving "}.get(row.kind, "")
    return f"{branch.twigs}{row.method} {whom}{row.name}{row.path}"


class TraceScreen(Page):
    """The tree."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "why", "why"),
        Binding("o", "session", "session"),
        Binding("c", "copy", "copy ids"),
    ]
    DEFAULT_CSS = """
    TraceScreen #facts { height: 50%; min-height: 11; }
    """
    every_s = 3.0
    name_of = "request"

    def __init__(self, desk: Desk, row: Row) -> None:
        super().__init__(desk)
        self._row = row
        alone = Trace(trace_id=row.trace_id, roots=(Node(row=row),))
        self._branches = branches(alone)
        self.rows = Rows(
            self._columns(),
            key=lambda one: (one.row.span_id, one.row.seq, one.is_backend),
            id="tree",
            opens=False,
        )
        self.facts = Lines(id="facts")

    def body(self) -> ComposeResult:
        """The tree; below it, one of its requests."""
        self.rows.add_class("pane")
        self.rows.border_title = "request and what it caused"
        yield self.rows
        self.facts.add_class("pane", "text")
        yield self.facts

    def on_mount(self) -> None:
        """What is known already, at once."""
        self._show(self._branches)
        self.rows.focus()

    async def load(self) -> None:
        """All that the gateway knows of the trace; calls may still come."""
        if not self._row.trace_id:
            return
        try:
            found = branches(await self.ask(lambda: self.desk.gateway.admin.trace(self._row.trace_id)))
        except VestibuleError as error:
            if error.status != 404:
                raise
            return  # it has forgotten it: what the console remembers stays
        if found:
            self._show(found)

    def _show(self, found: Sequence[Branch]) -> None:
        is_first = not len(self.rows.items)
        self._branches = list(found)
        self.rows.show(self._branches)
        if is_first:
            self.rows.cursor = next((at for at, one in enumerate(found) if one.row.seq == self._row.seq), 0)
        calls = sum(one.row.kind == "call" for one in found)
        self.rows.border_subtitle = f"{calls} API calls" if calls != 1 else "1 API call"
        self._fill()

    def on_rows_moved(self) -> None:
        """Of another."""
        self._fill()

    def _fill(self) -> None:
        one = self.rows.item
        if isinstance(one, Branch):
            self.facts.border_title = f"{one.row.method} {one.row.name}"
            self.facts.show(_told(one.row))

    # -- going on -----------------------------------------------------------------------------

    def action_why(self) -> None:
        """Why it was let in or not."""
        one = self.rows.item
        if isinstance(one, Branch) and one.row.kind == "host":
            self.go("why", one.row)
        else:
            self.say("why is asked of a request to a host", "warn")

    def action_session(self) -> None:
        """Its session."""
        one = self.rows.item
        if isinstance(one, Branch) and one.row.session_id:
            self.go("session", one.row.session_id)
        else:
            self.say("it came without a session", "warn")

    def action_copy(self) -> None:
        """Its ids, to look for in logs."""
        one = self.rows.item
        if isinstance(one, Branch):
            self.app.copy_to_clipboard(f"{one.row.request_id} {one.row.trace_id}".strip())
            self.say(f"in the clipboard: request {one.row.request_id}, trace {one.row.trace_id}", "dim")

    # -- words --------------------------------------------------------------------------------

    def _columns(self) -> tuple[Column, ...]:
        return (
            Column("request", lambda one: words_of(one, self._backend(one.row)), 30, 90, "strong"),
            Column("", lambda one: "" if one.is_backend else sign_of(one.row.status), 1, role=_look),
            Column(
                "stat", lambda one: "" if one.is_backend else str(one.row.status or "left"), 4, role=_look
            ),
            Column("ms", lambda one: milliseconds(one.took_ms), 6, 0, right=True),
            Column("when", str, 16, 50, "name", drawn=self._bar),
        )

    def _backend(self, row: Row) -> str:
        host = next((one for one in self.desk.hosts if one.name == row.name), None)
        if host is None:
            return ""
        return next((one.backend for one in host.routes if one.prefix == row.route), host.backend)

    def _bar(self, one: Branch, room: int) -> str:
        whole = max((other.began_ms + other.took_ms for other in self._branches), default=0)
        return lane(one.began_ms, one.took_ms, whole, room)


def _look(one: Branch) -> str:
    return "" if one.is_backend else role_of(one.row.status)


def _told(row: Row) -> list[Line]:
    return facts(
        [
            ("time", clock(row.at)),
            ("path", (row.path, "strong")),
            ("route", row.route),
            ("status", (str(row.status or "left before the answer"), role_of(row.status))),
            ("took", f"{milliseconds(row.took_ms)}, of it the backend {milliseconds(row.backend_ms)}"),
            ("sent", size(row.bytes_out)),
            ("person", row.person),
            ("provider", row.provider),
            ("decision", row.decision),
            ("from", row.address),
            ("session", row.session_id),
            ("request", row.request_id),
            ("trace", row.trace_id),
        ]
    )
