"""A server process of a test: started, waited for, its log shown when something fails, always stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
ENDS_WITHIN_S = 60.0
QUIET_S = 0.08
SHOWN_LINES = 40
SHOWN_LINE_CHARS = 1000
QUIET_WITHIN_S = 10.0
GROUP_GONE_WITHIN_S = 2.0  # a zombie its new parent never collects keeps a group in the table, but no port


class Process:
    """One process in a process group of its own; all of its output goes to one log file."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
    ) -> None:
        self.name = name
        self._own_log = log is None
        self._log = log or _new_file(f"vestibule-{name}-")
        with self._log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*_die_with_parent(), *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process itself (`setpriv` execs, so there is no wrapper in between)."""
        return self._popen.pid

    @property
    def log(self) -> str:
        """All it wrote so far."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    @property
    def shown(self) -> str:
        """The end of its log, as a failed test shows it: with all of it nobody would find what failed."""
        lines = self.log.splitlines()
        left_out = [f"({len(lines) - SHOWN_LINES} lines before)"] if len(lines) > SHOWN_LINES else []
        return "\n".join(left_out + [line[:SHOWN_LINE_CHARS] for line in lines[-SHOWN_LINES:]])

    @property
    def whole_log(self) -> str:
        """All it wrote, once nothing came for a moment: lines may be written by a thread, a little after the answer.

        On a busy machine that thread may have to wait for longer: as long as one of its threads would run, it isn't over.
        """
        text, deadline = self.log, time.monotonic() + QUIET_WITHIN_S
        while self.returncode is None and time.monotonic() < deadline:
            time.sleep(QUIET_S)
            is_idle = not _would_run(self.pid)
            before, text = text, self.log
            if text == before and is_idle:
                break
        return text

    @property
    def returncode(self) -> int | None:
        """How it ended, None while it runs."""
        return self._popen.poll()

    def wait_port(self, port: int, *, host: str = "127.0.0.1", within_s: float = READY_WITHIN_S) -> None:
        """Returns once something accepts on the port; fails the test when the process ends or the time is up."""
        self.wait_until(lambda: _accepts((host, port)), f"accepts on {host}:{port}", within_s=within_s)

    def wait_log(self, text: str) -> None:
        """Returns once the process has written `text`."""
        self.wait_until(lambda: text in self.log, f"writes {text!r}")

    def wait_until(
        self, is_ready: Callable[[], bool], what: str, *, within_s: float = READY_WITHIN_S
    ) -> None:
        """Returns once `is_ready()`; looks again every 20 ms."""
        deadline = time.monotonic() + within_s
        while not is_ready():
            if self.returncode is not None:
                pytest.fail(f"{self.name} ended with {self.returncode} before it {what}:\n{self.shown}")
            if time.monotonic() > deadline:
                pytest.fail(f"{self.name} did not come to {what!r} in {within_s:.0f} s:\n{self.shown}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it as a power cut would: kill -9 to the whole group, no goodbye."""
        self._kill_group()
        self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Sends the signal to the process alone."""
        self._popen.send_signal(number)

    def wait(self, timeout_s: float = ENDS_WITHIN_S) -> int:
        """Its exit status."""
        return self._popen.wait(timeout_s)

    def stop(self) -> None:
        """Ends the process and all it started: SIGTERM, then SIGKILL to the group for what is left."""
        if self._popen.poll() is None:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_WITHIN_S)
        self._kill_group()
        self._popen.wait()
        if self._own_log:
            self._log.unlink(missing_ok=True)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
            deadline = time.monotonic() + GROUP_GONE_WITHIN_S
            while time.monotonic() < deadline:  # its ports are free once all of it is gone
                os.killpg(self._popen.pid, 0)
                self._popen.poll()
                time.sleep(0.005)


def needed(command: str, package: str = "") -> str:
    """Where a server's command is, or a failed test that says how to get it; `package` where that has another name."""
    found = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(
            f"{command} is missing: tools/servers.sh {package or command} (make test does it when it may)"
        )
    return found


def _would_run(pid: int) -> bool:
    """Whether a thread of the process, or of what it started, runs or would if it was its turn."""
    with contextlib.suppress(OSError):  # it has ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            if (task / "stat").read_text("utf-8").rpartition(")")[2].split()[0] in {"R", "D"}:
                return True
            if any(map(_would_run, map(int, (task / "children").read_text("ascii").split()))):
                return True
    return False


def _die_with_parent() -> list[str]:
    """The server goes when pytest is killed too, where the machine has `setpriv` (util-linux)."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


def _new_file(prefix: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".log")
    os.close(descriptor)
    return Path(name)


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
