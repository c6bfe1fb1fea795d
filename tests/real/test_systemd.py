"""A test that plays systemd: sockets handed over, words heard; and the unit files of `examples/systemd`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.real import raw
from vestibule.config.compile import compile_config
from vestibule.config.load import load

pytestmark = pytest.mark.real

EXAMPLE = ROOT / "examples" / "systemd"
CONFIGURATION = """
gateway {
  http    = [HTTP]
  workers = WORKERS
}

host "localhost" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# What systemd does between fork and exec: the sockets from 3 on, and for whom they are.
EXEC = """
import os, sys
files = [int(number) for number in sys.argv[1].split(",") if number]
high = [os.dup2(number, 200 + at) for at, number in enumerate(files)]
for at, number in enumerate(high):
    os.dup2(number, 3 + at, inheritable=True)
    os.close(number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "vestibule", *sys.argv[2:]])
"""


class Unit:
    """A service of the one who plays systemd."""

    def __init__(self, directory: Path, *, is_abstract: bool = False) -> None:
        self.directory = directory
        self.sockets: dict[str, list[socket.socket]] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.main_pid = 0
        self.words: list[str] = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._address = f"\0vestibule-test-{os.getpid()}-{id(self)}" if is_abstract else f"{directory}/notify"
        self._notify.bind(self._address)
        self._notify.setblocking(False)

    def listen(self, name: str, family: socket.AddressFamily, host: str, port: int = 0) -> int:
        bound = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen()
        self.sockets.setdefault(name, []).append(bound)
        return int(bound.getsockname()[1])

    def start(self, configuration: str, *, watchdog_s: float = 0.0) -> None:
        file = self.directory / "vestibule.hcl"
        file.write_text(configuration, "utf-8")
        named = [(name, one) for name, ones in self.sockets.items() for one in ones]
        files = [one.fileno() for _, one in named]
        address = self._address.replace("\0", "@")
        env = {**os.environ, "NOTIFY_SOCKET": address, "PYTHONUNBUFFERED": "1"}
        if files:
            env |= {"LISTEN_FDS": str(len(files)), "LISTEN_FDNAMES": ":".join(name for name, _ in named)}
        if watchdog_s:
            env["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", EXEC, ",".join(map(str, files)), "serve", str(file)],
                cwd=self.directory,
                env=env,
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.main_pid = self.process.pid

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text("utf-8")

    async def told(self, word: str, number: int = 1) -> str:
        """The word that begins so, once it has been said so often."""
        async with asyncio.timeout(60):
            while True:
                assert self.process is not None
                has_ended = self.main_pid == self.process.pid and self.process.poll() is not None
                with contextlib.suppress(BlockingIOError):
                    while data := self._notify.recv(4096):
                        self.words += data.decode().split("\n")
                found = [one for one in self.words if one.startswith(word)]
                if len(found) >= number:
                    break
                assert not has_ended, self.log
                await asyncio.sleep(0.02)
        return found[number - 1]

    async def stop(self) -> None:
        """As `systemctl stop`."""
        os.kill(self.main_pid, signal.SIGTERM)
        await asyncio.to_thread(self._reap)

    def _reap(self) -> None:
        assert self.process is not None
        self.process.wait(60)

    def end(self) -> None:
        for pid in {self.main_pid, self.process.pid if self.process is not None else 0} - {0}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait()
        self._notify.close()
        for ones in self.sockets.values():
            for one in ones:
                one.close()


@pytest.fixture(params=["path", "abstract"])
def unit(request, state_dir) -> Iterator[Unit]:
    made = Unit(state_dir, is_abstract=request.param == "abstract")
    yield made
    print("\n".join(made.log.splitlines()[-40:]))
    made.end()


def text(http: str, workers: int = 1) -> str:
    return CONFIGURATION.replace("HTTP", http).replace("WORKERS", str(workers))


async def status(port: int, host: str = "127.0.0.1") -> int:
    async with raw.connect(port, host=host) as connection:
        return (await connection.ask(ASK)).status


@pytest.mark.parametrize("workers", [1, 2], ids=["one process", "workers"])
async def test_sockets_are_taken_by_name_and_by_address_and_wait_while_nobody_runs(unit, workers):
    four = unit.listen("web", socket.AF_INET, "127.0.0.1")
    six = unit.listen("web", socket.AF_INET6, "::1", four)
    other = unit.listen("other", socket.AF_INET, "127.0.0.1")
    configuration = text(f'"systemd:web", "127.0.0.1:{other}"', workers)
    unit.start(configuration)
    await unit.told("READY=1")
    for _ in range(8):  # each of the workers has all of them
        assert [await status(four), await status(six, "::1"), await status(other)] == [200] * 3
    await unit.stop()
    await unit.told("STOPPING=1")
    async with raw.connect(four) as early:
        await early.send(ASK)
        unit.start(configuration)
        assert (await early.answer(within_s=30)).status == 200


async def test_a_name_that_nobody_handed_over_is_said_and_what_nobody_wants_too(unit):
    unit.listen("web", socket.AF_INET, "127.0.0.1")
    unit.start(text('"systemd:wbe"'))
    await asyncio.to_thread(unit._reap)
    assert unit.process.returncode == 1
    assert "systemd handed over no socket of this name" in unit.log
    assert "sockets_unused" in unit.log


@pytest.mark.parametrize("workers", [1, 2], ids=["one process", "workers"])
async def test_systemd_is_told_what_goes_on(unit, ports, workers):
    port = ports.take()
    unit.start(text(f'"127.0.0.1:{port}"', workers), watchdog_s=1.0)
    await unit.told("READY=1")
    assert await status(port) == 200
    await unit.told("WATCHDOG=1", 3)
    os.kill(unit.main_pid, signal.SIGHUP)
    await unit.told("RELOADING=1")
    assert int((await unit.told("MONOTONIC_USEC=")).partition("=")[2]) > 0
    await unit.told("READY=1", 2)
    os.kill(unit.main_pid, signal.SIGUSR2)
    unit.main_pid = int((await unit.told("MAINPID=")).partition("=")[2])
    assert unit.main_pid != unit.process.pid
    await asyncio.to_thread(unit._reap)
    assert "STOPPING=1" not in unit.words  # the service goes on
    assert await status(port) == 200
    before = len([one for one in unit.words if one == "WATCHDOG=1"])
    await unit.told("WATCHDOG=1", before + 2)
    os.kill(unit.main_pid, signal.SIGTERM)
    await unit.told("STOPPING=1")


async def test_who_starts_anew_what_died_says_so_and_is_not_ready_twice(unit, ports):
    port = ports.take()
    unit.start(text(f'"127.0.0.1:{port}"', 2))
    await unit.told("READY=1")
    started = [json.loads(line) for line in unit.log.splitlines() if '"process_started"' in line]
    os.kill(next(one["pid"] for one in started if one["process"] == "control"), signal.SIGKILL)
    await unit.told("STATUS=pages, admin API and jobs are started anew")
    await unit.told("STATUS=serving", 2)
    assert unit.words.count("READY=1") == 1
    os.kill(unit.main_pid, signal.SIGHUP)
    await unit.told("RELOADING=1")
    await unit.told("READY=1", 2)


def test_the_example_is_a_configuration_for_its_sockets():
    compiled = compile_config(load([EXAMPLE / "vestibule.hcl"], {}))
    names = {at.systemd for at in (*compiled.listeners, *compiled.https)}
    said = "".join(path.read_text("utf-8") for path in EXAMPLE.glob("*.socket"))
    assert names == set(re.findall(r"^FileDescriptorName=(\S+)$", said, re.MULTILINE))


def test_the_units_are_good_to_systemd(tmp_path):
    """Verified where systemd's own checker is; the commands must be there for it."""
    for path in EXAMPLE.glob("vestibule*.s*"):
        unit = path.read_text("utf-8").replace("/srv/vestibule/.venv/bin/python", sys.executable)
        (tmp_path / path.name).write_text(re.sub(r"^(User|Group)=.*\n", "", unit, flags=re.MULTILINE))
    service = (tmp_path / "vestibule.service").read_text("utf-8")
    for line in (
        "Type=notify",
        "NoNewPrivileges=true",
        "ProtectSystem=strict",
        "AmbientCapabilities=CAP_NET_BIND",
    ):
        assert line in service
    if shutil.which("systemd-analyze") is not None:
        found = subprocess.run(
            ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode, found.stderr) == (0, "")
