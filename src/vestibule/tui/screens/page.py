"""What every screen has: the lines at its top and bottom, the keys that work everywhere, and asking the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen

from vestibule.errors import VestibuleError
from vestibule.tui.desk import Desk
from vestibule.tui.gateway import told
from vestibule.tui.widgets.bar import Alert, Keys, Notice, Top

EVERY_S: Final = 2.0
T = TypeVar("T")


class Go(Message):
    """Somebody wants another screen."""

    def __init__(self, name: str, given: tuple[object, ...]) -> None:
        super().__init__()
        self.name = name
        self.given = given


class NextTheme(Message):
    """Somebody wants other colours."""


class Page(Screen[None]):
    """One screen. `body` says what it shows, `load` fetches it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", key_display="esc"),
        Binding("p", "show('providers')", "providers"),
        Binding("s", "show('state')", "state"),
        Binding("u", "show('audit')", "audit"),
        Binding("h", "show('held')", "who holds which token or key", show=False),
        Binding("question_mark", "help", "all keys of this screen", key_display="?", show=False),
        Binding("a", "about", "about", show=False),
        Binding("t", "theme", "dark, light or plain", show=False),
        Binding("tab", "app.focus_next", "next pane", show=False),
        Binding("shift+tab", "app.focus_previous", "pane before", show=False),
        Binding("q", "app.quit", "quit", show=False),
    ]
    every_s: float = EVERY_S
    """How often it is loaded; 0: once."""
    name_of: str = ""
    """What it is, in the line at the top."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self._failed = ""

    # -- what a screen says of itself ---------------------------------------------------------

    def body(self) -> ComposeResult:
        """Its panes."""
        yield from ()

    async def load(self) -> None:
        """Ask the gateway for what it shows. Raises VestibuleError."""

    def tick(self) -> None:
        """Some time has gone by; traffic may have come."""

    def title_of(self) -> str:
        """What it is, and of what."""
        return self.name_of

    # -- how it is put together ---------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Bars around the body."""
        yield Top(self.desk, self.title_of)
        yield Alert(self.desk)
        with Vertical(id="body"):
            yield from self.body()
        yield Notice()
        yield Keys()

    def on_mount(self) -> None:
        """Begin to load. Textual calls the handlers of a class and of those it stands on, each once."""
        self.run_worker(self._keep_loading(), exclusive=True, group="load")

    async def _keep_loading(self) -> None:
        while True:
            if self.is_current or not self.every_s:
                await self.reload()
            if not self.every_s:
                return
            await asyncio.sleep(self.every_s)

    async def reload(self) -> None:
        """Load; what can't be had is told in a line."""
        try:
            await self.load()
        except VestibuleError as error:
            self._failed = told(error)
            # That it is away is told above already.
            if error.code != "unreachable":
                self.say(self._failed, "bad")
        else:
            if self._failed:
                self._failed = ""
                self.say("")
        self.look()

    async def ask(self, work: Callable[[], T]) -> T:
        """What the gateway answers. Raises VestibuleError."""
        return await self.desk.gateway.ask(work)

    def do(self, work: Awaitable[None]) -> None:
        """Go on with this; an error is told in a line."""

        async def doing() -> None:
            try:
                await work
            except VestibuleError as error:
                self.say(told(error), "bad")

        self.run_worker(doing(), group="do")

    def say(self, text: str, role: str = "") -> None:
        """Tell it in a line of this screen; nothing: take it away."""
        for notice in self.query(Notice):
            notice.say(text, role)

    def look(self) -> None:
        """Bring the bars up to date."""
        for alert in self.query(Alert):
            alert.look()
        for top in self.query(Top):
            top.refresh()

    def on_descendant_focus(self) -> None:
        """Other keys."""
        for keys in self.query(Keys):
            keys.refresh()

    # -- keys ---------------------------------------------------------------------------------

    def action_back(self) -> None:
        """To the screen before."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()

    async def action_show(self, name: str) -> None:
        """Another screen; from one of the same kind there is nowhere to go."""
        self.go(name)

    def go(self, name: str, *given: object) -> None:
        """The screen of this name, above this one."""
        self.post_message(Go(name, given))

    def action_help(self) -> None:
        """All keys."""
        self.go("help", self)

    def action_about(self) -> None:
        """What this is."""
        self.go("about")

    def action_theme(self) -> None:
        """The next of the looks."""
        self.post_message(NextTheme())
