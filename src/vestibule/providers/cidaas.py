"""Signing in with cidaas: OpenID Connect, with groups in which people have roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vestibule.core import claim
from vestibule.errors import ProviderInvalid
from vestibule.model import Identity
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig


class CidaasConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="cidaas"):
    """An instance of cidaas."""

    issuer: str
    """The instance's URL: `https://example.cidaas.de`."""

    def open(self) -> Cidaas:
        """The client; pure, fetches nothing."""
        return Cidaas(self)


class Cidaas(Oidc):
    """The client. Groups are known by their IDs, roles as `ROLE`, and those within a group as `GROUP:ROLE`."""

    title_of_kind: ClassVar[str] = "cidaas"
    default_scopes: ClassVar[tuple[str, ...]] = ("openid", "profile", "email", "groups", "roles")
    default_claims: ClassVar[Mapping[str, str]] = {**Oidc.default_claims, "roles": "roles"}

    def identity(self, at: Endpoints, claims: Mapping[str, Any], email: str) -> Identity:
        """The identity these claims give; groups may be objects with roles. Raises ProviderInvalid."""
        path = self.claims["groups"]
        held = claim.at(claims, path) if path else None
        if not isinstance(held, list) or not any(isinstance(group, Mapping) for group in held):
            return super().identity(at, claims, email)
        groups, roles = _flat(held)
        found = super().identity(at, {**claims, path: groups}, email)
        return claim.with_lists(found, roles=claim.texts_of([*found.roles, *roles], "roles"))


def _flat(held: list[Any]) -> tuple[list[str], list[str]]:
    """IDs of the groups, and the roles within them. Raises ProviderInvalid (`claim_invalid`)."""
    groups, roles = [], []
    for group in held:
        name = group.get("groupId") if isinstance(group, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ProviderInvalid(
                "the provider's groups or roles can't be read",
                detail="claim groups has an entry without groupId",
                code="claim_invalid",
            )
        groups.append(name)
        roles += [f"{name}:{role}" for role in claim.texts_of(group.get("roles", []), "groups.roles")]
    return groups, roles
