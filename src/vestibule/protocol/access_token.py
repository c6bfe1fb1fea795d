"""Access tokens as a resource server reads them: signed ones (RFC 9068), and what introspection says (RFC 7662).

A token is believed when its signature holds and every check of one table passes. All comparisons are exact. What says
of itself that it is another kind of token is none, and neither is one that is bound to a key: whoever holds it as a
bearer has not shown that key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from vestibule.protocol import jose
from vestibule.protocol.jose import TokenError

SKEW_S: Final = 60.0
SUBJECT_MAX_CHARS: Final = 1000

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
#: Keycloak's `typ` and the `token_use` of Cognito and Hydra, of what is no access token
_OTHER_USES: Final = frozenset({"refresh", "refresh_token", "offline", "logout", "refreshtoken"})
_ID_USES: Final = frozenset({"id", "id_token"})
_OF_ID_TOKENS: Final = ("nonce", "at_hash", "c_hash")


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a token's claims are held against."""

    issuer: str
    """Empty: whoever has the keys."""
    audience: tuple[str, ...]
    """Empty: not looked at."""
    now: float


def issuer_of(raw: str) -> str | None:
    """The issuer a signed token names, unverified: good for choosing who verifies it only; None for no such token."""
    try:
        issuer: Any = jose.unverified(raw).get("iss", "")
    except TokenError:
        return None
    return issuer if isinstance(issuer, str) else ""


def verify(
    raw: str, keys: Sequence[Mapping[str, Any]], expected: Expected, *, algorithms: Sequence[str]
) -> dict[str, Any]:
    """The claims of a signed access token, all checked.

    Raises TokenError, whose code names the check that failed; UnknownKeyError when no key fits, so that the key set
    may be fetched anew. Spec: RFC 9068 section 4, RFC 8725.
    """
    verified = jose.verify(raw, keys, algorithms=algorithms)
    if not _is_type(verified.header):
        raise TokenError("it is a token of another kind", "typ")
    _check(_OF_SIGNED, verified.claims, expected)
    return verified.claims


def check_introspected(document: Any, expected: Expected) -> dict[str, Any] | None:
    """What introspection says of a token that is good; None where it says that it is not active.

    Raises TokenError for one that is, but not here or not as a bearer's. Spec: RFC 7662 section 2.2. Threat: a refresh
    token shown as an access token: whoever asks is told `active` of both, and of access tokens only the type.
    """
    if not isinstance(document, dict) or document.get("active") is not True:
        return None
    _check(_OF_INTROSPECTED, document, expected)
    return document


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes granted: `scope` (RFC 9068 section 2.2.3) or `scp` (Entra, Okta), as a text or a list."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        items = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else []
        found.update(item for item in items if isinstance(item, str) and item)
    return frozenset(found)


def expiry_of(claims: Mapping[str, Any]) -> float | None:
    """When it ends; None where that isn't said."""
    return _number(claims.get("exp"))


def auth_time_of(claims: Mapping[str, Any]) -> float:
    """When its person signed in; 0 where that isn't said. Spec: RFC 9068 section 2.2.1, RFC 9470 section 6.1."""
    return _number(claims.get("auth_time")) or 0.0


def _check(checks: Mapping[str, _Check], claims: Mapping[str, Any], expected: Expected) -> None:
    for code, (why, holds) in checks.items():
        if not holds(claims, expected):
            raise TokenError(why, code)


def _is_type(header: Mapping[str, Any]) -> bool:
    """Threat: a logout token, a DPoP proof or a security event of the same issuer (RFC 8725 section 3.11)."""
    kind = header.get("typ", "JWT")
    return isinstance(kind, str) and kind.lower() in _TYPES


def _is_use(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Threat: an ID token passed off as an access token. It is for a client, which is no audience unless written so."""
    used_as = {str(claims[name]).lower() for name in ("typ", "token_use") if name in claims}
    if "events" in claims or used_as & _OTHER_USES:
        return False
    return bool(expected.audience) or not (
        used_as & _ID_USES or any(name in claims for name in _OF_ID_TOKENS)
    )


def _is_bearer(claims: Mapping[str, Any], _expected: Expected) -> bool:
    """Threat: a token stolen from somebody who bound it to a key (RFC 7800, 8705, 9449)."""
    return "cnf" not in claims


def _is_issuer(claims: Mapping[str, Any], expected: Expected) -> bool:
    iss = claims.get("iss")
    return not expected.issuer or (isinstance(iss, str) and iss == expected.issuer)


def _is_issuer_if_told(claims: Mapping[str, Any], expected: Expected) -> bool:
    return "iss" not in claims or _is_issuer(claims, expected)


def _is_audience(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Made for this host. Threat: a token that was made for another, shown here by that one (attacks.md O11)."""
    if not expected.audience:
        return True
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        return False
    return not set(expected.audience).isdisjoint(audiences)


def _has_subject(claims: Mapping[str, Any], _expected: Expected) -> bool:
    return _is_subject(claims.get("sub"))


def _has_subject_or_client(claims: Mapping[str, Any], _expected: Expected) -> bool:
    return _is_subject(claims["sub"] if "sub" in claims else claims.get("client_id"))


def _is_subject(value: Any) -> bool:
    is_text = isinstance(value, str) and 0 < len(value) <= SUBJECT_MAX_CHARS
    return is_text and value.isprintable() and value.strip() == value


def _is_unexpired(claims: Mapping[str, Any], expected: Expected) -> bool:
    exp = _number(claims.get("exp"))
    return exp is not None and expected.now < exp + SKEW_S


def _is_unexpired_if_told(claims: Mapping[str, Any], expected: Expected) -> bool:
    return "exp" not in claims or _is_unexpired(claims, expected)


def _has_begun(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Neither `nbf` nor `iat` lies ahead."""
    told = [_number(claims[name]) for name in ("nbf", "iat") if name in claims]
    return all(at is not None and at <= expected.now + SKEW_S for at in told)


def _is_bearer_type(claims: Mapping[str, Any], _expected: Expected) -> bool:
    kind = claims.get("token_type")
    return isinstance(kind, str) and kind.lower() == "bearer"


def _number(value: Any) -> float | None:
    """A NumericDate (RFC 7519 section 2): no text, no truth value, nothing beyond all times."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


_Check = tuple[str, Callable[[Mapping[str, Any], Expected], bool]]

#: code of the refusal → why, and what is asked of the claims; in this order
_OF_SIGNED: Final[Mapping[str, _Check]] = {
    "iss": ("it is another issuer's", _is_issuer),
    "aud": ("it is not for this host", _is_audience),
    "use": ("it is a token of another kind", _is_use),
    "cnf": ("it is bound to a key", _is_bearer),
    "sub": ("it doesn't say whose it is", _has_subject),
    "expired": ("it has expired", _is_unexpired),
    "not_yet": ("it is not good yet", _has_begun),
}
_OF_INTROSPECTED: Final[Mapping[str, _Check]] = {
    "iss": ("it is another issuer's", _is_issuer_if_told),
    "aud": ("it is not for this host", _is_audience),
    "typ": ("it is not said to be a bearer token", _is_bearer_type),
    "use": ("it is a token of another kind", _is_use),
    "cnf": ("it is bound to a key", _is_bearer),
    "sub": ("it doesn't say whose it is", _has_subject_or_client),
    "expired": ("it has expired", _is_unexpired_if_told),
    "not_yet": ("it is not good yet", _has_begun),
}
