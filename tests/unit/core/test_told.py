"""`core.told`: what applications may tell."""

from __future__ import annotations

from typing import Any

import pytest

from vestibule.core.told import DEPTH_MAX, DETAIL_MAX_BYTES, depth_of, fault_of_detail, fault_of_time, id_of

NOW = 1_800_000_000.0


def nested(depth: int) -> Any:
    value: Any = 1
    for number in range(depth - 1):
        value = {"a": value} if number % 2 else [value]
    return {"a": value}


@pytest.mark.parametrize(
    ("detail", "fault"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param({"a": [1, None, {"b": "ö"}]}, "", id="usual"),
        pytest.param({"a": "x" * (DETAIL_MAX_BYTES - 8)}, "", id="just small enough"),
        pytest.param({"a": "x" * (DETAIL_MAX_BYTES - 7)}, "at most 4096 bytes", id="too large"),
        pytest.param(nested(DEPTH_MAX), "", id="just flat enough"),
        pytest.param(nested(DEPTH_MAX + 1), "at most 5 deep", id="too deep"),
        pytest.param({"a": 2**64}, "", id="a huge number"),
        pytest.param({"a": float("nan")}, "can't be kept", id="no number"),
        pytest.param({"a": "\ud800"}, "half a character", id="half a character"),
        pytest.param(nested(100_000), "", id="so deep that no program can write it"),
    ],
)
def test_a_detail_is_small_flat_and_can_be_kept(detail, fault):
    found = fault_of_detail(detail)
    assert fault in found
    assert bool(found) is (bool(fault) or depth_of(detail) > DEPTH_MAX)


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        (NOW, ""),
        (NOW + 60, ""),
        (NOW + 61, "future"),
        (NOW - 86_400, ""),
        (NOW - 86_401, "more than 24 hours ago"),
    ],
)
def test_it_happened_about_now(at, fault):
    found = fault_of_time(at, NOW)
    assert fault in found
    assert bool(found) is bool(fault)


def test_an_id_is_the_same_again_and_never_another_service_s():
    assert id_of("t1", "a") == id_of("t1", "a")
    ids = {
        id_of(*pair)
        for pair in [("t1", "a"), ("t2", "a"), ("t1", "b"), ("t", "1a"), ("t1a", ""), ("", "t1a")]
    }
    assert len(ids) == 6
