"""A sign-in at an OpenID provider played by hand: its metadata, a signed ID token, and whatever its kind asks besides."""

from __future__ import annotations

from typing import Any

from tests.unit.providers.player import NOW, came_back, jwks_of, play, token_reply
from tests.unit.providers.test_oidc import ISSUER, METADATA, RSA, id_token
from vestibule.errors import ClientError
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol.jose import SigningKey
from vestibule.providers.kit import Ask
from vestibule.providers.oidc import Oidc


def metadata_of(issuer: str, **members: Any) -> dict[str, Any]:
    """What an issuer with this name says of itself; its endpoints stand where those of `test_oidc` do."""
    return {**METADATA, "issuer": issuer, "authorization_response_iss_parameter_supported": False, **members}


def sign_in(
    op: Oidc,
    *then: Any,
    metadata: dict[str, Any] | None = None,
    access_token: str = "at-1",
    key: SigningKey = RSA,
    keys: Any = None,
    **claims: Any,
) -> tuple[Identity, list[Ask]]:
    """Who signs in with an ID token of these claims, and what was asked; `then` answers what comes after the keys."""
    found = metadata or metadata_of(op._oidc.issuer)
    raw = id_token(key, **{"iss": found["issuer"], **claims})
    answers = [found, token_reply(id_token=raw, access_token=access_token), keys or jwks_of(RSA), *then]
    signed_in, asked = play(op.finish(came_back(code="c0de")), *answers)
    assert signed_in.identity is not None
    return signed_in.identity, asked


def recheck(
    op: Oidc,
    identity: Identity,
    *then: Any,
    metadata: dict[str, Any] | None = None,
    at: str = "at-1",
    **claims: Any,
) -> Identity:
    """Who somebody is when they are looked at again with an ID token that was made just now."""
    found = metadata or metadata_of(op._oidc.issuer)
    raw = id_token(**{"iss": found["issuer"], "nonce": None, "iat": int(NOW) - 5, **claims})
    tokens = Tokens(access_token=Secret(at), id_token=Secret(raw))
    again, _ = play(op.recheck(identity, tokens, NOW), found, jwks_of(RSA), *then)
    return again


def refused(error: BaseException) -> bool:
    """True for the error by which somebody isn't let in."""
    return isinstance(error, ClientError) and (error.status, error.code) == (403, "not_admitted")


__all__ = ("ISSUER", "metadata_of", "recheck", "refused", "sign_in")
