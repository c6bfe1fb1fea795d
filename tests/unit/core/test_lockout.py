"""When passwords were tried too often (attacks.md O12; CVE-2025-24806)."""

from __future__ import annotations

import pytest

from vestibule.core.lockout import TRIES_FROM_MAX, TRIES_MAX, WINDOW_S, Lockout, network_of, place_of

NOW = 1_800_000_000.0


@pytest.fixture
def lockout() -> Lockout:
    return Lockout()


def fail(lockout: Lockout, person: str, address: str, times: int = 1, now: float = NOW) -> None:
    for _ in range(times):
        assert lockout.wait_s(person, address, now) == 0
        lockout.add(person, address, now)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_address_is_counted_by_its_network(address: str, network: str):
    assert network_of(address) == network


def test_a_person_is_tried_so_often_in_a_window_from_wherever(lockout: Lockout):
    for number in range(TRIES_MAX):
        fail(lockout, "ann", f"192.0.2.{number}")
    assert lockout.wait_s("ann", "198.51.100.1", NOW + 60) == WINDOW_S - 60
    assert lockout.wait_s("ann", "198.51.100.1", NOW + WINDOW_S) == 0
    assert lockout.wait_s("bob", "198.51.100.1", NOW + 60) == 0


def test_an_address_may_try_so_often_in_a_window_whoever_is_meant(lockout: Lockout):
    for number in range(TRIES_FROM_MAX):
        fail(lockout, f"user{number}", f"2001:db8::{number + 1:x}")
    assert lockout.wait_s("ann", "2001:db8::ffff", NOW + 1) == WINDOW_S - 1
    assert lockout.wait_s("ann", "2001:db8:0:1::1", NOW + 1) == 0


def test_the_right_password_does_not_count(lockout: Lockout):
    for _ in range(3 * TRIES_FROM_MAX):
        assert lockout.wait_s("ann", "192.0.2.1", NOW) == 0
        lockout.add("ann", "192.0.2.1", NOW)
        lockout.succeeded("ann", "192.0.2.1")


def test_the_right_password_takes_back_one_try_and_not_those_before_it(lockout: Lockout):
    fail(lockout, "ann", "192.0.2.9", TRIES_MAX - 1)
    lockout.add("ann", "192.0.2.1", NOW)
    lockout.succeeded("ann", "192.0.2.1")
    fail(lockout, "ann", "192.0.2.9")
    assert lockout.wait_s("ann", "192.0.2.9", NOW) > 0


def test_nobody_keeps_a_person_out_from_elsewhere(lockout: Lockout):
    lockout.add("ann", "192.0.2.1", NOW)
    lockout.succeeded("ann", "192.0.2.1")
    fail(lockout, "ann", "198.51.100.1", TRIES_MAX)
    assert lockout.wait_s("ann", "198.51.100.1", NOW) > 0
    assert lockout.wait_s("ann", "192.0.2.1", NOW) == 0


def test_nobody_keeps_a_person_out_from_the_same_office(lockout: Lockout):
    lockout.add("ann", "192.0.2.1", NOW)
    lockout.succeeded("ann", "192.0.2.1")
    for number in range(TRIES_FROM_MAX):
        fail(lockout, f"user{number}", "192.0.2.1")
    assert lockout.wait_s("bob", "192.0.2.1", NOW) > 0
    assert lockout.wait_s("ann", "192.0.2.1", NOW) == 0


def test_where_a_person_is_known_tries_of_them_count_all_the_same(lockout: Lockout):
    lockout.add("ann", "192.0.2.1", NOW)
    lockout.succeeded("ann", "192.0.2.1")
    fail(lockout, "ann", "192.0.2.1", TRIES_MAX)
    assert lockout.wait_s("ann", "192.0.2.1", NOW) > 0


def test_what_a_try_counts_under_is_the_person_and_the_network_and_where_they_are_known_the_place(
    lockout: Lockout,
):
    kinds = [(one.kind, one.key, one.most) for one in lockout.counters("ann", "2001:db8::1")]
    assert kinds == [
        ("password of", "ann", TRIES_MAX),
        ("password from", "2001:db8::/64", TRIES_FROM_MAX),
    ]
    assert lockout.succeeded("ann", "2001:db8::1")
    assert not lockout.succeeded("ann", "2001:db8::2")
    place = place_of("ann", "2001:db8::9")
    assert [(one.kind, one.key) for one in lockout.counters("ann", "2001:db8::9")] == [("password at", place)]


def test_a_place_that_another_process_knows_is_known_here(lockout: Lockout):
    fail(lockout, "ann", "198.51.100.1", TRIES_MAX)
    assert lockout.wait_s("ann", "192.0.2.1", NOW) > 0
    lockout.know(place_of("ann", "192.0.2.1"))
    assert lockout.wait_s("ann", "192.0.2.1", NOW) == 0
    assert lockout.wait_s("ann", "192.0.2.2", NOW) > 0
    assert "ann" not in place_of("ann", "192.0.2.1")


def test_a_try_that_was_none_is_taken_back(lockout: Lockout):
    for _ in range(3 * TRIES_FROM_MAX):
        lockout.add("ann", "192.0.2.1", NOW)
        lockout.take_back("ann", "192.0.2.1")
    assert lockout.wait_s("ann", "192.0.2.1", NOW) == 0
