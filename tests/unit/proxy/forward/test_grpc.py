"""gRPC as far as Envoy speaks it: one message in, one out, and everything else refused."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from grpclib.protocol import H2Protocol

from tests.helpers.check_request import check, read_answer
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.forward.test_check import GrpcStand
from vestibule.core.listener import ListenAddress
from vestibule.protocol.ext_authz import CHECK_METHOD, MESSAGE_LIMIT_BYTES
from vestibule.proxy.forward import grpc
from vestibule.proxy.forward.grpc import GrpcListener

HEAD = {
    ":method": "POST",
    ":scheme": "http",
    ":path": CHECK_METHOD,
    ":authority": "gateway",
    "content-type": "application/grpc",
    "te": "trailers",
}


class Envoy:
    """The other end of one connection."""

    def __init__(self, loop: FakeLoop, listener: GrpcListener, peer: tuple[str, int] | str) -> None:
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.h2.initiate_connection()
        loop.run(lambda: setattr(self, "protocol", listener.connected()))
        self.transport = loop.connect(self.protocol, peer)
        self.events: list[h2.events.Event] = []
        self.flush()

    def flush(self) -> None:
        self.transport.receive(self.h2.data_to_send())
        self.events += self.h2.receive_data(self.transport.clear())
        if data := self.h2.data_to_send():
            self.transport.receive(data)

    def begin(self, head: dict[str, str] | None = None) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, list((head or HEAD).items()))
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = True) -> None:
        size = 16_000
        with contextlib.suppress(h2.exceptions.StreamClosedError):  # it was answered before it was whole
            for at in range(0, len(data), size):
                self.h2.send_data(stream, data[at : at + size])
                self.flush()
            if end:
                self.h2.end_stream(stream)
        self.flush()

    def call(self, message: bytes, head: dict[str, str] | None = None) -> int:
        stream = self.begin(head)
        self.send(stream, struct.pack(">BI", 0, len(message)) + message)
        return stream

    def status(self, stream: int) -> str:
        """The call's gRPC status."""
        for event in self.events:
            if (
                isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived)
                and event.stream_id == stream
            ):
                found = dict(event.headers)
                if "grpc-status" in found:
                    return str(found["grpc-status"])
        return ""

    def message(self, stream: int) -> bytes:
        data = b"".join(
            event.data
            for event in self.events
            if isinstance(event, h2.events.DataReceived) and event.stream_id == stream
        )
        compressed, length = struct.unpack(">BI", data[:5])
        assert (compressed, length) == (0, len(data) - 5)
        return data[5:]

    @property
    def is_ended(self) -> bool:
        return self.transport.is_closed or self.transport.is_closing()


class GrpcPlace(GrpcStand):
    def __init__(self, loop: FakeLoop, *, address: str = "127.0.0.1", **more) -> None:
        super().__init__(loop, **more)
        self.grpc = GrpcListener(ListenAddress(host=address, port=4182), self.checks, self.plane.listener)

    def waiting(self) -> bytes:
        """A question that waits for the store."""
        message = check(headers=self.cookie_of_nobody())
        self.plane.away.gate = asyncio.Future(loop=self.loop)
        return message

    def envoy(self, peer: tuple[str, int] | str = ("127.0.0.1", 40000)) -> Envoy:
        return Envoy(self.loop, self.grpc, peer)


@pytest.fixture
def place(loop):
    return GrpcPlace(loop)


def test_calls_of_one_connection_are_answered_each(place):
    envoy = place.envoy()
    streams = {path: envoy.call(check(path=path)) for path in ("/public", "/", "/public/b")}
    assert {path: read_answer(envoy.message(stream)).code for path, stream in streams.items()} == {
        "/public": 0,
        "/": 7,
        "/public/b": 0,
    }
    assert {envoy.status(stream) for stream in streams.values()} == {"0"}
    assert not envoy.is_ended


def test_a_message_in_pieces_is_one(place):
    envoy = place.envoy("/run/envoy.sock")
    stream = envoy.begin()
    message = check(path="/public", headers={"cookie": "a=" + "b" * 20_000})
    data = struct.pack(">BI", 0, len(message)) + message
    for at in range(0, len(data), 999):
        envoy.send(stream, data[at : at + 999], end=False)
    assert envoy.status(stream) == "0"
    assert read_answer(envoy.message(stream)).headers["cookie"] == "a=" + "b" * 20_000


UNIMPLEMENTED, TOO_LARGE, DENIED, TOO_LATE, INTERNAL = "12", "8", "7", "4", "13"


@pytest.mark.parametrize(
    ("head", "data", "status"),
    [
        pytest.param({":path": "/other/Method"}, b"", UNIMPLEMENTED, id="another method"),
        pytest.param({"content-type": "text/plain"}, b"", UNIMPLEMENTED, id="no gRPC"),
        pytest.param({":method": "GET"}, b"", UNIMPLEMENTED, id="GET"),
        pytest.param({}, b"\1\0\0\0\0", UNIMPLEMENTED, id="compressed"),
        pytest.param({}, b"\0\xff\xff\xff\xff", TOO_LARGE, id="announced too large"),
        pytest.param({}, struct.pack(">BI", 0, MESSAGE_LIMIT_BYTES + 1), TOO_LARGE, id="one byte too large"),
        pytest.param({}, b"\0\0", INTERNAL, id="cut off in its length"),
        pytest.param({}, b"\0\0\0\0\5abc", INTERNAL, id="cut off"),
    ],
)
def test_what_is_no_call_is_refused_and_the_next_is_answered(place, head, data, status):
    envoy = place.envoy()
    stream = envoy.begin({**HEAD, **head})
    if envoy.status(stream):
        assert envoy.status(stream) == status
    else:
        envoy.send(stream, data)
        assert envoy.status(stream) == status
    assert read_answer(envoy.message(envoy.call(check(path="/public")))).code == 0


def test_a_call_without_a_message_lets_nobody_pass(place):
    envoy = place.envoy()
    stream = envoy.begin()
    envoy.send(stream, b"")
    assert read_answer(envoy.message(stream)).code == 7


@pytest.mark.parametrize(("peer", "status"), [("10.0.0.2", "0"), ("10.0.0.3", DENIED), ("127.0.0.1", DENIED)])
def test_on_a_listener_that_others_reach_the_list_decides(loop, peer, status):
    envoy = GrpcPlace(loop, address="10.0.0.1", trusted=["10.0.0.2"]).envoy((peer, 40000))
    stream = envoy.call(check(path="/public"))
    assert envoy.status(stream) == status


def test_a_message_that_does_not_come_is_given_up(place):
    envoy = place.envoy()
    stream = envoy.begin()
    place.loop.advance(grpc.CALL_S + 1)
    envoy.flush()
    assert envoy.status(stream) == TOO_LATE


def test_a_call_that_envoy_gives_up_is_over(place):
    envoy = place.envoy()
    stream = envoy.call(place.waiting())
    envoy.h2.reset_stream(stream)
    envoy.flush()
    place.plane.away.gate.set_result(None)
    place.loop.settle()
    assert envoy.status(stream) == ""
    assert read_answer(envoy.message(envoy.call(check(path="/public")))).code == 0


def test_a_connection_that_breaks_off_leaves_nothing(place):
    envoy = place.envoy()
    envoy.call(place.waiting())
    envoy.transport.lose()
    place.loop.settle()
    assert place.grpc.open == set()


def test_what_is_no_http2_is_closed(place):
    for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 90):
        streams: list[H2Protocol] = []
        place.loop.run(lambda: streams.append(place.grpc.connected()))  # noqa: B023 - it runs at once
        transport = place.loop.connect(streams[0])
        transport.receive(data)
        assert transport.is_closing() or transport.is_closed
    assert place.grpc.open == set()


def test_when_the_program_goes_everything_is_closed_in_the_end(place):
    place.loop.run(place.grpc.connected)  # not made yet
    busy = place.envoy()
    busy.call(place.waiting())
    place.loop.run(place.grpc.stop)
    place.loop.run(place.grpc.abort)
    assert busy.is_ended
    place.loop.settle()


def test_when_the_program_goes_what_is_under_way_is_answered(place):
    idle, busy = place.envoy(), place.envoy()
    stream = busy.call(place.waiting())
    place.loop.run(place.grpc.stop)
    assert (idle.is_ended, busy.is_ended, place.grpc.is_busy) == (False, False, True)
    place.loop.run(place.grpc.close_idle)
    assert (idle.is_ended, busy.is_ended) == (True, False)
    place.plane.away.gate.set_result(None)
    place.loop.settle()
    busy.flush()
    assert busy.status(stream) == "0"
    assert busy.is_ended
    assert place.grpc.open == set()
