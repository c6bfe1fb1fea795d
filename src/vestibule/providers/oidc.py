"""Signing in with any OpenID provider (OpenID Connect Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from vestibule.core.person import text_of, texts_of, verified_email
from vestibule.errors import ProviderInvalid
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import base64url, jose
from vestibule.protocol import oauth2 as wire
from vestibule.protocol import oidc as connect
from vestibule.providers.base import Answer
from vestibule.providers.kit import Discovery, Flow, Keys
from vestibule.providers.oauth2 import Endpoints, OAuth2, PersonConfig, check_url, object_at

#: claims that are the gateway's own affair, or bound to one token: never kept as "further claims"
_NOT_KEPT: Final = frozenset(
    {"nonce", "at_hash", "c_hash", "s_hash", "exp", "iat", "nbf", "aud", "azp", "jti"}
)


class OidcConfig(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="oidc"):
    """Any OpenID provider, found by its issuer."""

    issuer: str
    """The issuer's URL, exactly as the provider writes it."""
    discovery_url: str = ""
    """Where its metadata stands; without it `ISSUER/.well-known/openid-configuration`."""
    require_pkce: bool = False
    """Refuse a provider whose metadata doesn't name S256. PKCE is used with every provider, named or not."""
    userinfo: bool = True
    """Ask the userinfo endpoint for claims that the ID token doesn't have."""
    login_claim: str = "preferred_username"
    """Claim of the preferred username."""
    name_claim: str = "name"
    """Claim of the display name."""
    email_claim: str = "email"
    """Claim of the e-mail address; it counts when `email_verified` is true."""
    assume_email_verified: bool = False
    """Believe addresses without `email_verified`: only for a provider that lets nobody enter an address of
    others."""
    groups_claim: str = "groups"
    """Claim of the groups, a list of strings."""
    orgs_claim: str = "orgs"
    """Claim of the organisations, a list of strings."""
    claims: tuple[str, ...] = ()
    """Further claims to keep, by name."""
    sign_out_at_provider: bool = True
    """Sign people out at the provider too, where it has a page for that: register `https://HOST/@/signedout` with
    it as a post-logout redirect URL."""
    revoke_at_sign_out: bool = True
    """Revoke the tokens at sign-out, where the provider takes that."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("issuer", self.issuer, is_required=True)
        check_url("discovery_url", self.discovery_url)

    def open(self) -> Oidc:
        """The client; pure, fetches nothing."""
        return Oidc(self)


class Oidc(OAuth2):
    """The client."""

    hints: ClassVar[Mapping[str, str]] = {
        name: name for name in ("login_hint", "prompt", "acr_values", "ui_locales")
    }
    # `select_account` is an error at providers that don't know it (oidc-provider, Okta); `login` all know.
    prompt_to_switch: ClassVar[str] = "login"
    default_scopes: ClassVar[tuple[str, ...]] = ("openid", "profile", "email")
    uses_nonce: ClassVar[bool] = True

    def __init__(self, config: OidcConfig) -> None:
        super().__init__(config)
        self._oidc = config
        if "openid" not in self.scopes:
            self.scopes = ("openid", *self.scopes)

    def check_admitted(self, claims: Mapping[str, Any]) -> None:
        """Raise ClientError (`not_admitted`, 403) for an account this kind is told not to let in."""

    def endpoints(self) -> Flow[Endpoints]:
        """What the issuer's metadata says. Raises ProviderInvalid for metadata nobody can sign in with."""
        config = self._oidc
        document = yield Discovery(config.issuer, config.discovery_url)
        found = connect.parse_metadata(document, config.issuer)
        if config.require_pkce and not found.has_s256:
            raise ProviderInvalid("the provider doesn't say that it does PKCE with S256", code="no_pkce")
        return Endpoints(
            authorize_url=found.authorization_endpoint,
            token_url=found.token_endpoint,
            userinfo_url=found.userinfo_endpoint if config.userinfo else "",
            revoke_url=found.revocation_endpoint if config.revoke_at_sign_out else "",
            end_session_url=found.end_session_endpoint if config.sign_out_at_provider else "",
            jwks_url=found.jwks_uri,
            issuer=found.issuer,
            has_iss=found.has_iss,
            algorithms=found.algorithms,
            auth_methods=found.auth_methods,
            via=config.issuer,
        )

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who the ID token, and userinfo where claims are missing, says has come."""
        if tokens.id_token is None:
            raise ProviderInvalid("the provider gave no ID token")
        signed = yield from self._verified(at, tokens, tokens.id_token, nonce=answer.nonce, now=answer.now)
        self.check_admitted(signed)
        told = yield from self._told(at, tokens.access_token, signed)
        return self._identity({**told, **signed}, _email_source(signed, told))

    def refresh(self, tokens: Tokens, now: float) -> Flow[Tokens]:
        """The tokens to keep from now on; a new ID token must be about the same person.

        Spec: OpenID Connect Core 1.0 section 12.2. Raises as `OAuth2.refresh` does.
        """
        fresh = yield from super().refresh(tokens, now)
        if fresh.id_token is not None and fresh.id_token != tokens.id_token:
            at = yield from self.endpoints()
            signed = yield from self._verified(at, fresh, fresh.id_token, nonce="", now=now)
            if tokens.id_token is not None and signed["sub"] != _subject_of(tokens.id_token):
                raise ProviderInvalid("the provider refreshed somebody else's tokens", code="wrong_subject")
        return fresh

    def sign_out_url(self, tokens: Tokens, return_to: str) -> Flow[str | None]:
        """The provider's sign-out page, from which it sends people on to `return_to`; None where it has none."""
        at = yield from self.endpoints()
        if not at.end_session_url:
            return None
        return connect.logout_url(
            at.end_session_url,
            client_id=self._oidc.client_id,
            return_to=return_to,
            id_token=tokens.id_token,
        )

    def _verified(
        self, at: Endpoints, tokens: Tokens, raw: Secret, *, nonce: str, now: float
    ) -> Flow[dict[str, Any]]:
        """The ID token's claims, all checked. A token that names no key gets one more try with keys fetched anew."""
        kid = _key_id_of(raw)
        keys = yield Keys(at.jwks_url, kid, at.via)
        try:
            return self._claims(at, tokens, raw, keys, nonce=nonce, now=now)
        except ProviderInvalid:
            if kid is not None:
                raise
        keys = yield Keys(at.jwks_url, "", at.via)
        return self._claims(at, tokens, raw, keys, nonce=nonce, now=now)

    def _claims(
        self,
        at: Endpoints,
        tokens: Tokens,
        raw: Secret,
        keys: tuple[dict[str, Any], ...],
        *,
        nonce: str,
        now: float,
    ) -> dict[str, Any]:
        return connect.verify_id_token(
            raw.reveal(),
            keys,
            issuer=at.issuer,
            client_id=self._oidc.client_id,
            nonce=nonce,
            access_token=tokens.access_token,
            now=now,
            algorithms=at.algorithms,
        )

    def _told(self, at: Endpoints, bearer: Secret, signed: Mapping[str, Any]) -> Flow[dict[str, Any]]:
        """Userinfo about the same subject, where there is one and the ID token lacks a claim that counts here."""
        config = self._oidc
        wanted = (
            config.login_claim,
            config.name_claim,
            config.email_claim,
            config.groups_claim,
            *config.claims,
        )
        if not at.userinfo_url or all(name in signed for name in wanted):
            return {}
        document = yield from object_at(at.userinfo_url, bearer, via=at.via)
        return connect.parse_userinfo(document, signed["sub"])

    def _identity(self, claims: Mapping[str, Any], emailed: Mapping[str, Any]) -> Identity:
        config = self._oidc
        verified = True if config.assume_email_verified else emailed.get("email_verified")
        return Identity(
            client=config.name,
            issuer=config.issuer,
            subject=claims["sub"],
            login=text_of(claims.get(config.login_claim)),
            name=text_of(claims.get(config.name_claim)),
            email=verified_email(
                emailed.get(config.email_claim), verified, email_domains=config.email_domains
            ),
            groups=texts_of(claims.get(config.groups_claim)),
            orgs=texts_of(claims.get(config.orgs_claim)),
            claims={
                name: claims[name] for name in config.claims if name in claims and _is_kept(name, claims)
            },
        )

    def auth_of(self, at: Endpoints) -> wire.ClientAuth:
        """The configured style, else the first this gateway knows among those the metadata names."""
        config = self._oidc
        if config.auth_style or not config.client_secret or self._auth in at.auth_methods:
            return self._auth
        return "client_secret_post" if "client_secret_post" in at.auth_methods else self._auth


def _is_kept(name: str, claims: Mapping[str, Any]) -> bool:
    """Threat: half a surrogate pair, or lists in lists without end, which no store can hold."""
    try:
        msgspec.json.encode(claims[name])
    except (ValueError, RecursionError):
        return False
    return name not in _NOT_KEPT


def _email_source(signed: Mapping[str, Any], told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where address and verification are both taken from: never one from here and the other from there.

    Threat: an unverified address of the ID token taken for verified by a flag that is about another one.
    """
    return told if "email_verified" not in signed and "email_verified" in told else signed


def _key_id_of(raw: Secret) -> str | None:
    try:
        return jose.key_id_of(raw.reveal())
    except jose.TokenError as exc:
        raise ProviderInvalid("the provider's ID token can't be read", detail=str(exc)) from None


def _subject_of(raw: Secret) -> Any:
    """The subject of an ID token that was verified when it came, and sealed since."""
    payload = base64url.decode(raw.reveal().split(".")[1])
    return msgspec.json.decode(payload or b"{}").get("sub")
