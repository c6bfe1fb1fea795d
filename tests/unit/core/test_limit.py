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


def test_who_must_wait_is_not_forgotten_for_those_who_came_later():
    limit = Limit(2, 60.0, keys=10)
    for key in ("hot", "hot", "hotter", "hotter"):
        limit.add(key, 100.0)
    for number in range(1000):
        limit.add(str(number), 101.0)
    assert len(limit) == 10
    assert limit.wait_s("hot", 102.0) > 0
    assert limit.wait_s("hotter", 102.0) > 0
    for number in range(10):
        limit.add(f"late {number}", 160.0)  # their window is over
    assert limit.wait_s("hot", 159.0) == 0


def test_who_was_counted_last_is_known_however_few_are_kept():
    limit = Limit(2, 60.0, keys=1)
    for number in range(5):
        limit.add(str(number), 100.0)
        limit.add(str(number), 100.0)
        assert limit.wait_s(str(number), 100.0) > 0
