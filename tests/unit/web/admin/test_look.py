"""How times and numbers are written on the admin pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from vestibule.web.admin.look import FILTERS, Look, _read, ago, day_time, number, span

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-22T11:59:50Z", "10 s ago"),
        ("2026-11-22T12:00:00Z", "now"),
        ("2026-11-22T10:30:00Z", "1 h 30 min ago"),
        ("2026-11-25T12:00:00+00:00", "in 3 d"),
        (NOW.timestamp() - 7200, "2 h ago"),
        (None, "never"),
        ("", "never"),
    ],
    ids=repr,
)
def test_times_are_told_by_how_long_it_is(at, said):
    assert re.sub("<[^>]*>", "", ago(at, NOW)) == said


def test_a_time_is_told_in_utc():
    assert ">2026-11-22 11:00:00 UTC<" in day_time("2026-11-22T12:00:00+01:00")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(1234567), "1\u202f234\u202f567"),
        (number(0.25), "0.2"),
        (FILTERS["ms"](61_000), "61 s"),
        (FILTERS["size"](138_412_032), "138 MB"),
        (span(59), "59 s"),
        (span(864_000 * 2), "20 d"),
    ],
)
def test_numbers_have_their_units(written, expected):
    assert written == expected


def test_every_template_can_be_read_and_has_nothing_inline():
    look = Look()

    for name, body in _read("templates").items():
        text = body.decode()
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", text), name
    assert look.render("error.html", ERROR).count("<h1>") == 1


ERROR = {
    "title": "<Not here>",
    "message": "<script>",
    "path": "/",
    "nav": (),
    "me": None,
    "said": "",
    "form_token": "",
    "request_id": "abc",
    "now": NOW.timestamp(),
}
