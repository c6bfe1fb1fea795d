"""The trail: what happened, the latest first; and whether it is what was written."""

from __future__ import annotations

from itertools import islice
from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from vestibule.admin_client import Happened
from vestibule.tui.columns import Column
from vestibule.tui.desk import Desk
from vestibule.tui.screens.page import Page
from vestibule.tui.text import clock, count, moment
from vestibule.tui.widgets.lines import Line, Lines, facts
from vestibule.tui.widgets.rows import Rows

SHOWN: Final = 400
"""Rows that are fetched; the command has them all."""
_COLUMNS: Final = (
    Column("time", lambda one: clock(one.at), 8, role="dim"),
    Column("what", lambda one: one.action, 16, 28, "strong"),
    Column("", lambda one: "x" if one.outcome == "refused" else " ", 1, role="warn"),
    Column("by", lambda one: one.actor or "-", 10, 30),
    Column("of", lambda one: one.target or "-", 8, 30, "dim"),
    Column("host", lambda one: one.host or "-", 8, 24, "dim", rank=1),
    Column("from", lambda one: one.address or "-", 12, 24, "dim", rank=2),
)


class AuditScreen(Page):
    """What happened."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "verify", "verify the chain")]
    DEFAULT_CSS = """
    AuditScreen #facts { height: 40%; min-height: 8; }
    """
    every_s = 5.0

    def __init__(self, desk: Desk, session_id: str = "") -> None:
        """`session_id`: of this session alone."""
        super().__init__(desk)
        self._session_id = session_id
        self.rows = Rows(_COLUMNS, empty="asking …", key=lambda one: one.id, id="audit")
        self.facts = Lines(id="facts")

    def title_of(self) -> str:
        """Of what."""
        return f"audit of session {self._session_id}" if self._session_id else "audit"

    def body(self) -> ComposeResult:
        """The list; below it, one."""
        self.rows.add_class("pane")
        self.rows.border_title = self.title_of()
        yield self.rows
        self.facts.add_class("pane", "text")
        yield self.facts

    def on_mount(self) -> None:
        """Ready to move in it."""
        self.rows.focus()

    async def load(self) -> None:
        """Ask. Who reads further down isn't disturbed."""
        if self.rows.cursor:
            return
        admin, session_id = self.desk.gateway.admin, self._session_id
        found = await self.ask(lambda: list(islice(admin.audit(session_id=session_id), SHOWN)))
        self.rows.empty = "nothing has happened"
        self.rows.show(found)
        self.rows.border_subtitle = count(len(found))
        self._fill()

    def on_rows_moved(self) -> None:
        """Of another."""
        self._fill()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """The session that it was in."""
        if event.item.session_id and event.item.session_id != self._session_id:
            self.go("session", event.item.session_id)

    def action_verify(self) -> None:
        """Look through the whole chain."""
        self.say("looking through the trail …", "dim")
        self.do(self._verify())

    async def _verify(self) -> None:
        proof = await self.ask(self.desk.gateway.admin.verify_audit)
        if proof.ok:
            self.say(f"the trail is whole: {count(proof.rows)} rows, head {proof.head[:16]}…", "ok")
        else:
            self.say(f"! the trail is broken at {proof.broken_id}: {proof.detail}", "bad")

    def _fill(self) -> None:
        one = self.rows.item
        if isinstance(one, Happened):
            self.facts.border_title = one.action
            self.facts.show(_told(one))


def _told(one: Happened) -> list[Line]:
    detail = msgspec.json.encode(one.detail).decode() if one.detail else ""
    return facts(
        [
            ("when", moment(one.at)),
            ("outcome", (one.outcome, "warn" if one.outcome == "refused" else "ok")),
            ("by", one.actor),
            ("of", one.target),
            ("host", one.host),
            ("from", f"{one.address}  {one.device}".strip()),
            ("user", one.user_id),
            ("session", one.session_id),
            ("request", one.request_id),
            ("detail", detail),
        ]
    )
