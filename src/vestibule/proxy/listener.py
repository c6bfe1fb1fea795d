"""A listening socket: accepts connections, watches their deadlines, drains them when the program goes."""

from __future__ import annotations

import asyncio
import importlib
import socket
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterator, MutableSet, Sequence
from typing import Any, Final, Protocol, cast

from vestibule.core.listener import UNKNOWN, ListenAddress, Met
from vestibule.observe.log import Log
from vestibule.protocol.h1 import HeadCheck
from vestibule.proxy.binding import Bound, Handed, Taken
from vestibule.proxy.capacity import Capacity
from vestibule.proxy.connection import Handler
from vestibule.proxy.downstream_h1 import H1Connection
from vestibule.proxy.greeting import Greeting

BACKLOG = 1024
AT_ONCE: Final = 16
"""So many connections that are past their deadline are ended in one turn of the loop."""
HTTP2: Final = "vestibule.proxy.downstream_h2"
"""Loaded after the listeners are up, or by the first connection that wants it."""


class UnderWay(Protocol):
    """What is being answered."""

    @property
    def is_over(self) -> bool:
        """True when the answer is out, or can't be any more."""

    @property
    def lasts(self) -> bool:
        """True when it has no end of its own."""


class Listening(Protocol):
    """A listener, of whatever protocol."""

    port: int
    address: ListenAddress
    taken: Taken | None
    """Its sockets, where somebody else has bound them."""

    @property
    def open(self) -> Collection[Any]:
        """Its connections."""

    def bind(self, *, is_shared: bool = False) -> Sequence[socket.socket]:
        """Have the address, if that is still to be done. Raises ConfigError when it can't be had."""

    def succeed(self, other: Any) -> None:
        """Go on with the socket of another that is about to stop."""

    def give_back(self, other: Any) -> None:
        """The other goes on after all."""

    def share_port(self) -> None:
        """Let another bind the same port beside this one."""

    def handed(self) -> Handed:
        """What another program needs to go on with its sockets."""

    def hand_over(self) -> None:
        """Another program has its sockets, and sees to their file."""

    def drop(self) -> None:
        """Let go of an address where nobody listened."""

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address can't be had."""

    def under_way(self) -> Iterator[UnderWay]:
        """What is being answered."""

    def sweep(self, now: float) -> None:
        """End what has waited past its deadline."""

    @property
    def is_empty(self) -> bool:
        """True when it has no connection, and none is on its way through a handshake."""

    @property
    def is_busy(self) -> bool:
        """True while something is under way on one of its connections, or a handshake."""

    def stop(self) -> None:
        """Accept nothing more; the next answer of each connection is its last."""

    def close_idle(self) -> None:
        """Close the connections on which nothing is under way."""

    def abort(self) -> None:
        """Close what is still open."""


class Spoken(Protocol):
    """The module of HTTP/2, which only who speaks it loads."""

    H2Connection: Callable[[Listener, Met], asyncio.Protocol]


class Acceptor(Protocol):
    """How the connections of a listening socket are taken: as they come, or after what stands before them is read."""

    async def start(self, bound: socket.socket, opened: Callable[[Met], asyncio.Protocol]) -> None:
        """Accept; each connection is given what `opened` makes of what is known of it. Once for each socket."""

    @property
    def is_empty(self) -> bool:
        """True when what it has taken has all come to a connection, or to nothing."""

    @property
    def is_busy(self) -> bool:
        """True while one that it has taken, and that has said something, has not."""

    def stop(self) -> None:
        """Accept nothing more; what it has taken goes on."""

    def close_idle(self) -> None:
        """Let go of what has said nothing."""

    def abort(self) -> None:
        """Let go of all that has not come to a connection."""


class Plain:
    """The event loop's own: nothing stands before a request."""

    is_empty = True
    is_busy = False

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []

    async def start(self, bound: socket.socket, opened: Callable[[Met], asyncio.Protocol]) -> None:
        """Accept."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(lambda: opened(UNKNOWN), sock=bound, backlog=BACKLOG))

    def stop(self) -> None:
        """Accept nothing more."""
        for server in self._servers:
            server.close()

    def close_idle(self) -> None:
        """Nobody waits here."""

    def abort(self) -> None:
        """Nobody waits here."""


class Listener(Bound):
    """One address, one handler."""

    def __init__(
        self,
        address: ListenAddress,
        handler: Handler,
        *,
        clock: Callable[[], float],
        slashes: bool = False,
        greets: bool = False,
        acceptor: Acceptor | None = None,
        capacity: Capacity | None = None,
        log: Log | None = None,
    ) -> None:
        """Without an `acceptor` connections are taken as they come; without a `capacity` any number.

        `log`: told of a connection that could not be ended as it should.
        """
        super().__init__(address)
        self.capacity = capacity or Capacity()
        self.handler = handler
        self._log = log
        self._acceptor = acceptor or Plain()
        self.scheme = address.scheme
        self.slashes = slashes
        self.greets = greets
        """Connections without TLS may begin as those of HTTP/2 do."""
        self.check = HeadCheck()
        self.draining = False
        self.open: MutableSet[Any] = set()
        """All connections, of whatever protocol (`Connection`)."""
        self.tick = clock()
        self._late: deque[Any] = deque()
        """Those of `open` that are past their deadline, and not yet ended."""

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address can't be had."""
        for bound in self.bind():
            await self._acceptor.start(bound, self.opened)

    def under_way(self) -> Iterator[UnderWay]:
        """What is being answered."""
        for connection in self.open:
            yield from connection.under_way()

    def opened(self, met: Met) -> asyncio.Protocol:
        """What speaks the protocol of a connection that was just accepted.

        HTTP/2 where TLS agreed on it; without TLS, at a port that takes both, by what comes first.
        """
        if met.tls is not None and met.tls.alpn == "h2":
            return self._http2(met)
        if self.greets and met.tls is None:
            return Greeting(self, met, self._http2)
        return H1Connection(self, met)

    def _http2(self, met: Met) -> asyncio.Protocol:
        return cast("Spoken", importlib.import_module(HTTP2)).H2Connection(self, met)

    def sweep(self, now: float) -> None:
        """End what has waited past its deadline.

        A few in each turn of the loop. Threat: thousands who are slow together, and whose ends all at once would have
        everybody else wait.
        """
        is_ending = bool(self._late)
        self.tick = now
        self._late = deque(c for c in self.open if c.deadline and c.deadline < now)
        if not is_ending:
            self._end_late()

    def _end_late(self) -> None:
        for _ in range(min(AT_ONCE, len(self._late))):
            connection = self._late.popleft()
            if connection in self.open and connection.deadline and connection.deadline < self.tick:
                self._end(connection)
        if self._late:
            asyncio.get_running_loop().call_soon(self._end_late)

    def _end(self, connection: Any) -> None:
        """A defect in the end of one connection is not the others', whose deadlines have to hold."""
        try:
            connection.expire()
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the log, and the connection goes
            if self._log is not None:
                trace = "".join(traceback.format_exception(error)[-4:])
                self._log.error("fault", task="deadline", error=repr(error), trace=trace)
            connection.abort()

    @property
    def is_empty(self) -> bool:
        """True when it has no connection, and none is on its way through a handshake."""
        return not self.open and self._acceptor.is_empty

    @property
    def is_busy(self) -> bool:
        """True while something is under way on one of its connections, or a handshake."""
        return self._acceptor.is_busy or any(not connection.is_idle for connection in self.open)

    def stop(self) -> None:
        """Accept nothing more; the next answer of each connection is its last."""
        self.draining = True
        self._acceptor.stop()
        for connection in list(self.open):
            connection.drain()
        self.let_go()

    def close_idle(self) -> None:
        """Close the connections on which nothing is under way."""
        self._acceptor.close_idle()
        for connection in list(self.open):
            connection.close_idle()

    def abort(self) -> None:
        """Close what is still open."""
        self._acceptor.abort()
        for connection in list(self.open):
            connection.abort()
