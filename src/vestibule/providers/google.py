"""Signing in with Google: OpenID Connect, with Google's way to a refresh token and to one organisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from vestibule.errors import ClientError
from vestibule.providers.oidc import Oidc, OidcConfig

ISSUER: Final = "https://accounts.google.com"


class GoogleConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="google"):
    """Google accounts."""

    issuer: str = ISSUER
    """Google's issuer; only a test has another."""
    hosted_domain: str = ""
    """Only accounts of this Google Workspace domain are let in; empty: any account."""
    offline_access: bool = True
    """Get a refresh token, so that calls go on when the access token expires after an hour. Google gives one only
    when it asks for consent, so it asks at every sign-in; false where people only sign in."""
    revoke_at_sign_out: bool = False
    """Revoke the tokens at sign-out. At Google that takes the app's access back everywhere, on the person's other
    devices too."""

    def open(self) -> Google:
        """The client; pure, fetches nothing."""
        return Google(self)


class Google(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Google"
    hints: ClassVar[Mapping[str, str]] = {**Oidc.hints, "hd": "hd"}
    prompt_to_switch: ClassVar[str] = "select_account"

    def __init__(self, config: GoogleConfig) -> None:
        super().__init__(config)
        self._google = config

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Offline access with the consent it needs, and the domain as a hint to the account chooser."""
        offline = (("access_type", "offline"), ("prompt", "consent")) if self._google.offline_access else ()
        domain = (("hd", self._google.hosted_domain),) if self._google.hosted_domain else ()
        return (*offline, *domain)

    def check_claims(self, signed: Mapping[str, Any]) -> None:
        """Refuse accounts of other domains: the `hd` parameter is only a hint, the signed claim decides."""
        domain = self._google.hosted_domain
        if domain and signed.get("hd") != domain:
            raise ClientError(f"Your Google account is not one of {domain}.", code="not_admitted", status=403)
