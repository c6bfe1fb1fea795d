"""gRPC as far as one unary call goes, on a listener of its own: messages in and out, by whom they may come.

Imported only where it is configured: HTTP/2 costs a tenth of a second at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator, Mapping

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.protocol import AbstractHandler, H2Protocol, Stream
from h2.config import H2Configuration
from h2.exceptions import H2Error

from vestibule.core.listener import ListenAddress
from vestibule.protocol.ext_authz import CHECK_METHOD, MESSAGE_LIMIT_BYTES
from vestibule.proxy.binding import Bound
from vestibule.proxy.exchange import Listener as Site
from vestibule.proxy.forward.check import Checks
from vestibule.proxy.listener import BACKLOG, UnderWay

CALL_S = 20.0
"""How long one call may take; longer than whatever waits for a store or a provider."""
_PREFIX = struct.Struct(">BI")
_HEAD = [(":status", "200"), ("content-type", "application/grpc+proto")]
_CONFIGURATION = Configuration().__for_server__()
_H2 = H2Configuration(client_side=False, header_encoding="utf-8")


class GrpcListener(Bound):
    """One address for gRPC; to the app a listener like the others."""

    def __init__(self, address: ListenAddress, checks: Checks, site: Site) -> None:
        super().__init__(address)
        self.open: set[Streams] = set()
        self.draining = False
        self.checks = checks
        self.site = site
        self._servers: list[asyncio.Server] = []

    def use(self, checks: Checks, site: Site) -> None:
        """Answer by these from the next call on."""
        self.checks, self.site = checks, site

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address can't be had."""
        loop = asyncio.get_running_loop()
        for bound in self.bind():
            self._servers.append(await loop.create_server(self.connected, sock=bound, backlog=BACKLOG))

    def under_way(self) -> Iterator[UnderWay]:
        """What is being answered."""
        for streams in self.open:
            yield from streams.under_way()

    def connected(self) -> H2Protocol:
        """The protocol of a new connection."""
        streams = Streams(self)
        self.open.add(streams)
        return streams.protocol

    def believes(self, peer: str) -> bool:
        """True for an edge: on this machine whoever connects, elsewhere who is listed."""
        return self.address.is_loopback or peer in self.checks.trusted

    def report(self, error: Exception) -> None:
        """Log what nobody meant."""
        self.checks.log.error("fault", error=repr(error))

    def sweep(self, now: float) -> None:
        """Each call has a deadline of its own, and connections are pinged."""

    def stop(self) -> None:
        """Accept nothing more; busy connections close after their last answer."""
        self.draining = True
        for server in self._servers:
            server.close()
        self.let_go()

    @property
    def is_empty(self) -> bool:
        """True when it has no connection."""
        return not self.open

    @property
    def is_busy(self) -> bool:
        """True while a call is under way."""
        return any(not streams.is_idle for streams in self.open)

    def close_idle(self) -> None:
        """Close the connections on which nothing is under way."""
        for streams in list(self.open):
            streams.close_idle()

    def abort(self) -> None:
        """Close what is still open."""
        for streams in list(self.open):
            streams.hang_up()


class _Call:
    """One call, as far as it can be waited for."""

    lasts = False

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    @property
    def is_over(self) -> bool:
        return self._task.done()


class Streams(AbstractHandler):
    """The calls on one connection."""

    def __init__(self, listener: GrpcListener) -> None:
        self._listener = listener
        self._tasks: dict[Stream, asyncio.Task[None]] = {}
        self.protocol = H2Protocol(self, _CONFIGURATION, _H2)

    def accept(
        self, stream: Stream, headers: list[tuple[str, str]], release_stream: Callable[[], None]
    ) -> None:
        """A call begins."""
        task = asyncio.get_running_loop().create_task(self._serve(stream, dict(headers)), name="grpc call")
        self._tasks[stream] = task
        task.add_done_callback(lambda _: self._ended(stream, release_stream))

    def cancel(self, stream: Stream) -> None:
        """Nobody waits for its answer any more."""
        task = self._tasks.get(stream)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """The connection is gone."""
        self._listener.open.discard(self)
        for task in self._tasks.values():
            task.cancel()

    def under_way(self) -> Iterator[UnderWay]:
        """What is being answered."""
        return (_Call(task) for task in self._tasks.values())

    @property
    def is_idle(self) -> bool:
        """True while no call is under way."""
        return not self._tasks

    def close_idle(self) -> None:
        """Close, when nothing is under way."""
        if self.is_idle:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the connection, if it was made already."""
        processor = getattr(self.protocol, "processor", None)
        if processor is not None:
            processor.close("the program ends")

    def _ended(self, stream: Stream, release_stream: Callable[[], None]) -> None:
        del self._tasks[stream]
        release_stream()
        if self._listener.draining:
            self.close_idle()

    async def _serve(self, stream: Stream, headers: Mapping[str, str]) -> None:
        try:
            async with asyncio.timeout(CALL_S):
                message = await self._received(stream, headers)
                answer = await self._listener.checks.answer(message, self._listener.site)
                await stream.send_headers(_HEAD)
                await stream.send_data(_PREFIX.pack(0, len(answer)) + answer)
                await stream.send_headers([("grpc-status", "0")], end_stream=True)
        except _Refused as refused:
            await self._refuse(stream, *refused.args)
        except TimeoutError:
            await self._refuse(stream, Status.DEADLINE_EXCEEDED, "it took too long")
        except H2Error:
            pass  # Envoy has given the call up
        except Exception as error:  # noqa: BLE001 - the boundary: Envoy lets nobody pass without an answer
            self._listener.report(error)
            await self._refuse(stream, Status.INTERNAL, "internal error")

    async def _received(self, stream: Stream, headers: Mapping[str, str]) -> bytes:
        """The one message of the call. Raises _Refused."""
        addr = stream.connection.get_peer().addr()
        peer = addr[0] if isinstance(addr, tuple) else ""
        if not self._listener.believes(peer):
            self._listener.checks.log.info("refused", status=403, code="untrusted_edge", peer=peer)
            raise _Refused(Status.PERMISSION_DENIED, f"gateway.trusted_proxies does not list {peer}")
        content_type = headers.get("content-type", "")
        if headers.get(":method") != "POST" or not content_type.startswith("application/grpc"):
            raise _Refused(Status.UNIMPLEMENTED, "this is gRPC's")
        if headers.get(":path") != CHECK_METHOD:
            raise _Refused(Status.UNIMPLEMENTED, "there is no such method")
        prefix = await stream.recv_data(_PREFIX.size)
        compressed, length = _PREFIX.unpack(prefix) if prefix else (0, 0)
        if compressed:
            raise _Refused(Status.UNIMPLEMENTED, "messages are not compressed here")
        if length > MESSAGE_LIMIT_BYTES:
            raise _Refused(Status.RESOURCE_EXHAUSTED, "the message is too long")
        return await stream.recv_data(length)

    async def _refuse(self, stream: Stream, status: Status, message: str) -> None:
        with contextlib.suppress(H2Error):
            trailers = [("grpc-status", str(status.value)), ("grpc-message", message)]
            await stream.send_headers([*_HEAD, *trailers], end_stream=True)
            if stream.closable:
                stream.reset_nowait()


class _Refused(Exception):
    """A call that asks nothing; its arguments are a status and a message."""
