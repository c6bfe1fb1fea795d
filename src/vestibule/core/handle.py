"""The `Proxy-Session` handle: what a backend holds to make calls as the person, good for one host and a short time.

Sealed, so that it tells its holder nothing: expiry, host and the session's permanent id.
"""

from __future__ import annotations

import base64
import struct

import msgspec

from vestibule.core.lifetimes import USUAL
from vestibule.core.seal import KeyRing
from vestibule.protocol import base64url

LIFE_S = USUAL.handle_s
LENGTH_LIMIT_CHARS = 1024
_PURPOSE = "proxy-session"
_FRONT = struct.Struct(">dH")


class Handle(msgspec.Struct, frozen=True):
    """What a good handle says."""

    session_id: str
    host: str
    expires_at: float


def seal_handle(ring: KeyRing, session_id: str, host: str, expires_at: float, *, nonce: bytes) -> str:
    """The handle; `nonce` is 12 random bytes."""
    name = host.encode()
    sealed = ring.seal(
        _PURPOSE, _FRONT.pack(expires_at, len(name)) + name + session_id.encode(), aad=b"", nonce=nonce
    )
    return base64url.encode(sealed)


def open_handle(ring: KeyRing, raw: bytes, now: float) -> Handle | str:
    """What the handle says, or the code of what is wrong with it: `handle_invalid`, `handle_expired`.

    Does not check that the session lives, nor that the host may call where it calls.
    """
    if not raw or len(raw) > LENGTH_LIMIT_CHARS:
        return "handle_invalid"
    try:
        sealed = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return "handle_invalid"
    plain = ring.open(_PURPOSE, sealed, aad=b"")
    if plain is None:
        return "handle_invalid"
    expires_at, length = _FRONT.unpack_from(plain)
    if now >= expires_at:
        return "handle_expired"
    name, session_id = plain[_FRONT.size : _FRONT.size + length], plain[_FRONT.size + length :]
    return Handle(session_id.decode(), name.decode(), expires_at)
