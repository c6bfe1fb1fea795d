"""What the process makes of faults nobody waits for; start and end are the real tests'."""

from __future__ import annotations

import asyncio
import gc
import io
from functools import partial

import msgspec

from vestibule.observe.log import Log
from vestibule.process import report


async def test_a_task_nobody_waits_for_leaves_one_line_in_the_log():
    out = io.StringIO()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(report, Log(out)))

    async def fails() -> None:
        raise KeyError("unforeseen\nand on a line of its own")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    del task
    gc.collect()
    [line] = out.getvalue().splitlines()
    told = msgspec.json.decode(line)
    assert (told["event"], told["level"]) == ("fault", "error")
    assert told["message"] == "Task exception was never retrieved"
    assert told["error"].startswith("KeyError(")
    assert "in fails" in told["trace"]
