"""WebSockets through the gateway: kosoku's conformance cases, and what happens when either side goes."""

from __future__ import annotations

import asyncio
import contextlib

import kosoku
import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from tests.real import raw

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "localhost" {
  backend = "127.0.0.1:BACKEND"
  access {
    allow = ["public"]
  }
}
"""


async def echo(connection):
    async for message in connection:
        await connection.send(message)


class Echo:
    """A WebSocket server that sends everything back, and remembers how each connection ended."""

    def __init__(self, port):
        self.port = port
        self.opened = []
        self.closed = asyncio.Queue()

    async def __call__(self, connection):
        self.opened.append(connection)
        with contextlib.suppress(websockets.ConnectionClosedError):
            await echo(connection)
        await connection.wait_closed()
        await self.closed.put(connection.close_code)


@pytest.fixture
async def backend(ports):
    backend = Echo(ports.take())
    async with serve(backend, "127.0.0.1", backend.port, max_size=None):
        yield backend


@pytest.fixture
def url(gateway, backend):
    return f"ws://localhost:{gateway(CONFIGURATION.replace('BACKEND', str(backend.port))).port}"


async def verdicts(url, cases=None):
    """Each case's two verdicts. 9, 12 and 13 are sizes and compression: they take minutes, and pass as any bytes do."""
    try:
        results = await kosoku.run_fuzzingclient(
            url, cases=cases, exclude_cases=["9.*", "12.*", "13.*"], concurrency=1 if cases else 4
        )
    except kosoku.FailureError as error:
        results = error.results
    return {result.case_id: (result.behavior.value, result.behavior_close.value) for result in results}


async def test_every_case_ends_as_it_does_without_the_gateway(url, backend):
    direct = await verdicts(f"ws://127.0.0.1:{backend.port}")
    assert len(direct) > 200
    assert sum(verdict[0] != "FAILED" for verdict in direct.values()) >= len(direct) - 2
    through = await verdicts(url)
    # Some cases end in one of two ways, by what the client reads first: those are asked again, one by one.
    for case in sorted(direct):
        for _ in range(10):
            if through[case] == direct[case]:
                break
            direct |= await verdicts(f"ws://127.0.0.1:{backend.port}", [case])
            through |= await verdicts(url, [case])
    assert through == direct


async def test_big_messages_pass_both_ways_in_order(url):
    async with connect(f"{url}/chat", max_size=None, compression=None) as client:
        messages = [bytes([number]) * (1 << 20) for number in range(16)]
        sending = asyncio.create_task(send_all(client, messages))
        for message in messages:
            assert await client.recv() == message
        await sending


async def send_all(client, messages):
    for message in messages:
        await client.send(message)


async def test_the_closing_code_of_either_side_arrives_at_the_other(url, backend):
    async with connect(url) as client:
        await client.close(4001, "bye")
        assert await backend.closed.get() == 4001
    async with connect(url) as client:
        await backend.opened[-1].close(4002, "enough")
        with pytest.raises(websockets.ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4002, "enough")


async def test_a_client_that_vanishes_takes_the_backend_connection_with_it(url, backend):
    client = await connect(url)
    await client.send("x")
    assert await client.recv() == "x"
    client.transport.abort()
    async with asyncio.timeout(30):
        assert await backend.closed.get() == 1006


async def test_a_backend_that_vanishes_takes_the_client_connection_with_it(url, backend):
    async with connect(url) as client:
        backend.opened[-1].transport.abort()
        async with asyncio.timeout(30):
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()
        assert client.close_code == 1006


@pytest.mark.parametrize("protocol", [b"h2c", b"tls/1.0", b"websocket2", b"h2c, websocket"])
async def test_nothing_but_a_websocket_is_upgraded(url, protocol):
    port = int(url.rpartition(":")[2])
    async with raw.connect(port) as connection:
        answer = await connection.ask(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % protocol
        )
        assert answer.status != 101
        assert answer.get(b"upgrade") in (None, b"websocket")
