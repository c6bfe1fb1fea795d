"""`workers = N`: several processes, and nobody notices: not that they are several, and not when one of them dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.real.house import CONFIGURATION, Browser, House, build

pytestmark = pytest.mark.real

WORKERS = CONFIGURATION.replace("gateway {\n", "gateway {\n  workers = 2\n")
EACH = 24
"""So many connections that each worker gets some: the system spreads them."""
AS_JSON = {"Accept": "application/json"}


@pytest.fixture
async def house(ports, api, openid, gateway) -> AsyncIterator[House]:
    """The usual house, carried by two workers."""
    built = await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=WORKERS)
    built.gateway.wait()
    async with aiohttp.ClientSession() as built.client:
        yield built


def processes(house: House) -> dict[str, int]:
    """Names to process ids, of those that were started last."""
    lines = (json.loads(line) for line in house.gateway.log.splitlines() if '"process_started"' in line)
    return {line["process"]: line["pid"] for line in lines}


async def until_another(house: House, name: str, pid: int) -> None:
    """Returns once the process of this name is another one."""
    async with asyncio.timeout(60):
        while processes(house)[name] == pid:
            await asyncio.sleep(0.02)


async def answers(house: House, browser: Browser, number: int = EACH, path: str = "/") -> set[int]:
    """The statuses of so many requests, each on a connection of its own."""
    found = set()
    for _ in range(number):
        async with browser.session.get(
            f"{house.origin}{path}", headers={"Connection": "close", **AS_JSON}
        ) as answer:
            await answer.read()
            found.add(answer.status)
    return found


@contextlib.asynccontextmanager
async def copied(house: House, browser: Browser) -> AsyncIterator[Browser]:
    """A browser with the same cookies: whoever kept the handle."""
    async with house.browser() as other:
        jar = {one.key: one.value for one in browser.session.cookie_jar}
        other.session.cookie_jar.update_cookies(jar, URL(house.origin))
        yield other


async def test_who_signs_in_once_is_known_to_every_worker(house):
    assert set(processes(house)) == {"control", "worker 1", "worker 2"}
    async with house.browser() as browser:
        await browser.sign_in()
        assert await browser.email() == "alice@example.com"
        assert await answers(house, browser) == {200}
        assert {seen.one("user-email") for seen in house.app.seen[-EACH:]} == {"alice@example.com"}


async def test_who_signs_out_is_unknown_to_every_worker_at_once(house):
    async with house.browser() as browser:
        await browser.sign_in()
        async with copied(house, browser) as kept:
            for _ in range(3):
                assert await answers(house, kept) == {200}
            await browser.post("/@/signout")
            assert await answers(house, kept) == {401}


async def test_a_call_of_a_backend_is_answered_by_whichever_worker_it_comes_to(house):
    async with house.browser() as browser:
        await browser.sign_in()
        handle = (await browser.seen_by_app()).one("proxy-session")
        for _ in range(EACH):
            async with house.call(handle, headers={"Connection": "close"}) as answer:
                assert answer.status == 200


async def test_a_worker_that_is_killed_is_missed_by_nobody(house):
    """No connection is refused; what it was answering is broken off, and all goes on within two seconds."""
    async with house.browser() as browser:
        await browser.sign_in()
        for _ in range(5):
            victim = processes(house)["worker 1"]
            os.kill(victim, signal.SIGKILL)
            assert await answers(house, browser) == {200}
            await until_another(house, "worker 1", victim)
        assert await browser.email() == "alice@example.com"


async def test_a_control_process_that_is_killed_is_missed_by_nobody_who_is_signed_in(house):
    async with house.browser() as browser, house.browser() as newcomer:
        await browser.sign_in()
        victim = processes(house)["control"]
        os.kill(victim, signal.SIGKILL)
        assert await answers(house, browser) == {200}
        page = await newcomer.sign_in("bob")
        assert page.status == 200
        assert await newcomer.email() == "bob@example.com"
        await until_another(house, "control", victim)


async def test_what_is_under_way_is_answered_before_the_program_ends(house, tmp_path):
    async with house.browser() as browser:
        await browser.sign_in()
        pids = processes(house).values()
        began = asyncio.Event()
        slow = asyncio.create_task(_slow(house, browser, began))
        await began.wait()
        house.gateway.process.signal(signal.SIGTERM)
        assert await slow == (200, b"x" * 5)
        assert await asyncio.to_thread(house.gateway.process.wait) == 0
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def _slow(house: House, browser: Browser, began: asyncio.Event) -> tuple[int, bytes]:
    """A request whose body takes its time."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x"
            began.set()
            await asyncio.sleep(0.2)

    async with browser.session.post(f"{house.origin}/echo", data=body()) as answer:
        return answer.status, house.app.seen[-1].body if await answer.read() is not None else b""


async def test_nothing_outlives_a_supervisor_that_is_killed(house):
    pids = list(processes(house).values())
    os.kill(house.gateway.process.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while any(_lives(pid) for pid in pids):
            await asyncio.sleep(0.05)


def _lives(pid: int) -> bool:
    """A zombie lives no more; whoever adopted it may take its time."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2][:3]
    except FileNotFoundError:
        return False


async def test_a_process_that_hangs_is_replaced(house):
    victim = processes(house)["worker 2"]
    os.kill(victim, signal.SIGSTOP)
    await until_another(house, "worker 2", victim)
    async with house.browser() as browser:
        assert await answers(house, browser, path="/open/") == {200}


async def test_another_gateway_on_the_same_addresses_is_told_so(house, tmp_path):
    directory = tmp_path / "second"
    directory.mkdir()
    began = time.monotonic()
    second = type(house.gateway)(
        house.gateway.file.read_text("utf-8"), directory, port=house.gateway.port, ca_file=tmp_path
    )
    assert await asyncio.to_thread(second.process.wait) == 1
    assert "another program listens there" in second.log, time.monotonic() - began
