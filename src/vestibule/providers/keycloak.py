"""Signing in with Keycloak: OpenID Connect, and the roles of a realm and its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote

import msgspec

from vestibule.core import claim
from vestibule.errors import ProviderInvalid, ProviderRefused
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import jose
from vestibule.protocol import oidc as connect
from vestibule.providers.base import Answer
from vestibule.providers.kit import Flow, Keys
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import FRESH_S, Oidc, OidcConfig
from vestibule.providers.place import check_url

_REALM_ROLES: Final = "realm_access"
_CLIENT_ROLES: Final = "resource_access"


class KeycloakConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="keycloak"):
    """A realm of Keycloak."""

    issuer: str = ""
    """The realm's URL: `https://HOST/realms/REALM`. Write this, or `base_url` and `realm`."""
    base_url: str = ""
    """Where Keycloak is: `https://HOST`, before version 17 `https://HOST/auth`."""
    realm: str = ""
    """Name of the realm at `base_url`."""
    access_token_roles: bool = True
    """Read roles from the access token, where Keycloak puts them: realm roles as `ROLE`, a client's as
    `CLIENT:ROLE`. False where mappers of your own put roles into the ID token or userinfo: then write
    `claims { roles = "…" }`."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        if not self.issuer:
            if not self.base_url or not self.realm:
                raise ValueError(
                    'issuer is missing: issuer = "https://HOST/realms/REALM", or base_url and realm'
                )
            check_url("base_url", self.base_url)
            issuer = f"{self.base_url.rstrip('/')}/realms/{quote(self.realm, safe='')}"
            msgspec.structs.force_setattr(self, "issuer", issuer)
        elif self.base_url or self.realm:
            raise ValueError("issuer stands instead of base_url and realm: write one or the other")
        super().__post_init__()

    def open(self) -> Keycloak:
        """The client; pure, fetches nothing."""
        return Keycloak(self)


class Keycloak(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Keycloak"
    default_claims: ClassVar[Mapping[str, str]] = {**Oidc.default_claims, "orgs": "organization"}

    def __init__(self, config: KeycloakConfig) -> None:
        super().__init__(config)
        self._reads_access_token = config.access_token_roles and "roles" not in config.claims

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who the ID token says has come, with the roles that the access token says they have."""
        found = yield from super().identify(at, tokens, answer)
        if found is None or not self._reads_access_token:
            return found
        claims = yield from self._access_claims(at, tokens.access_token, found.subject, answer)
        roles = roles_in(claims)
        return found if roles is None else claim.with_lists(found, roles=roles)

    def identity(self, at: Endpoints, claims: Mapping[str, Any], email: str) -> Identity:
        """The identity these claims give; organisations may stand there as an object of details."""
        orgs = claims.get("organization")
        if isinstance(orgs, Mapping):
            claims = {**claims, "organization": list(orgs)}
        return super().identity(at, claims, email)

    def revoke(self, tokens: Tokens, now: float, *, for_good: bool = False) -> Flow[None]:
        """End the one session there that the tokens are of; `for_good`, all that the person has by this client.

        Keycloak's revocation endpoint revokes, with one token, those of all sessions that the person has by the client:
        who signs out on one device would be out on every other. So its logout endpoint is shown the refresh token.
        """
        if for_good:
            yield from super().revoke(tokens, now, for_good=True)
            return
        at = yield from self.endpoints()
        if tokens.refresh_token is not None and at.end_session_url and self._oidc.revoke_at_sign_out:
            form = (("refresh_token", tokens.refresh_token.reveal()),)
            yield from self._post(at.end_session_url, form, at, now)

    def _access_claims(
        self, at: Endpoints, token: Secret, subject: str, answer: Answer
    ) -> Flow[dict[str, Any]]:
        """The claims of the access token, which is the realm's, this client's, the person's, and good now.

        Raises ProviderInvalid (`access_token_…`); ProviderRefused for one that is too old to say what holds now.
        Threat: roles out of a token that nobody has verified, or that was made for another client or person.
        Not checked: `aud`, which names the APIs that the token is for (`account`) and not this client; `azp` does.
        """
        try:
            keys = yield Keys(at.jwks_url, jose.key_id_of(token.reveal()), at.via)
            verified = jose.verify(token.reveal(), keys, algorithms=at.algorithms)
        except jose.TokenError as exc:
            raise _unbelieved(exc.code, str(exc)) from exc
        claims = verified.claims
        for name, holds in {
            "iss": claims.get("iss") == at.issuer,
            "typ": _is_access_token(verified),
            "azp": claims.get("azp") == self._config.client_id,
            "sub": claims.get("sub", subject) == subject,
            "expired": answer.now < _number(claims.get("exp")) + connect.SKEW_S,
        }.items():
            if not holds:
                raise _unbelieved(name, f"{name} does not fit")
        if not answer.nonce and answer.now - _number(claims.get("iat")) > FRESH_S:
            raise ProviderRefused("invalid_grant", "nothing fresh: the access token is of an earlier hour")
        return claims


def roles_in(claims: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The roles of a realm as `ROLE`, of its clients as `CLIENT:ROLE`; None where the token speaks of none.

    Raises ProviderInvalid (`claim_invalid`) for roles of the wrong shape.
    """
    if _REALM_ROLES not in claims and _CLIENT_ROLES not in claims:
        return None
    found = list(_roles(claims.get(_REALM_ROLES, {}), _REALM_ROLES))
    clients = claims.get(_CLIENT_ROLES, {})
    if not isinstance(clients, Mapping):
        raise _unreadable(_CLIENT_ROLES)
    for client, access in clients.items():
        found += (f"{client}:{role}" for role in _roles(access, _CLIENT_ROLES))
    return claim.texts_of(found, "roles")


def _roles(access: Any, name: str) -> tuple[str, ...]:
    if not isinstance(access, Mapping):
        raise _unreadable(name)
    return claim.texts_of(access.get("roles", []), f"{name}.roles")


def _is_access_token(verified: jose.Verified) -> bool:
    """Threat: an ID token, a refresh token or a logout token of the realm in place of an access token."""
    return verified.claims.get("typ") == "Bearer" or verified.header.get("typ") == "at+jwt"


def _number(value: Any) -> float:
    """A time; long ago where there is none."""
    return value if isinstance(value, int | float) else 0.0


def _unbelieved(code: str, detail: str) -> ProviderInvalid:
    return ProviderInvalid("its access token can't be believed", detail=detail, code=f"access_token_{code}")


def _unreadable(name: str) -> ProviderInvalid:
    return ProviderInvalid(
        "the provider's groups or roles can't be read",
        detail=f"claim {name} is no object",
        code="claim_invalid",
    )
