"""Connections to backends: idle ones to reuse, servers in turn, a dead one left out for a while and tried again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from vestibule.core.route import Backend, Server
from vestibule.errors import BackendError
from vestibule.proxy.task import Tasks
from vestibule.proxy.trust import tls_context
from vestibule.proxy.upstream import UpstreamConnection

CONNECT_DEADLINE_S = 5.0
IDLE_S = 30.0
IDLE_LIMIT = 256
DOWN_FIRST_S = 1.0
DOWN_LIMIT_S = 10.0


class Waiter(Protocol):
    """Who wants a connection."""

    def on_connected(self, connection: UpstreamConnection) -> None:
        """Here it is."""

    def on_refused(self, error: BackendError) -> None:
        """There is none."""


class ServerPool:
    """One server: its idle connections, and whether it answers."""

    __slots__ = ("_clock", "_fails", "_tick", "all", "down_until", "idle", "server")

    def __init__(self, server: Server, clock: Callable[[], float]) -> None:
        if server.tls:
            tls_context(server.verify, server.trust)  # made now, at start: it takes some 30 ms
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

    def take(self) -> UpstreamConnection | None:
        """The idle connection used last, or None."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not connection.is_closed and not connection.transport.is_closing():
                return connection
        return None

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

    async def connect(self, connect_s: float) -> UpstreamConnection:
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
        self._fails = 0
        self.down_until = 0.0
        self.all.add(connection)
        return connection

    def _leave_out(self) -> None:
        """For a while, and longer each time."""
        self._fails += 1
        self.down_until = self._clock() + min(DOWN_FIRST_S * 2 ** (self._fails - 1), DOWN_LIMIT_S)

    async def _open(self) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        server = self.server
        context = tls_context(server.verify, server.trust) if server.tls else None
        name = (server.trust.name or server.host) if server.tls else None
        if server.path:
            _, protocol = await loop.create_unix_connection(
                lambda: UpstreamConnection(self), server.path, ssl=context, server_hostname=name
            )
        else:
            _, protocol = await loop.create_connection(
                lambda: UpstreamConnection(self), server.host, server.port, ssl=context, server_hostname=name
            )
        return protocol

    def sweep(self, now: float) -> None:
        """Close what was idle for long, and what waits past its deadline."""
        self._tick = now
        while self.idle and (self.idle[0].is_closed or now - self.idle[0].idle_since > IDLE_S):
            connection = self.idle.popleft()
            if not connection.is_closed:
                connection.close()
        for connection in [c for c in self.all if c.deadline and c.deadline < now]:
            connection.expire()

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self.all):
            connection.close()
        self.idle.clear()


class Pool:
    """The servers of one backend, balanced."""

    __slots__ = ("_next", "_tasks", "servers")

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self.servers = tuple(ServerPool(server, clock) for server in backend.servers)
        self._next = 0
        self._tasks = Tasks()

    def take(self) -> UpstreamConnection | None:
        """An idle connection to the server whose turn it is; None when one must be made."""
        if len(self.servers) == 1:
            return self.servers[0].take()
        self._next = (self._next + 1) % len(self.servers)
        return self._pick(()).take()

    def connect(self, waiter: Waiter, connect_s: float = CONNECT_DEADLINE_S) -> None:
        """Make a connection for *waiter*; each server is tried once, for so long, the ones believed dead last."""
        self._tasks.spawn(self._connect(waiter, self._pick(()), connect_s), "upstream connect")

    async def _connect(self, waiter: Waiter, server: ServerPool, connect_s: float) -> None:
        tried: tuple[ServerPool, ...] = ()
        while True:
            tried = (*tried, server)
            try:
                connection = await server.connect(connect_s)
            except BackendError as error:
                if len(tried) == len(self.servers):
                    waiter.on_refused(error)
                    return
                server = self._pick(tried)
            else:
                self._hand_over(waiter, connection)
                return

    @staticmethod
    def _hand_over(waiter: Waiter, connection: UpstreamConnection) -> None:
        try:
            waiter.on_connected(connection)
        except Exception:
            # Nobody foresaw it; whoever waits is told all the same, and the log by whoever watches the task.
            connection.close()
            waiter.on_refused(
                BackendError("the backend could not be asked", code="internal_error", status=500)
            )
            raise

    def _pick(self, tried: tuple[ServerPool, ...]) -> ServerPool:
        """The server whose turn it is, or the next that is not left out; else the one whose time is up first."""
        count = len(self.servers)
        row = [self.servers[(self._next + i) % count] for i in range(count)]
        left = [server for server in row if server not in tried]
        alive = next((server for server in left if not server.is_down), None)
        return alive or min(left, key=lambda server: server.down_until)

    def sweep(self, now: float) -> None:
        """Look at the deadlines of all servers."""
        for server in self.servers:
            server.sweep(now)

    def close(self) -> None:
        """Close everything."""
        self._tasks.cancel()
        for server in self.servers:
            server.close()


class Pools:
    """The pool of each backend; one for all routes that name the same servers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pools: dict[tuple[Server, ...], Pool] = {}
        self._known: dict[int, tuple[Backend, Pool]] = {}
        """By identity: a route's backend is one value that lives as long as its table."""

    def of(self, backend: Backend) -> Pool:
        """The pool of this backend."""
        known = self._known.get(id(backend))
        if known is not None and known[0] is backend:
            return known[1]
        pool = self._pools.get(backend.servers)
        if pool is None:
            pool = self._pools[backend.servers] = Pool(backend, self._clock)
        self._known[id(backend)] = backend, pool
        return pool

    def sweep(self, now: float) -> None:
        """Look at all deadlines."""
        for pool in self._pools.values():
            pool.sweep(now)

    def close(self) -> None:
        """Close everything."""
        for pool in self._pools.values():
            pool.close()
