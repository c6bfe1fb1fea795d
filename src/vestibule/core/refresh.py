"""Refresh tokens (RFC 6749 section 1.5): each is good once, and shown again it ends what it was for.

A token says which session of an app it is for, and which in the row it is; the session knows the number that is good.
A number that is past is an answer that got lost, for some seconds after it was used; then it is a thief, or somebody
robbed, and nobody can tell which: the session ends. Spec: RFC 9700 section 4.14.2, OAuth 2.1 section 4.3.1.
"""

from __future__ import annotations

import base64
import re
from typing import Final, Literal, TypeAlias

import msgspec

from vestibule.core.seal import KeyRing
from vestibule.model import Session
from vestibule.protocol import base64url

PREFIX: Final = "vst_rt_"
LENGTH_MAX_CHARS: Final = 1024
_PURPOSE: Final = "refresh-token"
_TEXT_RE: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]+")

Verdict: TypeAlias = Literal["rotate", "again", "reused", "invalid"]


class Refresh(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a good token says."""

    session_id: str
    app: str
    number: int
    host: str = ""
    """What its access tokens are for: the one that the person let the app in at; empty: sealed by an older version."""


def seal(ring: KeyRing, refresh: Refresh, *, nonce: bytes) -> str:
    """The token; `nonce` is 12 random bytes."""
    return PREFIX + base64url.encode(
        ring.seal(_PURPOSE, msgspec.msgpack.encode(refresh), aad=b"", nonce=nonce)
    )


def read(ring: KeyRing, text: str) -> Refresh | None:
    """What the token says; None for what this ring never sealed."""
    if len(text) > LENGTH_MAX_CHARS or not _TEXT_RE.fullmatch(text):
        return None
    body = text[len(PREFIX) :]
    try:
        sealed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    plain = ring.open(_PURPOSE, sealed, aad=b"")
    try:
        return None if plain is None else msgspec.msgpack.decode(plain, type=Refresh)
    except msgspec.MsgspecError:
        return None


def judged(shown: Refresh, session: Session, *, leeway_s: float, now: float) -> Verdict:
    """What becomes of a token that is shown for this (living) session.

    `rotate`: it is the good one; `again`: the one before, and its answer may have got lost: its successor is given once
    more. `reused`: the session must end. `invalid`: it is another app's, or no app's.

    Threat: a stolen token. Whoever comes second with it, thief or robbed, ends the session for both.
    """
    # 1. Whose it is.
    if not session.app or session.app != shown.app:
        return "invalid"
    # 2. The good one.
    if shown.number == session.rotation:
        return "rotate"
    # 3. One that never was.
    if shown.number > session.rotation:
        return "invalid"
    # 4. The one before, a moment after.
    if shown.number == session.rotation - 1 and 0 <= now - session.rotated_at < leeway_s:
        return "again"
    return "reused"


def rotated(session: Session, *, now: float) -> Session:
    """The session whose good number is the next one."""
    return msgspec.structs.replace(session, rotation=session.rotation + 1, rotated_at=now)
