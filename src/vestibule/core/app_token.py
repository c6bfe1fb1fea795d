"""Tokens that people make for their programs: how one is written, and what one may be asked for.

A token is `vst_app_`, 43 digits of 256 random bits and 6 of a checksum, all letters and digits: a click selects it
whole, scanners of leaked secrets find it by one pattern, and a mistyped one is known without asking a store.
"""

from __future__ import annotations

import re
import string
import zlib
from typing import Final

import msgspec

PREFIX: Final = "vst_app_"
MACHINE_PREFIX: Final = "vst_mk_"
"""Of keys that machines show, which are written in the same way."""
RANDOM_BYTES: Final = 32
NAME_MAX_CHARS: Final = 100
PREFIXES_MAX: Final = 20
DAY_S: Final = 24 * 3600
READS: Final = ("GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH")
"""Methods that change nothing. Spec: RFC 9110 section 9.2.1, RFC 4918, RFC 3253, RFC 5323."""

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_CHARS: Final = 43
_CHECK_CHARS: Final = 6
_TOKEN_RE: Final = re.compile(rf"([0-9A-Za-z]{{{_SECRET_CHARS}}})([0-9A-Za-z]{{{_CHECK_CHARS}}})")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The token a person asks for."""

    name: str
    host: str
    prefixes: tuple[str, ...] = ()
    """Canonical, as `Bounds` has them."""
    methods: tuple[str, ...] = ()
    life_s: float


def written(random: bytes, *, prefix: str = PREFIX) -> str:
    """The token of these 32 random bytes; with another prefix it is another's (`MACHINE_PREFIX`)."""
    secret = _digits(int.from_bytes(random), _SECRET_CHARS)
    return prefix + secret + _check_of(secret)


def is_token(text: str, *, prefix: str = PREFIX) -> bool:
    """True for what could be a token: of its form, with the checksum right. Whether there is one, a store knows."""
    found = _TOKEN_RE.fullmatch(text.removeprefix(prefix)) if text.startswith(prefix) else None
    return found is not None and _check_of(found[1]) == found[2]


def faults_of(wish: Wish, *, life_max_s: float) -> dict[str, str]:
    """What is wrong with a wish: a code (`missing`, `too_long`, `invalid`) by its field.

    Does NOT check whether its host is one that the person may make tokens for.
    """
    faults = {}
    if not wish.name:
        faults["name"] = "missing"
    elif len(wish.name) > NAME_MAX_CHARS:
        faults["name"] = "too_long"
    elif not wish.name.isprintable():
        faults["name"] = "invalid"
    if len(wish.prefixes) > PREFIXES_MAX:
        faults["path"] = "too_long"
    if not 0 < wish.life_s <= life_max_s:
        faults["days"] = "invalid"
    return faults


def _check_of(secret: str) -> str:
    return _digits(zlib.crc32(secret.encode()), _CHECK_CHARS)


def _digits(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
