"""So many times in a window."""

from __future__ import annotations

from vestibule.core.limit import Limit


def test_after_so_many_times_it_is_the_rest_of_the_window_to_wait():
    limit = Limit(3, 60.0)
    for at in (100.0, 110.0, 120.0):
        assert limit.wait_s("a", at) == 0
        limit.add("a", at)
    assert limit.wait_s("a", 121.0) == 39.0
    assert limit.wait_s("b", 121.0) == 0
    assert limit.wait_s("a", 160.0) == 0


def test_a_new_window_counts_anew():
    limit = Limit(3, 60.0)
    limit.add("a", 100.0)
    limit.add("a", 101.0)
    limit.add("a", 160.0)
    assert limit.wait_s("a", 160.0) == 0


def test_what_is_remembered_is_bounded_and_the_oldest_goes():
    limit = Limit(1, 60.0, keys=10)
    for number in range(25):
        limit.add(str(number), 100.0)
    assert len(limit) == 10
    assert limit.wait_s("24", 101.0) > 0
    assert limit.wait_s("0", 101.0) == 0


def test_what_is_taken_back_did_not_count():
    limit = Limit(2, 60.0)
    limit.add("a", 100.0)
    limit.add("a", 100.0)
    limit.take_back("a")
    assert limit.wait_s("a", 100.0) == 0
    limit.take_back("a")
    limit.take_back("a")
    assert len(limit) == 0
