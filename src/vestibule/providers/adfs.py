"""Signing in with Active Directory Federation Services: OpenID Connect as Windows Server 2016 and later have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

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
    has_lone_texts: ClassVar[bool] = True
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
