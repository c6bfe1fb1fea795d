"""Colours: whatever the operator chooses, everything stays readable. Spec: WCAG 2.2, 1.4.3 and 1.4.11."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.branding import (
    OURS,
    OURS_DARK,
    PLAIN,
    Branding,
    Scheme,
    colour,
    contrast,
    dark_of,
    door_of,
    ink_on,
    mixed,
    palette,
    readable,
)

COLOURS = st.binary(min_size=3, max_size=3).map(lambda parts: "#" + parts.hex())

#: what stands on what, and by how much it must stand out
READABLE = [
    ("ink", "door", 4.5),
    ("ink", "tint", 4.5),
    ("soft", "door", 4.5),
    ("soft", "tint", 4.5),
    ("fault", "door", 4.5),
    ("fault", "tint", 4.5),
    ("on-accent", "accent", 4.5),
    ("on-accent", "accent-over", 4.5),
    ("edge", "door", 3.0),
    ("ring", "door", 3.0),
]


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        pytest.param("#000000", "#ffffff", 21.0, id="black and white"),
        pytest.param("#ffffff", "#ffffff", 1.0, id="the same"),
        pytest.param("#777777", "#ffffff", 4.48, id="the grey that just fails"),
        pytest.param("#0000ff", "#ffffff", 8.59, id="blue"),
    ],
)
def test_contrast_is_measured_as_the_guidelines_do(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert contrast(other, one) == contrast(one, other)


@given(COLOURS)
def test_black_or_white_always_reads(ground: str) -> None:
    assert contrast(ink_on(ground), ground) >= 4.5


@given(COLOURS, COLOURS, st.sampled_from([3.0, 4.5]))
def test_a_colour_is_moved_until_it_stands_out(wanted: str, ground: str, least: float) -> None:
    assert contrast(readable(wanted, ground, least), ground) >= least


def test_a_colour_that_stands_out_already_stays() -> None:
    assert readable("#1f5a52", "#fffdf9", 4.5) == "#1f5a52"


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@given(accent=COLOURS, background=COLOURS)
def test_any_two_colours_make_a_page_that_reads(accent: str, background: str, is_dark: bool) -> None:
    found = palette(Scheme(accent=accent, background=background), is_dark=is_dark)
    poor = [
        (front, back) for front, back, least in READABLE if contrast(found[front], found[back]) < least - 0.01
    ]
    assert poor == []


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@given(background=COLOURS)
def test_our_accent_is_moved_to_stand_out_from_another_ground(background: str, is_dark: bool) -> None:
    found = palette(Scheme(background=background), is_dark=is_dark)
    assert contrast(found["accent"], found["door"]) >= 3.0


def test_what_is_not_chosen_stays_the_stylesheets() -> None:
    assert palette(Scheme(), is_dark=False) == {}
    assert set(palette(Scheme(accent="#7a1fa2"), is_dark=False)) == {"accent", "on-accent", "accent-over"}


def test_a_dark_accent_is_made_where_none_is_chosen() -> None:
    light = Scheme(accent="#7a1fa2")
    made = dark_of(light, Scheme())
    assert contrast(made.accent, door_of(made, is_dark=True)) >= 4.5
    assert dark_of(light, Scheme(accent="#ffffff")).accent == "#ffffff"
    assert dark_of(Scheme(), Scheme(background="#000000")) == Scheme(background="#000000")


@pytest.mark.parametrize(("written", "meant"), [("#1F5A52", "#1f5a52"), ("#Abc", "#aabbcc")])
def test_colours_have_one_spelling(written: str, meant: str) -> None:
    assert colour(written) == meant


@pytest.mark.parametrize(("share", "found"), [(0.0, "#000000"), (0.5, "#808080"), (1.0, "#ffffff")])
def test_colours_mix(share: float, found: str) -> None:
    assert mixed("#000000", "#ffffff", share) == found


def test_a_branding_is_a_key_by_itself() -> None:
    assert {PLAIN: 1}[PLAIN] == 1
    assert Branding() != PLAIN


@pytest.mark.parametrize(("ours", "is_dark"), [(OURS, False), (OURS_DARK, True)], ids=["light", "dark"])
def test_our_own_colours_are_what_the_page_stands_on(ours: Scheme, is_dark: bool) -> None:
    assert contrast(ours.accent, door_of(Scheme(), is_dark=is_dark)) >= 4.5
