"""Heads of answers."""

from __future__ import annotations

import pytest

from vestibule.protocol import h1_answer
from vestibule.protocol.h1_answer import parse_answer_head


def test_an_answer_that_sets_cookies_is_not_remembered():
    """Cookies are somebody's: they stay in memory no longer than their answer."""
    parse_answer_head(b"HTTP/1.1 200 OK\r\nSet-Cookie: theirs=secret")
    assert not any(b"theirs=secret" in block for block in h1_answer._answer_heads)


def test_an_answer_is_taken_apart():
    found = parse_answer_head(b"HTTP/1.0 404 Not Found\r\nA: b\r\nContent-Length: 5\r\nSet-Cookie: c=d")
    assert (found.status, found.status_line) == (404, b"HTTP/1.1 404 Not Found")
    assert (found.lines, found.content_length, found.keep_alive) == ([b"A: b", b"Set-Cookie: c=d"], 5, False)
    assert (found.set_cookies, found.is_verbatim) == (True, False)


@pytest.mark.parametrize(
    ("lines", "verbatim"),
    [
        ((b"Content-Length: 5",), True),
        ((b"Content-Length: 5", b"A: b", b"Connection: keep-alive"), True),
        ((), False),
        ((b"Content-Length: 5", b"Content-Length: 5"), False),
        ((b"Content-Length: 5", b"Set-Cookie: a=b"), False),
        ((b"Content-Length: 5", b"Keep-Alive: 5"), False),
        ((b"Content-Length: 5", b"Connection: close"), False),
        ((b"Content-Length: 5", b"Connection: keep-alive, A"), False),
        ((b"Content-Length: 5", b"Proxy-Session: x"), False),
        ((b"Transfer-Encoding: chunked",), False),
    ],
)
def test_an_answer_is_verbatim_only_where_nothing_changes(lines, verbatim):
    assert parse_answer_head(b"\r\n".join((b"HTTP/1.1 200 OK", *lines))).is_verbatim is verbatim


def test_what_connection_names_is_gone_from_an_answer():
    found = parse_answer_head(
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close, X-a\r\nConnection: x-b\r\nX-B: 2\r\nC: 3"
    )
    assert (found.lines, found.keep_alive) == ([b"C: 3"], False)


def test_a_switch_is_named_by_both_fields():
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket"
    assert parse_answer_head(switch).upgrade == b""
    assert parse_answer_head(switch + b"\r\nConnection: upgrade").upgrade == b"websocket"
