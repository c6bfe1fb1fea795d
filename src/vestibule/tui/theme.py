"""Colours, and what they stand for. None of them says anything that a sign or word beside it doesn't say."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rich.style import Style
from textual.theme import Theme

DARK: Final = "vestibule-dark"
LIGHT: Final = "vestibule-light"
PLAIN: Final = "vestibule-plain"
"""No colour at all: the terminal's own two, bold, dim and reverse."""

_OF_TEXTUAL: Final = (
    "ansi-background",
    "ansi-foreground",
    "border-blurred",
    "block-cursor-foreground",
    "block-cursor-background",
    "input-cursor-background",
    "input-cursor-foreground",
    "input-selection-background",
    "input-selection-foreground",
    "screen-selection-background",
    "screen-selection-foreground",
)
"""What a theme without colours has to say of its widgets."""
THEMES: Final = (
    Theme(
        name=DARK,
        dark=True,
        primary="#8ab4c9",
        secondary="#6b8594",
        accent="#e3b66b",
        success="#8fbf8f",
        warning="#e3b66b",
        error="#e58a80",
        foreground="#d6dade",
        background="#14181c",
        surface="#1a1f24",
        panel="#222930",
    ),
    Theme(
        name=LIGHT,
        dark=False,
        primary="#22617f",
        secondary="#5b7482",
        accent="#8a5a00",
        success="#2c6e3a",
        warning="#8a5a00",
        error="#b3261e",
        foreground="#1d2429",
        background="#fbfaf7",
        surface="#f4f2ec",
        panel="#e8e5dc",
    ),
    Theme(
        name=PLAIN,
        primary="ansi_default",
        secondary="ansi_default",
        accent="ansi_default",
        success="ansi_default",
        warning="ansi_default",
        error="ansi_default",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables={
            **dict.fromkeys(_OF_TEXTUAL, "ansi_default"),
            "input-cursor-text-style": "reverse",
            "block-cursor-text-style": "reverse",
        },
        ansi=True,
    ),
)

Palette = Mapping[str, Style]

_DARK: Final[Palette] = MappingProxyType(
    {
        "": Style(color="#d6dade"),
        "dim": Style(color="#78838c"),
        "faint": Style(color="#4a545c"),
        "head": Style(color="#8b98a2", bold=True),
        "strong": Style(color="#f2f4f5", bold=True),
        "key": Style(color="#8ab4c9", bold=True),
        "name": Style(color="#8ab4c9"),
        "ok": Style(color="#8fbf8f"),
        "turn": Style(color="#8ab4c9"),
        "warn": Style(color="#e3b66b"),
        "bad": Style(color="#e58a80", bold=True),
        "cursor": Style(bgcolor="#2b3a44", bold=True),
        "resting": Style(bgcolor="#20272d"),
        "added": Style(color="#8fbf8f"),
    }
)
_LIGHT: Final[Palette] = MappingProxyType(
    {
        "": Style(color="#1d2429"),
        "dim": Style(color="#66727a"),
        "faint": Style(color="#a9b0b3"),
        "head": Style(color="#55626b", bold=True),
        "strong": Style(color="#000000", bold=True),
        "key": Style(color="#22617f", bold=True),
        "name": Style(color="#22617f"),
        "ok": Style(color="#2c6e3a"),
        "turn": Style(color="#22617f"),
        "warn": Style(color="#8a5a00"),
        "bad": Style(color="#b3261e", bold=True),
        "cursor": Style(bgcolor="#cfe0e8", bold=True),
        "resting": Style(bgcolor="#ebe8e0"),
        "added": Style(color="#2c6e3a"),
    }
)
_PLAIN: Final[Palette] = MappingProxyType(
    {
        **dict.fromkeys(("", "ok", "turn", "name", "added", "resting", "faint"), Style()),
        "dim": Style(),
        "head": Style(bold=True),
        "strong": Style(bold=True),
        "key": Style(bold=True),
        "warn": Style(bold=True),
        "bad": Style(bold=True, underline=True),
        "cursor": Style(reverse=True),
    }
)
PALETTES: Final[Mapping[str, Palette]] = MappingProxyType({DARK: _DARK, LIGHT: _LIGHT, PLAIN: _PLAIN})


def is_colourless(environ: Mapping[str, str]) -> bool:
    """True for a terminal that has no colours, or whose owner wants none."""
    return bool(environ.get("NO_COLOR")) or environ.get("TERM", "") in {
        "dumb",
        "vt100",
        "vt102",
        "vt220",
        "linux-m",
    }


def first(environ: Mapping[str, str]) -> str:
    """The theme to begin with. COLORFGBG is what some terminals say of their background: its last number."""
    if is_colourless(environ):
        return PLAIN
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in {"7", "15"} else DARK


def role_of(status: int) -> str:
    """How a status looks."""
    if status >= 500:
        return "bad"
    if status >= 400 or status == 0:
        return "warn"
    return "turn" if status >= 300 else "ok"


def sign_of(status: int) -> str:
    """What stands beside a status, for those who see no colours."""
    if status >= 500:
        return "!"
    if status >= 400:
        return "x"
    if status == 0:
        return "-"
    return ">" if status >= 300 else " "
