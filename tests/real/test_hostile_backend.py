"""Backends of HTTP/2 that mean harm, over real connections: what they send is bounded, and nobody else is hurt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hpack import Encoder

from tests.helpers import frames_h2 as f
from tests.real.raw import connect

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}
host "localhost" {
  backend = "internal:echo"
  access { allow = ["public"] }
  ROUTES
}
"""
ROUTE = """
  route "/%s/" {
    backend = "h2c://127.0.0.1:%d"
  }
"""
OK = ((b":status", b"200"),)
FLOOD_MAX_BYTES = 64 << 20
"""Whoever takes so much of it takes all."""


def bomb() -> bytes:
    """Some 20 KB that are 60 MB of fields: one that the table holds, named again and again."""
    block = Encoder().encode([(b":status", b"200"), (b"x", b"y" * 4000)])
    return f.raw(f.HEADERS, f.END_HEADERS, 1, block + b"\xbe" * 12_000)


HOSTILE = {
    "bomb": (bomb(), False),
    "endless": (f.headers(OK, flags=0, ends=False), f.raw(f.CONTINUATION, 0, 1, bytes(64))),
    "pings": (b"", f.raw(f.PING, 0, 0, b"8 bytes!")),
    "settings": (b"", f.settings()),
    "interim": (b"", f.headers(((b":status", b"103"),), ends=False)),
    "push": (f.raw(f.PUSH_PROMISE, f.END_HEADERS, 1, bytes((0, 0, 0, 2)) + f.block(f.GET)), False),
}
"""What each says when it is asked, and what it goes on with for as long as anybody takes it."""


class Enemy:
    """A backend that says this to who asks it."""

    def __init__(self, said: bytes, flood: bytes | bool) -> None:
        self.said = said
        self.flood = flood or b""
        self.asked = 0
        self.ended = asyncio.Queue[int]()
        """How much of the flood was taken, for each connection that is over."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = 0
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readexactly(24)
            writer.write(f.settings())
            while True:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3]))
                if head[3] == f.HEADERS:
                    break
            self.asked += 1
            writer.write(self.said)
            piece = self.flood * 1000
            while piece and taken < FLOOD_MAX_BYTES:
                writer.write(piece)
                await writer.drain()
                taken += len(piece)
            while await reader.read(1 << 16):
                pass
        writer.close()
        await self.ended.put(taken)


@pytest.fixture
async def enemies(ports) -> AsyncIterator[dict[str, tuple[int, Enemy]]]:
    async with contextlib.AsyncExitStack() as stack:
        found = {}
        for name, (said, flood) in HOSTILE.items():
            enemy, port = Enemy(said, flood), ports.take()
            await stack.enter_async_context(await asyncio.start_server(enemy, "127.0.0.1", port))
            found[name] = (port, enemy)
        yield found
        await asyncio.sleep(0.05)  # their last connections are gone


async def test_what_a_hostile_backend_sends_is_bounded_and_nobody_else_is_hurt(gateway, enemies):
    routes = "".join(ROUTE % (name, port) for name, (port, _) in enemies.items())
    running = await asyncio.to_thread(gateway, CONFIGURATION.replace("ROUTES", routes))
    before = await asyncio.to_thread(running.pss_bytes)
    for name, (_, enemy) in enemies.items():
        async with connect(running.port) as victim, connect(running.port) as other:
            await victim.send(b"GET /%s/ HTTP/1.1\r\nHost: localhost\r\n\r\n" % name.encode())
            assert (await other.ask(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")).status == 200
            while (answer := await victim.answer()).status == 103:
                """Some of these a backend may send."""
            assert answer.status == 502, name
        async with asyncio.timeout(60):
            assert await enemy.ended.get() < FLOOD_MAX_BYTES, name
    assert await asyncio.to_thread(running.pss_bytes) < before + (40 << 20)
    await asyncio.to_thread(running.stop)
