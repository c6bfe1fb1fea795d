"""`Proxy-Assertion`: who asks as a signed token for one host, and by which of the keys it is signed.

A key is published a day before it signs, so that whoever caches the set has it by then, and stays published until
the last token it signed has ended. All of that follows from when each key begins to sign, which every process reads
in the same table: so all of them sign by the same key, and none has to be told of a change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from vestibule.core.known import Known

LIFE_S: Final = 300.0
"""How long a token is good for."""
REUSE_S: Final = 60.0
"""How long the same token is sent again, since a signature costs more than the rest of a request."""
TYPE: Final = "vestibule-assertion+jwt"
"""`typ` of every assertion: no other token of the program's has it (RFC 8725 section 3.11)."""
LISTS_LIMIT_BYTES: Final = 4 * 1024
"""What groups and organisations may take in a token; beyond that they are left out whole."""

SIGNS_S: Final = 30 * 86_400.0
"""How long a key signs."""
PUBLISHED_S: Final = 86_400.0
"""How long before that it is published."""
KEPT_S: Final = 3_600.0
"""How long it is published after its last signature: the tokens' life, and clocks that don't agree."""


# -- what is said -----------------------------------------------------------------------------


def claims_of(
    known: Known, *, issuer: str, host: str, session: str, now: float, scopes: Iterable[str] | None = None
) -> dict[str, Any]:
    """What `Proxy-Assertion` says of who asks, to the backend of *host* alone; a text that isn't known isn't there.

    `session` says which one it is, and is no key to it. `scopes`: of the access token by which a session came, told
    where there are none, too; None: it came by its cookie, or is no session.
    Spec: RFC 7519 section 4.1, OpenID Connect Core section 5.1.
    """
    said: dict[str, Any] = {
        "iss": issuer,
        "aud": host,
        "sub": known.user_id,
        "sid": session,
        **_times(now),
        "auth_time": int(known.signed_in_at),
        "preferred_username": known.login,
        "name": known.name,
        "email": known.email,
        "email_verified": bool(known.email),
        "scope": " ".join(known.scopes),
    }
    bounded = {} if scopes is None else {"scope": " ".join(sorted(scopes))}
    return (
        {name: value for name, value in said.items() if value} | bounded | _lists(known, ("groups", "orgs"))
    )


def pomerium_claims_of(known: Known, *, host: str, session: str, now: float, token_id: str) -> dict[str, Any]:
    """What `X-Pomerium-Jwt-Assertion` says: all that Pomerium says, under its names; `iss` is the host's name."""
    return {
        "iss": host,
        "aud": host,
        "jti": token_id,
        **_times(now),
        "sub": known.user_id,
        "user": known.user_id,
        "sid": session,
        "email": known.email,
        "name": known.name,
    } | _lists(known, ("groups",))


def _times(now: float) -> dict[str, int]:
    return {"iat": int(now), "exp": int(now + LIFE_S)}


def _lists(known: Known, names: Sequence[str]) -> dict[str, list[str]]:
    """The person's lists; none at all where they are too long, since a shortened one would be a wrong one."""
    found = {name: list(getattr(known, name)) for name in names}
    return found if len(json.dumps(found)) <= LISTS_LIMIT_BYTES else {}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an assertion of a person's session says, to whoever is to give a token for it."""

    host: str
    """Whose backend it was made for."""
    user_id: str
    session: str
    """Which one, as `claims_of` has it."""
    scopes: tuple[str, ...] | None
    """Of the access token by which the session came; None: by its cookie."""
    expires_at: float


def said_in(claims: Mapping[str, Any], *, issuer: str, now: float) -> Said | None:
    """What these claims say, whose signature and `typ` are good; None for what is another's, over, or no session's.

    Threat: an assertion that was made for another auth host, and a machine's or a token's, which has no session.
    """
    texts = [claims.get(name) for name in ("aud", "sub", "sid")]
    expires_at, scope = claims.get("exp"), claims.get("scope")
    if claims.get("iss") != issuer or not isinstance(expires_at, int) or now >= expires_at:
        return None
    if not all(isinstance(text, str) and text for text in texts) or not isinstance(scope, str | None):
        return None
    host, user_id, session = map(str, texts)
    scopes = None if scope is None else tuple(scope.split())
    return Said(host=host, user_id=user_id, session=session, scopes=scopes, expires_at=expires_at)


# -- which key signs --------------------------------------------------------------------------


class Dated(Protocol):
    """A key, as far as it matters when it signs."""

    @property
    def number(self) -> int:
        """Grows from key to key."""

    @property
    def signs_at(self) -> float:
        """When it begins to sign."""


K = TypeVar("K", bound=Dated)


def signing(keys: Sequence[K], now: float) -> K | None:
    """The key that signs now: the newest that has begun to, or else the first; None where there is none."""
    begun = [key for key in keys if key.signs_at <= now]
    if begun:
        return max(begun, key=lambda key: key.number)
    # A first key signs at once, whatever the clock says of the machine that made it.
    return min(keys, key=lambda key: key.number, default=None)


def next_signs_at(keys: Sequence[Dated], now: float) -> float | None:
    """When a key that is made now shall begin to sign; None: no new one is due."""
    newest = max(keys, key=lambda key: key.number, default=None)
    if newest is None:
        return now
    if now < newest.signs_at + SIGNS_S - PUBLISHED_S:
        return None
    return now + PUBLISHED_S


def outlived(keys: Sequence[K], now: float) -> tuple[K, ...]:
    """The keys whose last tokens have ended: each was followed by another long enough ago."""
    current = signing(keys, now - KEPT_S)
    return () if current is None else tuple(key for key in keys if key.number < current.number)
