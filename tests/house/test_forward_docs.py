"""docs/forward-auth.md: its tables are true."""

from __future__ import annotations

import re

import pytest

from tests.helpers.transport import FakeLoop
from tests.house.test_docs import quoted, table
from tests.unit.proxy.forward.stand import CADDY, ENVOY, NAVIGATION, NGINX, SOCKET, Stand, Way
from vestibule.protocol.headers import FORWARDED, request_kind

ASKED = table("docs/forward-auth.md", "edge")
ANSWERS = table("docs/forward-auth.md", "who | asks for")
KINDS = {
    "a browser": (b"GET", NAVIGATION),
    "`curl`": (b"GET", (b"Accept: */*",)),
    "a form": (b"POST", NAVIGATION),
    "a WebSocket": (b"GET", SOCKET),
}


def answered(way: Way, who: str, target: str, by: str) -> str:
    """What the page says of it, as this edge is answered."""
    loop = FakeLoop()
    try:
        stand = Stand(loop)
        method, lines = KINDS[by]
        cookie = stand.plane.sign_in() if who.startswith("somebody") else ""
        if "store is away" in who:
            cookie, stand.plane.away.is_away = "A" * 43, True
        host = b"none.example" if "not configured" in target else b"app.example"
        answer = stand.ask(way, quoted(target)[0].encode(), *lines, method=method, cookie=cookie, host=host)
        return f"{answer.status}{', `Location`' if answer.value(b'location') else ''}"
    finally:
        loop.settle()
        loop.close()


@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: ", ".join(row[:3]))
def test_the_table_of_answers_is_true(row: list[str]):
    who, target, by, *answers = row
    for way, said in zip((NGINX, CADDY, ENVOY), answers, strict=True):
        assert answered(way, who, target, by) == said, way.name


def test_the_headers_that_say_what_is_asked_are_those_that_are_read():
    named = {name for row in ASKED for name in re.findall(r"`(X-[\w-]+)`", row[2])}
    assert {request_kind(name.encode() + b": x") for name in named} == {FORWARDED}
    assert len(named) == 6
