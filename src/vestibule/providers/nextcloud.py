"""Signing in with Nextcloud: its OAuth 2.0 app and its provisioning API (`ocs.data`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vestibule.errors import ProviderInvalid
from vestibule.model import Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import object_at
from vestibule.providers.oauth2 import Endpoints, PersonConfig, Userinfo, check_url


class NextcloudConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="nextcloud"):
    """A Nextcloud server."""

    web_url: str
    """Where it is, with the folder it stands in: `https://cloud.example.com`."""
    allowed_groups: tuple[str, ...] = ()
    """Only members of one of these groups are let in, each by its ID; empty: any account."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("web_url", self.web_url, is_required=True)

    def open(self) -> Nextcloud:
        """The client; pure, fetches nothing."""
        return Nextcloud(self)


class Nextcloud(Userinfo):
    """The client."""

    title_of_kind: ClassVar[str] = "Nextcloud"
    hints: ClassVar[Mapping[str, str]] = {}
    # Nothing there says that an address is verified: people type theirs.
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "id",
        "login": "id",
        "name": "displayname",
        "email": "email",
        "email_verified": "",
        "groups": "groups",
    }

    def __init__(self, config: NextcloudConfig) -> None:
        super().__init__(config)
        self._web = config.web_url.rstrip("/")

    def endpoints(self) -> Flow[Endpoints]:
        """Its URLs."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/index.php/apps/oauth2/authorize",
            token_url=f"{self._web}/index.php/apps/oauth2/api/v1/token",
            userinfo_url=f"{self._web}/ocs/v2.php/cloud/user?format=json",
        )

    def issuer_of(self, at: Endpoints) -> str:
        """The server with its folder: another one at the same host is another one."""
        del at
        return self._web

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """`ocs.data` of the account."""
        headers = (("ocs-apirequest", "true"),)
        answer = yield from object_at(at.userinfo_url, tokens.access_token, headers=headers)
        ocs = answer.get("ocs")
        data = ocs.get("data") if isinstance(ocs, dict) else None
        if not isinstance(data, dict) or data.get("enabled", True) is not True:
            raise ProviderInvalid(
                "Nextcloud doesn't say who this is",
                detail="no ocs.data of an enabled account",
                code="answer_shape",
            )
        # Older servers write it with a hyphen.
        return {"displayname": data.get("display-name"), **data}
