"""Frames that a grammar made and chance spoiled: refused, or read by everybody in the same one way; and never too many."""

from __future__ import annotations

import struct

from hpack import Decoder, HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import frames_h2 as f
from tests.helpers.peer_h2 import PREFACE, frames_of
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.plane import Plane, ok
from vestibule.errors import BadRequest
from vestibule.protocol.h2_frames import FRAME_LIMIT_BYTES, HEAD_BYTES
from vestibule.protocol.headers import is_owned
from vestibule.protocol.url import canonical
from vestibule.proxy.downstream_h2 import H2Connection
from vestibule.proxy.engine_h2 import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX

STREAMS = st.sampled_from((1, 1, 1, 3, 3, 5, 7, 9, 0, 2, 0x7FFFFFFF))
PATHS = st.sampled_from(
    (
        b"/public",
        b"/public/a?b=c",
        b"/public/../admin",
        b"//public",
        b"*",
        b"",
        b"/public/%2f",
        b"/public x",
        b"/small",
    )
)
PSEUDO = st.sampled_from(
    (
        (b":method", b"GET"),
        (b":method", b"POST"),
        (b":method", b"CONNECT"),
        (b":scheme", b"http"),
        (b":scheme", b"https"),
        (b":path", b"/public"),
        (b":authority", b"app.example"),
        (b":authority", b"evil.example"),
        (b":protocol", b"websocket"),
        (b":status", b"200"),
    )
)
FIELDS = st.sampled_from(
    (
        (b"host", b"app.example"),
        (b"host", b"evil.example"),
        (b"content-length", b"5"),
        (b"content-length", b"0"),
        (b"content-length", b"+5"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"user-id"),
        (b"te", b"trailers"),
        (b"te", b"gzip"),
        (b"expect", b"100-continue"),
        (b"x-a", b"1"),
        (b"x-a", b"1\r\nuser-id: SPOOFED"),
        (b"X-A", b"SPOOFED"),
        (b"x-a\r\nuser-id", b"SPOOFED"),
        (b"user-id", b"SPOOFED"),
        (b"user_email", b"SPOOFED"),
        (b"x.forwarded.user", b"SPOOFED"),
        (b"cookie", b"vestibule-80=SPOOFED"),
        (b"cookie", b"a=b"),
        (b"sec-websocket-version", b"13"),
        (b"a", b"b" * 9000),
    )
)
KINDS = st.sampled_from((*range(10), 0x10, 0xFF))


GOOD_FIELDS = st.sampled_from(
    (
        (b"x-a", b"1"),
        (b"cookie", b"a=b"),
        (b"cookie", b"vestibule-80=SPOOFED"),
        (b"user-id", b"SPOOFED"),
        (b"user_email", b"SPOOFED"),
        (b"te", b"trailers"),
    )
)
RARELY = st.integers(0, 11).map(lambda number: not number)


@st.composite
def heads(draw) -> list[tuple[bytes, bytes]]:
    is_odd = draw(RARELY)
    method = draw(
        st.sampled_from(
            (b"GET", b"POST", b"HEAD", b"OPTIONS", b"TRACE", b"get") if is_odd else (b"GET", b"POST")
        )
    )
    path = draw(PATHS) if draw(RARELY) else b"/public/a"
    head = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"app.example")]
    if draw(RARELY):
        head.insert(draw(st.integers(0, len(head))), draw(PSEUDO))
    if draw(RARELY):
        del head[draw(st.integers(0, len(head) - 1))]
    return [*head, *draw(st.lists(FIELDS if draw(RARELY) else GOOD_FIELDS, max_size=3))]


@st.composite
def requests(draw, stream_id: int) -> bytes:
    """A request, in one header frame or two, with a body or without."""
    block, ends = f.block(draw(heads())), draw(st.booleans())
    cut = draw(st.integers(0, len(block))) if draw(RARELY) else len(block)
    flags = 0 if cut < len(block) else f.END_HEADERS
    made = f.raw(f.HEADERS, flags | ends, stream_id, block[:cut])
    if cut < len(block):
        made += f.raw(f.CONTINUATION, f.END_HEADERS, stream_id, block[cut:])
    if not ends:
        bodies = draw(st.lists(st.sampled_from((b"", b"hello", b"hel", b"x" * 16384)), max_size=2))
        made += b"".join(f.data(body, stream_id) for body in bodies)
        if not draw(RARELY):
            made += draw(
                st.sampled_from((f.data(b"", stream_id, ends=True), f.headers([(b"x-t", b"1")], stream_id)))
            )
    return made


ODD_FRAMES = st.one_of(
    st.builds(f.data, st.sampled_from((b"", b"hello", b"x" * 16384)), STREAMS, ends=st.booleans()),
    st.builds(f.reset, STREAMS),
    st.builds(f.window, st.sampled_from((0, 1, 100, 65535, 0x7FFFFFFF)), STREAMS),
    st.builds(f.settings, st.tuples(st.integers(0, 9), st.sampled_from((0, 1, 100, 16384, 1 << 31)))),
    st.builds(f.priority, st.integers(0, 9), STREAMS),
    st.builds(lambda: f.raw(f.PING, 0, 0, bytes(8))),
    st.builds(lambda trailer, at: f.headers([trailer], at), FIELDS, STREAMS),
    st.builds(f.raw, KINDS, st.integers(0, 255), STREAMS, st.binary(max_size=20)),
)


@st.composite
def conversations(draw) -> list[bytes]:
    """What one client sends, in the pieces in which it comes."""
    data = PREFACE + f.settings()
    for at in range(draw(st.integers(1, 5))):
        data += draw(requests(2 * at + 1))
        if not draw(st.integers(0, 3)):
            data += draw(ODD_FRAMES)
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        at = draw(st.integers(len(PREFACE), len(data)))
        data = data[:at] + draw(st.binary(max_size=2)) + data[at + draw(st.integers(0, 2)) :]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    return [data[at:end] for at, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def asked(data: bytes) -> list[dict[bytes, list[bytes]]]:
    """Every header list in what was sent, as another reader sees it."""
    found, block, decoder = [], b"", Decoder()
    decoder.max_header_list_size = 1 << 20
    data = data[len(PREFACE) :]
    while len(data) >= HEAD_BYTES:
        try:
            frame, length = Frame.parse_frame_header(memoryview(data[:HEAD_BYTES]))
            frame.parse_body(memoryview(data[HEAD_BYTES : HEAD_BYTES + length]))
            data = data[HEAD_BYTES + length :]
            if isinstance(frame, HeadersFrame | ContinuationFrame):
                block += frame.data
                if "END_HEADERS" in frame.flags:
                    fields: dict[bytes, list[bytes]] = {}
                    for name, value in decoder.decode(block, raw=True):
                        fields.setdefault(bytes(name), []).append(bytes(value))
                    found.append(fields)
                    block = b""
        except (HyperframeError, HPACKError, struct.error):
            break
    return found


def target_of(path: bytes) -> bytes:
    try:
        return canonical(path).full
    except BadRequest:
        return b""


@settings(max_examples=400, deadline=None)
@given(conversations())
def test_no_request_goes_out_that_was_not_asked(pieces):
    loop = FakeLoop()
    try:
        plane = Plane(loop)
        plane.backend.answers = lambda request: ok(b"x" * 100)
        connection = H2Connection(plane.listener)
        transport = loop.connect(connection)
        for piece in pieces:
            transport.receive(piece)
            assert_bounded(connection)
        plane.backend.look()
        frames_of(transport.written)  # each is whole, and nothing else
        lists = asked(b"".join(pieces))
        for request in plane.backend.requests:
            assert any(is_of(request, fields) for fields in lists), (request, lists)
            for name, value in (*request.fields, *request.trailers):
                assert not (b"SPOOFED" in value and is_owned(name.decode("latin-1")))
                assert not (name.lower() == b"cookie" and b"vestibule-80=" in value)
            assert request.values(b"user-id") == []
            assert request.values(b"host") == [b"app.example"]
        transport.lose()
        assert plane.listener.capacity.requests == 0
        assert list(connection.under_way()) == []
        assert plane.listener.open == set()
    finally:
        loop.settle()
        loop.close()


def is_of(request, fields: dict[bytes, list[bytes]]) -> bool:
    """What a backend got is what one of the header lists asked for."""
    method = b"GET" if fields.get(b":protocol") else fields.get(b":method", [b""])[0]
    length = [
        value
        for value in fields.get(b"content-length", [])
        if value != b"0" or request.values(b"content-length")
    ]
    return (
        (request.method, request.target) == (method, target_of(fields.get(b":path", [b""])[0]))
        and request.values(b"x-a") == fields.get(b"x-a", [])
        and request.values(b"content-length") == length
        and fields.get(b":authority", fields.get(b"host")) == [b"app.example"]
    )


def assert_bounded(connection: H2Connection) -> None:
    exchanges = list(connection.under_way())
    assert len(exchanges) <= STREAMS_MAX
    assert sum(exchange.held_bytes for exchange in exchanges) <= CONNECTION_WINDOW_BYTES
    assert all(exchange.held_bytes <= STREAM_WINDOW_BYTES for exchange in exchanges)
    assert connection._gate.held_bytes <= FRAME_LIMIT_BYTES + HEAD_BYTES
