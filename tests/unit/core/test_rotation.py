"""Rings after a rotation, and how long their old keys are needed."""

from __future__ import annotations

import math

import pytest

from vestibule.core.rotation import SEALED_S, SPARE_S, free_at, replaced_at, retired, rotated
from vestibule.core.seal import Key

FIRST, BY_HAND = Key("first", b"1" * 32), Key("hand", b"h" * 32)
SECOND, THIRD = Key("second", b"2" * 32, 1000.0), Key("third", b"3" * 32, 2000.0)


def test_a_new_key_stands_beside_the_old_ones():
    assert rotated((FIRST,), SECOND) == (SECOND, FIRST)
    assert rotated((SECOND, FIRST), THIRD) == (THIRD, SECOND, FIRST)


@pytest.mark.parametrize("at", [999.0, 1000.0])
def test_no_key_begins_before_one_that_is_yet_to_begin(at):
    with pytest.raises(ValueError, match="second begins"):
        rotated((SECOND, FIRST), Key("new", b"n" * 32, at))


@pytest.mark.parametrize(
    ("keys", "key_id", "at"),
    [
        pytest.param((FIRST,), "first", math.inf, id="the only one"),
        pytest.param((THIRD, SECOND, FIRST), "third", math.inf, id="the last"),
        pytest.param((THIRD, SECOND, FIRST), "first", 1000.0, id="replaced by the next, not the last"),
        pytest.param((FIRST, THIRD, SECOND), "second", 2000.0, id="in whatever order they stand"),
        pytest.param((BY_HAND, FIRST), "first", math.inf, id="replaced by hand, nobody knows when"),
    ],
)
def test_a_key_is_replaced_when_the_next_one_begins(keys, key_id, at):
    assert replaced_at(keys, key_id) == at


def test_a_key_is_needed_as_long_as_what_it_sealed_may_last():
    keys = (SECOND, FIRST)
    assert free_at(keys, "first", 400 * 86400.0) == 1000.0 + 400 * 86400.0 + SPARE_S
    assert free_at(keys, "first", 60.0) == 1000.0 + SEALED_S + SPARE_S
    assert free_at(keys, "second", 60.0) == math.inf


def test_a_retired_key_is_gone_and_no_other():
    assert retired((SECOND, FIRST), "first") == (SECOND,)


@pytest.mark.parametrize("ask", [lambda: retired((FIRST,), "x"), lambda: replaced_at((FIRST,), "x")])
def test_an_unknown_key_is_told(ask):
    with pytest.raises(KeyError):
        ask()
