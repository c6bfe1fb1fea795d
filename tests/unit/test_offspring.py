"""Processes of the supervisor: forked with what they report by, missed, ended."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vestibule.child import Child, close
from vestibule.line import Line
from vestibule.observe.log import Log
from vestibule.offspring import AWAY_S, HANG_S, NOTED, START_S, dead, ended, hanging, start
from vestibule.role import Role

Be = Callable[[int, Line], int]


def waits(report: int, _line: Line) -> int:
    """Until a signal ends it, by what the signal does by itself."""
    forget(report)
    signal.pause()
    return 0


def ignores(report: int, _line: Line) -> int:
    for signum in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)
    forget(report)
    while True:
        signal.pause()


def forget(report: int) -> None:
    """A signal is its own from now on, which it says."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOTED)
    os.write(report, b"r")


@pytest.fixture
def born() -> Iterator[Callable[[Be], Child]]:
    children = []

    def bear(be: Be) -> Child:
        child = Child(name="worker 1", role=Role.WORKER, sockets={})
        children.append(child)
        start(child, Log(io.StringIO()), be)
        return child

    yield bear
    for child in children:
        if child.pid:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        close(child)


def said(child: Child) -> bytes:
    """What it reports next."""
    poll = select.poll()  # not select(): so late in a run a descriptor's number may be any
    poll.register(child.pipe, select.POLLIN)
    assert poll.poll(60_000)
    return os.read(child.pipe, 100)


def buried(*children: Child) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    while len(found) < len(children):
        found += [(child.name, code) for child, _, code in dead(children)]
        time.sleep(0.001)
    return found


def test_it_reports_by_its_pipe_and_its_end_is_noticed_once(born):
    child = born(lambda report, _line: os.write(report, b"hello") and 7)
    pid = child.pid
    assert said(child) == b"hello"
    assert buried(child) == [("worker 1", 7)]
    assert (child.pid, child.pipe, child.line, child.deaths) == (0, -1, None, 1)
    assert list(dead([child])) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_has_a_line_of_its_own(born):
    child = born(lambda report, line: os.write(report, b"%d" % (line.fileno() >= 0)) and 0)
    assert said(child) == b"1"
    assert child.line is not None
    assert child.line.fileno() >= 0
    buried(child)


def open_files() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("os.pipe", errno.EMFILE),
        ("vestibule.line.socket.socketpair", errno.EMFILE),
        ("os.fork", errno.EAGAIN),
    ],
)
def test_where_there_is_no_room_for_it_nothing_is_left_of_it(monkeypatch, call, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    child, before = Child(name="worker 1", role=Role.WORKER, sockets={}), open_files()
    monkeypatch.setattr(call, full)
    with pytest.raises(OSError, match=os.strerror(number)):
        start(child, Log(io.StringIO()), waits)
    assert (child.pid, child.pipe, child.line) == (0, -1, None)
    assert open_files() == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint(NOTED)


def test_a_standard_output_that_nobody_reads_keeps_none_from_being_born(born, monkeypatch):
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Broken())
    assert buried(born(lambda *_: 4)) == [("worker 1", 4)]


class Untold(Log):
    """A log in whose child nothing can be said."""

    def bind(self, **_):
        raise ValueError


def unforeseen(*_: object) -> int:
    raise ValueError


def leaves(*_: object) -> int:
    raise SystemExit(0)


@pytest.mark.parametrize("be", [unforeseen, leaves], ids=["error", "exit"])
@pytest.mark.parametrize("kind", [Log, Untold], ids=["told", "not even told"])
def test_whatever_it_fails_by_it_never_goes_on_as_its_parent(be, kind):
    """Threat: it ends what its parent keeps running."""
    child, us = Child(name="worker 1", role=Role.WORKER, sockets={}), os.getpid()
    try:
        start(child, kind(io.StringIO()), be)
    finally:
        if os.getpid() != us:
            os._exit(77)
    assert buried(child) == [("worker 1", 1)]


def test_what_it_fails_by_is_told(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as file:
        child = Child(name="worker 1", role=Role.WORKER, sockets={})
        start(child, Log(file), unforeseen)
        buried(child)
    (line,) = (line for line in path.read_text().splitlines() if "process_failed" in line)
    assert "ValueError()" in line
    assert "worker 1" in line


def test_no_signal_that_comes_while_it_is_born_is_noted_as_its_parents(born):
    noted: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: noted.append(number))
    try:
        child = born(lambda *_: os.kill(os.getpid(), signal.SIGHUP) or 3)
        assert buried(child) == [("worker 1", 3)]
        assert noted == []
        assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("pid", "is_ready", "silent_s", "limit_s"),
    [
        (7, True, HANG_S, None),
        (7, True, HANG_S + 1, HANG_S),
        (7, False, HANG_S + 1, None),
        (7, False, START_S + 1, START_S),
        (0, True, START_S + 1, None),
    ],
    ids=["talks", "silent", "begins", "never begins", "doesn't run"],
)
def test_who_says_nothing_hangs(pid, is_ready, silent_s, limit_s):
    child = Child(name="a", role=Role.WORKER, sockets={}, pid=pid, is_ready=is_ready, heard_mono=1000.0)
    now = 1000.0 + silent_s
    assert [limit for _, limit in hanging([child], now, now - 0.5)] == ([] if limit_s is None else [limit_s])


@pytest.mark.parametrize(
    ("away_s", "silent"), [(AWAY_S, ["a", "b"]), (AWAY_S + 1, []), (600.0, [])], ids=["no", "a while", "long"]
)
def test_who_was_paused_with_the_supervisor_has_the_whole_time_anew(away_s, silent):
    children = [
        Child(name=name, role=Role.WORKER, sockets={}, pid=7, is_ready=True, heard_mono=1000.0)
        for name in "ab"
    ]
    now = 1000.0 + max(HANG_S + 1, away_s)
    assert [child.name for child, _ in hanging(children, now, now - away_s)] == silent
    later = now + HANG_S + 1
    assert [child.name for child, _ in hanging(children, later, later - 0.5)] == ["a", "b"]


def moment() -> bool:
    time.sleep(0.001)
    return False


@pytest.mark.parametrize(
    ("be", "left_s", "wait", "is_clean"),
    [
        (waits, 60, moment, True),
        (ignores, -1, moment, False),
        (ignores, 60, lambda: not moment(), False),
    ],
    ids=["by itself", "not in time", "now"],
)
def test_they_end_by_themselves_or_are_killed(born, be, left_s, wait, is_clean):
    children = [born(be), born(waits)]
    for child in children:
        assert said(child) == b"r"
    assert ended(children, signal.SIGTERM, time.monotonic() + left_s, wait) is is_clean
    assert [child.pid for child in children] == [0, 0]
