"""The life of the program attacked: signals at bad moments, programs that are killed, hang or crash, files left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.real import raw
from tests.real.gateway import Gateway
from tests.real.test_upgrade import ASK, Running

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

CONFIGURATION = """
gateway {
  http        = ["127.0.0.1:{port}", "unix:web.sock"]
  workers     = WORKERS
  drain_delay = "2s"
}

host "localhost" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""


@pytest.fixture(params=[1, 2], ids=["one process", "workers"])
async def running(request, gateway: Callable[..., Gateway], tmp_path) -> AsyncIterator[Running]:
    text = CONFIGURATION.replace("WORKERS", str(request.param))
    running = Running(gateway(text, env={"PYTHONPATH": f"{tmp_path}"}))
    await running.told("ready", 1)
    yield running
    running.end()


def put_in_place(tmp_path: Path, code: str) -> None:
    """Every program that is started from now on does this first (`sitecustomize`)."""
    (tmp_path / "sitecustomize.py").write_text(code, "utf-8")


async def serves(running: Running) -> None:
    for _ in range(4):
        async with raw.connect(running.gateway.port) as connection:
            assert (await connection.ask(ASK)).status == 200


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [int(one) for one in found]


def files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def listening(pid: int) -> set[str]:
    """The listening sockets that the process has, by inode."""
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    all_of_them = {line.split()[9] for line in lines if line.split()[3] == "0A"}
    return all_of_them & set(_sockets(pid))


def _sockets(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(file.readlink())):
                yield found[1]


ENDS = "import os\nif 'VESTIBULE_HANDOVER' in os.environ: os._exit(3)\n"
# It says that it serves, and is gone.
LIES = """
import json, os
if told := os.environ.get("VESTIBULE_HANDOVER"):
    os.write(json.loads(told)["report"], b"ready\\n")
    os._exit(4)
"""
NONSENSE = """
import json, os
if told := os.environ.get("VESTIBULE_HANDOVER"):
    os.write(json.loads(told)["report"], b"\\xff\\x00{" * 20_000)
    os._exit(5)
"""


@pytest.mark.parametrize("code", [ENDS, LIES, NONSENSE], ids=["ends", "ends when ready", "nonsense"])
async def test_a_broken_program_takes_nobody_s_place(running, tmp_path, code):
    put_in_place(tmp_path, code)
    before = files(running.pid)
    os.kill(running.pid, signal.SIGUSR2)
    assert (await running.told("upgrade_failed", 1))["faults"]
    await serves(running)
    async with asyncio.timeout(60):
        while files(running.pid) > before + 2:  # connections that are just being closed
            await asyncio.sleep(0.1)
    (tmp_path / "sitecustomize.py").unlink()
    await running.upgrade()
    await serves(running)


async def test_a_program_that_is_killed_while_it_starts_leaves_the_old_one(running, tmp_path):
    put_in_place(tmp_path, "import os, time\nif 'VESTIBULE_HANDOVER' in os.environ: time.sleep(60)\n")
    known = set(children(running.pid))
    os.kill(running.pid, signal.SIGUSR2)
    await running.told("upgrade_begun", 1)
    os.kill(running.pid, signal.SIGUSR2)  # a second one at once
    assert "already" in str(await running.told("upgrade_failed", 1))
    async with asyncio.timeout(60):
        while not (new := set(children(running.pid)) - known):
            await asyncio.sleep(0.02)
    os.kill(new.pop(), signal.SIGKILL)
    assert "-9" in str(await running.told("upgrade_failed", 2))
    await serves(running)


async def test_an_old_program_that_is_killed_leaves_the_new_one(running, tmp_path):
    """It is started, waits until the other is gone, and serves."""
    put_in_place(tmp_path, "import os, time\nif 'VESTIBULE_HANDOVER' in os.environ: time.sleep(2)\n")
    known = set(children(running.pid))
    os.kill(running.pid, signal.SIGUSR2)
    await running.told("upgrade_begun", 1)
    async with asyncio.timeout(60):
        while not (new := set(children(running.pid)) - known):
            await asyncio.sleep(0.02)
    old, running.pid = running.pid, new.pop()
    os.kill(old, signal.SIGKILL)
    await running.told("ready", 2)
    (tmp_path / "sitecustomize.py").unlink()
    await serves(running)
    await running.upgrade()
    await serves(running)


async def test_who_ends_is_replaced_by_nobody(running):
    """Signals and the command, after SIGTERM: the end is the end."""
    old = running.pid
    os.kill(old, signal.SIGTERM)
    await running.told("stopping", 1)
    os.kill(old, signal.SIGUSR2)
    os.kill(old, signal.SIGHUP)
    done = await asyncio.to_thread(running.command, "upgrade")
    assert done.returncode != 0
    await running.gone(old)
    assert "upgrade_begun" not in running.gateway.log
    assert running.gateway.process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        async with raw.connect(running.gateway.port):
            pass


async def test_the_command_is_told_of_its_own_upgrade_alone(running, tmp_path):
    put_in_place(tmp_path, "import os, time\nif 'VESTIBULE_HANDOVER' in os.environ: time.sleep(1.5)\n")
    asked = asyncio.create_task(asyncio.to_thread(running.command, "upgrade"))
    await running.told("upgrade_begun", 1)
    os.kill(running.pid, signal.SIGUSR2)
    await running.told("upgrade_failed", 1)
    done = await asked
    assert (done.returncode, done.stderr) == (0, "")
    running.pid = int(str((await running.told("upgraded", 1))["pid"]))


async def least_files(pid: int) -> int:
    """How many files it has open once it is no longer getting fewer."""
    least, since = files(pid), 0
    while since < 5:
        await asyncio.sleep(0.1)
        now = files(pid)
        least, since = (now, 0) if now < least else (least, since + 1)
    return least


async def test_upgrades_leave_no_file_open(running):
    first = running.pid
    await running.upgrade()
    await running.gone(first)
    await serves(running)
    before, listens = await least_files(running.pid), len(listening(running.pid))
    for _ in range(3):
        old = running.pid
        await running.upgrade()
        await running.gone(old)
    await serves(running)
    async with asyncio.timeout(60):
        while files(running.pid) > before + 2:  # connections that are just being closed
            await asyncio.sleep(0.1)
    assert len(listening(running.pid)) == listens
    # With workers each has its own alone, and nobody else has any.
    for child in children(running.pid):
        assert len(listening(child)) <= 1


@pytest.mark.parametrize("workers", [1, 2], ids=["one process", "workers"])
async def test_a_reload_that_is_asked_for_too_early_waits(state_dir, ports, ca_file, workers):
    port = ports.take()
    text = CONFIGURATION.replace("WORKERS", str(workers)).replace("{port}", str(port))
    found = Gateway(text.replace("2s", "0s"), state_dir, port=port, ca_file=ca_file)
    try:
        async with asyncio.timeout(30):
            while not blocks(found.process.pid, signal.SIGHUP):
                await asyncio.sleep(0.002)
        found.process.signal(signal.SIGHUP)
        await asyncio.to_thread(found.wait)
        await asyncio.to_thread(found.process.wait_log, '"event":"configuration.reloaded"')
    finally:
        found.stop()


def blocks(pid: int, signum: signal.Signals) -> bool:
    """Whether the signal waits until the program wants it."""
    said = re.search(r"^SigBlk:\s+([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text("ascii"), re.MULTILINE)
    return said is not None and bool(int(said[1], 16) >> (signum - 1) & 1)


async def test_a_port_of_the_admin_api_that_came_by_reload_is_handed_on(running, ports):
    file, admin = running.gateway.file, ports.take()
    file.write_text(file.read_text("utf-8") + f'\nadmin {{\n  listen = "127.0.0.1:{admin}"\n}}\n', "utf-8")
    os.kill(running.pid, signal.SIGHUP)
    await running.told("configuration.reloaded", 1)

    async def healthz() -> int:
        async with raw.connect(admin) as connection:
            return (await connection.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")).status

    assert await healthz() == 200
    old = running.pid
    await running.upgrade()
    await running.gone(old)
    assert await healthz() == 200
