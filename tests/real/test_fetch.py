"""Outgoing HTTP over real sockets: which address is connected to, which connection is used, what TLS demands."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trustme

from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.fetch import Address, AiohttpTransport, ConnectionFailed, Fetcher, resolve_by_system

pytestmark = pytest.mark.real

LOOPBACK = (ipaddress.ip_address("127.0.0.1"),)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Origin:
    """A server on loopback that answers each request as `answer` says, and remembers what came on which connection."""

    def __init__(self, answer: Callable[[bytes], bytes | None] = lambda _: OK) -> None:
        self.answer = answer
        self.connections: list[list[bytes]] = []
        self.drops_after_answer = False
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, tls: ssl.SSLContext | None = None) -> int:
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=tls)
        return self.server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests: list[bytes] = []
        self.connections.append(requests)
        self._writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ),
                    0,
                )
                requests.append(head + await reader.readexactly(length))
                answer = self.answer(requests[-1])
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
                if self.drops_after_answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return
        finally:
            writer.close()

    async def close(self) -> None:
        self.server.close()
        for writer in self._writers:
            writer.close()


Make = Callable[..., Awaitable[int]]


@pytest.fixture
async def origins() -> AsyncIterator[list[Origin]]:
    made: list[Origin] = []
    yield made
    for origin in made:
        await origin.close()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(deadline_s=5.0)
    yield fetcher
    await fetcher.close()


async def served(
    origins: list[Origin], answer: Callable[[bytes], bytes | None] = lambda _: OK
) -> tuple[Origin, str]:
    origin = Origin(answer)
    origins.append(origin)
    return origin, f"http://127.0.0.1:{await origin.serve()}"


async def to_loopback(_host: str, _port: int) -> tuple[Address, ...]:
    return LOOPBACK


async def test_the_systems_resolver_knows_loopback() -> None:
    assert set(await resolve_by_system("localhost", 80)) & {*LOOPBACK, ipaddress.ip_address("::1")}


async def test_gets_share_a_connection_and_forms_have_one_each(origins, fetcher) -> None:
    origin, base = await served(origins)
    for _ in range(3):
        await fetcher.get(f"{base}/a")
    for _ in range(2):
        await fetcher.post_form(f"{base}/token", b"code=x")
    assert [len(requests) for requests in origin.connections] == [3, 1, 1]
    assert origin.connections[1][0].startswith(b"POST /token HTTP/1.1\r\n")
    assert origin.connections[1][0].endswith(b"\r\n\r\ncode=x")


async def test_what_is_sent_is_plain(origins, fetcher, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}"
    origin, base = await served(origins, lambda _: cookie)
    await fetcher.get(f"{base}/a")
    await fetcher.get(f"{base}/a", headers={"Authorization": "Bearer t"})
    first, second = (request.lower() for request in origin.connections[0])
    assert b"accept: application/json\r\n" in first
    assert b"accept-encoding: identity\r\n" in first
    assert b"authorization: bearer t\r\n" in second
    assert b"cookie" not in second


async def test_a_kept_connection_the_server_has_dropped_costs_nothing(origins, fetcher) -> None:
    origin, base = await served(origins)
    origin.drops_after_answer = True
    for _ in range(5):
        assert (await fetcher.get(f"{base}/a")).body == b"{}"
        assert (await fetcher.post_form(f"{base}/a", b"x=y")).body == b"{}"


BROKEN = {
    "nothing": None,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{}",
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_an_answer_that_breaks_off_is_none(origins, fetcher, answer) -> None:
    origin, base = await served(origins, lambda _: answer)
    origin.drops_after_answer = True
    with pytest.raises(ConnectionFailed):
        await fetcher.post_form(f"{base}/token", b"code=x")
    assert sum(map(len, origin.connections)) == 1


async def test_nobody_listening_is_unavailable_and_the_log_is_told_where(fetcher, free_port) -> None:
    with pytest.raises(ConnectionFailed) as told:
        await fetcher.get(f"http://127.0.0.1:{free_port}/keys?code=hush")
    assert told.value.detail.startswith(f"http://127.0.0.1:{free_port}: ")
    assert "hush" not in told.value.detail


async def test_a_server_that_says_nothing_is_given_up_on(origins) -> None:
    _, base = await served(origins, lambda _: b"")
    impatient = Fetcher(deadline_s=0.2)
    with pytest.raises(ProviderUnavailable, match="in time"):
        await impatient.get(f"{base}/")
    await impatient.close()


async def test_an_endless_body_is_cut_off(origins, fetcher) -> None:
    _, base = await served(origins, lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000)
    with pytest.raises(ProviderInvalid, match="too large"):
        await fetcher.get(f"{base}/")


async def test_a_redirect_stays_on_loopback(origins, fetcher) -> None:
    def answer(request: bytes) -> bytes:
        if request.startswith(b"GET /b "):
            return OK
        return b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"

    _, base = await served(origins, answer)
    assert (await fetcher.get(f"{base}/a")).url == f"{base}/b"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(authority: trustme.CA, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's for this name, and a client's that trusts its issuer."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def test_tls_is_verified_for_the_name_and_goes_to_the_checked_address(origins, authority) -> None:
    server, client = contexts(authority, "op.example")
    origin = Origin()
    origins.append(origin)
    port = await origin.serve(server)
    fetcher = Fetcher(transport=AiohttpTransport(tls=client), resolve=to_loopback, deadline_s=5.0)
    assert (await fetcher.get(f"https://op.example:{port}/")).status == 200
    with pytest.raises(ProviderUnavailable, match=r"can't be (verified|reached)"):
        await fetcher.get(f"https://other.example:{port}/")
    await fetcher.close()
    assert sum(map(len, origin.connections)) == 1


async def test_a_certificate_nobody_vouches_for_is_refused(origins, authority) -> None:
    server, _ = contexts(authority, "op.example")
    origin = Origin()
    origins.append(origin)
    port = await origin.serve(server)
    fetcher = Fetcher(resolve=to_loopback, deadline_s=5.0)
    with pytest.raises(ProviderUnavailable):
        await fetcher.get(f"https://op.example:{port}/")
    await fetcher.close()
    assert sum(map(len, origin.connections)) == 0


async def test_a_connection_opened_for_the_operator_serves_nobody_elses_url(origins, authority) -> None:
    """A document from a public issuer can't reach a private host by a connection that is kept open to it."""
    server, client = contexts(authority, "idp.corp")
    origin = Origin()
    origins.append(origin)
    port = await origin.serve(server)

    async def resolve(host: str, _port: int) -> tuple[Address, ...]:
        return LOOPBACK if host == "idp.corp" else (ipaddress.ip_address("203.0.114.5"),)

    fetcher = Fetcher(transport=AiohttpTransport(tls=client), resolve=resolve, deadline_s=5.0)
    await fetcher.get(f"https://idp.corp:{port}/mine")
    with pytest.raises(ProviderInvalid):
        await fetcher.get(f"https://idp.corp:{port}/theirs", via="https://op.example")
    await fetcher.close()
    assert sum(map(len, origin.connections)) == 1
