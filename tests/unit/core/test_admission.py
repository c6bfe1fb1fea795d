"""How much is taken while more comes than can be answered."""

from __future__ import annotations

import pytest

from vestibule.core.admission import INTERVAL_S, LEAST, TARGET_S, Admission


def after(*lates: float, share: float = 1.0) -> Admission:
    """Looks, one interval apart each, so that `LOOKS` of them are one judgement."""
    admission, now = Admission(), 0.0
    admission.share = share
    for late_s in lates:
        now += INTERVAL_S
        admission.look(late_s, now)
    return admission


def test_a_loop_that_is_in_time_takes_all():
    admission = after(*[0.001] * 100)
    assert admission.share == 1.0
    assert all(admission.admits() for _ in range(1000))


def test_a_single_pause_is_no_queue():
    assert after(0.0, 3.0, 0.0, 0.0, 3.0, 0.0).share == 1.0


def test_a_queue_that_stands_has_less_taken_the_longer_it_is():
    slightly, much = after(*[TARGET_S * 1.5] * 3).share, after(*[TARGET_S * 10] * 3).share
    assert 0.5 <= much < slightly < 1.0
    assert after(*[60.0] * 3).share == 0.5  # at once never less than half


def test_something_is_always_taken_so_that_the_end_is_seen():
    admission = after(*[60.0] * 300)
    assert admission.share == LEAST
    assert any(admission.admits() for _ in range(100))


def test_it_goes_up_again_step_by_step():
    shares = [after(*[0.0] * (3 * steps), share=0.5).share for steps in range(40)]
    assert shares == sorted(shares)
    assert shares[0] == 0.5
    assert shares[-1] == 1.0


@pytest.mark.parametrize("share", [0.02, 0.25, 1 / 3, 0.5, 0.9, 1.0])
def test_of_many_as_many_are_taken_as_the_share_says_and_evenly(share):
    admission = Admission()
    admission.share = share
    taken = [admission.admits() for _ in range(3000)]
    assert abs(sum(taken) - 3000 * share) <= 1
    for start in range(0, 3000, 300):
        assert abs(sum(taken[start : start + 300]) - 300 * share) <= 1.01
