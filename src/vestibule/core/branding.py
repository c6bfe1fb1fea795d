"""How a host's pages are dressed: names, texts, pictures, colours, templates and words of the operator's own.

The colours of a page follow from two: the accent (buttons, the mark) and the ground. What they follow by keeps
every text readable, whatever the operator chose. Spec: WCAG 2.2, 1.4.3 and 1.4.11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from vestibule.core.wording import ENGLISH, Language

COLOUR_RE = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
TEXT_CONTRAST = 4.5
SHAPE_CONTRAST = 3.0
_BLACK, _WHITE = "#000000", "#ffffff"


class Picture(msgspec.Struct, frozen=True):
    """An image file of the operator's."""

    body: bytes
    extension: str
    """Its type: `svg`, `png`, `jpg`, `webp`, `gif`."""


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's colours of one scheme, light or dark: `#rrggbb` in lower case, or empty for ours."""

    accent: str = ""
    background: str = ""


class Branding(msgspec.Struct, frozen=True, kw_only=True, eq=False, weakref=True):
    """What the operator changed of the pages; empty: as they come. Each is itself only, so that it can be a key."""

    text: str = ""
    """Instead of the sentence of the sign-in page."""
    banner: str = ""
    """A notice above the buttons."""
    footer: str = ""
    footer_links: tuple[tuple[str, str], ...] = ()
    """Label and http(s) or mailto address."""
    logo: Picture | None = None
    dark_logo: Picture | None = None
    """Instead of `logo` where people prefer dark pages."""
    shows_mark: bool = True
    """False: no picture at all, not even ours."""
    marks: Mapping[str, Picture] = {}
    """Marks of the buttons, by client ID."""
    light: Scheme = Scheme()
    dark: Scheme = Scheme()
    templates: Mapping[str, str] = {}
    """Whole templates by name, instead of ours."""
    templates_at: str = ""
    """The directory they stand in, for what is said of them."""
    languages: tuple[Language, ...] = ()
    """Whole languages, instead of ours or beside them."""
    language: str = ENGLISH
    """The language of who asks for none that is there."""


PLAIN = Branding()


def colour(written: str) -> str:
    """`#rrggbb` in lower case, of that or `#rgb`."""
    digits = written[1:].lower()
    return "#" + (digits if len(digits) == 6 else "".join(2 * digit for digit in digits))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21. Spec: WCAG 2.2, "contrast ratio"."""
    dim, bright = sorted((_luminance(one), _luminance(other)))
    return (bright + 0.05) / (dim + 0.05)


def _luminance(hexadecimal: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(hexadecimal))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _parts(hexadecimal: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(hexadecimal[1:]))


def mixed(one: str, other: str, share: float) -> str:
    """So much of *other* in *one*: 0 is the one, 1 the other."""
    pairs = zip(_parts(one), _parts(other), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in pairs).hex()


def readable(colour: str, ground: str, least: float) -> str:
    """The colour, moved towards black or white until it stands out from the ground by *least*."""
    end = ink_on(ground)
    share = 0.0
    while contrast(mixed(colour, end, share), ground) < least and share < 1.0:
        share = min(1.0, share + 0.05)
    return mixed(colour, end, share)


def ink_on(ground: str) -> str:
    """Black or white, whichever reads better there; it is 4.5:1 at least."""
    return max(_BLACK, _WHITE, key=lambda ink: contrast(ink, ground))


#: what the stylesheet has where the operator chose nothing
OURS = Scheme(accent="#1f5a52", background="#e2dccf")
OURS_DARK = Scheme(accent="#8ccdc0", background="#0c0f10")
_DOOR, _DOOR_DARK = "#fffdf9", "#1d2427"


def palette(scheme: Scheme, *, is_dark: bool) -> dict[str, str]:
    """The stylesheet's properties that differ from ours (`accent`, `on-accent`, `door` …); empty where none does."""
    found: dict[str, str] = {}
    door = door_of(scheme, is_dark=is_dark)
    if scheme.background:
        found |= _grounds(scheme.background, door, is_dark=is_dark)
    accent = scheme.accent
    if scheme.background and not accent:
        accent = readable((OURS_DARK if is_dark else OURS).accent, door, TEXT_CONTRAST)
    if accent:
        ink = ink_on(accent)
        found |= {
            "accent": accent,
            "on-accent": ink,
            # Away from its text, so that the text reads better still.
            "accent-over": mixed(accent, _other(ink), 0.15),
        }
    return found


def _grounds(ground: str, door: str, *, is_dark: bool) -> dict[str, str]:
    """What follows from the page's colour: the arches, and all that stands on the door."""
    end = ink_on(door)
    ink = mixed(end, ground, 0.08)
    # Darker than a light door, as paper is; but a door of a middling colour has no contrast to give away.
    tint = mixed(door, end if contrast(end, door) > 9 else _other(end), 0.07)
    worst = min(door, tint, key=lambda behind: contrast(end, behind))
    found = {"ground": ground, "door": door, "tint": tint, "line": mixed(door, ink, 0.2)}
    found |= {f"arch-{step}": mixed(ground, door, share) for step, share in ((3, 0.25), (2, 0.5), (1, 0.75))}
    return found | {
        "ink": readable(ink, worst, 7.0),
        "soft": readable(mixed(ink, door, 0.35), worst, TEXT_CONTRAST),
        "fault": readable("#ff9d8f" if is_dark else "#a3261a", worst, TEXT_CONTRAST),
        "edge": readable(mixed(ink, door, 0.55), door, SHAPE_CONTRAST),
        "ring": readable("#efb255" if is_dark else "#a86400", door, SHAPE_CONTRAST),
    }


def _other(ink: str) -> str:
    return _BLACK if ink == _WHITE else _WHITE


def door_of(scheme: Scheme, *, is_dark: bool) -> str:
    """What the page's contents stand on."""
    if scheme.background:
        return mixed(scheme.background, _WHITE, 0.08 if is_dark else 0.86)
    return _DOOR_DARK if is_dark else _DOOR


def dark_of(light: Scheme, dark: Scheme) -> Scheme:
    """The dark scheme, its accent made from the light one's where only that was chosen."""
    if dark.accent or not light.accent:
        return dark
    accent = readable(light.accent, door_of(dark, is_dark=True), TEXT_CONTRAST)
    return Scheme(accent=accent, background=dark.background)
