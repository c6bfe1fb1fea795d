"""Tokens that platforms sign for the programs they run: of builds, pods, virtual machines (RFC 7523, JWT-SVID).

Their form is a JWT's; whose workload one is, its claims say, which nobody here has looked at yet. All comparisons are
exact. There must be an end, and a subject; what is bound to a key is nobody's who only holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from vestibule.protocol.jose import TokenError

SKEW_S: Final = 60.0
SUBJECT_MAX_CHARS: Final = 512
_TYPES: Final = frozenset({"jwt", "jose", "at+jwt", "application/at+jwt"})
#: what says of itself that it is for something else
_OTHER_USES: Final = frozenset({"refresh", "refresh_token", "offline", "logout", "refreshtoken"})


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is held against."""

    issuers: tuple[str, ...]
    """Empty: whoever has the keys."""
    audience: tuple[str, ...]
    age_s: float
    """How long ago it may have been made at most; of one that doesn't say when, how long it may last."""
    now: float
    subject_start: str = ""
    """What its subject begins with."""
    once: bool = False
    """It must have an ID of its own."""
    no_person: bool = False
    """It must be a program's own, as Microsoft Entra tells it."""


def check(header: Mapping[str, Any], claims: Mapping[str, Any], expected: Expected) -> None:
    """Raise TokenError, whose code names the check that failed, for a token that is not good here and now.

    Spec: RFC 7523 section 3, RFC 8725, JWT-SVID sections 2 to 4. Does NOT look at the signature.
    """
    if not _is_type(header):
        raise TokenError("it is a token of another kind", "typ")
    for code, (why, holds) in _CHECKS.items():
        if not holds(claims, expected):
            raise TokenError(why, code)


def expiry_of(claims: Mapping[str, Any]) -> float:
    """When a token that was checked ends."""
    return _number(claims.get("exp")) or 0.0


def _is_type(header: Mapping[str, Any]) -> bool:
    """Threat: a logout token or a security event of the same issuer (RFC 8725 section 3.11)."""
    kind = header.get("typ", "JWT")
    return isinstance(kind, str) and kind.lower() in _TYPES


def _is_issuer(claims: Mapping[str, Any], expected: Expected) -> bool:
    iss = claims.get("iss")
    return not expected.issuers or (isinstance(iss, str) and iss in expected.issuers)


def _is_audience(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Threat: a token that was made for somebody else, shown here by that one."""
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        return False
    return not set(expected.audience).isdisjoint(audiences)


def _is_use(claims: Mapping[str, Any], _expected: Expected) -> bool:
    used_as = {str(claims[name]).lower() for name in ("typ", "token_use") if name in claims}
    return "events" not in claims and not used_as & _OTHER_USES


def _is_bearer(claims: Mapping[str, Any], _expected: Expected) -> bool:
    return "cnf" not in claims


def _is_of_program(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Threat: a person's token that an app has on their behalf: it names the app, too (`appid`, `azp`).

    Spec: Microsoft "Access token claims reference": `scp` is in tokens of people alone; `idtyp` is optional.
    """
    return not expected.no_person or ("scp" not in claims and claims.get("idtyp", "app") == "app")


def _has_subject(claims: Mapping[str, Any], expected: Expected) -> bool:
    value = claims.get("sub")
    return (
        isinstance(value, str)
        and 0 < len(value) <= SUBJECT_MAX_CHARS
        and value.isprintable()
        and value.strip() == value
        and value.startswith(expected.subject_start)
    )


def _is_unexpired(claims: Mapping[str, Any], expected: Expected) -> bool:
    exp = _number(claims.get("exp"))
    return exp is not None and expected.now < exp + SKEW_S


def _has_begun(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Neither `nbf` nor `iat` lies ahead."""
    told = [_number(claims[name]) for name in ("nbf", "iat") if name in claims]
    return all(at is not None and at <= expected.now + SKEW_S for at in told)


def _is_young(claims: Mapping[str, Any], expected: Expected) -> bool:
    """Threat: a token that lay about, and was good for years."""
    made_at, ends_at = _number(claims.get("iat")), _number(claims.get("exp"))
    if made_at is not None:
        return expected.now - made_at < expected.age_s + SKEW_S
    return ends_at is not None and ends_at - expected.now < expected.age_s + SKEW_S


def _has_id(claims: Mapping[str, Any], expected: Expected) -> bool:
    jti = claims.get("jti")
    return not expected.once or (isinstance(jti, str) and 0 < len(jti) <= SUBJECT_MAX_CHARS)


def _number(value: Any) -> float | None:
    """A NumericDate (RFC 7519 section 2): no text, no truth value, nothing beyond all times."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


#: code of the refusal → why, and what is asked of the claims; in this order
_CHECKS: Final[Mapping[str, tuple[str, Callable[[Mapping[str, Any], Expected], bool]]]] = {
    "iss": ("it is another issuer's", _is_issuer),
    "aud": ("it is not for this gateway: ask for one with another audience", _is_audience),
    "use": ("it is a token of another kind", _is_use),
    "cnf": ("it is bound to a key", _is_bearer),
    "person": ("it is a person's, which an app has on their behalf", _is_of_program),
    "sub": ("it doesn't say whose it is, or is another trust domain's", _has_subject),
    "expired": ("it has expired", _is_unexpired),
    "not_yet": ("it is not good yet", _has_begun),
    "age": ("it was made too long ago, or is good for too long", _is_young),
    "jti": ("it has no `jti`, by which it could be known to be new", _has_id),
}
