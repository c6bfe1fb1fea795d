"""Signing in with Discord: OAuth 2.0, its API 10, servers ("guilds") and the roles in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from vestibule.core import claim
from vestibule.model import Secret, Tokens
from vestibule.providers.kit import Flow, Get, Reply
from vestibule.providers.listing import listed, object_at, object_in, unreadable
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.server import Paths, Server, ServerConfig

_PAGE: Final = 200
_ROLE_RE: Final = re.compile(r"[0-9]+/[0-9]+")


class DiscordConfig(ServerConfig, frozen=True, kw_only=True, tag_field="type", tag="discord"):
    """Discord accounts. Of several `allowed_…` lists each must hold."""

    allowed_guilds: tuple[str, ...] = ()
    """Only members of one of these servers are let in, each by its number: its name may be anybody's. Empty: any
    account. Makes the scope `guilds` be asked for."""
    allowed_roles: tuple[str, ...] = ()
    """Only who has one of these roles is let in, each as `SERVER/ROLE`, both by number. Makes the scope
    `guilds.members.read` be asked for."""
    web_url: str = "https://discord.com"
    """Where Discord is; only a test has another."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        if not all(claim.is_number(guild) for guild in self.allowed_guilds):
            raise ValueError("allowed_guilds are written as numbers: a name may be anybody's")
        if not all(_ROLE_RE.fullmatch(role) for role in self.allowed_roles):
            raise ValueError('allowed_roles are written "SERVER/ROLE", both as numbers')
        for name, scope in (("allowed_guilds", "guilds"), ("allowed_roles", "guilds.members.read")):
            if getattr(self, name) and self.scopes and scope not in self.scopes:
                raise ValueError(f'{name} needs the scope "{scope}"')

    def open(self) -> Discord:
        """The client; pure, fetches nothing."""
        return Discord(self)


class Discord(Server):
    """The client."""

    title_of_kind: ClassVar[str] = "Discord"
    paths: ClassVar[Paths] = Paths(
        "/oauth2/authorize", "/api/oauth2/token", "/api/v10/users/@me", "/api/oauth2/token/revoke"
    )
    default_scopes: ClassVar[tuple[str, ...]] = ("identify", "email")
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "id",
        "login": "username",
        "name": "global_name",
        "email": "email",
        "email_verified": "verified",
        "orgs": "guilds",
        "roles": "guild_roles",
    }

    def __init__(self, config: DiscordConfig) -> None:
        super().__init__(config)
        self._discord = config
        self._me = f"{self.web_url}/api/v10/users/@me"
        if not config.scopes:
            guilds = ("guilds",) if config.allowed_guilds else ()
            roles = ("guilds.members.read",) if config.allowed_roles else ()
            self.scopes = (*self.default_scopes, *guilds, *roles)

    def allowed(self, name: str) -> tuple[str, ...]:
        """Servers are its organisations; else as written."""
        return self._discord.allowed_guilds if name == "orgs" else super().allowed(name)

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """The account with the numbers of its servers and, in those of `allowed_roles`, of its roles."""
        token = tokens.access_token
        # What Discord might one day call by these names is not taken for ours.
        found: dict[str, Any] = {
            **(yield from object_at(at.userinfo_url, token)),
            "guilds": None,
            "guild_roles": None,
        }
        if "guilds" in self.scopes:
            guilds = yield from listed(f"{self._me}/guilds?limit={_PAGE}", token, following=_after)
            found["guilds"] = [_number_of(guild) for guild in guilds]
        if self._discord.allowed_roles:
            found["guild_roles"] = yield from self._roles(token)
        return found

    def _roles(self, token: Secret) -> Flow[list[str]]:
        roles = []
        for guild in dict.fromkeys(role.partition("/")[0] for role in self._discord.allowed_roles):
            url = f"{self._me}/guilds/{guild}/member"
            reply: Reply = yield Get(url=url, bearer=token)
            if reply.status == 404:
                continue
            member = object_in(reply, url)
            # Who has not yet agreed to a server's rules holds none of its roles.
            if member.get("pending") is not True:
                roles += [f"{guild}/{role}" for role in claim.texts_of(member.get("roles"), "roles")]
        return roles


def _after(url: str, reply: Reply, page: Any) -> Any:
    """A full page is followed by the servers after its last one."""
    del url, reply
    return f"?limit={_PAGE}&after={_number_of(page[-1])}" if len(page) >= _PAGE else None


def _number_of(guild: Mapping[str, Any]) -> str:
    number = claim.text_of(guild.get("id"))
    if not claim.is_number(number):
        raise unreadable("a server without id")
    return number
