"""The supervisor keeps what runs running, whatever a new process fails by."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from vestibule import supervisor
from vestibule.child import Child
from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.errors import ConfigError
from vestibule.handover import Inheritance
from vestibule.observe.log import Log
from vestibule.offspring import AWAY_S, HANG_S
from vestibule.role import Role
from vestibule.supervisor import Supervisor
from vestibule.systemd import Unit

TEXT = """
gateway { https = ["127.0.0.1:443"] }
host "app.test" { backend = "localhost:1" access { allow = ["public"] } }
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def running(tmp_path: Path, clock: Clock, out: io.StringIO) -> Iterator[Supervisor]:
    """One that listens nowhere, with a control process and two workers that are ready, all of them imagined."""
    file = tmp_path / "gateway.hcl"
    file.write_text(TEXT)
    one = Supervisor(
        compile_config(load([file], {})),
        Log(out),
        Inheritance(Unit()),
        command=None,
        ready=None,
        drain_s=None,
    )
    one._control = imagined("control", Role.CONTROL, 11)
    one._workers = [imagined("worker 1", Role.WORKER, 12), imagined("worker 2", Role.WORKER, 13)]
    one._was_ready = True
    yield one
    os.close(one._lifeline)
    os.close(one._life)
    one._woken.close()
    one._wakes.close()


def imagined(name: str, role: Role, pid: int) -> Child:
    return Child(name=name, role=role, sockets={}, pid=pid, is_ready=True, heard_mono=1000.0)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(supervisor, "kill", lambda child, _signum: names.append(child.name))
    return names


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whom it was tried to start while the system has no room for any."""
    names: list[str] = []

    def start(child: Child, _log: Log, _be: Callable[..., int]) -> None:
        names.append(child.name)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(supervisor, "start", start)
    return names


def test_who_cannot_be_started_again_is_tried_every_second_and_the_others_go_on(
    running: Supervisor, clock: Clock, out: io.StringIO, tried: list[str], killed: list[str]
) -> None:
    running._control.pid = running._workers[1].pid = 0
    running._start_what_is_due()
    assert tried == ["control", "worker 2"]
    clock.now += 0.9
    running._start_what_is_due()
    assert tried == ["control", "worker 2"]
    clock.now += 0.1
    running._start_what_is_due()
    assert tried == ["control", "worker 2"] * 2
    assert out.getvalue().count("process_not_started") == 4
    assert (running._workers[0].pid, killed) == (12, [])


def test_who_cannot_be_started_at_all_ends_the_program_and_says_why(
    running: Supervisor, tried: list[str]
) -> None:
    running._was_ready, running._control.pid = False, 0
    with pytest.raises(ConfigError) as failed:
        running._start_what_is_due()
    assert failed.value.faults == (
        f"vestibule: process 'control' can't be started: [Errno {errno.EAGAIN}] {os.strerror(errno.EAGAIN)}",
    )
    assert tried == ["control"]


def test_who_was_paused_together_with_the_supervisor_is_not_killed(
    running: Supervisor, clock: Clock, killed: list[str]
) -> None:
    running._end_what_hangs()
    clock.now += 600.0
    running._end_what_hangs()
    assert killed == []


def test_who_says_nothing_while_the_supervisor_listens_is_killed(
    running: Supervisor, clock: Clock, killed: list[str]
) -> None:
    looks = 0
    while not killed:
        clock.now += AWAY_S / 2
        for child in (running._control, running._workers[1]):
            child.heard_mono = clock.now
        running._end_what_hangs()
        looks += 1
    assert killed == ["worker 1"]
    assert (looks - 1) * AWAY_S / 2 <= HANG_S < looks * AWAY_S / 2
