"""Processes of a measurement: pinned to a core, waited for, weighed, always stopped."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The measurement can't go on, and why."""


class Cores:
    """Two cores: one for what is measured, one for everything that makes it work."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchError("a measurement needs two cores: one for what is measured, one for the load")
        self.load, self.subject = cores[-2:]


class Process:
    """One process and its children, on one core."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        core: int,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = Path(argv[0]).name
        self._log = log
        pinned = ["taskset", "-c", str(core), *map(str, argv)]
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*_die_with_parent(), *pinned],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process itself: what stands before it replaces itself by it."""
        return self._popen.pid

    def wait_until(self, is_ready: Callable[[], bool], *, pause_s: float = 0.01) -> None:
        """Returns once `is_ready()`. Raises BenchError when the process ends, or nothing happens."""
        deadline = time.monotonic() + READY_WITHIN_S
        while not is_ready():
            if self._popen.poll() is not None:
                raise BenchError(f"{self.name} ended with {self._popen.returncode}:\n{self.log}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} is not ready after {READY_WITHIN_S:.0f} s:\n{self.log}")
            time.sleep(pause_s)

    @property
    def log(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text("utf-8", "replace")[-4000:]

    def pss_bytes(self) -> int:
        """What it and its children hold: pages they share count once among those who share."""
        return sum(_pss(pid) for pid in _family(self.pid))

    def cpu_s(self) -> float:
        """Processor time it and its children have used."""
        return sum(_ticks(pid) for pid in _family(self.pid)) / TICKS_PER_S

    def stop(self) -> None:
        """End it and all it started."""
        if self._popen.poll() is None:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_WITHIN_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()


def raise_file_limit() -> None:
    """As many open files as the system lets this process and its children have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on, outside the range the kernel gives to outgoing connections."""
    found: list[int] = []
    for port in range(18_000 + os.getpid() % 1000, 20_000):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise BenchError("no free ports")


def accepts(port: int) -> bool:
    """True when something listens there."""
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(port: int, path: str = "/", *, host: str = "127.0.0.1") -> int:
    """The status an HTTP GET gets there; 0 for no answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=READY_WITHIN_S) as connection:
            connection.sendall(request.encode())
            head = connection.recv(64)
    except OSError:
        return 0
    return int(head[9:12]) if head.startswith(b"HTTP/1.") else 0


def needed(command: str, package: str) -> str:
    """The path of a command. Raises BenchError saying how to get it."""
    found = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BenchError(f"{command} is missing: apt-get install {package}")
    return found


def _die_with_parent() -> list[str]:
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("ascii").split():
                yield from _family(int(child))


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
