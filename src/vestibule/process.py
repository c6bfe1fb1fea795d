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
from types import MappingProxyType
from typing import Any, Final

import msgspec
import uvloop

from vestibule.app import App
from vestibule.config.compile import Compiled
from vestibule.config.facts import facts_of, fields_of
from vestibule.core.listener import ListenAddress
from vestibule.errors import VestibuleError
from vestibule.following import Following
from vestibule.handover import Command, Inheritance, Replacement
from vestibule.line import Line
from vestibule.listening import addresses_of, admin_addresses_of
from vestibule.observe.log import Log
from vestibule.proxy.binding import Taken
from vestibule.role import Role
from vestibule.service.events import acting
from vestibule.systemd import Unit

GC_ALLOCATIONS = 50_000
BEAT_EVERY_S: Final = 1.0
READY: Final = b"R"
ALIVE: Final = b"."
LATER: Final = (signal.SIGHUP, signal.SIGUSR2)
"""Signals that wait until somebody listens to them: by themselves they would end a program that starts."""
_STOP = (signal.SIGINT, signal.SIGTERM)
_NO_SOCKETS: Final[Mapping[ListenAddress, Taken]] = MappingProxyType({})


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is given by the supervisor that started it; nothing, where it is the only one."""

    role: Role = Role.WHOLE
    name: str = "gateway"
    sockets: Mapping[ListenAddress, Taken] = _NO_SOCKETS
    """Bound already."""
    lifeline: int = -1
    """A pipe's end that is at its end when the supervisor is gone; -1: there is none."""
    report: int = -1
    """A pipe's end that is told `READY` once, then `ALIVE` every second."""
    line: Line | None = None
    """By which the supervisor says which configuration is in force."""
    is_late: bool = False
    """True: another program serves until this one is ready."""
    inheritance: Inheritance | None = None
    """What the program was started with, where this is its only process."""
    command: Command | None = None
    """How it is started again."""


ALONE: Final = Place()


def run(
    compiled: Compiled,
    log: Log,
    *,
    place: Place = ALONE,
    ready: Callable[[], None] | None = None,
    drain_s: float | None = None,
) -> int:
    """Run until a signal says stop; the exit code.

    `ready` is called once all listeners accept; at the end, answers under way have `drain_s` (without it: what the
    configuration in force says). Raises ConfigError, StoreError when the program can't start.
    """
    os.umask(0o077)
    _raise_file_limit()
    return uvloop.run(_run(compiled, log, place, ready, drain_s))


async def _run(
    compiled: Compiled, log: Log, place: Place, ready: Callable[[], None] | None, drain_s: float | None
) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(report, log))
    stop, hung_up, renewed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    _listen_to_signals(place, stop, hung_up, renewed)
    inheritance = place.inheritance or Inheritance(Unit())
    app = await _opened(compiled, log, place, inheritance)
    # What is there now stays: the collector need not look at it again and again. Requests make no cycles.
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    if place.role is Role.WHOLE:
        # Somebody who was told by other means needs no more than where.
        facts = fields_of(facts_of(compiled)) if ready is None else {}
        log.info("ready", listening=[str(listener.address) for listener in app.listeners], **facts)
    if ready is not None:
        ready()
    unit = inheritance.unit
    unit.ready("serving")
    _come_after(inheritance, app)
    replacement = Replacement(app, place.command, unit, log)
    if place.role is Role.WHOLE:
        app.upgrade = replacement.run
    following = None if place.line is None else Following(place.line, app, log)
    beside = [
        loop.create_task(_reload_on(hung_up, app, following or unit, log), name="reloads"),
    ]
    if place.role is Role.WHOLE:
        beside.append(loop.create_task(_replace_on(renewed, replacement), name="upgrades"))
    if following is not None:
        beside.append(loop.create_task(following.run(), name="supervisor"))
    if place.report >= 0:
        beside.append(loop.create_task(_beat(place.report), name="beats"))
    if unit.watchdog_s:
        beside.append(loop.create_task(_live(unit), name="watchdog"))
    await _first(stop, app.failed, replacement.is_done)
    replacement.give_up()
    is_replaced = replacement.is_done.is_set() or (place.role is not Role.WHOLE and renewed.is_set())
    is_clean = await _ended(app, log, place, unit, drain_s, is_replaced=is_replaced)
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    return 0 if is_clean else 1


def _listen_to_signals(
    place: Place, stop: asyncio.Event, hung_up: asyncio.Event, renewed: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    for signum in _STOP:
        loop.add_signal_handler(signum, stop.set)
    # Of several processes the control process reads the files; the supervisor sends it there.
    loop.add_signal_handler(signal.SIGHUP, _ignore if place.role is Role.WORKER else hung_up.set)
    loop.add_signal_handler(signal.SIGUSR2, renewed.set)
    if place.role is not Role.WHOLE:
        loop.add_signal_handler(signal.SIGUSR2, partial(_set, renewed, stop))  # others serve already
        # A terminal sends it to all; the supervisor says stop.
        loop.add_signal_handler(signal.SIGINT, _ignore)
        loop.add_reader(place.lifeline, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LATER)


async def _opened(compiled: Compiled, log: Log, place: Place, inheritance: Inheritance) -> App:
    """The app, listening. Raises ConfigError, StoreError."""
    sockets = place.sockets
    if place.role is Role.WHOLE:
        sockets = inheritance.take((*addresses_of(compiled), *admin_addresses_of(compiled)))
    if unused := inheritance.drop():
        log.warning("sockets_unused", names=list(unused))
    is_late = place.is_late or inheritance.is_handover
    return await App.open(compiled, log, role=place.role, name=place.name, sockets=sockets, is_late=is_late)


def _come_after(inheritance: Inheritance, app: App) -> None:
    """Tell the program before that it may go, and be careful with what is cached until it has."""
    if not inheritance.is_handover:
        return
    loop, life = asyncio.get_running_loop(), inheritance.life
    beside = app.stand_beside()

    def alone() -> None:
        loop.remove_reader(life)
        os.close(life)
        if beside is not None:
            beside.cancel()

    loop.add_reader(life, alone)
    inheritance.tell_ready()


async def _ended(
    app: App, log: Log, place: Place, unit: Unit, drain_s: float | None, *, is_replaced: bool
) -> bool:
    """Answers under way end, then all of it; True when all is as it should be."""
    log.info("stopping")
    unit.stopping()
    compiled = app.generation.compiled
    delay_s = 0.0 if is_replaced or app.failed.is_set() else compiled.drain_delay_s
    # A second signal means now.
    closing = asyncio.ensure_future(app.close(compiled.drain_s if drain_s is None else drain_s, delay_s))
    loop = asyncio.get_running_loop()
    for signum in _STOP:
        loop.remove_signal_handler(signum)
        loop.add_signal_handler(signum, closing.cancel)
    if place.lifeline >= 0:
        loop.remove_reader(place.lifeline)
    try:
        await closing
    except asyncio.CancelledError:
        return False
    finally:
        for signum in LATER:
            loop.remove_signal_handler(signum)
        ignore_later()
    log.info("stopped")
    return not app.failed.is_set()


def ignore_later() -> None:
    """From here to its end, the program is not ended by a signal that only asks for a change."""
    for signum in LATER:
        signal.signal(signum, signal.SIG_IGN)


async def _reload_on(hung_up: asyncio.Event, app: App, unit: Unit | Following, log: Log) -> None:
    """Put in force what the files say whenever SIGHUP came; whatever is wrong with them, what is in force stays."""
    while True:
        await hung_up.wait()
        hung_up.clear()
        unit.reloading()
        try:
            with acting("signal"):
                await app.generation.reload()
        except VestibuleError:
            pass  # it was told of
        except Exception as error:  # noqa: BLE001 - unforeseen, it must not end the program
            log.error("fault", task="reload", error=repr(error))  # noqa: TRY400 - the log is our own
        finally:
            unit.ready("serving")


async def _replace_on(renewed: asyncio.Event, replacement: Replacement) -> None:
    """Have another program take the place of this one whenever SIGUSR2 came; where it can't, this one goes on."""
    async with asyncio.TaskGroup() as under_way:
        while True:
            await renewed.wait()
            renewed.clear()
            under_way.create_task(
                replacement.run(), name="upgrade"
            )  # a second one is refused, and does not wait


async def _live(unit: Unit) -> None:
    """Tell systemd's watchdog that this loop goes round."""
    while True:
        unit.alive()
        await asyncio.sleep(unit.watchdog_s / 2)


def _set(*events: asyncio.Event) -> None:
    for event in events:
        event.set()


def _ignore() -> None:
    """Somebody else does what the signal asks for."""


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
