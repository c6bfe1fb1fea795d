"""Signing in with OpenStax Accounts: OAuth 2.0 and its user API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vestibule.errors import ProviderInvalid
from vestibule.model import Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import object_at
from vestibule.providers.oauth2 import Endpoints, PersonConfig, Userinfo, check_url


class OpenStaxConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="openstax"):
    """OpenStax accounts."""

    web_url: str = "https://accounts.openstax.org"
    """Where the accounts are; a server for development has another."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("web_url", self.web_url, is_required=True)

    def open(self) -> OpenStax:
        """The client; pure, fetches nothing."""
        return OpenStax(self)


class OpenStax(Userinfo):
    """The client."""

    title_of_kind: ClassVar[str] = "OpenStax"
    hints: ClassVar[Mapping[str, str]] = {}
    default_auth_style: ClassVar[str] = "post"
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "uuid",
        "login": "username",
        "name": "full_name",
        "email": "email",
        "email_verified": "email_verified",
    }

    def __init__(self, config: OpenStaxConfig) -> None:
        super().__init__(config)
        self._web = config.web_url.rstrip("/")

    def endpoints(self) -> Flow[Endpoints]:
        """Its URLs."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/oauth/authorize",
            token_url=f"{self._web}/oauth/token",
            userinfo_url=f"{self._web}/api/user",
        )

    def issuer_of(self, at: Endpoints) -> str:
        """The server, path and all: what another puts at a path of the same host is another's."""
        del at
        return self._web

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """The account with the first of its addresses that is verified."""
        user = yield from object_at(at.userinfo_url, tokens.access_token)
        contacts = user.get("contact_infos", [])
        if not isinstance(contacts, list) or not all(isinstance(contact, dict) for contact in contacts):
            raise ProviderInvalid(
                "OpenStax doesn't say who this is", detail="odd contacts", code="answer_shape"
            )
        verified = [
            contact.get("value")
            for contact in contacts
            if contact.get("type") == "EmailAddress" and contact.get("is_verified") is True
        ]
        return {**user, "email": next(iter(verified), None), "email_verified": bool(verified)}
