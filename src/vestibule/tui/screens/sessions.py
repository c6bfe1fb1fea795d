"""The sessions that are good at a host, or those of one person."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from vestibule.core.device import family_of
from vestibule.tui.columns import Column
from vestibule.tui.desk import Desk
from vestibule.tui.gateway import Held
from vestibule.tui.screens.ask import Confirm
from vestibule.tui.screens.page import Page
from vestibule.tui.text import ago, count, until
from vestibule.tui.widgets.rows import Rows


def device_of(user_agent: str) -> str:
    """`Firefox on Linux`; what no browser sends, as it came."""
    family = family_of(user_agent)
    return family.words if family.browser else user_agent or "-"


class SessionsScreen(Page):
    """Who is signed in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "revoke", "revoke"),
        Binding("X", "revoke_all", "all of theirs"),
        Binding("r", "reload", "ask again"),
    ]
    every_s = 10.0

    def __init__(self, desk: Desk, host: str, user_id: str = "", person: str = "") -> None:
        """`user_id`: this person's alone, wherever they are good."""
        super().__init__(desk)
        self._host = host
        self._user_id = user_id
        self._person = person
        self.rows = Rows(self._columns(), empty="asking …", key=lambda held: held.session.id, id="sessions")

    def title_of(self) -> str:
        """Whose."""
        return f"sessions of {self._person or self._user_id or self._host}"

    def body(self) -> ComposeResult:
        """The list."""
        self.rows.add_class("pane")
        self.rows.border_title = self.title_of()
        yield self.rows

    def on_mount(self) -> None:
        """Ready to move in it."""
        self.rows.focus()

    async def load(self) -> None:
        """Ask."""
        gateway = self.desk.gateway
        if self._user_id:
            found = await self.ask(lambda: gateway.sessions_of(self._user_id))
        else:
            found = await self.ask(lambda: gateway.sessions_at(self._host))
        self.rows.empty = "nobody is signed in"
        self.rows.show(found)
        self.rows.border_subtitle = self.rows.place or count(len(found))

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """One session."""
        self.go("session", event.item.session.id)

    # -- revoking -----------------------------------------------------------------------------

    def action_reload(self) -> None:
        """Ask again, now."""
        self.do(self.load())

    def action_revoke(self) -> None:
        """End the one under the cursor."""
        if isinstance(self.rows.item, Held):
            revoke(self, self.rows.item)

    def action_revoke_all(self) -> None:
        """End all of the person under the cursor."""
        if isinstance(self.rows.item, Held):
            revoke_all(self, self.rows.item)

    def _columns(self) -> tuple[Column, ...]:
        now = self.desk.now
        return (
            Column(
                "person", lambda held: held.person or held.session.user_id or "nobody's", 18, 36, "strong"
            ),
            Column("device", lambda held: device_of(held.session.device.user_agent), 16, 30),
            Column("address", lambda held: held.session.device.address or "-", 13, 24, "dim"),
            Column("by", lambda held: ", ".join(held.session.providers) or "-", 6, 24),
            Column("seen", lambda held: ago(held.session.seen_at, now()), 10, 12),
            Column("ends", lambda held: until(held.session.expires_at, now()), 8, 10, "dim", rank=1),
            Column("host", lambda held: held.session.host, 10, 24, "dim", rank=3),
        )


def revoke(page: Page, held: Held, *, leaves: bool = False) -> None:
    """End a session, after a question. `leaves`: the page is about it, and goes with it."""
    session = held.session
    what = (
        f"{held.person or session.user_id or 'nobody in particular'}, {device_of(session.device.user_agent)}"
    )

    async def end() -> None:
        await page.ask(lambda: page.desk.gateway.sessions.end(session.id))
        page.say(f"the session of {what} has ended", "ok")
        if leaves:
            page.action_back()
        else:
            await page.reload()

    def answered(yes: bool | None) -> None:  # noqa: FBT001 - Textual's
        if yes:
            page.do(end())

    page.app.push_screen(
        Confirm(f"End the session of {what}?", "They are signed out there at once, everywhere it is good."),
        answered,
    )


def revoke_all(page: Page, held: Held, *, leaves: bool = False) -> None:
    """Sign a person out everywhere, after a question."""
    user_id, person = held.session.user_id, held.person or held.session.user_id
    if not user_id:
        page.say("it belongs to no account: x ends this session", "dim")
        return

    async def end() -> None:
        ended = await page.ask(lambda: page.desk.gateway.sessions.end_all(user_id))
        page.say(f"{person} is signed out: {ended} sessions have ended", "ok")
        if leaves:
            page.action_back()
        else:
            await page.reload()

    def answered(yes: bool | None) -> None:  # noqa: FBT001 - Textual's
        if yes:
            page.do(end())

    page.app.push_screen(
        Confirm(f"Sign {person} out everywhere?", "All their sessions end at once."), answered
    )
