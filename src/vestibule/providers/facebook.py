"""Signing in with Facebook: OAuth 2.0 and the Graph API, each call proven by the app's secret."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from vestibule.model import Secret, Tokens
from vestibule.providers.kit import Flow, Send
from vestibule.providers.listing import object_at
from vestibule.providers.oauth2 import Endpoints, PersonConfig, Userinfo
from vestibule.providers.place import check_own_urls

_VERSION_RE: Final = re.compile(r"v[0-9]+\.[0-9]+")
WEB_URL: Final = "https://www.facebook.com"
API_URL: Final = "https://graph.facebook.com"


class FacebookConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="facebook"):
    """Facebook accounts. Facebook never says that an address is verified: see `assume_email_verified`."""

    graph_version: str = "v25.0"
    """Version of the Graph API; Meta ends each about two years after it came out."""
    web_url: str = WEB_URL
    """Where people sign in; only a test has another."""
    api_url: str = API_URL
    """Where the Graph API is; only a test has another."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_own_urls(self, web_url=WEB_URL, api_url=API_URL)
        if not _VERSION_RE.fullmatch(self.graph_version):
            raise ValueError('graph_version is written "v25.0"')

    def open(self) -> Facebook:
        """The client; pure, fetches nothing."""
        return Facebook(self)


class Facebook(Userinfo):
    """The client."""

    title_of_kind: ClassVar[str] = "Facebook"
    hints: ClassVar[Mapping[str, str]] = {}
    default_auth_style: ClassVar[str] = "post"
    default_scopes: ClassVar[tuple[str, ...]] = ("public_profile", "email")
    default_claims: ClassVar[Mapping[str, str]] = {
        "subject": "id",
        "name": "name",
        "email": "email",
        "email_verified": "",
    }

    def __init__(self, config: FacebookConfig) -> None:
        super().__init__(config)
        self._facebook = config
        self._web = f"{config.web_url.rstrip('/')}/{config.graph_version}"
        self._api = f"{config.api_url.rstrip('/')}/{config.graph_version}"

    def endpoints(self) -> Flow[Endpoints]:
        """Its URLs, of one version."""
        yield from ()
        return Endpoints(
            authorize_url=f"{self._web}/dialog/oauth",
            token_url=f"{self._api}/oauth/access_token",
            userinfo_url=f"{self._api}/me",
        )

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """The account's node. Spec: Graph API, "Securing Graph API calls"."""
        query = urlencode((("fields", "id,name,email"), *self._proof(tokens.access_token)))
        return (yield from object_at(f"{at.userinfo_url}?{query}", tokens.access_token))

    def revoke(self, tokens: Tokens, now: float, *, for_good: bool = False) -> Flow[None]:
        """Nothing at a sign-out; `for_good`, all that the account gave this app, on every device."""
        del now
        if not for_good:
            return
        query = urlencode(self._proof(tokens.access_token))
        url = f"{self._api}/me/permissions{'?' if query else ''}{query}"
        yield Send(method="DELETE", url=url, bearer=tokens.access_token)

    def _proof(self, token: Secret) -> tuple[tuple[str, str], ...]:
        """`appsecret_proof`. Threat: a token that was stolen, or given to another app, used without the secret."""
        secret = self._facebook.client_secret.reveal()
        if not secret:
            return ()
        proof = hmac.new(secret.encode(), token.reveal().encode(), hashlib.sha256).hexdigest()
        return (("appsecret_proof", proof),)
