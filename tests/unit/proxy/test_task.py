"""Work beside the bytes: it is held, its failure is told once, and it can be stopped."""

from __future__ import annotations

import asyncio
import gc

from vestibule.proxy.task import Tasks


async def fail(error: BaseException) -> None:
    raise error


async def test_what_it_raised_is_told_to_whoever_waits():
    told: list[Exception] = []
    error = ValueError("x")
    Tasks().spawn(fail(error), "failing", told.append)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == [error]


async def test_work_that_is_stopped_tells_nobody_and_is_let_go():
    tasks, told = Tasks(), []
    tasks.spawn(asyncio.sleep(3600), "waiting", told.append)
    await asyncio.sleep(0)
    tasks.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == []
    assert not tasks._running


async def test_a_failure_nobody_waits_for_is_the_loops_to_report():
    reported: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    tasks = Tasks()
    tasks.spawn(fail(ValueError("x")), "failing")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert [str(context["exception"]) for context in reported] == ["x"]
