"""Outgoing HTTP over real sockets: which address is connected to, which connection is used, what TLS demands."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trustme

from tests.spellings import SPELLINGS
from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.fetch import AiohttpTransport, ConnectionFailed, Fetcher, resolve_by_system
from vestibule.protocol.address import OUTSIDE, Address, Networks

pytestmark = pytest.mark.real

LOOPBACK = (ipaddress.ip_address("127.0.0.1"),)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Origin:
    """A server on loopback that answers each request as `answer` says, and remembers what came on which connection."""

    def __init__(self, answer: Callable[[bytes], bytes | None] = lambda _: OK) -> None:
        self.answer = answer
        self.connections: list[list[bytes]] = []
        self.drops_after_answer = False
        self.trickles_s = 0.0
        """Above nothing: its answer is followed by a byte every so often, without end."""
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(
        self, tls: ssl.SSLContext | None = None, *, address: str = "127.0.0.1", port: int = 0
    ) -> int:
        self.server = await asyncio.start_server(self._connected, address, port, ssl=tls)
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
                while self.trickles_s:
                    await asyncio.sleep(self.trickles_s)
                    writer.write(b" ")
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


async def test_slow_names_of_strangers_hold_up_nobody_else(origins, monkeypatch) -> None:
    """Threat: name servers that never answer, and take all threads there are for looking names up."""
    _, base = await served(origins)
    go_on, look_up = threading.Event(), socket.getaddrinfo

    def slow(host: str, *args: Any, **options: Any) -> Any:
        if host.endswith(".slow.example"):
            go_on.wait(60)
            raise OSError("no answer")
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    fetcher = Fetcher(deadline_s=60.0)
    urls = [f"https://{number}.slow.example/" for number in range(100)]
    waiting = [asyncio.create_task(fetcher.get(url, via=OUTSIDE)) for url in urls]
    await asyncio.sleep(0.05)
    assert (await fetcher.get(base.replace("127.0.0.1", "localhost"))).status == 200
    assert await asyncio.to_thread(lambda: "free") == "free"
    go_on.set()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert {getattr(end, "code", end) for end in ends} == {"name_unresolved"}
    await fetcher.close()


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
    "a header without end": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X-Many: y\r\n" * 100_000 + b"\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
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
    with pytest.raises(ProviderUnavailable, match="in time") as told:
        await impatient.get(f"{base}/")
    assert told.value.code == "provider_timeout"
    await impatient.close()


async def test_a_server_that_says_a_little_now_and_then_is_given_up_on(origins) -> None:
    """Threat: an answer that never ends and never stands still, so that no pause is too long."""
    origin, base = await served(origins, lambda _: b"HTTP/1.1 200 OK\r\n\r\n")
    origin.trickles_s = 0.02
    impatient = Fetcher(deadline_s=0.4)
    with pytest.raises(ProviderUnavailable) as told:
        await impatient.get(f"{base}/")
    assert told.value.code == "provider_timeout"
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


class Fickle:
    """A resolver that gives one address when asked for the first time, and another from then on."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = [ipaddress.ip_address(text) for text in addresses]
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> tuple[Address, ...]:
        self.asked += 1
        return (self.addresses[min(self.asked, len(self.addresses)) - 1],)


async def test_a_name_that_changes_its_address_between_check_and_connection_gains_nothing(origins) -> None:
    """Threat: DNS rebinding. Two servers on one port: the one that was checked is the one that is asked."""
    checked, inner = Origin(), Origin()
    origins += [checked, inner]
    port = await checked.serve()
    await inner.serve(address="127.0.0.2", port=port)
    resolver = Fickle("127.0.0.1", "127.0.0.2")
    fetcher = Fetcher(resolve=resolver, allow=Networks.parse(["127.0.0.1"]), deadline_s=5.0)
    assert (await fetcher.get(f"http://rebind.example:{port}/", via=OUTSIDE)).status == 200
    assert resolver.asked == 1
    for call in (
        fetcher.get(f"http://rebind.example:{port}/", via=OUTSIDE),
        fetcher.post_form(f"http://rebind.example:{port}/", b"code=canary", via=OUTSIDE),
        fetcher.send("DELETE", f"http://rebind.example:{port}/", b"{}", via=OUTSIDE),
    ):
        with pytest.raises(ProviderInvalid) as told:
            await call
        assert told.value.code == "http_refused"
    await fetcher.close()
    assert list(map(len, checked.connections)) == [1]
    assert inner.connections == []


#: hosts that the system's resolver knows without asking anybody
KNOWN = [host for host in SPELLINGS if re.fullmatch(r"[0-9a-fA-FxX:.\[\]]+|(?i:localhost)\.?", host)]


@pytest.mark.parametrize("host", KNOWN)
@pytest.mark.parametrize("via", ["https://op.example", OUTSIDE])
async def test_no_spelling_of_this_machine_is_reached_by_a_learned_url(origins, fetcher, host, via) -> None:
    """The twin of the unit test, with the resolver there is, and a server that would answer."""
    origin, base = await served(origins)
    port = base.rpartition(":")[2]
    for scheme in ("http", "https"):
        with pytest.raises((ProviderInvalid, ProviderUnavailable)) as told:
            await fetcher.get(f"{scheme}://{host}:{port}/", via=via)
        assert told.value.code in {"url_refused", "address_refused", "http_refused", "name_unresolved"}
    assert origin.connections == []


async def test_a_server_of_an_allowed_network_is_reached_by_a_learned_url(origins) -> None:
    origin, base = await served(origins)
    fetcher = Fetcher(allow=Networks.parse(["127.0.0.0/8"]), deadline_s=5.0)
    assert (await fetcher.get(f"{base}/a", via=OUTSIDE)).status == 200
    assert (await fetcher.send("DELETE", f"{base}/a", b'{"a": 1}', via="https://op.example")).status == 200
    await fetcher.close()
    assert [request.partition(b" ")[0] for requests in origin.connections for request in requests] == [
        b"GET",
        b"DELETE",
    ]


async def test_a_body_is_sent_once_on_a_connection_of_its_own(origins, fetcher) -> None:
    origin, base = await served(origins)
    await fetcher.get(f"{base}/a")
    for method in ("POST", "DELETE"):
        await fetcher.send(
            method, f"{base}/a", b'{"access_token": "x"}', headers={"Authorization": "Basic y"}
        )
    assert [len(requests) for requests in origin.connections] == [1, 1, 1]
    for [request] in origin.connections[1:]:
        assert b"content-type: application/json\r\n" in request.lower()
        assert b"authorization: basic y\r\n" in request.lower()
        assert request.endswith(b'\r\n\r\n{"access_token": "x"}')


async def test_credentials_stay_behind_when_a_redirect_leads_to_another_origin(origins, fetcher) -> None:
    other, elsewhere = await served(origins)
    place = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/b\r\nContent-Length: 0\r\n\r\n"
    _, base = await served(origins, lambda _: place.encode())
    secret = {"Authorization": "Bearer canary", "X-Api-Key": "canary", "Cookie": "canary"}
    assert (await fetcher.get(f"{base}/a", headers=secret)).url == f"{elsewhere}/b"
    assert b"canary" not in other.connections[0][0]


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
        await fetcher.get(f"https://idp.corp:{port}/theirs", via=OUTSIDE)
    with pytest.raises(ProviderInvalid):
        await fetcher.get(f"https://idp.corp:{port}/theirs", via="https://op.example")
    await fetcher.close()
    assert sum(map(len, origin.connections)) == 1
