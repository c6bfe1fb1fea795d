"""Signing in with Home Assistant, whose clients are known by their URL and need no registration.

Its HTTP API doesn't say who holds a token, so everybody whom it lets in is one and the same person here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from vestibule.errors import ProviderInvalid
from vestibule.model import Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import object_at
from vestibule.providers.oauth2 import Endpoints, PersonConfig, Userinfo, check_url

_EVERYBODY: Final[Mapping[str, Any]] = {
    "sub": "homeassistant",
    "login": "homeassistant",
    "name": "Home Assistant",
}


class HomeAssistantConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="homeassistant"):
    """A Home Assistant server. All its users are one person here: it doesn't say who of them has come."""

    client_id: str
    """The URL of the host people sign in to: `https://app.example.com`. Nothing is registered."""

    web_url: str
    """Where it is: `https://home.example.com`."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("web_url", self.web_url, is_required=True)
        check_url("client_id", self.client_id, is_required=True)
        if self.client_secret:
            raise ValueError("client_secret is unknown to Home Assistant: leave it out")

    def open(self) -> HomeAssistant:
        """The client; pure, fetches nothing."""
        return HomeAssistant(self)


class HomeAssistant(Userinfo):
    """The client."""

    title_of_kind: ClassVar[str] = "Home Assistant"
    hints: ClassVar[Mapping[str, str]] = {}
    default_claims: ClassVar[Mapping[str, str]] = {
        "login": "login",
        "name": "name",
        "email": "",
        "email_verified": "",
    }

    def __init__(self, config: HomeAssistantConfig) -> None:
        super().__init__(config)
        self._web = config.web_url.rstrip("/")

    def endpoints(self) -> Flow[Endpoints]:
        """Its URLs."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/auth/authorize",
            token_url=f"{self._web}/auth/token",
            userinfo_url=f"{self._web}/api/",
            revoke_url=f"{self._web}/auth/revoke",
        )

    def issuer_of(self, at: Endpoints) -> str:
        """The server."""
        del at
        return self._web

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """Its one person, once the API has taken the token."""
        answer = yield from object_at(at.userinfo_url, tokens.access_token)
        if not isinstance(answer.get("message"), str):
            raise ProviderInvalid("Home Assistant doesn't take its own token", code="answer_shape")
        return _EVERYBODY
