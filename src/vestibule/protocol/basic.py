"""Credentials in an Authorization field: Basic (RFC 7617) and Bearer (RFC 6750), and the challenges that ask for them.

A value is read only when it has exactly one reading; anything else is no credentials at all. Nothing here
compares or believes them.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from vestibule.model import Secret

MAX_BYTES = 16 * 1024

_BASIC_RE = re.compile(rb"(?i:basic) +([A-Za-z0-9+/]+={0,2})")
_BEARER_RE = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
_CONTROLS_RE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Basic(msgspec.Struct, frozen=True):
    """A user name and a password, as sent."""

    user: str
    password: Secret


def parse_basic(value: bytes) -> Basic | None:
    """User and password of an Authorization value; None when it is not well-formed Basic.

    The first colon ends the user name, so a password may hold some. The text is UTF-8; one that isn't, or
    that holds control characters, is refused, as RFC 7617 section 2 asks for. The name is not folded or
    trimmed.
    """
    found = _BASIC_RE.fullmatch(value) if len(value) <= MAX_BYTES else None
    if not found:
        return None
    try:
        raw = base64.b64decode(found[1], validate=True)
        text = raw.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    # One spelling only: two values that decode alike would pass a cache or a lockout as two.
    if base64.b64encode(raw) != found[1] or _CONTROLS_RE.search(text):
        return None
    user, colon, password = text.partition(":")
    return Basic(user, Secret(password)) if colon else None


def parse_bearer(value: bytes) -> Secret | None:
    """The token of an Authorization value; None when it is not well-formed Bearer. Spec: RFC 6750 section 2.1."""
    found = _BEARER_RE.fullmatch(value) if len(value) <= MAX_BYTES else None
    return Secret(found[1].decode("ascii")) if found else None


def build_basic(user: str, password: Secret) -> Secret:
    """The Authorization value of Basic. Raises: ValueError for a colon in the name, and for control characters."""
    text = f"{user}:{password.reveal()}"
    if ":" in user or _CONTROLS_RE.search(text):
        raise ValueError("a user name without colon, and no control characters, can be sent by Basic")
    return Secret("Basic " + base64.b64encode(text.encode("utf-8")).decode("ascii"))


def build_bearer(token: Secret) -> Secret:
    """The Authorization value of Bearer. Raises: ValueError for a token that can't stand in a header."""
    value = f"Bearer {token.reveal()}"
    if not re.fullmatch(r"Bearer [!-~]+", value):
        raise ValueError("a token of visible ASCII alone can be sent by Bearer")
    return Secret(value)


def challenge(scheme: str, **parameters: str) -> str:
    """A WWW-Authenticate value (RFC 9110 section 11.6.1), such as `Bearer realm="app", error="invalid_token"`.

    Raises: ValueError for parameters of other than visible ASCII and spaces.
    """
    quoted: list[str] = []
    for name, value in parameters.items():
        if not re.fullmatch(r"[ -~]*", value):
            raise ValueError("a challenge is ASCII")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        quoted.append(f'{name}="{escaped}"')
    return f"{scheme} {', '.join(quoted)}".rstrip()
