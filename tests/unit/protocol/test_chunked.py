"""Chunked bodies; the framing errors stand with the connections that answer them (tests/unit/proxy)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import BadRequest
from vestibule.protocol.chunked import CHUNK_LINE_LIMIT_BYTES, TRAILER_LIMIT, Chunked


def fed(*pieces: bytes) -> tuple[bytes, Chunked]:
    chunked = Chunked()
    return b"".join(part for piece in pieces for part in chunked.feed(piece)), chunked


WHOLE = {
    "empty": (b"0\r\n\r\n", b"", [], b""),
    "one": (b"5\r\nhello\r\n0\r\n\r\n", b"hello", [], b""),
    "two": (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello", [], b""),
    "hexadecimal": (b"0A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, [], b""),
    "leading zeros": (b"0005\r\nhello\r\n000\r\n\r\n", b"hello", [], b""),
    "extensions": (b'5;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n', b"hello", [], b""),
    "CRLF within": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", [], b""),
    "trailers": (b"0\r\nA: 1\r\nB: 2\r\n\r\n", b"", [b"A: 1", b"B: 2"], b""),
    "rest": (b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1", b"x", [], b"GET / HTTP/1.1"),
}


@pytest.mark.parametrize(("data", "body", "trailers", "rest"), WHOLE.values(), ids=WHOLE)
def test_a_whole_body_however_it_is_split(data, body, trailers, rest):
    got, chunked = fed(data)
    assert (got, chunked.done, chunked.trailers, chunked.rest) == (body, True, trailers, rest)
    end = len(data) - len(rest)
    for cut in range(1, end):
        got, chunked = fed(data[:cut], data[cut:])
        assert (got, chunked.done, chunked.trailers, chunked.rest) == (body, True, trailers, rest)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Host: evil",
        b"User-Id: 1",
        b"user_id: 1",
        b"Cookie: a=b",
        b"Authorization: x",
        b"Connection: close",
        b"X-Forwarded-For: 1.2.3.4",
        b"TE: x",
        b"Trailer: a",
        b"Proxy-Session: x",
    ],
)
def test_what_decides_on_framing_route_or_person_never_comes_late(line):
    _, chunked = fed(b"0\r\nA: 1\r\n" + line + b"\r\n\r\n")
    assert chunked.trailers == [b"A: 1"]


BROKEN = (
    b"\r\n",
    b"x\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x1\r\n",
    b"1 \r\n",
    b" 1\r\n",
    b"1_0\r\n",
    b"\xd9\xa1\r\n",
    b"1234567890123456\r\n",
    b"1\nx",
    b"1\r\nxy\r\n",
    b"1\r\nx\n",
    b"1\r\nx\rx",
    b"1;\0\r\n",
    b"1;a\rb\r\n",
    b"1;" + b"a" * CHUNK_LINE_LIMIT_BYTES,
    b"0\r\nA\r\n",
    b"0\r\nA: b\n",
    b"0\r\n A: b\r\n",
    b"0\r\nA: \0\r\n",
    b"0\r\n" + b"A: " + b"b" * 9000,
    b"0\r\n" + b"A: b\r\n" * (TRAILER_LIMIT + 1),
    b"0\r\n" + (b"A: " + b"b" * 1000 + b"\r\n") * 9,
)


@pytest.mark.parametrize("data", BROKEN, ids=lambda data: repr(data[:20]))
def test_broken_framing_is_refused_however_it_is_split(data):
    data += b"0" * 300 + b"\r\n\r\n"
    with pytest.raises(BadRequest):
        fed(data)
    with pytest.raises(BadRequest):
        fed(*(data[at : at + 1] for at in range(len(data))))


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.data())
def test_any_body_comes_out_as_it_went_in(parts, data):
    sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    cuts = data.draw(st.sets(st.integers(1, len(sent) - 1)))
    got, chunked = fed(*(sent[begin:end] for begin, end in pairwise([0, *sorted(cuts), len(sent)])))
    assert (got, chunked.done, chunked.rest) == (b"".join(parts), True, b"")
