"""Codes that a person reads on one device and types on another (RFC 8628 section 6.1)."""

from __future__ import annotations

import re
from typing import Final

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no word comes of it; no digit or letter that looks like another."""
CHARS: Final = 8
"""20 to the 8th is 34 bits: enough where guesses are few and codes live for minutes."""
RANDOM_BYTES: Final = 16
TYPED_MAX_CHARS: Final = 40
_CHOSEN_RE: Final = re.compile(r"[A-Z0-9]{4}-[A-Z0-9]{4}")


def made(random: bytes) -> str:
    """The code of these 16 random bytes, as it is shown: `BCDF-GHJK`."""
    number, letters = int.from_bytes(random), []
    for _ in range(CHARS):
        number, digit = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[digit])
    text = "".join(letters)
    return f"{text[:4]}-{text[4:]}"


def chosen(text: str) -> str | None:
    """The code that a program of Nuon's chose itself; None for what is none: `A1B2-C3D4`, letters and digits."""
    return text if _CHOSEN_RE.fullmatch(text) else None


def typed(text: str) -> str | None:
    """The code that somebody typed, as it is shown; None for what can't be one.

    Small letters are taken, and whatever stands between the letters: blanks, dashes of any sort.
    """
    if len(text) > TYPED_MAX_CHARS:
        return None
    letters = [letter.upper() if letter.isascii() else letter for letter in text if letter.isalnum()]
    if len(letters) != CHARS or not set(letters) <= set(ALPHABET):
        return None
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"
