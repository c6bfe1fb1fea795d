"""The clock that everything goes by: corrections are followed, jumps are held, and believed when they last."""

from __future__ import annotations

import io
import json

import pytest

from vestibule.observe.clock import AT_LEAST_S, BELIEVE_S, JUMP_S, LOOK_S, Clock
from vestibule.observe.log import Log

HOUR_S, DAY_S = 3600.0, 86400.0
BEGAN = 1_800_000_000.0


class Machine:
    """A machine whose clock can be set; `now` is what this program goes by."""

    def __init__(self, *, wall: float = BEGAN) -> None:
        self.steady = 100.0
        self.wrong_s = 0.0
        self._wall = wall - self.steady
        self.said = io.StringIO()
        self.now = Clock(wall=lambda: self._wall + self.steady + self.wrong_s, steady=lambda: self.steady)
        self.now.tell(Log(self.said))

    @property
    def system(self) -> float:
        return self._wall + self.steady + self.wrong_s

    @property
    def told(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.said.getvalue().splitlines()]

    def run(self, seconds: float, *, look_every_s: float = 1.0) -> float:
        """Let time pass, in which the clock is asked now and then; the time after it."""
        end = self.steady + seconds
        while self.steady < end:
            self.steady = min(end, self.steady + look_every_s)
            self.now()
        return self.now()


def test_it_is_the_systems_clock_while_that_goes_on_evenly():
    machine = Machine()
    machine.run(10 * DAY_S, look_every_s=601.0)
    assert machine.now() == machine.system
    assert machine.told == []


@pytest.mark.parametrize("by_s", [0.1, -0.1, 1.0, -1.0, JUMP_S, -JUMP_S])
def test_a_small_correction_is_followed_within_a_second(by_s):
    machine = Machine()
    machine.run(HOUR_S)
    machine.wrong_s = by_s
    assert machine.run(LOOK_S) == machine.system
    assert machine.told == []


JUMPS = pytest.mark.parametrize("by_s", [-HOUR_S, DAY_S, -JUMP_S - 1, JUMP_S + 1, -50 * 365 * DAY_S])


@JUMPS
def test_a_jump_is_held_and_forgotten_when_it_is_taken_back(by_s):
    machine = Machine()
    before = machine.run(HOUR_S)
    machine.wrong_s = by_s
    assert machine.run(BELIEVE_S - 10) == pytest.approx(before + BELIEVE_S - 10)
    machine.wrong_s = 0.2
    assert machine.run(5) == machine.system
    assert machine.run(2 * BELIEVE_S) == machine.system
    assert machine.told == ["clock_jumped", "clock_set_right"]


@JUMPS
def test_a_jump_that_lasts_is_believed(by_s):
    machine = Machine()
    machine.run(HOUR_S)
    machine.wrong_s = by_s
    machine.run(BELIEVE_S - 10)
    assert machine.now() != machine.system
    assert machine.run(20) == machine.system
    assert machine.told == ["clock_jumped", "clock_believed"]


def test_a_clock_that_is_set_again_and_again_is_believed_when_it_rests():
    machine = Machine()
    before = machine.run(HOUR_S)
    for turn in range(1, 10):
        machine.wrong_s = turn * HOUR_S
        machine.run(BELIEVE_S / 2)
    assert machine.now() == pytest.approx(before + 9 * BELIEVE_S / 2)
    machine.run(BELIEVE_S)
    assert machine.now() == machine.system


def test_a_clock_that_is_corrected_while_it_is_held_is_the_same_jump():
    machine = Machine()
    machine.run(HOUR_S)
    machine.wrong_s = HOUR_S
    for _ in range(12):
        machine.wrong_s += 1.0
        machine.run(BELIEVE_S / 12 + 1)
    assert machine.now() == machine.system
    assert machine.told == ["clock_jumped", "clock_believed"]


@pytest.mark.parametrize(
    ("after_s", "right_s"), [(5.0, AT_LEAST_S), (30.0, AT_LEAST_S), (300.0, 300.0), (HOUR_S, BELIEVE_S)]
)
def test_a_machine_that_began_with_a_wrong_clock_has_the_right_time_soon(after_s, right_s):
    machine = Machine(wall=0.0)
    machine.run(after_s)
    machine.wrong_s = BEGAN
    assert machine.run(right_s - 2) != machine.system
    assert machine.run(4) == machine.system


def test_a_machine_that_slept_knows_what_time_it_is():
    """The steady clock runs through sleep, and nobody asked it meanwhile."""
    machine = Machine()
    machine.run(HOUR_S)
    machine.steady += 10 * HOUR_S
    assert machine.now() == machine.system
    assert machine.told == []


def test_a_jump_while_nobody_asks_is_seen_by_the_next_one():
    machine = Machine()
    before = machine.run(HOUR_S)
    machine.wrong_s = -HOUR_S
    machine.steady += 500.0
    assert machine.now() == pytest.approx(before + 500.0)
    assert machine.told == ["clock_jumped"]


def test_time_goes_on_between_looks():
    machine = Machine()
    times = []
    for _ in range(100):
        machine.steady += LOOK_S / 50
        times.append(machine.now())
    assert times == sorted(set(times))
