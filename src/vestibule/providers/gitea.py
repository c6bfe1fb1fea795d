"""Signing in with Gitea, and its kin: OpenID Connect, and its API for addresses, organisations and teams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from vestibule.core import claim
from vestibule.core.person import primary_verified_email
from vestibule.model import Identity, Secret, Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import listed, unreadable
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig

_READS_ORGS: Final = frozenset({"read:organization", "write:organization", "all"})
#: scopes that say nothing about the API: a token with these alone may read all of it
_GENERAL: Final = frozenset({"openid", "profile", "email", "groups"})


class GiteaConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="gitea"):
    """A Gitea server. Of several `allowed_…` lists each must hold."""

    web_url: str
    """Where it is: its `ROOT_URL`."""
    issuer: str = ""
    """Its issuer, where that isn't `web_url`."""
    allowed_teams: tuple[str, ...] = ()
    """Only members of one of these teams are let in, each as `org/team`; empty: any account."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        self.take_issuer(self.web_url)
        super().__post_init__()
        if not all(team.count("/") == 1 for team in self.allowed_teams):
            raise ValueError('allowed_teams are written "org/team"')
        for name in ("allowed_orgs", "allowed_teams"):
            if getattr(self, name) and not _may_read_orgs(self.scopes):
                raise ValueError(f'{name} needs the scope "read:organization"')

    def open(self) -> Gitea:
        """The client; pure, fetches nothing."""
        return Gitea(self)


class Gitea(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Gitea"
    # Its tokens don't say when somebody signed in.
    hints: ClassVar[Mapping[str, str]] = {name: to for name, to in Oidc.hints.items() if name != "max_age"}
    folds_case: ClassVar[bool] = True
    default_scopes: ClassVar[tuple[str, ...]] = (*Oidc.default_scopes, "read:user", "read:organization")
    # Addresses come from the API: what the token calls verified is only that the account is active.
    default_claims: ClassVar[Mapping[str, str]] = {
        "login": "preferred_username",
        "name": "name",
        "email": "",
        "email_verified": "",
    }

    def __init__(self, config: GiteaConfig) -> None:
        super().__init__(config)
        self._gitea = config
        self._api = f"{config.web_url.rstrip('/')}/api/v1"

    def completed(self, identity: Identity, at: Endpoints, tokens: Tokens) -> Flow[Identity]:
        """The identity with its primary address, its organisations and its teams."""
        del at
        token = tokens.access_token
        if "email" in self.scopes:
            email = yield from self._address(token)
            identity = msgspec.structs.replace(identity, email=email)
        if not _may_read_orgs(self.scopes):
            return identity
        orgs = yield from listed(f"{self._api}/user/orgs?limit=50", token)
        teams = yield from listed(f"{self._api}/user/teams?limit=50", token)
        return claim.with_lists(
            identity,
            orgs=tuple(dict.fromkeys(_org_name(org) for org in orgs)),
            teams=tuple(dict.fromkeys(_team_name(team) for team in teams)),
        )

    def _address(self, token: Secret) -> Flow[str]:
        """The primary address, if the server has confirmed it."""
        found = yield from listed(f"{self._api}/user/emails", token)
        return primary_verified_email(found, email_domains=self.email_domains)


def _may_read_orgs(scopes: tuple[str, ...]) -> bool:
    """Whether a token of these scopes may list organisations. Where none are written the kind's own are asked for."""
    return bool(_READS_ORGS & set(scopes)) or not set(scopes) - _GENERAL


def _org_name(org: Any) -> str:
    name = claim.text_of(org.get("name") or org.get("username")) if isinstance(org, dict) else ""
    if not name:
        raise unreadable("an organisation without a name")
    return name


def _team_name(team: dict[str, Any]) -> str:
    return f"{_org_name(team.get('organization'))}/{_org_name(team)}"
