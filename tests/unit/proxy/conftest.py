"""What the tests of the data plane stand on: a loop without waiting, one client's connection, a plain handler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.helpers.messages import Message, read_answers
from tests.helpers.transport import FakeLoop
from vestibule.errors import BadRequest
from vestibule.protocol.h1 import HeadCheck
from vestibule.proxy.capacity import Capacity
from vestibule.proxy.downstream_h1 import H1Connection, H1Exchange
from vestibule.proxy.exchange import Exchange, Responder


@pytest.fixture
def loop() -> Iterator[FakeLoop]:
    loop = FakeLoop()
    yield loop
    loop.settle()
    loop.close()


class Noted(Responder):
    """Notes what the downstream tells it."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.body = b""

    def on_body(self, data: bytes) -> None:
        self.calls.append("body")
        self.body += data

    def on_body_end(self, trailers: Sequence[bytes]) -> None:
        self.calls.append(("end", tuple(trailers)))

    def on_gone(self) -> None:
        self.calls.append("gone")

    def on_drain(self) -> None:
        self.calls.append("drain")

    def on_pause(self) -> None:
        self.calls.append("pause")

    def on_resume(self) -> None:
        self.calls.append("resume")

    @property
    def is_whole(self) -> bool:
        return any(isinstance(call, tuple) for call in self.calls)


class NotedHandler:
    """Keeps exchanges for the test to answer; with `echo` it answers each at once."""

    def __init__(self, *, echo: bool = False, wants: bool = True) -> None:
        self.echo = echo
        self.wants = wants
        self.exchanges: list[H1Exchange] = []
        self.responders: list[Noted] = []
        self.ended: list[Exchange] = []
        self.refused: list[BadRequest] = []

    def handle(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        responder = Noted()
        self.responders.append(responder)
        exchange.responder = responder
        exchange.on_end = self.ended.append
        if self.echo:
            exchange.answer(b"HTTP/1.1 200 OK", [], exchange.head.target.full)
        elif self.wants:
            exchange.want_body()

    def refuse(self, exchange, error, peer):
        self.refused.append(error)
        return b"HTTP/1.1 %d Refused" % error.status, [b"Code: " + error.code.encode()], b"no"


class PlainListener:
    """A listener as a connection sees it."""

    scheme = "http"
    port = 80
    slashes = False

    def __init__(self, handler, loop: FakeLoop) -> None:
        self.handler = handler
        self.check = HeadCheck()
        self.draining = False
        self.capacity = Capacity()
        self.open: set[H1Connection] = set()
        self.tick = loop.time()

    def sweep(self, now: float) -> None:
        self.tick = now
        for connection in [c for c in self.open if c.deadline and c.deadline < now]:
            connection.expire()


class Client:
    """The other end of one connection to a listener."""

    def __init__(self, loop: FakeLoop, listener, peer: tuple[str, int] | str = ("192.0.2.7", 40000)) -> None:
        self.loop = loop
        self.listener = listener
        self.connection = H1Connection(listener)
        self.transport = loop.connect(self.connection, peer)

    def send(self, *pieces: bytes) -> Client:
        for piece in pieces:
            self.transport.receive(piece)
        return self

    def answers(self, *methods: bytes) -> list[Message]:
        return read_answers(self.transport.clear(), *methods)

    def answer(self, method: bytes = b"GET") -> Message:
        found = self.answers(method)
        assert len(found) == 1, found
        return found[0]

    @property
    def is_ended(self) -> bool:
        """The gateway will serve nothing more here."""
        transport = self.transport
        return transport.is_closed or transport.is_closing() or transport.has_ended_writing

    def wait(self, seconds: float) -> None:
        """Time passes; the listener looks at its deadlines once a second."""
        for _ in range(int(seconds)):
            self.loop.advance(1)
            self.loop.run(self.listener.sweep, self.loop.time())


@pytest.fixture
def handler() -> NotedHandler:
    return NotedHandler()


@pytest.fixture
def listener(loop: FakeLoop, handler: NotedHandler) -> PlainListener:
    return PlainListener(handler, loop)


@pytest.fixture
def client(loop: FakeLoop, listener: PlainListener) -> Client:
    return Client(loop, listener)


@pytest.fixture(params=["h1", "h2"])
def both_downstreams(request, monkeypatch) -> None:
    """Clients of a `Plane` come by HTTP/1.1, and by HTTP/2: for suites that speak of requests and answers."""
    from tests.unit.proxy import plane  # noqa: PLC0415 - it stands on this module

    monkeypatch.setattr(plane.Plane, "client_type", plane.DOWNSTREAMS[request.param])
