"""gRPC without generated code: a server of grpclib whose messages are bytes, and clients of it, also through a gateway.

async with Backend(ports.take()) as backend: …
async with client("localhost", port, ca_file) as channel:
    reply = await unary(channel, b"ping")
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from grpclib.client import (
    Channel,
    StreamStreamMethod,
    StreamUnaryMethod,
    UnaryStreamMethod,
    UnaryUnaryMethod,
)
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

SERVICE = "/vestibule.test.Calls"


class Bytes(CodecBase):
    """Messages are what they are."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return message

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


async def gone(protocol: Any) -> None:
    """Its connection is broken off, and the loop has let go of it."""
    transport = getattr(getattr(protocol, "connection", None), "_transport", None)
    if transport is not None:
        transport.abort()
    await asyncio.sleep(0.01)


class Abrupt(Server):
    """Its connections can be broken off: grpclib's own waits until clients close them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.made: list[Any] = []

    def _protocol_factory(self) -> Any:
        self.made.append(super()._protocol_factory())
        return self.made[-1]


class Backend:
    """A server: `seen` is the metadata of each call, `under_way` how many there are."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.context = context
        self.seen: list[dict[str, str]] = []
        self.under_way = 0
        self.most = 0
        self.cancelled = 0
        self.server: Abrupt | None = None

    def __mapping__(self) -> dict[str, Handler]:
        kinds = {
            "Unary": (self.unary, Cardinality.UNARY_UNARY),
            "Down": (self.down, Cardinality.UNARY_STREAM),
            "Up": (self.up, Cardinality.STREAM_UNARY),
            "Both": (self.both, Cardinality.STREAM_STREAM),
            "Fail": (self.fail, Cardinality.UNARY_UNARY),
            "Half": (self.half, Cardinality.UNARY_STREAM),
            "Sleep": (self.sleep, Cardinality.UNARY_UNARY),
            "Who": (self.who, Cardinality.UNARY_UNARY),
        }
        return {
            f"{SERVICE}/{name}": Handler(function, kind, bytes, bytes)
            for name, (function, kind) in kinds.items()
        }

    async def start(self) -> None:
        self.server = Abrupt(
            [self], codec=Bytes(), config=Configuration(http2_connection_window_size=4 << 20)
        )
        await self.server.start("127.0.0.1", self.port, ssl=self.context)

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            for protocol in self.server.made:
                await gone(protocol)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.server.wait_closed(), 1)
            self.server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @contextlib.contextmanager
    def _noted(self, stream: Stream) -> Any:
        self.seen.append({name: str(value) for name, value in stream.metadata.items()})
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            yield
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1

    # -- what can be called --------------------------------------------------------------------

    async def unary(self, stream: Stream) -> None:
        with self._noted(stream):
            message = await stream.recv_message()
            await stream.send_initial_metadata(metadata={"x-first": "1", "x-first-bin": b"\x00\xff"})
            await stream.send_message(message[::-1])
            await stream.send_trailing_metadata(metadata={"x-last": "2"})

    async def down(self, stream: Stream) -> None:
        with self._noted(stream):
            count, size = json.loads(await stream.recv_message())
            for number in range(count):
                await stream.send_message(bytes([number % 256]) * size)

    async def up(self, stream: Stream) -> None:
        with self._noted(stream):
            sizes = [len(message) async for message in stream]
            await stream.send_message(json.dumps([len(sizes), sum(sizes)]).encode())

    async def both(self, stream: Stream) -> None:
        with self._noted(stream):
            async for message in stream:
                await stream.send_message(message.upper())

    async def fail(self, stream: Stream) -> None:
        with self._noted(stream):
            await stream.recv_message()
            await stream.send_trailing_metadata(status=Status.NOT_FOUND, status_message="no such thing: ä %")

    async def half(self, stream: Stream) -> None:
        with self._noted(stream):
            await stream.recv_message()
            await stream.send_message(b"one")
            raise GRPCError(Status.DATA_LOSS, "the rest is gone")

    async def sleep(self, stream: Stream) -> None:
        with self._noted(stream):
            await stream.send_message(str(await asyncio.sleep(float(await stream.recv_message()))).encode())

    async def who(self, stream: Stream) -> None:
        with self._noted(stream):
            await stream.recv_message()
            await stream.send_message(json.dumps(self.seen[-1]).encode())


@contextlib.asynccontextmanager
async def client(host: str, port: int, ca_file: Path | None = None) -> AsyncIterator[Channel]:
    """One connection of HTTP/2: by TLS, or without where there is no `ca_file`."""
    context = None
    if ca_file is not None:
        context = ssl.create_default_context(cafile=str(ca_file))
        context.set_alpn_protocols(["h2"])
    channel = Channel(host, port, ssl=context, codec=Bytes())
    try:
        yield channel
    finally:
        await gone(channel._protocol)
        channel.close()


async def unary(channel: Channel, message: bytes, name: str = "Unary", **options: Any) -> bytes:
    reply: bytes = await UnaryUnaryMethod(channel, f"{SERVICE}/{name}", bytes, bytes)(message, **options)
    return reply


async def down(channel: Channel, message: bytes, name: str = "Down", **options: Any) -> list[bytes]:
    return await UnaryStreamMethod(channel, f"{SERVICE}/{name}", bytes, bytes)(message, **options)


async def up(channel: Channel, messages: list[bytes]) -> bytes:
    reply: bytes = await StreamUnaryMethod(channel, f"{SERVICE}/Up", bytes, bytes)(messages)
    return reply


def both(channel: Channel) -> Any:
    return StreamStreamMethod(channel, f"{SERVICE}/Both", bytes, bytes).open()
