"""A listening socket's deadlines and its end; the sockets themselves are the real tests'."""

from __future__ import annotations

import pytest

from tests.unit.proxy.conftest import Client, NotedHandler
from vestibule.core.listener import ListenAddress
from vestibule.proxy.downstream_h1 import H1Connection
from vestibule.proxy.listener import AT_ONCE, Listener

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


def test_who_is_late_together_is_ended_a_few_at_a_time(loop, listener, monkeypatch):
    clients = [Client(loop, listener) for _ in range(3 * AT_ONCE)]
    loop.advance(80)
    ended_by_turn: list[int] = []
    own = listener._end_late

    def counted() -> None:
        before = sum(client.transport.is_closing() for client in clients)
        own()
        ended_by_turn.append(sum(client.transport.is_closing() for client in clients) - before)

    monkeypatch.setattr(listener, "_end_late", counted)
    loop.run(listener.sweep, loop.time())
    assert ended_by_turn == [AT_ONCE] * 3


def test_who_gets_on_in_time_after_all_stays(loop, listener):
    clients = [Client(loop, listener) for _ in range(2 * AT_ONCE)]
    loop.advance(80)

    def sweep() -> None:
        listener.sweep(loop.time())
        for client in clients:
            if not client.transport.is_closing():
                client.connection.deadline = loop.time() + 60
                break

    loop.run(sweep)
    assert sum(not client.is_ended for client in clients) == 1


class Said:
    """A log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, str]]] = []

    def error(self, event: str, **fields: str) -> None:
        self.lines.append((event, fields))


@pytest.mark.parametrize("number", [AT_ONCE, 3 * AT_ONCE], ids=["in the first turn", "in any"])
def test_a_connection_that_cant_be_ended_as_it_should_is_cut_and_the_others_end(
    loop, handler, monkeypatch, number
):
    log = Said()
    listener = Listener(ListenAddress(host="127.0.0.1", port=80), handler, clock=loop.time, log=log)
    clients = [Client(loop, listener) for _ in range(number)]
    broken = {client.connection for client in clients[::2]}
    expire = H1Connection.expire

    def expired(connection: H1Connection) -> None:
        if connection in broken:
            raise RuntimeError("nobody meant this")
        expire(connection)

    monkeypatch.setattr(H1Connection, "expire", expired)
    loop.advance(80)
    loop.run(listener.sweep, loop.time())
    assert all(client.transport.is_closed for client in clients)
    assert [client.transport.was_aborted for client in clients] == [True, False] * (number // 2)
    assert [event for event, _ in log.lines] == ["fault"] * len(broken)
    assert "nobody meant this" in log.lines[0][1]["error"]
    late = Client(loop, listener)
    late.wait(80)
    assert late.transport.is_closed


def test_a_stop_lets_answers_end_and_idle_connections_go_last(loop, listener, handler):
    idle = Client(loop, listener)
    served = Client(loop, listener).send(GET)
    loop.run(handler.exchanges[0].answer, b"HTTP/1.1 200 OK", [], b"")
    busy = Client(loop, listener).send(GET)
    loop.run(listener.stop)
    assert listener.is_busy
    assert [one.is_ended for one in (idle, served, busy)] == [False] * 3
    loop.run(handler.exchanges[1].answer, b"HTTP/1.1 200 OK", [], b"bye")
    assert busy.answer().value(b"connection") == b"close"
    assert busy.is_ended
    busy.transport.lose()
    assert not listener.is_busy
    loop.run(listener.close_idle)
    assert idle.transport.is_closed
    assert served.transport.is_closed


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
