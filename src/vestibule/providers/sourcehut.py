"""Signing in with SourceHut: OAuth 2.0 and one question to its GraphQL API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from vestibule.errors import ProviderInvalid
from vestibule.model import Tokens
from vestibule.providers.kit import Flow, Reply, Send
from vestibule.providers.listing import object_in
from vestibule.providers.oauth2 import Endpoints, PersonConfig, Userinfo, check_url

_QUESTION: Final = b'{"query":"{ me { id username canonicalName email } }"}'


class SourcehutConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="sourcehut"):
    """SourceHut, or a server of one's own."""

    web_url: str = "https://meta.sr.ht"
    """Where its meta service is."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("web_url", self.web_url, is_required=True)

    def open(self) -> Sourcehut:
        """The client; pure, fetches nothing."""
        return Sourcehut(self)


class Sourcehut(Userinfo):
    """The client."""

    title_of_kind: ClassVar[str] = "SourceHut"
    hints: ClassVar[Mapping[str, str]] = {}
    default_scopes: ClassVar[tuple[str, ...]] = ("meta.sr.ht/PROFILE:RO",)
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "id",
        "login": "username",
        "name": "canonicalName",
        "email": "email",
        "email_verified": "email_verified",
    }

    def __init__(self, config: SourcehutConfig) -> None:
        super().__init__(config)
        self._web = config.web_url.rstrip("/")

    def endpoints(self) -> Flow[Endpoints]:
        """Its URLs."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/oauth2/authorize",
            token_url=f"{self._web}/oauth2/access-token",
            userinfo_url=f"{self._web}/query",
        )

    def issuer_of(self, at: Endpoints) -> str:
        """The server, path and all: what another puts at a path of the same host is another's."""
        del at
        return self._web

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """What `me` says. SourceHut makes nobody an account, and no address theirs, before a mail was answered."""
        reply: Reply = yield Send(
            method="POST", url=at.userinfo_url, body=_QUESTION, bearer=tokens.access_token
        )
        answer = object_in(reply, at.userinfo_url)
        data = answer.get("data")
        me = data.get("me") if isinstance(data, dict) else None
        if answer.get("errors") or not isinstance(me, dict):
            raise ProviderInvalid(
                "SourceHut doesn't say who this is", detail="GraphQL errors", code="answer_shape"
            )
        return {**me, "email_verified": True}
