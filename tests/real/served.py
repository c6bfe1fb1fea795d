"""`vestibule serve` without a file, by variables alone, and people who come to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from tests.process import Process
from tests.real.house import NAVIGATION


class Served:
    """`vestibule serve` without a file, in a directory of its own."""

    def __init__(self, directory: Path, port: int, environ: Mapping[str, str]) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.base = f"http://localhost:{port}"
        self.directory = directory
        self.environ = environ
        argv = [sys.executable, "-m", "vestibule", "serve"]
        env = {"PYTHONUNBUFFERED": "1", "PORT": str(port), **environ}
        self.process = Process("vestibule", argv, cwd=directory, env=env, log=directory / "log")

    def wait(self) -> Served:
        """Returns once it accepts."""
        self.process.wait_log('"ready"')
        return self

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The admin API, by its socket."""
        connector = aiohttp.UnixConnector(str(self.directory / "state" / "admin.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://localhost/api/v1{path}", json=body) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if text else None


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, url: str) -> tuple[int, str, str]:
        """Status, where it ended, and the text."""
        async with self._session.get(url, headers=NAVIGATION) as answer:
            return answer.status, str(answer.url), await answer.text()

    async def sign_in(
        self, base: str, who: str = "alice", *, by: str = "", rd: str = "/"
    ) -> tuple[int, str, str]:
        """Goes through a sign-in; as `get`."""
        way = f"/@{by}/signin" if by else "/@/signin"
        return await self.get(f"{base}{way}?login_hint={who}&rd={rd}")

    async def leads(self, url: str) -> tuple[int, str]:
        """Status, and where it leads; nothing is followed."""
        async with self._session.get(url, headers=NAVIGATION, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", "")

    async def who(self, base: str) -> Any:
        """The address the gateway says is signed in; None when nobody is."""
        async with self._session.get(f"{base}/@/session") as answer:
            return (await answer.json())["user"]["email"] if answer.status == 200 else None
