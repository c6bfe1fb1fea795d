"""A port without TLS that takes HTTP/1.1 and HTTP/2: what a connection is shows by what comes first."""

from __future__ import annotations

import pytest

from tests.helpers.messages import read_answers
from tests.helpers.peer_h2 import H2Peer
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.conftest import NotedHandler
from vestibule.core.listener import UNKNOWN, ListenAddress
from vestibule.proxy.capacity import Capacity
from vestibule.proxy.downstream_h1 import IDLE_DEADLINE_S, H1Connection
from vestibule.proxy.listener import Listener

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
FIELDS = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/a")]


@pytest.fixture
def listener(loop: FakeLoop) -> Listener:
    address = ListenAddress(host="127.0.0.1", port=7001)
    return Listener(address, NotedHandler(echo=True), clock=loop.time, greets=True)


@pytest.fixture
def transport(loop, listener):
    return loop.connect(listener.opened(UNKNOWN))


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 24, 1000])
def test_http_2_by_prior_knowledge_is_spoken(transport, listener, size):
    peer = H2Peer()
    stream = peer.ask(FIELDS)
    for piece in pieces_of(peer.out(), size):
        transport.receive(piece)
    peer.feed(transport.clear())
    assert (peer.streams[stream].status, peer.streams[stream].body) == (200, b"/a")
    assert len(listener.open) == 1


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("method", [b"GET", b"PUT", b"POST", b"PATCH"])
def test_http_1_1_is_spoken(transport, listener, size, method):
    data = GET.replace(b"GET", method).replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
    for piece in pieces_of(data, size):
        transport.receive(piece)
    (answer,) = read_answers(transport.clear(), method)
    assert answer.body == b"/a"
    assert [type(one) for one in listener.open] == [H1Connection]


def test_what_only_begins_like_the_other_is_refused(transport, listener):
    transport.receive(b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert listener.handler.exchanges == []
    assert listener.handler.refused


def test_a_port_that_takes_http_1_1_alone_takes_nothing_else(loop):
    listener = Listener(ListenAddress(host="127.0.0.1", port=7001), NotedHandler(echo=True), clock=loop.time)
    transport = loop.connect(listener.opened(UNKNOWN))
    transport.receive(H2Peer().out())
    assert listener.handler.exchanges == []
    assert transport.clear().startswith(b"HTTP/1.1 505 ")


def test_who_says_nothing_is_one_connection_and_who_speaks_is_the_same(loop, listener):
    listener.capacity = capacity = Capacity(connections=2)
    capacity.everyone = lambda: (listener.open,)
    first, silent = (loop.connect(listener.opened(UNKNOWN)) for _ in range(2))
    first.receive(GET[:10])
    assert capacity.connections == 2
    third = loop.connect(listener.opened(UNKNOWN))
    assert (silent.is_closed, capacity.connections) == (True, 2)
    third.receive(GET[:10])
    last = loop.connect(listener.opened(UNKNOWN))
    assert last.clear().startswith(b"HTTP/1.1 503 ")
    for transport in (first, third, last):
        transport.lose()
    assert (capacity.connections, listener.open) == (0, set())


def test_who_says_nothing_is_closed_in_time_and_when_the_program_goes(loop, listener):
    late, idle, left = (loop.connect(listener.opened(UNKNOWN)) for _ in range(3))
    assert (len(listener.open), listener.is_busy, list(listener.under_way())) == (3, False, [])
    left.lose()
    assert len(listener.open) == 2
    late.receive(b"P")
    loop.run(listener.sweep, loop.time() + IDLE_DEADLINE_S + 1)
    assert late.is_closed
    assert idle.is_closed
    again = loop.connect(listener.opened(UNKNOWN))
    loop.run(listener.close_idle)
    assert again.is_closed
    assert listener.is_empty
