"""Envoy's messages: read by the numbers that mean something, refused where two readers could differ."""

from __future__ import annotations

import pytest

from tests.helpers.check_request import check, entry, field, read_answer, varint
from vestibule.errors import BadRequest
from vestibule.protocol.ext_authz import FIELD_LIMIT, MESSAGE_LIMIT_BYTES, allowed, denied, read_check


def test_what_envoy_asks_is_read():
    found = read_check(check(method="POST", path="/a?b=c", headers={"cookie": "x=y", "Accept": "*/*"}))
    assert (found.method, found.path, found.host, found.scheme) == (
        b"POST",
        b"/a?b=c",
        b"app.example",
        b"https",
    )
    assert found.headers == ((b"cookie", b"x=y"), (b"accept", b"*/*"))
    assert found.source == "192.0.2.7"


def test_nothing_told_is_empty():
    found = read_check(b"")
    assert found == read_check(field(1, b""))
    assert (found.method, found.path, found.host, found.headers, found.source) == (b"", b"", b"", (), "")
    assert read_check(check(source="")).source == ""


def test_raw_headers_stand_in_place_of_the_map():
    raw = field(1, field(1, "x-name") + field(3, b"Zo\xeb"))
    found = read_check(field(1, field(4, field(2, field(2, "GET") + field(13, raw)))))
    assert found.headers == ((b"x-name", b"Zo\xeb"),)


def test_what_has_no_meaning_here_is_skipped():
    unknown = (
        field(999, b"\xff\xff")
        + field(998, 7)
        + varint(997 << 3 | 1)
        + b"12345678"
        + varint(996 << 3 | 5)
        + b"1234"
    )
    assert read_check(check(http_more=unknown, more=unknown)) == read_check(check())


HTTP = field(2, "GET") + field(4, "/") + field(5, "app.example")


def wrapped(http: bytes) -> bytes:
    return field(1, field(4, field(2, http)))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(check()[:-1], id="cut off"),
        pytest.param(check() + b"\x0a", id="cut off in a length"),
        pytest.param(b"\x0a\xff\xff\xff\xff\x7f", id="longer than all there is"),
        pytest.param(b"\x80" * 11 + b"\x01", id="a number of too many bytes"),
        pytest.param(b"\x00\x00", id="a field without number"),
        pytest.param(b"\x0b\x0c", id="a group"),
        pytest.param(b"\x0f", id="no wire type"),
        pytest.param(field(1, 1), id="a number where a message stands"),
        pytest.param(wrapped(field(2, 1)), id="a number where a text stands"),
        pytest.param(wrapped(HTTP + field(4, "/public")), id="two paths"),
        pytest.param(wrapped(HTTP + field(5, "other.example")), id="two hosts"),
        pytest.param(wrapped(HTTP + field(2, "POST")), id="two methods"),
        pytest.param(check() + check(path="/public"), id="two questions"),
        pytest.param(field(1, field(4, field(2, HTTP) + field(2, HTTP))), id="two requests"),
        pytest.param(
            wrapped(HTTP + field(3, entry("cookie", "a")) + field(3, entry("Cookie", "b"))),
            id="a header twice",
        ),
        pytest.param(
            wrapped(HTTP + field(3, entry("cookie", "a")) + field(13, field(1, entry("cookie", "b")))),
            id="a header in map and list",
        ),
        pytest.param(
            wrapped(HTTP + field(13, field(1, entry("cookie", "a") + field(3, b"b")))),
            id="a header of two values",
        ),
        pytest.param(field(9, 1) * (FIELD_LIMIT + 1), id="too many fields"),
        pytest.param(field(9, b"x" * MESSAGE_LIMIT_BYTES), id="too long"),
    ],
)
def test_what_is_not_whole_or_has_two_meanings_is_refused(message):
    with pytest.raises(BadRequest):
        read_check(message)


def test_an_allowing_answer_overwrites_removes_and_adds():
    answer = read_answer(
        allowed([(b"User-Id", b"u1"), (b"User-Name", b"")], [b"user_id"], [(b"Set-Cookie", b"a=b")])
    )
    assert answer.code == 0
    assert answer.headers == {"user-id": "u1", "user-name": ""}
    assert answer.removed == ["user_id"]
    assert answer.for_client == {"set-cookie": "a=b"}


@pytest.mark.parametrize("status", [302, 401, 403, 503])
def test_a_denying_answer_has_status_headers_and_body(status):
    answer = read_answer(denied(status, [(b"Location", b"https://a/")], b"no" * 100))
    assert (answer.code, answer.status) == (7, status)
    assert answer.headers == {"location": "https://a/"}
    assert answer.body == b"no" * 100


def test_the_bytes_are_those_of_the_encoding():
    """By hand, after the Protocol Buffers encoding: field 1 is status, field 3 ok_response."""
    assert (
        allowed([(b"a", b"b")], [b"c"])
        == (
            b"\x0a\x00\x1a\x11"  # status {}, ok_response
            b"\x12\x0c\x0a\x06\x0a\x01a\x12\x01b\x18\x02\x20\x01"  # headers { header { a, b } overwrite, keep empty }
            b"\x2a\x01c"  # headers_to_remove
        )
    )
    assert denied(403, [], b"") == b"\x0a\x02\x08\x07\x12\x07\x0a\x03\x08\x93\x03\x1a\x00"
