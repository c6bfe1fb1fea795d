"""Signing in with Auth0: OpenID Connect, with claims under a namespace and with organisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import msgspec

from vestibule.core import claim
from vestibule.model import Identity, Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig
from vestibule.providers.place import check_url, origin_of


class Auth0Config(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="auth0"):
    """A tenant of Auth0."""

    issuer: str = ""
    """Made of `domain`: leave it out."""
    domain: str
    """The tenant's domain, or its custom one: `example.eu.auth0.com`."""
    namespace: str = ""
    """What your Action writes before the names of claims of its own: with `https://example.com/` groups are read from
    `https://example.com/groups` and roles from `https://example.com/roles`."""
    organization: str = ""
    """ID (`org_…`) or name of the organisation that people sign in to; nobody else is let in."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        domain = self.domain.removeprefix("https://").rstrip("/")
        if not self.issuer:
            msgspec.structs.force_setattr(self, "issuer", f"https://{domain}/")
        check_url("domain", f"https://{domain}/" if domain else "", is_required=True)
        super().__post_init__()

    def open(self) -> Auth0:
        """The client; pure, fetches nothing."""
        return Auth0(self)


class Auth0(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Auth0"

    def __init__(self, config: Auth0Config) -> None:
        super().__init__(config)
        self._auth0 = config
        named = {
            "groups": f"{config.namespace}groups",
            "roles": f"{config.namespace}roles",
            "login": "nickname",
        }
        self.claims = {**self.default_claims, "orgs": "", **named, **config.claims}

    @property
    def is_restricted(self) -> bool:
        """Whether only some accounts are let in."""
        return super().is_restricted or bool(self._auth0.organization)

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Which organisation to sign in to."""
        return (("organization", self._auth0.organization),) if self._auth0.organization else ()

    def identity(self, at: Endpoints, claims: Mapping[str, Any], email: str) -> Identity:
        """The identity these claims give, with the organisation it signed in to by ID and by name."""
        found = super().identity(at, claims, email)
        orgs = [claim.text_of(claims.get(name)) for name in ("org_id", "org_name")]
        if not any(orgs) or self.claims["orgs"]:
            return found
        return claim.with_lists(found, orgs=tuple(org for org in orgs if org))

    def check_admitted(self, identity: Identity) -> None:
        """Raise ClientError (`not_admitted`, 403) for accounts of other organisations too.

        Threat: the parameter is only a wish: whoever leaves it out of the address signs in without organisation.
        """
        wanted = self._auth0.organization
        if wanted and wanted not in identity.orgs:
            raise self.not_admitted("not of the organization")
        super().check_admitted(identity)

    def sign_out_url(self, tokens: Tokens, return_to: str) -> Flow[str | None]:
        """The sign-out page; the older one where the tenant's metadata names none."""
        found = yield from super().sign_out_url(tokens, return_to)
        if found is not None or not self._auth0.sign_out_at_provider:
            return found
        query = urlencode({"client_id": self._auth0.client_id, "returnTo": return_to}, quote_via=quote)
        return f"{origin_of(self._auth0.issuer)}/v2/logout?{query}"
