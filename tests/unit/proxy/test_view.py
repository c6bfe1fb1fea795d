"""What is kept of a host's visitors stays bounded, whatever they send."""

from __future__ import annotations

from vestibule.core.listener import ListenAddress
from vestibule.core.policy import policy_of
from vestibule.core.route import OWN_HEADERS, Backend, Host, Route
from vestibule.core.seal import Key, KeyRing
from vestibule.protocol.address import Networks
from vestibule.protocol.cookie import Taken
from vestibule.protocol.h1 import RequestHead, parse_request_head
from vestibule.proxy.view import KEPT_LIMIT_BYTES, Budget, Kept, Told, View

HANDLE = b"h" * 43
RING = KeyRing((Key("k1", b"k" * 32),))
NOTHING = Taken(None, is_repeated=False, rest=b"")


def familiar(block: bytes) -> RequestHead:
    """The head of a request whose header lines came before."""
    parse_request_head(block)
    return parse_request_head(block)


def view(name: bytes = b"app.example", budget: Budget | None = None, trusted: Networks | None = None) -> View:
    route = Route(prefix=b"", backend=Backend(internal="echo"), policy=policy_of(allow=()))
    host = Host(name=name, title="App", clients={}, routes={b"": route})
    listener = ListenAddress(host="127.0.0.1", port=8000)
    return View(host, listener, trusted or Networks(), budget or Budget(), RING)


def test_a_flood_of_cookies_nobody_sent_before_is_not_kept_for_ever() -> None:
    """Threat: 10,000 lines of 30 KiB each would be half a gigabyte of memory a host, for nothing."""
    known = view()
    for number in range(400):
        cookies = b"".join(b"Cookie: a%d=%d-%b\r\n" % (at, number, b"x" * 7900) for at in range(3))
        block = b"GET / HTTP/1.1\r\nHost: app.example\r\n%bCookie: vestibule-8000=%b" % (cookies, HANDLE)
        assert known.taken(parse_request_head(block)).value == HANDLE
        assert sum(map(len, known._cookies)) <= KEPT_LIMIT_BYTES


def test_all_hosts_together_keep_no_more_than_one_budget() -> None:
    """Threat: a flood spread over a thousand hosts, each of which would keep its own share."""
    budget = Budget(100_000)
    views = [view(b"h%d.example" % number, budget) for number in range(50)]
    for number in range(20):
        for one in views:
            block = b"GET / HTTP/1.1\r\nHost: %b\r\nX: %d %b" % (one.host.name, number, b"x" * 500)
            head = familiar(block)
            one.keep(
                head, Kept("192.0.2.1", Told("", [], False), NOTHING, None, OWN_HEADERS, 1.0, b"y" * 600)
            )
            kept = sum(len(fields) + len(made.block) for v in views for fields, made in v._fields.items())
            assert kept <= 100_000


def test_what_was_made_for_one_peer_is_not_told_of_another() -> None:
    known = view()
    head = familiar(b"GET / HTTP/1.1\r\nHost: app.example\r\nX: 1")
    told = known.told("192.0.2.1", head)
    known.keep(head, Kept("192.0.2.1", told, NOTHING, None, OWN_HEADERS, 9e9, b"block"))
    assert known.kept(head, "192.0.2.1").block == b"block"
    assert known.kept(head, "192.0.2.2") is None


def test_two_clients_behind_one_trusted_peer_are_never_told_as_one() -> None:
    """Threat: a proxy's requests for two clients are alike but for one line, and one is told of as the other."""
    known = view(trusted=Networks.parse(["10.0.0.1"]))
    for client in (b"192.0.2.1", b"192.0.2.2", b"192.0.2.1"):
        head = familiar(b"GET / HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-For: " + client)
        told = known.told("10.0.0.1", head)
        assert told.address == client.decode()
        kept = known.kept(head, "10.0.0.1")
        assert kept is None or kept.told.address == client.decode()
        known.keep(head, Kept("10.0.0.1", told, NOTHING, None, OWN_HEADERS, 9e9, b"block"))
