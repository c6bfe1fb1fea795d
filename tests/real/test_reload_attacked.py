"""Another configuration in the worst moment: all processes have the same one in the end, and nothing between is seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal

import pytest

from tests.real.test_reload import Reloaded, asked, both, opened, reloaded  # noqa: F401 - a fixture
from vestibule.errors import VestibuleError

pytestmark = pytest.mark.real

two = pytest.mark.parametrize("reloaded", [2], indirect=True, ids=["two workers"])
LOOKS = 24
"""So many connections that each worker has some of them."""


async def in_force(reloaded: Reloaded) -> set[tuple[int, int]]:  # noqa: F811
    """What connections of their own are told at the two names."""
    return {(await reloaded.status("a.test"), await reloaded.status("b.test")) for _ in range(LOOKS)}


async def settled(reloaded: Reloaded, *wanted: tuple[int, int]) -> tuple[int, int]:  # noqa: F811
    """What all are told, once all are told the same, and it is one of these."""
    async with asyncio.timeout(45):
        while True:
            found = await in_force(reloaded)
            if len(found) == 1 and found <= set(wanted):
                return found.pop()
            await asyncio.sleep(0.2)


A, B = (200, 421), (421, 200)
TO_B = ('"a.test"', '"b.test"')


def pid_of(reloaded: Reloaded, name: str) -> int:  # noqa: F811
    lines = (json.loads(line) for line in reloaded.gateway.log.splitlines() if '"process_started"' in line)
    return [line["pid"] for line in lines if line["process"] == name][-1]


@both
async def test_a_storm_of_signals_ends_in_what_the_files_say(reloaded: Reloaded):  # noqa: F811
    async with opened(reloaded.gateway.port) as (reader, writer):
        for number in range(60):
            reloaded.write(TO_B if number % 2 == 0 else TO_B[::-1])
            os.kill(reloaded.gateway.process.pid, signal.SIGHUP)
            assert await asked(reader, writer, "a.test", close="keep-alive") in {200, 421}
        reloaded.write(TO_B)
        os.kill(reloaded.gateway.process.pid, signal.SIGHUP)
        await settled(reloaded, B)
        assert await asked(reader, writer, "b.test", close="keep-alive") == 200
    assert "process_died" not in reloaded.gateway.log


@both
async def test_of_two_reloads_side_by_side_each_is_told_what_came_of_it(reloaded: Reloaded):  # noqa: F811
    reloaded.write(TO_B)
    looked_at = await asyncio.to_thread(reloaded.client.difference)
    found = await asyncio.gather(
        *(asyncio.to_thread(reloaded.client.reload, looked_at.fingerprint) for _ in range(4)),
        return_exceptions=True,
    )
    told = [getattr(one, "status", 200) if isinstance(one, BaseException) else 200 for one in found]
    assert 200 in told
    assert set(told) <= {200, 412}, found
    assert await settled(reloaded, B) == B


@two
@pytest.mark.parametrize("name", ["worker 1", "control"])
async def test_a_process_that_is_killed_in_the_middle_is_started_with_what_is_in_force(
    reloaded: Reloaded,  # noqa: F811
    name: str,
):
    for delay_s in (0.02, 0.3):
        reloaded.write(TO_B)
        pid = pid_of(reloaded, name)
        reloading = asyncio.ensure_future(asyncio.to_thread(reloaded.client.reload))
        await asyncio.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(VestibuleError):
            await reloading
        found = await settled(reloaded, A, B)
        async with asyncio.timeout(30):
            while pid_of(reloaded, name) == pid:
                await asyncio.sleep(0.1)
        assert await settled(reloaded, A, B) == found
        # Whatever it came to, the next one takes it.
        async with asyncio.timeout(45):
            while True:
                with contextlib.suppress(VestibuleError):
                    await reloaded.reload()
                    break
                await asyncio.sleep(0.2)
        assert await settled(reloaded, B) == B
        reloaded.write(TO_B[::-1])
        await reloaded.reload()
        assert await settled(reloaded, A) == A


@both
async def test_a_stop_in_the_middle_is_a_clean_stop(reloaded: Reloaded):  # noqa: F811
    reloaded.write(TO_B)
    os.kill(reloaded.gateway.process.pid, signal.SIGHUP)
    await asyncio.sleep(0.1)
    os.kill(reloaded.gateway.process.pid, signal.SIGTERM)
    await asyncio.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.kill(reloaded.gateway.process.pid, signal.SIGHUP)
    assert await asyncio.to_thread(reloaded.gateway.process.wait) == 0
    assert '"fault"' not in reloaded.gateway.log


@both
async def test_nobody_waits_for_two_thousand_routes(reloaded: Reloaded):  # noqa: F811
    routes = "".join(
        f'  route "/{number}/" {{\n    access {{\n      allow = ["public", "network:10.0.{number // 250}.{number % 250}"]\n    }}\n  }}\n'
        for number in range(2000)
    )
    reloaded.write(("  access {", routes + "  access {"))
    statuses, done = set(), asyncio.Event()

    async def asks() -> None:
        async with opened(reloaded.gateway.port) as (reader, writer):
            while not done.is_set():
                status = await asked(reader, writer, close="keep-alive")
                statuses.add(status)
                if not status:
                    return

    clients = [asyncio.ensure_future(asks()) for _ in range(8)]
    for _ in range(3):
        await reloaded.reload()
    done.set()
    await asyncio.gather(*clients)
    assert statuses == {200}
