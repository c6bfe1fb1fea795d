"""Figures as people read them."""

from __future__ import annotations

import pytest

from vestibule.core.figure import milliseconds, size


@pytest.mark.parametrize(
    ("took_ms", "said"),
    [
        (0.0, "0.0ms"),
        (4.21, "4.2ms"),
        (9.94, "9.9ms"),
        (9.95, "10ms"),
        (312.4, "312ms"),
        (999.4, "999ms"),
        (999.5, "1.0s"),
        (4210.0, "4.2s"),
        (9999.5, "10s"),
        (42_000.0, "42s"),
    ],
)
def test_how_long_it_took_in_few_digits(took_ms: float, said: str):
    assert milliseconds(took_ms) == said


@pytest.mark.parametrize("took_ms", [4.2, 312.0, 4200.0, 42_000.0])
def test_a_gap_stands_before_the_unit_and_nowhere_else(took_ms: float):
    assert milliseconds(took_ms, gap=" ").replace(" ", "") == milliseconds(took_ms)
    assert milliseconds(took_ms, gap=" ").count(" ") == 1


@pytest.mark.parametrize(
    ("count_bytes", "said"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (4200, "4.2 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (71_000_000, "71 MB"),
        (3_200_000_000, "3.2 GB"),
        (5_000 * 10**12, "5000 TB"),
    ],
)
def test_how_much_it_was_in_few_digits(count_bytes: int, said: str):
    assert size(count_bytes) == said
