"""How the program does: figures of the last minutes, what to see to, workers, stores, listeners, certificates."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from vestibule.admin_model import CertificateState, Overview, WorkerState
from vestibule.core.figure import milliseconds, size
from vestibule.errors import VestibuleError
from vestibule.tui.desk import Desk
from vestibule.tui.gateway import told
from vestibule.tui.screens.page import Page
from vestibule.tui.text import ago, count, fit, moment, span, until
from vestibule.tui.widgets.lines import Line, Lines, Piece
from vestibule.tui.widgets.plot import Plots

SILENT: Final = timedelta(seconds=5)
"""Who hasn't been heard for longer may hang."""
NEW: Final = timedelta(hours=1)
"""A process that is younger was perhaps started anew."""
SOON: Final = timedelta(days=14)
"""A certificate that ends within this should have been renewed."""


class StateScreen(Page):
    """All of it at a glance."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "show('reload')", "reload")]
    DEFAULT_CSS = """
    StateScreen #plots { height: 10; padding: 0 1; }
    StateScreen .half { width: 1fr; }
    """
    name_of = "state"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.plots = Plots(id="plots")
        self.running = Lines(id="running", can_focus=True)
        self.kept = Lines(id="kept", can_focus=True)
        self._certificates: tuple[CertificateState, ...] = ()
        self._refused = ""

    def body(self) -> ComposeResult:
        """Plots; below them what runs, and what is kept."""
        self.plots.add_class("pane")
        self.plots.border_title = "the last minutes"
        yield self.plots
        with Horizontal():
            for lines, title in ((self.running, "running"), (self.kept, "kept and shown")):
                lines.add_class("pane", "text", "half")
                lines.border_title = title
                yield lines

    def on_mount(self) -> None:
        """Show what is known already."""
        self.running.focus()
        if self.desk.overview is not None:
            self._fill(self.desk.overview)

    async def load(self) -> None:
        """As it is now."""
        overview = await self.ask(self.desk.gateway.admin.overview)
        self._fill(overview)
        try:
            self._certificates = await self.ask(self.desk.gateway.admin.certificates)
        except VestibuleError as error:
            self._refused = told(error)
        self._fill(overview)

    def _fill(self, seen: Overview) -> None:
        self.plots.show(seen.series)
        self.running.show([*_concerns(seen), *_workers(seen), *_listeners(seen)])
        self.kept.show([*_stores(seen), *self._certificate_lines(seen)])

    def _certificate_lines(self, seen: Overview) -> list[Line]:
        lines: list[Line] = [(), (("certificates", "head"),)]
        for one in sorted(self._certificates, key=_urgency):
            lines += _certificate(one, seen.now)
        if not self._certificates:
            lines.append(((f"  {self._refused or 'none of its own'}", "dim"),))
        return lines


def _urgency(one: CertificateState) -> int:
    """What fails first, then what isn't there yet."""
    return 0 if one.state == "failing" else 1 if one.expires_at is None else 2


def _certificate(one: CertificateState, now: datetime) -> list[Line]:
    """Its names, until when it is good, and how it is with getting it or the next."""
    left = None if one.expires_at is None else one.expires_at - now
    role = "" if left is None else "bad" if left <= timedelta(0) else "warn" if left < SOON else ""
    sign = "bad" if one.state == "failing" else role or ("warn" if left is None else "")
    state: Piece = ("", "") if one.state == "good" else (f"  {one.state}", sign)
    lines: list[Line] = [(("! " if sign else "  ", sign), (", ".join(one.names), "strong"), state)]
    if left is None:
        lines.append((("    ", ""), ("none yet", "warn"), (f"  {one.source}", "dim")))
    else:
        ends = f"{until(one.expires_at, now)}, {moment(one.expires_at)}"
        lines.append((("    ", ""), (ends, role), (f"  {one.issuer}", "dim")))
    if one.why:
        lines.append((("    ", ""), (one.why, "")))
    if one.advice:
        lines.append((("    → ", "key"), (one.advice, "")))
    if one.next_at is not None:
        lines.append((("    ", ""), (f"next try {until(one.next_at, now)}", "dim")))
    if one.detail:
        lines.append((("    ", ""), (one.detail, "dim")))
    return lines


def _concerns(seen: Overview) -> list[Line]:
    if not seen.concerns:
        return [(("nothing to see to", "ok"),), ()]
    lines: list[Line] = [(("to see to", "head"),)]
    for one in seen.concerns:
        lines.append((("! ", "warn"), (one.what, "warn")))
        lines.append((("  ", ""), (one.detail, "")))
        if one.advice:
            lines.append((("  → ", "key"), (one.advice, "")))
    return [*lines, ()]


def _workers(seen: Overview) -> list[Line]:
    version = f"   version {seen.version}, since {span(seen.now - seen.started_at)}"
    lines: list[Line] = [
        (("processes", "head"), (version, "dim")),
        ((f"  {'':<8} {'pid':>6} {'requests':>8} {'memory':>7}", "faint"),),
    ]
    for one in seen.workers:
        lines.append(_worker(one, seen))
        if seen.now - one.started_at < NEW and one.started_at - seen.started_at > timedelta(seconds=10):
            lines.append((("    ", ""), (f"started {ago(one.started_at, seen.now)}", "dim")))
    if seen.log_dropped:
        lines.append((("! ", "warn"), (f"{count(seen.log_dropped)} lines of the log were dropped", "warn")))
    return lines


def _worker(one: WorkerState, seen: Overview) -> Line:
    silent = seen.now - one.heard_at
    heard: Piece = (f"  ! silent {span(silent)}", "bad") if silent > SILENT else ("  ok", "ok")
    requests = fit(count(one.requests), 8, right=True)
    memory = fit(size(one.memory_bytes), 7, right=True)
    return ((f"  {fit(one.name, 8)} ", "strong"), (f"{one.pid:>6} {requests} {memory}", "dim"), heard)


def _listeners(seen: Overview) -> list[Line]:
    lines: list[Line] = [(), (("listens", "head"),)]
    return lines + [
        ((f"  {fit(one.purpose, 8)} ", "dim"), (one.address, ""), (f"  {one.name}", "name"))
        for one in seen.listeners
    ]


def _stores(seen: Overview) -> list[Line]:
    lines: list[Line] = [(("stores", "head"),)]
    for one in seen.stores:
        took = milliseconds(one.took_ms) if one.took_ms is not None else ""
        state: Piece = ("ok ", "ok") if one.ok else ("! away ", "bad")
        lines.append(((f"  {fit(one.name, 9)} ", "strong"), state, (f"{one.kind} {took}", "dim")))
        lines.append((("    ", ""), (one.where, "dim")))
        if one.detail:
            lines.append((("    ", ""), (one.detail, "bad" if not one.ok else "dim")))
    people = f"{count(seen.users)} people, {count(seen.sessions)} sessions"
    return [*lines, ((f"  {people}", ""),)]
