"""How the supervisor's processes begin and end: forked, missed when they are gone or silent, ended in time."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NoReturn

from vestibule.child import Child, bury, kill, tell_failure
from vestibule.line import Line, line_pair
from vestibule.observe.log import Log

NOTED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)
"""The signals that the supervisor notes; a process that it forks takes each for its own."""
HANG_S: Final = 10.0
"""A process that says nothing for so long is ended and started anew."""
START_S: Final = 60.0
"""How long one may take until it is ready."""
AWAY_S: Final = 2.0
"""Who has not listened for so long can't say who was silent meanwhile."""
FLUSH_S: Final = 2.0
"""How long an ending process waits for the log."""


def start(child: Child, log: Log, be: Callable[[int, Line], int]) -> None:
    """Fork it. `be` is all that it does there: given the pipe that it reports by, and its line; its exit code.

    Raises OSError where the system has no room for another process; then nothing is left of it.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        read_end, write_end = os.pipe()
        ours.callback(os.close, read_end)
        theirs.callback(os.close, write_end)
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        our_line, their_line = line_pair()
        ours.callback(our_line.close)
        theirs.callback(their_line.close)
        _prepare_to_fork(log)
        signal.pthread_sigmask(signal.SIG_BLOCK, NOTED)  # the child's would be noted as ours
        try:
            pid = os.fork()
            if pid == 0:
                _live(log, child.name, ours, lambda: be(write_end, their_line))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, NOTED)
        ours.pop_all()
    child.pid, child.pipe, child.is_ready = pid, read_end, False
    child.line, child.is_outdated = our_line, False
    child.heard_mono = time.monotonic()
    log.info("process_started", process=child.name, pid=pid)


def _prepare_to_fork(log: Log) -> None:
    """Nothing waits to be written, which the child would write once more."""
    gc.freeze()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    log.sink.before_fork()


def _live(log: Log, name: str, parents: contextlib.ExitStack, be: Callable[[], int]) -> NoReturn:
    """All that the child does. Whatever comes of it, it ends here: it must not go on as a supervisor."""
    code = 1
    try:
        log.sink.after_fork()
        parents.close()
        code = _been(log.bind(process=name), be)
    finally:
        os._exit(code)


def _been(log: Log, be: Callable[[], int]) -> int:
    """Its exit code; what it failed by is told."""
    try:
        return be()
    except BaseException as error:  # noqa: BLE001 - the boundary of a process
        tell_failure(log, error)
    finally:
        log.flush(FLUSH_S)
    return 1


def dead(children: Sequence[Child]) -> Iterator[tuple[Child, int, int]]:
    """Those that have ended, each put down to be started again: with the id that it had, and its exit code."""
    for child in children:
        if not child.pid:
            continue
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            bury(child, time.monotonic())
            yield child, pid, os.waitstatus_to_exitcode(status)


def hanging(children: Sequence[Child], now_mono: float, looked_mono: float) -> Iterator[tuple[Child, float]]:
    """Those that have said nothing for longer than they may, each with how long that is.

    `looked_mono`: when this was looked at last. Where that is long ago, all of them were paused (a container, a virtual
    machine), and each has the whole time anew.
    """
    was_away = now_mono - looked_mono > AWAY_S
    for child in children:
        if was_away:
            child.heard_mono = now_mono
        limit_s = HANG_S if child.is_ready else START_S
        if child.pid and now_mono - child.heard_mono > limit_s:
            yield child, limit_s


def ended(
    children: Sequence[Child], signum: signal.Signals, until_mono: float, wait: Callable[[], bool]
) -> bool:
    """True when all end by themselves, in time, once they are sent the signal; who doesn't is killed.

    `wait` waits for a moment; True: there is no time any more.
    """
    for child in children:
        kill(child, signum)
    is_clean = True
    while any(child.pid for child in children):
        if wait() or time.monotonic() > until_mono:
            is_clean = False
            for child in children:
                kill(child, signal.SIGKILL)
        for _ in dead(children):
            """It is buried."""
    return is_clean
