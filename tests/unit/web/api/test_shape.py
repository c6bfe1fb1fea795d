"""What may stand in a line of text."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from vestibule.web.api.shape import Line

check = TypeAdapter(Line).validate_python


@pytest.mark.parametrize("text", ["", "Zoë Ängström", "زينب", "שלום\u200f", "👩\u200d🚒", "日本 語"])
def test_people_are_called_as_they_are(text: str):
    assert check(text) == text


@pytest.mark.parametrize(
    "char",
    [
        "\0",
        "\n",
        "\r",
        "\x1b",
        "\x7f",
        "\x85",
        "\x9b",
        "\u2028",
        "\u2029",
        "\u202a",
        "\u202e",
        "\u2066",
        "\u2069",
        "\ufeff",
    ],
    ids=ascii,
)
def test_nothing_steers_a_terminal_breaks_a_line_or_turns_what_stands_beside_it(char: str):
    with pytest.raises(ValidationError):
        check(f"alice{char}nimda")
