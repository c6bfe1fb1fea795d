"""A host, calling interface or edge: what it is, its routes or operations, and its traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from vestibule.admin_model import CallState, Counts, EdgeState, HostState, Row
from vestibule.core.figure import milliseconds
from vestibule.tui.columns import Column
from vestibule.tui.desk import Desk
from vestibule.tui.screens.live import LivePage
from vestibule.tui.text import ago, count, rate
from vestibule.tui.widgets.lines import Line, Lines, facts
from vestibule.tui.widgets.rows import Rows
from vestibule.tui.widgets.traffic import TrafficPane

_ROUTES: Final = (
    Column("route", lambda one: one.prefix, 8, 30, "strong"),
    Column("methods", lambda one: " ".join(one.methods) or "all", 7, 12, "dim", rank=2),
    Column("allow", lambda one: ", ".join(one.allow) or "nobody", 10, 50),
    Column("deny", lambda one: ", ".join(one.deny) or "-", 4, 30, "dim", rank=1),
    Column("backend", lambda one: one.backend, 8, 24, "dim", rank=3),
    Column("where", lambda one: one.place, 8, 24, "dim", rank=4),
)
_OPERATIONS: Final = (
    Column("operation", lambda one: one.id, 9, 24, "strong"),
    Column("method", lambda one: one.method, 6, 8),
    Column("path", lambda one: one.path, 10, 60, "dim"),
)


class MemberScreen(LivePage):
    """One of those that traffic comes to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sessions", "sessions"),
        Binding("left", "app.focus_previous", "pane before", show=False),
        Binding("right", "app.focus_next", "next pane", show=False),
    ]
    DEFAULT_CSS = """
    MemberScreen #above { height: 40%; min-height: 7; }
    MemberScreen #facts { width: 45%; }
    """

    def __init__(self, desk: Desk, kind: str, member: Any) -> None:
        self._kind = kind
        self._which = _name(member)
        self._member = member
        super().__init__(desk)
        self.facts = Lines(id="facts", can_focus=True)
        self.parts = Rows(
            _OPERATIONS if kind == "call" else _ROUTES, empty="none that is named", id="parts", opens=False
        )

    def title_of(self) -> str:
        """Its kind and name."""
        return f"{self._kind} {self._which}"

    def traffic_pane(self) -> TrafficPane:
        """Its own requests."""
        kind, name = self._kind, self._which

        def mine(row: Row) -> bool:
            # An edge asks about hosts: it is told beside them, after its contract.
            whose = row.edge.rpartition(" ")[2] if kind == "edge" else row.name
            return row.kind == kind and whose == name

        return TrafficPane(self.desk.ring, only=mine, has_host=kind == "edge", what=f"traffic of {name}")

    def body(self) -> ComposeResult:
        """What it is; its parts; its traffic."""
        with Horizontal(id="above"):
            self.facts.add_class("pane", "text")
            self.facts.border_title = self._kind
            yield self.facts
            if self._kind != "edge":
                self.parts.add_class("pane")
                self.parts.border_title = "operations" if self._kind == "call" else "routes"
                yield self.parts
        yield self.traffic

    def on_mount(self) -> None:
        """Show what is known already."""
        self._fill()
        self.traffic.rows.focus()

    async def load(self) -> None:
        """As it is now."""
        found = await self.ask(_ASK[self._kind](self))
        self._member = next((one for one in found if _name(one) == self._which), self._member)
        self._fill()

    def _fill(self) -> None:
        self.facts.show(_told(self._member, self))
        if self._kind != "edge":
            member = self._member
            self.parts.show(member.operations if isinstance(member, CallState) else member.routes)

    def action_sessions(self) -> None:
        """Those of the host."""
        if self._kind == "host":
            self.go("sessions", self._which)
        elif isinstance(self._member, CallState) and self._member.hosts:
            self.go("sessions", self._member.hosts[0])
        else:
            self.say("sessions are a host's", "warn")

    def on_rows_edge(self, event: Rows.Edge) -> None:
        """Over the edge is the other pane."""
        event.stop()
        if event.rows is self.parts and event.way > 0:
            self.traffic.rows.focus()
        elif event.rows is self.traffic.rows and event.way < 0:
            (self.facts if self._kind == "edge" else self.parts).focus()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """A request's tree."""
        if event.rows is self.traffic.rows:
            self.open_request(event.item)


_ASK: Final[Mapping[str, Callable[[MemberScreen], Callable[[], Any]]]] = MappingProxyType(
    {
        "host": lambda screen: screen.desk.gateway.admin.hosts,
        "call": lambda screen: screen.desk.gateway.admin.calls,
        "edge": lambda screen: screen.desk.gateway.admin.edges,
    }
)


def _name(member: Any) -> str:
    if isinstance(member, EdgeState):
        return member.address
    return str(member.name if isinstance(member, HostState) else member.id)


def _told(member: Any, screen: MemberScreen) -> list[Line]:
    """What it is, and how it does."""
    pairs: list[tuple[str, Any]] = []
    if isinstance(member, HostState):
        pairs = [
            ("name", (f"{member.name}  {member.label}".strip(), "strong")),
            ("backend", member.backend),
            ("sign in", ", ".join(member.sign_in) or "nobody signs in here"),
            ("address", ", ".join(member.urls)),
            ("where", member.place),
        ]
    elif isinstance(member, CallState):
        pairs = [
            ("name", (f"{member.id}  {member.name}".strip(), "strong")),
            ("listens", member.listen),
            ("calls", member.endpoint),
            ("puts in", ", ".join(member.credentials) or "nothing"),
            ("for", ", ".join(member.hosts)),
            ("others", "only named operations" if member.only_operations else "any operation"),
            ("where", member.place),
        ]
    elif isinstance(member, EdgeState):
        pairs = [("address", (member.address, "strong")), ("asks by", member.contract)]
    return facts([pairs[0], ("requests", _figures(member.counts, screen)), *pairs[1:]])


def _figures(counts: Counts, screen: MemberScreen) -> str:
    """How busy it is, in a sentence."""
    last = ago(counts.last_at, screen.desk.now())
    return (
        f"{rate(counts.requests_per_s)}, {count(counts.requests)} in all, {count(counts.denials)} refused, "
        f"{count(counts.errors)} failed; p95 {milliseconds(counts.p95_ms)}; last {last}"
    )
