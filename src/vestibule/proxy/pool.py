"""Connections to backends: idle ones to reuse, servers in turn, a dead one left out for a while and tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from vestibule.core.route import Backend, Server
from vestibule.errors import BackendError
from vestibule.proxy.server_pool import ServerPool
from vestibule.proxy.task import Tasks
from vestibule.proxy.upstream import Upstream

CONNECT_DEADLINE_S = 5.0


class Waiter(Protocol):
    """Who wants a connection."""

    def on_connected(self, connection: Upstream) -> None:
        """Here it is."""

    def on_refused(self, error: BackendError) -> None:
        """There is none."""


class Pool:
    """The servers of one backend, balanced."""

    __slots__ = ("_next", "_tasks", "servers")

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self.servers = tuple(_server_pool(server, clock) for server in backend.servers)
        self._next = 0
        self._tasks = Tasks()

    def take(self) -> Upstream | None:
        """An idle connection to the server whose turn it is; None when one must be made."""
        if len(self.servers) == 1:
            return self.servers[0].take()
        self._next = (self._next + 1) % len(self.servers)
        return self._pick(()).take()

    def take_for_websocket(self) -> Upstream | None:
        """The same for a request that asks for a WebSocket."""
        self._next = (self._next + 1) % len(self.servers)
        return self._pick(()).take_for_websocket()

    def connect(
        self, waiter: Waiter, connect_s: float = CONNECT_DEADLINE_S, *, for_websocket: bool = False
    ) -> None:
        """Make a connection for *waiter*; each server is tried once, for so long, the ones believed dead last."""
        work = self._connect(waiter, self._pick(()), connect_s, for_websocket=for_websocket)
        self._tasks.spawn(work, "upstream connect")

    async def _connect(
        self, waiter: Waiter, server: ServerPool, connect_s: float, *, for_websocket: bool
    ) -> None:
        tried: tuple[ServerPool, ...] = ()
        while True:
            tried = (*tried, server)
            try:
                connect = server.connect_for_websocket if for_websocket else server.connect
                connection = await connect(connect_s)
            except BackendError as error:
                if len(tried) == len(self.servers):
                    waiter.on_refused(error)
                    return
                server = self._pick(tried)
            else:
                self._hand_over(waiter, connection)
                return

    @staticmethod
    def _hand_over(waiter: Waiter, connection: Upstream) -> None:
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

    def close_idle(self) -> None:
        """Close the connections that nobody uses."""
        for server in self.servers:
            server.close_idle()

    def close(self) -> None:
        """Close everything."""
        self._tasks.cancel()
        for server in self.servers:
            server.close()


def _server_pool(server: Server, clock: Callable[[], float]) -> ServerPool:
    if not server.http2:
        return ServerPool(server, clock)
    from vestibule.proxy.pool_h2 import H2ServerPool  # noqa: PLC0415 - HTTP/2 costs a tenth of a second at the start

    return H2ServerPool(server, clock)


class Pools:
    """The pool of each backend; one for all routes that name the same servers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pools: dict[tuple[Server, ...], Pool] = {}
        self._known: dict[int, tuple[Backend, Pool]] = {}
        """By identity: a route's backend is one value that lives as long as its table."""
        self._leaving: list[Pool] = []
        """Those that no route leads to any more, until their last connection is closed."""

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

    def keep(self, backends: Iterable[Backend]) -> None:
        """Routes lead to these alone from now on: what is idle towards others is closed, what is busy ends first."""
        kept = {id(backend): backend for backend in backends}
        servers = {backend.servers for backend in kept.values()}
        self._known = {key: known for key, known in self._known.items() if key in kept}
        self._leaving += [pool for key, pool in self._pools.items() if key not in servers]
        self._pools = {key: pool for key, pool in self._pools.items() if key in servers}

    def sweep(self, now: float) -> None:
        """Look at all deadlines."""
        for pool in self._leaving:
            pool.sweep(now)
            pool.close_idle()
        self._leaving = [pool for pool in self._leaving if any(server.is_open for server in pool.servers)]
        for pool in self._pools.values():
            pool.sweep(now)

    def close(self) -> None:
        """Close everything."""
        for pool in (*self._pools.values(), *self._leaving):
            pool.close()
