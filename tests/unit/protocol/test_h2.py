"""HTTP/2 messages as those of HTTP/1.1: the same head whichever way it came."""

from __future__ import annotations

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import BadRequest
from vestibule.protocol import h2
from vestibule.protocol.h1 import parse_request_head
from vestibule.protocol.h2 import Malformed, answer_block, block_of, request_block, trailer_lines

GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"app.example"), (b":path", b"/a?b=c")]
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def block(*fields, has_body: bool = False, start=GET) -> bytes:
    return request_block([*start, *fields], scheme=b"https", has_body=has_body, key=KEY)


SAME = {
    "bare": ((), b""),
    "fields": (((b"accept", b"*/*"), (b"x-a", b"b")), b"accept: */*\r\nx-a: b"),
    "one cookie": (((b"cookie", b"a=b"),), b"cookie: a=b"),
    "cookies in crumbs": (
        ((b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d")),
        b"x: y\r\ncookie: a=b; c=d",
    ),
    "the same host twice": (((b"host", b"app.example"),), b""),
    "the same host in another spelling": (((b"host", b"App.Example."),), b""),
    "names of ours": (
        ((b"user-id", b"root"), (b"x_forwarded_user", b"root")),
        b"user-id: root\r\nX_Forwarded_User: root",
    ),
    "a length": (((b"content-length", b"5"),), b"content-length: 5"),
    "authorization": (((b"authorization", b"Bearer x"),), b"authorization: Bearer x"),
    "trailers are taken": (((b"te", b"trailers"),), b"te: trailers"),
}


@pytest.mark.parametrize(("fields", "lines"), SAME.values(), ids=SAME)
def test_it_is_the_head_that_http_1_would_have_made(fields, lines):
    before = b"GET /a?b=c HTTP/1.1\r\nHost: app.example" + (b"\r\n" + lines if lines else b"")
    one, other = parse_request_head(block(*fields, has_body=True)), parse_request_head(before)
    if one.content_length is None:
        assert one.chunked
        one.chunked = False
    one.fields = other.fields = b""
    one.is_familiar = other.is_familiar = False
    one.lines = [line.lower() for line in one.lines]
    other.lines = [line.lower() for line in other.lines]
    assert one == other


def test_a_field_that_was_seen_before_is_as_good_as_new_and_secrets_are_not_kept():
    block((b"sec-websocket-key", b"mine"), (b"authorization", b"Bearer a-secret"), (b"accept", b"*/*"))
    start = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
    opened = block((b"sec-websocket-key", b"mine"), start=start)
    assert opened.count(b"\r\nSec-WebSocket-Key: ") == 1
    assert b"mine" not in opened
    assert (b"accept", b"*/*") in h2._lines
    assert not any(b"a-secret" in value for _, value in h2._lines)


def test_no_more_fields_are_kept_than_there_is_room_for():
    for number in range(h2._LINES_MAX + 10):
        block((b"x-number", b"%d" % number))
        block_of([b"x-number: %d" % number])
    assert len(h2._lines) <= h2._LINES_MAX
    assert len(h2._blocks) <= h2._LINES_MAX


def test_without_an_authority_host_says_it():
    start = [field for field in GET if field[0] != b":authority"]
    assert b"Host: other.example\r\n" in block((b"host", b"other.example"), (b"a", b"b"), start=start)
    with pytest.raises(BadRequest):
        block(start=start)


def test_a_body_without_a_length_is_chunked_to_the_backend():
    assert block(has_body=True).endswith(b"\r\nTransfer-Encoding: chunked")
    assert b"chunked" not in block()
    assert b"chunked" not in block((b"content-length", b"5"), has_body=True)


def test_a_websocket_is_a_get_with_a_key_of_the_gateways():
    start = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
    made = block((b"sec-websocket-key", b"x"), (b"sec-websocket-version", b"13"), start=start, has_body=True)
    head = parse_request_head(made)
    assert (head.method, head.upgrade, head.has_body) == (b"GET", b"websocket", False)
    assert head.lines == [b"sec-websocket-version: 13", b"Sec-WebSocket-Key: " + KEY]


@pytest.mark.parametrize(
    "fields",
    [
        [(b":method", b"GET"), (b":protocol", b"websocket"), *GET[1:]],
        [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:3]],
        [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[2:]],
        [(b":method", b"CONNECT"), (b":protocol", b"websocket"), GET[1], GET[3]],
        [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:], (b"content-length", b"1")],
        [(b":method", b"CONNECT"), (b":protocol", b"web\r\nsocket"), *GET[1:]],
    ],
    ids=["GET", "no path", "no scheme", "no authority", "a length", "a line end"],
)
def test_half_a_websocket_is_none(fields):
    with pytest.raises(Malformed):
        request_block(fields, scheme=b"https", has_body=True, key=KEY)


NAMES = st.text(st.sampled_from("abc:-_. \r\n\0\tA\x7fé"), max_size=6).map(
    lambda text: text.encode("latin-1")
)
VALUES = st.text(st.sampled_from("ab \r\n\0\t:,;\x7fé"), max_size=8).map(lambda text: text.encode("latin-1"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_no_field_becomes_another_line(fields):
    """Threat: a name or value that the backend reads as a header line, or a request, of its own."""
    try:
        made = block(*fields)
    except BadRequest:
        return
    lines = made.split(b"\r\n")
    assert lines[:2] == [b"GET /a?b=c HTTP/1.1", b"Host: app.example"]
    crumbs = [value for name, value in fields if name == b"cookie"]
    expected = [name + b": " + value for name, value in fields if name not in {b"cookie", b"host"}]
    assert lines[2:] == expected + ([b"cookie: " + b"; ".join(crumbs)] if crumbs else [])
    assert not any(char in line for line in lines for char in (b"\r", b"\n", b"\0"))


PSEUDO = st.text(st.sampled_from("/aG \r\n:.?#*"), max_size=10).map(lambda text: text.encode("latin-1"))


@given(PSEUDO, PSEUDO, PSEUDO)
def test_no_pseudo_header_field_ends_its_line(method, path, authority):
    start = [(b":method", method), (b":scheme", b"https"), (b":authority", authority), (b":path", path)]
    try:
        made = block(start=start)
    except BadRequest:
        return
    assert made == method + b" " + path + b" HTTP/1.1\r\nHost: " + authority


def test_trailers_are_less_than_may_not_come_late():
    fields = [
        (b"grpc-status", b"0"),
        (b"user-id", b"root"),
        (b"content-length", b"1"),
        (b"host", b"x"),
        (b"a", b""),
    ]
    assert trailer_lines(fields) == [b"grpc-status: 0", b"a: "]
    for fields in ([(b":path", b"/")], [(b"a", b"b\r\nc: d")], [(b"a", b"b")] * 101, [(b"a", b"b" * 9000)]):
        with pytest.raises(Malformed):
            trailer_lines(fields)


def test_an_answer_is_in_lower_case_and_without_its_connection():
    lines = [b"Content-Type:  text/html", b"Connection: x", b"KEEP-ALIVE: 5", b"Set-Cookie: a=b", b"X: Y"]
    for _ in range(2):
        made = answer_block(b"HTTP/1.1 200 OK", lines, 7)
    decoder = Decoder()
    assert [(field[0], field[1]) for field in decoder.decode(made, raw=True)] == [
        (b":status", b"200"),
        (b"content-type", b"text/html"),
        (b"set-cookie", b"a=b"),
        (b"x", b"Y"),
        (b"content-length", b"7"),
    ]
    assert list(decoder.header_table.dynamic_entries) == []
    assert Decoder().decode(block_of([b"A: b", b"A: b"]), raw=True) == [(b"a", b"b")] * 2
