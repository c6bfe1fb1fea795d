"""The identity providers, and how they do."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from vestibule.admin_model import ProviderState
from vestibule.tui.columns import Column
from vestibule.tui.desk import Desk
from vestibule.tui.screens.page import Page
from vestibule.tui.text import ago, moment
from vestibule.tui.widgets.lines import Line, Lines, facts
from vestibule.tui.widgets.rows import Rows


def state_of(one: ProviderState) -> tuple[str, str]:
    """How it does, in a word, and how that looks."""
    if not one.enabled:
        return "off", "dim"
    if one.discovery == "failed":
        return "! failing", "bad"
    if one.last_error and (one.last_ok_at is None or (one.last_error_at or one.last_ok_at) > one.last_ok_at):
        return "! failing", "bad"
    if one.discovery == "unasked":
        return "unasked", "dim"
    return "ok", "ok"


class ProvidersScreen(Page):
    """All of them, and of the one under the cursor everything."""

    BINDINGS: ClassVar[list[BindingType]] = []
    DEFAULT_CSS = """
    ProvidersScreen #facts { height: 45%; min-height: 9; }
    """
    name_of = "providers"
    every_s = 5.0

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.rows = Rows(
            self._columns(), empty="asking …", key=lambda one: one.id, id="providers", opens=False
        )
        self.facts = Lines(id="facts")

    def body(self) -> ComposeResult:
        """The list; below it, one."""
        self.rows.add_class("pane")
        self.rows.border_title = "providers"
        yield self.rows
        self.facts.add_class("pane", "text")
        yield self.facts

    def on_mount(self) -> None:
        """Ready to move in it."""
        self.rows.focus()

    async def load(self) -> None:
        """Ask."""
        found = await self.ask(self.desk.gateway.admin.provider_states)
        self.rows.empty = "no providers"
        self.rows.show(found)
        self._fill()

    def on_rows_moved(self) -> None:
        """Of another."""
        self._fill()

    def _fill(self) -> None:
        one = self.rows.item
        if isinstance(one, ProviderState):
            self.facts.border_title = one.id
            self.facts.show(self._told(one))

    def _columns(self) -> tuple[Column, ...]:
        now = self.desk.now
        return (
            Column("provider", lambda one: one.id, 10, 30, "strong"),
            Column("state", lambda one: state_of(one)[0], 9, 0, lambda one: state_of(one)[1]),
            Column("type", lambda one: one.type, 8, 14, "dim"),
            Column(
                "discovery",
                lambda one: one.discovery,
                9,
                0,
                lambda one: "bad" if one.discovery == "failed" else "",
            ),
            Column("keys", lambda one: str(one.keys or "-"), 4, 0, right=True),
            Column("last good", lambda one: ago(one.last_ok_at, now()), 10, 12, rank=1),
            Column("last error", lambda one: one.last_error or "-", 10, 60, "dim", rank=2),
            Column("from", lambda one: one.source, 8, 20, "dim", rank=3),
        )

    def _told(self, one: ProviderState) -> list[Line]:
        now = self.desk.now()
        failed = f"{one.last_error} ({ago(one.last_error_at, now)})" if one.last_error else ""
        return facts(
            [
                ("state", state_of(one)),
                ("issuer", one.issuer),
                (
                    "discovery",
                    f"{one.discovery}, {moment(one.discovery_at)}" if one.discovery_at else one.discovery,
                ),
                ("keys", f"{one.keys}, {moment(one.keys_at)}" if one.keys else "none known"),
                ("last good", ago(one.last_ok_at, now)),
                ("last error", (failed, "bad")),
                ("hosts", ", ".join(one.hosts) or "none: nobody signs in by it"),
                ("redirect", ", ".join(one.redirect_urls)),
                ("from", one.source),
            ]
        )
