"""A listening socket's deadlines and its end; the sockets themselves are the real tests'."""

from __future__ import annotations

import pytest

from tests.unit.proxy.conftest import Client, NotedHandler
from vestibule.core.listener import ListenAddress
from vestibule.proxy.listener import Listener

GET = b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n"


@pytest.fixture
def listener(loop, handler) -> Listener:
    return Listener(ListenAddress(host="127.0.0.1", port=80), handler, clock=loop.time)


def test_connections_are_known_while_they_are_open(loop, listener):
    clients = [Client(loop, listener) for _ in range(3)]
    assert len(listener.open) == 3
    clients[0].transport.lose()
    assert listener.open == {client.connection for client in clients[1:]}


def test_a_sweep_ends_what_is_past_its_deadline_and_nothing_else(loop, listener, handler):
    idle = Client(loop, listener)
    busy = Client(loop, listener).send(GET)
    idle.wait(40)
    late = Client(loop, listener)
    idle.wait(40)
    assert idle.transport.is_closed
    assert not late.is_ended
    assert not busy.is_ended
    assert listener.tick == loop.time()


def test_many_idle_connections_end_in_one_sweep(loop, listener):
    clients = [Client(loop, listener) for _ in range(1000)]
    loop.advance(80)
    loop.run(listener.sweep, loop.time())
    assert all(client.transport.is_closed for client in clients)
    assert listener.open == set()


def test_a_stop_closes_what_is_idle_and_lets_the_rest_end(loop, listener, handler):
    idle = Client(loop, listener)
    served = Client(loop, listener).send(GET)
    loop.run(handler.exchanges[0].answer, b"HTTP/1.1 200 OK", [], b"")
    busy = Client(loop, listener).send(GET)
    loop.run(listener.stop)
    assert idle.transport.is_closed
    assert served.transport.is_closed
    assert not busy.is_ended
    loop.run(handler.exchanges[1].answer, b"HTTP/1.1 200 OK", [], b"bye")
    assert busy.answer().value(b"connection") == b"close"
    assert busy.is_ended


def test_an_abort_leaves_nothing_open(loop, listener, handler):
    clients = [
        Client(loop, listener),
        Client(loop, listener).send(GET),
        Client(loop, listener).send(GET[:10]),
    ]
    loop.run(listener.abort)
    assert all(client.transport.is_closed for client in clients)
    assert handler.responders[0].calls[-1] == "gone"


def test_each_listener_has_its_own_second_opinion(loop):
    handler = NotedHandler(echo=True)
    one, other = (
        Listener(ListenAddress(host="127.0.0.1", port=port), handler, clock=loop.time) for port in (80, 81)
    )
    Client(loop, one).send(GET[:20])
    assert Client(loop, other).send(GET).answer().status == 200
    assert one.check is not other.check
