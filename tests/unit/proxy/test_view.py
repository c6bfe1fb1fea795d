"""What is kept of a host's visitors stays bounded, whatever they send."""

from __future__ import annotations

from vestibule.core.listener import Listener
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route
from vestibule.protocol.address import Networks
from vestibule.protocol.h1 import parse_request_head
from vestibule.proxy.view import COOKIES_LIMIT_BYTES, View

HANDLE = b"h" * 43


def view() -> View:
    route = Route(prefix=b"", backend=Backend(internal="echo"), policy=policy_of(allow=()))
    host = Host(name=b"app.example", title="App", clients={}, routes={b"": route})
    return View(host, Listener(host="127.0.0.1", port=8000), Networks())


def test_a_flood_of_cookies_nobody_sent_before_is_not_kept_for_ever() -> None:
    """Threat: 10,000 lines of 30 KiB each would be half a gigabyte of memory a host, for nothing."""
    known = view()
    for number in range(400):
        cookies = b"".join(b"Cookie: a%d=%d-%b\r\n" % (at, number, b"x" * 7900) for at in range(3))
        block = b"GET / HTTP/1.1\r\nHost: app.example\r\n%bCookie: vestibule-8000=%b" % (cookies, HANDLE)
        assert known.taken(parse_request_head(block)).value == HANDLE
        assert sum(map(len, known._cookies)) <= COOKIES_LIMIT_BYTES
