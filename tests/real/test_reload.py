"""Another configuration while the gateway runs: nobody notices, and what can't be taken is refused with its lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from tests.real.gateway import Gateway
from vestibule.admin_client import AdminClient
from vestibule.errors import ClientError, Invalid

pytestmark = pytest.mark.real

PROCESSES = pytest.mark.parametrize("workers", [1, 2], ids=["one process", "two workers"])
CONFIGURATION = """
gateway {
  http    = ["127.0.0.1:{port}"]
  workers = 1
}

host "a.test" {
  backend = "127.0.0.1:BACKEND"
  max_body = "1KiB"
  access {
    allow = ["public"]
  }
}
"""


class Reloaded:
    """A gateway, its file, and what its operator does."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.backends: list[Backend] = []
        """The connections to its backend."""
        self.client = AdminClient(f"unix:{gateway.directory / 'state' / 'admin.sock'}")

    def write(self, *changes: tuple[str, str]) -> None:
        """Other text in the file, which must be there."""
        text = self.gateway.file.read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        self.gateway.file.write_text(text)

    async def reload(self) -> None:
        """In force on return."""
        await asyncio.to_thread(self.client.reload)

    async def hang_up(self) -> None:
        """The same by signal."""
        count = self.gateway.process.log.count('"configuration.reloaded"')
        os.kill(self.gateway.process.pid, signal.SIGHUP)
        async with asyncio.timeout(60):
            while self.gateway.process.log.count('"configuration.reloaded"') == count:
                await asyncio.sleep(0.02)

    async def status(self, host: str = "a.test", port: int = 0) -> int:
        """Of a request on a connection of its own; 0: there was none."""
        try:
            async with opened(port or self.gateway.port) as (reader, writer):
                return await asked(reader, writer, host)
        except OSError:
            return 0

    def pids(self) -> list[int]:
        """All its processes."""
        lines = (json.loads(line) for line in self.gateway.log.splitlines() if '"process_started"' in line)
        workers = {line["process"]: line["pid"] for line in lines}
        return list(workers.values()) or [self.gateway.process.pid]


async def asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = "a.test", close: str = "close"
) -> int:
    """The status of one request on this connection; 0: it was closed before there was one."""
    writer.write(b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: %b\r\n\r\n" % (host.encode(), close.encode()))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError):
        return 0
    length = re.search(rb"(?i)content-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(b" ", 2)[1])


class Backend(asyncio.Protocol):
    """Answers every request, and keeps its connection."""

    def __init__(self) -> None:
        self.came = b""
        """Of a request that is not answered yet."""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.came += data
        head, end, body = self.came.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and len(body) >= (int(length[1]) if length else 0):
            self.came = b""
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@contextlib.asynccontextmanager
async def opened(port: int):
    """A connection, closed in the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def reloaded(ports, gateway, request) -> Reloaded:
    """One that was started, with a backend."""
    workers = getattr(request, "param", 1)
    port = ports.take()
    backends: list[Backend] = []

    def backend() -> Backend:
        backends.append(Backend())
        return backends[-1]

    server = await asyncio.get_running_loop().create_server(backend, "127.0.0.1", port)
    text = CONFIGURATION.replace("BACKEND", str(port)).replace("workers = 1", f"workers = {workers}")
    found = Reloaded(await asyncio.to_thread(gateway, text))
    found.backends = backends
    await asyncio.to_thread(found.client.configuration)  # the control plane is there
    yield found
    found.gateway.stop()
    server.close()
    await asyncio.sleep(0.05)


both = pytest.mark.parametrize("reloaded", [1, 2], indirect=True, ids=["one process", "two workers"])
many = pytest.mark.parametrize("reloads", [25, pytest.param(100, marks=pytest.mark.soak)])


# -- nobody notices --------------------------------------------------------------------------------


@both
@many
async def test_of_many_reloads_under_load_no_connection_notices_any(reloaded: Reloaded, reloads: int):
    done = asyncio.Event()
    statuses: dict[str, list[int]] = {"new": [], "reused": []}

    async def opens() -> None:
        while not done.is_set():
            statuses["new"].append(await reloaded.status())

    async def reuses() -> None:
        async with opened(reloaded.gateway.port) as (reader, writer):
            while not done.is_set():
                statuses["reused"].append(await asked(reader, writer, close="keep-alive"))
                if not statuses["reused"][-1]:
                    return

    clients = [
        asyncio.ensure_future(work) for work in (opens(), opens(), opens(), *(reuses() for _ in range(4)))
    ]
    for number in range(1, reloads + 1):
        reloaded.write((f'"{number}KiB"', f'"{number + 1}KiB"'))
        await reloaded.reload()
    done.set()
    await asyncio.gather(*clients)
    assert min(map(len, statuses.values())) > reloads
    assert {name: set(each) for name, each in statuses.items()} == {"new": {200}, "reused": {200}}


@both
async def test_an_open_connection_goes_by_the_new_rules_from_its_next_request_on(reloaded: Reloaded):
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(opened(reloaded.gateway.port)) for _ in range(8)]
        for reader, writer in connections:
            assert await asked(reader, writer, close="keep-alive") == 200
        reloaded.write(('"a.test"', '"b.test"'))
        await reloaded.hang_up()
        for reader, writer in connections:
            assert await asked(reader, writer, close="keep-alive") == 421
    assert await reloaded.status("b.test") == 200


async def test_what_is_under_way_ends_as_it_began(reloaded: Reloaded):
    async with opened(reloaded.gateway.port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbo")
        async with asyncio.timeout(60):
            while not any(backend.came.endswith(b"bo") for backend in reloaded.backends):
                await asyncio.sleep(0.01)
        reloaded.write(('"a.test"', '"b.test"'))
        await reloaded.reload()
        writer.write(b"dy")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


# -- addresses -------------------------------------------------------------------------------------


@both
async def test_addresses_come_and_go(reloaded: Reloaded, ports):
    old, new = reloaded.gateway.port, ports.take()
    reloaded.write((f'"127.0.0.1:{old}"', f'"127.0.0.1:{old}", "127.0.0.1:{new}"'))
    await reloaded.reload()
    assert [await reloaded.status(port=port) for port in (old, new)] == [200, 200]
    reloaded.write((f'"127.0.0.1:{old}", ', ""))
    await reloaded.reload()
    assert [await reloaded.status(port=port) for port in (old, new)] == [0, 200]


@both
async def test_an_address_becomes_all_addresses_of_its_port(reloaded: Reloaded):
    port = reloaded.gateway.port
    reloaded.write((f'"127.0.0.1:{port}"', f'"0.0.0.0:{port}"'))
    await reloaded.reload()
    assert await reloaded.status() == 200
    reloaded.write((f'"0.0.0.0:{port}"', f'"127.0.0.1:{port}"'))
    await reloaded.reload()
    assert await reloaded.status() == 200


# -- what can't be taken ----------------------------------------------------------------------------

BROKEN = {
    "syntax": ("  access {", "  access [", r":10:10: "),
    "an attribute there isn't": ("  backend", '  bakend = "x"\n  backend', r":8:3: there is no attribute"),
    "a certificate that is missing": (
        "  backend",
        '  backend_ca = "missing.pem"\n  backend',
        r":8:\d+: .*missing\.pem",
    ),
    "what takes a restart": ("gateway {", 'gateway {\n  state = "other"', r":3:3: `state` can't be changed"),
}


@both
@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_broken_is_refused_with_its_lines_and_the_old_stays(reloaded: Reloaded, name: str):
    before, after, line = BROKEN[name]
    reloaded.write((before, after), ('"a.test"', '"b.test"'))
    with pytest.raises(Invalid) as caught:
        await reloaded.reload()
    told = [message for _, message in caught.value.faults]
    assert any(re.search(re.escape(str(reloaded.gateway.file)) + line, message) for message in told), told
    assert [await reloaded.status(host) for host in ("a.test", "b.test")] == [200, 421]
    assert '"configuration.refused"' in reloaded.gateway.log


@both
async def test_a_port_that_is_taken_refuses_all_of_it(reloaded: Reloaded, ports):
    taken = ports.take()
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", taken)
    port = reloaded.gateway.port
    reloaded.write(
        (f'"127.0.0.1:{port}"', f'"127.0.0.1:{port}", "127.0.0.1:{taken}"'), ('"a.test"', '"b.test"')
    )
    with pytest.raises(Invalid, match=f"can't listen on 127.0.0.1:{taken}: another program"):
        await reloaded.reload()
    assert [await reloaded.status(host) for host in ("a.test", "b.test")] == [200, 421]
    server.close()


async def test_nothing_else_is_taken_than_was_looked_at(reloaded: Reloaded):
    reloaded.write(('"a.test"', '"b.test"'))
    looked_at = await asyncio.to_thread(reloaded.client.difference)
    reloaded.write(('"b.test"', '"c.test"'))
    with pytest.raises(ClientError) as caught:
        await asyncio.to_thread(reloaded.client.reload, looked_at.fingerprint)
    assert caught.value.status == 412
    assert await reloaded.status("a.test") == 200


async def test_a_shell_is_shown_the_difference_and_asked(reloaded: Reloaded):
    directory: Path = reloaded.gateway.directory

    def vestibule(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vestibule", "reload", *argv],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )

    reloaded.write(('"a.test"', '"b.test"'))
    dry = await asyncio.to_thread(vestibule, "--dry-run")
    assert (dry.returncode, '+host "b.test" {' in dry.stdout) == (0, True)
    assert await reloaded.status("a.test") == 200
    done = await asyncio.to_thread(vestibule, "--yes", str(reloaded.gateway.file))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "In force (added: host b.test; removed: host a.test).",
    )
    assert await reloaded.status("b.test") == 200
    reloaded.write(("  backend", "  bakend"))
    refused = await asyncio.to_thread(vestibule, "--yes")
    assert refused.returncode == 1
    assert f"{reloaded.gateway.file}:8:3:" in refused.stderr


# -- what lasts --------------------------------------------------------------------------------------


@pytest.fixture
async def talking(ports):
    """A WebSocket server's port."""
    port = ports.take()

    async def echo(connection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", port):
        yield port


@both
async def test_a_websocket_goes_on_and_is_cut_where_the_new_rules_say_so(reloaded: Reloaded, talking: int):
    backend = re.search(r'"(127.0.0.1:\d+)"\n  max_body', reloaded.gateway.file.read_text())
    reloaded.write((backend[1], f"127.0.0.1:{talking}"))
    await reloaded.reload()
    async with connect("ws://a.test/", host="127.0.0.1", port=reloaded.gateway.port) as socket:
        for number in range(3):
            reloaded.write(("  access {", f"  # {number}\n  access {{"))
            await reloaded.reload()
            await socket.send(str(number))
            assert await socket.recv() == str(number)
        reloaded.write(('allow = ["public"]', 'allow = ["public", "network:192.0.2.1"]'))
        await reloaded.reload()
        with pytest.raises(websockets.ConnectionClosed):
            async with asyncio.timeout(30):
                await socket.recv()


# -- nothing is left behind ---------------------------------------------------------------------------


def _memory(pids: list[int]) -> int:
    found = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
        found += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return found


def _files(pids: list[int]) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


async def files_at_rest(pids: list[int]) -> int:
    """How many files are open, once it is no longer getting fewer."""
    least, since = _files(pids), 0
    while since < 10:
        await asyncio.sleep(0.1)
        now = _files(pids)
        least, since = (now, 0) if now < least else (least, since + 1)
    return least


@both
@many
async def test_many_reloads_leave_nothing_behind(reloaded: Reloaded, reloads: int):
    pids = reloaded.pids()
    for number in range(reloads + 10):
        if number == 10:
            files, memory = await files_at_rest(pids), _memory(pids)
        await reloaded.reload()
    assert reloaded.pids() == pids
    # What was before goes when its last connections are closed, a little after.
    most = memory + 16 * 2**20 * len(pids)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(45):
            while _files(pids) > files + 4 or _memory(pids) > most:
                await asyncio.sleep(0.2)
    assert _files(pids) <= files + 4
    assert _memory(pids) <= most
