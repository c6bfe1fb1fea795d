"""Heads of requests and answers; what is refused stands with the connection that answers it (tests/unit/proxy)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.proxy.test_downstream_h1 import REFUSED
from vestibule.errors import BackendError, BadRequest
from vestibule.protocol import h1, h1_answer, headers
from vestibule.protocol.h1 import (
    HeadCheck,
    check_partial_head,
    fields_bytes,
    parse_request_head,
    request_bytes,
)
from vestibule.protocol.h1_answer import parse_answer_head
from vestibule.protocol.proxy_protocol import UNTRUSTED


def head(*lines: bytes, first: bytes = b"GET /a?b HTTP/1.1", host: bytes = b"Host: app.example"):
    return parse_request_head(b"\r\n".join((first, host, *lines)))


def test_a_head_is_taken_apart():
    found = head(
        b"Accept: */*",
        b"Content-Length: 5",
        b"Cookie: a=b",
        b"Authorization: Bearer x",
        first=b"POST /a?b HTTP/1.1",
    )
    assert (found.method, found.target.full, found.host, found.minor) == (b"POST", b"/a?b", b"app.example", 1)
    assert (found.content_length, found.chunked, found.has_body, found.keep_alive) == (5, False, True, True)
    assert found.lines == [b"Accept: */*", b"Authorization: Bearer x"]
    assert (found.cookies, found.authorization) == ([b"Cookie: a=b"], b"Authorization: Bearer x")
    assert found.value(b"accept") == b"*/*"
    assert found.value(b"missing") == b""


@pytest.mark.parametrize(
    ("host", "name", "line"),
    [
        (b"Host: APP.Example.", b"app.example", b"Host: app.example"),
        (b"hoST:  app.example:8080 ", b"app.example", b"Host: app.example:8080"),
        (b"Host: [::1]:80", b"[::1]", b"Host: [::1]:80"),
    ],
)
def test_host_is_canonical(host, name, line):
    found = head(host=host)
    assert (found.host, found.host_line) == (name, line)


@pytest.mark.parametrize(
    ("lines", "first", "keep"),
    [
        ((), b"GET / HTTP/1.1", True),
        ((b"Connection: close",), b"GET / HTTP/1.1", False),
        ((b"Connection: keep-alive", b"Connection: close"), b"GET / HTTP/1.1", False),
        ((), b"GET / HTTP/1.0", False),
        ((b"Connection: keep-alive",), b"GET / HTTP/1.0", True),
        ((b"Connection: x, keep-alive",), b"GET / HTTP/1.0", True),
    ],
)
def test_who_wants_to_stay(lines, first, keep):
    assert head(*lines, first=first).keep_alive is keep


@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        ((b"Connection: Upgrade", b"Upgrade: WebSocket"), b"websocket"),
        ((b"Upgrade: websocket",), b""),
        ((b"Connection: Upgrade",), b""),
        ((b"Connection: keep-alive", b"Upgrade: websocket"), b""),
        ((b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"), b","),
    ],
)
def test_an_upgrade_is_asked_for_by_both_fields(lines, upgrade):
    assert head(*lines).upgrade == upgrade


def test_http_1_0_upgrades_nothing():
    assert head(b"Connection: Upgrade", b"Upgrade: websocket", first=b"GET / HTTP/1.0").upgrade == b""


def test_o11_two_credentials_are_refused():
    """Threat: one that is judged here, and another that the backend believes."""
    with pytest.raises(BadRequest, match="more than one Authorization"):
        head(b"Authorization: Bearer mine", b"authorization: Basic b3Ro")


def test_two_handles_are_a_broken_one():
    assert head(b"Proxy-Session: a").caller == b"a"
    assert head(b"Proxy-Session: a", b"Proxy-Session: a").caller == b"\0"


def test_a_trace_that_is_for_this_hop_alone_ends_here():
    """RFC 9110 section 7.6.1."""
    lines = (b"traceparent: 00-x", b"tracestate: a=1")
    assert head(*lines).trace == [*lines]
    assert head(*lines, b"Connection: TraceParent").trace == [lines[1]]
    assert head(*lines, b"Connection: traceparent, tracestate").trace == []


def test_what_is_told_of_the_client_is_kept_apart():
    lines = [b"X-Forwarded-For: 1.2.3.4", b"Forwarded: for=1"]
    found = head(*lines)
    assert (found.forwarded, found.lines) == (lines, [])


def test_requests_with_the_same_lines_do_not_share_what_they_change():
    one = head(b"Accept: x", b"Connection: Upgrade", b"Upgrade: websocket")
    one.upgrade = b""
    one.method = b"PUT"
    other = head(b"Accept: x", b"Connection: Upgrade", b"Upgrade: websocket", first=b"GET /other HTTP/1.1")
    assert (other.upgrade, other.method, other.target.path) == (b"websocket", b"GET", b"/other")


def test_the_same_lines_mean_another_thing_in_http_1_0():
    lines = (b"X-Unique: minor",)
    assert head(*lines).keep_alive
    assert not head(*lines, first=b"GET / HTTP/1.0").keep_alive
    assert head(*lines).minor == 1
    with pytest.raises(BadRequest):
        head(b"Transfer-Encoding: chunked", first=b"GET / HTTP/1.0")
    assert head(b"Transfer-Encoding: chunked").chunked


def test_a_known_block_of_lines_is_checked_against_each_target():
    for _ in range(2):
        assert head(first=b"GET http://app.example/x HTTP/1.1").target.path == b"/x"
        with pytest.raises(BadRequest):
            head(first=b"GET http://evil.example/x HTTP/1.1")


def test_slashes_are_kept_where_they_are_asked_for_and_only_there():
    block = b"GET /a//b%2Fc HTTP/1.1\r\nHost: app.example"
    for _ in range(2):
        assert parse_request_head(block, slashes=True).target.path == b"/a//b%2Fc"
        with pytest.raises(BadRequest):
            parse_request_head(block)


def test_the_rewritten_lines_have_host_framing_and_the_switch():
    found = head(b"Accept: x", b"Content-Length: 5", b"Expect: 100-continue", first=b"PUT / HTTP/1.1")
    assert fields_bytes(found, found.lines) == (
        b"Host: app.example\r\nAccept: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    )
    found = head(b"Transfer-Encoding: Chunked", b"Connection: Upgrade", b"Upgrade: websocket")
    assert request_bytes(found, [], target=b"/t", host_line=b"Host: api") == (
        b"GET /t HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )


def test_what_is_remembered_is_bounded_and_never_of_what_is_long(monkeypatch):
    check = HeadCheck()
    remembered = (
        h1._heads,
        h1_answer._answer_heads,
        check._agreed,
        h1._request_lines[False],
        h1._authorities,
    )
    limit_bytes = 64 * 1024
    for kept in remembered:
        monkeypatch.setattr(kept, "limit_bytes", limit_bytes)
        kept.clear()
    most = limit_bytes // h1.HEAD_BYTES
    for number in range(5 * most):
        block = b"GET /%d HTTP/1.1\r\nHost: host-%d.example\r\nX: %d" % (number, number, number)
        for _ in range(2):
            check.agree(parse_request_head(block), block + b"\r\n\r\n")
        parse_answer_head(b"HTTP/1.1 200 OK\r\nX: %d" % number)
        assert all(0 < len(kept) <= most for kept in remembered)
    assert 0 < len(headers._marks) <= headers._MARKS_MAX
    monkeypatch.undo()
    for kept in remembered:
        kept.clear()
    long = b"X: " + b"x" * 5000
    head(long, first=b"GET /" + b"y" * 1000 + b" HTTP/1.1")
    parse_answer_head(b"HTTP/1.1 200 OK\r\n" + long)
    for kept in (h1._heads, h1_answer._answer_heads):
        assert not any(long in block for block in kept)
    assert not any(len(line) > 512 for line in h1._request_lines[False])


def test_what_comes_once_only_is_not_remembered():
    """Threat: a flood of heads that are never sent again, which would push out those that are."""
    block = b"GET / HTTP/1.1\r\nHost: once.example\r\nX: only-this-time"
    fields = block.partition(b"\r\n")[2]
    assert not parse_request_head(block).is_familiar
    assert fields not in h1._heads
    assert parse_request_head(block).is_familiar
    assert fields in h1._heads


def test_llhttp_is_asked_again_for_another_method_with_the_same_lines():
    check = HeadCheck()
    assert agrees(check, b"GET / HTTP/1.1\r\nHost: a")
    assert not agrees(check, b"WHATEVER / HTTP/1.1\r\nHost: a")
    assert agrees(check, b"GET /x HTTP/1.1\r\nHost: a")


def test_trailer_names_pass():
    assert head(b"Trailer: Checksum").lines == [b"Trailer: Checksum"]


# -- the second opinion ------------------------------------------------------------------------------------------


def agrees(check: HeadCheck, block: bytes) -> bool:
    found = parse_request_head(block)
    try:
        check.agree(found, block + b"\r\n\r\n")
    except BadRequest:
        return False
    return True


def test_llhttp_agrees_with_good_heads_one_after_another():
    check = HeadCheck()
    host = b"\r\nHost: a"
    blocks = [
        b"GET / HTTP/1.1" + host,
        b"POST / HTTP/1.1" + host + b"\r\nContent-Length: 5",
        b"GET / HTTP/1.1" + host,
        b"POST / HTTP/1.1" + host + b"\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1" + host + b"\r\nConnection: Upgrade\r\nUpgrade: websocket",
        b"GET / HTTP/1.1" + host + b"\r\nConnection: close",
        b"GET / HTTP/1.0" + host,
        b"GET / HTTP/1.0" + host + b"\r\nConnection: keep-alive",
        b"POST / HTTP/1.1" + host + b"\r\nContent-Length: 0",
        b"OPTIONS * HTTP/1.1" + host,
        b"GET http://a/ HTTP/1.1" + host,
    ]
    for _ in range(3):
        for block in blocks:
            assert agrees(check, block), block


def test_a_disagreement_spoils_nothing_for_the_next():
    check = HeadCheck()
    assert not agrees(check, b"WHATEVER / HTTP/1.1\r\nHost: a")
    assert agrees(check, b"GET / HTTP/1.1\r\nHost: a")


# -- any bytes ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(block):
    for parse, refusal in ((parse_request_head, BadRequest), (parse_answer_head, BackendError)):
        try:
            parse(block)
        except refusal:
            continue


@pytest.mark.parametrize(
    "name", [name for name, (data, _) in REFUSED.items() if data.count(b"\r\n\r\n") == 1]
)
def test_what_a_connection_refuses_is_refused_each_time(name):
    """A block of lines that was refused once is never found in the table of known ones."""
    data, status = REFUSED[name]
    if status == 431 or data.startswith(b"\r\n"):
        return
    for _ in range(2):
        with pytest.raises(BadRequest):
            parse_request_head(data.partition(b"\r\n\r\n")[0])


ASKING = (
    *(b"Cookie: a=b", b"Authorization: Basic x", b"Accept: */*", b"X-Forwarded-For: 192.0.2.1"),
    *(b"Content-Length: 5", b"Expect: 100-continue"),
)


def about(*, method: bytes = b"POST", target: bytes = b"/x?y", authority: bytes = b"b.example:8443"):
    asking = head(*ASKING)
    return asking, h1.head_about(asking, method=method, target=target, authority=authority)


def test_a_request_asked_about_has_the_lines_of_the_question_and_nothing_else_of_it():
    asking, found = about()
    assert (found.method, found.target.path, found.target.query) == (b"POST", b"/x", b"y")
    assert (found.host, found.host_line) == (b"b.example", b"Host: b.example:8443")
    assert (found.lines, found.cookies) == (asking.lines, asking.cookies)
    assert found.authorization == b"Authorization: Basic x"
    assert (found.forwarded, found.content_length, found.expect_continue) == ([], None, False)
    assert (asking.host, asking.target.full, asking.content_length) == (b"app.example", b"/a?b", 5)


def test_what_is_remembered_of_a_question_is_not_taken_for_what_it_is_about():
    for _ in range(3):
        asking, found = about()
    assert asking.is_familiar
    assert not found.is_familiar
    assert found.fields == b""


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            {"target": target}
            for target in (b"", b"*", b"x", b"/a/../b", b"//a", b"/%61", b"/a b", b"/a#b", b"/a%")
        ),
        *(
            {"target": target}
            for target in (b"/a%00", b"/a\\b", b"/..;/b", b"/a\r\nX: y", b"http://b.example/x")
        ),
        *({"method": method} for method in (b"", b"get", b"GET /public", b"TRACE", b"CONNECT", b"G\r\nX: y")),
        *(
            {"authority": host}
            for host in (b"", b"a,b", b"a b", b"u@b.example", b"b.example:0", b"a\r\nX: y", b"127.1")
        ),
        {"method": b"GET /public", "target": b"HTTP/1.1"},
        {"method": b"GET", "target": b"/" + b"a" * h1.TARGET_LIMIT_BYTES},
    ],
    ids=str,
)
def test_what_could_be_read_in_another_way_is_never_asked_about(wrong):
    """Attack CVE-2021-32637: a malformed address that an authorization endpoint answers with 200."""
    with pytest.raises(BadRequest):
        about(**wrong)


@pytest.mark.parametrize(
    "header",
    [b"PROXY TCP4 203.0.113.7 192.0.2.80 5000 80\r\n", b"\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12)],
    ids=["version 1", "version 2, without the empty lines before it"],
)
def test_a_proxy_header_of_somebody_who_may_not_send_one_is_told_to_the_log(header):
    with pytest.raises(BadRequest) as told:
        parse_request_head(header + b"GET / HTTP/1.1\r\nHost: a")
    assert (told.value.detail, told.value.code) == (UNTRUSTED, "bad_request_line")
    assert "PROXY" not in told.value.message
    with pytest.raises(BadRequest) as plain:
        parse_request_head(b"PROXYING\r\nHost: a")
    assert plain.value.detail == ""


def test_half_of_a_binary_one_is_told_to_the_log():
    with pytest.raises(BadRequest) as told:
        check_partial_head(b"\x00\r\nQUIT\n\x21")
    assert told.value.detail == UNTRUSTED
