"""The end of a program, and another in its place, as clients of HTTP/2 over TLS see it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import serve

from tests.helpers.peer_h2 import H2Peer
from tests.real.test_drain import Slow, slow
from tests.real.test_upgrade import Running
from tests.real.test_upgrade_faults import children
from tests.real.test_websocket import Echo

__all__ = ["slow"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

CONFIGURATION = """
gateway {
  http    = ["127.0.0.1:{port}"]
  https   = ["127.0.0.1:HTTPS"]
  workers = WORKERS
}

host "localhost" {
  backend         = "127.0.0.1:SLOW"
  tls_certificate = "DIRECTORY/cert.pem"
  tls_key         = "DIRECTORY/key.pem"

  access {
    allow = ["public"]
  }
  route "/socket/" {
    backend = "127.0.0.1:ECHO"
    access {
      allow = ["public"]
    }
  }
}
"""
GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost")]
CONNECT = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"https"),
    (b":authority", b"localhost"),
    (b":path", b"/socket/"),
    (b"sec-websocket-version", b"13"),
]
MASKED_X = b"\x81\x81\0\0\0\0x"
X = b"\x81\x01x"
GOING_AWAY = b"\x88\x02\x03\xe9"


class Client:
    """One connection of HTTP/2, which reads until the other side closes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = H2Peer()
        self.is_broken = False
        """True when the other side has broken it off, instead of ending it."""
        self.writer = writer
        self.reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(1 << 16):
                self.peer.feed(data)
                self.flush()
        except (ConnectionError, ssl.SSLError):
            self.is_broken = True

    def flush(self) -> None:
        self.writer.write(self.peer.out())

    def ask(self, fields: list[tuple[bytes, bytes]], *, ends: bool = True) -> int:
        stream = self.peer.ask(fields, ends=ends)
        self.flush()
        return stream

    async def answered(self, stream: int) -> bool:
        """True when it was answered well; False when the client was told to ask elsewhere, as it then may at once.

        Raises ConnectionError when it was told neither. Spec: RFC 9113 sections 6.8 and 8.7.
        """
        found, peer = self.peer.streams[stream], self.peer
        await self.until(lambda: found.is_ended or found.reset is not None or self.reading.done())
        if found.is_ended:
            assert found.status == 200, found.fields
            return True
        if peer.is_going is not None and peer.is_going < stream and not peer.error:
            return False
        raise ConnectionError(f"lost: reset {found.reset}, going {peer.is_going}, broken {self.is_broken}")

    async def until(self, is_so) -> None:
        async with asyncio.timeout(60):
            while not is_so():
                await asyncio.sleep(0.01)


def context() -> ssl.SSLContext:
    found = ssl.create_default_context()
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    found.set_alpn_protocols(["h2"])
    return found


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context(), server_hostname="localhost"
    )
    client = Client(reader, writer)
    client.flush()
    try:
        yield client
    finally:
        client.reading.cancel()
        writer.transport.abort()


@pytest.fixture
def files(ca, tmp_path) -> str:
    """The directory with the host's certificate."""
    certificate = ca.issue_cert("localhost")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "key.pem").chmod(0o600)
    return str(tmp_path)


@pytest.fixture(params=[1, 2], ids=["one process", "workers"])
async def running(request, slow, gateway, ports, files) -> AsyncIterator[tuple[Running, int, Echo]]:
    echo, https = Echo(ports.take()), ports.take()
    text = (
        CONFIGURATION.replace("HTTPS", str(https))
        .replace("SLOW", str(slow.port))
        .replace("ECHO", str(echo.port))
    )
    text = text.replace("WORKERS", str(request.param)).replace("DIRECTORY", files)
    async with serve(echo, "127.0.0.1", echo.port):
        running = Running(await asyncio.to_thread(gateway, text))
        await running.told("ready", 1)
        yield running, https, echo
        running.end()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR2], ids=["end", "upgrade"])
async def test_streams_end_and_the_client_is_told_to_ask_elsewhere(running, slow: Slow, signum):
    found, https, echo = running
    async with connected(https) as busy, connected(https) as idle:
        for client in (busy, idle):
            first = client.ask([*GET, (b":path", b"/0")])
            await client.until(lambda client=client, first=first: client.peer.streams[first].is_ended)
        socket = busy.ask(CONNECT, ends=False)
        await busy.until(lambda: busy.peer.streams[socket].fields)
        assert busy.peer.streams[socket].status == 200
        busy.peer.send(socket, MASKED_X)
        busy.flush()
        await busy.until(lambda: busy.peer.streams[socket].body == X)
        slow_one = busy.ask([*GET, (b":path", b"/held")])
        await slow.has(b"held")
        if signum == signal.SIGTERM:
            os.kill(found.pid, signum)
        else:
            old = found.pid
            await found.upgrade()
        await busy.until(lambda: busy.peer.streams[socket].body == X + GOING_AWAY)
        assert await asyncio.wait_for(echo.closed.get(), 60) == 1001
        await busy.until(lambda: busy.peer.is_going is not None and idle.peer.is_going is not None)
        slow.may_answer.set()
        await busy.until(lambda: busy.peer.streams[slow_one].is_ended)
        assert (busy.peer.streams[slow_one].status, busy.peer.streams[slow_one].body) == (200, b"ok")
        async with asyncio.timeout(60):
            await asyncio.gather(busy.reading, idle.reading)
        assert (busy.peer.error, idle.peer.error) == (None, None)
    await found.gone(found.gateway.process.pid if signum == signal.SIGTERM else old)


async def test_no_handshake_fails_while_another_program_takes_over(running):
    found, https, _ = running
    answered, failed, is_over = 0, [], False

    async def asks() -> None:
        nonlocal answered
        while not is_over:
            try:
                async with connected(https) as client:
                    answered += await client.answered(client.ask([*GET, (b":path", b"/0")]))
            except (OSError, TimeoutError) as error:
                failed.append(repr(error))
            await asyncio.sleep(0.02)

    asking = [asyncio.create_task(asks()) for _ in range(2)]
    for _ in range(2):
        old = found.pid
        await found.upgrade()
        await found.gone(old)
    is_over = True
    await asyncio.gather(*asking)
    assert failed == []
    assert answered > 20


class Half:
    """A client whose handshake lacks no more than its own last word."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        plain = context()
        plain.set_alpn_protocols(["http/1.1"])
        self._tls = plain.wrap_bio(self._came, self._goes, server_hostname="localhost")

    @classmethod
    async def begun(cls, port: int) -> Half:
        """The other side has said all that it says of the handshake."""
        half = cls(*await asyncio.open_connection("127.0.0.1", port))
        async with asyncio.timeout(30):
            while True:
                try:
                    half._tls.do_handshake()
                except ssl.SSLWantReadError:
                    await half._exchange()
                else:
                    return half

    async def _exchange(self) -> None:
        self._writer.write(self._goes.read())
        if not (data := await self._reader.read(1 << 16)):
            raise ConnectionResetError("ended")
        self._came.write(data)

    async def ask(self) -> bytes:
        """The status line of an answer, asked for right behind the last word."""
        self._tls.write(b"GET /0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        try:
            async with asyncio.timeout(30):
                while True:
                    try:
                        return self._tls.read(1 << 14).split(b"\r\n")[0]
                    except ssl.SSLWantReadError:
                        await self._exchange()
        finally:
            self.close()

    def close(self) -> None:
        """Leave."""
        self._writer.transport.abort()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR2], ids=["end", "upgrade"])
async def test_a_handshake_under_way_is_finished_and_what_is_asked_after_it_answered(running, signum):
    found, https, _ = running
    stops = (
        len(children(found.pid)) or 1
    )  # with workers one for each and one of who started them: less the control's
    halves, old = [await Half.begun(https) for _ in range(4)], found.pid
    os.kill(old, signum)
    while len(found.events("stopping")) < stops:
        if signum == signal.SIGUSR2:
            halves.append(await Half.begun(https))
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)  # whatever is idle has been closed by then
    for half in halves[:-4]:
        half.close()
    assert [await half.ask() for half in halves[-4:]] == [b"HTTP/1.1 200 OK"] * 4
    if signum == signal.SIGUSR2:
        found.pid = int(str((await found.told("upgraded", 1))["pid"]))
    await found.gone(old)
