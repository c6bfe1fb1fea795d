"""One process of several: it takes another configuration when the supervisor says so, and says whether it can.

The control process is where a reload is asked for: it hands what it has read to the supervisor, and hears what came
of it; what it does with it itself is told to it like to all the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Final

from vestibule.app import App, Ending
from vestibule.config.compile import Compiled
from vestibule.errors import ConfigError, VestibuleError
from vestibule.line import (
    Abandon,
    Commit,
    Line,
    Message,
    Outcome,
    Prepare,
    Prepared,
    Rereading,
    Upgrade,
    Upgraded,
    Wanted,
    close_all,
    read,
    shortened,
    written,
)
from vestibule.observe.log import Log
from vestibule.proxy.binding import Taken

WAIT_S: Final = 60.0
"""How long who asks for a reload waits at most until all processes have answered."""


class Following:
    """Open while the process runs."""

    def __init__(self, line: Line, app: App, log: Log) -> None:
        self._line = line
        self._app = app
        self._log = log
        self._said: asyncio.Queue[tuple[Message, list[int]]] = asyncio.Queue()
        self._outcome: asyncio.Future[tuple[str, ...]] | None = None
        self._upgraded: asyncio.Future[tuple[str, ...]] | None = None
        app.apply = self.apply
        app.upgrade = self.upgrade
        asyncio.get_running_loop().add_reader(line.fileno(), self._hear)

    async def run(self) -> None:
        """Do as is said, one after another."""
        while True:
            message, files = await self._said.get()
            try:
                await self._follow(message, files)
            except Exception as error:  # noqa: BLE001 - the supervisor starts another in its place, with what is in force
                self._log.error("fault", task="reload", error=repr(error))
                self._app.failed.set()

    async def apply(self, compiled: Compiled) -> None:
        """Have it put in force in all processes. Raises ConfigError; then it is in none."""
        self._outcome = asyncio.get_running_loop().create_future()
        descriptor = written(compiled)
        try:
            self._line.say(Wanted(), (descriptor,))
            async with asyncio.timeout(WAIT_S):
                faults = await self._outcome
        except (OSError, TimeoutError):
            raise ConfigError(("the other processes don't answer; see the log",)) from None
        finally:
            os.close(descriptor)
        if faults:
            raise ConfigError(faults)

    async def upgrade(self) -> tuple[str, ...]:
        """Have another program take the place of this one; what went wrong, nothing when it serves."""
        if self._upgraded is not None and not self._upgraded.done():
            return ("another program is being started already",)
        self._upgraded = asyncio.get_running_loop().create_future()
        try:
            self._line.say(Upgrade())
        except OSError:
            return ("the supervisor doesn't answer; see the log",)
        return await self._upgraded

    def reloading(self) -> None:
        """A signal has the files read anew: the supervisor tells who runs the service."""
        self._tell(Rereading())

    def ready(self, _status: str) -> None:
        """They were read."""
        self._tell(Rereading(is_over=True))

    def _tell(self, message: Rereading) -> None:
        with contextlib.suppress(OSError):  # it is gone, or busy: then nobody hears of this reload
            self._line.say(message)

    def _hear(self) -> None:
        try:
            heard = self._line.hear()
        except BlockingIOError:
            return
        except OSError:
            heard = None
        if heard is None:
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            return
        message, files = heard
        if isinstance(message, Outcome | Upgraded):
            waits = self._outcome if isinstance(message, Outcome) else self._upgraded
            if waits is not None and not waits.done():
                waits.set_result(message.faults)
        else:
            self._said.put_nowait((message, files))

    async def _follow(self, message: Message, files: list[int]) -> None:
        match message:
            case Prepare():
                self._line.say(Prepared(shortened(await self._prepared(message, files))))
            case Commit():
                with contextlib.suppress(Ending):  # who comes next has it
                    await self._app.commit()
            case Abandon():
                await self._app.abandon()
            case _:
                close_all(files)

    async def _prepared(self, message: Prepare, files: list[int]) -> tuple[str, ...]:
        """Why it can't be in force here; empty: it can."""
        sockets = {
            at: Taken((socket.socket(fileno=fd),))
            for at, fd in zip(message.addresses, files[1:], strict=True)
        }
        try:
            compiled = await asyncio.to_thread(read, files[0])
            await self._app.prepare(compiled, sockets)
        except ConfigError as error:
            return error.faults
        except VestibuleError as error:
            return (error.detail or error.message,)
        finally:
            os.close(files[0])
        return ()
