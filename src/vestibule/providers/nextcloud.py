"""Signing in with Nextcloud: its OAuth 2.0 app and its provisioning API (`ocs.data`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vestibule.model import Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import object_at, unreadable
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.server import Paths, Server, ServerConfig


class NextcloudConfig(ServerConfig, frozen=True, kw_only=True, tag_field="type", tag="nextcloud"):
    """A Nextcloud server."""

    web_url: str
    """Where it is, with the folder it stands in: `https://cloud.example.com`."""
    allowed_groups: tuple[str, ...] = ()
    """Only members of one of these groups are let in, each by its ID; empty: any account."""

    def open(self) -> Nextcloud:
        """The client; pure, fetches nothing."""
        return Nextcloud(self)


class Nextcloud(Server):
    """The client."""

    title_of_kind: ClassVar[str] = "Nextcloud"
    paths: ClassVar[Paths] = Paths(
        "/index.php/apps/oauth2/authorize",
        "/index.php/apps/oauth2/api/v1/token",
        "/ocs/v2.php/cloud/user?format=json",
    )
    # Nothing there says that an address is verified: people type theirs.
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "id",
        "login": "id",
        "name": "displayname",
        "email": "email",
        "email_verified": "",
        "groups": "groups",
    }

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """`ocs.data` of the account."""
        headers = (("ocs-apirequest", "true"),)
        answer = yield from object_at(at.userinfo_url, tokens.access_token, headers=headers)
        ocs = answer.get("ocs")
        data = ocs.get("data") if isinstance(ocs, dict) else None
        if not isinstance(data, dict) or data.get("enabled", True) is not True:
            raise unreadable("no ocs.data of an enabled account")
        # Older servers write it with a hyphen.
        return {"displayname": data.get("display-name"), **data}
