"""Codes that people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol.user_code import ALPHABET, chosen, made, typed


@given(st.binary(min_size=16, max_size=16))
def test_a_code_that_is_made_can_be_typed(random):
    code = made(random)
    assert len(code) == 9
    assert set(code) <= {*ALPHABET, "-"}
    assert typed(code) == typed(code.lower()) == typed(code.replace("-", " ")) == typed(f" {code} ") == code


def test_each_letter_is_as_likely_as_any_other():
    codes = [made(number.to_bytes(16)) for number in range(20**3)]
    assert len(set(codes)) == 20**3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BCDF",
        "BCDF-GHJ",
        "BCDF-GHJKL",
        "ACDF-GHJK",
        "BCDF-GHJ0",
        "BCDF-GHJÉ",
        "BCDF-GHJK" + " " * 40,
        "ß" * 4,
    ],
)
def test_what_is_no_code(text):
    assert typed(text) is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("A1B2-C3D4", True),
        ("AAAA-0000", True),
        ("BCDF-GHJK", True),
        ("a1b2-c3d4", False),
        ("A1B2C3D4", False),
        ("A1B2-C3D4\n", False),
        ("A1B2-C3D4-", False),
        ("Á1B2-C3D4", False),
        ("١١١١-١١١١", False),
        ("", False),
    ],
)
def test_a_code_that_a_program_chose(text, is_one):
    assert chosen(text) == (text if is_one else None)
