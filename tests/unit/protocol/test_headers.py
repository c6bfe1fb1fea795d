"""Header lines: what each means, whatever way it is spelled."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import BadRequest
from vestibule.protocol import headers
from vestibule.protocol.headers import (
    ALIAS,
    CONNECTION,
    CONTENT_LENGTH,
    DROP,
    HOST,
    KEEP_ALIVE,
    LINE_LIMIT_BYTES,
    PASS,
    SET_COOKIE,
    TE,
    TRANSFER_ENCODING,
    answer_kind,
    class_of,
    is_owned,
    name_of,
    request_kind,
    tokens_of,
    value_of,
    without_named,
)

OWNED = (
    *(
        "Proxy-Session",
        "Proxy-Provider",
        "Proxy-Assertion",
        "User-Id",
        "User-Login",
        "User-Name",
        "User-Email",
    ),
    *("User-Groups", "User-Orgs", "User-Did", "User-Handle", "X-Forwarded-For", "X-Forwarded-Proto"),
    *("X-Forwarded-Host", "X-Forwarded-Anything-At-All", "X-Real-IP", "Forwarded", "X-Original-URL"),
    *("X-Rewrite-URL", "X-Auth-Request-User", "X-Vouch-User", "X-Pomerium-Jwt-Assertion", "Remote-User"),
    *("Remote-Groups", "Remote-Name", "Remote-Email", "GAP-Auth", "GAP-Signature"),
)
NOT_OWNED = (
    *(
        "User-Agent",
        "User-Ids",
        "X-User-Id",
        "Proxy-Sessions",
        "X-Forwardedness",
        "Remote-Users",
        "Authorization",
    ),
    *("Accept", "Cookie", "Host", "Forwarded-For", "X-Realm-IP", "Userid"),
)


def spellings(name: str) -> set[str]:
    parts = name.split("-")
    texts = {
        "".join(a + b for a, b in itertools.zip_longest(parts, separators, fillvalue=""))
        for separators in itertools.product("-_.", repeat=len(parts) - 1)
    }
    return {spell(text) for text in texts for spell in (str, str.lower, str.upper, str.swapcase)}


@pytest.mark.parametrize("name", OWNED)
def test_an_owned_name_is_ours_in_every_spelling(name):
    for spelling in spellings(name):
        assert is_owned(spelling), spelling
        assert request_kind(spelling.encode() + b": x") != PASS, spelling


@pytest.mark.parametrize("name", NOT_OWNED)
def test_a_name_that_only_looks_alike_is_not(name):
    assert not any(is_owned(spelling) for spelling in spellings(name))


@pytest.mark.parametrize(
    "name", ["Content-Length", "Transfer-Encoding", "X-HTTP-Method-Override", "Keep-Alive"]
)
def test_a_framing_name_in_another_spelling_is_dropped(name):
    """Threat: CGI backends, to which `Content_Length` is CONTENT_LENGTH."""
    for spelling in spellings(name):
        kind = request_kind(spelling.encode() + b": 1")
        assert kind != PASS, spelling
        if set(spelling) & set("_."):
            assert kind == ALIAS, spelling


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"Host: a", HOST),
        (b"hOST:a", HOST),
        (b"Content-Length: 1", CONTENT_LENGTH),
        (b"Transfer-Encoding: chunked", TRANSFER_ENCODING),
        (b"Connection: close", CONNECTION),
        (b"Connection: keep-alive", KEEP_ALIVE),
        (b"connection:\tKeep-Alive ", KEEP_ALIVE),
        (b"Connection: keep-alive, x", CONNECTION),
        (b"TE: trailers", TE),
        (b"Proxy-Authorization: x", DROP),
        (b"HTTP2-Settings: x", ALIAS),
        (b"X-HTTP-Method-Override: DELETE", ALIAS),
        (b"X-Rewrite-URL: /admin", ALIAS),
        (b"Accept: */*", PASS),
        (b"X-Custom_Name: 1", PASS),
    ],
)
def test_what_a_requests_line_means(line, kind):
    assert request_kind(line) == kind
    assert request_kind(line) == kind


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"Content-Length: 1", CONTENT_LENGTH),
        (b"Set-Cookie: a=b", SET_COOKIE),
        (b"Keep-Alive: 5", DROP),
        (b"Proxy-Session: x", DROP),
        (b"Connection: Keep-Alive", KEEP_ALIVE),
        (b"User-Id: 1", PASS),
        (b"Server: x", PASS),
    ],
)
def test_what_an_answers_line_means(line, kind):
    assert answer_kind(line) == kind


BAD_LINES = (
    b"",
    b":",
    b": x",
    b"no colon",
    b"A",
    b"A : b",
    b" A: b",
    b"\tA: b",
    b"A\t: b",
    b"A B: c",
    b"A\0: b",
    b"A: b\0",
    b"A: b\rc",
    b"A: b\nc",
    b"A: b\x0bc",
    b"A: b\x7f",
    b"\xc3\x84: b",
    b"A(b): c",
    b'A"b": c',
    b"A,b: c",
    b"A;b: c",
    b"A/b: c",
    b"A[b]: c",
    b"A{b}: c",
    b"A=b: c",
    b"A@b: c",
)


@pytest.mark.parametrize("line", BAD_LINES, ids=repr)
@pytest.mark.parametrize("kind_of", [request_kind, answer_kind, name_of])
def test_what_is_no_header_line_is_refused_each_time(kind_of, line):
    for _ in range(2):
        with pytest.raises(BadRequest) as refused:
            kind_of(line)
        assert refused.value.status == 400


def test_a_line_has_a_limit():
    assert request_kind(b"A: " + b"b" * (LINE_LIMIT_BYTES - 3)) == PASS
    with pytest.raises(BadRequest) as refused:
        request_kind(b"A: " + b"b" * (LINE_LIMIT_BYTES - 2))
    assert refused.value.status == 431


def test_what_is_remembered_is_bounded():
    for number in range(headers._CACHE_LINES + 100):
        request_kind(b"X-Number: %d" % number)
    request_kind(b"X-Long: " + b"x" * 1000)
    assert len(headers._requests) <= headers._CACHE_LINES
    assert all(len(line) <= headers._CACHED_LINE_BYTES for line in headers._requests)


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (b"close", [b"close"]),
        (b" Close ,\tUpgrade,", [b"close", b"upgrade"]),
        (b",,", []),
        (b"", []),
        (b"a b", [b"a b"]),
    ],
)
def test_the_tokens_of_a_list(value, tokens):
    assert tokens_of(value) == tokens


def test_a_value_has_no_white_space_around():
    assert value_of(b"A: \t b c \t") == b"b c"
    assert value_of(b"A:") == b""
    assert value_of(b"A:b:c") == b"b:c"


LINES = [b"X-A: 1", b"x-b: 2", b"Accept: 3", b"X-A-B: 4"]


@pytest.mark.parametrize(
    ("tokens", "left"),
    [
        ([], LINES),
        ([b"close", b"keep-alive", b"upgrade"], LINES),
        ([b"x-a"], LINES[1:]),
        ([b"x-a", b"x-b", b"close"], LINES[2:]),
        ([b"x"], LINES),
        ([b"te", b"trailer", b"transfer-encoding"], LINES),
        ([b"\xff", b"a b", b"*"], LINES),
    ],
)
def test_connection_removes_what_it_names(tokens, left):
    assert without_named(LINES, tokens) == left
    assert len(LINES) == 4


@pytest.mark.parametrize(
    "name",
    [
        *(*OWNED, "Host", "Content-Length", "Cookie", "Authorization", "Connection", "Expect"),
        *("Origin", "Sec-Fetch-Site"),
    ],
)
def test_connection_may_not_name_what_the_gateway_sets_or_needs(name):
    for spelling in spellings(name) if name in OWNED else {name.lower()}:
        with pytest.raises(BadRequest):
            without_named(LINES, tokens_of(b"close, " + spelling.encode()))


@given(st.text(alphabet="aZ09-_.~!#$%&'*+^`|", min_size=1, max_size=20))
def test_names_of_one_class_are_owned_alike(name):
    assert class_of(name) == re.sub("[^0-9a-z]", "-", name.lower())
    assert is_owned(name) == is_owned(class_of(name)) == is_owned(name.swapcase())


@given(st.binary(max_size=40))
def test_any_bytes_are_a_line_or_refused(line):
    try:
        name = name_of(line)
    except BadRequest:
        return
    assert re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name)
    assert not re.search(rb"[\0\r\n]", line)
