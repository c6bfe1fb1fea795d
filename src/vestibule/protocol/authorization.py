"""The Authorization header a client sends, and the challenge it is answered with (RFC 9110 section 11, RFC 6750, 7617).

What can't be read is nobody's credential: it is left to whoever decides, never guessed at.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from vestibule.model import Secret

CREDENTIAL_LIMIT_BYTES: Final = 16 * 1024
USER_LIMIT_CHARS: Final = 256
PASSWORD_LIMIT_BYTES: Final = 1024
"""Longer ones are refused unread: the work of a slow hash grows with them."""

_BEARER_RE: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_FILLERS: Final = frozenset({"", "x-oauth-basic"})
"""What stands beside a token where a program can only send user name and password, as Git's do."""


class Basic(msgspec.Struct, frozen=True):
    """A user name and a password, as they were sent."""

    user: str
    password: Secret


def scheme_of(authorization: bytes) -> str:
    """The scheme in lower case; empty where there is none."""
    return authorization.partition(b" ")[0].lower().decode("latin-1")


def bearer_of(authorization: bytes) -> str:
    """The token of a Bearer credential; empty for any other scheme and for what can't be one.

    Spec: RFC 6750 section 2.1 (`b64token`).
    """
    scheme, _, value = authorization.partition(b" ")
    value = value.strip(b" ")
    if scheme.lower() != b"bearer" or len(value) > CREDENTIAL_LIMIT_BYTES or not _BEARER_RE.fullmatch(value):
        return ""
    return value.decode("ascii")


def basic_of(authorization: bytes) -> Basic | None:
    """User name and password of a Basic credential; None for any other scheme and for what can't be read as one.

    Spec: RFC 7617 section 2: UTF-8, and no control characters.
    """
    scheme, _, value = authorization.partition(b" ")
    if scheme.lower() != b"basic" or len(value) > CREDENTIAL_LIMIT_BYTES:
        return None
    try:
        text = base64.b64decode(value.strip(b" "), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, colon, password = text.partition(":")
    if not colon or not (user + password).isprintable():
        return None
    return Basic(user, Secret(password))


def token_in(basic: Basic) -> str:
    """The token a program sends in a Basic credential where it knows no other way; empty where it can't be one.

    It is the password, with any user name, or it is the user name, and the password is `x-oauth-basic` or empty.
    That it is anybody's token is not said.
    """
    password = basic.password.reveal()
    token = basic.user if password.lower() in _FILLERS else password
    return token if token and _BEARER_RE.fullmatch(token.encode("utf-8")) else ""


def bearer_challenge(
    realm: str, *, error: str = "", description: str = "", scope: str = "", resource_metadata: str = ""
) -> str:
    """A WWW-Authenticate value that asks for a token; `error` says why the one that came won't do.

    `resource_metadata`: URL of what says where tokens come from. Spec: RFC 6750 section 3, RFC 9728 section 5.1.
    """
    parts = [f"realm={_quoted(realm)}"]
    parts += [
        f"{name}={_quoted(value)}"
        for name, value in (
            ("error", error),
            ("error_description", description),
            ("scope", scope),
            ("resource_metadata", resource_metadata),
        )
        if value
    ]
    return "Bearer " + ", ".join(parts)


def step_up_challenge(realm: str, *, description: str, max_age_s: float) -> str:
    """A WWW-Authenticate value that asks for a fresher sign-in than the one shown. Spec: RFC 9470 section 3."""
    asked = bearer_challenge(realm, error="insufficient_user_authentication", description=description)
    return f'{asked}, max_age="{int(max_age_s)}"'


def basic_challenge(realm: str) -> str:
    """A WWW-Authenticate value that asks for user name and password. Spec: RFC 7617 sections 2 and 2.1."""
    return f'Basic realm={_quoted(realm)}, charset="UTF-8"'


def _quoted(text: str) -> str:
    """Threat: what stands in a header and came from elsewhere ends it. Characters that need care are left out."""
    return '"' + "".join(char for char in text if " " <= char <= "~" and char not in '"\\') + '"'
