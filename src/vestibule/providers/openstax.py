"""Signing in with OpenStax Accounts: OAuth 2.0 and its user API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vestibule.model import Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import object_at, unreadable
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.server import Paths, Server, ServerConfig


class OpenStaxConfig(ServerConfig, frozen=True, kw_only=True, tag_field="type", tag="openstax"):
    """OpenStax accounts."""

    web_url: str = "https://accounts.openstax.org"
    """Where the accounts are; a server for development has another."""

    def open(self) -> OpenStax:
        """The client; pure, fetches nothing."""
        return OpenStax(self)


class OpenStax(Server):
    """The client."""

    title_of_kind: ClassVar[str] = "OpenStax"
    paths: ClassVar[Paths] = Paths("/oauth/authorize", "/oauth/token", "/api/user")
    default_auth_style: ClassVar[str] = "post"
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "uuid",
        "login": "username",
        "name": "full_name",
        "email": "email",
        "email_verified": "email_verified",
    }

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """The account with the first of its addresses that is verified."""
        user = yield from object_at(at.userinfo_url, tokens.access_token)
        contacts = user.get("contact_infos", [])
        if not isinstance(contacts, list) or not all(isinstance(contact, dict) for contact in contacts):
            raise unreadable("odd contacts")
        verified = [
            contact.get("value")
            for contact in contacts
            if contact.get("type") == "EmailAddress" and contact.get("is_verified") is True
        ]
        return {**user, "email": next(iter(verified), None), "email_verified": bool(verified)}
