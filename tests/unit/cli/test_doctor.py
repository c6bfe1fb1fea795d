"""How findings are shown: by area, what is well in brief, what to do under it, and nothing that steers a terminal."""

from __future__ import annotations

import re

import pytest

from vestibule.cli.doctor import shown
from vestibule.doctor.finding import About

PORTS, EDGE = About("ports"), About("edge")
WELL = [PORTS.ok(f"127.0.0.1:{port}", "port_free", "it is free") for port in range(8000, 8005)]
BAD = PORTS.fail("127.0.0.1:80", "port_taken", "nginx listens there", "stop it, or choose another " * 4)


def text(found, width=80, **options) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(shown(found, width, **options)))


def test_what_is_well_is_counted_where_there_is_much_of_it():
    said = text([*WELL, BAD])
    assert "5 more: all well" in said
    assert said.index("nginx listens there") < said.index("5 more")
    assert "→ stop it" in said
    assert said.splitlines()[-1] == "1 to do, 5 well"


def test_all_of_it_is_shown_where_that_is_wanted():
    assert text(WELL, shows_all=True).count("it is free") == 5


def test_few_are_shown_each():
    assert text(WELL[:3]).count("it is free") == 3


def test_what_is_well_and_still_wants_something_is_always_shown():
    register = PORTS.ok(
        "google", "redirect_url", "https://a/@google/callback", "register it with the provider"
    )
    assert "https://a/@google/callback" in text([*WELL, register])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit(width):
    long = EDGE.warn("https://app.example.com", "edge_around", "word " * 60, "advice " * 60)
    assert max(map(len, text([*WELL, BAD, long], width).splitlines())) <= width


def test_what_others_said_cannot_steer_the_terminal():
    assert "\x1b" not in text([EDGE.warn("\x1b[2Jx", "edge_around", "a\x07b", "c\rd")])
    assert "\x07" not in text([EDGE.warn("x", "edge_around", "a\x07b", "c\rd")])
