"""A console on the fake gateway, at a fixed time; its screen as text."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.tui import fake
from vestibule.tui.app import Console
from vestibule.tui.gateway import Gateway

SNAPSHOTS = Path(__file__).parent / "snapshots"
PATIENCE_S = 30.0


class Stage:
    """One console under test."""

    def __init__(
        self, pilot: Pilot[Any], console: Console, admin: fake.FakeAdmin, sessions: fake.FakeSessions
    ) -> None:
        self.pilot = pilot
        self.console = console
        self.admin = admin
        self.sessions = sessions

    @property
    def text(self) -> str:
        """What is on the screen, a line a line."""
        lines = self.console.screen._compositor.render_strips(self.console.size)
        return "\n".join(strip.text.rstrip() for strip in lines)

    @property
    def rows(self) -> list[str]:
        """The paths of the traffic that is listed, the newest first."""
        view = self.console.screen.traffic.view
        return [view[number].path for number in range(len(view))]

    @property
    def asked(self) -> list[str]:
        """The names of what the gateway was asked for."""
        return [name for name, *_ in self.admin.asked]

    async def press(self, *keys: str) -> None:
        """One key after the other; what they set going has come to rest."""
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def type(self, text: str) -> None:
        """A text, letter by letter."""
        names = {
            " ": "space",
            ":": "colon",
            "@": "at",
            ".": "full_stop",
            "/": "slash",
            "-": "minus",
            "=": "equals_sign",
            ">": "greater_than_sign",
        }
        if text:
            await self.pilot.press(*(names.get(char, char) for char in text))

    async def until(self, holds: Callable[[], object], what: str = "") -> None:
        """Wait until it holds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        while not holds():
            assert loop.time() < end, f"never: {what}\n{self.text}"
            await self.pilot.pause(0.02)
        await self.pilot.pause()

    async def sees(self, text: str) -> None:
        """Wait until it is on the screen."""
        await self.until(lambda: text in self.text, f"{text!r} on the screen")

    async def sees_not(self, text: str) -> None:
        """Wait until it isn't on the screen any more."""
        await self.until(lambda: text not in self.text, f"{text!r} gone")


class Clock:
    """Stands still, unless it is moved."""

    def __init__(self) -> None:
        self.at = fake.NOW

    def __call__(self) -> datetime:
        return self.at

    def on(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@contextlib.asynccontextmanager
async def staged(
    *,
    size: tuple[int, int] = (120, 36),
    environ: dict[str, str] | None = None,
    admin: fake.FakeAdmin | None = None,
    clock: Clock | None = None,
    wait: bool = True,
) -> AsyncIterator[Stage]:
    """A console that has begun; `wait`: until it has shown what the gateway told at first."""
    admin = admin or fake.FakeAdmin()
    sessions = fake.FakeSessions(admin)
    console = Console(Gateway(admin, sessions, admin.where), clock or Clock(), environ or {})
    async with console.run_test(size=size) as pilot:
        stage = Stage(pilot, console, admin, sessions)
        if wait:
            await stage.until(lambda: console.desk.feed.state.how == "live", "live")
            await stage.until(lambda: console.desk.overview is not None and console.desk.edges, "all panes")
            await stage.until(lambda: len(console.desk.ring.rows) == len(admin.rows), "the traffic")
        try:
            yield stage
        finally:
            admin.lose()  # the feed's thread ends with it
            console.desk.feed.stop()


def compare(stage: Stage, name: str) -> None:
    """The screen is what the file says; VESTIBULE_SNAPSHOTS=write writes it anew."""
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("VESTIBULE_SNAPSHOTS") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(stage.text + "\n", "utf-8")
    assert stage.text + "\n" == file.read_text("utf-8")
