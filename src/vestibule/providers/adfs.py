"""Signing in with Active Directory Federation Services: OpenID Connect as Windows Server 2016 and later have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vestibule.core import claim
from vestibule.model import Identity
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig


class AdfsConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="adfs"):
    """Active Directory Federation Services."""

    issuer: str
    """The server's URL: `https://fs.example.com/adfs`."""
    resource: str = ""
    """Identifier of the web API whose claim rules apply, where it isn't the client itself."""
    userinfo: bool = False
    """Ask the userinfo endpoint for claims that the ID token doesn't have; that of AD FS says `sub` only."""

    def open(self) -> Adfs:
        """The client; pure, fetches nothing."""
        return Adfs(self)


class Adfs(Oidc):
    """The client. AD FS never says that an address is verified: the operator does, or there is none."""

    title_of_kind: ClassVar[str] = "AD FS"
    default_claims: ClassVar[Mapping[str, str]] = {
        **Oidc.default_claims,
        "login": "upn",
        "groups": "group",
        "roles": "role",
        "orgs": "",
    }

    def __init__(self, config: AdfsConfig) -> None:
        super().__init__(config)
        self._resource = config.resource

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Which API's claim rules make the ID token."""
        return (("resource", self._resource),) if self._resource else ()

    def identity(self, at: Endpoints, claims: Mapping[str, Any], email: str) -> Identity:
        """The identity these claims give; AD FS writes a list of one as lone text. Raises ProviderInvalid."""
        del at
        return claim.identity_of(
            claims,
            self.claims,
            client=self.name,
            issuer=self._oidc.issuer,
            subject=claims["sub"],
            email=email,
            is_lone_text=True,
        )
