"""The console's program: it paints first and asks then, and makes a few frames a second of what the gateway streams."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType

from vestibule.errors import VestibuleError
from vestibule.tui.desk import Desk
from vestibule.tui.gateway import Gateway, told
from vestibule.tui.screens.main import MainScreen
from vestibule.tui.screens.page import Go, Page
from vestibule.tui.theme import PLAIN, THEMES, first

FRAMES_PER_S: Final = 15
"""How often traffic is drawn at most; a person reads no faster."""
OVERVIEW_S: Final = 2.0

#: screen → its module and class; imported when it is first wanted, so that the first is there at once
SCREENS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "about": ("vestibule.tui.screens.help", "AboutScreen"),
        "audit": ("vestibule.tui.screens.audit", "AuditScreen"),
        "held": ("vestibule.tui.screens.held", "HeldScreen"),
        "help": ("vestibule.tui.screens.help", "HelpScreen"),
        "member": ("vestibule.tui.screens.member", "MemberScreen"),
        "providers": ("vestibule.tui.screens.providers", "ProvidersScreen"),
        "reload": ("vestibule.tui.screens.reload", "ReloadScreen"),
        "session": ("vestibule.tui.screens.session", "SessionScreen"),
        "sessions": ("vestibule.tui.screens.sessions", "SessionsScreen"),
        "state": ("vestibule.tui.screens.state", "StateScreen"),
        "trace": ("vestibule.tui.screens.trace", "TraceScreen"),
        "why": ("vestibule.tui.screens.why", "WhyScreen"),
    }
)


class Console(App[str]):
    """The console of one gateway; what it returns is why it could not begin, None where it could."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "vestibule"
    CSS = """
    #body { height: 1fr; }
    .pane { border: round $panel; border-title-color: $secondary; border-subtitle-color: $secondary; }
    .pane:focus, .pane:focus-within { border: heavy $primary; border-title-color: $primary;
      border-title-style: bold; border-subtitle-color: $primary; }
    .text { padding: 0 1; }
    Input { background: $panel; border: none; height: 1; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "quit", show=False, priority=True),
    ]

    def __init__(self, gateway: Gateway, now: Callable[[], datetime], environ: Mapping[str, str]) -> None:
        """`environ`: what is said there of colours counts."""
        theme = first(environ)
        super().__init__(ansi_color=theme == PLAIN)
        self.desk = Desk(gateway, now)
        self._looks = [theme, *(one.name for one in THEMES if one.name != theme)]
        for one in THEMES:
            self.register_theme(one)
        self.theme = theme

    def on_mount(self) -> None:
        """The first screen; nothing is asked before it is painted."""
        self.push_screen(MainScreen(self.desk))
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.desk.feed.start()
        self.set_interval(1 / FRAMES_PER_S, self._frame)
        self.set_interval(1, self._second)
        self.run_worker(self._keep_looking(), group="overview")

    def on_unmount(self) -> None:
        """Listen no more."""
        self.desk.feed.stop()

    # -- what comes by itself -----------------------------------------------------------------

    def _frame(self) -> None:
        batch = self.desk.feed.take()
        if batch:
            self.desk.ring.add(batch)
            page = self._page
            if page is not None:
                page.tick()

    def _second(self) -> None:
        page = self._page
        if page is not None:
            page.look()

    @property
    def _page(self) -> Page | None:
        """What is seen; None: a window is above it, or the console ends."""
        page = self.screen_stack[-1] if self.screen_stack else None
        return page if isinstance(page, Page) else None

    async def _keep_looking(self) -> None:
        while True:
            try:
                self.desk.overview = await self.desk.gateway.ask(self.desk.gateway.admin.overview)
                self.desk.overview_at = self.desk.now()
            except VestibuleError as error:
                if self.desk.overview_at is None and error.status in {401, 503}:
                    self.exit(told(error), return_code=1)
                    return
            self._second()
            await asyncio.sleep(OVERVIEW_S)

    # -- going about --------------------------------------------------------------------------

    def on_go(self, event: Go) -> None:
        """Another screen."""
        self.push_screen(self.made(event.name, *event.given))

    def made(self, name: str, *given: Any) -> Any:
        """A new screen of this name."""
        module, kind = SCREENS[name]
        return getattr(importlib.import_module(module), kind)(self.desk, *given)

    def on_next_theme(self) -> None:
        """Other colours."""
        self._looks.append(self._looks.pop(0))
        self.theme = self._looks[0]
        self.ansi_color = self.theme == PLAIN
        self.screen.refresh(repaint=True, layout=True)
