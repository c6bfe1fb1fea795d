"""What a cache may answer unasked."""

from __future__ import annotations

import pytest

from tests.unit.service.conftest import Heartbeats
from vestibule.service.unchanged import UNCONFIRMED_S, Unchanged


@pytest.fixture
def unchanged(changes, clock) -> Unchanged:
    return Unchanged(changes, clock.mono)


@pytest.mark.parametrize(
    ("age_s", "is_heard", "holds"),
    [
        pytest.param(1e6, True, True, id="changes-are-heard-of"),
        pytest.param(UNCONFIRMED_S - 0.01, False, True, id="deaf-and-young"),
        pytest.param(UNCONFIRMED_S, False, False, id="deaf-for-a-second"),
    ],
)
def test_what_was_read_holds_while_changes_are_heard_of_and_a_second_besides(clock, age_s, is_heard, holds):
    changes = Heartbeats()
    changes.is_beating = is_heard
    unchanged = Unchanged(changes, clock.mono)
    read_mono = clock.mono()
    clock.move(age_s)
    assert unchanged.holds(read_mono) is holds


def test_after_a_doubt_only_what_is_read_anew_holds(unchanged, clock):
    before = clock.mono()
    unchanged.doubt()
    assert not unchanged.holds(before)
    clock.move(0.001)
    assert unchanged.holds(clock.mono())


def test_who_reads_meanwhile_sees_that_something_changed(unchanged):
    count = unchanged.count
    unchanged.changed()
    unchanged.doubt()
    assert unchanged.count == count + 2
