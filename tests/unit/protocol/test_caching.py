"""What caches may do with an answer, and what they may not."""

from __future__ import annotations

import pytest

from vestibule.protocol.caching import is_private, made_private
from vestibule.protocol.h1_answer import parse_answer_head


@pytest.mark.parametrize(
    "value",
    ["private", "no-store", "Private, max-age=60", "max-age=0, NO-STORE", "no-cache, private", ",private,"],
)
def test_what_no_shared_cache_may_store_is_known(value):
    assert is_private([f"Cache-Control: {value}".encode()])


@pytest.mark.parametrize(
    "value",
    [
        *("", "public", "max-age=60", "no-cache", "s-maxage=60", 'private="set-cookie"', 'private=""'),
        *("x-private", "private-ish", 'max-age="private', "max-age=60; private", '"private"', "\xffprivate"),
    ],
)
def test_p8_what_some_shared_cache_may_store_is_known(value):
    assert not is_private([b"Cache-Control: " + value.encode("latin-1")])


def test_several_lines_are_one():
    assert is_private([b"cache-control: max-age=60", b"CACHE-CONTROL: private"])
    assert not is_private([])


@pytest.mark.parametrize(
    "line",
    [
        b"X-Accel-Expires: 60",
        b"Surrogate-Control: max-age=60",
        b"CDN-Cache-Control: public",
        b"Edge-Control: x",
    ],
)
def test_p8_what_overrules_cache_control_somewhere_is_not_private(line):
    assert not is_private([b"Cache-Control: private", line])
    made = made_private([b"Cache-Control: private", line, b"ETag: 1"])
    assert made == [b"ETag: 1", b"Cache-Control: private"]


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("max-age=60", "private, max-age=60"),
        ("public, max-age=31536000, immutable", "private, max-age=31536000, immutable"),
        ("s-maxage=60, max-age=5", "private, max-age=5"),
        ("no-cache", "private, no-cache"),
        ('private="set-cookie", max-age=5', "private, max-age=5"),
        ('no-cache="a, b"', 'private, no-cache="a, b"'),
        ("nonsense; here", "private"),
        ("", "private"),
    ],
)
def test_p8_only_the_persons_own_browser_may_keep_it(value, made):
    lines = [b"ETag: 1", f"Cache-Control: {value}".encode(), b"Vary: Accept"]
    assert made_private(lines) == [b"ETag: 1", b"Vary: Accept", f"Cache-Control: {made}".encode()]
    assert is_private([made_private(lines)[-1]])


def test_an_answers_head_says_what_it_lets_caches_do():
    open_ = parse_answer_head(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Control: max-age=60")
    assert (open_.caching, open_.is_private, open_.is_verbatim) == (
        [b"Cache-Control: max-age=60"],
        False,
        True,
    )
    assert parse_answer_head(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Control: private").is_private
    silent = parse_answer_head(b"HTTP/1.1 200 OK\r\nContent-Length: 0")
    assert (silent.caching, silent.is_private) == ([], False)


@pytest.mark.parametrize("name", ["X-Accel-Redirect", "x-sendfile", "X-Lighttpd-Send-File", "X-Reproxy-Url"])
def test_h8_what_an_edge_in_front_would_act_on_is_dropped(name):
    head = parse_answer_head(f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{name}: /internal/secret".encode())
    assert head.lines == []
    assert not head.is_verbatim


def test_p8_a_line_that_connection_takes_away_keeps_nobody_out():
    head = parse_answer_head(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Control: private\r\nConnection: cache-control"
    )
    assert (head.lines, head.caching, head.is_private) == ([], [], False)
