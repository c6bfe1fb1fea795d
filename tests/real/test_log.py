"""The log of a running gateway: nobody waits for it, nothing stands in it twice, and its levels change everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http    = ["127.0.0.1:PORT"]
  workers = WORKERS
}
log {
  access = true
}
host "localhost" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""
LONG = "x" * 1900
READY_S = 60.0


class Piped:
    """A gateway whose log goes into a pipe that is read when the test says so."""

    def __init__(self, directory: Path, port: int, *, workers: int = 1, access: bool = True) -> None:
        text = CONFIGURATION.replace("PORT", str(port)).replace("WORKERS", str(workers))
        self.file = directory / "vestibule.hcl"
        self.file.write_text(text if access else text.replace("access = true", ""), "utf-8")
        self.url = f"http://localhost:{port}"
        read_end, write_end = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vestibule", "serve", self.file], cwd=directory, stderr=write_end
        )
        os.close(write_end)
        self._pipe = os.fdopen(read_end, "rb")
        self.lines: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._reading = threading.Event()
        self._reading.set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                if line.endswith(b"\n"):  # else it is the last, of a process that nobody listened to
                    self.lines.append(json.loads(line))
                self._changed.notify_all()
            self._reading.wait()

    def stop_reading(self) -> None:
        """Nobody takes anything from the pipe any more."""
        self._reading.clear()

    def read_again(self) -> None:
        """Somebody does."""
        self._reading.set()

    def wait_for(self, event: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """The latest event of this name and with these fields, once there were so many."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.lines if one["event"] == event and fields.items() <= one.items()]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, READY_S), self.lines[-5:]
            return found()[-1]

    def levels(self, *changes: str) -> None:
        """`vestibule log levels`."""
        argv = [sys.executable, "-m", "vestibule", "log", "levels", *changes]
        subprocess.run(argv, cwd=self.file.parent, check=True, stdout=subprocess.DEVNULL, timeout=READY_S)

    def close(self) -> None:
        self._reading.set()
        self.process.kill()
        self.process.wait()
        self._reader.join(READY_S)
        self._pipe.close()


@pytest.fixture
def piped(tmp_path: Path, ports: Any) -> Iterator[Piped]:
    one = Piped(tmp_path, ports.take())
    yield one
    one.close()


@pytest.fixture
def several(tmp_path: Path, ports: Any) -> Iterator[Piped]:
    one = Piped(tmp_path, ports.take(), workers=2, access=False)
    yield one
    one.close()


async def ask(url: str, number: int, path: str = "/", **headers: str) -> Counter[int]:
    """The statuses of so many requests, a few at a time, each connection used once where it says so."""
    found: Counter[int] = Counter()
    waiting = iter(range(number))
    async with aiohttp.ClientSession() as client:

        async def some() -> None:
            for _ in waiting:
                async with client.get(f"{url}{path}", headers=headers) as answer:
                    await answer.read()
                    found[answer.status] += 1

        await asyncio.gather(*(some() for _ in range(8)))
    return found


async def test_a_pipe_that_nobody_reads_keeps_no_request_waiting(piped: Piped) -> None:
    await asyncio.to_thread(piped.wait_for, "ready")
    piped.stop_reading()
    async with asyncio.timeout(READY_S):
        # More than waits at most; each of the refused is told by an urgent line, and by one of the access log.
        assert await ask(piped.url, 3000, f"/{LONG}") == {200: 3000}
        assert await ask(piped.url, 1500, f"/{LONG}", Host="nobody.example") == {421: 1500}
    piped.read_again()
    dropped = await asyncio.to_thread(piped.wait_for, "log_dropped")
    assert (dropped["component"], dropped["level"], dropped["count"] > 0) == ("program", "warning", True)
    await ask(piped.url, 1, "/last")
    last = await asyncio.to_thread(piped.wait_for, "access", path="/last")
    assert (last["status"], last["kind"], last["name"], last["component"]) == (
        200,
        "host",
        "localhost",
        "access",
    )

    def accounted_for() -> int:
        """How many lines came, or were told to be lost."""
        told = sum(one["count"] for one in piped.lines if one["event"] == "log_dropped")
        return told + sum(one["event"] in {"access", "refused"} for one in piped.lines)

    async with asyncio.timeout(READY_S):
        while accounted_for() < 3000 + 2 * 1500 + 1:
            await asyncio.sleep(0.02)
    assert accounted_for() == 3000 + 2 * 1500 + 1


async def test_a_gateway_ends_in_time_though_nobody_reads_its_log(piped: Piped) -> None:
    await asyncio.to_thread(piped.wait_for, "ready")
    piped.stop_reading()
    await ask(piped.url, 100, f"/{LONG}")
    piped.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(piped.process.wait, READY_S) == 0


async def test_what_waits_at_the_end_is_written(piped: Piped) -> None:
    await asyncio.to_thread(piped.wait_for, "ready")
    await ask(piped.url, 50)
    piped.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(piped.wait_for, "stopped")
    await asyncio.to_thread(piped.process.wait, READY_S)
    assert sum(one["event"] == "access" for one in piped.lines) == 50


async def test_levels_change_in_every_process_and_in_one_that_comes_later(several: Piped) -> None:
    await asyncio.to_thread(several.wait_for, "ready")
    once = {"Connection": "close"}
    await ask(several.url, 20, **once)
    await asyncio.to_thread(several.levels, "access=info", "store=debug")
    changed = await asyncio.to_thread(several.wait_for, "log.levels_changed")
    assert (changed["actor"], set(changed["detail_changed"])) == ("socket", {"access", "store"})
    workers = {"worker 1", "worker 2"}
    await seen_by(several, workers, once)
    victim = several.wait_for("process_started", process="worker 1")["pid"]
    os.kill(victim, signal.SIGKILL)
    await asyncio.to_thread(several.wait_for, "process_started", 2, process="worker 1")
    several.lines = []
    await seen_by(several, workers, once)
    await asyncio.to_thread(several.levels, "access=off")
    several.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(several.wait_for, "stopped")
    await asyncio.to_thread(several.process.wait, READY_S)
    # Each process has what it had to say once, however often others were forked from its parent.
    pids = [one["pid"] for one in several.lines if one["event"] == "process_started"]
    assert len(pids) == len(set(pids))


async def test_who_starts_it_without_standard_streams_has_no_log_in_other_files(
    tmp_path: Path, ports: Any
) -> None:
    """What is opened first would have the number that the log is written to."""
    port = ports.take()
    file = tmp_path / "vestibule.hcl"
    file.write_text(CONFIGURATION.replace("PORT", str(port)).replace("WORKERS", "2"), "utf-8")
    program = 'exec "$0" -m vestibule serve "$1" <&- >&- 2>&-'
    process = subprocess.Popen(["/bin/sh", "-c", program, sys.executable, file], cwd=tmp_path)
    try:
        async with asyncio.timeout(READY_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    assert await ask(f"http://localhost:{port}", 1) == {200: 1}
                    break
                await asyncio.sleep(0.1)
        pids = [
            process.pid,
            *map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()),
        ]
        assert len(pids) == 4
        opened = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for pid in pids for number in range(3)}
        assert opened == {"/dev/null"}
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, READY_S)


async def seen_by(piped: Piped, workers: set[str], headers: dict[str, str]) -> None:
    """Returns once each of these has logged a request."""
    async with asyncio.timeout(READY_S):
        while workers - {one.get("process") for one in piped.lines if one["event"] == "access"}:
            await ask(piped.url, 8, **headers)
