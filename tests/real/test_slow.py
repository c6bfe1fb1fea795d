"""Clients who are slow on purpose, as slowhttptest is: each is ended, and who means well is answered meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path

import pytest

from tests.process import Process, needed
from tests.real.raw import connect

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

EACH = 100
CONFIGURATION = """
gateway {
  http      = ["127.0.0.1:{port}"]
  body_rate = "1KiB"
}
host "127.0.0.1" {
  backend = "BACKEND"
  access {
    allow = ["public"]
  }
}
"""
SOONER = """
import vestibule.proxy.downstream_h1 as connection
connection.HEAD_DEADLINE_S = connection.FIRST_WINDOW_S = 3.0
connection.BODY_WINDOW_S = connection.SEND_STALL_S = 2.0
"""
"""The deadlines of the product, which are a minute and less, shorter: the test is about what happens at their end."""
SLOW = {
    "heads": ("/", ("-H", "-i", "1")),
    "bodies": ("/body", ("-B", "-i", "1", "-s", "65536")),
    "reading": ("/long", ("-X", "-w", "64", "-y", "128", "-n", "1", "-z", "1")),
}
"""Where they ask, and how: a bit of a head, or of a body, each second; a byte of a long answer each second."""
STUCK_BYTES = 100_000
GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
COLOUR = re.compile(r"\x1b\[[\d;]*m")


async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers at once but for /body, whose request has to be whole; /long is two megabytes."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            if length := re.search(rb"(?i)content-length: *(\d+)", head):
                await reader.readexactly(int(length[1]))
            body = b"x" * (2 << 20 if b" /long" in head else 5)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    writer.close()


def stuck(port: int) -> set[str]:
    """Who takes nothing of what waits for them at this port: the system keeps it, though nobody has the connection."""
    found = set()
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        _, here, there, _, queues, *_ = line.split()
        if int(here.partition(":")[2], 16) == port and int(queues.partition(":")[0], 16) > STUCK_BYTES:
            found.add(there)
    return found


async def test_slowhttptest_holds_no_connection_and_keeps_nobody_from_an_answer(
    gateway, ports, servers, tmp_path
):
    """Threat: slowloris (H), R-U-Dead-Yet (B) and slow reading (X), all at once."""
    (tmp_path / "sitecustomize.py").write_text(SOONER)
    port = ports.take()
    server = await asyncio.start_server(backend, "127.0.0.1", port)
    text = CONFIGURATION.replace("BACKEND", f"127.0.0.1:{port}")
    running = await asyncio.to_thread(gateway, text, env={"PYTHONPATH": str(tmp_path)})
    slow = {}
    for name, (path, how) in SLOW.items():
        argv = [needed("slowhttptest"), *how, "-c", str(EACH), "-r", str(EACH), "-l", "200", "-p", "100"]
        slow[name] = Process(name, [*argv, "-u", f"http://127.0.0.1:{running.port}{path}"], cwd=tmp_path)
        servers.callback(slow[name].stop)
    async with connect(running.port) as kept:
        seen: set[str] = set()
        while (
            any(slow[name].returncode is None for name in ("heads", "bodies"))
            or len(seen) < EACH // 2
            or stuck(running.port)
        ):
            assert (await kept.ask(GET)).body == b"xxxxx"
            async with connect(running.port) as new:
                assert (await new.ask(GET)).body == b"xxxxx"
            seen |= stuck(running.port)
            await asyncio.sleep(0.1)
    log = running.log
    await asyncio.to_thread(running.stop)
    server.close()
    await asyncio.sleep(0.05)  # its last connections are gone
    # The third doesn't look whether it was hung up on.
    for name in ("heads", "bodies"):
        said = COLOUR.sub("", slow[name].log)
        assert "No open connections left" in said, (name, said[-1500:])
        assert not re.search(r"service available: +NO", said), (name, said[-1500:])
    for why in ("the request took too long", "the body took too long"):
        assert log.count(why) >= EACH, why
