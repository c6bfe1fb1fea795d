"""Signing in with Twitch: OpenID Connect, whose claims must each be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

from vestibule.providers.kit import Flow
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig

_CLAIMS: Final = ("email", "email_verified", "preferred_username")


class TwitchConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="twitch"):
    """Twitch accounts."""

    issuer: str = "https://id.twitch.tv/oauth2"
    """Twitch's issuer; only a test has another."""

    def open(self) -> Twitch:
        """The client; pure, fetches nothing."""
        return Twitch(self)


class Twitch(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Twitch"
    hints: ClassVar[Mapping[str, str]] = {}
    default_auth_style: ClassVar[str] = "post"
    default_scopes: ClassVar[tuple[str, ...]] = ("openid", "user:read:email")
    default_claims: ClassVar[Mapping[str, str]] = {
        "login": "preferred_username",
        "name": "preferred_username",
        "email": "email",
        "email_verified": "email_verified",
    }

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The claims, for the ID token and for userinfo. Spec: OpenID Connect Core 1.0 section 5.5."""
        wanted = dict.fromkeys(_CLAIMS)
        return (("claims", msgspec.json.encode({"id_token": wanted, "userinfo": wanted}).decode()),)

    def endpoints(self) -> Flow[Endpoints]:
        """Those of the metadata, and the place to revoke tokens, which that leaves out."""
        at = yield from super().endpoints()
        return msgspec.structs.replace(at, revoke_url=at.revoke_url or f"{self._oidc.issuer}/revoke")
