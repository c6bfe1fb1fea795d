"""Which language to answer in: Accept-Language, and what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

HEADER_LIMIT_CHARS = 512
"""What is read of a header: browsers send a tenth of it."""
_ANY = "*"
_RANGE_RE = re.compile(r"[a-z]{1,8}(?:-[a-z0-9]{1,8})*|\*")
_WEIGHT_RE = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
TAG_RE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
"""A language tag, as far as its form goes. Spec: RFC 5646 section 2.1."""


def negotiate(accept: str, available: Mapping[str, str], default: str) -> str:
    """The best language there is for this Accept-Language value; *default* where none fits or none is named.

    *available*: language ranges in lower case → language. The wish that weighs most decides, the earlier of
    two alike; each is shortened from its end until there is something (`de-at` → `de`). `*` is whatever the
    default is. A wish that can't be read counts as none. Spec: RFC 9110 section 12.5.4, RFC 4647 section 3.4.
    """
    wishes = list(_wishes(accept.lower()))
    refused = [wish for wish, weight in wishes if not weight]
    for wish, weight in sorted(wishes, key=lambda pair: -pair[1]):
        if not weight:
            break
        if wish == _ANY:
            if not _is_refused(default, refused):
                return default
            continue
        found = _lookup(wish, available)
        if found and not _is_refused(found, refused):
            return found
    return default


def _wishes(accept: str) -> Iterator[tuple[str, float]]:
    for piece in accept[:HEADER_LIMIT_CHARS].split(","):
        wish, *parameters = (part.strip() for part in piece.split(";"))
        if not _RANGE_RE.fullmatch(wish):
            continue
        weights = [_WEIGHT_RE.fullmatch(parameter.replace(" ", "")) for parameter in parameters]
        if all(weights):
            yield wish, min((float(found[1]) for found in weights if found), default=1.0)


def _lookup(wish: str, available: Mapping[str, str]) -> str:
    """Spec: RFC 4647 section 3.4: a single letter or digit at the end goes with what stands before it."""
    subtags = wish.split("-")
    while subtags:
        found = available.get("-".join(subtags))
        if found is not None:
            return found
        subtags.pop()
        if subtags and len(subtags[-1]) == 1:
            subtags.pop()
    return ""


def _is_refused(tag: str, refused: list[str]) -> bool:
    """True if a wish of weight 0 covers the language. Spec: RFC 4647 section 3.3.1, basic filtering."""
    own = tag.lower()
    return any(own == wish or own.startswith(f"{wish}-") for wish in refused)
