"""The first screen: calling interfaces, hosts and edges side by side, and below them the traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from vestibule.admin_model import Counts
from vestibule.core.figure import milliseconds
from vestibule.tui.columns import Column
from vestibule.tui.desk import Desk
from vestibule.tui.screens.live import LivePage
from vestibule.tui.text import count, rate
from vestibule.tui.widgets.rows import Rows

_NAME: Final = 22
_SHARES: Final = (1.0, 1.4, 1.0)
_SHARE_LEAST: Final = 0.4
_FRAME_LINES: Final = 3
"""Border and head of a pane."""
_FIRST_LINES: Final = 6
_TOP_LEAST: Final = 4
_TRAFFIC_LEAST: Final = 5


def _figures(item: Any) -> Counts:
    counts: Counts = item.counts
    return counts


def _columns(head: str, name: str, items: Sequence[Any] = ()) -> tuple[Column, ...]:
    """A name, which should be seen whole, and how busy it is."""
    longest = max((len(getattr(item, name)) for item in items), default=0)
    return (
        Column(head, lambda item: getattr(item, name), max(min(longest, _NAME), 8), 60, "strong"),
        Column("rate", lambda item: rate(_figures(item).requests_per_s), 5, 6, right=True),
        Column("p95", lambda item: milliseconds(_figures(item).p95_ms), 5, 6, "dim", right=True, rank=2),
        Column("all", lambda item: count(_figures(item).requests), 6, 9, "dim", right=True, rank=3),
        Column("denied", lambda item: count(_figures(item).denials or 0), 6, 0, _denied, right=True, rank=4),
        Column("err", lambda item: count(_figures(item).errors), 4, 6, _failing, right=True, rank=1),
    )


def _failing(item: Any) -> str:
    return "bad" if _figures(item).errors else "dim"


def _denied(item: Any) -> str:
    return "warn" if _figures(item).denials else "dim"


class MainScreen(LivePage):
    """What the gateway does now."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "pane(-1)", "pane to the left", show=False),
        Binding("right", "pane(1)", "pane to the right", show=False),
        Binding("ctrl+up,plus", "taller(1)", "traffic taller", show=False),
        Binding("ctrl+down,minus", "taller(-1)", "traffic shorter", show=False),
        Binding("ctrl+right,greater_than_sign", "wider(0.2)", "pane wider", show=False),
        Binding("ctrl+left,less_than_sign", "wider(-0.2)", "pane narrower", show=False),
        Binding("o", "sessions", "sessions"),
    ]
    DEFAULT_CSS = """
    MainScreen #above { height: 30%; min-height: 4; }
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._shares = list(_SHARES)
        self._above_lines = 0
        self.calls = Rows(_columns("calling", "id"), empty="none", key=lambda one: one.id, id="calls")
        self.hosts = Rows(_columns("host", "name"), empty="none", key=lambda one: one.name, id="hosts")
        self.edges = Rows(
            _columns("edge", "address"), empty="none", key=lambda one: (one.address, one.contract), id="edges"
        )

    def title_of(self) -> str:
        """Which gateway."""
        return self.desk.gateway.where.removeprefix("unix:")

    def body(self) -> ComposeResult:
        """Three panes, and the traffic."""
        with Horizontal(id="above"):
            for rows, title in ((self.calls, "calling"), (self.hosts, "hosts"), (self.edges, "edges")):
                rows.add_class("pane")
                rows.border_title = title
                yield rows
        yield self.traffic

    def on_mount(self) -> None:
        """Begin at the traffic."""
        self._share()
        self.traffic.rows.focus()

    async def load(self) -> None:
        """How busy each is."""
        admin, desk = self.desk.gateway.admin, self.desk
        desk.hosts = await self.ask(admin.hosts)
        self._fill(self.hosts, "host", "name", desk.hosts)
        desk.calls = await self.ask(admin.calls)
        self._fill(self.calls, "calling", "id", desk.calls)
        desk.edges = await self.ask(admin.edges)
        self._fill(self.edges, "edge", "address", desk.edges)
        self._settle()

    def _fill(self, rows: Rows, head: str, name: str, items: Sequence[Any]) -> None:
        rows.use(_columns(head, name, items))
        rows.show(items)
        rows.border_subtitle = rows.place

    def _settle(self) -> None:
        """No more lines than the panes have something for, unless somebody said how many."""
        if not self._above_lines:
            most = self.query_one("#body").size.height * 3 // 10
            wanted = max(len(rows.items) for rows in self._panes[:3]) + _FRAME_LINES
            self.query_one("#above").styles.height = max(min(wanted, most), _FIRST_LINES)

    # -- panes --------------------------------------------------------------------------------

    @property
    def _panes(self) -> list[Rows]:
        return [self.calls, self.hosts, self.edges, self.traffic.rows]

    @property
    def _here(self) -> int:
        return next((number for number, rows in enumerate(self._panes) if rows.has_focus), 3)

    def action_pane(self, by: int) -> None:
        """The pane beside this one."""
        panes = self._panes
        panes[(self._here + by) % len(panes)].focus()

    def on_rows_edge(self, event: Rows.Edge) -> None:
        """Down out of a pane is the traffic; up out of the traffic, the hosts."""
        if event.rows is self.traffic.rows:
            if event.way < 0:
                self.hosts.focus()
        elif event.way > 0:
            self.traffic.rows.focus()

    def action_taller(self, by: int) -> None:
        """More lines for the traffic."""
        above = self.query_one("#above")
        most = self.query_one("#body").size.height - _TRAFFIC_LEAST
        self._above_lines = max(min((self._above_lines or above.size.height) - by, most), _TOP_LEAST)
        above.styles.height = self._above_lines

    def action_wider(self, by: float) -> None:
        """More columns for this pane."""
        if self._here < len(self._shares):
            self._shares[self._here] = max(self._shares[self._here] + by, _SHARE_LEAST)
            self._share()

    def _share(self) -> None:
        for rows, share in zip(self._panes[:3], self._shares, strict=True):
            rows.styles.width = f"{share:.1f}fr"

    # -- opening ------------------------------------------------------------------------------

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """A request's tree; of the others, what they are."""
        if event.rows is self.traffic.rows:
            self.open_request(event.item)
            return
        kind = {"calls": "call", "hosts": "host", "edges": "edge"}[str(event.rows.id)]
        self.go("member", kind, event.item)

    def action_sessions(self) -> None:
        """Of the host under the cursor; of a request, of its host."""
        panes = self._panes
        if self._here == 3:
            row = self.traffic.rows.item
            name = row.name if row is not None and row.kind == "host" else ""
        else:
            name = self.hosts.item.name if self.hosts.item is not None else ""
        if not name and panes[1].item is not None:
            name = panes[1].item.name
        if name:
            self.go("sessions", name)
        else:
            self.say("no host to show the sessions of", "warn")
