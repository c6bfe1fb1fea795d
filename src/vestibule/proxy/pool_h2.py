"""A server that speaks HTTP/2: few connections, many streams on each, and another connection where they are full.

Imported only where there is one (`upstream_h2`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from msgspec.structs import replace

from vestibule.core.route import Server
from vestibule.errors import BackendError
from vestibule.proxy.server_pool import IDLE_S, ServerPool
from vestibule.proxy.upstream import Upstream, UpstreamConnection
from vestibule.proxy.upstream_h2 import H2Upstream


class H2ServerPool(ServerPool):
    """One server: its connections, and whether it answers."""

    __slots__ = ("_opening", "by_http1", "connections")

    def __init__(self, server: Server, clock: Callable[[], float]) -> None:
        super().__init__(server, clock)
        self.connections: set[H2Upstream] = set()
        self.by_http1 = UpgradePool(replace(server, http2=False), clock) if server.tls else None
        """For WebSockets where its HTTP/2 has none; without TLS nothing but HTTP/2 was said of it."""
        self._opening: asyncio.Task[Upstream] | None = None
        """The connection that is being made: whoever wants one waits for the same."""

    def take(self) -> Upstream | None:
        """A stream of a connection that has room, or None."""
        connection = self._with_room()
        return None if connection is None else connection.stream()

    def take_for_websocket(self) -> Upstream | None:
        """A stream where its HTTP/2 has WebSockets, else a connection of HTTP/1.1 that is idle, or None."""
        connection = self._with_room()
        if connection is None:
            return None
        if connection.takes_websockets:
            return connection.websocket()
        return None if self.by_http1 is None else self.by_http1.take()

    def _with_room(self) -> H2Upstream | None:
        for connection in self.connections:
            if connection.has_room:
                return connection
        return None

    async def connect(self, connect_s: float) -> Upstream:
        """A stream, of a fresh connection where no other has room. Raises BackendError."""
        return (await self._connected(connect_s)).stream()

    async def connect_for_websocket(self, connect_s: float) -> Upstream:
        """A stream, or a connection of HTTP/1.1; by its settings a server says which (RFC 8441 section 3)."""
        connection = await self._connected(connect_s)
        if connection.takes_websockets:
            return connection.websocket()
        if self.by_http1 is None:
            raise _no_websocket(self.server)
        return await self.by_http1.connect(connect_s)

    async def _connected(self, connect_s: float) -> H2Upstream:
        try:
            async with asyncio.timeout(connect_s):
                while True:
                    connection = self._with_room()
                    if connection is not None:
                        return connection
                    await asyncio.shield(self._opened(connect_s))
        except TimeoutError as exc:
            raise BackendError(
                "the backend did not answer in time",
                code="backend_timeout",
                status=504,
                detail=f"{self.server}: no stream within {connect_s:g} s",
            ) from exc

    def _opened(self, connect_s: float) -> asyncio.Task[Upstream]:
        if self._opening is None:
            work = super().connect(connect_s)
            self._opening = asyncio.get_running_loop().create_task(work, name="upstream connect h2")
            self._opening.add_done_callback(self._on_opened)
        return self._opening

    def _on_opened(self, task: asyncio.Task[Upstream]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # told to all who wait; there may be none left

    async def _open(self) -> Upstream:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()

        def on_opened(error: BackendError | None) -> None:
            if opened.done():
                return
            if error is None:
                opened.set_result(None)
            else:
                opened.set_exception(error)

        scheme = b"https" if self.server.tls else b"http"
        transport, connection = await self._reach(lambda: H2Upstream(self, on_opened, scheme), "h2")
        try:
            self._check_protocol(transport)
            await opened
            self._check_room(connection)
        except BaseException:
            transport.abort()
            raise
        self.connections.add(connection)
        return connection.stream()

    def _check_protocol(self, transport: asyncio.BaseTransport) -> None:
        """Spec: RFC 9113 section 3.2: over TLS it is agreed on by ALPN."""
        shaken = transport.get_extra_info("ssl_object")
        if shaken is not None and shaken.selected_alpn_protocol() != "h2":
            raise BackendError("the backend does not speak HTTP/2", detail=f"{self.server}: not by ALPN")

    def _check_room(self, connection: H2Upstream) -> None:
        """Threat: a server that takes no streams, connected to for ever."""
        if not connection.has_room:
            raise BackendError("the backend takes no request", detail=f"{self.server}: no streams")

    def forget(self, connection: H2Upstream) -> None:  # type: ignore[override]  # its own kind comes back
        """It is closed."""
        self.connections.discard(connection)

    @property
    def is_open(self) -> bool:
        """True while there is a connection to it, or one is being made."""
        if self.by_http1 is not None and self.by_http1.is_open:
            return True
        return bool(self.connections) or self._opening is not None

    def sweep(self, now: float) -> None:
        """Look at the deadlines of all connections."""
        self._tick = now
        for connection in list(self.connections):
            connection.sweep(now, IDLE_S)
        if self.by_http1 is not None:
            self.by_http1.sweep(now)

    def close_idle(self) -> None:
        """Close those that carry nothing."""
        for connection in [one for one in self.connections if not one.streams]:
            connection.close()
        if self.by_http1 is not None:
            self.by_http1.close_idle()

    def close(self) -> None:
        """Close all connections."""
        if self._opening is not None:
            self._opening.cancel()
        for connection in list(self.connections):
            connection.close()
        if self.by_http1 is not None:
            self.by_http1.close()


class UpgradePool(ServerPool):
    """The same server by HTTP/1.1, which alone is offered to it, for the WebSockets that its HTTP/2 can't carry."""

    async def _open(self) -> Upstream:
        try:
            transport, connection = await self._reach(lambda: UpstreamConnection(self), "http/1.1")
        except ssl.SSLError as exc:
            if "NO_APPLICATION_PROTOCOL" in (exc.reason or ""):
                raise _no_websocket(self.server) from exc
            raise
        shaken = transport.get_extra_info("ssl_object")
        if shaken is not None and shaken.selected_alpn_protocol() != "http/1.1":
            transport.abort()
            raise _no_websocket(self.server)
        self.all.add(connection)
        return connection


def _no_websocket(server: Server) -> BackendError:
    """For a server that can carry none, though it is well; the log says what to do."""
    lacks = "nor HTTP/1.1 by ALPN" if server.tls else "and HTTP/1.1 can't be agreed on without TLS"
    advice = (
        "give the path of its WebSockets a route whose backend is a port of HTTP/1.1 (http:// or https://)"
    )
    return BackendError(
        "the backend takes no WebSocket",
        code="bad_websocket",
        status=501,
        detail=f"{server}: its HTTP/2 has no WebSockets (RFC 8441), {lacks}; {advice}",
    )
