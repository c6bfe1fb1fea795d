"""Somebody's shell, in which `vestibule login` and its like run, and the person with a browser who lets it in."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from tests.real.house import NAVIGATION


class Screen:
    """What somebody reads at a terminal."""

    def __init__(self, lines: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self._lines = lines
        self._transport = transport

    async def line(self) -> str:
        """The next one, without its end."""
        return (await asyncio.wait_for(self._lines.readline(), 60)).decode().rstrip("\r\n")

    def close(self) -> None:
        """Nobody looks any more."""
        self._transport.close()


class Terminal:
    """A shell with a home of its own; `origin`: where the person with the browser signs in."""

    def __init__(self, origin: str, home: Path, env: Mapping[str, str] | None = None) -> None:
        self.origin = origin
        self.home = home
        self.wallet = home / ".config" / "vestibule" / "sign-ins.json"
        self._env = dict(env or {})

    @property
    def env(self) -> dict[str, str]:
        """What programs of the shell are told."""
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "LANG"}}
        return {**kept, "HOME": str(self.home), "SSH_CONNECTION": "elsewhere", **self._env}

    async def begin(
        self, *argv: str, stdin: int = subprocess.DEVNULL, stderr: int = subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        """A command, started."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "vestibule",
            *argv,
            env=self.env,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )

    async def begin_on_screen(self, *argv: str) -> tuple[asyncio.subprocess.Process, Screen]:
        """A command before which somebody sits: a pseudo-terminal is its input, and where it tells what goes on."""
        ours, theirs = pty.openpty()
        started = await self.begin(*argv, stdin=theirs, stderr=theirs)
        os.close(theirs)
        lines = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(ours, "rb", buffering=0)
        )
        return started, Screen(lines, transport)

    async def run(self, *argv: str, given: str = "") -> tuple[int, str, str]:
        """A command to its end: its status, what it said, and what went wrong."""
        return await self.program(sys.executable, "-m", "vestibule", *argv, given=given)

    async def program(
        self, *argv: str, given: str = "", env: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Any other program, likewise."""
        done = await asyncio.to_thread(
            subprocess.run,
            argv,
            env={**self.env, **(env or {})},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr


async def press(
    browser: aiohttp.ClientSession, terminal: Terminal, path: str, **form: str
) -> tuple[Any, str]:
    """A form of the gateway's page, sent."""
    headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": terminal.origin}
    async with browser.post(f"{terminal.origin}{path}", data=form, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return answer.headers, await answer.text()


async def sign_in(browser: aiohttp.ClientSession, terminal: Terminal) -> None:
    """Alice, by the provider."""
    url = f"{terminal.origin}/@/signin?login_hint=alice&rd=/@/account"
    async with browser.get(url, headers=NAVIGATION) as answer:
        assert answer.status == 200, await answer.text()


def key_in(text: str) -> str:
    """What a form of the page carries."""
    [key] = set(re.findall(r'name="key" value="([^"]+)"', text))
    return str(key)


async def by_code(terminal: Terminal, browser: aiohttp.ClientSession, *argv: str, is_new: bool = True) -> str:
    """Signed in by a code that somebody types; what the command said. `argv`: behind `login`; none: the origin."""
    if is_new:
        await sign_in(browser, terminal)
    login = await terminal.begin("login", *(argv or (terminal.origin,)))
    assert login.stderr is not None
    said = (await asyncio.wait_for(login.stderr.readline(), 60)).decode()
    code = re.search(r"type ([A-Z]{4}-[A-Z]{4})", said)
    assert code, said
    _, text = await press(browser, terminal, "/@/device", user_code=code[1])
    assert "A terminal" in text
    await press(browser, terminal, "/@/device", key=key_in(text), answer="allow")
    out, err = await asyncio.wait_for(login.communicate(), 60)
    assert login.returncode == 0, err
    return out.decode()
