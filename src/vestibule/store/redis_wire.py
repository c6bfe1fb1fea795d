"""One connection to a Redis: commands go out as they come, answers belong to them in their order (RESP2).

Nobody has the connection to himself, and none is lent out: who stops waiting leaves his place in the queue, and the
answer that comes there is dropped. So nobody ever gets another's answer. An answer that is late ends the connection,
with all that wait on it; a watch of its own sees to that, whoever still waits.

hiredis packs and parses; redis-py is not used. Its asyncio client (8.1) lends a connection to each command: with 50 at
once a GET takes 30 to 50 us of this process, here 5. It closes the connection of each command that somebody stops
waiting for, so people who leave while Redis is slow make it connect anew, when that helps least. And its Cluster closes
every connection when one server fails.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis
import msgspec

from vestibule.core.redis import Address
from vestibule.model import Secret

Command: TypeAlias = tuple[Any, ...]
"""Of str, bytes and int."""

CONNECT_S: Final = 1.0
_READ_FIRST_S: Final = 0.01
MOST_WAITING: Final = 20_000
"""More than this many unanswered commands mean that something is wrong: a further one is refused."""


class Broken(Exception):
    """There is no connection (any more): whether a command that was on its way was done, nobody knows."""


class Late(Broken):
    """Nothing came in time."""


class Refused(Exception):
    """Redis answered with an error; `word` is its first word, by which errors are told apart."""

    def __init__(self, said: str) -> None:
        # Redis repeats unknown commands with what they were given, which may be a session.
        super().__init__(said.partition(", with args")[0][:200])
        self.word, _, self.rest = said.partition(" ")


class Login(msgspec.Struct, frozen=True):
    """Who connects, and what each new connection begins with."""

    user: str
    password: Secret
    number: int = 0
    tls: ssl.SSLContext | None = None

    def greeting(self) -> list[Command]:
        """The commands that log in and choose the database; a PING shows that all is well."""
        found: list[Command] = []
        if self.user or self.password:
            found.append(("AUTH", *([self.user] if self.user else []), self.password.reveal()))
        if self.number:
            found.append(("SELECT", self.number))
        return [*found, ("PING",)]


class Wire(asyncio.Protocol):
    """An open connection; made by `connect`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._overdue: asyncio.Future[Any] | None = None
        self._lost = asyncio.Event()
        self.fault: Broken | None = None
        """Why it ended; None while it is open."""

    @classmethod
    async def connect(cls, address: Address, login: Login, timeout_s: float) -> Wire:
        """A connection that is logged in. Raises Broken, and Refused where Redis lets nobody in so."""
        loop = asyncio.get_running_loop()
        name = address.host if login.tls is not None else None
        limit_s = max(CONNECT_S, timeout_s)
        wire = cls(loop, limit_s)
        try:
            async with asyncio.timeout(limit_s):
                await loop.create_connection(
                    lambda: wire, address.host, address.port, ssl=login.tls, server_hostname=name
                )
                for answer in wire.ask_all(login.greeting()):
                    await _welcome(answer)
        except TimeoutError as exc:
            wire.end(Late(f"{address} does not answer"))
            raise Late(f"{address} does not answer") from exc
        except (OSError, ssl.CertificateError) as exc:  # SSLError too
            wire.end(Broken(str(exc)))
            raise Broken(f"{address}: {exc}") from exc
        except BaseException as exc:
            wire.end(Broken(type(exc).__name__))
            raise
        wire._timeout_s = timeout_s
        return wire

    def ask(self, command: Command) -> asyncio.Future[Any]:
        """The answer to come: bytes, int, None or a list of these; or Refused, Broken."""
        return self.ask_all((command,))[0]

    def ask_all(self, commands: Sequence[Command]) -> list[asyncio.Future[Any]]:
        """The answers to come, of commands between which no other comes."""
        if self.fault is None and len(self._waiting) + len(commands) > MOST_WAITING:
            fault: Broken | None = Broken("too many commands wait")
        else:
            fault = self.fault
        found = []
        end_mono = self._loop.time() + self._timeout_s
        for _ in commands:
            future: asyncio.Future[Any] = self._loop.create_future()
            found.append(future)
            if fault is not None:
                _fail(future, _same(fault))
            else:
                self._waiting.append((future, end_mono))
        if fault is None and self._transport is not None:
            self._transport.write(b"".join(hiredis.pack_command(command) for command in commands))
            if self._watch is None and self._waiting:
                self._watch = self._loop.call_at(end_mono, self._look)
        return found

    def end(self, fault: Broken) -> None:
        """Close it; all that wait are told why."""
        if self.fault is not None:
            return
        self.fault = fault
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            _fail(self._waiting.popleft()[0], _same(fault))

    async def ended(self) -> None:
        """Return when the socket is closed, too."""
        if self._transport is not None:
            await self._lost.wait()

    # -- called by the loop --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; one that comes too late is closed."""
        self._transport = cast("asyncio.Transport", transport)
        if self.fault is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give each answer to the first who waits."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if not self._waiting:
                    self.end(Broken("it answered what nobody had asked"))
                    return
                future, _ = self._waiting.popleft()
                if future.done():
                    continue
                if isinstance(answer, hiredis.ReplyError):
                    _fail(future, Refused(str(answer)))
                else:
                    future.set_result(answer)
        except hiredis.ProtocolError:
            self.end(Broken("it does not speak Redis' protocol"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all that wait."""
        self.end(Broken(f"the connection was lost: {exc}" if exc else "the connection was closed"))
        self._lost.set()

    def _look(self) -> None:
        """The first who waits should have his answer by now; one that came while nobody read is read first."""
        self._watch = None
        if not self._waiting:
            return
        future, end_mono = self._waiting[0]
        if self._loop.time() < end_mono:
            self._watch = self._loop.call_at(end_mono, self._look)
        elif future is not self._overdue:
            self._overdue = future
            self._watch = self._loop.call_later(_READ_FIRST_S, self._look)
        else:
            self.end(Late("it did not answer in time"))


async def _welcome(answer: asyncio.Future[Any]) -> None:
    """Wait for one answer to the greeting; that a user may not PING is no fault of the login."""
    try:
        await answer
    except Refused as exc:
        if exc.word != "NOPERM":
            raise


def _fail(future: asyncio.Future[Any], fault: Exception) -> None:
    """Tell him who waits, if he still does; nobody is told that nobody looked."""
    if not future.done():
        future.set_exception(fault)
        future.exception()


def _same(fault: Broken) -> Broken:
    """Another one of it: each who waits raises his own."""
    return type(fault)(*fault.args)
