"""Signing in with DigitalOcean: OAuth 2.0 and `/v2/account`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from vestibule.core import claim
from vestibule.model import Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import object_at, unreadable
from vestibule.providers.oauth2 import Endpoints, PersonConfig, Userinfo
from vestibule.providers.place import check_own_urls

WEB_URL: Final = "https://cloud.digitalocean.com"
API_URL: Final = "https://api.digitalocean.com"


class DigitalOceanConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="digitalocean"):
    """DigitalOcean accounts."""

    allowed_teams: tuple[str, ...] = ()
    """Only who comes with one of these teams is let in, each by its UUID: a team's name may be anybody's. Empty: any
    account."""
    web_url: str = WEB_URL
    """Where people sign in; only a test has another."""
    api_url: str = API_URL
    """Where the API is; only a test has another."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_own_urls(self, web_url=WEB_URL, api_url=API_URL)

    def open(self) -> DigitalOcean:
        """The client; pure, fetches nothing."""
        return DigitalOcean(self)


class DigitalOcean(Userinfo):
    """The client."""

    title_of_kind: ClassVar[str] = "DigitalOcean"
    hints: ClassVar[Mapping[str, str]] = {}
    default_auth_style: ClassVar[str] = "post"
    default_scopes: ClassVar[tuple[str, ...]] = ("read",)
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "uuid",
        "name": "name",
        "email": "email",
        "email_verified": "email_verified",
        "teams": "teams",
    }

    def __init__(self, config: DigitalOceanConfig) -> None:
        super().__init__(config)
        self._web = config.web_url.rstrip("/")
        self._api = config.api_url.rstrip("/")

    def endpoints(self) -> Flow[Endpoints]:
        """Its URLs."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/v1/oauth/authorize",
            token_url=f"{self._web}/v1/oauth/token",
            userinfo_url=f"{self._api}/v2/account",
            revoke_url=f"{self._web}/v1/oauth/revoke",
        )

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """The account, with the team it was chosen for. Raises ClientError (`not_admitted`, 403) for a locked one."""
        answer = yield from object_at(at.userinfo_url, tokens.access_token)
        account = answer.get("account")
        team = account.get("team") if isinstance(account, dict) else None
        if not isinstance(account, dict) or not isinstance(team, dict | None):
            raise unreadable("no account, or an odd team")
        if account.get("status") == "locked":
            raise self.not_admitted("the account is locked")
        return {**account, "teams": [uuid] if team and (uuid := claim.text_of(team.get("uuid"))) else []}
