"""The process: signals, start, drain. One process today; workers and their sockets come here."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop

from vestibule.app import DRAIN_S, App
from vestibule.config.compile import Compiled
from vestibule.observe.log import Log

GC_ALLOCATIONS = 50_000
_STOP = (signal.SIGINT, signal.SIGTERM)


def serve(
    compiled: Compiled, log: Log, *, ready: Callable[[], None] | None = None, drain_s: float = DRAIN_S
) -> int:
    """Run until a signal says stop; the exit code.

    `ready` is called once all listeners accept; at the end, answers under way have `drain_s`. Raises
    ConfigError, StoreError when the program can't start.
    """
    os.umask(0o077)
    _raise_file_limit()
    return uvloop.run(_serve(compiled, log, ready, drain_s))


async def _serve(compiled: Compiled, log: Log, ready: Callable[[], None] | None, drain_s: float) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(report, log))
    stop = asyncio.Event()
    for signum in _STOP:
        loop.add_signal_handler(signum, stop.set)
    hint = "restart to apply changed files; reload comes later"
    loop.add_signal_handler(signal.SIGHUP, partial(log.warning, "hangup_ignored", detail=hint))
    app = await App.open(compiled, log)
    # What is there now stays: the collector need not look at it again and again. Requests make no cycles.
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    log.info("ready", listening=[str(listener.address) for listener in app.listeners])
    if ready is not None:
        ready()
    await _first(stop, app.failed)
    log.info("stopping")
    # A second signal means now.
    closing = asyncio.ensure_future(app.close(drain_s))
    for signum in _STOP:
        loop.remove_signal_handler(signum)
        loop.add_signal_handler(signum, closing.cancel)
    try:
        await closing
    except asyncio.CancelledError:
        return 1
    log.info("stopped")
    return 1 if app.failed.is_set() else 0


def report(log: Log, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the loop says of a fault in a callback, or in a task that nobody waits for."""
    error = context.get("exception")
    trace = "".join(traceback.format_exception(error)[-4:]) if isinstance(error, BaseException) else ""
    log.error("fault", message=context.get("message"), error=repr(error), trace=trace)


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _raise_file_limit() -> None:
    """As many open files as the system lets us have: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
