"""What one process can carry."""

from __future__ import annotations

import asyncio

import pytest

from tests.helpers.messages import read_answers
from vestibule.core.admission import TARGET_S
from vestibule.proxy.capacity import (
    LAST_REFUSAL,
    QUEUE_LEAST,
    REFUSAL,
    Capacity,
    connections_within,
    is_whole,
)

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"


class Line:
    """A connection."""

    def __init__(self, deadline: float, *, is_idle: bool = True) -> None:
        self.deadline, self.is_idle, self.drained = deadline, is_idle, False

    def close_idle(self) -> None:
        self.drained = True


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, object]]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.said.append((event, fields))

    info = warning

    def of(self, _component: str) -> Log:
        return self


def late(capacity: Capacity, late_s: float, looks: int = 60, came: int = QUEUE_LEAST) -> None:
    for look in range(looks):
        for _ in range(came):
            capacity.begun()
            capacity.ended()
        capacity.look(late_s, look * 0.2)


def test_without_limits_all_are_taken():
    capacity = Capacity()
    for _ in range(1000):
        assert capacity.opened()
        capacity.begun()
    assert not capacity.is_crowded


def test_so_many_requests_are_under_way_at_most():
    capacity = Capacity(requests=2)
    capacity.begun()
    assert not capacity.is_crowded
    capacity.begun()
    assert capacity.is_crowded
    assert not capacity.takes(GET)
    capacity.ended()
    assert not capacity.is_crowded
    assert capacity.takes(GET)
    assert capacity.refused == 1


def test_health_checks_are_taken_however_crowded_it_is():
    capacity = Capacity(requests=1)
    capacity.begun()
    assert capacity.takes(b"GET /@/healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert capacity.takes(b"HEAD /@/readyz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not capacity.takes(b"GET /@/healthz/../../ HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not capacity.takes(GET)
    assert capacity.refused == 2


def test_while_the_loop_is_late_a_share_is_taken_and_then_all_again():
    capacity = Capacity()
    late(capacity, TARGET_S * 3)
    assert capacity.is_crowded
    taken = sum(capacity.takes(GET) for _ in range(1000))
    assert abs(taken - 1000 * capacity.share) <= 1
    assert 0 < taken < 500
    assert capacity.refused == 1000 - taken
    late(capacity, 0.0, looks=600)
    assert not capacity.is_crowded
    assert capacity.share == 1.0


def test_a_loop_that_is_late_while_hardly_anything_comes_refuses_nobody():
    """Somebody else has the processor: who is refused then makes nothing faster."""
    capacity = Capacity()
    late(capacity, 5.0, came=QUEUE_LEAST - 1)
    assert not capacity.is_crowded


def test_those_who_are_refused_are_part_of_the_queue():
    capacity = Capacity()
    late(capacity, TARGET_S * 3)
    before = capacity.share
    for look in range(60):
        for _ in range(QUEUE_LEAST):
            if capacity.takes(GET):
                capacity.begun()
                capacity.ended()
        capacity.look(TARGET_S * 3, 100 + look * 0.2)
    assert capacity.share < before


def test_the_end_of_one_request_does_not_end_a_shortage_of_time():
    capacity = Capacity()
    late(capacity, TARGET_S * 3)
    capacity.begun()
    capacity.ended()
    assert capacity.is_crowded


def test_where_nobody_is_idle_there_is_no_room():
    capacity = Capacity(connections=1)
    capacity.everyone = lambda: ([Line(0.0, is_idle=False)],)
    assert capacity.opened()
    assert not capacity.opened()
    capacity.closed()
    capacity.closed()
    assert capacity.opened()
    assert capacity.refused == 1


def test_room_is_made_by_those_that_have_been_idle_for_longest():
    lines = [Line(float(deadline)) for deadline in range(100)] + [Line(-1.0, is_idle=False)]
    capacity = Capacity(connections=101)
    capacity.everyone = lambda: (lines[:50], lines[50:])
    for _ in lines:
        assert capacity.opened()
    assert capacity.opened()
    assert [line.deadline for line in lines if line.drained] == [float(n) for n in range(64)]


class Counted(list):
    """Connections that note how often they were looked through."""

    looks = 0

    def __iter__(self):
        self.looks += 1
        return super().__iter__()


def test_where_nobody_is_idle_the_next_looks_no_more_until_a_moment_later():
    lines = Counted([Line(0.0, is_idle=False)])
    capacity = Capacity(connections=1)
    capacity.everyone = lambda: (lines,)
    assert [capacity.opened() for _ in range(10)] == [True, *[False] * 9]
    assert lines.looks == 1
    lines[0].is_idle = True
    capacity.look(0.0, 1.0)
    assert capacity.opened()
    assert lines.looks == 2


def test_those_that_are_going_are_room_for_as_many_and_no_more_are_told_to_go():
    """A connection of HTTP/2 that is told to go is open yet for a while."""
    lines = Counted(Line(float(deadline)) for deadline in range(200))
    capacity = Capacity(connections=200)
    capacity.everyone = lambda: (lines,)
    for _ in lines.copy():
        assert capacity.opened()
    assert all(capacity.opened() for _ in range(64))
    gone = [line for line in lines if line.drained]
    assert len(gone) == 64
    for line in gone:
        line.is_idle = False
        capacity.closed(line)
    assert capacity.connections == 200
    assert capacity.opened()
    assert sum(line.drained for line in lines) == 128


@pytest.mark.parametrize("answer", [REFUSAL, LAST_REFUSAL])
def test_a_refusal_is_an_answer_that_says_when_to_come_again(answer):
    (message,) = read_answers(answer, b"GET")
    assert message.status == 503
    assert message.value(b"retry-after") == b"2"
    assert message.value(b"cache-control") == b"no-store"
    assert (message.value(b"connection") == b"close") is (answer is LAST_REFUSAL)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        pytest.param(GET, True, id="a page"),
        pytest.param(GET.replace(b"GET", b"POST"), False, id="a method that may have a body"),
        pytest.param(GET + b"G", False, id="more has come"),
        pytest.param(GET.replace(b"1.1", b"1.0"), False, id="of long ago"),
        pytest.param(GET[:-2] + b"content-LENGTH: 0\r\n\r\n", False, id="a body"),
        pytest.param(GET[:-2] + b"Connection: Close\r\n\r\n", False, id="the last one"),
    ],
)
def test_only_after_a_request_that_is_surely_over_the_next_can_come(data, whole):
    assert is_whole(data, data.index(b"\r\n\r\n")) is whole


def test_of_open_files_half_are_for_backends():
    assert connections_within(20_256) == 10_000
    assert connections_within(16) == 64


async def test_who_is_refused_is_told_of_once_at_the_beginning_and_once_at_the_end(monkeypatch):
    monkeypatch.setattr("vestibule.proxy.capacity._QUIET_S", 0.05)
    monkeypatch.setattr("vestibule.proxy.capacity.LOOK_EVERY_S", 0.005)
    capacity, log = Capacity(requests=1), Log()
    capacity.begun()
    watching = asyncio.ensure_future(capacity.watch(log))
    for _ in range(5):
        await asyncio.sleep(0.01)
        capacity.takes(GET)
    while len(log.said) < 2:
        await asyncio.sleep(0.01)
    watching.cancel()
    assert [event for event, _ in log.said] == ["overloaded", "overload_over"]
    assert log.said[1][1]["refused"] == 5
