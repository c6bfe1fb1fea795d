"""`vestibule demo` as a person starts it, and a browser at it that complains of nothing."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from playwright.async_api import BrowserContext, Page

from tests.process import Process
from tests.real.browser import PATIENCE_MS, chromium

READY = "Ctrl-C stops it"


class Demo:
    """A running demo."""

    def __init__(self, port: int, *further: str, env: Mapping[str, str] | None = None) -> None:
        argv = [sys.executable, "-m", "vestibule", "demo", "--port", str(port), "--no-browser", *further]
        self.process = Process("demo", argv, env=env)
        self.port = port
        self.url = f"{'https' if '--https' in further else 'http'}://localhost:{port}"
        self.sessions_before = 0

    def wait(self) -> None:
        """Returns once it says that it is ready."""
        self.process.wait_log(READY)

    def stop(self) -> None:
        """Tells what it said, for a test that failed, and ends it."""
        gateway = (self.config.parent / "gateway.log").read_text("utf-8").splitlines()[-40:]
        print(f"--- demo\n{self.process.shown}\n--- gateway\n" + "\n".join(gateway))
        self.process.stop()

    @property
    def config(self) -> Path:
        """The file it says it has written."""
        [path] = re.findall(r"the configuration +(\S+)", self.process.log)
        return Path(path)

    def new_sessions(self) -> int:
        """How many more sessions than before the store holds."""
        return self.live_sessions() - self.sessions_before

    def live_sessions(self) -> int:
        """How many sessions the store holds."""
        database = self.config.parent / "state" / "vestibule.db"
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            [count] = connection.execute("SELECT count(*) FROM sessions").fetchone()
        return int(count)


class Complaints:
    """What a browser complained of: errors of scripts, of the content security policy, in the console."""

    def __init__(self, context: BrowserContext) -> None:
        self.heard: list[str] = []
        context.on("weberror", lambda error: self.heard.append(str(error.error)))
        context.on("console", lambda line: line.type == "error" and self.heard.append(line.text))


@contextlib.asynccontextmanager
async def visit(
    *, home: Path | None = None, **options: object
) -> AsyncIterator[tuple[BrowserContext, Page, Complaints]]:
    """A browser with nothing in it, and one page; it trusts whom a person with this home trusts."""
    async with chromium(home) as browser:
        context = await browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        complaints = Complaints(context)
        yield context, await context.new_page(), complaints
