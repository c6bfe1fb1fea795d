"""One session: whose, by what, with which credentials; their tokens masked until somebody says why."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from vestibule.admin_model import CredentialState, Revealed, Row
from vestibule.errors import VestibuleError
from vestibule.tui.columns import Column
from vestibule.tui.desk import Desk
from vestibule.tui.gateway import Held, told
from vestibule.tui.screens.ask import SHOWN_S, Reason, Shown
from vestibule.tui.screens.live import LivePage
from vestibule.tui.screens.sessions import device_of, revoke, revoke_all
from vestibule.tui.text import ago, moment, span, until
from vestibule.tui.widgets.lines import Line, Lines, facts
from vestibule.tui.widgets.rows import Rows
from vestibule.tui.widgets.traffic import TrafficPane


class SessionScreen(LivePage):
    """One session."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reveal", "reveal"),
        Binding("c", "curl", "copy curl"),
        Binding("x", "revoke", "revoke"),
        Binding("X", "revoke_all", "all of theirs"),
        Binding("o", "theirs", "their sessions"),
        Binding("u", "trail", "audit"),
        Binding("left", "app.focus_previous", "pane before", show=False),
        Binding("right", "app.focus_next", "next pane", show=False),
    ]
    DEFAULT_CSS = """
    SessionScreen #above { height: 55%; min-height: 9; }
    SessionScreen #facts { width: 42%; }
    """
    every_s = 5.0

    def __init__(self, desk: Desk, session_id: str) -> None:
        self._session_id = session_id
        self.held: Held | None = None
        super().__init__(desk)
        self.facts = Lines([(("asking …", "dim"),)], id="facts", can_focus=True)
        self.credentials = Rows(
            self._columns(), empty="no credentials", key=lambda one: (one.owner, one.client), id="credentials"
        )

    def title_of(self) -> str:
        """Whose."""
        return f"session of {self.held.person or self.held.session.user_id}" if self.held else "session"

    def traffic_pane(self) -> TrafficPane:
        """Its requests."""
        session_id = self._session_id

        def mine(row: Row) -> bool:
            return row.session_id == session_id

        return TrafficPane(self.desk.ring, only=mine, what="its traffic")

    def body(self) -> ComposeResult:
        """What it is, its credentials, its traffic."""
        with Horizontal(id="above"):
            self.facts.add_class("pane", "text")
            self.facts.border_title = "session"
            yield self.facts
            self.credentials.add_class("pane")
            self.credentials.border_title = "credentials"
            yield self.credentials
        yield self.traffic

    def on_mount(self) -> None:
        """Begin at the credentials."""
        self.credentials.focus()

    async def load(self) -> None:
        """The session first; what it holds may be for other tokens alone."""
        self.held = await self.ask(lambda: self.desk.gateway.session(self._session_id))
        self.facts.show(self._told(self.held))
        try:
            held = await self.ask(lambda: self.desk.gateway.admin.credentials(self._session_id))
        except VestibuleError as error:
            self.credentials.empty = told(error)
            self.credentials.show(())
        else:
            self.credentials.empty = "no credentials"
            self.credentials.show(held)

    # -- secrets ------------------------------------------------------------------------------

    @property
    def _credential(self) -> CredentialState | None:
        item = self.credentials.item
        return item if isinstance(item, CredentialState) else None

    def action_reveal(self) -> None:
        """Ask why, then show the tokens for a short while."""
        credential = self._credential
        if credential is None:
            self.say("no credential to reveal", "warn")
            return
        client = credential.client

        async def reveal(reason: str) -> None:
            found = await self.ask(lambda: self.desk.gateway.admin.reveal(self._session_id, client, reason))
            self.app.push_screen(Shown(f"tokens of {client}", _tokens(found), for_s=SHOWN_S))

        def said(reason: str | None) -> None:
            if reason:
                self.do(reveal(reason))

        self.app.push_screen(Reason(f"the tokens of {client}"), said)

    def action_curl(self) -> None:
        """A call through the calling interface, for a shell: to the clipboard, and seen. No secret is in it."""
        credential = self._credential
        if credential is None or not credential.curls:
            self.say("no calling interface takes this credential", "warn")
            return
        self.app.copy_to_clipboard("\n".join(credential.curls))
        lines: list[Line] = []
        for curl in credential.curls:
            lines += [((curl, "strong"),), ()]
        lines += [
            (("It is in the clipboard, where the terminal allows that.", "dim"),),
            (
                (
                    "PROXY_SESSION is the handle that the app gets with a request; no secret stands here.",
                    "dim",
                ),
            ),
        ]
        self.app.push_screen(Shown("curl", lines))

    # -- ending, and going on -----------------------------------------------------------------

    def action_revoke(self) -> None:
        """End it."""
        if self.held is not None:
            revoke(self, self.held, leaves=True)

    def action_revoke_all(self) -> None:
        """End all of the person."""
        if self.held is not None:
            revoke_all(self, self.held, leaves=True)

    def action_theirs(self) -> None:
        """All sessions of the person."""
        if self.held is not None and self.held.session.user_id:
            self.go("sessions", "", self.held.session.user_id, self.held.person)

    def action_trail(self) -> None:
        """What happened in it."""
        self.go("audit", self._session_id)

    def on_rows_edge(self, event: Rows.Edge) -> None:
        """Over the edge is the other pane."""
        event.stop()
        if event.rows is self.credentials and event.way > 0:
            self.traffic.rows.focus()
        elif event.rows is self.traffic.rows and event.way < 0:
            self.credentials.focus()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """A request's tree; of a credential, all of it."""
        if event.rows is self.traffic.rows:
            self.open_request(event.item)
        else:
            self.app.push_screen(Shown(event.item.client, self._all(event.item)))

    # -- words --------------------------------------------------------------------------------

    def _columns(self) -> tuple[Column, ...]:
        now = self.desk.now
        return (
            Column("client", lambda one: one.client, 8, 20, "strong"),
            Column("token", lambda one: one.shown or "-", 6, 12, "dim"),
            Column("expires", lambda one: until(one.expires_at, now()), 14, 16, self._worry),
            Column("scopes", lambda one: " ".join(one.scopes) or "-", 8, 60),
            Column("type", lambda one: one.token_type, 6, 8, "dim", rank=2),
            Column("whose", lambda one: one.owner, 7, 8, "dim", rank=1),
        )

    def _worry(self, one: CredentialState) -> str:
        is_over = one.expires_at is not None and one.expires_at <= self.desk.now()
        return "bad" if is_over and not one.can_refresh else ""

    def _all(self, one: CredentialState) -> list[Line]:
        return facts(
            [
                ("client", (one.client, "strong")),
                ("type", one.token_type),
                (
                    "whose",
                    "the session's" if one.owner == "session" else "the person's, in all their sessions",
                ),
                ("scopes", " ".join(one.scopes) or "none told"),
                ("obtained", moment(one.obtained_at)),
                ("expires", until(one.expires_at, self.desk.now())),
                ("refreshed", "by itself" if one.can_refresh else "never: it ends, and they sign in again"),
                ("token", one.shown),
                ("called by", "; ".join(one.curls) or "no calling interface takes it"),
            ]
        )

    def _told(self, held: Held) -> list[Line]:
        session, now = held.session, self.desk.now()
        return facts(
            [
                ("person", (held.person or "-", "strong")),
                ("device", device_of(session.device.user_agent)),
                ("address", session.device.address),
                ("host", session.host),
                ("providers", ", ".join(session.providers)),
                ("since", moment(session.created_at)),
                ("seen", ago(session.seen_at, now)),
                (
                    "ends",
                    f"{until(session.expires_at, now)}, or {span(timedelta(seconds=session.idle_timeout))} unused",
                ),
                ("id", session.id),
                ("user", session.user_id),
                ("from", session.parent_id),
                ("made by", session.made_by),
                ("kept", ", ".join(session.attributes)),
            ]
        )


def _tokens(found: Revealed) -> list[Line]:
    lines: list[Line] = []
    for name, token in (
        ("access token", found.access_token),
        ("refresh token", found.refresh_token),
        ("ID token", found.id_token),
    ):
        if token is not None:
            lines += [((name, "head"),), ((token.reveal(), ""),), ()]
    return [*lines, (("Whoever has one of these is this person to that provider.", "warn"),)]
