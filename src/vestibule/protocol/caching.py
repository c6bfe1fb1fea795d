"""What an answer's header lines let caches do with it, and how they are made to keep it to one person (RFC 9111).

A backend that doesn't know of the gate in front of it may call an answer `public`; a cache in front of the gateway
would then give it to whoever asks next, without asking the gateway (attacks.md P8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

PRIVATE: Final = b"Cache-Control: private"
NOT_KEPT: Final = (b"Cache-Control: no-store", b"Vary: Cookie, Authorization")
"""On every answer of the gateway's own."""
SAYS: Final = "cache-control"
OVERRULES: Final = frozenset(
    (
        "x-accel-expires",
        "surrogate-control",
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
        "edge-control",
    )
)
"""What some caches take for more than Cache-Control."""
_DIRECTIVE_RE: Final = re.compile(
    rb"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*=[ \t]*(\"(?:[^\"\\]|\\.)*\"|[^\s,\"]*))?[ \t]*(?:,|\Z)|[ \t]*,"
)
_SHUT: Final = frozenset((b"private", b"no-store"))
"""Directives that keep an answer from every shared cache, unless they name fields."""
_SHARED: Final = frozenset((b"public", b"s-maxage"))
"""Directives that are for shared caches only."""


def is_private(lines: Iterable[bytes]) -> bool:
    """True when no cache that serves several people may store the answer; *lines* are those that speak of caching."""
    directives: list[tuple[bytes, bytes | None]] = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower().decode("latin-1") != SAYS:
            return False
        directives += _directives(value) or ()
    return any(name in _SHUT and argument is None for name, argument in directives)


def made_private(lines: Iterable[bytes]) -> list[bytes]:
    """The header lines of an answer so that only the person's own browser may keep it, as long as it was let to.

    Spec: RFC 9111 section 5.2.2.7. What can't be read is taken for nothing said.
    """
    kept: list[bytes] = []
    said: list[bytes] = []
    for line in lines:
        name, _, value = line.partition(b":")
        key = name.lower().decode("latin-1")
        if key == SAYS:
            said += [
                directive if argument is None else directive + b"=" + argument
                for directive, argument in _directives(value) or ()
                if directive not in _SHARED and directive != b"private"
            ]
        elif key not in OVERRULES:
            kept.append(line)
    return [*kept, b"Cache-Control: " + b", ".join((b"private", *said))]


def _directives(value: bytes) -> list[tuple[bytes, bytes | None]] | None:
    """Names, lower case, with their arguments; None for what is malformed."""
    found: list[tuple[bytes, bytes | None]] = []
    at = 0
    value = value.strip(b" \t")
    while at < len(value):
        match = _DIRECTIVE_RE.match(value, at)
        if match is None:
            return None
        if match[1]:
            found.append((match[1].lower(), match[2]))
        at = match.end()
    return found
