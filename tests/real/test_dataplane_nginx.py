"""The data plane over real sockets with nginx behind it: big bodies, slow sides, broken sides, connections reused."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.real import raw
from tests.real.broken import BrokenBackend, whole_answer

pytestmark = pytest.mark.real

MIB = 1 << 20
GIB = 1 << 30
GROWTH_LIMIT_BYTES = 16 * MIB
"""What a body of any size may add to the gateway's memory."""

BACKEND = """
        client_max_body_size 0;
        location /up/ { dav_methods PUT; create_full_put_path on; }
        location = /canary { return 200 $arg_n; }
        location = /connection { return 200 $connection; }
"""

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "app.example.com" {
  backend = "127.0.0.1:NGINX"
  access {
    allow = ["public"]
  }
  route "/broken/" {
    backend = "127.0.0.1:BROKEN"
  }
}
"""

HOST = b"Host: app.example.com\r\n"


class Stage:
    """The gateway with nginx behind it, and a port for a backend that misbehaves under `/broken/`."""

    def __init__(self, nginx, gateway, broken_port):
        self.nginx = nginx
        self.broken_port = broken_port
        text = CONFIGURATION.replace("NGINX", str(nginx.port)).replace("BROKEN", str(broken_port))
        self.gateway = gateway(text)
        self.port = self.gateway.port
        self._canaries = itertools.count()

    def wait_for_control(self):
        """Asks for a page of the gateway's own: what answers it is loaded after listening, and counts as no growth."""
        with (
            contextlib.closing(request(self.port, b"GET /@/session HTTP/1.1\r\n%b\r\n" % HOST)) as client,
            client.makefile("rb") as stream,
        ):
            assert read_head(stream)[0] == 401

    async def canary(self, connection, path="/canary"):
        """One request that must be answered with its own number, on a connection that is known to be good."""
        number = b"%d" % next(self._canaries)
        answer = await connection.ask(b"GET %b?n=%b HTTP/1.1\r\n%b\r\n" % (path.encode(), number, HOST))
        assert answer.status == 200
        assert answer.body == (number if path == "/canary" else b"%b?n=%b" % (path.encode(), number))


@pytest.fixture
def stage(nginx, gateway, ports):
    return Stage(nginx(BACKEND), gateway, ports.take())


# -- 1 GiB ------------------------------------------------------------------------------------------


def blocks(size):
    """`size` bytes in which every MiB differs, so that one lost, repeated or moved shows in the hash."""
    noise = bytes(range(256)) * (MIB // 256)
    for number in range(size // MIB):
        yield number.to_bytes(8) + noise[8:]


def digest_of(size):
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    return digest.hexdigest()


class Growth:
    """Watches how much the gateway's memory grows at most while the block runs."""

    def __init__(self, stage):
        stage.wait_for_control()
        self._gateway = stage.gateway
        self._done = threading.Event()
        self.bytes = 0

    def __enter__(self):
        self._before = self._gateway.pss_bytes()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self.look()

    def look(self):
        self.bytes = max(self.bytes, self._gateway.pss_bytes() - self._before)

    def _watch(self):
        while not self._done.wait(0.05):
            self.look()


def request(port, head):
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(head)
    return client


def read_head(stream):
    """(status, body length) of the answer that begins on the stream."""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, length


@pytest.mark.timeout(300)
def test_a_gibibyte_comes_down_whole_and_adds_little_memory(stage, record_property):
    with (stage.nginx.root / "big.bin").open("wb") as file:
        file.writelines(blocks(GIB))
    digest = hashlib.sha256()
    with (
        contextlib.closing(request(stage.port, b"GET /big.bin HTTP/1.1\r\n%b\r\n" % HOST)) as client,
        client.makefile("rb", buffering=MIB) as stream,
        Growth(stage) as growth,
    ):
        status, length = read_head(stream)
        assert (status, length) == (200, GIB)
        while length:
            piece = stream.read1(min(MIB, length))
            assert piece, f"{length} bytes are missing"
            digest.update(piece)
            length -= len(piece)
    assert digest.hexdigest() == digest_of(GIB)
    record_property("growth_bytes", growth.bytes)
    print(f"1 GiB down: the gateway grew by {growth.bytes / MIB:.1f} MiB")
    assert growth.bytes <= GROWTH_LIMIT_BYTES


@pytest.mark.timeout(300)
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_a_gibibyte_goes_up_whole_and_adds_little_memory(stage, record_property, chunked):
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % GIB
    head = b"PUT /up/big.bin HTTP/1.1\r\n%b%b\r\n\r\n" % (HOST, framing)
    with contextlib.closing(request(stage.port, head)) as client, Growth(stage) as growth:
        for block in blocks(GIB):
            client.sendall(b"%x\r\n%b\r\n" % (MIB, block) if chunked else block)
        if chunked:
            client.sendall(b"0\r\n\r\n")
        with client.makefile("rb") as stream:
            assert read_head(stream)[0] == 201
    with (stage.nginx.root / "up" / "big.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest_of(GIB)
    record_property("growth_bytes", growth.bytes)
    print(f"1 GiB up: the gateway grew by {growth.bytes / MIB:.1f} MiB")
    assert growth.bytes <= GROWTH_LIMIT_BYTES


# -- slow sides -------------------------------------------------------------------------------------


async def test_readers_that_stop_hold_up_nobody_and_no_memory_and_get_all_in_the_end(stage):
    size = 64 * MIB
    with (stage.nginx.root / "big.bin").open("wb") as file:
        file.writelines(blocks(size))
    async with contextlib.AsyncExitStack() as stack:
        canary = await stack.enter_async_context(raw.connect(stage.port))
        await stage.canary(canary)
        stalled = [socket.create_connection(("127.0.0.1", stage.port)) for _ in range(16)]
        for client in stalled:
            stack.callback(client.close)
        with Growth(stage) as growth:
            for client in stalled:
                client.sendall(b"GET /big.bin HTTP/1.1\r\n%b\r\n" % HOST)
            for _ in range(20):
                await asyncio.sleep(0.05)
                await stage.canary(canary)
        print(f"16 stalled readers: the gateway grew by {growth.bytes / MIB:.1f} MiB")
        assert growth.bytes <= GROWTH_LIMIT_BYTES
        received, digest = await asyncio.to_thread(read_slowly, stalled[7])
        assert (received, digest) == (size, digest_of(size))
        await stage.canary(canary)


def read_slowly(client):
    """(bytes, hash) of an answer read in bursts with pauses between."""
    digest, received = hashlib.sha256(), 0
    with client.makefile("rb", buffering=MIB) as stream:
        _, length = read_head(stream)
        while received < length and (piece := stream.read(min(4 * MIB, length - received))):
            digest.update(piece)
            received += len(piece)
            time.sleep(0.01)
    return received, digest.hexdigest()


async def test_a_writer_of_small_pieces_is_waited_for(stage):
    body = b"".join(blocks(MIB))[:60_000]
    pieces = [body[at : at + 601] for at in range(0, len(body), 601)]
    async with raw.connect(stage.port) as connection:
        head = b"PUT /up/slow.bin HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, len(body))
        assert (await connection.ask(head, *pieces)).status == 201
        await stage.canary(connection)
    assert (stage.nginx.root / "up" / "slow.bin").read_bytes() == body


async def test_a_backend_that_does_not_read_holds_the_client_back(stage):
    """The gateway stops reading the body it can't pass on; nothing piles up, and all of it arrives in the end."""
    size = 256 * MIB
    async with BrokenBackend(stage.broken_port) as backend, raw.connect(stage.port) as canary:
        await stage.canary(canary)
        async with raw.connect(stage.port) as connection:
            sent = 0

            async def upload():
                nonlocal sent
                head = b"PUT /broken/stall HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n"
                await connection.send(head % (HOST, size))
                for block in blocks(size):
                    await connection.send(block)
                    sent += len(block)

            with Growth(stage) as growth:
                uploading = asyncio.create_task(upload())
                for _ in range(20):
                    await asyncio.sleep(0.05)
                    await stage.canary(canary)
            assert sent < size / 2
            assert growth.bytes <= GROWTH_LIMIT_BYTES
            backend.release.set()
            await uploading
            assert (await connection.answer(within_s=60)).body == b"%d" % size


# -- broken sides -----------------------------------------------------------------------------------

BODY = 200_000
every_way = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
cuts = st.one_of(st.integers(0, 100), st.integers(0, BODY + 100))


@every_way
@given(cut=cuts, reset=st.booleans())
@example(cut=0, reset=False)
@example(cut=0, reset=True)
async def test_a_client_that_leaves_a_download_leaves_nothing_behind(stage, cut, reset):
    file = stage.nginx.root / "file.bin"
    if not file.exists():
        file.write_bytes(b"f" * BODY * 20)
    async with raw.connect(stage.port) as canary:
        await stage.canary(canary)
        async with raw.connect(stage.port) as connection:
            await connection.send(b"GET /file.bin HTTP/1.1\r\n%b\r\n" % HOST)
            if cut:
                await connection.reader.readexactly(cut)
            leave(connection, reset=reset)
        await stage.canary(canary)
        async with raw.connect(stage.port) as fresh:
            await stage.canary(fresh)


@every_way
@given(
    cut=cuts,
    reset=st.booleans(),
    chunked=st.booleans(),
    path=st.sampled_from(["/up/cut.bin", "/canary?n=early"]),
)
@example(cut=0, reset=True, chunked=False, path="/up/cut.bin")
async def test_a_client_that_leaves_an_upload_leaves_nothing_behind(stage, cut, reset, chunked, path):
    """nginx answers `/canary` before it has read the body: an early answer and an abort at once."""
    body = b"%x\r\n%b\r\n" % (BODY, b"u" * BODY) if chunked else b"u" * BODY
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (BODY + 1)
    async with raw.connect(stage.port) as canary:
        await stage.canary(canary)
        async with raw.connect(stage.port) as connection:
            await connection.send(b"PUT %b HTTP/1.1\r\n%b%b\r\n\r\n" % (path.encode(), HOST, framing))
            await connection.send(body[:cut])
            leave(connection, reset=reset)
        await stage.canary(canary)
        async with raw.connect(stage.port) as fresh:
            await stage.canary(fresh)
    assert not (stage.nginx.root / "up" / "cut.bin").exists()


@every_way
@given(cut=cuts, reset=st.booleans(), chunked=st.booleans(), body=st.sampled_from([0, 1, 10_000, BODY]))
@example(cut=len(whole_answer(b"")), reset=False, chunked=False, body=1)
@example(cut=0, reset=True, chunked=True, body=0)
async def test_a_backend_that_dies_is_never_taken_for_one_that_finished(stage, cut, reset, chunked, body):
    target = (
        f"/broken/answer?body={body}&cut={cut}{'&reset=1' if reset else ''}{'&chunked=1' if chunked else ''}"
    )
    whole = whole_answer(b"x" * body, chunked=chunked)
    head_length = whole.index(b"\r\n\r\n") + 4
    async with BrokenBackend(stage.broken_port), raw.connect(stage.port) as canary:
        await stage.canary(canary, "/broken/canary")
        async with raw.connect(stage.port) as connection:
            try:
                answer = await connection.ask(b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode(), HOST))
            except raw.BrokenAnswerError:
                assert head_length <= cut < len(whole) or reset
            else:
                if cut >= len(whole):
                    assert (answer.status, answer.body) == (200, b"x" * body)
                else:
                    assert answer.status == 502
                    assert reset or cut < head_length
                await stage.canary(connection)
        await stage.canary(canary, "/broken/canary")
        await stage.canary(canary)


@every_way
@given(read=cuts, held_back=cuts, reset=st.booleans(), way=st.sampled_from(["read", "early"]))
@example(read=0, held_back=0, reset=True, way="read")
@example(read=0, held_back=0, reset=False, way="early")
@example(read=0, held_back=BODY, reset=False, way="early")
async def test_a_backend_that_stops_reading_a_body_breaks_no_other_request(
    stage, read, held_back, reset, way
):
    """It answers early or hangs up, while the client has sent all of the body or is still at it."""
    sent = BODY - min(held_back, BODY)
    target = f"/broken/{way}?cut={min(read, sent)}{'&reset=1' if reset else ''}"
    async with BrokenBackend(stage.broken_port), raw.connect(stage.port) as canary:
        await stage.canary(canary, "/broken/canary")
        async with raw.connect(stage.port) as connection:
            head = b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (target.encode(), HOST, BODY)
            with contextlib.suppress(ConnectionError):  # the gateway need not take what nobody wants any more
                await connection.send(head, b"b" * sent)
            answer = await connection.answer()
            assert (answer.status, answer.body == b"early") == (
                (200, True) if way == "early" else (502, False)
            )
            await stage.canary(canary, "/broken/canary")
        await stage.canary(canary, "/broken/canary")
        await stage.canary(canary)


def leave(connection, *, reset):
    if reset:
        connection.abort()
    else:
        connection.writer.close()


# -- connections reused -----------------------------------------------------------------------------


async def test_one_client_connection_and_one_backend_connection_carry_many_requests(stage):
    async with raw.connect(stage.port) as connection:
        seen = {(await connection.ask(b"GET /connection HTTP/1.1\r\n%b\r\n" % HOST)).body for _ in range(200)}
    assert len(seen) == 1


async def test_clients_that_come_one_after_another_share_a_backend_connection(stage):
    seen = set()
    for _ in range(20):
        async with raw.connect(stage.port) as connection:
            seen.add((await connection.ask(b"GET /connection HTTP/1.1\r\n%b\r\n" % HOST)).body)
    assert len(seen) == 1


async def test_eight_clients_at_once_need_no_more_than_eight_backend_connections(stage):
    async def client():
        async with raw.connect(stage.port) as connection:
            return [
                (await connection.ask(b"GET /connection HTTP/1.1\r\n%b\r\n" % HOST)).body for _ in range(50)
            ]

    seen = set(itertools.chain.from_iterable(await asyncio.gather(*(client() for _ in range(8)))))
    assert 1 <= len(seen) <= 8


async def test_a_body_read_to_its_end_leaves_both_connections_in_use(stage):
    async with raw.connect(stage.port) as connection:
        first = (await connection.ask(b"GET /connection HTTP/1.1\r\n%b\r\n" % HOST)).body
        for framing, body in (
            (b"Content-Length: 5", b"hello"),
            (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
        ):
            head = b"PUT /up/small.bin HTTP/1.1\r\n%b%b\r\n\r\n" % (HOST, framing)
            assert (await connection.ask(head + body)).status in (201, 204)
        headers = await connection.ask(b"HEAD /up/small.bin HTTP/1.1\r\n%b\r\n" % HOST)
        assert (headers.get(b"content-length"), headers.body) == (b"5", b"")
        known = b"GET /up/small.bin HTTP/1.1\r\n%bIf-None-Match: %b\r\n\r\n"
        assert (await connection.ask(known % (HOST, headers.get(b"etag")))).status == 304
        assert (await connection.ask(b"GET /connection HTTP/1.1\r\n%b\r\n" % HOST)).body == first
