"""gRPC through the gateway: grpclib's client, HTTP/2 by TLS, the gateway, HTTP/2 again, grpclib's server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import trustme
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from tests.real import raw
from tests.real.calls import SERVICE, Backend, both, client, down, unary, up
from tests.real.gateway import Gateway

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:HTTPS"]
}

host "localhost" {
  backend         = "grpc://127.0.0.1:BACKEND"
  htpasswd        = "USERS"
  tls_certificate = "CERTIFICATE"
  tls_key         = "KEY"
  access {
    allow = ["public"]
  }
  route "/vestibule.test.Calls/Who" {
    access {
      allow = ["user:htpasswd/ann"]
    }
  }
  route "/vestibule.test.Calls/Down" {
    max_body = "1KiB"
    access {
      allow = ["public"]
    }
  }
  route "/down" {
    backend = "h2c://127.0.0.1:1"
  }
}

host "127.0.0.1" {
  tls     = "off"
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
  route "/vestibule.test.Calls" {
    backend = "h2c://127.0.0.1:BACKEND"
  }
}
"""


@dataclasses.dataclass
class Site:
    gateway: Gateway
    backend: Backend
    https: int
    ca_file: Path

    def client(self) -> contextlib.AbstractAsyncContextManager[Channel]:
        return client("localhost", self.https, self.ca_file)


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def files(folder: Path, ca: trustme.CA, ports, backend: Backend) -> tuple[str, int]:
    """The configuration, and the port of its https."""
    issued = ca.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(folder / "app.pem"))
    issued.private_key_pem.write_to_path(str(folder / "app.key"))
    users = folder / "users"
    users.write_text(
        "".join(
            f"{name}:{bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode()}\n" for name in ("ann", "bob")
        )
    )
    for path in (users, folder / "app.key"):
        path.chmod(0o600)
    port = ports.take()
    text = CONFIGURATION.replace("HTTPS", str(port)).replace("BACKEND", str(backend.port))
    for word, name in (("USERS", "users"), ("CERTIFICATE", "app.pem"), ("KEY", "app.key")):
        text = text.replace(word, str(folder / name))
    return text, port


@pytest.fixture
async def site(ports, gateway, ca, ca_file, tmp_path) -> AsyncIterator[Site]:
    async with Backend(ports.take()) as backend:
        text, port = files(tmp_path, ca, ports, backend)
        yield Site(gateway(text), backend, port, ca_file)


@pytest.fixture
async def channel(site) -> AsyncIterator[Channel]:
    async with site.client() as channel:
        yield channel


# -- the four kinds of calls ---------------------------------------------------------------------------------------


async def test_one_message_for_one(channel):
    assert await unary(channel, b"ping") == b"gnip"


async def test_many_messages_for_one(channel):
    assert await down(channel, b"[5, 3]") == [bytes([number]) * 3 for number in range(5)]


async def test_one_message_for_many(channel):
    assert await up(channel, [b"x" * number for number in range(20)]) == b"[20, 190]"


async def test_messages_both_ways_each_before_the_next(channel):
    async with both(channel) as stream:
        for number in range(20):
            await stream.send_message(b"m%d" % number)
            assert await stream.recv_message() == b"M%d" % number
        await stream.end()
        assert await stream.recv_message() is None


async def test_a_call_without_messages_ends_as_it_should(channel):
    assert await up(channel, []) == b"[0, 0]"
    assert await down(channel, b"[0, 0]") == []


# -- what goes with them -------------------------------------------------------------------------------------------


async def test_metadata_passes_both_ways_and_nobody_says_who_he_is_himself(channel, site):
    from grpclib.client import UnaryUnaryMethod  # noqa: PLC0415

    method = UnaryUnaryMethod(channel, f"{SERVICE}/Unary", bytes, bytes)
    sent = {"x-mine": "1", "x-mine-bin": b"\x00\x01\xff", "user-id": "root", "x-forwarded-for": "6.6.6.6"}
    async with method.open(metadata=sent) as stream:
        await stream.send_message(b"x", end=True)
        await stream.recv_initial_metadata()
        assert (stream.initial_metadata["x-first"], stream.initial_metadata["x-first-bin"]) == (
            "1",
            b"\x00\xff",
        )
        assert await stream.recv_message() == b"x"
        await stream.recv_trailing_metadata()
        assert stream.trailing_metadata["x-last"] == "2"
    (seen,) = site.backend.seen
    assert (seen["x-mine"], seen["x-mine-bin"]) == ("1", str(b"\x00\x01\xff"))
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert "user-id" not in seen


async def test_errors_of_the_backend_come_as_they_are(channel):
    with pytest.raises(GRPCError) as caught:
        await unary(channel, b"x", "Fail")
    assert (caught.value.status, caught.value.message) == (Status.NOT_FOUND, "no such thing: ä %")


async def test_a_method_that_is_not_there_is_told_as_the_backend_tells(channel, site):
    told = []
    async with client("127.0.0.1", site.backend.port) as direct:
        for one in (direct, channel):
            with pytest.raises(GRPCError) as caught:
                await unary(one, b"x", "Nothing")
            told.append((caught.value.status, caught.value.message))
    assert told[0] == told[1]


async def test_an_error_in_the_middle_comes_behind_what_was_sent(channel):
    with pytest.raises(GRPCError) as caught:
        await down(channel, b"x", "Half")
    assert (caught.value.status, caught.value.message) == (Status.DATA_LOSS, "the rest is gone")


# -- much of it ----------------------------------------------------------------------------------------------------


async def test_big_messages_pass_both_ways(channel):
    message = bytes(range(256)) * (16 * 1024)
    assert await unary(channel, message) == message[::-1]
    sizes = json.loads(await up(channel, [message] * 4))
    assert sizes == [4, 4 * len(message)]


async def test_a_client_that_does_not_read_holds_up_its_own_call_alone(channel, site):
    before = site.gateway.pss_bytes()
    from grpclib.client import UnaryStreamMethod  # noqa: PLC0415

    stuck = UnaryStreamMethod(channel, f"{SERVICE}/Down", bytes, bytes)
    async with stuck.open() as stream:
        await stream.send_message(b"[600, 65536]", end=True)
        await stream.recv_message()
        async with site.client() as another:  # over the same connection to the backend
            for _ in range(20):
                assert await unary(another, b"ping") == b"gnip"
        assert site.gateway.pss_bytes() - before < 32 << 20
        count = 1
        while (message := await stream.recv_message()) is not None:
            assert message == bytes([count % 256]) * 65536
            count += 1
    assert count == 600


async def test_a_hundred_calls_side_by_side(channel, site):
    async def talk(number: int) -> None:
        async with both(channel) as stream:
            for turn in range(5):
                await stream.send_message(b"c%d-%d" % (number, turn))
                assert await stream.recv_message() == b"C%d-%d" % (number, turn)
            everybody.discard(number)
            while everybody:
                await asyncio.sleep(0.01)
            await stream.end()

    everybody = set(range(100))
    await asyncio.gather(*(talk(number) for number in range(100)))
    assert site.backend.most == 100


async def test_who_leaves_ends_the_call_at_the_backend(site):
    async with site.client() as channel, both(channel) as stream:
        await stream.send_message(b"x")
        await stream.recv_message()
        await stream.cancel()
        while site.backend.under_way:
            await asyncio.sleep(0.01)
    assert site.backend.cancelled == 1


# -- who may -------------------------------------------------------------------------------------------------------


async def test_who_is_not_signed_in_is_told_as_grpc_tells(channel, site):
    with pytest.raises(GRPCError) as caught:
        await unary(channel, b"x", "Who")
    assert caught.value.status == Status.UNAUTHENTICATED
    assert "sign_in_required" in caught.value.message
    assert site.backend.seen == []


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [("bob", "bob", Status.PERMISSION_DENIED), ("ann", "no", Status.UNAUTHENTICATED)],
    ids=["another", "wrong password"],
)
async def test_who_may_not_is_told_as_grpc_tells(channel, site, user, password, status):
    with pytest.raises(GRPCError) as caught:
        await unary(channel, b"x", "Who", metadata=basic(user, password))
    assert caught.value.status == status
    assert site.backend.seen == []


async def test_who_may_is_told_to_the_backend_and_the_password_is_not(channel):
    seen = json.loads(await unary(channel, b"x", "Who", metadata=basic("ann", "ann")))
    assert seen["user-login"] == "ann"
    assert "authorization" not in seen


async def test_a_person_with_a_cookie_may(channel, site):
    cookie = await signed_in(site)
    seen = json.loads(await unary(channel, b"x", "Who", metadata={"cookie": f"mine=1; {cookie}"}))
    assert (seen["user-login"], seen["cookie"]) == ("ann", "mine=1")
    assert seen["proxy-session"]


async def signed_in(site: Site) -> str:
    """The session cookie of Ann, who has signed in by the form."""
    context = ssl.create_default_context(cafile=str(site.ca_file))
    base = f"https://localhost:{site.https}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as browser:
        async with browser.get(f"{base}/@/signin", headers={"Accept": "text/html"}) as page:
            text = await page.text()
        form = {name: value for name, value in inputs(text).items() if value}
        form |= {"user": "ann", "username": "ann", "password": "ann"}
        async with browser.post(
            f"{base}{action(text)}", data=form, headers={"Origin": base}, allow_redirects=False
        ) as answer:
            assert answer.status in {302, 303}, await answer.text()
        (cookie,) = (one for one in browser.cookie_jar if one.key == "__Host-vestibule")
        return f"{cookie.key}={cookie.value}"


def inputs(text: str) -> dict[str, str]:
    import re  # noqa: PLC0415

    found = {}
    for tag in re.findall(r"<input[^>]*>", text):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name:
            found[name[1]] = value[1] if value else ""
    return found


def action(text: str) -> str:
    import re  # noqa: PLC0415

    found = re.search(r'<form[^>]*method="post" action="([^"]*)"', text)
    assert found, text
    return found[1]


async def test_more_than_a_route_takes_is_refused(channel):
    with pytest.raises(GRPCError) as caught:
        await down(channel, b" " * 2000)
    assert caught.value.status == Status.RESOURCE_EXHAUSTED


# -- what breaks ---------------------------------------------------------------------------------------------------


async def test_a_backend_that_is_down_is_told_as_grpc_tells(site):
    async with site.client() as channel:
        assert await unary(channel, b"ping") == b"gnip"
        await site.backend.stop()
        with pytest.raises(GRPCError) as caught:
            await unary(channel, b"ping")
        assert caught.value.status == Status.UNAVAILABLE
        await site.backend.start()
        await asyncio.sleep(1.1)
        assert await unary(channel, b"ping") == b"gnip"


async def test_a_backend_that_goes_in_the_middle_of_a_call_breaks_it_off(channel, site):
    got = []

    async def talk() -> None:
        async with both(channel) as stream:
            await stream.send_message(b"x")
            got.append(await stream.recv_message())
            await site.backend.stop()
            try:
                got.append(await stream.recv_message())
            finally:
                with contextlib.suppress(ProtocolError):
                    await stream.cancel()

    with pytest.raises((GRPCError, StreamTerminatedError)):
        await talk()
    assert got == [b"X"]


async def test_a_deadline_is_kept_and_the_backend_is_told(channel, site):
    with pytest.raises((asyncio.TimeoutError, GRPCError)):
        await unary(channel, b"30", "Sleep", timeout=0.3)
    while site.backend.under_way:
        await asyncio.sleep(0.01)
    assert site.backend.seen[0].get("grpc-timeout") is None  # grpclib keeps it to itself
    assert site.backend.cancelled == 1


# -- clients of HTTP/1.1 -------------------------------------------------------------------------------------------


async def test_a_client_of_http_1_1_gets_the_status_in_trailers_of_chunks(site):
    body = b"\x00\x00\x00\x00\x04ping"
    head = (
        f"POST {SERVICE}/Unary HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/grpc+proto\r\n"
        f"TE: trailers\r\nConnection: TE, close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.port)
    writer.write(head.encode() + body)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    (message,) = raw.read_answers(answer) if hasattr(raw, "read_answers") else read(answer)
    assert (message.status, message.body) == (200, b"\x00\x00\x00\x00\x04gnip")
    assert (b"grpc-status", b"0") in message.trailers


def read(answer: bytes):
    from tests.helpers.messages import read_answers  # noqa: PLC0415

    return read_answers(answer, b"POST")


async def test_a_websocket_is_refused_where_the_backend_takes_none(site):
    head = (
        f"GET {SERVICE}/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.port)
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 501 ")


# -- backends by TLS -----------------------------------------------------------------------------------------------


async def test_a_backend_by_tls_is_reached_by_alpn_and_known_by_its_certificate(
    ports, gateway, ca, ca_file, tmp_path
):
    issued = ca.issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    context.set_alpn_protocols(["h2"])
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(old)
    async with Backend(ports.take(), context) as backend, Backend(ports.take(), old) as other:
        text, port = files(tmp_path, ca, ports, backend)
        text = text.replace("grpc://127.0.0.1", "grpcs://localhost")
        text = text.replace("h2c://127.0.0.1:1", f"grpcs://localhost:{other.port}")
        started = gateway(text, env={"SSL_CERT_FILE": str(ca_file)})
        async with client("localhost", port, ca_file) as channel:
            assert await unary(channel, b"ping") == b"gnip"
            method = "/down/x"
            from grpclib.client import UnaryUnaryMethod  # noqa: PLC0415

            with pytest.raises(GRPCError) as caught:
                await UnaryUnaryMethod(channel, method, bytes, bytes)(b"x")
            assert caught.value.status == Status.UNAVAILABLE
        assert "not by ALPN" in started.log
