"""What a process keeps of configurations that were in force: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import socket
from collections import Counter
from pathlib import Path

import pytest

from tests.ports import Ports
from vestibule.app import App
from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.errors import ConfigError
from vestibule.generation import Generation
from vestibule.observe.log import Log
from vestibule.store.changes import Changes

pytestmark = pytest.mark.real

SPARE = 2
"""Threads may have one of the store's connections each."""
CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:0"]
  https = ["127.0.0.1:0"]
  state = "DIR/state"
}

provider "acme" {
  type = "oidc"
  issuer        = "https://issuer.example.com"
  client_id     = "app"
  client_secret = "0123456789abcdef0123456789abcdef"
}

host "app.test" {
  backend  = "internal:echo"
  access { allow = ["public"] }
}

host "plain.test" {
  backend  = "internal:echo"
  tls      = "off"
  access { allow = ["public"] }
}

"""


def compiled(directory: Path, text: str = CONFIGURATION) -> Compiled:
    file = directory / "app.hcl"
    file.write_text(text.replace("DIR", str(directory)))
    return compile_config(load((file,), {}))


def listeners_of(changes: Changes) -> Counter[str]:
    return Counter({kind: len(each) for kind, each in changes._listeners.items()})


async def settled(app: App) -> None:
    """The generations before are closed."""
    async with asyncio.timeout(60):
        while app._before:
            await asyncio.sleep(0.02)


@pytest.fixture
async def app(tmp_path):
    (tmp_path / "state").mkdir(mode=0o700)
    found = await App.open(compiled(tmp_path), Log(io.StringIO()))
    while not found.generation.is_loaded:
        await asyncio.sleep(0.02)
    yield found
    await found.close(drain_s=0.0)


async def answered(app: App, data: bytes) -> bytes:
    """The head of the answer to this on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", app.listeners[0].port)
    try:
        writer.write(data)
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


def files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def counted(app: App) -> dict[str, Counter[str]]:
    gc.collect()
    return {
        "generations": Counter(one=sum(isinstance(one, Generation) for one in gc.get_objects())),
        "subscriptions": listeners_of(app._kept.changes),
        "tasks": Counter(task.get_name().partition("-")[0] for task in asyncio.all_tasks()),
        "watched": Counter(one=len(app.keeper.shelf._watching)),
    }


def more(now: dict[str, Counter[str]], before: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """What there is more of than before."""
    return {kind: grown for kind, each in now.items() if (grown := each - before[kind])}


async def assert_kept(app: App, before: dict[str, Counter[str]], files_before: int | None = None) -> None:
    """No more than then, soon: a question to a provider, or an answer that ends, is under way for a moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            while more(counted(app), before) or (files_before is not None and files() > files_before + SPARE):
                await asyncio.sleep(0.2)
    assert more(counted(app), before) == {}
    assert files_before is None or files() <= files_before + SPARE


@pytest.mark.parametrize("reloads", [8, pytest.param(100, marks=pytest.mark.soak)])
async def test_of_many_configurations_before_nothing_is_kept(app: App, tmp_path: Path, reloads: int):
    for _ in range(3):
        await app.reload(compiled(tmp_path))
        await settled(app)
    before, files_before = counted(app), files()
    for _ in range(reloads):
        await app.reload(compiled(tmp_path))
        await settled(app)
    await assert_kept(app, before, files_before)
    assert before["generations"]["one"] == 1


async def test_of_a_configuration_that_is_refused_nothing_is_kept(app: App, tmp_path: Path):
    await app.reload(compiled(tmp_path))
    await settled(app)
    before, files_before = counted(app), files()
    for _ in range(10):
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        text = CONFIGURATION.replace('https = ["127.0.0.1:0"', f'https = ["127.0.0.1:0", "127.0.0.1:{port}"')
        with pytest.raises(ConfigError, match="another program listens there"):
            await app.reload(compiled(tmp_path, text))
        server.close()
        await server.wait_closed()
    await asyncio.sleep(0)
    await assert_kept(app, before, files_before)


def fails(*_: object) -> Generation:
    raise RuntimeError("it can't be built")


async def test_one_that_can_not_be_built_changes_nothing(app: App, tmp_path: Path, monkeypatch):
    await app.reload(compiled(tmp_path))
    await settled(app)
    in_force, before = app.generation, counted(app)
    with monkeypatch.context() as patched:
        patched.setattr("vestibule.app.Generation", fails)
        with pytest.raises(RuntimeError, match="can't be built"):
            await app.reload(compiled(tmp_path))
    assert app.generation is in_force
    await assert_kept(app, before)
    assert (await answered(app, b"GET / HTTP/1.1\r\nHost: plain.test\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await app.reload(compiled(tmp_path))
    assert app.generation is not in_force


def bind(port: int) -> None:
    """Raises OSError where somebody else has it bound."""
    with socket.socket() as alone:
        alone.bind(("127.0.0.1", port))


async def test_what_was_bound_for_one_that_is_abandoned_is_let_go_of(app: App, tmp_path: Path, ports: Ports):
    port, in_force = ports.take(), app.generation
    text = CONFIGURATION.replace('https = ["127.0.0.1:0"', f'https = ["127.0.0.1:0", "127.0.0.1:{port}"')
    await app.prepare(compiled(tmp_path, text))
    with pytest.raises(OSError, match="in use"):
        bind(port)
    await app.abandon()
    bind(port)
    assert app.generation is in_force


POST = b"POST / HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 2\r\n\r\n"


async def test_one_before_is_not_closed_while_a_request_that_it_let_in_is_under_way(
    app: App, tmp_path: Path, monkeypatch
):
    """Threat: what such a request still asks of it (its sessions, its control plane) is gone beneath it."""
    before, closed = app.generation, asyncio.Event()
    close = before.close

    async def closing() -> None:
        closed.set()
        await close()

    monkeypatch.setattr(before, "close", closing)
    reader, writer = await asyncio.open_connection("127.0.0.1", app.listeners[0].port)
    writer.write(POST + b"a")
    async with asyncio.timeout(60):
        while not list(app._under_way()):
            await asyncio.sleep(0.01)
    await app.reload(compiled(tmp_path))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await closed.wait()
    assert list(app._before.values()) == [before]
    writer.write(b"b")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await settled(app)
    assert closed.is_set()
    writer.close()
