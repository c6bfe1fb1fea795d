"""Access tokens of the gateway's own (RFC 6749 section 1.4): sealed, so that they tell their holder nothing.

One stands for the session of an app, or for a machine, at one host and for minutes. Nothing is stored of it: it ends
with its session, which is looked up with every request as that of a cookie is; or with its machine, which must be in
the configuration still.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final

import msgspec

from vestibule.core.seal import KeyRing
from vestibule.protocol import base64url
from vestibule.protocol.authorization import basic_of

PREFIX: Final = "vst_at_"
LENGTH_MAX_CHARS: Final = 4096
INVALID: Final = "invalid"
EXPIRED: Final = "expired"
_PURPOSE: Final = "access-token"
_TEXT_RE: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]+")
_BEARER_RE: Final = re.compile(rb"(?i:bearer)[ \t]+(%b.*)" % PREFIX.encode(), re.DOTALL)


class Access(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a good token says."""

    host: str
    """The one it is good for: its audience."""
    app: str
    """Who asked for it: the app's id, or the machine's name."""
    expires_at: float
    session_id: str = ""
    """The app's session; empty for a machine."""
    scopes: tuple[str, ...] = ()
    machine: str = ""
    """Name of the machine; empty for a session's."""
    subject: str = ""
    """Which one of the machines of that name: an instance, a workflow, a key."""
    claims: dict[str, Any] = {}
    """Of the machine, for rules and headers."""
    issued_at: float = 0.0
    session_app: str = ""
    """Whose session it is, where that is another app's: the one whose token was exchanged for this (RFC 8693)."""
    key: str = ""
    """ID of the key that the machine showed, with which it ends; empty: it showed none."""
    of_browser: bool = False
    """The session is a person's browser's, whose assertion was exchanged for this."""
    id: str = ""
    """Of a machine's: what it is revoked by; a session's ends with its session."""
    exchanged: bool = False
    """It was given for another token or an assertion, so that somebody could do less (RFC 8693)."""

    @property
    def owner(self) -> str:
        """The app whose session it is; empty for a browser's."""
        return "" if self.of_browser else self.session_app or self.app

    @property
    def rests_on(self) -> tuple[str, ...]:
        """Names of what a machine's is good by: its key, and that it was not revoked itself."""
        return tuple(name for name in (self.key, token_name(self.id) if self.id else "") if name)

    def __repr__(self) -> str:
        return f"Access(host={self.host!r}, app={self.app!r}, machine={self.machine!r})"


def token_name(token_id: str) -> str:
    """What the machine's token of this ID is called beside the IDs of keys, which have no colon."""
    return f"token:{token_id}"


def token_id_in(name: str) -> str:
    """The ID of the token that is called so; empty for a key's."""
    head, colon, token_id = name.partition(":")
    return token_id if head == "token" and colon else ""


def is_one(text: bytes) -> bool:
    """True for what looks like one, whoever made it."""
    return text.startswith(PREFIX.encode())


def shown_in(authorization: bytes) -> bytes:
    """What looks like one in this value of Authorization, whoever made it; empty where there is none.

    It comes as Bearer (RFC 6750 section 2.1), or as user or password of Basic from programs that know no other way, as
    Git does. Threat: one that is not quite well written, and goes on to a backend as somebody else's.
    """
    found = _BEARER_RE.fullmatch(authorization)
    if found is not None:
        return found[1].rstrip(b" \t")
    if authorization[:6].lower() != b"basic " or (basic := basic_of(authorization)) is None:
        return b""
    shown = (basic.password.reveal(), basic.user)
    return next((text.encode() for text in shown if text.startswith(PREFIX)), b"")


def seal(ring: KeyRing, access: Access, *, nonce: bytes) -> str:
    """The token; `nonce` is 12 random bytes."""
    return PREFIX + base64url.encode(
        ring.seal(_PURPOSE, msgspec.msgpack.encode(access), aad=b"", nonce=nonce)
    )


def read(ring: KeyRing, text: bytes, now: float) -> Access | str:
    """What the token says, or what is wrong with it: `INVALID`, `EXPIRED`.

    Does NOT check that its session or machine lives, nor for which host it is.
    """
    if len(text) > LENGTH_MAX_CHARS or not _TEXT_RE.fullmatch(text.decode("latin-1")):
        return INVALID
    body = text[len(PREFIX) :]
    try:
        sealed = base64.b64decode(body + b"=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return INVALID
    plain = ring.open(_PURPOSE, sealed, aad=b"")
    if plain is None:
        return INVALID
    try:
        access = msgspec.msgpack.decode(plain, type=Access)
    except msgspec.MsgspecError:
        return INVALID  # another version of this program sealed it
    return EXPIRED if now >= access.expires_at else access
