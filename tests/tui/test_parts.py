"""What the screens stand on: what is remembered, how room is shared, how figures are written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.tui.fake import NOW, row
from vestibule.core.figure import milliseconds, size
from vestibule.tui.columns import Column, widths
from vestibule.tui.ring import Ring, View
from vestibule.tui.text import fit, lane, plain, sparkline, spread, until
from vestibule.tui.theme import DARK, LIGHT, PLAIN, first


def rows(first_seq: int, last_seq: int):
    return [row(seq) for seq in range(first_seq, last_seq + 1)]


def test_the_ring_forgets_the_oldest_and_a_view_misses_nothing_that_it_still_has():
    ring = Ring(kept=100)
    view = View(ring, lambda one: True)
    for turn in range(50):
        ring.add(rows(turn * 10, turn * 10 + 9))
        view.sync()
    assert len(ring.rows) <= 125
    assert ring.rows[-1].seq == 499
    assert [view[n].seq for n in range(100)] == list(range(499, 399, -1))


def test_a_view_that_was_not_looked_at_takes_what_came_once():
    ring = Ring()
    ring.add(rows(1, 5))
    view = View(ring, lambda one: one.seq % 2 == 0)
    ring.add(rows(6, 9))
    assert view.sync() == 2
    assert view.sync() == 0
    assert [view[n].seq for n in range(len(view))] == [8, 6, 4, 2]


def test_a_held_view_stands_still_and_counts():
    ring = Ring()
    ring.add(rows(1, 3))
    view = View(ring, lambda one: True)
    view.hold()
    ring.add(rows(4, 8))
    view.sync()
    assert (len(view), view[0].seq, view.waiting) == (3, 3, 5)
    view.follow()
    assert (len(view), view[0].seq, view.waiting) == (8, 8, 0)


COLUMNS = (
    Column("name", str, 8, 20),
    Column("figure", str, 6),
    Column("rarely", str, 6, rank=2),
    Column("seldom", str, 6, rank=1),
)


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (60, [39, 6, 6, 6]),
        (29, [8, 6, 6, 6]),
        (24, [10, 6, 0, 6]),
        (16, [9, 6, 0, 0]),
        (11, [4, 6, 0, 0]),
    ],
)
def test_room_is_shared_and_what_matters_least_goes_first(room: int, expected: list[int]):
    assert widths(COLUMNS, room) == expected
    assert sum(expected) + sum(one > 0 for one in expected) - 1 == room


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [("ab", 4, "ab  "), ("abcdef", 4, "abc…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…"), ("x", 0, "")],
)
def test_a_text_fills_its_room_and_no_more(text: str, room: int, expected: str):
    assert fit(text, room) == expected


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b2J", "\u202edlrow", "a\nb", "\x07"])
def test_nothing_that_steers_a_terminal_is_left(text: str):
    assert plain(text).isprintable()


def test_figures_are_short():
    assert [milliseconds(one) for one in (0.04, 4.2, 312.4, 999.7, 15_321)] == [
        "0.0ms",
        "4.2ms",
        "312ms",
        "1.0s",
        "15s",
    ]
    assert [size(one) for one in (0, 999, 1000, 71_000_000)] == ["0 B", "999 B", "1.0 kB", "71 MB"]
    assert until(NOW - timedelta(hours=3), NOW) == "ended 3 h ago"


def test_a_plot_is_as_wide_as_its_room_and_keeps_what_stands_out():
    values = [0.0] * 50 + [9.0] + [1.0] * 49
    shown = spread(values, 10)
    assert len(shown) == 10
    assert max(shown) == 9.0
    assert sparkline([0, 4, 8], 3) == " ▅█"
    assert sparkline([], 5) == ""


@pytest.mark.parametrize(
    ("began", "took", "bar"), [(0, 10, "██████████"), (5, 5, "     █████"), (9.99, 0.001, "         ▏")]
)
def test_a_lane_shows_when_and_how_long(began: float, took: float, bar: str):
    assert lane(began, took, 10, 10) == bar


@pytest.mark.parametrize(
    ("environ", "theme"),
    [
        ({}, DARK),
        ({"COLORFGBG": "0;15"}, LIGHT),
        ({"COLORFGBG": "15;0"}, DARK),
        ({"NO_COLOR": "1", "COLORFGBG": "0;15"}, PLAIN),
        ({"TERM": "dumb"}, PLAIN),
        ({"TERM": "vt100"}, PLAIN),
    ],
)
def test_the_colours_are_those_of_the_terminal(environ: dict[str, str], theme: str):
    assert first(environ) == theme
