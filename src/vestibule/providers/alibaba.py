"""Signing in with Alibaba Cloud IDaaS: OAuth 2.0 and its userinfo, which stands in `data`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vestibule.core import claim
from vestibule.model import Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import object_at, unreadable
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.server import Paths, Server, ServerConfig


class AlibabaConfig(ServerConfig, frozen=True, kw_only=True, tag_field="type", tag="alibaba"):
    """An instance of Alibaba Cloud IDaaS, which doesn't say that an address is verified (`assume_email_verified`)."""

    web_url: str
    """Where the instance is: `https://NAME.login.aliyunidaas.com`."""
    allowed_orgs: tuple[str, ...] = ()
    """Only accounts of one of these organisational units are let in, each by its `ou_id`; empty: any account."""

    def open(self) -> Alibaba:
        """The client; pure, fetches nothing."""
        return Alibaba(self)


class Alibaba(Server):
    """The client."""

    title_of_kind: ClassVar[str] = "Alibaba Cloud"
    paths: ClassVar[Paths] = Paths("/oauth/authorize", "/oauth/token", "/api/bff/v1.2/oauth2/userinfo")
    default_auth_style: ClassVar[str] = "post"
    default_scopes: ClassVar[tuple[str, ...]] = ("read",)
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "sub",
        "login": "username",
        "name": "nickname",
        "email": "email",
        "email_verified": "",
        "orgs": "orgs",
    }

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """`data` of a successful answer, with the organisational unit as a list."""
        answer = yield from object_at(at.userinfo_url, tokens.access_token)
        data = answer.get("data")
        if answer.get("success", True) is not True or not isinstance(data, dict):
            raise unreadable("no data")
        unit = claim.text_of(data.get("ou_id"))
        return {**data, "orgs": [unit] if unit else []}
