"""Access tokens of a Google service account: a signed JWT for a token (RFC 7523 section 2.1)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from vestibule.model import Secret, Tokens
from vestibule.protocol import oauth2 as wire
from vestibule.protocol.jose import SigningKey
from vestibule.protocol.oidc import is_safe_url
from vestibule.providers.kit import Flow, PostForm, Reply
from vestibule.providers.oauth2 import tokens_in

LIFE_S: Final = 3600
"""How long the assertion is good for: the longest Google takes."""
CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"


class _KeyFile(msgspec.Struct, frozen=True):
    """What counts in a key file as Google's console gives it out."""

    type: str
    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL


class ServiceAccountConfig(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="service_account"
):
    """A Google service account."""

    name: str
    """Its name in the configuration."""
    key: Secret
    """The key file's JSON text: `key = "${file("account.json")}"`."""
    scopes: tuple[str, ...] = (CLOUD_PLATFORM,)
    """Scopes to ask for."""
    subject: str = ""
    """Address of the person to act for, where the account has domain-wide delegation."""

    def open(self) -> ServiceAccount:
        """The token source; pure, fetches nothing. Raises ValueError for a key file that can't be used."""
        return ServiceAccount(self, *_read(self.key))


class ServiceAccount:
    """A `TokenSource`."""

    def __init__(self, config: ServiceAccountConfig, key: SigningKey, email: str, token_url: str) -> None:
        self._config = config
        self._key = key
        self._email = email
        self._token_url = token_url

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._config.name

    @property
    def kind(self) -> str:
        """Its kind; nobody clicks on it."""
        return "service_account"

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
        claims: dict[str, Any] = {
            "iss": self._email,
            "scope": " ".join(config.scopes),
            "aud": self._token_url,
            "iat": int(now),
            "exp": int(now) + LIFE_S,
            **({"sub": config.subject} if config.subject else {}),
        }
        form = wire.assertion_form(self._key.sign(claims))
        reply: Reply = yield PostForm(url=self._token_url, form=form)
        return tokens_in(reply, now=now, asked=config.scopes)


def _read(key: Secret) -> tuple[SigningKey, str, str]:
    """Signing key, the account's address, token endpoint. Raises ValueError, showing none of the key."""
    try:
        found = msgspec.json.decode(key.reveal(), type=_KeyFile)
    except (msgspec.MsgspecError, UnicodeError):
        found = None
    # Outside the handler: the decoder's message may quote what it read.
    if found is None or found.type != "service_account" or not found.client_email:
        raise ValueError("key is not the JSON text of a service account's key file")
    if not is_safe_url(found.token_uri):  # nobody wrote it: the file comes from the provider
        raise ValueError("token_uri of the key file must be https: a token is got there")
    signing = SigningKey.load(Secret(found.private_key), algorithm="RS256", kid=found.private_key_id)
    return signing, found.client_email, found.token_uri
