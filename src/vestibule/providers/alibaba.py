"""Signing in with Alibaba Cloud IDaaS: OAuth 2.0 and its userinfo, which stands in `data`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vestibule.core import claim
from vestibule.errors import ProviderInvalid
from vestibule.model import Tokens
from vestibule.providers.kit import Flow
from vestibule.providers.listing import object_at
from vestibule.providers.oauth2 import Endpoints, PersonConfig, Userinfo, check_url


class AlibabaConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="alibaba"):
    """An instance of Alibaba Cloud IDaaS, which doesn't say that an address is verified (`assume_email_verified`)."""

    web_url: str
    """Where the instance is: `https://NAME.login.aliyunidaas.com`."""
    allowed_orgs: tuple[str, ...] = ()
    """Only accounts of one of these organisational units are let in, each by its `ou_id`; empty: any account."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("web_url", self.web_url, is_required=True)

    def open(self) -> Alibaba:
        """The client; pure, fetches nothing."""
        return Alibaba(self)


class Alibaba(Userinfo):
    """The client."""

    title_of_kind: ClassVar[str] = "Alibaba Cloud"
    hints: ClassVar[Mapping[str, str]] = {}
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

    def __init__(self, config: AlibabaConfig) -> None:
        super().__init__(config)
        self._web = config.web_url.rstrip("/")

    def endpoints(self) -> Flow[Endpoints]:
        """Its URLs."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/oauth/authorize",
            token_url=f"{self._web}/oauth/token",
            userinfo_url=f"{self._web}/api/bff/v1.2/oauth2/userinfo",
        )

    def issuer_of(self, at: Endpoints) -> str:
        """The server, path and all: what another puts at a path of the same host is another's."""
        del at
        return self._web

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """`data` of a successful answer, with the organisational unit as a list."""
        answer = yield from object_at(at.userinfo_url, tokens.access_token)
        data = answer.get("data")
        if answer.get("success", True) is not True or not isinstance(data, dict):
            raise ProviderInvalid("Alibaba doesn't say who this is", detail="no data", code="answer_shape")
        unit = claim.text_of(data.get("ou_id"))
        return {**data, "orgs": [unit] if unit else []}
