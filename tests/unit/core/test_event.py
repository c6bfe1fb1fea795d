"""`core.event`: names of what happens."""

from __future__ import annotations

import re

import pytest

from vestibule.core.event import NAMES, Event


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_it_happened_to_and_what_happened(name):
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", name)


def test_names_are_told_apart():
    assert len(set(NAMES)) == len(NAMES)


def test_an_event_of_which_little_is_known_is_one():
    assert Event(id="e", at=1.0, action=NAMES[0]).outcome == "ok"
