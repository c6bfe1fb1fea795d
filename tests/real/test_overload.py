"""More than one process can carry: too many connections, too many requests, and clients who are slow on purpose."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web

from tests.real.gateway import Gateway
from tests.real.raw import connect

_CONFIGURATION = """
gateway {{
  http = ["127.0.0.1:{{port}}"]
  {limit}
}}
host "localhost" {{
  backend = "{backend}"
  access {{
    allow = ["public"]
  }}
}}
"""
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


def configuration(backend: str = "internal:echo", limit: str = "") -> str:
    return _CONFIGURATION.format(backend=backend, limit=limit)


class Slow:
    """A backend that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        await self.may_answer.wait()
        return web.Response(text="done")


@contextlib.asynccontextmanager
async def served(handler, port: int):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def opened(gateway: Gateway, number: int):
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(gateway.port)) for _ in range(number)]


async def test_a_request_too_many_is_told_to_come_again_and_health_checks_are_not(gateway, ports):
    slow = Slow()
    running = gateway(configuration(f"127.0.0.1:{ports.take()}", "requests = 3"))
    port = int(running.file.read_text("utf-8").partition('backend = "127.0.0.1:')[2].partition('"')[0])
    async with served(slow.answer, port), opened(running, 3) as busy, opened(running, 1) as (further,):
        for one in busy:
            await one.send(GET)
        while slow.asked < 3:
            await asyncio.sleep(0.01)
        answer = await further.ask(GET)
        assert answer.status == 503
        assert answer.get(b"Retry-After") == b"2"
        assert slow.asked == 3
        assert (await further.ask(GET.replace(b"/ ", b"/@/healthz ", 1))).status == 200
        slow.may_answer.set()
        for one in busy:
            assert (await one.answer()).body == b"done"
        assert (await further.ask(GET)).body == b"done"
    running.process.wait_log("overloaded")


async def test_a_connection_too_many_has_an_idle_one_make_room(gateway):
    running = gateway(configuration(limit="connections = 20"))
    async with opened(running, 20) as idle:
        for one in idle:
            assert (await one.ask(GET)).status == 200
        async with opened(running, 1) as (further,):
            assert (await further.ask(GET)).status == 200
            assert await idle[0].until_closed() == b""


@pytest.mark.timeout(300)
async def test_hundreds_who_are_slow_are_ended_and_nobody_else_notices(gateway):
    """Threat: slowloris. In full (5,000) by `python -m bench.slow`."""
    running = gateway(configuration())
    async with opened(running, 300) as heads, opened(running, 300) as bodies, opened(running, 1) as (good,):
        for one in heads:
            await one.send(GET[:20])
        for one in bodies:
            await one.send(UPLOAD)
        ends = [asyncio.ensure_future(one.until_closed(within_s=240)) for one in (*heads, *bodies)]
        while not all(end.done() for end in ends):
            assert (await good.ask(GET)).status == 200
            for one in (*heads, *bodies):
                if not one.writer.is_closing():
                    one.writer.write(b"x")
            await asyncio.sleep(0.5)
        assert {end.result()[:12] for end in ends} <= {b"HTTP/1.1 408", b""}
