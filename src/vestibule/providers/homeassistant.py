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
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.place import check_url
from vestibule.providers.server import Paths, Server, ServerConfig

_EVERYBODY: Final[Mapping[str, Any]] = {
    "sub": "homeassistant",
    "login": "homeassistant",
    "name": "Home Assistant",
}


class HomeAssistantConfig(ServerConfig, frozen=True, kw_only=True, tag_field="type", tag="homeassistant"):
    """A Home Assistant server. All its users are one person here: it doesn't say who of them has come."""

    client_id: str
    """The URL of the host people sign in to: `https://app.example.com`. Nothing is registered."""

    web_url: str
    """Where it is: `https://home.example.com`."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("client_id", self.client_id, is_required=True)
        if self.client_secret:
            raise ValueError("client_secret is unknown to Home Assistant: leave it out")

    def open(self) -> HomeAssistant:
        """The client; pure, fetches nothing."""
        return HomeAssistant(self)


class HomeAssistant(Server):
    """The client."""

    title_of_kind: ClassVar[str] = "Home Assistant"
    paths: ClassVar[Paths] = Paths("/auth/authorize", "/auth/token", "/api/", "/auth/revoke")
    default_claims: ClassVar[Mapping[str, str]] = {
        "login": "login",
        "name": "name",
        "email": "",
        "email_verified": "",
    }

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """Its one person, once the API has taken the token."""
        answer = yield from object_at(at.userinfo_url, tokens.access_token)
        if not isinstance(answer.get("message"), str):
            raise ProviderInvalid("Home Assistant doesn't take its own token", code="answer_shape")
        return _EVERYBODY
