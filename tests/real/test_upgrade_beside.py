"""What else goes on while a program is replaced or ends: certificates, reloads, ports that others take, a store that is away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.real import raw
from tests.real.gateway import Gateway
from tests.real.postgres import Cluster
from tests.real.test_acme import NAME, backend, shown, started, wait_for
from tests.real.test_postgres_gateway import KEY, STORE
from tests.real.test_upgrade import ASK, Running

__all__ = ["backend", "started"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

CONFIGURATION = """
gateway {
  http    = ["127.0.0.1:{port}"]
  workers = WORKERS
}

host "localhost" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""
SLOW = "import os, time\nif 'VESTIBULE_HANDOVER' in os.environ: time.sleep(3)\n"
NEW_HOST = """
host "new.test" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""


async def ended(running: Running) -> None:
    """All programs of it."""
    for pid in {running.pid, running.gateway.process.pid}:
        if not running._has_ended(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            await running.gone(pid)


@pytest.fixture(params=[1, 2], ids=["one process", "workers"])
def workers(request) -> int:
    return request.param


@pytest.fixture
async def running(workers, gateway: Callable[..., Gateway], tmp_path) -> AsyncIterator[Running]:
    text = CONFIGURATION.replace("WORKERS", str(workers))
    running = Running(gateway(text, env={"PYTHONPATH": f"{tmp_path}"}))
    await running.told("ready", 1)
    yield running
    await ended(running)


async def status(port: int, host: bytes = b"localhost") -> int:
    async with raw.connect(port) as connection:
        return (await connection.ask(ASK.replace(b"localhost", host))).status


async def test_what_was_issued_is_shown_by_the_new_program_at_once_and_not_ordered_again(
    started, authorities, workers
):
    pebble = authorities.pebble(env={"PEBBLE_AUTHZREUSE": "0"})
    found = started(pebble.directory, **{"gateway {": f"gateway {{\n  workers = {workers}"})
    await asyncio.to_thread(wait_for, found, "certificate.issued")
    root, running = pebble.root_pem(), Running(found)
    serials, is_over = [], False

    async def looks() -> None:
        while not is_over:
            serials.append(await asyncio.to_thread(shown, authorities, root))

    before = await asyncio.to_thread(shown, authorities, root)
    looking = asyncio.create_task(looks())
    for _ in range(2):
        old = running.pid
        await running.upgrade()
        await running.gone(old)
        seen = len(serials)
        async with asyncio.timeout(60):
            while len(serials) < seen + 5:
                await asyncio.sleep(0.05)
    is_over = True
    await looking
    assert set(serials) == {before}
    assert pebble.log.count("Added order") == 1
    await ended(running)


async def test_an_order_under_way_is_finished_by_the_new_program(started, authorities, workers):
    pebble = authorities.pebble(
        env={"PEBBLE_AUTHZREUSE": "0", "PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "8"}
    )
    found = started(pebble.directory, **{"gateway {": f"gateway {{\n  workers = {workers}"})
    await asyncio.to_thread(
        found.process.wait_until, lambda: "POST /authZ/" in pebble.log, "begins to prove the name"
    )
    running = Running(found)
    await running.upgrade()
    await running.gone(found.process.pid)
    async with asyncio.timeout(120):
        while not running.events("certificate.issued"):
            await asyncio.sleep(0.1)
        while not (serial := await asyncio.to_thread(_shown, authorities, pebble.root_pem())):
            await asyncio.sleep(0.1)
    assert serial
    assert pebble.log.count("Added order") == 1
    await ended(running)


def _shown(authorities, root: str) -> str:
    try:
        return shown(authorities, root)
    except OSError:
        return ""


async def test_a_stop_in_the_middle_of_an_order_ends(started, authorities, workers):
    pebble = authorities.pebble(env={"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "12"})
    found = started(pebble.directory, **{"gateway {": f"gateway {{\n  workers = {workers}"})
    await asyncio.to_thread(found.process.wait_until, lambda: "POST /authZ/" in pebble.log, "orders")
    found.process.signal(signal.SIGTERM)
    assert await asyncio.to_thread(found.process.wait) == 0
    assert not Running(found).events("certificate.issued"), NAME


async def test_a_reload_during_an_upgrade_is_the_old_program_s_and_its_files_the_new_one_s(running, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW, "utf-8")
    old, file = running.pid, running.gateway.file
    os.kill(old, signal.SIGUSR2)
    await running.told("upgrade_begun", 1)
    file.write_text(file.read_text("utf-8") + NEW_HOST, "utf-8")
    os.kill(old, signal.SIGHUP)
    await running.told("configuration.reloaded", 1)
    assert await status(running.gateway.port, b"new.test") == 200
    running.pid = int(str((await running.told("upgraded", 1))["pid"]))
    await running.gone(old)
    for _ in range(4):
        assert await status(running.gateway.port, b"new.test") == 200


async def test_an_upgrade_during_a_reload_loses_neither(running):
    file, old = running.gateway.file, running.pid
    file.write_text(file.read_text("utf-8") + NEW_HOST, "utf-8")
    os.kill(old, signal.SIGHUP)
    os.kill(old, signal.SIGUSR2)
    await running.told("configuration.reloaded", 1)
    running.pid = int(str((await running.told("upgraded", 1))["pid"]))
    await running.gone(old)
    for _ in range(4):
        assert await status(running.gateway.port, b"new.test") == 200
        assert await status(running.gateway.port) == 200


async def test_a_port_that_somebody_else_has_leaves_the_old_program_which_is_told(running, ports):
    file, port = running.gateway.file, ports.take()
    good = file.read_text("utf-8")
    here = f'"127.0.0.1:{running.gateway.port}"'
    with socket.create_server(("127.0.0.1", port)):
        file.write_text(good.replace(here, f'{here}, "127.0.0.1:{port}"'), "utf-8")
        done = await asyncio.to_thread(running.command, "upgrade")
        assert done.returncode == 1
        assert f"can't listen on 127.0.0.1:{port}: another program listens there" in done.stderr
        assert str(port) in str(running.events("upgrade_failed")[0]["faults"])
        assert await status(running.gateway.port) == 200
    await running.upgrade()
    assert [await status(at) for at in (running.gateway.port, port)] == [200, 200]


async def test_pages_that_can_not_be_made_leave_the_old_program_which_is_told(running):
    """The configuration is good, but not what its pages are made of."""
    file, templates = running.gateway.file, running.gateway.directory / "templates"
    good = file.read_text("utf-8")
    templates.mkdir()
    (templates / "signin.html").write_text("{{ nothing.of.that }}", "utf-8")
    file.write_text(good + '\nbranding {\n  templates = "templates"\n}\n', "utf-8")
    done = await asyncio.to_thread(running.command, "upgrade")
    assert done.returncode == 1
    assert "signin.html" in done.stderr
    assert "signin.html" in str(running.events("upgrade_failed")[0]["faults"])
    assert await status(running.gateway.port) == 200
    (templates / "signin.html").unlink()
    await running.upgrade()


# -- the store is away ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(ports, ca) -> Iterator[Cluster]:
    """A server of the test's own, to be hurt."""
    cluster = Cluster(ports.take(), ca)
    yield cluster
    cluster.resume()
    cluster.stop()


async def test_while_the_store_does_not_answer_a_program_is_not_replaced_but_ends(cluster, gateway, workers):
    database = await asyncio.to_thread(cluster.database)
    text = CONFIGURATION.replace("WORKERS", str(workers)) + STORE
    running = Running(gateway(text, env={**KEY, "DATABASE_URL": database.url}))
    await running.told("ready", 1)
    await asyncio.to_thread(cluster.pause)
    os.kill(running.pid, signal.SIGUSR2)
    assert (await running.told("upgrade_failed", 1))["faults"]
    assert await status(running.gateway.port) == 200
    os.kill(running.pid, signal.SIGUSR2)
    await running.told("upgrade_begun", 2)
    os.kill(running.pid, signal.SIGHUP)
    os.kill(running.pid, signal.SIGTERM)
    await running.gone(running.pid)


@pytest.mark.parametrize("what", ["url", "sessions"])
async def test_a_start_whose_store_does_not_answer_ends_when_told(ports, state_dir, ca_file, workers, what):
    store = {"url": "postgresql://u:p@{}/x?sslmode=disable", "sessions": "redis://{}"}[what]
    with socket.create_server(("127.0.0.1", 0)) as mute:
        at = f"127.0.0.1:{mute.getsockname()[1]}"
        text = CONFIGURATION.replace("WORKERS", str(workers)).replace("{port}", str(ports.take()))
        text += f'store {{\n  {what} = "{store.format(at)}"\n}}\n'
        found = Gateway(text, state_dir, port=0, ca_file=ca_file, env=KEY)
        try:
            connection, _ = await asyncio.to_thread(mute.accept)
            found.process.signal(signal.SIGTERM)
            await asyncio.to_thread(found.process.wait)
            connection.close()
        finally:
            found.stop()
