"""Signing in with login.gov: OpenID Connect by a key instead of a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from vestibule.core import claim
from vestibule.core.person import verified_email
from vestibule.model import Tokens
from vestibule.protocol.oidc import logout_url
from vestibule.providers.kit import Flow
from vestibule.providers.oidc import Oidc, OidcConfig

ISSUERS: Final[Mapping[str, str]] = {
    "production": "https://secure.login.gov/",
    "sandbox": "https://idp.int.identitysandbox.gov/",
}
AUTH_ONLY: Final = "urn:acr.login.gov:auth-only"


class LoginGovConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="logingov"):
    """login.gov of the United States' government; it wants a `private_key`."""

    issuer: str = ""
    """Made of `environment`; only a test has another."""
    environment: str = "production"
    """`production` or `sandbox`."""
    acr_values: str = AUTH_ONLY
    """How well people must have been identified: `urn:acr.login.gov:verified` for those whose identity is proven."""
    allowed_acr: tuple[str, ...] = ()
    """What the ID token must say about that (`acr`), one of these; empty: it isn't looked at. Write it wherever more
    than an account is asked for: the request goes through the person's browser."""
    all_emails: bool = False
    """Ask for all of a person's addresses, and take the first within `email_domains`."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        if self.environment not in ISSUERS:
            raise ValueError(f"environment is one of {', '.join(ISSUERS)}")
        if not self.private_key:
            raise ValueError(
                'private_key is missing: login.gov takes no secret; private_key = "${file("client.pem")}"'
            )
        if self.all_emails and not self.email_domains:
            raise ValueError("all_emails needs email_domains, which say which address to take")
        if not self.issuer:
            msgspec.structs.force_setattr(self, "issuer", ISSUERS[self.environment])
        super().__post_init__()

    def open(self) -> LoginGov:
        """The client; pure, fetches nothing."""
        return LoginGov(self)


class LoginGov(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Login.gov"
    hints: ClassVar[Mapping[str, str]] = {"prompt": "prompt", "ui_locales": "locale"}
    prompt_to_switch: ClassVar[str] = "select_account"
    default_scopes: ClassVar[tuple[str, ...]] = ("openid", "email")
    default_claims: ClassVar[Mapping[str, str]] = {
        "name": "",
        "email": "email",
        "email_verified": "email_verified",
    }

    def __init__(self, config: LoginGovConfig) -> None:
        super().__init__(config)
        self._gov = config
        if config.all_emails and "all_emails" not in self.scopes:
            self.scopes = (*self.scopes, "all_emails")

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The level of identification, which no link can lower."""
        return (("acr_values", self._gov.acr_values),)

    def check_claims(self, signed: Mapping[str, Any]) -> None:
        """Refuse people who were identified less well than is asked for."""
        if self._gov.allowed_acr and signed.get("acr") not in self._gov.allowed_acr:
            raise self.not_admitted("acr is none of allowed_acr")

    def _email(self, signed: Mapping[str, Any], told: Mapping[str, Any]) -> str:
        """The first verified address within `email_domains`; login.gov has verified all of them."""
        found = super()._email(signed, told)
        if found or not self._gov.all_emails:
            return found
        others = claim.at({**told, **signed}, "all_emails")
        domains = self._gov.email_domains
        candidates = claim.texts_of(others, "all_emails") if others is not None else ()
        believed = (verified_email(one, True, email_domains=domains) for one in candidates)
        return next((address for address in believed if address), "")

    def sign_out_url(self, tokens: Tokens, return_to: str) -> Flow[str | None]:
        """The sign-out page, which takes no ID token as a hint."""
        del tokens
        at = yield from self.endpoints()
        if not at.end_session_url:
            return None
        return logout_url(at.end_session_url, client_id=self._gov.client_id, return_to=return_to)
