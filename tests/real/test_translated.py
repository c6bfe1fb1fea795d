"""Requests of HTTP/2 on their way to a backend of HTTP/1.1: each arrives there as exactly one, or not at all.

All goes over real connections, and the backend keeps every byte that it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from tests.helpers import frames_h2 as f
from tests.helpers.peer_h2 import PREFACE
from tests.real.paper import Paper

pytestmark = pytest.mark.real

HOST = b"a.example.com"
CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:TLS"]
}
host "a.example.com" {
  tls_certificate = "DIR/a.pem"
  tls_key         = "DIR/a.key"
  backend         = "127.0.0.1:BACKEND"
  access { allow = ["public"] }
}
"""
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.example.com\r\n\r\n"
LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+ HTTP/1\.1")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


class Asked(NamedTuple):
    """A request as the backend reads it, which is strict."""

    line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: tuple[bytes, ...] = ()

    def all(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.fields if known == name]


def requests_in(data: bytes) -> tuple[list[Asked], bytes]:
    """Those that are whole, and what is left. Fails where something could be read in two ways."""
    found = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        assert LINE.fullmatch(line), line
        fields = []
        for each in lines:
            match = FIELD.fullmatch(each)
            assert match, each
            fields.append((match[1].lower(), match[2]))
        asked = Asked(line, fields)
        lengths, codings = asked.all(b"content-length"), asked.all(b"transfer-encoding")
        assert len(lengths) + len(codings) <= 1, head
        assert asked.all(b"host") == [HOST], head
        if codings:
            assert codings == [b"chunked"], head
            if (whole := chunked(rest)) is None:
                break
            body, trailers, data = whole
            asked = asked._replace(body=body, trailers=trailers)
        else:
            size = int(lengths[0]) if lengths else 0
            if len(rest) < size:
                break
            asked, data = asked._replace(body=rest[:size]), rest[size:]
        found.append(asked)
    return found, data


def chunked(data: bytes) -> tuple[bytes, tuple[bytes, ...], bytes] | None:
    """The body, its trailers, and what comes after; None: it isn't whole."""
    body = b""
    while True:
        size_line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        assert re.fullmatch(rb"0|[1-9a-f][0-9a-f]*", size_line), size_line
        size = int(size_line, 16)
        if not size:
            break
        if len(data) < size + 2:
            return None
        assert data[size : size + 2] == b"\r\n", data
        body, data = body + data[:size], data[size + 2 :]
    if data.startswith(b"\r\n"):
        return body, (), data[2:]
    trailers, end, rest = data.partition(b"\r\n\r\n")
    return (body, tuple(trailers.split(b"\r\n")), rest) if end else None


class Backend(asyncio.Protocol):
    """Answers every whole request; what came on each connection is kept."""

    def __init__(self, came: list[bytearray], faults: list[AssertionError]) -> None:
        self.own, self.faults, self.answered = bytearray(), faults, 0
        came.append(self.own)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.own += data
        try:
            count = len(requests_in(bytes(self.own))[0])
        except AssertionError as error:
            self.faults.append(error)
            self.transport.close()
            return
        for _ in range(count - self.answered):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.answered = count


class Client:
    """A connection of HTTP/2 whose every byte the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.came = b""
        self.is_ended = False

    def say(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        found, at = [], 0
        while at + 9 <= len(self.came) and at + 9 + (size := int.from_bytes(self.came[at : at + 3])) <= len(
            self.came
        ):
            kind, flags = self.came[at + 3], self.came[at + 4]
            stream = int.from_bytes(self.came[at + 5 : at + 9])
            found.append((kind, flags, stream, self.came[at + 9 : at + 9 + size]))
            at += 9 + size
        return found

    async def told(self, stream: int) -> str:
        """What became of this request: its status, `reset`, or `ended` where all of the connection was."""
        async with asyncio.timeout(60):
            while True:
                status = ""
                for kind, flags, on, data in self.frames():
                    if kind == f.GOAWAY:
                        self.is_ended = True
                        return "ended"
                    if on == stream and kind == f.RST_STREAM:
                        return "reset"
                    if on == stream and kind == f.HEADERS:
                        status = status or self._status(data)
                    if on == stream and kind in (f.HEADERS, f.DATA) and flags & f.END_STREAM:
                        return status
                if self.is_ended:
                    return "ended"
                await self._read()

    async def _read(self) -> None:
        try:
            data = await self.reader.read(1 << 16)
        except (ConnectionError, ssl.SSLError):
            data = b""
        self.came += data
        self.is_ended = not data

    @staticmethod
    def _status(block: bytes) -> str:
        """Answers leave no trace in the client's table, so each block can be read by itself."""
        from hpack import Decoder  # noqa: PLC0415  # hpack's names are wanted nowhere else here

        return str(dict(Decoder().decode(block))[":status"])


class House(NamedTuple):
    port: int
    context: ssl.SSLContext
    came: list[bytearray]
    faults: list[AssertionError]

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, server_hostname="a.example.com"
        )
        client = Client(reader, writer)
        client.say(PREFACE, f.settings())
        try:
            yield client
        finally:
            writer.transport.abort()

    def seen(self) -> list[Asked]:
        """All that came whole so far, but for what is asked to see whether all is well."""
        whole = (asked for one in self.came for asked in requests_in(bytes(one))[0])
        return [asked for asked in whole if asked.line != b"GET /good HTTP/1.1"]


@pytest.fixture
async def house(gateway, ports, tmp_path) -> AsyncIterator[House]:
    paper, port, backend = Paper(tmp_path), ports.take(), ports.take()
    paper.write("a", HOST.decode())
    came: list[bytearray] = []
    faults: list[AssertionError] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: Backend(came, faults), "127.0.0.1", backend
    )
    text = CONFIGURATION.replace("TLS", str(port)).replace("BACKEND", str(backend))
    running = await asyncio.to_thread(gateway, text.replace("DIR", str(tmp_path)))
    context = ssl.create_default_context(cafile=str(paper.root))
    context.set_alpn_protocols(["h2"])
    yield House(port, context, came, faults)
    await asyncio.to_thread(running.stop)
    server.close()
    await asyncio.sleep(0.05)  # its last connections are gone


Fields = list[tuple[bytes, bytes]]


def start(method: bytes = b"GET", path: bytes = b"/case", authority: bytes = HOST) -> Fields:
    return [(b":method", method), (b":scheme", b"https"), (b":authority", authority), (b":path", path)]


def get(*fields: tuple[bytes, bytes], **said: bytes) -> bytes:
    return f.headers([*start(**said), *fields])


def post(*fields: tuple[bytes, bytes], body: bytes = b"", trailers: Fields | None = None) -> bytes:
    head = f.headers([*start(b"POST"), *fields], ends=False)
    if trailers is None:
        return head + f.data(body, ends=True)
    return head + f.data(body) + f.headers(trailers)


LENGTH = b"content-length"
REFUSED = {
    # A value, a name or a part of the request line that is more than that.
    "a value with CR LF": get((b"x", b"a\r\n\r\n" + SMUGGLED)),
    "a value with LF": get((b"x", b"a\n\n" + SMUGGLED)),
    "a value with CR": get((b"x", b"a\rhost: m.example.com")),
    "a value with NUL": get((b"x", b"a\0b")),
    "a cookie with CR LF": get((b"cookie", b"a=b\r\n\r\n" + SMUGGLED)),
    "a second crumb with LF": get((b"cookie", b"a=b"), (b"cookie", b"c=d\nhost: m.example.com")),
    "a name with CR LF": get((b"x: y\r\nhost", b"m.example.com")),
    "a name with a colon": get((b"host:m.example.com", b"x")),
    "a name with a space": get((b"transfer-encoding ", b"chunked")),
    "a name in upper case": get((b"Transfer-Encoding", b"chunked")),
    "Host in upper case": get((b"Host", b"m.example.com")),
    "an empty name": get((b"", b"x")),
    "a method with a space": get(method=b"GET /smuggled HTTP/1.1\r\nx:"),
    "a method of two words": get(method=b"GET /x"),
    "a method with a tab": get(method=b"GET\t"),
    "an empty method": get(method=b""),
    "CONNECT": f.headers([(b":method", b"CONNECT"), (b":authority", HOST)]),
    "a path with a space": get(path=b"/case HTTP/1.1\r\nx: y"),
    "a path of two words": get(path=b"/case /smuggled"),
    "a path with a tab": get(path=b"/case\t/smuggled"),
    "a path with a fragment": get(path=b"/case#/smuggled"),
    "a path in absolute form": get(path=b"https://a.example.com/smuggled"),
    "a path of another's": get(path=b"http://m.example.com/"),
    "a path without a slash": get(path=b"smuggled"),
    "a path of two slashes and a host": get(path=b"@m.example.com/"),
    "an empty path": get(path=b""),
    "the star for GET": get(path=b"*"),
    "a path beyond ASCII": get(path="/ü".encode()),
    "a scheme with CR LF": f.headers(
        [(b":method", b"GET"), (b":scheme", b"https://x\r\n"), (b":authority", HOST), (b":path", b"/case")]
    ),
    "another scheme": f.headers(
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", HOST), (b":path", b"/case")]
    ),
    # Who it is for, said twice.
    "another Host": get((b"host", b"m.example.com")),
    "another port in Host": get((b"host", HOST + b":1")),
    "two Hosts": get((b"host", HOST), (b"host", HOST)),
    "neither authority nor Host": f.headers([one for one in start() if one[0] != b":authority"]),
    "an authority with userinfo": get(authority=b"m.example.com@" + HOST),
    "an authority of two": get(authority=HOST + b",m.example.com"),
    "an authority with a path": get(authority=HOST + b"/smuggled"),
    "an authority with CR LF": get(authority=HOST + b"\r\nx: y"),
    # How its body is framed.
    "transfer-encoding": post((b"transfer-encoding", b"chunked"), body=b"0\r\n\r\n" + SMUGGLED),
    "transfer-encoding of nothing": post((b"transfer-encoding", b"identity"), body=SMUGGLED),
    "two lengths": post((LENGTH, b"5"), (LENGTH, b"6"), body=b"hello"),
    "a list of lengths": post((LENGTH, b"5, 6"), body=b"hello"),
    "a length with a sign": post((LENGTH, b"+5"), body=b"hello"),
    "a length below nothing": post((LENGTH, b"-5"), body=b"hello"),
    "a length in hexadecimal": post((LENGTH, b"0x5"), body=b"hello"),
    "a length with a space": post((LENGTH, b"5 "), body=b"hello"),
    "a length of words": post((LENGTH, b""), body=b"hello"),
    "a length without a body": f.headers([*start(b"POST"), (LENGTH, b"5")]),
    # What is of a connection of HTTP/1.1.
    "connection": get((b"connection", b"x, transfer-encoding")),
    "keep-alive": get((b"keep-alive", b"timeout=5")),
    "proxy-connection": get((b"proxy-connection", b"keep-alive")),
    "upgrade": get((b"upgrade", b"h2c")),
    "te of chunks": get((b"te", b"chunked")),
    "te of trailers and more": get((b"te", b"trailers, chunked")),
    # Pseudo-header fields.
    "one that comes late": f.headers([*start()[:3], (b"x", b"y"), (b":path", b"/smuggled")]),
    "one behind all": get((b":path", b"/smuggled")),
    "one twice": f.headers([*start(), (b":method", b"POST")]),
    "one that is unknown": f.headers([(b":x", b"y"), *start()]),
    "that of an answer": f.headers([(b":status", b"200"), *start()]),
    "a protocol without CONNECT": f.headers([(b":protocol", b"websocket"), *start()]),
}
"""Nothing of it arrives."""
BROKEN_OFF = {
    "a body shorter than said": post((LENGTH, b"50"), body=b"hello"),
    "a body longer than said": post((LENGTH, b"5"), body=b"hello" + SMUGGLED),
    "a body where none was said": post((LENGTH, b"0"), body=SMUGGLED),
    "trailers that end a short body": post((LENGTH, b"50"), body=b"hello", trailers=[(b"x", b"y")]),
    "trailers with CR LF": post(body=b"hello", trailers=[(b"x", b"y\r\n\r\n" + SMUGGLED)]),
    "trailers in upper case": post(body=b"hello", trailers=[(b"X", b"y")]),
    "trailers with a path": post(body=b"hello", trailers=[(b":path", b"/smuggled")]),
    "trailers with transfer-encoding": post(body=b"hello", trailers=[(b"transfer-encoding", b"chunked")]),
    "trailers of a connection": post(body=b"hello", trailers=[(b"connection", b"close")]),
    "trailers that end nothing": f.headers(start(b"POST"), ends=False)
    + f.headers([(b"x", b"y")], ends=False),
}
"""It has begun to arrive, and never becomes whole: its connection is closed, and nothing else goes over it."""
CHUNKED = (b"transfer-encoding", b"chunked")
ARRIVES = {
    "a body without a length": (post(body=SMUGGLED), Asked(b"POST /case HTTP/1.1", [CHUNKED], SMUGGLED)),
    "chunks in a body": (
        post(body=b"0\r\n\r\n" + SMUGGLED),
        Asked(b"POST /case HTTP/1.1", [CHUNKED], b"0\r\n\r\n" + SMUGGLED),
    ),
    "a length": (
        post((LENGTH, b"%d" % len(SMUGGLED)), body=SMUGGLED),
        Asked(b"POST /case HTTP/1.1", [(LENGTH, b"%d" % len(SMUGGLED))], SMUGGLED),
    ),
    "cookies in crumbs": (
        get((b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d")),
        Asked(b"GET /case HTTP/1.1", [(b"x", b"y"), (b"cookie", b"a=b; c=d")]),
    ),
    "te": (get((b"te", b"trailers")), Asked(b"GET /case HTTP/1.1", [])),
    "Host alone": (
        f.headers([*(one for one in start() if one[0] != b":authority"), (b"host", HOST)]),
        Asked(b"GET /case HTTP/1.1", []),
    ),
    "the same host in another spelling": (
        get((b"host", HOST), authority=b"A.Example.COM."),
        Asked(b"GET /case HTTP/1.1", []),
    ),
    "a query with another address": (
        get(path=b"/case?https://m.example.com/@x"),
        Asked(b"GET /case?https://m.example.com/@x HTTP/1.1", []),
    ),
    "trailers that may not come late": (
        post(
            body=b"hello",
            trailers=[
                (LENGTH, b"50"),
                (b"host", b"m.example.com"),
                (b"authorization", b"Basic eDp5"),
                (b"cookie", b"a=b"),
                (b"x-checksum", b"1"),
            ],
        ),
        Asked(b"POST /case HTTP/1.1", [CHUNKED], b"hello", (b"x-checksum: 1",)),
    ),
}
"""What arrives of it, with these fields and others that the gateway tells of."""


async def outcome(house: House, sent: bytes) -> tuple[str, list[Asked]]:
    """What the client is told, and what the backend has read of it once somebody else was answered well."""
    before = len(house.seen())
    async with house.connected() as client:
        client.say(sent)
        told = await client.told(1)
        if not client.is_ended:
            client.say(f.headers(start(path=b"/good"), 3))
            assert await client.told(3) in ("200", "ended")
    async with house.connected() as other:
        other.say(f.headers(start(path=b"/good")))
        assert await other.told(1) == "200"
    return told, house.seen()[before:]


async def test_a_request_of_http_2_arrives_as_one_of_http_1_1_or_not_at_all(house: House):
    """Threat: request smuggling by HTTP/2 (H2.CL, H2.TE, H2.0, lines in fields): the next one's answer is another's."""
    found = {name: await outcome(house, sent) for name, sent in REFUSED.items()}
    assert {
        name: told for name, (told, _) in found.items() if told not in ("reset", "ended", "400", "405")
    } == {}
    assert {name: seen for name, (_, seen) in found.items() if seen} == {}
    assert house.faults == []

    for name, sent in BROKEN_OFF.items():
        told, seen = await outcome(house, sent)
        assert told in ("reset", "ended", "400"), (name, told)
        assert [asked for asked in seen if asked.body] == [], name

    for name, (sent, expected) in ARRIVES.items():
        told, seen = await outcome(house, sent)
        assert told == "200", name
        assert [(one.line, one.body, one.trailers) for one in seen] == [
            (expected.line, expected.body, expected.trailers)
        ], name
        assert [one for one in expected.fields if one not in seen[0].fields] == [], (name, seen)

    assert house.faults == []
    assert [asked.line for asked in house.seen() if b"smuggled" in asked.line] == []
