"""Signing in with a user pool of Amazon Cognito: OpenID Connect, with a sign-out page of its own kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode

import msgspec

from vestibule.model import Identity, Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig
from vestibule.providers.place import origin_of

_POOL_RE: Final = re.compile(r"([a-z]{2}(?:-[a-z]+)+-\d)_[A-Za-z0-9]+")
_GROUPS: Final = "cognito:groups"


class CognitoConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="cognito"):
    """A user pool of Amazon Cognito."""

    issuer: str = ""
    """Made of `user_pool`; only a test has another."""
    user_pool: str
    """ID of the user pool: `eu-central-1_AbCdEfGhI`."""
    userinfo: bool = False
    """Ask the userinfo endpoint for claims that the ID token doesn't have; Cognito's token has them all."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        found = _POOL_RE.fullmatch(self.user_pool)
        if found is None:
            raise ValueError('user_pool is the ID of a user pool: user_pool = "eu-central-1_AbCdEfGhI"')
        if not self.issuer:
            suffix = "amazonaws.com.cn" if found[1].startswith("cn-") else "amazonaws.com"
            issuer = f"https://cognito-idp.{found[1]}.{suffix}/{self.user_pool}"
            msgspec.structs.force_setattr(self, "issuer", issuer)
        super().__post_init__()

    def open(self) -> Cognito:
        """The client; pure, fetches nothing."""
        return Cognito(self)


class Cognito(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Amazon Cognito"
    default_claims: ClassVar[Mapping[str, str]] = {
        **Oidc.default_claims,
        "login": "cognito:username",
        "groups": _GROUPS,
        "roles": "cognito:roles",
        "orgs": "",
    }

    def identity(self, at: Endpoints, claims: Mapping[str, Any], email: str) -> Identity:
        """The identity these claims give; who is in no group has no such claim."""
        return super().identity(at, {_GROUPS: [], **claims}, email)

    def sign_out_url(self, tokens: Tokens, return_to: str) -> Flow[str | None]:
        """The hosted pages' own sign-out, which wants `logout_uri`: it stands beside their sign-in."""
        del tokens
        at = yield from self.endpoints()
        if not self._oidc.sign_out_at_provider:
            return None
        query = urlencode({"client_id": self._oidc.client_id, "logout_uri": return_to}, quote_via=quote)
        return f"{origin_of(at.authorize_url)}/logout?{query}"
