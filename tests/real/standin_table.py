"""Stands in for the kinds whose API is a few documents: a table of what each answers, as it is documented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.real.standin import CLIENT, SECRET, StandIn


@dataclass(frozen=True)
class Row:
    """One kind: its URLs, what it answers, how it is set up, who is let in and what keeps the twin out."""

    authorize: str
    token: str
    api: Mapping[str, Any]
    """By path and, where one counts, query."""
    settings: Mapping[str, str] = field(default_factory=lambda: {"any": ""})
    always: str = 'web_url = "URL"'
    issuer: str = ""
    """Path of an OpenID provider's issuer; "/" for the server itself."""
    claims: Mapping[str, Any] = field(default_factory=dict)
    email: str = "ann@example.com"
    name: str = "Ann"
    denied: Mapping[str, Any] = field(default_factory=dict)
    """Other answers, by path, with which every client but `any` refuses; `claims` for those of the ID token."""
    client: str = CLIENT
    secret: str = SECRET
    takes_pkce: bool = True
    posts: bool = False
    """The one question goes by POST."""


SLACK = {"https://slack.com/team_id": "T0ACME", "https://slack.com/team_domain": "acme"}
PERSON = {"sub": "17", "name": "Ann", "email": "ann@example.com", "email_verified": True}
FORGE = Row(
    authorize="/login/oauth/authorize",
    token="/login/oauth/access_token",
    issuer="/",
    claims={"sub": "17", "name": "Ann", "preferred_username": "ann", "email": "m@evil.example"},
    api={
        "/api/v1/user/emails": [
            {"email": "old@evil.example", "verified": True, "primary": False},
            {"email": "ann@example.com", "verified": True, "primary": True},
        ],
        "/api/v1/user/orgs": [{"name": "one"}, {"name": "two"}, {"name": "acme"}],
        "/api/v1/user/teams": [{"name": "core", "organization": {"name": "acme"}}],
    },
    settings={"any": "", "org": 'allowed_orgs = ["acme"]', "team": 'allowed_teams = ["acme/core"]'},
    denied={
        "/api/v1/user/orgs": [{"name": "one"}, {"name": "two"}, {"name": "acme-evil"}],
        "/api/v1/user/teams": [{"name": "core", "organization": {"name": "evil"}}],
    },
)
KINDS: dict[str, Row] = {
    "gitea": FORGE,
    "forgejo": FORGE,
    "sourcehut": Row(
        authorize="/oauth2/authorize",
        token="/oauth2/access-token",
        posts=True,
        api={"/query": {"data": {"me": {"id": 17, "canonicalName": "Ann", "email": "ann@example.com"}}}},
    ),
    "nextcloud": Row(
        authorize="/index.php/apps/oauth2/authorize",
        token="/index.php/apps/oauth2/api/v1/token",
        api={
            "/ocs/v2.php/cloud/user": {
                "ocs": {
                    "data": {"id": "ann", "display-name": "Ann", "email": "a@b.example", "groups": ["staff"]}
                }
            }
        },
        settings={"any": "", "group": 'allowed_groups = ["staff"]'},
        denied={"/ocs/v2.php/cloud/user": {"ocs": {"data": {"id": "ann", "groups": ["staffers"]}}}},
        email="",
    ),
    "digitalocean": Row(
        authorize="/v1/oauth/authorize",
        token="/v1/oauth/token",
        always='web_url = "URL"\n  api_url = "URL"',
        api={
            "/v2/account": {
                "account": {
                    "uuid": "b6fr",
                    "name": "Ann",
                    "email": "ann@example.com",
                    "email_verified": True,
                    "team": {"uuid": "5df3", "name": "Acme"},
                }
            }
        },
        settings={"any": "", "team": 'allowed_teams = ["5df3"]'},
        denied={"/v2/account": {"account": {"uuid": "b6fr", "team": {"uuid": "666", "name": "5df3"}}}},
    ),
    "discord": Row(
        authorize="/oauth2/authorize",
        token="/api/oauth2/token",
        api={
            "/api/v10/users/@me": {
                "id": "80",
                "global_name": "Ann",
                "email": "ann@example.com",
                "verified": True,
            },
            "/api/v10/users/@me/guilds": [{"id": "800", "name": "Acme"}],
            "/api/v10/users/@me/guilds/800/member": {"roles": ["41"], "pending": False},
        },
        settings={
            "any": "",
            "server": 'allowed_guilds = ["800"]',
            "role": 'allowed_roles = ["800/41"]',
        },
        denied={
            "/api/v10/users/@me/guilds": [{"id": "9", "name": "800"}],
            "/api/v10/users/@me/guilds/800/member": {"roles": [], "pending": False},
        },
    ),
    "slack": Row(
        authorize="/openid/connect/authorize",
        token="/api/openid.connect.token",
        always='issuer = "URL"',
        issuer="/",
        claims={**PERSON, **SLACK},
        api={"/userinfo": {"ok": True, **PERSON, **SLACK}},
        settings={
            "any": "",
            "id": 'allowed_workspaces = ["T0ACME"]',
            "domain": 'allowed_workspaces = ["acme"]',
        },
        denied={
            "claims": {"https://slack.com/team_id": "T0EVIL", "https://slack.com/team_domain": "acme-evil"}
        },
    ),
    "twitch": Row(
        authorize="/oauth2/authorize",
        token="/oauth2/token",
        always='issuer = "URL/oauth2"',
        issuer="/oauth2",
        claims={"sub": "17", "preferred_username": "Ann", "email": "ann@example.com", "email_verified": True},
        api={"/userinfo": {"sub": "17"}},
    ),
    "facebook": Row(
        authorize="/v25.0/dialog/oauth",
        token="/v25.0/oauth/access_token",
        always='web_url = "URL"\n  api_url = "URL"',
        api={"/v25.0/me": {"id": "10220", "name": "Ann", "email": "ann@example.com"}},
        settings={"any": "assume_email_verified = true"},
    ),
    "linkedin": Row(
        authorize="/oauth/v2/authorization",
        token="/oauth/v2/accessToken",
        always='issuer = "URL/oauth"',
        issuer="/oauth",
        claims={**PERSON, "email_verified": "true"},
        api={"/userinfo": PERSON},
        takes_pkce=False,
    ),
    "homeassistant": Row(
        authorize="/auth/authorize",
        token="/auth/token",
        api={"/api/": {"message": "API running."}},
        client="http://localhost",
        secret="",
        email="",
        name="Home Assistant",
    ),
    "openstax": Row(
        authorize="/oauth/authorize",
        token="/oauth/token",
        api={
            "/api/user": {
                "uuid": "6b3a",
                "full_name": "Ann",
                "contact_infos": [{"type": "EmailAddress", "value": "ann@example.com", "is_verified": True}],
            }
        },
    ),
    "alibaba": Row(
        authorize="/oauth/authorize",
        token="/oauth/token",
        api={
            "/api/bff/v1.2/oauth2/userinfo": {
                "success": True,
                "data": {"sub": "2034", "nickname": "Ann", "ou_id": "ou-9"},
            }
        },
        settings={"any": "", "unit": 'allowed_orgs = ["ou-9"]'},
        denied={"/api/bff/v1.2/oauth2/userinfo": {"success": True, "data": {"sub": "2034", "ou_id": "ou-8"}}},
        email="",
    ),
}


class Table(StandIn):
    """The provider of one row."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row
        self.answers: dict[str, Any] = dict(row.api)
        self.claims: dict[str, Any] = dict(row.claims)
        # An instance's own, over those of the class.
        self.authorize_path = row.authorize  # type: ignore[misc]
        self.token_path = row.token  # type: ignore[misc]
        self.takes_pkce = row.takes_pkce  # type: ignore[misc]

    @property
    def issuer(self) -> str:
        return f"{self.url}{self.row.issuer}".rstrip("/")

    def public(self, request: web.Request) -> Any:
        if not self.row.issuer:
            return None
        if request.path == f"{self.row.issuer.rstrip('/')}/.well-known/openid-configuration":
            return self.metadata(userinfo_endpoint=f"{self.url}/userinfo")
        return self.keys if request.path == "/keys" else None

    def id_claims(self, flow: dict[str, str]) -> dict[str, Any] | None:
        if not self.row.issuer:
            return None
        if not self.row.takes_pkce:
            flow.pop("nonce", None)
        return self.claims

    async def api(self, request: web.Request) -> Any:
        if self.row.posts is not (request.method == "POST"):
            return None
        found = self.answers.get(request.path)
        return self.paged(request, found) if isinstance(found, list) else found
