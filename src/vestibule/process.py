"""One process of the program: its event loop, its signals, its start and its drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from socket import socket
from types import MappingProxyType
from typing import Any, Final

import msgspec
import uvloop

from vestibule.app import DRAIN_S, App
from vestibule.config.compile import Compiled
from vestibule.config.facts import facts_of, fields_of
from vestibule.core.listener import ListenAddress
from vestibule.observe.log import Log
from vestibule.role import Role

GC_ALLOCATIONS = 50_000
BEAT_EVERY_S: Final = 1.0
READY: Final = b"R"
ALIVE: Final = b"."
_STOP = (signal.SIGINT, signal.SIGTERM)
_NO_SOCKETS: Final[Mapping[ListenAddress, socket]] = MappingProxyType({})


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is given by the supervisor that started it; nothing, where it is the only one."""

    role: Role = Role.WHOLE
    name: str = "gateway"
    sockets: Mapping[ListenAddress, socket] = _NO_SOCKETS
    """Bound already."""
    lifeline: int = -1
    """A pipe's end that is at its end when the supervisor is gone; -1: there is none."""
    report: int = -1
    """A pipe's end that is told `READY` once, then `ALIVE` every second."""


ALONE: Final = Place()


def run(
    compiled: Compiled,
    log: Log,
    *,
    place: Place = ALONE,
    ready: Callable[[], None] | None = None,
    drain_s: float = DRAIN_S,
) -> int:
    """Run until a signal says stop; the exit code.

    `ready` is called once all listeners accept; at the end, answers under way have `drain_s`. Raises
    ConfigError, StoreError when the program can't start.
    """
    os.umask(0o077)
    _raise_file_limit()
    return uvloop.run(_run(compiled, log, place, ready, drain_s))


async def _run(
    compiled: Compiled, log: Log, place: Place, ready: Callable[[], None] | None, drain_s: float
) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(report, log))
    stop = asyncio.Event()
    for signum in _STOP:
        loop.add_signal_handler(signum, stop.set)
    hint = "restart to apply changed files; reload comes later"
    loop.add_signal_handler(signal.SIGHUP, partial(log.warning, "hangup_ignored", detail=hint))
    if place.role is not Role.WHOLE:
        loop.add_signal_handler(
            signal.SIGINT, lambda: None
        )  # a terminal sends it to all; the supervisor says stop
        loop.add_reader(place.lifeline, stop.set)
    app = await App.open(compiled, log, role=place.role, name=place.name, sockets=place.sockets)
    # What is there now stays: the collector need not look at it again and again. Requests make no cycles.
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    if place.role is Role.WHOLE:
        # Somebody who was told by other means needs no more than where.
        facts = fields_of(facts_of(compiled)) if ready is None else {}
        log.info("ready", listening=[str(listener.address) for listener in app.listeners], **facts)
    if ready is not None:
        ready()
    beats = loop.create_task(_beat(place.report), name="beats") if place.report >= 0 else None
    await _first(stop, app.failed)
    log.info("stopping")
    # A second signal means now.
    closing = asyncio.ensure_future(app.close(drain_s))
    for signum in _STOP:
        loop.remove_signal_handler(signum)
        loop.add_signal_handler(signum, closing.cancel)
    if place.lifeline >= 0:
        loop.remove_reader(place.lifeline)
    try:
        await closing
    except asyncio.CancelledError:
        return 1
    finally:
        if beats is not None:
            beats.cancel()
    log.info("stopped")
    return 1 if app.failed.is_set() else 0


async def _beat(pipe: int) -> None:
    """Tell the supervisor that this process is ready, and goes on: a loop that hangs says nothing."""
    said = READY
    while True:
        with contextlib.suppress(OSError):  # it is full, or nobody reads it any more
            os.write(pipe, said)
        said = ALIVE
        await asyncio.sleep(BEAT_EVERY_S)


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
