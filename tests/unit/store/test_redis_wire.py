"""Commands and answers on one connection, without a socket."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.model import Secret
from vestibule.store.redis_wire import MOST_WAITING, Broken, Late, Login, Refused, Wire


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
async def wire(transport):
    wire = Wire(asyncio.get_running_loop(), 60.0)
    wire.connection_made(transport)
    yield wire
    wire.end(Broken("the test is over"))


async def test_commands_go_out_at_once_and_answers_are_theirs_in_order(wire, transport):
    first, second = wire.ask(("GET", b"a")), wire.ask(("SET", "b", 1))
    assert transport.sent == b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n1\r\n"
    wire.data_received(b"$5\r\nfir")
    assert not first.done()
    wire.data_received(b"st\r\n+OK\r\n")
    assert (first.result(), second.result()) == (b"first", b"OK")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"$-1\r\n", None),
        (b":7\r\n", 7),
        (b"$0\r\n\r\n", b""),
        (b"*2\r\n$1\r\na\r\n$-1\r\n", [b"a", None]),
        (b"*0\r\n", []),
    ],
)
async def test_an_answer_is_what_redis_means(wire, said, answer):
    asked = wire.ask(("PING",))
    wire.data_received(said)
    assert asked.result() == answer


async def test_who_stops_waiting_leaves_a_place_and_nobody_gets_that_answer(wire):
    asked = [wire.ask(("GET", str(number))) for number in range(3)]
    asked[1].cancel()
    wire.data_received(b"$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n")
    assert (asked[0].result(), asked[2].result()) == (b"0", b"2")
    assert asked[1].cancelled()


async def test_an_error_is_its_askers_alone_and_repeats_nothing_that_was_sent(wire):
    asked = [wire.ask(("X", "secret")), wire.ask(("GET", "a"))]
    wire.data_received(b"-ERR unknown command `X`, with args beginning with: `secret` \r\n$1\r\na\r\n")
    with pytest.raises(Refused, match="unknown command `X`") as caught:
        await asked[0]
    assert "secret" not in str(caught.value)
    assert caught.value.word == "ERR"
    assert asked[1].result() == b"a"


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda wire: wire.connection_lost(None), id="closed"),
        pytest.param(lambda wire: wire.connection_lost(ConnectionResetError()), id="lost"),
        pytest.param(lambda wire: wire.data_received(b"HTTP/1.1 400\r\n"), id="no Redis"),
        pytest.param(lambda wire: wire.end(Late("late")), id="late"),
    ],
)
async def test_all_that_wait_are_told_when_it_ends_and_who_comes_later_too(wire, transport, end):
    waiting = [wire.ask(("GET", "a")) for _ in range(3)]
    end(wire)
    for asked in (*waiting, wire.ask(("GET", "b"))):
        with pytest.raises(Broken):
            await asked
    wire.data_received(b"$1\r\na\r\n")  # what still comes is nobody's


async def test_an_answer_that_nobody_asked_for_ends_it(wire, transport):
    asked = wire.ask(("GET", "a"))
    wire.data_received(b"$1\r\na\r\n$1\r\nb\r\n")
    assert asked.result() == b"a"
    assert isinstance(wire.fault, Broken)
    assert transport.is_aborted


async def test_a_late_answer_ends_it_though_nobody_waits_any_more(transport):
    wire = Wire(asyncio.get_running_loop(), 0.01)
    wire.connection_made(transport)
    asked = wire.ask(("GET", "a"))
    asked.cancel()
    async with asyncio.timeout(10):
        while wire.fault is None:
            await asyncio.sleep(0.005)
    assert isinstance(wire.fault, Late)
    assert transport.is_aborted


async def test_too_many_that_wait_are_refused_one_more(wire):
    wire.ask_all([("GET", "a")] * MOST_WAITING)
    with pytest.raises(Broken, match="too many"):
        await wire.ask(("GET", "a"))
    assert wire.fault is None


@pytest.mark.parametrize(
    ("login", "greeting"),
    [
        (Login("", Secret("")), [("PING",)]),
        (Login("", Secret("p")), [("AUTH", "p"), ("PING",)]),
        (Login("u", Secret("p"), 3), [("AUTH", "u", "p"), ("SELECT", 3), ("PING",)]),
    ],
    ids=["nobody", "password", "user"],
)
def test_a_connection_begins_with_who_it_is(login, greeting):
    assert login.greeting() == greeting
    assert "'p'" not in repr(login)
