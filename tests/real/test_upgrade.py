"""The program replaced while it runs: no connection is refused, what is under way ends, and what is broken changes nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from tests.real import raw
from tests.real.gateway import Gateway
from tests.real.test_websocket import Echo

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http      = ["127.0.0.1:{port}", "unix:web.sock"]
  workers   = WORKERS
  body_rate = 0
}

host "localhost" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
  route "/socket/" {
    backend = "127.0.0.1:BACKEND"
    access {
      allow = ["public"]
    }
  }
}
"""
PAUSE_S = 0.005
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Running:
    """A gateway whose process is another one after each upgrade."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.pid = gateway.process.pid

    def events(self, name: str) -> list[dict[str, object]]:
        whole, _, _ = self.gateway.process.log.rpartition("\n")  # the last line may be being written
        lines = (line for line in whole.splitlines() if f'"event":"{name}"' in line)
        return [json.loads(line) for line in lines]

    async def told(self, name: str, number: int) -> dict[str, object]:
        """The event, once there are so many."""
        async with asyncio.timeout(60):
            while len(found := self.events(name)) < number:
                await asyncio.sleep(0.02)
        return found[number - 1]

    async def upgrade(self) -> None:
        before = len(self.events("upgraded"))
        os.kill(self.pid, signal.SIGUSR2)
        found = await self.told("upgraded", before + 1)
        assert isinstance(found["pid"], int)
        self.pid = found["pid"]

    async def gone(self, pid: int) -> None:
        """Returns once that process has ended; the first one is this test's own child."""
        async with asyncio.timeout(60):
            while not self._has_ended(pid):
                await asyncio.sleep(0.02)

    def _has_ended(self, pid: int) -> bool:
        if pid == self.gateway.process.pid:
            return self.gateway.process.returncode is not None
        try:
            return " Z " in Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2][:3]
        except FileNotFoundError:
            return True

    def end(self) -> None:
        """Kills all of them: each is of the first one's process group."""
        self.gateway.process.kill()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "vestibule", *words]
        return subprocess.run(
            argv, cwd=self.gateway.directory, capture_output=True, text=True, check=False, timeout=90
        )


@pytest.fixture
async def backend(ports) -> AsyncIterator[Echo]:
    backend = Echo(ports.take())
    async with serve(backend, "127.0.0.1", backend.port, max_size=None):
        yield backend


@pytest.fixture(params=[1, 2], ids=["one process", "workers"])
async def running(request, backend, gateway: Callable[..., Gateway]) -> AsyncIterator[Running]:
    text = CONFIGURATION.replace("WORKERS", str(request.param)).replace("BACKEND", str(backend.port))
    running = Running(gateway(text))
    await running.told("ready", 1)
    yield running
    running.end()


@dataclasses.dataclass
class Load:
    """New connections without a pause, and one that is used again and again; what came of them."""

    port: int
    answered: int = 0
    refused: int = 0
    lost: int = 0
    reused: int = 0
    reused_lost: int = 0
    is_over: bool = False

    async def new(self) -> None:
        while not self.is_over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionError:
                self.refused += 1
                continue
            try:
                writer.write(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                answer = await reader.read(-1)
            except ConnectionError:
                answer = b""
            finally:
                writer.close()
            await asyncio.sleep(PAUSE_S)
            self.answered += answer.startswith(b"HTTP/1.1 200")
            self.lost += not answer.startswith(b"HTTP/1.1 200")

    async def again(self) -> None:
        while not self.is_over:
            async with raw.connect(self.port) as connection:
                is_kept = True
                while is_kept and not self.is_over:
                    try:
                        answer = await connection.ask(ASK)
                    except (raw.BrokenAnswerError, ConnectionError):
                        self.reused_lost += 1
                        break
                    self.reused += 1
                    is_kept = answer.get(b"connection") != b"close"
                    await asyncio.sleep(0.01)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("upgrades", [3, pytest.param(20, marks=pytest.mark.soak)])
async def test_upgrades_refuse_no_connection_and_lose_no_request(running, upgrades):
    load = Load(running.gateway.port)
    asking = [asyncio.create_task(one()) for one in (load.new, load.new, load.again)]
    pids = {running.pid}
    for _ in range(upgrades):
        before = running.pid
        await running.upgrade()
        pids.add(running.pid)
        await running.gone(before)
    load.is_over = True
    await asyncio.gather(*asking)
    assert len(pids) == upgrades + 1
    assert (load.refused, load.lost, load.reused_lost) == (0, 0, 0), load
    assert min(load.answered, load.reused) > upgrades * 5


async def test_what_is_under_way_ends_and_who_goes_says_so(running, backend):
    url = f"ws://localhost:{running.gateway.port}/socket/"
    async with raw.connect(running.gateway.port) as slow, open_websocket(url) as socket:
        await socket.send("x")
        assert await socket.recv() == "x"
        await slow.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n", b"a")
        before = running.pid
        await running.upgrade()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, await backend.closed.get()) == (1001, 1001)
        answer = await slow.ask(b"b")
        assert (answer.status, answer.get(b"connection")) == (200, b"close")
        await running.gone(before)
    async with open_websocket(url) as socket:
        await socket.send("y")
        assert await socket.recv() == "y"


async def test_the_command_says_when_the_new_program_serves(running):
    done = await asyncio.to_thread(running.command, "upgrade", "vestibule.hcl")
    assert (done.returncode, done.stderr) == (0, "")
    assert "new program serves" in done.stdout
    before, running.pid = running.pid, int(str((await running.told("upgraded", 1))["pid"]))
    await running.gone(before)
    reader, writer = await asyncio.open_unix_connection(running.gateway.directory / "web.sock")
    writer.write(ASK)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    again = await asyncio.to_thread(running.command, "log", "level", "vestibule.hcl")
    assert "upgrade_failed" not in running.gateway.log, again


async def test_a_broken_configuration_leaves_the_old_program_in_force(running):
    file = running.gateway.file
    good = file.read_text("utf-8")
    file.write_text(good.replace("backend =", "bakend ="), "utf-8")
    done = await asyncio.to_thread(running.command, "upgrade")
    assert done.returncode == 1
    assert "vestibule.hcl:9" in done.stderr
    assert running.events("upgrade_failed")
    file.write_text(good, "utf-8")
    async with raw.connect(running.gateway.port) as connection:
        assert (await connection.ask(ASK)).status == 200
    await running.upgrade()


async def test_a_program_that_crashes_leaves_the_old_one_in_force(running):
    """What is installed can't even be imported: a key file that nobody may read stands for it."""
    key = running.gateway.directory / "state" / "vestibule.key"
    key.chmod(0o644)
    os.kill(running.pid, signal.SIGUSR2)
    found = await running.told("upgrade_failed", 1)
    assert found["faults"]
    key.chmod(0o600)
    async with raw.connect(running.gateway.port) as connection:
        assert (await connection.ask(ASK)).status == 200


async def test_an_end_while_another_program_starts_is_the_end_of_both(running):
    os.kill(running.pid, signal.SIGUSR2)
    await running.told("upgrade_begun", 1)
    os.kill(running.pid, signal.SIGTERM)
    await running.gone(running.pid)
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.05)
