"""Logout tokens: what a provider sends when a session of its own is over (OpenID Connect Back-Channel Logout 1.0).

Anybody can post one, so it is believed when its signature holds and every check of one table passes. It looks much
like an ID token: what tells them apart is asked for here, as `protocol.oidc` asks for it there, so that neither is
ever taken for the other (section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from vestibule.errors import ClientError
from vestibule.protocol import jose
from vestibule.protocol.oidc import MAX_AGE_S, SKEW_S

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
NAME_MAX_CHARS: Final = 255
"""Of a `sid`, a `sub` or a `jti`: longer ones are no names that a provider gives."""
#: header types: its own (section 2.4), and the one that says nothing
_TYPES: Final = frozenset({"logout+jwt", "application/logout+jwt", "jwt"})
#: refused for want of a key that fits: the keys known here may be old ones
OF_OLD_KEYS: Final = frozenset({"logout_token_key", "logout_token_kid", "logout_token_signature"})


class LogoutToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a believed one says."""

    issuer: str
    sid: str = ""
    """The provider's session that is over; empty: all of the subject."""
    subject: str = ""
    """Whose; empty only where there is a `sid`."""
    jti: str
    issued_at: float
    until: float
    """From then on it is believed no more."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the claims are held against."""

    issuer: str
    client_id: str
    now: float


def key_id_of(raw: str) -> str | None:
    """The key it says it is signed with, unverified. Raises ClientError `logout_token_malformed`."""
    try:
        return jose.key_id_of(raw)
    except jose.TokenError as exc:
        raise _refused(exc.code, str(exc)) from exc


def verified(
    raw: str,
    keys: Sequence[Mapping[str, Any]],
    *,
    issuer: str,
    client_id: str,
    now: float,
    algorithms: Sequence[str],
) -> LogoutToken:
    """What the token says, every claim of it checked.

    Raises ClientError 400, whose code `logout_token_…` names the check that failed. Spec: Back-Channel Logout 1.0
    section 2.6. Not checked: that it has not been seen before (step 8), and whether there is such a session here.
    """
    # 1. to 3. A signed token in compact form, by a key and an algorithm as the issuer's ID tokens have them; an
    #    encrypted one was never asked for.
    try:
        found = jose.verify(raw, keys, algorithms=algorithms)
    except jose.TokenError as exc:
        raise _refused(exc.code, str(exc)) from exc
    if not _is_of_its_type(found):
        raise _refused("typ", "it is a token of another kind")
    # 4. to 7. Its claims.
    expected = Expected(issuer=issuer, client_id=client_id, now=now)
    for code, (what, holds) in _CHECKS.items():
        if not holds(found.claims, expected):
            raise _refused(code, f"{what} does not fit")
    claims = found.claims
    return LogoutToken(
        issuer=claims["iss"],
        sid=claims.get("sid", ""),
        subject=claims.get("sub", ""),
        jti=claims["jti"],
        issued_at=float(claims["iat"]),
        until=min(claims["exp"], claims["iat"] + MAX_AGE_S) + SKEW_S,
    )


def _is_of_its_type(found: jose.Verified) -> bool:
    """Threat: an access token of the same issuer, made for this client, passed off as a logout token."""
    kind = found.header.get("typ", "logout+jwt")
    claimed = found.claims.get("typ", "Logout")  # Keycloak: ID, Bearer, Refresh
    return isinstance(kind, str) and kind.lower() in _TYPES and claimed == "Logout"


def _is_issuer(claims: Mapping[str, Any], expected: Expected) -> bool:
    iss: Any = claims.get("iss")
    return isinstance(iss, str) and iss == expected.issuer


def _is_audience(claims: Mapping[str, Any], expected: Expected) -> bool:
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    return (
        isinstance(audiences, list)
        and all(isinstance(one, str) for one in audiences)
        and expected.client_id in audiences
    )


def _is_fresh(claims: Mapping[str, Any], expected: Expected) -> bool:
    iat: Any = claims.get("iat")
    return _is_time(iat) and expected.now - MAX_AGE_S <= iat <= expected.now + SKEW_S


def _is_unexpired(claims: Mapping[str, Any], expected: Expected) -> bool:
    exp: Any = claims.get("exp")
    return _is_time(exp) and expected.now < exp + SKEW_S


def _is_logout(claims: Mapping[str, Any], _expected: Expected) -> bool:
    """Threat: an ID token, or another security event (RFC 8417), that ends somebody's sessions."""
    events = claims.get("events")
    return isinstance(events, dict) and isinstance(events.get(EVENT), dict)


def _has_no_nonce(claims: Mapping[str, Any], _expected: Expected) -> bool:
    """Threat: as above; whoever issues logout tokens with one has them taken for ID tokens."""
    return "nonce" not in claims


def _names_somebody(claims: Mapping[str, Any], _expected: Expected) -> bool:
    """A session, a subject, or both; whichever is there is a name."""
    named = [claims[name] for name in ("sid", "sub") if name in claims]
    return bool(named) and all(_is_name(value) for value in named)


def _is_identified(claims: Mapping[str, Any], _expected: Expected) -> bool:
    return _is_name(claims.get("jti"))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_MAX_CHARS and value.isprintable()


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


#: code of the refusal, behind `logout_token_` → the claim, and what is asked of it; by the steps of section 2.6
_CHECKS: Final[Mapping[str, tuple[str, Callable[[Mapping[str, Any], Expected], bool]]]] = {
    "iss": ("iss", _is_issuer),  # 4
    "aud": ("aud", _is_audience),
    "iat": ("iat", _is_fresh),
    "expired": ("exp", _is_unexpired),
    "sub_or_sid": ("sub or sid", _names_somebody),  # 5
    "events": ("events", _is_logout),  # 6
    "nonce": ("nonce", _has_no_nonce),  # 7
    "jti": ("jti", _is_identified),  # section 2.4: always there
}


def _refused(code: str, why: str) -> ClientError:
    return ClientError(
        "the logout token can't be believed", detail=why, code=f"logout_token_{code}", status=400
    )
