"""One server of a backend: its idle connections to reuse, whether it answers, and how long it is left out where not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from vestibule.core.route import Server
from vestibule.errors import BackendError
from vestibule.proxy.trust import tls_context
from vestibule.proxy.upstream import Upstream, UpstreamConnection

P = TypeVar("P", bound=asyncio.Protocol)

IDLE_S = 30.0
IDLE_LIMIT = 256
DOWN_FIRST_S = 1.0
DOWN_LIMIT_S = 10.0


class ServerPool:
    """One server: its idle connections, and whether it answers."""

    __slots__ = ("_clock", "_fails", "_tick", "all", "down_until", "idle", "server")

    def __init__(self, server: Server, clock: Callable[[], float]) -> None:
        if server.tls:
            tls_context(
                server.verify, server.trust, server.protocol
            )  # made now, at start: it takes some 30 ms
        self.server = server
        self._clock = clock
        self._tick = clock()
        self.idle: deque[UpstreamConnection] = deque()
        self.all: set[UpstreamConnection] = set()
        self.down_until = 0.0
        self._fails = 0

    def now(self) -> float:
        """The loop's clock as of the last sweep, a second ago at most: good enough for deadlines."""
        return self._tick

    @property
    def is_down(self) -> bool:
        """True while it is left out."""
        return bool(self.down_until) and self.down_until > self._clock()

    def take(self) -> Upstream | None:
        """The idle connection used last, or None."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not connection.is_closed and not connection.transport.is_closing():
                return connection
        return None

    def take_for_websocket(self) -> Upstream | None:
        """The same for a request that asks for a WebSocket."""
        return self.take()

    async def connect_for_websocket(self, connect_s: float) -> Upstream:
        """As `connect`, for a request that asks for a WebSocket; 501 where the server can't carry one."""
        return await self.connect(connect_s)

    def release(self, connection: UpstreamConnection) -> None:
        """Keep it for the next request."""
        if len(self.idle) >= IDLE_LIMIT:
            connection.close()
            return
        connection.idle_since = self._tick
        self.idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """It is closed; the idle row drops it when it comes to it."""
        self.all.discard(connection)

    async def connect(self, connect_s: float) -> Upstream:
        """A fresh connection. Raises BackendError, and leaves the server out for a while."""
        try:
            async with asyncio.timeout(connect_s):
                connection = await self._open()
        except TimeoutError as exc:
            self._leave_out()
            detail = f"{self.server}: no connection within {connect_s:g} s"
            raise BackendError(
                "the backend did not answer in time", code="backend_timeout", status=504, detail=detail
            ) from exc
        except (OSError, ValueError) as exc:  # ValueError: a name that can't be one
            self._leave_out()
            detail = f"{self.server}: {str(exc) or type(exc).__name__}"
            raise BackendError("the backend can't be reached", detail=detail) from exc
        except BackendError:
            self._leave_out()  # it is there, and of no use
            raise
        self._fails = 0
        self.down_until = 0.0
        return connection

    def _leave_out(self) -> None:
        """For a while, and longer each time."""
        self._fails += 1
        self.down_until = self._clock() + min(DOWN_FIRST_S * 2 ** (self._fails - 1), DOWN_LIMIT_S)

    async def _open(self) -> Upstream:
        _, connection = await self._reach(lambda: UpstreamConnection(self), "http/1.1")
        self.all.add(connection)
        return connection

    async def _reach(self, factory: Callable[[], P], protocol: str) -> tuple[asyncio.Transport, P]:
        """A connection to the server, as it is for this protocol; over TLS that is asked for (ALPN)."""
        loop = asyncio.get_running_loop()
        server = self.server
        context = tls_context(server.verify, server.trust, protocol) if server.tls else None
        name = (server.trust.name or server.host) if server.tls else None
        if server.path:
            return await loop.create_unix_connection(factory, server.path, ssl=context, server_hostname=name)
        return await loop.create_connection(
            factory, server.host, server.port, ssl=context, server_hostname=name
        )

    @property
    def is_open(self) -> bool:
        """True while there is a connection to it."""
        return bool(self.all)

    def sweep(self, now: float) -> None:
        """Close what was idle for long, and what waits past its deadline."""
        self._tick = now
        while self.idle and (self.idle[0].is_closed or now - self.idle[0].idle_since > IDLE_S):
            connection = self.idle.popleft()
            if not connection.is_closed:
                connection.close()
        for connection in [c for c in self.all if c.deadline and c.deadline < now]:
            connection.expire()

    def close_idle(self) -> None:
        """Close those that nobody uses."""
        while self.idle:
            self.idle.popleft().close()

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self.all):
            connection.close()
        self.idle.clear()
