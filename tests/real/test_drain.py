"""The end of a gateway: what is under way is answered, what has no end is ended, and who asks is told in time."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from tests.browser.office import Office, open_office
from tests.real import raw

pytestmark = pytest.mark.real

WATCHED = ("/live", "/traffic/live")


@pytest.fixture(params=[1, 2], ids=["one process", "workers"])
async def office(ports, state_dir, request) -> AsyncIterator[Office]:
    async with open_office(ports, state_dir / "office", workers=request.param) as office:
        yield office


async def test_who_watches_keeps_no_gateway_from_ending(office: Office) -> None:
    ops = f"http://ops.example.com:{office.gateway.port}"
    olga = await office.visitor()
    await office.sign_in(olga, "ops", ops)
    await office.sign_in(olga, "ops", office.url)
    process = office.gateway.process
    async with asyncio.timeout(120):
        answers = [await olga.get(f"{at}{path}") for at in (ops, office.url) for path in WATCHED]
        for answer in answers:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            assert await answer.content.readany()
        os.kill(process.pid, signal.SIGTERM)
        # Else each of them would end where the time for answers under way is over, broken off.
        for answer in answers:
            await answer.read()


# -- requests under way ----------------------------------------------------------------------------------------------

CONFIGURATION = """
gateway {
  http        = ["127.0.0.1:{port}"]
  workers     = WORKERS
  drain       = "30s"
  drain_delay = "DELAY"
}

host "localhost" {
  backend = "127.0.0.1:BACKEND"
  access {
    allow = ["public"]
  }
}
"""
GET = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Slow:
    """A backend that answers `/N` after N milliseconds, `/held` when it is told to, and `/stream` without an end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.came: list[bytes] = []
        """The paths that it was asked for, without `/`."""
        self.may_begin = asyncio.Event()
        """Not set: milliseconds don't count yet."""
        self.may_begin.set()
        self.may_answer = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1][1:]
                self.came.append(path)
                if path == b"stream":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
                    await reader.read()
                    break
                if path == b"held":
                    await self.may_answer.wait()
                else:
                    await self.may_begin.wait()
                    await asyncio.sleep(int(path) / 1000)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def has(self, *paths: bytes) -> None:
        """Returns once it was asked for each of them."""
        async with asyncio.timeout(60):
            while not {*paths} <= {*self.came}:
                await asyncio.sleep(0.01)


@pytest.fixture
async def slow(ports) -> AsyncIterator[Slow]:
    slow = Slow(ports.take())
    server = await asyncio.start_server(slow.serve, "127.0.0.1", slow.port, backlog=512)
    yield slow
    server.close()


def text(slow: Slow, *, workers: int = 1, delay: str = "0s") -> str:
    replaced = CONFIGURATION.replace("WORKERS", str(workers)).replace("DELAY", delay)
    return replaced.replace("BACKEND", str(slow.port))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 2], ids=["one process", "workers"])
@pytest.mark.parametrize(
    ("number", "longest_ms"), [(40, 3000), pytest.param(200, 25_000, marks=pytest.mark.soak)]
)
async def test_every_request_under_way_is_answered(slow, gateway: Callable, workers, number, longest_ms):
    found = gateway(text(slow, workers=workers))
    waits = [random.Random(at).randint(longest_ms // 3, longest_ms) for at in range(number)]
    slow.may_begin.clear()

    async def ask(wait_ms: int) -> tuple[int, bytes | None, bytes]:
        async with raw.connect(found.port) as connection:
            await connection.send(GET % wait_ms)
            answer = await connection.answer(within_s=60)
            return answer.status, answer.get(b"connection"), await connection.until_closed()

    asking = [asyncio.create_task(ask(wait_ms)) for wait_ms in waits]
    async with asyncio.timeout(60):
        while len(slow.came) < number:
            await asyncio.sleep(0.01)
    found.process.signal(signal.SIGTERM)
    await asyncio.to_thread(found.process.wait_log, '"stopping"')
    slow.may_begin.set()
    answers = await asyncio.gather(*asking)
    assert [(status, rest) for status, _, rest in answers] == [(200, b"")] * number
    # Some may have been answered before the signal came to all processes.
    assert sum(connection == b"close" for _, connection, _ in answers) > number / 2
    assert await asyncio.to_thread(found.process.wait, 60) == 0


async def test_a_request_that_is_on_its_way_is_answered_and_an_event_stream_ends(slow, gateway):
    found = gateway(text(slow))
    async with (
        raw.connect(found.port) as kept,
        raw.connect(found.port) as stream,
        raw.connect(found.port) as busy,
    ):
        assert (await kept.ask(GET % 0)).get(b"connection") is None
        await busy.send((GET % 0).replace(b"/0", b"/held"))
        await stream.send((GET % 0).replace(b"/0", b"/stream"))
        async with asyncio.timeout(60):
            came = await stream.reader.readuntil(b"data: 1\n\n")
        await slow.has(b"held")
        found.process.signal(signal.SIGTERM)
        ended = await answer_of(came + await stream.until_closed())
        assert (ended.status, ended.body) == (200, b"data: 1\n\n")
        late = await kept.ask(GET % 0)
        assert (late.status, late.get(b"connection")) == (200, b"close")
        with pytest.raises(ConnectionRefusedError):
            async with raw.connect(found.port):
                pass
        slow.may_answer.set()
        assert (await busy.answer()).status == 200
    assert await asyncio.to_thread(found.process.wait, 60) == 0


async def answer_of(received: bytes) -> raw.Answer:
    """The one answer that all these bytes are."""
    reader = asyncio.StreamReader()
    reader.feed_data(received)
    reader.feed_eof()
    return await raw.Raw(reader, None).answer()


async def ready(port: int) -> raw.Answer:
    async with raw.connect(port) as connection:
        return await connection.ask(b"GET /@/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("workers", [1, 2], ids=["one process", "workers"])
async def test_who_asks_is_told_before_the_doors_are_closed(slow, gateway, workers):
    found = gateway(text(slow, workers=workers, delay="5s"))
    async with asyncio.timeout(60):
        while [(await ready(found.port)).status for _ in range(12)] != [200] * 12:  # each of the workers
            await asyncio.sleep(0.05)
    found.process.signal(signal.SIGTERM)
    async with asyncio.timeout(60):  # once the doors are closed, nobody can ask
        while (told := await ready(found.port)).status == 200:
            await asyncio.sleep(0.01)
    assert b"draining" in told.body
    async with raw.connect(found.port) as connection:
        assert (await connection.ask(GET % 0)).status == 200
    assert await asyncio.to_thread(found.process.wait, 60) == 0


async def test_a_second_signal_means_now(slow, gateway):
    found = gateway(text(slow))
    async with raw.connect(found.port) as connection:
        await connection.send((GET % 0).replace(b"/0", b"/held"))
        await slow.has(b"held")
        found.process.signal(signal.SIGTERM)
        await asyncio.to_thread(found.process.wait_log, "stopping")
        found.process.signal(signal.SIGTERM)
        assert await asyncio.to_thread(found.process.wait, 60) == 1
