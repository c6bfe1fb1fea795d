"""Cookies (RFC 6265bis): reading, taking out and writing the gateway's own among everybody else's.

A cookie name is no proof of who set it: a sibling host, or plain HTTP in between, can set a second cookie of
the same name, and which of the two comes first is the attacker's choice. So two of ours count as none. And a
backend must never see ours, nor set them: what is ours is recognised in any case of its letters and with
white space around it, because servers differ in what they fold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

_OURS_RE = re.compile(rb"__(?:host|secure)-vestibule|vestibule-(?:[0-9]|admin-|said-)", re.IGNORECASE)
_NAME_RE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE_RE = re.compile(r"[!#-+./0-:<-\[\]-~-]*")
_DOMAIN_RE = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_PATH_RE = re.compile(r"/[!-:<-~]*")
_SAME_SITE = frozenset({"Lax", "Strict", "None"})
_NONE: frozenset[bytes] = frozenset()


class Cookies(msgspec.Struct, frozen=True):
    """The cookies of a request, as sent: names are compared exactly, values keep their quotes."""

    values: dict[bytes, bytes]
    """By name, without those sent more than once."""
    repeated: frozenset[bytes]
    """Names sent more than once, whatever the values."""


class Taken(NamedTuple):
    """What `take` found: the gateway's own cookie, and what the backend may see."""

    value: bytes | None
    """None when it was not sent, or sent more than once."""
    is_repeated: bool
    """True: sent more than once, so it counts as none, and should be cleared."""
    rest: bytes
    """The header's value without every cookie of the gateway's; empty when nothing is left."""


def parse(headers: Iterable[bytes]) -> Cookies:
    """The cookies of a request's Cookie field values (one, or several as HTTP/2 has them).

    Spec: RFC 6265bis section 4.2.1. A piece without `=` is no cookie with a name, and is left out.
    """
    values: dict[bytes, bytes] = {}
    repeated: set[bytes] = set()
    for header in headers:
        for piece in header.split(b";"):
            raw_name, equals, value = piece.partition(b"=")
            name = raw_name.strip(b" \t")
            if not equals or not name:
                continue
            if name in values:
                repeated.add(name)
            values[name] = value.strip(b" \t")
    for name in repeated:
        del values[name]
    return Cookies(values, frozenset(repeated))


def take(header: bytes, name: bytes, also: frozenset[bytes] = _NONE) -> Taken:
    """The value of our cookie `name`, and the header's value without any cookie of ours; in one pass.

    `also` are further names, lower-case, that an operator chose for the gateway's cookies. Names that begin
    with `$` go too: Threat: `$Version=1` (RFC 2965) switches old servers to a grammar in which a quoted value
    swallows the cookies after it, and may echo them.
    """
    found: list[bytes] = []
    kept: list[bytes] = []
    for piece in header.split(b";"):
        # The cheap look first: most cookies are other people's.
        if not also and b"$" not in piece and b"vestibule" not in piece.lower():
            kept.append(piece)
            continue
        raw_name, equals, value = piece.partition(b"=")
        bare = raw_name.strip(b" \t")
        if bare == name and equals:
            found.append(value.strip(b" \t"))
        elif not is_ours(bare, also) and bare[:1] != b"$":
            kept.append(piece)
    rest = b";".join(kept).strip(b" \t;")
    return Taken(found[0] if len(found) == 1 else None, len(found) > 1, rest)


def is_ours(name: bytes, also: frozenset[bytes] = _NONE) -> bool:
    """True for each name the gateway may give a cookie, in any case: handle, flow, admin pages, of any port.

    Not among them: a name an operator chose, unless it is in `also` (lower-case).
    """
    bare = name.strip(b" \t")
    return _OURS_RE.match(bare) is not None or (bool(also) and bare.lower() in also)


def sets_ours(set_cookie: bytes, also: frozenset[bytes] = _NONE) -> bool:
    """True when a backend's Set-Cookie value would set, or be sent back as, a cookie of the gateway's.

    Threat: session fixation by the backend; `=__Host-vestibule=x`, a nameless cookie, comes back as one of
    ours.
    """
    return is_ours(set_cookie.partition(b";")[0].lstrip(b" \t=").partition(b"=")[0], also)


def build(
    name: str,
    value: str,
    *,
    secure: bool,
    max_age_s: int | None = None,
    path: str = "/",
    domain: str = "",
    same_site: str = "Lax",
) -> str:
    """The value of a Set-Cookie field: HttpOnly always; a session cookie without `max_age_s`.

    Raises: ValueError for what a browser would refuse or read differently; no part is ever repaired.
    Spec: RFC 6265bis section 4.1.
    """
    _check(name, value, secure=secure, path=path, domain=domain, same_site=same_site)
    parts = [f"{name}={value}", f"Path={path}"]
    if domain:
        parts.append(f"Domain={domain}")
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    if secure:
        parts.append("Secure")
    return "; ".join((*parts, "HttpOnly", f"SameSite={same_site}"))


def clear(name: str, *, secure: bool, path: str = "/", domain: str = "") -> str:
    """The Set-Cookie value that makes a browser forget the cookie; path and domain as it was set with."""
    cookie = build(name, "", secure=secure, max_age_s=0, path=path, domain=domain)
    return cookie.replace("; Max-Age=0", "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT")


def _check(name: str, value: str, *, secure: bool, path: str, domain: str, same_site: str) -> None:
    prefix = name.lower()
    faults = {
        "name": not _NAME_RE.fullmatch(name),
        "value": not _VALUE_RE.fullmatch(value),
        "size": len(name) + len(value) > 4096,
        "path": not _PATH_RE.fullmatch(path),
        "domain": bool(domain) and not _DOMAIN_RE.fullmatch(domain),
        "same-site": same_site not in _SAME_SITE or (same_site == "None" and not secure),
        "prefix": (prefix.startswith(("__host-", "__secure-")) and not secure)
        or (prefix.startswith("__host-") and (path != "/" or bool(domain))),
    }
    if wrong := [what for what, is_wrong in faults.items() if is_wrong]:
        # The value is a secret: say what is wrong, never with what.
        raise ValueError(f"a cookie with a bad {', '.join(wrong)}")
