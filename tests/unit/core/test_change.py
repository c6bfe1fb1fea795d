"""`core.change`: what a change has made different."""

from __future__ import annotations

import pytest

from vestibule.core.change import MEMBERS_MAX, VALUE_MAX_CHARS, difference


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"before": {"b": 2}, "after": {"b": 3}}, id="one"),
        pytest.param({"a": 1}, {"a": 1}, {}, id="none"),
        pytest.param(None, {"a": 1, "b": ""}, {"after": {"a": 1, "b": ""}}, id="made"),
        pytest.param({"a": 1}, None, {"before": {"a": 1}}, id="gone"),
        pytest.param({"a": 1}, {}, {"before": {"a": 1}}, id="a member is gone"),
        pytest.param({}, {"a": 1}, {"after": {"a": 1}}, id="a member is new"),
        pytest.param({"a": None}, {"a": False}, {"before": {"a": None}, "after": {"a": False}}, id="null"),
        pytest.param({"a": (1,)}, {"a": (1, 2)}, {"before": {"a": [1]}, "after": {"a": [1, 2]}}, id="list"),
        pytest.param(None, None, {}, id="nothing"),
    ],
)
def test_what_is_different_is_told_as_it_was_and_as_it_is(before, after, expected):
    assert difference(before, after) == expected


def test_a_long_value_is_cut_between_two_characters():
    told = difference(None, {"a": "ö" * VALUE_MAX_CHARS})["after"]["a"]
    assert told == '"' + "ö" * ((VALUE_MAX_CHARS - 1) // 2) + "…"


def test_many_members_are_told_of_up_to_a_number():
    told = difference({}, {f"m{number}": number for number in range(MEMBERS_MAX + 9)})
    assert len(told["after"]) == MEMBERS_MAX
