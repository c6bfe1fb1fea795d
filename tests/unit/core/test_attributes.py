"""What an application may keep in a session."""

from __future__ import annotations

from typing import Any

import pytest

from vestibule.core.attributes import MAX_BYTES, checked, merged
from vestibule.errors import Invalid


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": 1}, {"b": None}, {"a": 1}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": None, "z": 3}}, {"a": {"y": 2, "z": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": None}}, {"a": {}}),
        ({"a": {"b": 1}}, {"a": "c"}, {"a": "c"}),
        ({"a": 1}, None, {}),
    ],
    ids=repr,
)
def test_a_patch_is_merged_as_rfc_7396_has_it(before, patch, after):
    assert merged(before, patch) == after


def test_what_was_there_is_left_as_it_is():
    before = {"a": {"x": 1}}
    merged(before, {"a": {"x": 2}})
    assert before == {"a": {"x": 1}}


@pytest.mark.parametrize("name", ["a", "A.b-c_d", "_x", "7", "a" * 64])
def test_names_that_are_taken(name):
    assert checked({name: 1}) == {name: 1}


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", ".a", "a" * 65, "ä", "a\n", "a/b", "\x00"], ids=ascii)
def test_names_that_are_not(name):
    for change in ({name: 1}, {name: None}):
        with pytest.raises(Invalid) as caught:
            merged({}, change)
        assert [path for path, _ in caught.value.faults] == ["attributes"]


def test_further_in_any_name_is_taken():
    assert checked({"a": {"b c ä": {"": 1}}}) == {"a": {"b c ä": {"": 1}}}


def test_it_stays_small_after_each_patch():
    room = MAX_BYTES - len('{"a":""}')
    full = checked({"a": "x" * room})
    with pytest.raises(Invalid):
        checked({"a": "x" * (room + 1)})
    with pytest.raises(Invalid):
        merged(full, {"b": 1})
    assert merged(full, {"a": None, "b": 1}) == {"b": 1}


def test_bytes_are_counted_not_characters():
    with pytest.raises(Invalid):
        checked({"a": "\N{EURO SIGN}" * (MAX_BYTES // 3)})


@pytest.mark.parametrize(
    "value", [nested(16), {"a": [[[1]]]}, {"a": 10**30, "b": -1.5, "c": True, "d": [None]}]
)
def test_values_of_any_kind_are_kept(value):
    assert checked(value) == value


@pytest.mark.parametrize("depth", [17, 900, 50_000])
def test_what_is_too_deep_is_refused_and_breaks_no_reader(depth):
    with pytest.raises(Invalid, match="deep"):
        merged({}, nested(depth))
    lists: Any = []
    for _ in range(depth):
        lists = [lists]
    with pytest.raises(Invalid, match="deep"):
        checked({"a": lists})
