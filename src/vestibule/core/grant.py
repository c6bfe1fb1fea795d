"""What a grant is good for, and the sealed form it is kept in.

The box is bound to (owner, client, version): no row can stand in for another, nor an older version for a
newer.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

from vestibule.core.seal import KeyRing
from vestibule.model import Grant, Secret, Tokens

EARLY_S: Final = 30.0
"""How long before its end an access token is replaced; at most half its life."""
REJECTED_S: Final = 10.0
"""How soon after a refresh because of a 401 the next one may be done for the same reason."""
_PURPOSE: Final = "grant"


class Standing(enum.Enum):
    """What a grant is good for now."""

    USE = enum.auto()
    REFRESH = enum.auto()
    GONE = enum.auto()


def standing(grant: Grant, *, can_refresh: bool, rejected: Secret | None, now: float) -> Standing:
    """Whether its access token is to be used, replaced, or is dead with nothing to replace it.

    An access token without a known end is used until an API rejects it. One that can't be replaced is used
    to its very end, rejected or not: the API's 401 is then the best there is to say.
    """
    tokens = grant.tokens
    if not can_refresh or tokens.refresh_token is None:
        return Standing.USE if is_alive(tokens, now) else Standing.GONE
    if is_due(tokens, grant.obtained_at, now):
        return Standing.REFRESH
    if rejected is None or tokens.access_token != rejected:
        return Standing.USE
    just_did = grant.rejected_at is not None and now < grant.rejected_at + REJECTED_S
    return Standing.USE if just_did else Standing.REFRESH


def is_due(tokens: Tokens, obtained_at: float, now: float) -> bool:
    """True when the access token is so near its end that the next one should be had."""
    if tokens.expires_at is None:
        return False
    return now >= tokens.expires_at - min(EARLY_S, (tokens.expires_at - obtained_at) / 2)


def is_alive(tokens: Tokens, now: float) -> bool:
    """True while the access token's end, as far as it is known, has not come."""
    return tokens.expires_at is None or now < tokens.expires_at


class _Box(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sealed of a grant; fields may be added, never reused."""

    tokens: Tokens
    obtained_at: float
    refreshing_since: float | None = None
    rejected_at: float | None = None
    place: str = ""


def sealed(grant: Grant, keys: KeyRing, *, nonce: bytes) -> bytes:
    """The grant as it is stored."""
    box = _Box(grant.tokens, grant.obtained_at, grant.refreshing_since, grant.rejected_at, grant.place)
    plain = msgspec.json.encode(box, enc_hook=_revealed)
    return keys.seal(_PURPOSE, plain, aad=_place(grant.owner, grant.client, grant.version), nonce=nonce)


def opened(raw: bytes, keys: KeyRing, *, owner: str, client: str, version: int) -> Grant | None:
    """The grant that was sealed for this place and version; None for anything else."""
    plain = keys.open(_PURPOSE, raw, aad=_place(owner, client, version))
    if plain is None:
        return None
    box = msgspec.json.decode(plain, type=_Box, dec_hook=_secret)
    return Grant(
        owner=owner,
        client=client,
        version=version,
        tokens=box.tokens,
        obtained_at=box.obtained_at,
        refreshing_since=box.refreshing_since,
        rejected_at=box.rejected_at,
        place=box.place,
    )


def _place(owner: str, client: str, version: int) -> bytes:
    """What the box is bound to; an id and a name hold no NUL."""
    return f"{owner}\0{client}\0{version}".encode()


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _secret(_wanted: type, value: Any) -> Secret:
    return Secret(value)
