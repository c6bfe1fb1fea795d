"""A session's handle as a JSON Web Token (RFC 7519), for who wants one of that form: cookie of a domain, or bearer.

It says which session it is, by the handle, and nothing of the person: the store is asked with every handle, in a token
or bare, so what was signed out is out. HMAC by the key ring, under a subkey and a `typ` of its own: no other token or
mark of this program passes for one, and only this program can check it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from vestibule.core.seal import KeyRing
from vestibule.core.session import is_handle
from vestibule.protocol import base64url

TYPE: Final = "vestibule-session+jwt"
_ALGORITHM: Final = "HS256"
_PURPOSE: Final = "session-token"
_MAX_BYTES: Final = 1024


def audience_of(realm: str) -> str:
    """Where a token is good whose session is good in this realm (`Session.host`): the host, or the domain."""
    return realm.removeprefix(".")


def is_one(raw: bytes) -> bool:
    """True for what says it is such a token, whoever made it."""
    header = raw.partition(b".")[0]
    return raw.count(b".") == 2 and len(header) <= _MAX_BYTES and _object(header).get("typ") == TYPE


def write(ring: KeyRing, handle: str, *, domain: str, now: float, expires_at: float) -> str:
    """The token, in compact form: good in this domain (`audience_of`), for as long as the session lives."""
    header = {"alg": _ALGORITHM, "typ": TYPE, "kid": ring.active_id}
    claims = {"aud": domain, "sid": handle, "iat": int(now), "exp": int(expires_at)}
    signed = f"{_encoded(header)}.{_encoded(claims)}"
    return f"{signed}.{base64url.encode(ring.mac(_PURPOSE, signed.encode()))}"


def read(ring: KeyRing, raw: bytes, *, domain: str) -> str | None:
    """The handle in the token; None for what this ring didn't sign for this domain.

    Does not look at `exp`: that is the session's own end, which is asked of the store.
    """
    found = read_any(ring, raw)
    return found[0] if found is not None and found[1] == domain else None


def read_any(ring: KeyRing, raw: bytes) -> tuple[str, str] | None:
    """The handle in the token, and for which domain or host it is; None for what this ring didn't sign."""
    signed, dot, raw_mac = raw.rpartition(b".")
    raw_header, _, raw_claims = signed.partition(b".")
    mac = _decoded(raw_mac) if dot and len(raw) <= _MAX_BYTES else None
    if mac is None or not ring.check_mac(_PURPOSE, signed, mac):
        return None
    header, claims = _object(raw_header), _object(raw_claims)
    handle, audience = claims.get("sid"), claims.get("aud")
    is_ours = header.get("alg") == _ALGORITHM and header.get("typ") == TYPE
    if not (is_ours and isinstance(audience, str) and isinstance(handle, str) and is_handle(handle)):
        return None
    return handle, audience


def _encoded(value: dict[str, Any]) -> str:
    return base64url.encode(msgspec.json.encode(value))


def _object(raw: bytes) -> dict[str, Any]:
    """The JSON object; empty for what is none."""
    try:
        found = msgspec.json.decode(_decoded(raw) or b"")
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _decoded(raw: bytes) -> bytes | None:
    return base64url.decode(raw.decode("latin-1"))
