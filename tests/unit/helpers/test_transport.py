"""The fake loop and transports behave as asyncio's do, as far as the product leans on them."""

from __future__ import annotations

import asyncio

import pytest

from tests.helpers.messages import UnreadableError, read_answers, read_requests
from tests.helpers.transport import HIGH_WATER_BYTES, FakeLoop, FakeServer


class Noted(asyncio.Protocol):
    def __init__(self) -> None:
        self.calls: list[object] = []

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.calls.append(data)

    def eof_received(self):
        self.calls.append("eof")

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")


@pytest.fixture
def loop():
    loop = FakeLoop()
    yield loop
    loop.close()


@pytest.fixture
def noted():
    return Noted()


def test_bytes_go_both_ways(loop, noted):
    transport = loop.connect(noted)
    transport.receive(b"in")
    transport.write(b"out")
    assert noted.calls == [b"in"]
    assert transport.clear() == b"out"
    assert transport.clear() == b""


def test_what_comes_while_reading_is_paused_comes_later(loop, noted):
    transport = loop.connect(noted)
    transport.pause_reading()
    transport.receive(b"in")
    assert noted.calls == []
    loop.run(transport.resume_reading)
    assert noted.calls == [b"in"]


def test_a_slow_reader_pauses_and_resumes_the_writer_once_each(loop, noted):
    transport = loop.connect(noted)
    transport.reads = False
    transport.write(bytes(HIGH_WATER_BYTES))
    assert noted.calls == []
    transport.write(b"x")
    transport.write(b"x")
    assert noted.calls == ["pause"]
    transport.take(10)
    assert noted.calls == ["pause"]
    transport.take()
    assert noted.calls == ["pause", "resume"]
    assert len(transport.written) == HIGH_WATER_BYTES + 2


def test_close_waits_for_what_is_unsent_and_abort_does_not(loop, noted):
    transport = loop.connect(noted)
    transport.reads = False
    transport.write(b"x")
    transport.close()
    loop.settle()
    assert not transport.is_closed
    transport.take()
    assert noted.calls == [("lost", None)]
    other = Noted()
    transport = loop.connect(other)
    transport.reads = False
    transport.write(b"x")
    transport.abort()
    loop.settle()
    assert other.calls == [("lost", None)]
    assert transport.written == b""


def test_eof_closes_unless_the_protocol_says_otherwise(loop, noted):
    transport = loop.connect(noted)
    transport.end()
    assert noted.calls == ["eof", ("lost", None)]


def test_timers_run_in_order_when_the_clock_is_moved(loop):
    ran: list[tuple[str, float]] = []
    loop.call_later(5, lambda: ran.append(("b", loop.time())))
    loop.call_later(2, lambda: ran.append(("a", loop.time())))
    loop.advance(1)
    assert ran == []
    loop.advance(10)
    assert ran == [("a", 1002.0), ("b", 1005.0)]
    assert loop.time() == 1011.0


def test_an_exception_nobody_catches_fails_the_test(loop):
    with pytest.raises(ZeroDivisionError):
        loop.run(lambda: 1 / 0)


@pytest.mark.parametrize(("refuses", "known"), [(True, True), (False, False)])
def test_what_does_not_listen_refuses(loop, refuses, known):
    server = FakeServer()
    server.refuses = refuses
    if known:
        loop.network["a", 1] = server
    task = loop.create_task(loop.create_connection(Noted, "a", 1))
    loop.settle()
    assert isinstance(task.exception(), ConnectionRefusedError)


def test_a_server_accepts(loop):
    server = loop.network["/run/x.sock"] = FakeServer()
    task = loop.create_task(loop.create_unix_connection(Noted, "/run/x.sock"))
    loop.settle()
    transport, protocol = task.result()
    assert server.open == [transport]
    transport.receive(b"hello")
    assert protocol.calls == [b"hello"]
    transport.lose()
    assert server.open == []


def test_the_second_reader_reads_what_is_well_formed():
    first, second = read_requests(
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: 1\r\n\r\n"
        b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert (first.body, first.trailers, second.target) == (b"hi", [(b"T", b"1")], b"/b")
    answers = read_answers(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"HEAD"
    )
    assert [answer.status for answer in answers] == [100, 200]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
    ],
)
def test_the_second_reader_refuses_the_rest(data):
    with pytest.raises(UnreadableError):
        read_requests(data)
