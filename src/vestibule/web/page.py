"""One answer of the gateway's own: status, headers that hold for all of its kind, body."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

#: What every answer of the gateway carries, static files aside. Spec: RFC 9111 section 5.2.2.5, RFC 9110
#: section 12.5.5. Threat: one person's page kept for another, codes and addresses told to the next site.
COMMON_HEADERS: tuple[tuple[str, str], ...] = (
    ("cache-control", "no-store"),
    ("vary", "Cookie, Authorization"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
_STATIC_HEADERS = (
    ("cache-control", "public, max-age=31536000, immutable"),
    # An operator's drawing may bring styles of its own; opened by itself, it runs nothing and is nobody.
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
    ),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
)
SIGN_IN_CHALLENGE = 'Vestibule realm="sign-in"'
_JSON_CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


#: pages differ by language, JSON does not
_PAGE_HEADERS = tuple(
    (name, f"{value}, Accept-Language" if name == "vary" else value) for name, value in COMMON_HEADERS
)
#: Under `no-referrer` a browser sends `Origin: null` with a form's POST (Fetch, "append a request Origin
#: header"), and the check of Origin would refuse our own button. `same-origin` tells other sites as little.
_WITH_FORM = tuple(
    (name, "same-origin" if name == "referrer-policy" else value) for name, value in _PAGE_HEADERS
)


class Page(msgspec.Struct, frozen=True):
    """One answer, ready to be sent; `content-length` and the connection's own headers are the sender's."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def with_headers(self, *more: tuple[str, str]) -> Page:
        """The same answer with these headers added."""
        return Page(self.status, self.headers + more, self.body)

    def challenged(self) -> Page:
        """A 401 with the challenge it owes, as anything else is; the scheme is ours, so that no browser asks."""
        if self.status != 401:
            return self
        return self.with_headers(("www-authenticate", SIGN_IN_CHALLENGE))

    def header_lines(self) -> list[bytes]:
        """The headers as `name: value` lines without their ends."""
        return [f"{name}: {value}".encode("latin-1") for name, value in self.headers]


def html_page(status: int, body: str, *, language: str, style: str, images: str, form_action: str) -> Page:
    """A page for people. `style`, `images` and `form_action` are sources of its Content-Security-Policy."""
    policy = (
        f"default-src 'none'; style-src {style}; img-src {images}; form-action {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = (
        ("content-type", "text/html; charset=utf-8"),
        ("content-language", language),
        ("content-security-policy", policy),
        *(_WITH_FORM if "<form" in body else _PAGE_HEADERS),
    )
    return Page(status, headers, body.encode())


def framed_page(body: str, origins: tuple[str, ...]) -> Page:
    """A page with nothing in it that pages of these origins, and of no other, may frame."""
    framed_by = " ".join(origins) or "'none'"
    policy = f"default-src 'none'; frame-ancestors {framed_by}; base-uri 'none'; form-action 'none'"
    # Theirs may only frame what says that it may be loaded there (Fetch, "cross-origin resource policy check").
    headers = tuple(
        (name, "cross-origin" if name == "cross-origin-resource-policy" else value)
        for name, value in COMMON_HEADERS
    )
    return Page(
        200,
        (("content-type", "text/html; charset=utf-8"), ("content-security-policy", policy), *headers),
        body.encode(),
    )


def json_page(status: int, value: Any, *, media_type: str = "application/json") -> Page:
    """Any JSON answer."""
    headers = (("content-type", media_type), ("content-security-policy", _JSON_CSP), *COMMON_HEADERS)
    return Page(status, headers, msgspec.json.encode(value) + b"\n")


def iso(at: float | None) -> str | None:
    """A time as JSON answers have it, to the second; None where there is none."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def day(at: float | None) -> str:
    """The day, which reads alike in every language; empty for never."""
    return (iso(at) or "").partition("T")[0]


def static_page(body: bytes, content_type: str) -> Page:
    """A file that never changes under its name."""
    return Page(200, (("content-type", content_type), *_STATIC_HEADERS), body)


def with_query(path: str, **parameters: str) -> str:
    """The path with those parameters that are not empty, percent-encoded."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value)
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{query}"
