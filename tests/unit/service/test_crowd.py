"""Who may begin to sign in while others are being let in."""

from __future__ import annotations

import contextlib
from collections import deque
from contextlib import ExitStack

import pytest

from vestibule.errors import Crowded
from vestibule.service.crowd import AT_ONCE, EVERY_S, FEW, LATELY_S, WAIT_S, Crowd, is_crowded


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crowd(clock: Clock) -> Crowd:
    return Crowd(clock)


class Entrant:
    """Somebody who is being let in."""

    def __init__(self, crowd: Crowd) -> None:
        self._stack = ExitStack()
        self._got_in = self._stack.enter_context(crowd.entering())

    def get_in(self) -> None:
        self._got_in()
        self._stack.close()

    def leave(self) -> None:
        """Without having got in."""
        self._stack.close()


def waiting(crowd: Crowd, count: int) -> list[Entrant]:
    """So many who are being let in, the first first."""
    return [Entrant(crowd) for _ in range(count)]


def begun(crowd: Crowd, tries: int) -> int:
    """How many of so many tries may begin."""
    count = 0
    for _ in range(tries):
        with contextlib.suppress(Crowded):
            crowd.begin()
            count += 1
    return count


@pytest.mark.parametrize(
    ("count", "waited_s", "took_s", "expected"),
    [
        pytest.param(0, 0.0, None, False, id="nobody is there"),
        pytest.param(1000, WAIT_S / 2, WAIT_S, False, id="many, in time"),
        pytest.param(1000, 0.6 * WAIT_S, 1.2 * WAIT_S, True, id="many, too late"),
        pytest.param(1000, 0.6 * WAIT_S, None, True, id="nobody gets in"),
        pytest.param(1000, 60.0, 0.1, False, id="those who wait are stuck, others get in"),
        pytest.param(1000, 0.1, 60.0, False, id="some who were stuck got in"),
        pytest.param(FEW, 60.0, None, False, id="a few are stuck"),
        pytest.param(FEW + 1, 60.0, None, True, id="more than a few are stuck, and nobody gets in"),
    ],
)
def test_what_a_crowd_is(count: int, waited_s: float, took_s: float | None, expected: bool) -> None:
    assert is_crowded(count, waited_s, took_s) is expected


def test_however_many_begin_while_being_let_in_is_quick(crowd: Crowd, clock: Clock) -> None:
    inside = waiting(crowd, 1000)
    clock.now += WAIT_S / 2
    assert begun(crowd, 5000) == 5000
    assert len(inside) == 1000


def test_one_a_second_begins_while_many_wait_and_nobody_gets_in(crowd: Crowd, clock: Clock) -> None:
    inside = waiting(crowd, 100)
    clock.now += WAIT_S
    assert begun(crowd, 50) == 1
    clock.now += EVERY_S - 0.01
    assert begun(crowd, 50) == 0
    clock.now += 0.01
    assert begun(crowd, 50) == 1
    assert len(inside) == 100


def test_a_few_less_than_get_in_may_begin(crowd: Crowd, clock: Clock) -> None:
    inside = waiting(crowd, 400)
    clock.now += WAIT_S + 0.01
    count = 0
    for one in inside[:100]:
        one.get_in()
        count += begun(crowd, 3)
    assert 85 <= count <= 90


def test_who_leaves_without_having_got_in_makes_room_too(crowd: Crowd, clock: Clock) -> None:
    inside = waiting(crowd, 400)
    clock.now += WAIT_S + 0.01
    count = 0
    for one in inside[:100]:
        one.leave()
        count += begun(crowd, 3)
    assert 85 <= count <= 90


def test_what_was_not_used_while_nobody_came_is_no_rush_later(crowd: Crowd, clock: Clock) -> None:
    inside = waiting(crowd, 400)
    clock.now += WAIT_S + 0.01
    for one in inside[:300]:
        one.get_in()
    assert AT_ONCE - 1 <= begun(crowd, 500) <= AT_ONCE


def test_all_may_begin_again_when_half_of_them_have_not_waited_long(crowd: Crowd, clock: Clock) -> None:
    inside = waiting(crowd, 2 * FEW)
    clock.now += WAIT_S
    assert begun(crowd, 9) == 1
    inside += waiting(crowd, 2 * FEW)
    assert begun(crowd, 100) == 100


@pytest.mark.parametrize("stuck", [1, FEW, 500])
def test_who_is_stuck_keeps_nobody_out_while_others_get_in(crowd: Crowd, clock: Clock, stuck: int) -> None:
    """A locked row, for as long as it may be: the sign-ins of one person, or of all that an attacker has."""
    locked = waiting(crowd, stuck)
    refused = 0
    for _ in range(600):
        clock.now += 0.1
        refused += 1 - begun(crowd, 1)
        one = Entrant(crowd)
        clock.now += 0.01
        one.get_in()
    assert refused == 0
    assert len(locked) == stuck


def test_a_few_who_are_stuck_keep_nobody_out_of_a_quiet_place(crowd: Crowd, clock: Clock) -> None:
    locked = waiting(crowd, FEW)
    clock.now += 60.0
    assert begun(crowd, 20) == 20
    assert len(locked) == FEW


def test_who_is_refused_at_once_does_not_hide_a_crowd(crowd: Crowd, clock: Clock) -> None:
    """Threat: sign-ins that end without a write, and say that letting people in is quick."""
    inside = waiting(crowd, 400)
    clock.now += 2 * WAIT_S
    inside.pop(0).get_in()
    for one in waiting(crowd, 100):
        one.leave()
    assert begun(crowd, 500) <= AT_ONCE + 1


def test_what_was_quick_a_while_ago_does_not_hide_a_crowd(crowd: Crowd, clock: Clock) -> None:
    for one in waiting(crowd, 50):
        one.get_in()
    inside = waiting(crowd, 400)
    clock.now += LATELY_S + 0.01
    assert begun(crowd, 500) <= AT_ONCE + 1
    assert len(inside) == 400


def test_who_fails_to_get_in_waits_no_more(crowd: Crowd, clock: Clock) -> None:
    for _ in range(2 * FEW):
        with contextlib.suppress(KeyError), crowd.entering():
            clock.now += 2 * WAIT_S
            raise KeyError
    assert begun(crowd, 100) == 100


def test_the_refusal_says_when_to_come_again(crowd: Crowd, clock: Clock) -> None:
    inside = waiting(crowd, 40)
    clock.now += 3.0
    crowd.begin()
    with pytest.raises(Crowded) as refused:
        crowd.begin()
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (503, "crowded", 5)
    assert refused.value.detail == "half of 40 have waited for 3.0 s"
    assert len(inside) == 40


class Rush:
    """People who come evenly, and are let in so many a second; each in so many writes, and whose it is goes round."""

    STEP_S = 0.001
    PROVIDER_S = 0.3
    """How long each of them takes there."""

    def __init__(self, rate: int, writes: int) -> None:
        self._clock = Clock()
        self._crowd = Crowd(self._clock)
        self._writes = writes
        self._write_s = 1 / (rate * writes)
        self._away: deque[float] = deque()
        """When those began who are at the provider."""
        self._inside: deque[tuple[float, int, Entrant]] = deque()
        """Those who are being let in: when they began, and how many writes are missing."""
        self.took_s: list[float] = []
        """From begin to end, of each who got in."""

    def run(self, a_second: float, seconds: float) -> None:
        """So many come a second."""
        coming, spare_s = 0.0, 0.0
        for _ in range(int(seconds / self.STEP_S)):
            self._clock.now += self.STEP_S
            coming += a_second * self.STEP_S
            while coming >= 1:
                coming -= 1
                self._come()
            while self._away and self._clock.now - self._away[0] >= self.PROVIDER_S:
                self._inside.append((self._away.popleft(), self._writes, Entrant(self._crowd)))
            spare_s += self.STEP_S
            while self._inside and spare_s >= self._write_s:
                spare_s -= self._write_s
                self._write()
            spare_s = min(spare_s, self._write_s)

    def _come(self) -> None:
        with contextlib.suppress(Crowded):
            self._crowd.begin()
            self._away.append(self._clock.now)

    def _write(self) -> None:
        began, missing, one = self._inside.popleft()
        if missing > 1:
            self._inside.append((began, missing - 1, one))
            return
        one.get_in()
        self.took_s.append(self._clock.now - began)


@pytest.mark.parametrize("writes", [1, 4], ids=["one write", "four writes"])
@pytest.mark.parametrize("rate", [50, 300])
@pytest.mark.parametrize("times", [0.9, 1.5, 3.0])
def test_when_more_come_than_can_be_let_in_all_who_begin_get_in_soon(
    rate: int, times: float, writes: int
) -> None:
    rush = Rush(rate, writes)
    rush.run(times * rate, 20)
    assert max(rush.took_s) <= 5.0
    assert len(rush.took_s) >= 0.85 * min(times, 1.0) * rate * 20
