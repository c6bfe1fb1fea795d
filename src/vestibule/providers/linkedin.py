"""Signing in with LinkedIn: OpenID Connect without nonce and PKCE, neither of which LinkedIn takes from web apps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from vestibule.model import Secret, Tokens
from vestibule.protocol import oauth2 as wire
from vestibule.providers.base import Answer, Start
from vestibule.providers.kit import Flow
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig

_PKCE: Final = frozenset({"code_challenge", "code_challenge_method", "code_verifier"})


class LinkedInConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="linkedin"):
    """LinkedIn accounts, by its product "Sign In with LinkedIn using OpenID Connect"."""

    issuer: str = "https://www.linkedin.com/oauth"
    """LinkedIn's issuer; only a test has another."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        if not self.client_secret:
            raise ValueError("client_secret is missing: without PKCE it alone protects the code")

    def open(self) -> LinkedIn:
        """The client; pure, fetches nothing."""
        return LinkedIn(self)


class LinkedIn(Oidc):
    """The client. What stands in for nonce and PKCE: the state of one browser, and the client's secret."""

    title_of_kind: ClassVar[str] = "LinkedIn"
    hints: ClassVar[Mapping[str, str]] = {}
    default_auth_style: ClassVar[str] = "post"
    uses_nonce: ClassVar[bool] = False
    # `email_verified` comes as text in its ID tokens.
    has_text_booleans: ClassVar[bool] = True
    default_claims: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "email": "email",
        "email_verified": "email_verified",
    }

    def start(self, start: Start) -> Flow[str]:
        """The URL to send the browser to, without a challenge."""
        parts = urlsplit((yield from super().start(start)))
        kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in _PKCE]
        return urlunsplit(parts._replace(query=urlencode(kept, quote_via=quote)))

    def authenticated(
        self, form: wire.Form, at: Endpoints, now: float
    ) -> tuple[wire.Form, tuple[str, Secret] | None]:
        """The form without a verifier: LinkedIn answers `invalid_client` to one."""
        return super().authenticated(tuple(pair for pair in form if pair[0] not in _PKCE), at, now)

    def signed(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[dict[str, Any]]:
        """The claims of the ID token, checked but for a nonce, which LinkedIn never repeats."""
        return (yield from super().signed(at, tokens, msgspec.structs.replace(answer, nonce="")))
