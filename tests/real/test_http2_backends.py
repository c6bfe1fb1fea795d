"""What browsers and apps ask of servers that speak HTTP/2: WebSockets over it or beside it, and calls of gRPC to APIs."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import ssl
from collections.abc import AsyncIterator

import pytest
from grpclib.client import UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.real import raw
from tests.real.calls import SERVICE, Backend, both, client, down, unary
from tests.real.gateway import Gateway
from tests.real.sockets_h2 import Sockets
from tests.real.test_drain_h2 import CONNECT, MASKED_X, connected

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:HTTPS"]
}

host "localhost" {
  backend         = "h2c://127.0.0.1:STREAMS"
  tls_certificate = "CERTIFICATE"
  tls_key         = "KEY"
  access {
    allow = ["public"]
  }
}

host "127.0.0.1" {
  tls     = "off"
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
  route "/socket/" {
    backend = "h2c://127.0.0.1:STREAMS"
    access {
      allow = ["public"]
    }
  }
  route "/beside/" {
    backend  = "https://localhost:BESIDE"
    protocol = "http2"
    access {
      allow = ["public"]
    }
  }
  route "/none/" {
    backend = "h2c://127.0.0.1:NONE"
    access {
      allow = ["public"]
    }
  }
  route "/alone/" {
    backend = "grpcs://localhost:ALONE"
    access {
      allow = ["public"]
    }
  }
}

secret "key" {
  value = "s3cret-of-the-app"
}

call "api" {
  port     = CALL
  endpoint = "grpcs://localhost:API"
  apply_header "X-Api-Key" {
    secret = "key"
  }
}
"""


@dataclasses.dataclass
class Site:
    gateway: Gateway
    https: int
    call: int
    streams: Sockets
    beside: Sockets
    api: Backend

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}{path}"


def tls(ca, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(list(protocols))
    return context


@pytest.fixture
async def site(ports, gateway, ca, ca_file, tmp_path) -> AsyncIterator[Site]:
    issued = ca.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "app.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "app.key"))
    (tmp_path / "app.key").chmod(0o600)
    https, call = ports.take(), ports.take()
    async with (
        Sockets(ports.take(), takes=True) as streams,
        Sockets(ports.take(), tls(ca, "h2", "http/1.1"), takes=False) as beside,
        Sockets(ports.take(), takes=False) as none,
        Sockets(ports.take(), tls(ca, "h2"), takes=False) as alone,
        Backend(ports.take(), tls(ca, "h2")) as api,
    ):
        text = CONFIGURATION.replace("CERTIFICATE", str(tmp_path / "app.pem"))
        text = (
            text.replace("KEY", str(tmp_path / "app.key"))
            .replace("HTTPS", str(https))
            .replace("CALL", str(call))
        )
        for word, one in (
            ("STREAMS", streams),
            ("BESIDE", beside),
            ("NONE", none),
            ("ALONE", alone),
            ("API", api),
        ):
            text = text.replace(f":{word}", f":{one.port}")
        started = await asyncio.to_thread(gateway, text, env={"SSL_CERT_FILE": str(ca_file)})
        yield Site(started, https, call, streams, beside, api)


async def talk(url: str) -> None:
    """What a WebSocket has to do, whatever it is carried by."""
    async with asyncio.timeout(60), connect(url, max_size=None) as socket:
        await socket.send("hello")
        assert await socket.recv() == "HELLO"
        await (await socket.ping())
        message = bytes(range(256)) * 4096
        await asyncio.gather(*(socket.send(message) for _ in range(3)))
        for _ in range(3):
            assert await socket.recv() == message
        await socket.close(4001)


async def test_websockets_reach_backends_of_http_2(site):
    # 1. RFC 8441, from clients of HTTP/1.1; several at once on one connection.
    await asyncio.gather(*(talk(site.url("/socket/")) for _ in range(3)))
    assert [await asyncio.wait_for(site.streams.ended.get(), 30) for _ in range(3)] == [4001] * 3
    (protocol, fields) = site.streams.asked[0]
    assert (protocol, fields[":method"], fields[":protocol"]) == ("h2", "CONNECT", "websocket")
    assert "sec-websocket-key" not in fields
    # 2. The same from a client of HTTP/2.
    async with connected(site.https) as browser:
        socket = browser.ask(CONNECT, ends=False)
        found = browser.peer.streams[socket]
        await browser.until(lambda: found.fields)
        assert found.status == 200
        browser.peer.send(socket, MASKED_X)
        browser.flush()
        await browser.until(lambda: found.body == b"\x81\x01X")
    assert await asyncio.wait_for(site.streams.ended.get(), 30) == "reset"
    # 3. Where its HTTP/2 has none, by HTTP/1.1 over TLS.
    await talk(site.url("/beside/"))
    assert [protocol for protocol, _ in site.beside.asked] == ["http/1.1"]
    assert await asyncio.wait_for(site.beside.ended.get(), 30) == 4001
    # 4. Where that isn't spoken either, not at all: without TLS, and over it; and requests go on.
    for path in ("/none/", "/alone/"):
        with pytest.raises(InvalidStatus) as caught:
            await connect(site.url(path))
        assert caught.value.response.status_code == 501
        async with raw.connect(site.gateway.port) as plain:
            answer = await plain.ask(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode())
            assert answer.status == 200
    await asyncio.to_thread(site.gateway.process.wait_log, "nor HTTP/1.1 by ALPN")
    # 5. The program goes: both sides of each are told so.
    async with connect(site.url("/socket/")) as one, connect(site.url("/beside/")) as other:
        for socket in (one, other):
            await socket.send("x")
            assert await socket.recv() == "X"
        os.kill(site.gateway.process.pid, signal.SIGTERM)
        for socket in (one, other):
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 30)
            assert socket.close_code == 1001
        for backend in (site.streams, site.beside):
            assert await asyncio.wait_for(backend.ended.get(), 30) == 1001


async def test_an_app_calls_an_api_of_grpc_with_a_credential_it_never_sees(site):
    async with client("127.0.0.1", site.call) as channel:
        method = UnaryUnaryMethod(channel, f"{SERVICE}/Unary", bytes, bytes)
        async with method.open(metadata={"x-mine": "1", "x-api-key": "the app's own"}) as stream:
            await stream.send_message(b"ping", end=True)
            assert await stream.recv_message() == b"gnip"
            await stream.recv_trailing_metadata()
            assert stream.trailing_metadata["x-last"] == "2"
        (seen,) = site.api.seen
        assert (seen["x-mine"], seen["x-api-key"]) == ("1", "s3cret-of-the-app")
        assert await down(channel, b"[5, 3]") == [bytes([number]) * 3 for number in range(5)]
        async with both(channel) as stream:
            for number in range(5):
                await stream.send_message(b"m%d" % number)
                assert await stream.recv_message() == b"M%d" % number
            await stream.end()
            assert await stream.recv_message() is None
        with pytest.raises(GRPCError) as caught:
            await unary(channel, b"x", "Fail")
        assert caught.value.status == Status.NOT_FOUND
        with pytest.raises(GRPCError) as caught:
            await unary(channel, b"x", metadata={"origin": "https://evil.example"})
        assert caught.value.status == Status.PERMISSION_DENIED
        with pytest.raises((TimeoutError, GRPCError)):
            await unary(channel, b"60", "Sleep", timeout=1)
        async with asyncio.timeout(30):
            while site.api.under_way:
                await asyncio.sleep(0.01)
        assert site.api.cancelled == 1
    # The same port takes HTTP/1.1; the API is called by HTTP/2 all the same.
    async with raw.connect(site.call) as plain:
        message = b"\0\0\0\0\x04ping"
        answer = await plain.ask(
            f"POST {SERVICE}/Unary HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc+proto\r\n"
            f"Content-Length: {len(message)}\r\n\r\n".encode()
            + message
        )
        assert (answer.status, answer.body) == (200, b"\0\0\0\0\x04gnip")
        assert (b"grpc-status", b"0") in answer.trailers
    assert "s3cret-of-the-app" not in site.gateway.log
