"""Who holds what: tokens of the admin API, app tokens of people, keys of machines."""

from __future__ import annotations

from itertools import islice
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from vestibule.admin_client import Held
from vestibule.tui.columns import Column
from vestibule.tui.desk import Desk
from vestibule.tui.screens.ask import Confirm
from vestibule.tui.screens.page import Page
from vestibule.tui.text import ago, count, until
from vestibule.tui.widgets.rows import Rows

SHOWN: Final = 2000
"""How many are asked for at most."""


class HeldScreen(Page):
    """All of them, the oldest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "revoke", "revoke"),
        Binding("r", "reload", "ask again"),
    ]
    every_s = 30.0
    name_of = "who holds what"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.rows = Rows(
            self._columns(), empty="asking …", key=lambda one: f"{one.kind} {one.id}", id="held", opens=False
        )

    def body(self) -> ComposeResult:
        """The list."""
        self.rows.add_class("pane")
        self.rows.border_title = "tokens and keys"
        yield self.rows

    def on_mount(self) -> None:
        """Ready to move in it."""
        self.rows.focus()

    async def load(self) -> None:
        """Ask."""
        admin = self.desk.gateway.admin
        found = await self.ask(lambda: list(islice(admin.held(), SHOWN)))
        self.rows.empty = "nobody holds any"
        self.rows.show(found)
        self.rows.border_subtitle = self.rows.place or count(len(found))

    def action_reload(self) -> None:
        """Ask again, now."""
        self.do(self.load())

    def action_revoke(self) -> None:
        """End the one under the cursor, after a question."""
        one = self.rows.item
        if not isinstance(one, Held):
            return
        what = f"{_KINDS[one.kind]} {one.name or one.id} of {one.holder}"

        async def end() -> None:
            await self.ask(lambda: self.desk.gateway.admin.revoke_held(one))
            self.say(f"{what} is revoked", "ok")
            await self.reload()

        def answered(yes: bool | None) -> None:  # noqa: FBT001 - Textual's
            if yes:
                self.do(end())

        self.app.push_screen(
            Confirm(f"Revoke {what}?", "Whatever uses it is refused at once, everywhere."), answered
        )

    def _columns(self) -> tuple[Column, ...]:
        now = self.desk.now
        return (
            Column("kind", lambda one: one.kind, 7),
            Column("holder", lambda one: one.holder, 18, 40, "strong"),
            Column("name", lambda one: one.name or "-", 8, 30),
            Column("used", lambda one: ago(one.seen_at, now()), 10, 12),
            Column(
                "ends", lambda one: until(one.expires_at, now()) if one.expires_at else "never", 8, 10, "dim"
            ),
            Column("made", lambda one: ago(one.created_at, now()), 10, 12, "dim", rank=1),
            Column("id", lambda one: one.id, 22, 0, "dim", rank=2),
        )


_KINDS: Final = {"admin": "admin token", "app": "app token", "machine": "key"}
