"""Signing in with SourceHut: OAuth 2.0 and one question to its GraphQL API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from vestibule.model import Tokens
from vestibule.providers.kit import Flow, Reply, Send
from vestibule.providers.listing import object_in, unreadable
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.server import Paths, Server, ServerConfig

_QUESTION: Final = b'{"query":"{ me { id username canonicalName email } }"}'


class SourcehutConfig(ServerConfig, frozen=True, kw_only=True, tag_field="type", tag="sourcehut"):
    """SourceHut, or a server of one's own."""

    web_url: str = "https://meta.sr.ht"
    """Where its meta service is."""

    def open(self) -> Sourcehut:
        """The client; pure, fetches nothing."""
        return Sourcehut(self)


class Sourcehut(Server):
    """The client."""

    title_of_kind: ClassVar[str] = "SourceHut"
    paths: ClassVar[Paths] = Paths("/oauth2/authorize", "/oauth2/access-token", "/query")
    default_scopes: ClassVar[tuple[str, ...]] = ("meta.sr.ht/PROFILE:RO",)
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "id",
        "login": "username",
        "name": "canonicalName",
        "email": "email",
        "email_verified": "email_verified",
    }

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """What `me` says. SourceHut makes nobody an account, and no address theirs, before a mail was answered."""
        reply: Reply = yield Send(
            method="POST", url=at.userinfo_url, body=_QUESTION, bearer=tokens.access_token
        )
        answer = object_in(reply, at.userinfo_url)
        data = answer.get("data")
        me = data.get("me") if isinstance(data, dict) else None
        if answer.get("errors") or not isinstance(me, dict):
            raise unreadable("GraphQL errors")
        return {**me, "email_verified": True}
