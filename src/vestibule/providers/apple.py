"""Signing in with Apple: OpenID Connect, with a client secret that is a signed token, and a callback by POST.

Apple posts its answer to the callback when name or address are asked for (`response_mode=form_post`); the gateway
parks it and goes on with a GET, so nothing here knows of that. The name comes once, at the very first sign-in, in a
form field beside the code; the address may be one that Apple forwards (`…@privaterelay.appleid.com`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from vestibule.core.claim import text_of
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import oauth2 as wire
from vestibule.protocol.jose import SigningKey
from vestibule.providers.base import Answer, Native, NativeToken
from vestibule.providers.kit import Flow
from vestibule.providers.oauth2 import Endpoints
from vestibule.providers.oidc import Oidc, OidcConfig

ISSUER: Final = "https://appleid.apple.com"
SECRET_LIFE_S: Final = 24 * 3600
"""How long a client secret is good for; Apple takes up to six months."""
_RENEW_S: Final = 3600
_NAME_MAX_CHARS: Final = 200


class AppleConfig(OidcConfig, frozen=True, kw_only=True, tag_field="type", tag="apple"):
    """Apple accounts. `client_id` is the Services ID; there is no `client_secret`, it is made of the key."""

    issuer: str = ISSUER
    """Apple's issuer; only a test has another."""
    team_id: str
    """The ten characters of your developer team."""
    private_key: Secret
    """PEM text of the key for Sign in with Apple: `private_key = "${file("AuthKey_ABC123.p8")}"`."""
    private_key_id: str
    """The key's ID, ten characters."""
    private_key_algorithm: str = "ES256"
    """Always `ES256`."""
    revoke_at_sign_out: bool = False
    """Revoke the tokens at sign-out. At Apple that takes the person's consent back, so that the next sign-in is a
    first one."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        if self.private_key_algorithm != "ES256":
            raise ValueError("private_key_algorithm is ES256 at Apple")
        for name in ("team_id", "private_key_id"):
            if not getattr(self, name).isalnum():
                raise ValueError(f"{name} is ten letters and digits, as Apple's developer pages show it")

    def open(self) -> Apple:
        """The client; pure, fetches nothing. Raises ValueError for a key that can't be used."""
        return Apple(self)


class Apple(Oidc):
    """The client."""

    title_of_kind: ClassVar[str] = "Apple"
    hints: ClassVar[Mapping[str, str]] = {"login_hint": "login_hint"}
    default_scopes: ClassVar[tuple[str, ...]] = ("openid", "name", "email")
    has_text_booleans: ClassVar[bool] = True

    def __init__(self, config: AppleConfig) -> None:
        super().__init__(config)
        self._apple = config
        self._signing = SigningKey.load(config.private_key, algorithm="ES256", kid=config.private_key_id)
        self._secret = Secret("")
        self._secret_until = 0.0

    @property
    def response_mode(self) -> str:
        """The answer by POST, which Apple demands as soon as name or address are asked for."""
        return "form_post" if {"name", "email"} & set(self.scopes) else super().response_mode

    def authenticated(
        self, form: wire.Form, at: Endpoints, now: float
    ) -> tuple[wire.Form, tuple[str, Secret] | None]:
        """The form with a client secret signed by the key; one serves for a day."""
        del at
        if now >= self._secret_until:
            self._secret = self._signing.sign(self._secret_claims(now))
            self._secret_until = now + SECRET_LIFE_S - _RENEW_S
        shown = (("client_id", self._apple.client_id), ("client_secret", self._secret.reveal()))
        return (*form, *shown), None

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who the ID token says has come, with the name that stood beside the code at a first sign-in."""
        found = yield from super().identify(at, tokens, answer)
        name = _name_in(answer.params.get("user", ""))
        return msgspec.structs.replace(found, name=name) if found is not None and name else found

    def native(self, shown: NativeToken) -> Flow[Native]:
        """As `Oidc.native`, with the name of a first sign-in, which Apple tells the app alone."""
        found = yield from super().native(shown)
        return msgspec.structs.replace(found, name=_name_in(shown.user))

    def _secret_claims(self, now: float) -> dict[str, Any]:
        return {
            "iss": self._apple.team_id,
            "sub": self._apple.client_id,
            "aud": self._apple.issuer,
            "iat": int(now),
            "exp": int(now) + SECRET_LIFE_S,
        }


def _name_in(raw: str) -> str:
    """First and last name of the `user` field; "" for anything odd. It is unsigned: for show, and nothing else of it.

    Threat: the address in that field, which whoever posts the form can choose.
    """
    try:
        told = msgspec.json.decode(raw) if raw else None
    except (ValueError, RecursionError):
        return ""
    parts = told.get("name") if isinstance(told, dict) else None
    if not isinstance(parts, dict):
        return ""
    name = " ".join(text_of(parts.get(part)).strip() for part in ("firstName", "lastName")).strip()
    return name if len(name) <= _NAME_MAX_CHARS else ""
