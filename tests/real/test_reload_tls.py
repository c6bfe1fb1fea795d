"""Another configuration beneath TLS: what is shown and asked for changes with the next handshake, open ones go on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import ssl
import subprocess

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from tests.real.paper import Paper
from tests.real.test_reload import Reloaded, asked
from vestibule.errors import Invalid

pytestmark = pytest.mark.real

RELOADS = 30
CONFIGURATION = """
gateway {
  http    = ["127.0.0.1:{port}"]
  https   = ["127.0.0.1:TLS"]
  workers = WORKERS
}

host "a.example.com" {
  tls_certificate = "DIR/a.pem"
  tls_key         = "DIR/a.key"
  backend         = "internal:echo"
  max_body        = "1KiB"
  access { allow = ["public"] }
}
"""
OTHER = """
host "b.example.com" {
  tls_certificate = "DIR/b.pem"
  tls_key         = "DIR/b.key"
  backend         = "internal:echo"
  access { allow = ["public"] }
}
"""


class Secured(Reloaded):
    """The same by TLS."""

    def __init__(self, gateway, paper: Paper, port: int) -> None:
        super().__init__(gateway)
        self.paper, self.port = paper, port

    def context(self, *alpn: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.paper.root)
        context.set_alpn_protocols(list(alpn or ("http/1.1",)))
        return context

    @contextlib.asynccontextmanager
    async def opened(
        self, host: str = "a.example.com", *, port: int = 0, context: ssl.SSLContext | None = None
    ):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port or self.port, ssl=context or self.context(), server_hostname=host
        )
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def asked(self, host: str = "a.example.com", **how) -> int:
        """The status of a request on a connection of its own; 0: there was none."""
        try:
            async with self.opened(host, **how) as (reader, writer):
                return await asked(reader, writer, host)
        except OSError:
            return 0

    async def shown(self, host: str = "a.example.com") -> str:
        """The fingerprint of what a new connection is shown."""
        async with self.opened(host) as (_, writer):
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return hashlib.sha256(der).hexdigest()


class Http2:
    """A connection that asks for one thing after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        self._reader, self._writer = reader, writer
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self.is_told_to_go = False

    async def asked(self, host: str = "a.example.com") -> int:
        """The status; 0: the connection or the stream ended before there was one."""
        stream, status = self._h2.get_next_available_stream_id(), 0
        head = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", "/")]
        self._h2.send_headers(stream, head, end_stream=True)
        self._writer.write(self._h2.data_to_send())
        while True:
            data = await self._reader.read(65536)
            for event in self._h2.receive_data(data):
                if isinstance(event, ResponseReceived) and event.stream_id == stream:
                    status = int(dict(event.headers)[":status"])
                elif isinstance(event, DataReceived):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded) and event.stream_id == stream:
                    return status
                elif isinstance(event, ConnectionTerminated):
                    self.is_told_to_go = True
                elif isinstance(event, StreamReset) and event.stream_id == stream:
                    return 0
            self._writer.write(self._h2.data_to_send())
            if not data:
                return 0


@pytest.fixture
async def secured(ports, gateway, request, tmp_path) -> Secured:
    """One that was started, with a certificate of a file."""
    paper, port = Paper(tmp_path), ports.take()
    paper.write("a", "a.example.com")
    paper.write("b", "b.example.com")
    text = CONFIGURATION.replace("TLS", str(port)).replace("DIR", str(tmp_path))
    text = text.replace("WORKERS", str(getattr(request, "param", 1)))
    found = Secured(await asyncio.to_thread(gateway, text), paper, port)
    await asyncio.to_thread(found.client.configuration)  # the control plane is there
    yield found
    found.gateway.stop()


both = pytest.mark.parametrize("secured", [1, 2], indirect=True, ids=["one process", "two workers"])


@both
async def test_of_thirty_reloads_no_client_notices_any_whatever_it_speaks(secured: Secured):
    done, statuses = asyncio.Event(), {"new": [], "kept": [], "h2": []}

    async def opens() -> None:
        while not done.is_set():
            statuses["new"].append(await secured.asked())

    async def keeps() -> None:
        async with secured.opened() as (reader, writer):
            while not done.is_set():
                statuses["kept"].append(await asked(reader, writer, "a.example.com", "keep-alive"))
                if not statuses["kept"][-1]:
                    return

    async def streams() -> None:
        async with secured.opened(context=secured.context("h2")) as ends:
            client = Http2(*ends)
            while not done.is_set():
                statuses["h2"].append(await client.asked())
                if not statuses["h2"][-1]:
                    return
            assert not client.is_told_to_go

    clients = [
        asyncio.ensure_future(work) for work in (opens(), opens(), keeps(), keeps(), streams(), streams())
    ]
    for number in range(1, RELOADS + 1):
        secured.write((f'"{number}KiB"', f'"{number + 1}KiB"'))
        if number % 10 == 0:  # a certificate renewed, meanwhile
            secured.paper.write("a", "a.example.com")
        await secured.reload()
    done.set()
    await asyncio.gather(*clients)
    assert min(map(len, statuses.values())) > RELOADS
    assert {name: set(each) for name, each in statuses.items()} == {name: {200} for name in statuses}


@both
async def test_a_certificate_that_was_changed_is_shown_by_every_process_from_the_reload_on(secured: Secured):
    before = {await secured.shown() for _ in range(6)}
    async with secured.opened() as (reader, writer):
        assert await asked(reader, writer, "a.example.com", "keep-alive") == 200
        secured.paper.write("a", "a.example.com")
        await secured.reload()
        after = {await secured.shown() for _ in range(6)}
        assert await asked(reader, writer, "a.example.com", "keep-alive") == 200
    assert (len(before), len(after), before & after) == (1, 1, set())


@both
async def test_hosts_come_and_go_with_their_certificates(secured: Secured):
    assert await secured.asked("b.example.com") == 0
    secured.gateway.file.write_text(
        secured.gateway.file.read_text() + OTHER.replace("DIR", str(secured.paper.directory))
    )
    await secured.reload()
    async with secured.opened("b.example.com") as (reader, writer):
        assert await asked(reader, writer, "b.example.com", "keep-alive") == 200
        secured.write(('host "b.example.com"', 'host "c.example.com"'), ("/b.", "/c."))
        secured.paper.write("c", "c.example.com")
        await secured.reload()
        assert await asked(reader, writer, "b.example.com", "keep-alive") == 421
    assert [await secured.asked(name) for name in ("b.example.com", "c.example.com")] == [0, 200]


@both
async def test_addresses_of_tls_come_and_go(secured: Secured, ports):
    old, new = secured.port, ports.take()
    secured.write((f'"127.0.0.1:{old}"', f'"127.0.0.1:{old}", "127.0.0.1:{new}"'))
    await secured.reload()
    assert [await secured.asked(port=port) for port in (old, new)] == [200, 200]
    secured.write((f'"127.0.0.1:{old}", ', ""))
    await secured.reload()
    assert [await secured.asked(port=port) for port in (old, new)] == [0, 200]


@both
async def test_a_client_certificate_that_is_demanded_is_demanded_of_open_connections(secured: Secured):
    clients = trustme.CA(key_type=trustme.KeyType.ECDSA)
    path = secured.paper.directory / "clients.pem"
    clients.cert_pem.write_to_path(path)
    context = secured.context()
    clients.issue_cert("ada@example.com", common_name="ada").configure_cert(context)
    async with (
        secured.opened() as (reader, writer),
        secured.opened(context=secured.context("h2")) as ends,
    ):
        stream = Http2(*ends)
        assert await asked(reader, writer, "a.example.com", "keep-alive") == 200
        assert await stream.asked() == 200
        secured.write(("  backend ", f'  client_ca = "{path}"\n  backend '))
        await secured.reload()
        assert await asked(reader, writer, "a.example.com", "keep-alive") == 421
        assert await stream.asked() == 421
    assert await secured.asked() == 0
    assert await secured.asked(context=context) == 200
    trustme.CA(key_type=trustme.KeyType.ECDSA).cert_pem.write_to_path(path)  # other authorities
    await secured.reload()
    assert await secured.asked(context=context) == 0


@both
async def test_another_profile_is_for_the_next_handshake(secured: Secured):
    older = secured.context()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    async with secured.opened(context=older) as (reader, writer):
        secured.write(("gateway {", 'gateway {\n  tls_profile = "modern"'))
        await secured.reload()
        assert await asked(reader, writer, "a.example.com", "keep-alive") == 200
    assert [await secured.asked(context=older), await secured.asked()] == [0, 200]


@both
async def test_tls_that_is_switched_off_is_off(secured: Secured):
    text = secured.gateway.file.read_text() + OTHER.replace("DIR", str(secured.paper.directory))
    secured.gateway.file.write_text(text)
    off = [(line, "") for line in re.findall(r"  tls_\w+ += .*/a\..*\n", text)]
    async with secured.opened() as (reader, writer):
        secured.write(*off, ("  max_body ", '  tls = "off"\n  max_body '))
        await secured.reload()
        assert await asked(reader, writer, "a.example.com", "keep-alive") == 421
    assert await secured.asked() == 0
    assert await secured.status("a.example.com") == 200


@both
async def test_proxies_are_told_from_others_by_the_rules_in_force(secured: Secured):
    def told(port: int, *more: str) -> str:
        argv = ["curl", "-s", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}", *more]
        scheme = "https" if port == secured.port else "http"
        argv += ["--cacert", str(secured.paper.root), f"{scheme}://a.example.com:{port}/"]
        argv += ["--resolve", f"a.example.com:{port}:127.0.0.1"]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    async def found() -> list[str]:
        ports, ways = (secured.gateway.port, secured.port), ((), ("--haproxy-protocol",))
        return [await asyncio.to_thread(told, port, *way) for port in ports for way in ways]

    assert await found() == ["308", "400", "200", "000"]
    secured.write(("gateway {", 'gateway {\n  proxy_protocol = ["127.0.0.1"]'))
    await secured.reload()
    assert await found() == ["000", "308", "000", "200"]
    secured.write(('["127.0.0.1"]', '["192.0.2.1"]'))
    await secured.reload()
    assert await found() == ["308", "400", "200", "000"]


@both
async def test_a_certificate_that_can_not_be_used_refuses_all_of_it(secured: Secured):
    before = await secured.shown()
    (secured.paper.directory / "a.pem").write_text("half of it")
    secured.write(('"1KiB"', '"2KiB"'))
    with pytest.raises(Invalid) as caught:
        await secured.reload()
    assert re.search(r"vestibule\.hcl:9:\d+: ", str(caught.value.faults))
    assert await secured.shown() == before
