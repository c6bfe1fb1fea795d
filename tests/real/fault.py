"""A network that breaks: a TCP proxy before one server, whose faults are switched while connections live.

    fault = Fault(ports.take(), server_port)    # all passes
    fault.slow(5.0)                             # each byte is that late, both ways
    fault.calm()                                # all passes again; what was held back is delivered, late

A fault holds for connections that are there and for those to come. It runs in a thread of its own, so that a test may
switch it from anywhere, and a test's busy loop slows nobody down but itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

_CHUNK_BYTES = 64 * 1024
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST, as a cable that is pulled or a process that is killed does."""


@dataclasses.dataclass(frozen=True)
class _State:
    """What is broken just now."""

    late_s: float = 0.0
    is_silent: bool = False
    bytes_per_s: float = 0.0
    reply_bytes: int = -1
    """How much of what the server says passes yet, a connection; -1: all."""
    cuts_after_reply: bool = False


_CALM = _State()


class Fault:
    """A proxy on `port` of loopback, before the server on `target`."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self.accepted = 0
        """How many connections came, ever."""
        self.state = _CALM
        self.changed = asyncio.Event()
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fault {port}", daemon=True)
        self._thread.start()
        self._do(self._listen())

    # -- faults ----------------------------------------------------------------------------------

    def calm(self) -> None:
        """Nothing is broken any more; what was held back is delivered."""
        self._do(self._use(_CALM))

    def refuse(self) -> None:
        """The server is gone: connections are reset, new ones refused."""
        self._do(self._refuse())

    def cut(self) -> None:
        """All connections that are there are reset, once; new ones are as before."""
        self._do(self._cut())

    def slow(self, late_s: float) -> None:
        """Every byte is that late, both ways."""
        self._do(self._use(_State(late_s=late_s)))

    def hang(self) -> None:
        """Connections are taken and stay, and nobody says a word on them, either way."""
        self._do(self._use(_State(is_silent=True)))

    def half(self, reply_bytes: int, *, cut: bool = False) -> None:
        """So much more of what the server says passes, a connection; then nothing does, or it is cut."""
        self._do(self._use(_State(reply_bytes=reply_bytes, cuts_after_reply=cut)))

    def throttle(self, bytes_per_s: float) -> None:
        """No more than this passes, a connection and direction."""
        self._do(self._use(_State(bytes_per_s=bytes_per_s)))

    def lead_to(self, target: int) -> None:
        """Connects to another port from now on; those that are there are reset."""
        self.target = target
        self.cut()

    # -- the rest --------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._pairs)

    def close(self) -> None:
        """Ends it, with all connections."""
        if not self._loop.is_closed():
            self._do(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, backlog=1000, limit=_CHUNK_BYTES
            )

    async def _use(self, state: _State) -> None:
        """This is broken now, and nothing else."""
        await self._listen()
        self.state = state
        for pair in self._pairs:
            pair.replied_bytes = 0
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        there = frozenset(self._pairs)
        for pair in there:
            pair.cut()
        while there & self._pairs:  # who comes again at once isn't waited for
            await asyncio.sleep(0)

    async def _end(self) -> None:
        await self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        pair = _Pair(self, writer)
        self._pairs.add(pair)
        try:
            await pair.run(reader)
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pairs.discard(pair)
            pair.cut()


class Faults:
    """Several networks that are hurt together, as one that leads to several servers."""

    def __init__(self, *each: Fault) -> None:
        self.each = each

    def calm(self) -> None:
        """As all of these: see `Fault`."""
        for one in self.each:
            one.calm()

    def refuse(self) -> None:
        """All are gone."""
        for one in self.each:
            one.refuse()

    def cut(self) -> None:
        """All connections are reset, once."""
        for one in self.each:
            one.cut()

    def slow(self, late_s: float) -> None:
        """All are that late."""
        for one in self.each:
            one.slow(late_s)

    def hang(self) -> None:
        """Nobody says a word."""
        for one in self.each:
            one.hang()

    def half(self, reply_bytes: int, *, cut: bool = False) -> None:
        """So much more passes, a connection."""
        for one in self.each:
            one.half(reply_bytes, cut=cut)

    def throttle(self, bytes_per_s: float) -> None:
        """No more than this passes, a connection and direction."""
        for one in self.each:
            one.throttle(bytes_per_s)


class _Pair:
    """One connection of a client's, and that to the server."""

    def __init__(self, fault: Fault, client: asyncio.StreamWriter) -> None:
        self.fault = fault
        self.replied_bytes = 0
        """Since the fault that there is began."""
        self._writers = [client]
        self._task = asyncio.current_task()

    async def run(self, reader: asyncio.StreamReader) -> None:
        [client] = self._writers
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.fault.target)
        self._writers.append(to_server)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._way(reader, to_server, self._passed))
            group.create_task(self._way(from_server, client, self._replied))

    def cut(self) -> None:
        """Reset both."""
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            if connection is not None and not writer.transport.is_closing():
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()
        self._writers.clear()
        if self._task is not asyncio.current_task():
            self._task.cancel()

    async def _way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, allowed: Callable[[int], int]
    ) -> None:
        """Copies one direction: what came is due a little later than it came, in order, as much as may pass."""
        coming: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(reader, coming))
            while True:
                came_at, chunk = await coming.get()
                await self._until_due(came_at)
                if not chunk:
                    writer.write_eof()
                    return
                while chunk:
                    size = allowed(len(chunk))
                    if size == 0:
                        await self._held()
                        continue
                    rate = self.fault.state.bytes_per_s
                    if rate:
                        size = min(size, max(1, int(rate * 0.02)))
                        await asyncio.sleep(size / rate)
                    writer.write(chunk[:size])
                    await writer.drain()
                    chunk = chunk[size:]

    async def _take(self, reader: asyncio.StreamReader, coming: asyncio.Queue[tuple[float, bytes]]) -> None:
        clock = asyncio.get_running_loop().time
        while chunk := await reader.read(_CHUNK_BYTES):
            await coming.put((clock(), chunk))
        await coming.put((clock(), b""))

    async def _until_due(self, came_at: float) -> None:
        clock = asyncio.get_running_loop().time
        while (wait_s := came_at + self.fault.state.late_s - clock()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.fault.changed.wait(), wait_s)

    async def _held(self) -> None:
        """Until another fault, or none, is switched on."""
        if self.fault.state.cuts_after_reply:
            raise ConnectionResetError
        await self.fault.changed.wait()

    def _passed(self, size: int) -> int:
        """How much of this many bytes for the server may pass."""
        return 0 if self.fault.state.is_silent else size

    def _replied(self, size: int) -> int:
        """How much of this many bytes for the client may pass."""
        state = self.fault.state
        if state.is_silent:
            return 0
        if state.reply_bytes >= 0:
            size = min(size, state.reply_bytes - self.replied_bytes)
        self.replied_bytes += size
        return size
