"""Why a request was let in or not: each rule with what it saw."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType

from vestibule.admin_client import Condition, Explanation
from vestibule.admin_model import Row
from vestibule.tui.desk import Desk
from vestibule.tui.screens.page import Page
from vestibule.tui.widgets.lines import Line, Lines, facts

_VERDICTS: Final = {
    "holds": ("✓ holds", "ok"),
    "fails": ("x fails", "warn"),
    "unknown": ("? can't be told", "dim"),
}


class WhyScreen(Page):
    """The rules as they stand now, asked about one request."""

    BINDINGS: ClassVar[list[BindingType]] = []
    every_s = 0.0
    name_of = "why"

    def __init__(self, desk: Desk, row: Row) -> None:
        super().__init__(desk)
        self._row = row
        self.lines = Lines([(("asking …", "dim"),)], id="why", can_focus=True)

    def body(self) -> ComposeResult:
        """The explanation."""
        self.lines.add_class("pane", "text")
        self.lines.border_title = f"why {self._row.method} {self._row.name}{self._row.path}"
        yield self.lines

    def on_mount(self) -> None:
        """Ready to be read."""
        self.lines.focus()

    async def load(self) -> None:
        """Ask."""
        row, desk = self._row, self.desk
        if not desk.hosts:
            desk.hosts = await self.ask(desk.gateway.admin.hosts)
        url = desk.url_of(row.name, row.path)
        found = await self.ask(
            lambda: desk.gateway.admin.explain(url, who=row.user_id, method=row.method, address=row.address)
        )
        self.lines.show(_told(row, found))


def _told(row: Row, found: Explanation) -> list[Line]:
    is_in = found.status is None
    answer = ("let in", "ok") if is_in else (f"{found.status} {found.answer}", "warn")
    lines = facts(
        [
            ("then", f"{row.status or 'left'}, decided by {row.decision or 'nothing'}"),
            ("now", answer),
            ("because", (found.reason, "strong")),
            ("to be let in", (found.change, "key")),
            ("who", f"{found.who}, known by {found.known_by}"),
            ("host", _placed(found.host, found.host_place)),
            ("route", _placed(found.route, found.route_place)),
            ("path", found.path),
            ("from", found.address),
        ]
    )
    if found.conditions:
        lines += [(), (("rules", "head"),)]
        for one in found.conditions:
            lines += _rule(one)
    return lines


def _rule(one: Condition) -> list[Line]:
    mark = ("▸ ", "key") if one.decides else ("  ", "")
    lines: list[Line] = [
        (mark, (f"{one.list:<7} ", "dim"), (_placed(one.rule, one.place), "strong" if one.decides else "")),
        (("          ", ""), _VERDICTS[one.verdict], (f", saw {one.saw}", "dim")),
    ]
    if one.change and one.decides:
        lines.append((("          ", ""), (f"would be otherwise: {one.change}", "")))
    return lines


def _placed(what: str, place: str) -> str:
    return f"{what}  ({place})" if place else what
