"""Signing in with Okta: OpenID Connect by the organisation itself, or by one of its authorization servers."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

import msgspec

from vestibule.providers.oidc import Oidc, OidcConfig
from vestibule.providers.place import check_url


class OktaConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="okta"):
    """An organisation of Okta."""

    issuer: str = ""
    """The authorization server's URL. Write this, or `domain`."""
    domain: str = ""
    """The organisation's domain: `example.okta.com`."""
    authorization_server: str = ""
    """ID of a custom authorization server, as `default`; without it the organisation's own, which knows the scope
    `groups` by itself."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        if not self.issuer:
            domain = self.domain.removeprefix("https://").rstrip("/")
            if not domain:
                raise ValueError('domain is missing: domain = "example.okta.com", or an issuer')
            check_url("domain", f"https://{domain}")
            server = (
                f"/oauth2/{quote(self.authorization_server, safe='')}" if self.authorization_server else ""
            )
            msgspec.structs.force_setattr(self, "issuer", f"https://{domain}{server}")
        elif self.domain or self.authorization_server:
            raise ValueError(
                "issuer stands instead of domain and authorization_server: write one or the other"
            )
        super().__post_init__()

    def open(self) -> Okta:
        """The client; pure, fetches nothing."""
        return Okta(self)


class Okta(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Okta"

    def __init__(self, config: OktaConfig) -> None:
        super().__init__(config)
        # A custom server refuses a scope it wasn't given; the organisation's own always has this one.
        if not config.scopes and "/oauth2/" not in config.issuer:
            self.scopes = (*self.default_scopes, "groups")
