"""Tables for people."""

from __future__ import annotations

import pytest

from vestibule.cli.table import Column, fields, plain, table

COLUMNS = (
    Column("ID", lambda item: item[0]),
    Column("NAME", lambda item: item[1], may_shrink=True),
    Column("EMAIL", lambda item: item[2], may_shrink=True),
)
ID = "9nUtJjTbUu5pxGhRkhwUSw"


def test_columns_stand_one_under_the_other():
    assert table([(ID, "Ann", "a@b.example"), ("x", "Bobby", "")], COLUMNS, 80).splitlines() == [
        "ID                      NAME   EMAIL",
        "9nUtJjTbUu5pxGhRkhwUSw  Ann    a@b.example",
        "x                       Bobby",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_ids_stay_whole(width):
    lines = table([(ID, "n" * 200, "e" * 90), (ID, "a", "b")], COLUMNS, width).splitlines()
    assert max(map(len, lines)) == width
    assert all(line.startswith(ID) for line in lines[1:])
    assert "…" in lines[1]
    assert lines[2].split() == [ID, "a", "b"]


def test_wide_letters_take_two_columns_and_marks_none():
    first, second = table([("山田", "x", ""), ("e\u0301a", "x", "")], COLUMNS, 80).splitlines()[1:]
    assert first == "山田  x"
    assert second == "e\u0301a    x"


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "a\nb", "a\rb", "\x07", "\x9b1m", "\u202e", "\u2066", "\x00", "\u200b", "\ud800"]
)
def test_nothing_in_a_cell_steers_the_terminal(text):
    assert "\N{REPLACEMENT CHARACTER}" in plain(text)
    assert plain(text).isprintable()
    assert len(table([("1", text, "")], COLUMNS, 80).splitlines()) == 2


def test_fields_are_left_out_where_they_are_empty():
    assert (
        fields([("id", "1"), ("name", ""), ("last seen", "\x1b")])
        == "id         1\nlast seen  \N{REPLACEMENT CHARACTER}"
    )
