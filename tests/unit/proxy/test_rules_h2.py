"""RFC 9113 sections 3 to 8 and RFC 7541, as a table of what a client sends and what it is told: the cases of h2spec.

An error of the connection is a GOAWAY with its code, and the end; one of a stream a RST_STREAM, and the connection goes on.
"""

from __future__ import annotations

import struct

import pytest

from tests.helpers import frames_h2 as f
from tests.helpers.frames_h2 import GET, POST, data, headers, priority, raw, reset, settings, window
from tests.helpers.peer_h2 import PREFACE, errors_of, frames_of
from tests.unit.proxy.conftest import NotedHandler, PlainListener
from vestibule.proxy.downstream_h2 import H2Connection

NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, CONNECT, CALM = (
    range(12)
)
HELLO = PREFACE + settings()
ADD = f.END_HEADERS
BLOCK = f.block(GET)


def with_(*fields: tuple[bytes, bytes]) -> bytes:
    return headers((*GET, *fields))


def without(name: bytes) -> bytes:
    return headers([field for field in GET if field[0] != name])


def other(name: bytes, value: bytes) -> bytes:
    return headers([(found, value if found == name else had) for found, had in GET])


class Met:
    """What came of it."""

    def __init__(self, loop, *, echo: bool) -> None:
        self.loop = loop
        self.handler = NotedHandler(echo=echo)
        self.listener = PlainListener(self.handler, loop)
        self.connection = H2Connection(self.listener)
        self.transport = loop.connect(self.connection)

    def send(self, *pieces: bytes) -> Met:
        for piece in pieces:
            self.transport.receive(piece)
        return self

    @property
    def errors(self) -> tuple[int | None, dict[int, int]]:
        return errors_of(self.transport.written)

    @property
    def is_alive(self) -> bool:
        """A PING is answered."""
        before = len(self.transport.written)
        self.send(raw(f.PING, 0, 0, b"12345678"))
        return b"12345678" in self.transport.written[before:]


@pytest.fixture
def held(loop) -> Met:
    """Requests are not answered."""
    return Met(loop, echo=False)


@pytest.fixture
def echo(loop) -> Met:
    """Requests are answered at once."""
    return Met(loop, echo=True)


CONNECTION_ERRORS = {
    "3.4 another preface": (b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n", PROTOCOL),
    "3.4 half a preface, and another end": (PREFACE[:20] + b"XXXX", PROTOCOL),
    "3.4 no settings first": (PREFACE + headers(), PROTOCOL),
    "3.4 an acknowledgement first": (PREFACE + raw(f.SETTINGS, f.ACK), PROTOCOL),
    "3.4 a PING first": (PREFACE + raw(f.PING, 0, 0, bytes(8)), PROTOCOL),
    "4.2 DATA above the frame size": (
        HELLO + headers(POST, ends=False) + raw(f.DATA, 0, 1, bytes(16385)),
        SIZE,
    ),
    "4.2 HEADERS above the frame size": (HELLO + raw(f.HEADERS, ADD, 1, bytes(16385)), SIZE),
    "4.2 a frame that says it is of 16 MiB": (HELLO + raw(f.DATA, 0, 1, b"", length=0xFFFFFF), SIZE),
    "4.3 a header block that can't be decoded": (
        HELLO + raw(f.HEADERS, ADD | 1, 1, b"\x00\x00"),
        COMPRESSION,
    ),
    "4.3 PRIORITY within a header block": (
        HELLO
        + raw(f.HEADERS, f.END_STREAM, 1, BLOCK[:5])
        + priority(0)
        + raw(f.CONTINUATION, ADD, 1, BLOCK[5:]),
        PROTOCOL,
    ),
    "4.3 HEADERS of another stream within a header block": (
        HELLO + raw(f.HEADERS, f.END_STREAM, 1, BLOCK[:5]) + headers(stream_id=3),
        PROTOCOL,
    ),
    "5.1 DATA on an idle stream": (HELLO + data(b"x"), PROTOCOL),
    "5.1 RST_STREAM on an idle stream": (HELLO + reset(), PROTOCOL),
    "5.1 WINDOW_UPDATE on an idle stream": (HELLO + window(1, 1), PROTOCOL),
    "5.1 CONTINUATION on an idle stream": (HELLO + raw(f.CONTINUATION, ADD, 1, BLOCK), PROTOCOL),
    "5.1.1 an even stream": (HELLO + headers(stream_id=2), PROTOCOL),
    "5.1.1 a stream below the last": (HELLO + headers(stream_id=5) + headers(stream_id=3), PROTOCOL),
    "5.1.2 more streams than may be open": (
        HELLO + b"".join(headers(POST, at, ends=False) for at in range(1, 203, 2)),
        PROTOCOL,
    ),
    "5.4.1 a PING that is too short": (HELLO + raw(f.PING, 0, 0, b"1234567"), SIZE),
    "5.5 an unknown frame within a header block": (
        HELLO
        + raw(f.HEADERS, f.END_STREAM, 1, BLOCK[:5])
        + raw(0xFF, 0, 1)
        + raw(f.CONTINUATION, ADD, 1, BLOCK[5:]),
        PROTOCOL,
    ),
    "6.1 DATA on stream 0": (HELLO + data(b"x", 0), PROTOCOL),
    "6.1 padding longer than the frame": (
        HELLO + headers(POST, ends=False) + raw(f.DATA, f.PADDED | 1, 1, b"\x06test"),
        PROTOCOL,
    ),
    "6.2 HEADERS on stream 0": (HELLO + headers(stream_id=0), PROTOCOL),
    "6.2 padding longer than the block": (
        HELLO + raw(f.HEADERS, ADD | f.PADDED | 1, 1, b"\xff" + BLOCK),
        PROTOCOL,
    ),
    "6.3 PRIORITY on stream 0": (HELLO + priority(1, 0), PROTOCOL),
    "6.3 PRIORITY that is too short": (
        HELLO + headers(POST, ends=False) + raw(f.PRIORITY, 0, 1, bytes(4)),
        SIZE,
    ),
    "6.4 RST_STREAM on stream 0": (HELLO + reset(0), PROTOCOL),
    "6.4 RST_STREAM that is too short": (
        HELLO + headers(POST, ends=False) + raw(f.RST_STREAM, 0, 1, bytes(3)),
        SIZE,
    ),
    "6.5 an acknowledgement with settings": (HELLO + raw(f.SETTINGS, f.ACK, 0, bytes(6)), SIZE),
    "6.5 SETTINGS on a stream": (HELLO + raw(f.SETTINGS, 0, 1, bytes(6)), PROTOCOL),
    "6.5 SETTINGS of another length": (HELLO + raw(f.SETTINGS, 0, 0, bytes(3)), SIZE),
    "6.5.2 ENABLE_PUSH of 2": (HELLO + settings((2, 2)), PROTOCOL),
    "6.5.2 INITIAL_WINDOW_SIZE above the most": (HELLO + settings((4, 1 << 31)), FLOW),
    "6.5.2 MAX_FRAME_SIZE below the least": (HELLO + settings((5, 16383)), PROTOCOL),
    "6.5.2 MAX_FRAME_SIZE above the most": (HELLO + settings((5, 1 << 24)), PROTOCOL),
    "6.7 PING on a stream": (HELLO + raw(f.PING, 0, 1, bytes(8)), PROTOCOL),
    "6.8 GOAWAY on a stream": (HELLO + raw(f.GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    "6.8 GOAWAY that is too short": (HELLO + raw(f.GOAWAY, 0, 0, bytes(7)), SIZE),
    "6.9 WINDOW_UPDATE of 0": (HELLO + window(0), PROTOCOL),
    "6.9 WINDOW_UPDATE of 0 on a stream": (HELLO + headers(POST, ends=False) + window(0, 1), PROTOCOL),
    "6.9 WINDOW_UPDATE that is too short": (HELLO + raw(f.WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
    "6.9.1 a window of the connection above the most": (
        HELLO + window(0x7FFFFFFF) + window(0x7FFFFFFF),
        FLOW,
    ),
    "6.9.2 a first window that makes another too large": (
        HELLO + headers(POST, ends=False) + window(0x7FFFFFFF - 65535, 1) + settings((4, 65536)),
        FLOW,
    ),
    "6.10 CONTINUATION, then something else": (
        HELLO + raw(f.HEADERS, 1, 1, BLOCK[:4]) + raw(f.CONTINUATION, 0, 1, BLOCK[4:6]) + data(b"x"),
        PROTOCOL,
    ),
    "6.10 CONTINUATION on stream 0": (
        HELLO + raw(f.HEADERS, 1, 1, BLOCK[:4]) + raw(f.CONTINUATION, ADD, 0, BLOCK[4:]),
        PROTOCOL,
    ),
    "6.10 CONTINUATION behind a whole block": (
        HELLO + headers(POST, ends=False) + raw(f.CONTINUATION, ADD, 1, BLOCK),
        PROTOCOL,
    ),
    "6.10 CONTINUATION on another stream": (
        HELLO + raw(f.HEADERS, 1, 1, BLOCK[:4]) + raw(f.CONTINUATION, ADD, 3, BLOCK[4:]),
        PROTOCOL,
    ),
    "8.1 a second head without an end": (
        HELLO + headers(POST, ends=False) + headers(POST, ends=False),
        PROTOCOL,
    ),
    "8.4 PUSH_PROMISE of a client": (
        HELLO + headers(POST, ends=False) + raw(f.PUSH_PROMISE, ADD, 1, struct.pack(">I", 3) + BLOCK),
        PROTOCOL,
    ),
    "5.3.1 HEADERS that depend on themselves": (
        HELLO + raw(f.HEADERS, ADD | 1 | f.WITH_PRIORITY, 1, struct.pack(">IB", 1, 15) + BLOCK),
        PROTOCOL,
    ),
    "5.3.1 a stream that depends on itself": (HELLO + headers(POST, ends=False) + priority(1), PROTOCOL),
    "HPACK 2.3.3 an index beyond the tables": (
        HELLO + raw(f.HEADERS, ADD | 1, 1, BLOCK + b"\xc6"),
        COMPRESSION,
    ),
    "HPACK 5.2 Huffman with the end of string in it": (
        HELLO + raw(f.HEADERS, ADD | 1, 1, BLOCK + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
        COMPRESSION,
    ),
    "HPACK 6.1 index 0": (HELLO + raw(f.HEADERS, ADD | 1, 1, BLOCK + b"\x80"), COMPRESSION),
    "HPACK 6.3 a table above the most": (
        HELLO + raw(f.HEADERS, ADD | 1, 1, b"\x3f\xe1\xff\x03" + BLOCK),
        COMPRESSION,
    ),
    "HPACK 4.2 a table size behind fields": (
        HELLO + raw(f.HEADERS, ADD | 1, 1, BLOCK + b"\x20"),
        COMPRESSION,
    ),
    "HPACK an integer without end": (HELLO + raw(f.HEADERS, ADD | 1, 1, b"\xff" * 40), COMPRESSION),
}


@pytest.mark.parametrize(("sent", "code"), CONNECTION_ERRORS.values(), ids=CONNECTION_ERRORS)
def test_what_breaks_a_connection_is_told_and_ends_it(held, sent, code):
    held.send(sent)
    assert held.errors[0] == code
    assert held.transport.has_ended_writing
    assert all(responder.calls[-1:] == ["gone"] for responder in held.handler.responders)
    assert held.handler.refused[-1].code == "bad_request"


@pytest.mark.parametrize(("sent", "code"), CONNECTION_ERRORS.values(), ids=CONNECTION_ERRORS)
def test_it_does_so_byte_for_byte_too(held, sent, code):
    held.send(*(sent[at : at + 1] for at in range(min(len(sent), 400))), sent[400:])
    assert held.errors[0] == code


MALFORMED = {
    "8.2.1 upper case": with_((b"Foo", b"bar")),
    "8.2.1 a name with a space": with_((b"foo bar", b"x")),
    "8.2.1 a name with a colon": with_((b"foo:bar", b"x")),
    "8.2.1 an empty name": with_((b"", b"x")),
    "8.2.1 a name with CR LF": with_((b"foo\r\nhost", b"evil.example")),
    "8.2.1 a name beyond ASCII": with_(("ü".encode(), b"x")),
    "8.2.1 a value with CR LF": with_((b"foo", b"a\r\nhost: evil.example")),
    "8.2.1 a value with LF": with_((b"foo", b"a\nb")),
    "8.2.1 a value with NUL": with_((b"foo", b"a\0b")),
    "8.2.1 a value with space before": with_((b"foo", b" a")),
    "8.2.1 a value with a tab behind": with_((b"foo", b"a\t")),
    "8.2.2 connection": with_((b"connection", b"keep-alive")),
    "8.2.2 proxy-connection": with_((b"proxy-connection", b"close")),
    "8.2.2 keep-alive": with_((b"keep-alive", b"timeout=5")),
    "8.2.2 transfer-encoding": with_((b"transfer-encoding", b"chunked")),
    "8.2.2 upgrade": with_((b"upgrade", b"websocket")),
    "8.2.2 te of anything but trailers": with_((b"te", b"trailers, deflate")),
    "8.3 an unknown pseudo-header field": headers(((b":test", b"x"), *GET)),
    "8.3 that of an answer": headers(((b":status", b"200"), *GET)),
    "8.3 one behind the others": headers(((b"foo", b"bar"), *GET)),
    "8.3 path behind the others": headers((*GET[:2], (b"foo", b"bar"), *GET[2:])),
    "8.3.1 an empty path": other(b":path", b""),
    "8.3.1 no method": without(b":method"),
    "8.3.1 no scheme": without(b":scheme"),
    "8.3.1 no path": without(b":path"),
    "8.3.1 two methods": headers((*GET[:1], *GET)),
    "8.3.1 two schemes": headers((*GET[:2], *GET[1:])),
    "8.3.1 two paths": headers((*GET[:3], *GET[2:])),
    "8.3.1 two authorities": headers((*GET, GET[3])),
    "8.3.1 another Host than the authority": with_((b"host", b"evil.example")),
    "8.3.1 two Hosts": with_((b"host", b"app.example"), (b"host", b"app.example")),
    "8.3.1 a path without a slash": other(b":path", b"a"),
    "8.3.1 a path that is a URL": other(b":path", b"http://evil.example/"),
    "8.3.1 a path that ends the request line": other(
        b":path", b"/ HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /x"
    ),
    "8.3.1 a path with a space": other(b":path", b"/a b"),
    "8.3.1 a method with a line end": other(b":method", b"GET / HTTP/1.1\r\nX:"),
    "8.3.1 a method with a space": other(b":method", b"GET /x"),
    "8.3.1 an authority with a line end": other(b":authority", b"app.example\r\nx: y"),
    "8.3.1 an empty method": other(b":method", b""),
    "8.1.1 a body that was announced and doesn't come": headers((*POST, (b"content-length", b"1"))),
    "RFC 8441 a protocol without CONNECT": headers((*GET, (b":protocol", b"websocket"))),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_reset_and_nobody_sees_it(held, sent):
    held.send(HELLO + sent)
    assert held.errors == (None, {1: PROTOCOL})
    assert held.handler.exchanges == []
    assert len(held.handler.refused) == 1
    assert held.is_alive


def test_a_body_shorter_than_announced_resets_the_stream(held):
    held.send(HELLO + headers((*POST, (b"content-length", b"5")), ends=False) + data(b"four", ends=True))
    assert held.errors == (None, {1: PROTOCOL}) or held.errors[0] == PROTOCOL
    assert held.handler.responders[0].calls[-1] == "gone"


def test_a_body_in_two_frames_longer_than_announced_ends_it(held):
    length = (b"content-length", b"5")
    held.send(HELLO + headers((*POST, length), ends=False) + data(b"four") + data(b"four", ends=True))
    assert held.errors == (None, {1: PROTOCOL}) or held.errors[0] == PROTOCOL
    assert held.handler.responders[0].calls[-1] == "gone"


def test_trailers_do_not_hide_that_a_body_is_too_short(held):
    length = (b"content-length", b"5")
    held.send(HELLO + headers((*POST, length), ends=False) + data(b"four") + headers([(b"x", b"y")]))
    assert held.errors == (None, {1: PROTOCOL})
    assert held.handler.responders[0].calls[-1] == "gone"


@pytest.mark.parametrize(
    "trailer",
    [
        (b":path", b"/"),
        (b"Foo", b"x"),
        (b"connection", b"close"),
        (b"a", b"b\r\nc: d"),
        (b"transfer-encoding", b"x"),
    ],
    ids=["pseudo", "upper case", "connection", "line end", "transfer-encoding"],
)
def test_malformed_trailers_reset_the_stream(held, trailer):
    held.send(HELLO + headers(POST, ends=False) + data(b"x") + headers([trailer]))
    assert held.errors == (None, {1: PROTOCOL})
    assert held.handler.responders[0].calls[-1] == "gone"
    assert held.is_alive


STREAM_ERRORS = {
    "5.1 half-closed: DATA": (HELLO + headers() + data(b"x"), CLOSED),
    "5.1 closed by the client's reset: DATA": (
        HELLO + headers(POST, ends=False) + reset() + data(b"x"),
        CLOSED,
    ),
    "5.1 closed by the client's reset: HEADERS": (
        HELLO + headers(POST, ends=False) + reset() + headers(),
        CLOSED,
    ),
    "6.9.1 a window of the stream above the most": (
        HELLO + headers(POST, ends=False) + window(0x7FFFFFFF, 1),
        FLOW,
    ),
}


@pytest.mark.parametrize(("sent", "code"), STREAM_ERRORS.values(), ids=STREAM_ERRORS)
def test_what_breaks_a_stream_resets_it(held, sent, code):
    held.send(sent)
    assert (held.errors[0], held.errors[1].get(1)) in {(None, code), (code, None)}
    assert held.handler.responders[0].calls[-1:] == ["gone"]


AFTER_THE_ANSWER = {
    "5.1 closed: DATA": data(b"x"),
    "5.1 closed: HEADERS": headers(),
    "5.1 closed: CONTINUATION": raw(f.CONTINUATION, ADD, 1, BLOCK),
}


@pytest.mark.parametrize("sent", AFTER_THE_ANSWER.values(), ids=AFTER_THE_ANSWER)
def test_what_comes_on_a_stream_that_is_over_opens_nothing(echo, sent):
    echo.send(HELLO + headers() + sent)
    ended, resets = echo.errors
    assert ended in {CLOSED, PROTOCOL} or resets == {1: CLOSED}
    assert len(echo.handler.exchanges) == 1


@pytest.mark.parametrize(
    "sent", [window(5, 1), reset(1), priority(0)], ids=["WINDOW_UPDATE", "RST_STREAM", "PRIORITY"]
)
def test_what_may_come_late_on_a_stream_that_is_over_is_read_past(echo, sent):
    echo.send(HELLO + headers() + sent)
    assert echo.errors == (None, {})
    assert echo.is_alive


IGNORED = {
    "4.1 an unknown frame": raw(0x16, 0, 0, b"12345678"),
    "4.1 flags nobody knows": raw(f.PING, 0x16, 0, bytes(8)),
    "4.1 the reserved bit": raw(f.PING, 0, 0x80000000, bytes(8)),
    "5.5 an unknown frame on a stream": raw(0xFF, 0, 1, b"x"),
    "6.5.2 an unknown setting": settings((0xFF, 1)),
    "6.5.3 one setting twice": settings((4, 100), (4, 1)),
    "6.7 an answer to a PING nobody sent": raw(f.PING, f.ACK, 0, bytes(8)),
    "6.3 PRIORITY on an idle stream": priority(0, 7),
    "RFC 9218 PRIORITY_UPDATE": raw(0x10, 0, 0, struct.pack(">I", 1) + b"u=3"),
    "RFC 7838 ALTSVC": raw(0x0A, 0, 0, struct.pack(">H", 3) + b"abcdef"),
}


@pytest.mark.parametrize("sent", IGNORED.values(), ids=IGNORED)
def test_what_is_to_be_read_past_is(echo, sent):
    echo.send(HELLO + sent + headers())
    assert echo.errors == (None, {})
    assert len(echo.handler.exchanges) == 1
    assert echo.is_alive


WHOLE = {
    "a head in one frame": headers(),
    "a head in three": raw(f.HEADERS, 1, 1, BLOCK[:3])
    + raw(f.CONTINUATION, 0, 1, BLOCK[3:9])
    + raw(f.CONTINUATION, ADD, 1, BLOCK[9:]),
    "padded": raw(f.HEADERS, ADD | 1 | f.PADDED, 1, b"\x03" + BLOCK + bytes(3)),
    "with a priority": raw(f.HEADERS, ADD | 1 | f.WITH_PRIORITY, 1, struct.pack(">IB", 0, 200) + BLOCK),
    "a stream that isn't the first": headers(stream_id=7),
    "te: trailers": with_((b"te", b"trailers")),
    "the Host that is the authority's": with_((b"host", b"APP.example.")),
    "no authority": headers((*GET[:3], (b"host", b"app.example"))),
}


@pytest.mark.parametrize("sent", WHOLE.values(), ids=WHOLE)
def test_a_request_is_the_same_however_it_is_sent(echo, sent):
    echo.send(HELLO + sent)
    assert echo.errors == (None, {})
    (exchange,) = echo.handler.exchanges
    assert (exchange.head.method, exchange.head.target.full, exchange.head.host) == (
        b"GET",
        b"/a",
        b"app.example",
    )
    assert exchange.status == 200


def test_settings_are_acknowledged_each_time(echo):
    echo.send(HELLO + settings((4, 1)))
    acks = [
        frame
        for frame in frames_of(echo.transport.written)
        if frame.type == f.SETTINGS and "ACK" in frame.flags
    ]
    assert len(acks) == 2


def test_a_ping_is_answered_with_its_bytes_and_an_answer_is_not(echo):
    echo.send(HELLO + raw(f.PING, f.ACK, 0, b"answered"))
    assert b"answered" not in echo.transport.written
    assert echo.is_alive


def test_the_first_window_is_kept_and_opened(echo):
    """6.9.2: a window of one byte lets one byte through; below nothing it waits for more."""
    echo.send(HELLO.replace(settings(), settings((4, 1))) + headers())

    def bodies() -> list[bytes]:
        return [frame.data for frame in frames_of(echo.transport.written) if frame.type == f.DATA]

    assert bodies() == [b"/"]
    echo.send(settings((4, 0)))
    assert bodies() == [b"/"]
    echo.send(window(1, 1))
    assert bodies() == [b"/"]
    echo.send(window(1, 1))
    assert bodies() == [b"/", b"a"]
    assert echo.is_alive


def test_a_get_of_everything_is_refused_and_options_is_not(echo):
    echo.send(HELLO + other(b":path", b"*"))
    assert echo.handler.refused[0].code == "bad_target"
    options = [(b":method", b"OPTIONS"), *GET[1:2], (b":path", b"*"), GET[3]]
    echo.send(headers(options, 3))
    assert echo.handler.exchanges[0].head.target.path == b"*"
