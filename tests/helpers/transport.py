"""asyncio without sockets and without waiting: a loop whose clock is moved by hand, and transports that keep bytes.

    loop = FakeLoop()
    transport = loop.connect(protocol)          # connection_made
    transport.receive(b"GET / HTTP/1.1\\r\\n…")   # data_received, and all that follows from it
    assert transport.written == b"HTTP/1.1 200 …"
    loop.advance(11)                            # timers that are due run

Outgoing connections lead to `loop.network`: an address there is a `FakeServer` that accepts, refuses or is silent.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import events
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

HIGH_WATER_BYTES = 64 * 1024
LOW_WATER_BYTES = 16 * 1024

T = TypeVar("T")


class FakeLoop(asyncio.BaseEventLoop):
    """An event loop that never waits: `settle` runs what is ready, `advance` moves its clock."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        self._selector = self
        self.network: dict[tuple[str, int] | str, FakeServer] = {}
        self.errors: list[BaseException] = []
        self.set_exception_handler(
            lambda _, context: self.errors.append(context.get("exception") or LoopError(context))
        )

    def time(self) -> float:
        return self._now

    def settle(self) -> None:
        """Run everything that is ready, and what becomes ready by it. Raises what no one caught."""
        if self.is_running():
            return  # called from within: the outer one goes on
        self._thread_id = threading.get_ident()
        events._set_running_loop(self)
        try:
            while self._ready:
                self._run_once()
        finally:
            self._thread_id = None
            events._set_running_loop(None)
        if self.errors:
            raise self.errors.pop(0)

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call it from within the loop, and settle."""
        self.call_soon(function, *args)
        self.settle()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns; it may wait for nothing but other ready work."""
        task = self.create_task(work)
        self.settle()
        return task.result()

    def advance(self, seconds: float) -> None:
        """Let this much time pass; timers run at their own time."""
        end = self._now + seconds
        due = [timer.when() for timer in self._scheduled if not timer.cancelled() and timer.when() <= end]
        for when in sorted(due):
            self._now = max(self._now, when)
            self.run(lambda: None)
        self._now = end

    def connect(
        self, protocol: asyncio.Protocol, peer: tuple[str, int] | str = ("192.0.2.7", 40000)
    ) -> FakeTransport:
        """The transport of a connection that has come in."""
        transport = FakeTransport(self, protocol, {"peername": peer})
        self.run(protocol.connection_made, transport)
        return transport

    # -- what BaseEventLoop wants --------------------------------------------------------------

    def select(self, timeout: float | None) -> list[Any]:
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    # -- outgoing connections ------------------------------------------------------------------

    async def create_connection(self, factory, host=None, port=None, *, ssl=None, server_hostname=None):
        return await self._reach((host, port), factory, ssl, server_hostname)

    async def create_unix_connection(self, factory, path=None, *, ssl=None, server_hostname=None):
        return await self._reach(path, factory, ssl, server_hostname)

    async def _reach(self, address, factory, ssl, server_hostname):
        server = self.network.get(address)
        if server is None or server.refuses:
            raise ConnectionRefusedError(111, "Connection refused")
        if server.error is not None:
            raise server.error
        if server.is_silent:
            server.gate = self.create_future()
            await server.gate
        protocol = factory()
        transport = FakeTransport(self, protocol, {"peername": address, "ssl": ssl, "name": server_hostname})
        protocol.connection_made(transport)
        server.connections.append(transport)
        return transport, protocol


class LoopError(Exception):
    """What the loop was told of without an exception."""


class FakeServer:
    """An address that can be connected to; `connections` are the transports of those who did, as they see them."""

    def __init__(self) -> None:
        self.refuses = False
        self.is_silent = False
        self.gate: asyncio.Future[None] | None = None
        """What the latest of those who wait for a silent server waits for."""
        self.error: Exception | None = None
        """What connecting raises, where it is not a refusal."""
        self.connections: list[FakeTransport] = []

    @property
    def open(self) -> list[FakeTransport]:
        return [connection for connection in self.connections if not connection.is_closed]


class FakeTransport(asyncio.Transport):
    """A connection as its protocol sees it; `written` is what the other end has got of it."""

    def __init__(
        self, loop: FakeLoop, protocol: asyncio.Protocol, extra: dict[str, Any] | None = None
    ) -> None:
        super().__init__(extra)
        self.loop = loop
        self.protocol = protocol
        self.written = b""
        self.unsent = b""
        """Written by the protocol, not taken by the other end, which `reads` not."""
        self.reads = True
        self.is_reading_now = True
        self.waiting: list[bytes] = []
        """Sent by the other end while the protocol had paused reading."""
        self.is_closed = False
        self.was_aborted = False
        self.has_ended_writing = False
        self._closing = False
        self._paused_protocol = False

    # -- the other end -------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """The other end sends; kept back while reading is paused, as the kernel would."""
        self.waiting.append(data)
        self.loop.run(self._deliver)

    def end(self) -> None:
        """The other end sends its EOF."""
        self.loop.run(self._deliver_eof)

    def lose(self, exc: Exception | None = None) -> None:
        """The connection breaks."""
        self._closing = True
        self.loop.run(self._lose, exc)

    def take(self, size: int | None = None) -> bytes:
        """The other end reads what was unsent."""
        size = len(self.unsent) if size is None else size
        taken, self.unsent = self.unsent[:size], self.unsent[size:]
        self.written += taken
        self.loop.run(self._after_take)
        return taken

    def clear(self) -> bytes:
        """What was written since the last time."""
        written, self.written = self.written, b""
        return written

    def _deliver(self) -> None:
        while self.waiting and self.is_reading_now and not self._closing:
            self.protocol.data_received(self.waiting.pop(0))

    def _deliver_eof(self) -> None:
        if not self._closing and not self.protocol.eof_received():
            self.close()

    def _after_take(self) -> None:
        if self._paused_protocol and len(self.unsent) <= LOW_WATER_BYTES and not self.is_closed:
            self._paused_protocol = False
            self.protocol.resume_writing()
        if self._closing and not self.unsent:
            self._lose(None)

    def _lose(self, exc: Exception | None) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.protocol.connection_lost(exc)

    # -- asyncio.Transport ---------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        assert not self.has_ended_writing, "a write after write_eof"
        if self._closing:
            return
        if self.reads and not self.unsent:
            self.written += data
            return
        self.unsent += data
        if not self._paused_protocol and len(self.unsent) > HIGH_WATER_BYTES:
            self._paused_protocol = True
            self.protocol.pause_writing()

    def writelines(self, parts) -> None:
        self.write(b"".join(parts))

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended_writing = True

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True
        self.loop.call_soon(self._deliver)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_reading(self) -> bool:
        return self.is_reading_now

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self.unsent:
                self.loop.call_soon(self._lose, None)

    def abort(self) -> None:
        if not self.is_closed:
            self.was_aborted = True
            self._closing = True
            self.unsent = b""
            self.loop.call_soon(self._lose, None)
