"""The proxy that breaks things does break them, and nothing else: what other tests rest on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.real.fault import Fault

pytestmark = pytest.mark.real


@pytest.fixture
async def echo(free_port) -> AsyncIterator[int]:
    """A server that says what it hears."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1000):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", free_port)
    yield free_port
    server.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, words: bytes) -> None:
        self.writer.write(words)

    async def hear(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), 60)

    async def hears_nothing(self, size: int = 1) -> bytes:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.reader.readexactly(size), 0.15)
        return b""

    async def is_cut(self) -> None:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await self.hear(1)


@pytest.fixture
async def clients(fault, echo) -> AsyncIterator[tuple[Fault, list[Client]]]:
    """The proxy, one connection that works and the way to more."""
    proxy = fault(echo)
    made: list[Client] = []

    async def connect() -> Client:
        made.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return made[-1]

    yield proxy, connect
    for one in made:
        one.writer.close()


async def test_calm_it_passes_everything_both_ways_also_much(clients):
    _, connect = clients
    client = await connect()
    words = bytes(range(256)) * 4000
    client.say(words)
    assert await client.hear(len(words)) == words


async def test_a_server_that_is_gone_cuts_those_who_are_there_and_refuses_others_until_it_is_back(clients):
    fault, connect = clients
    client = await connect()
    client.say(b"x")
    assert await client.hear(1) == b"x"
    fault.refuse()
    await client.is_cut()
    with pytest.raises(ConnectionRefusedError):
        await connect()
    assert fault.open == 0
    fault.calm()
    client = await connect()
    client.say(b"y")
    assert await client.hear(1) == b"y"


async def test_a_cut_is_once(clients):
    fault, connect = clients
    client, other = await connect(), await connect()
    for one in (client, other):
        one.say(b"x")
        assert await one.hear(1) == b"x"
    fault.cut()
    await client.is_cut()
    await other.is_cut()
    client = await connect()
    client.say(b"y")
    assert await client.hear(1) == b"y"


@pytest.mark.parametrize("switch", [Fault.hang, lambda fault: fault.slow(60.0)], ids=["hang", "slow"])
async def test_what_was_held_back_comes_late_also_on_new_connections(clients, switch):
    fault, connect = clients
    old = await connect()
    old.say(b"x")
    assert await old.hear(1) == b"x"
    switch(fault)
    new = await connect()
    for one in (old, new):
        one.say(b"late")
    for one in (old, new):
        await one.hears_nothing()
    fault.calm()
    for one in (old, new):
        assert await one.hear(4) == b"late"


async def test_half_a_reply_and_then_nothing(clients):
    fault, connect = clients
    client = await connect()
    fault.half(3)
    client.say(b"abcdef")
    assert await client.hear(3) == b"abc"
    await client.hears_nothing()
    fault.calm()
    assert await client.hear(3) == b"def"


async def test_half_a_reply_and_then_a_cut(clients):
    fault, connect = clients
    fault.half(3, cut=True)
    client = await connect()
    client.say(b"abcdef")
    assert await client.hear(3) == b"abc"
    await client.is_cut()


async def test_a_throttled_connection_still_passes_everything(clients):
    fault, connect = clients
    fault.throttle(5_000)
    client = await connect()
    client.say(b"z" * 5000)
    await client.hears_nothing(5000)
    fault.calm()
    # what a read that was given up had taken is in the reader's buffer still
    assert await client.hear(5000) == b"z" * 5000
