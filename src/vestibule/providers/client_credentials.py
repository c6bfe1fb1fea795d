"""Access tokens of the app's own by client credentials (RFC 6749 section 4.4)."""

from __future__ import annotations

import msgspec

from vestibule.model import Secret, Tokens
from vestibule.protocol import oauth2 as wire
from vestibule.providers.kit import Flow, PostForm, Reply
from vestibule.providers.oauth2 import AUTH_STYLES, tokens_in
from vestibule.providers.place import check_url


class ClientCredentialsConfig(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="client_credentials"
):
    """An OAuth 2.0 client that acts for itself; no person is concerned."""

    name: str
    """Its name in the configuration."""
    client_id: str
    """The client's ID, as registered with the provider."""
    client_secret: Secret
    """Its secret."""
    access_token_url: str
    """The token endpoint."""
    auth_style: str = "basic"
    """How the secret is shown to the provider: `basic` (header) or `post` (form)."""
    scopes: tuple[str, ...] = ()
    """Scopes to ask for."""
    audience: str = ""
    """The API the token is for, where the provider wants an `audience` parameter."""
    resource: str = ""
    """The API the token is for, as a URI (RFC 8707)."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        if self.auth_style not in {"basic", "post"}:
            raise ValueError("auth_style is basic or post")
        if not self.client_secret:
            raise ValueError("client_secret is empty")
        check_url("access_token_url", self.access_token_url, is_required=True)

    def open(self) -> ClientCredentials:
        """The token source; pure, fetches nothing."""
        return ClientCredentials(self)


class ClientCredentials:
    """A `TokenSource`."""

    def __init__(self, config: ClientCredentialsConfig) -> None:
        self._config = config

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._config.name

    @property
    def kind(self) -> str:
        """Its kind; nobody clicks on it."""
        return "client_credentials"

    @property
    def is_trusted(self) -> bool:
        """Always: it stands in the operator's files."""
        return True

    @property
    def title(self) -> str:
        """Its name; nobody clicks on it."""
        return self._config.name

    def token(self, now: float) -> Flow[Tokens]:
        """A fresh token. Raises ProviderRefused, ProviderInvalid, ProviderUnavailable."""
        config = self._config
        more = (("audience", config.audience), ("resource", config.resource))
        form, basic = wire.authenticated(
            wire.client_credentials_form(config.scopes, tuple(pair for pair in more if pair[1])),
            method=AUTH_STYLES[config.auth_style],
            client_id=config.client_id,
            client_secret=config.client_secret,
        )
        reply: Reply = yield PostForm(url=config.access_token_url, form=form, basic=basic)
        return tokens_in(reply, now=now, asked=config.scopes)
