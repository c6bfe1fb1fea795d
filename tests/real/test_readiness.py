"""Whether the program is ready, as platforms ask it: with stores that break, with workers, on its way out."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys

import aiohttp
import pytest
from aiohttp import web

from tests.real.fault import Fault
from tests.real.gateway import Gateway

_CONFIGURATION = """
gateway {{
  http    = ["127.0.0.1:{{port}}"]
  workers = {workers}
}}
{store}
host "localhost" {{
  backend = "{backend}"
  access {{
    allow = ["public"]
  }}
}}
"""
_KEY = {"VESTIBULE_SESSION_KEY": "a-key-of-a-test-that-nobody-guesses-0123456789"}


def configuration(store: str = "", backend: str = "internal:echo", workers: int = 1) -> str:
    block = f"store {{\n  {store}\n}}" if store else ""
    return _CONFIGURATION.format(store=block, backend=backend, workers=workers)


def asked(gateway: Gateway, path: str = "/readyz") -> tuple[int, dict[str, str]]:
    """Status and JSON at the admin socket; 0 where nobody answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        try:
            connection.connect(str(gateway.directory / "state" / "admin.sock"))
        except OSError:
            return 0, {}
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        raw = b""
        while chunk := connection.recv(65536):
            raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


def until(gateway: Gateway, code: str) -> dict[str, str]:
    """What it says once it says this code; empty: ready."""
    gateway.process.wait_until(lambda: asked(gateway)[1].get("code", "") == code, f"says {code or 'ready'}")
    return asked(gateway)[1]


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_a_store_that_is_away_is_told_and_the_process_lives(kind, request, gateway, ports):
    server = request.getfixturevalue(kind)
    port = server.place.port if kind == "postgres" else server.server.port
    with Fault(ports.take(), port) as fault:
        url = server.url.replace(f":{port}", f":{fault.port}")
        setting = f'url = "{url}"' if kind == "postgres" else f'sessions = "{url}"'
        running = gateway(configuration(f'{setting}\n  timeout = "250ms"'), env=_KEY)
        await asyncio.to_thread(until, running, "")
        for hurt in (fault.refuse, fault.hang):
            hurt()
            said = await asyncio.to_thread(until, running, "store_unavailable")
            assert said["status"] == "not ready"
            assert await asyncio.to_thread(asked, running, "/healthz") == (200, {"status": "ok"})
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{running.url}/@/readyz", headers={"Host": "10.0.0.7"}) as answer,
            ):
                assert answer.status == 503
                assert await answer.json() == {"status": "not ready", "code": "store_unavailable"}
            fault.calm()
            await asyncio.to_thread(until, running, "")


def test_with_workers_control_and_each_worker_say_so(gateway):
    running = gateway(configuration(workers=2))
    assert until(running, "") == {"status": "ready"}
    running.process.wait_until(lambda: _status(running, "/@/readyz") == 200, "answers at its listener")
    assert _status(running, "/@/healthz") == 200


def _status(gateway: Gateway, path: str) -> int:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 10.0.0.7\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split(b" ")[1])


async def test_on_its_way_out_it_says_that_it_is_draining(gateway, api):
    going_on, begun = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        begun.set()
        await going_on.wait()
        return web.Response(text="done")

    app = await api(answer=slow)
    running = gateway(configuration(backend=f"127.0.0.1:{app.port}"))
    begun.clear()
    async with aiohttp.ClientSession() as session:
        asking = asyncio.create_task(
            session.get(f"http://127.0.0.1:{running.port}/", headers={"Host": "localhost"})
        )
        await begun.wait()
        running.process.signal(signal.SIGTERM)
        said = await asyncio.to_thread(until, running, "draining")
        assert said["status"] == "not ready"
        going_on.set()
        answer = await asking
        assert (answer.status, await answer.text()) == (200, "done")
    await asyncio.to_thread(running.process.wait)
    assert asked(running)[0] == 0


def test_the_screen_and_the_event(gateway, ports, tmp_path, ca_file, process):
    running = gateway(configuration())
    [ready] = [json.loads(line) for line in running.log.splitlines() if '"event":"ready"' in line]
    assert ready["hosts"] == [f"http://localhost:{running.port}"]
    assert ready["store"].startswith("sqlite:")
    file = tmp_path / "other.hcl"
    file.write_text(configuration().replace("{port}", str(ports.take())))
    shown = process("vestibule", [sys.executable, "-m", "vestibule", "serve", "--banner", file], cwd=tmp_path)
    shown.wait_log("is ready")
    shown.wait_log('"event":"ready"')
    lines = [line for line in shown.log.splitlines() if line.startswith("{")]
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert "Listens" in shown.log
    assert '"hosts"' not in shown.log
