"""Requests as backends of HTTP/2 get them, and what is made of their answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import BackendError
from vestibule.protocol.h2_upstream import (
    answer_head,
    request_fields,
    switched_head,
    trailer_fields,
    trailer_lines,
    websocket_fields,
)

HEAD = (
    b"POST /a?b HTTP/1.1\r\nHost: app.example:8443\r\nAccept: */*\r\nX-Two:  1 \r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nTransfer-Encoding: chunked\r\nCookie: a=b\r\nAuthorization: Bearer x\r\n\r\n"
)


def test_a_request_is_its_pseudo_fields_and_all_that_is_not_of_the_connection():
    assert request_fields(HEAD, b"https", takes_trailers=True) == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"app.example:8443"),
        (b":path", b"/a?b"),
        (b"accept", b"*/*"),
        (b"x-two", b"1"),
        (b"cookie", b"a=b"),
        (b"authorization", b"Bearer x"),
        (b"te", b"trailers"),
    ]


def test_secrets_are_never_indexed():
    fields = request_fields(HEAD + b"", b"http", takes_trailers=False)
    assert {bytes(one[0]) for one in fields if not one.indexable} == {b"cookie", b"authorization", b":path"}


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        (b"X-Api-Key: s", False),
        (b"Private-Token: s", False),
        (b"X-Auth: s", False),
        (b"Proxy-Session: s", False),
        (b"Proxy-Assertion: s", False),
        (b"Content-Type: application/grpc", True),
        (b"User-Agent: x", True),
        (b"X-Forwarded-For: 192.0.2.1", True),
    ],
)
def test_what_may_be_a_secret_by_its_name_is_never_indexed(line: bytes, is_kept: bool):
    """Threat: one person's credential in a table that the next one's requests are compressed by."""
    *_, field = request_fields(
        b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n", b"http", takes_trailers=False
    )
    assert field.indexable is is_kept


@pytest.mark.parametrize(("path", "is_kept"), [(b"/pkg.Service/Method", True), (b"/a?token=s", False)])
def test_a_path_is_indexed_unless_it_has_a_query(path: bytes, is_kept: bool):
    fields = request_fields(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"http", takes_trailers=False)
    assert fields[3].indexable is is_kept


WEBSOCKET = (
    b"GET /chat?a HTTP/1.1\r\nHost: app.example\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\n"
    b"Sec-WebSocket-Extensions: x\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


def test_a_websocket_is_asked_for_by_a_method_of_its_own_and_without_a_key():
    fields, key = websocket_fields(WEBSOCKET, b"https")
    assert fields == [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        (b":authority", b"app.example"),
        (b":path", b"/chat?a"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-extensions", b"x"),
    ]
    assert key == b"abc"


def test_the_answer_that_opens_it_is_a_101_with_the_accept_of_the_gateway_s_own():
    came = [
        (b":status", b"200"),
        (b"sec-websocket-accept", b"theirs"),
        (b"x", b"1"),
        (b"content-length", b"5"),
    ]
    head = switched_head(answer_head(came), b"ours")
    assert (head.status, head.status_line) == (101, b"HTTP/1.1 101 Switching Protocols")
    assert head.lines == [b"x: 1", b"Sec-WebSocket-Accept: ours"]
    assert (head.upgrade, head.switches, head.content_length) == (b"websocket", True, None)


@pytest.mark.parametrize(("status", "line"), [(b"200", b"HTTP/1.1 200 OK"), (b"299", b"HTTP/1.1 299 ")])
def test_an_answer_has_the_status_line_of_http_1_1(status: bytes, line: bytes):
    head = answer_head(
        [(b":status", status), (b"x", b"1"), (b"content-length", b"7"), (b"set-cookie", b"a=b")]
    )
    assert (head.status_line, head.content_length, head.set_cookies) == (line, 7, True)
    assert head.lines == [b"x: 1", b"set-cookie: a=b"]
    assert not head.chunked


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=4))
def test_no_field_becomes_another_line(fields: list[tuple[bytes, bytes]]):
    try:
        head = answer_head([(b":status", b"200"), *fields])
    except BackendError:
        return
    assert len(head.lines) <= len(fields)
    assert not any(b"\r" in line or b"\n" in line for line in head.lines)


@pytest.mark.parametrize(
    "fields",
    [
        [(b":status", b"200")],
        [(b"X", b"1")],
        [(b"x", b"1\r\ny: 2")],
        [(b"connection", b"close")],
        [(b"x", b"y" * 9000)] * 4,
        [(b"x-%d" % number, b"") for number in range(101)],
    ],
    ids=["pseudo", "upper", "line", "connection", "large", "many"],
)
def test_what_is_no_trailer_is_refused(fields: list[tuple[bytes, bytes]]):
    with pytest.raises(BackendError):
        trailer_lines(fields)


def test_trailers_are_lines_less_those_that_decide():
    fields = [
        (b"grpc-status", b"0"),
        (b"grpc-status-details-bin", b"AA"),
        (b"content-type", b"x"),
        (b"host", b"a"),
    ]
    assert trailer_lines(fields) == [b"grpc-status: 0", b"grpc-status-details-bin: AA"]


def test_trailers_of_a_request_are_fields():
    assert trailer_fields([b"Checksum: 1", b"Content-Type: x"]) == [(b"checksum", b"1")]
