"""Signing in with any OpenID provider (OpenID Connect Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0)."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

import msgspec
from msgspec.structs import replace

from vestibule.core import claim
from vestibule.core.person import verified_email
from vestibule.errors import ClientError, ProviderError, ProviderInvalid, ProviderRefused
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import base64url, logout_token
from vestibule.protocol import oauth2 as wire
from vestibule.protocol import oidc as connect
from vestibule.protocol.jose import SigningKey
from vestibule.protocol.logout_token import LogoutToken
from vestibule.providers.base import Answer, Native, NativeToken, SignedIn
from vestibule.providers.kit import Discovery, Flow, Get, Keys, Reply
from vestibule.providers.listing import object_at
from vestibule.providers.oauth2 import Endpoints, OAuth2, PersonConfig
from vestibule.providers.place import check_url, origin_of

FRESH_S: Final = 300.0
"""How old an ID token may be that says who somebody is now."""
_ASSERTION_S: Final = 60
#: what a token that names no key may be refused by while the keys known here are old ones
_OF_OLD_KEYS: Final = frozenset({"id_token_key", "id_token_kid", "id_token_signature"})
#: what is wrong in the end with any ID token that was good: it has run out, or the access token is a newer one
_OUTLIVED: Final = frozenset({"id_token_expired", "id_token_at_hash"})
#: what may stand in a policy of ours: a host and a port, nothing that ends the directive
_ORIGIN: Final = re.compile(
    r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?"
)
_ALGORITHMS: Final[Mapping[str, Literal["ES256", "RS256"]]] = {"RS256": "RS256", "ES256": "ES256"}


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
    allowed_groups: tuple[str, ...] = ()
    """Only members of one of these groups are let in; empty: any account."""
    allowed_orgs: tuple[str, ...] = ()
    """Only members of one of these organisations are let in; empty: any account."""
    allowed_roles: tuple[str, ...] = ()
    """Only accounts with one of these roles are let in; empty: any account."""
    private_key: Secret = Secret("")
    """PEM text of the client's own key, where it shows who it is by a signed assertion instead of a secret
    (`private_key_jwt`, RFC 7523): `private_key = "${file("client.pem")}"`."""
    private_key_id: str = ""
    """`kid` of that key, as registered."""
    private_key_algorithm: str = "RS256"
    """Its algorithm: `RS256` or `ES256`."""
    native_client_ids: tuple[str, ...] = ()
    """Client IDs of your own apps at the provider, whose ID tokens sign people in (grant `native` of an `app`): all
    that stand in a token's `aud` and `azp`. Empty: none does."""
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
        self._check_own_metadata()
        if self.private_key and self.client_secret:
            raise ValueError("private_key stands instead of client_secret: leave one of them out")
        if self.private_key_algorithm not in _ALGORITHMS:
            raise ValueError(f"private_key_algorithm is one of {', '.join(_ALGORITHMS)}")
        if not all(one.isprintable() and one.strip() == one != "" for one in self.native_client_ids):
            raise ValueError("native_client_ids are client IDs as the provider shows them")

    def _check_own_metadata(self) -> None:
        """Threat: a row of the database that names another's issuer, with keys of its own: it is anybody there."""
        place = self.discovery_url.partition("?")[0]
        if place and not self.is_trusted and place != connect.discovery_url(self.issuer):
            raise ValueError(
                "discovery_url can't lead elsewhere in a database: the issuer itself says where its keys are"
            )

    def take_issuer(self, web_url: str) -> None:
        """Let a server's own URL be the issuer where none is written. Raises ValueError for what can't be.

        Threat: a row of the database whose accounts are one server's, and what is said of them another's.
        """
        check_url("web_url", web_url, is_required=True)
        if not self.issuer:
            msgspec.structs.force_setattr(self, "issuer", web_url.rstrip("/"))
        if not self.is_trusted and self.issuer.rstrip("/") != web_url.rstrip("/"):
            raise ValueError("issuer can't be another than web_url in a database: leave it out")

    def open(self) -> Oidc:
        """The client; pure, fetches nothing."""
        return Oidc(self)


class Oidc(OAuth2):
    """The client."""

    hints: ClassVar[Mapping[str, str]] = {
        name: name for name in ("login_hint", "prompt", "acr_values", "ui_locales", "max_age")
    }
    """A kind that leaves `max_age` out doesn't prove when somebody signed in: that they came back is all there is."""
    # `select_account` is an error at providers that don't know it (oidc-provider, Okta); `login` all know.
    prompt_to_switch: ClassVar[str] = "login"
    default_scopes: ClassVar[tuple[str, ...]] = ("openid", "profile", "email")
    uses_nonce: ClassVar[bool] = True

    def __init__(self, config: OidcConfig) -> None:
        super().__init__(config)
        self._oidc = config
        self._key = _signing_key(config)
        if "openid" not in self.scopes:
            self.scopes = ("openid", *self.scopes)

    def check_claims(self, signed: Mapping[str, Any]) -> None:
        """Raise ClientError (`not_admitted`, 403) for an account whose signed claims keep it out."""

    def endpoints(self) -> Flow[Endpoints]:
        """What the issuer's metadata says. Raises ProviderInvalid for metadata nobody can sign in with."""
        config = self._oidc
        document = yield Discovery(config.issuer, config.discovery_url)
        found = connect.parse_metadata(document, config.issuer, led_by=config.discovery_url)
        if config.require_pkce and not found.has_s256:
            raise ProviderInvalid("the provider doesn't say that it does PKCE with S256", code="no_pkce")
        return Endpoints(
            authorize_url=found.authorization_endpoint,
            token_url=found.token_endpoint,
            userinfo_url=found.userinfo_endpoint if config.userinfo else "",
            revoke_url=found.revocation_endpoint,
            end_session_url=found.end_session_endpoint if config.sign_out_at_provider else "",
            jwks_url=found.jwks_uri,
            issuer=found.issuer,
            has_iss=found.has_iss,
            algorithms=found.algorithms,
            auth_methods=found.auth_methods,
            logout_channels=found.logout_channels,
            has_s256=found.has_s256,
            via=f"{config.issuer} {config.discovery_url}".strip(),
        )

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        """As `OAuth2.finish`; the identity says when the person signed in, where the provider was asked."""
        done = yield from super().finish(answer)
        if done.identity is None or done.tokens is None or done.tokens.id_token is None:
            return done
        if not self._asks_age(answer):
            return done
        signed_in_at = connect.signed_in_at(_payload_of(done.tokens.id_token), answer.now)
        return replace(done, identity=replace(done.identity, signed_in_at=signed_in_at))

    def _asks_age(self, answer: Answer) -> bool:
        return answer.max_age_s is not None and "max_age" in self.hints

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who the ID token, and userinfo where claims are missing, says has come."""
        signed = yield from self.signed(at, tokens, answer)
        self.check_claims(signed)
        told = yield from self._told(at, tokens.access_token, signed)
        found = self.identity(at, {**told, **signed}, self._email(signed, told))
        return (yield from self.completed(with_sid(found, signed), at, tokens))

    @property
    def native_client_ids(self) -> tuple[str, ...]:
        """The apps' own client IDs."""
        return self._oidc.native_client_ids

    def native(self, shown: NativeToken) -> Flow[Native]:
        """Whom an app's ID token is about; there is no access token, so nothing is known that only an API tells.

        Threat: a token that was made for somebody else's app (`aud`, `azp`), or read on its way (`nonce`).
        """
        if not self.native_client_ids:
            raise ProviderInvalid("no app signs people in here", code="id_token_aud")
        at = yield from self.endpoints()
        answer = Answer(now=shown.now, client_ids=self.native_client_ids)
        tokens = Tokens(access_token=Secret(""), id_token=shown.id_token)
        found = yield from self.identify(at, tokens, answer)
        if found is None:
            raise ProviderInvalid("the provider doesn't say who this is", code="no_id_token")
        claims = _payload_of(shown.id_token)
        connect.check_native(claims, shown.nonce.reveal())
        self.check_admitted(found)
        signed_in_at = connect.native_signed_in_at(claims, shown.now)
        return Native(
            identity=replace(found, signed_in_at=signed_in_at, sid=""),
            mark=_mark_of(shown.id_token),
            until=min(claims["exp"], claims["iat"] + connect.MAX_AGE_S) + 2 * connect.SKEW_S,
            told_at=float(claims["iat"]),
        )

    def recheck(self, identity: Identity, tokens: Tokens, now: float) -> Flow[Identity]:
        """The same person as the provider has them now, by an ID token of this hour, else by userinfo.

        Raises as `OAuth2.recheck` does; ProviderRefused where nothing fresh is to be had.
        """
        at = yield from self.endpoints()
        found = None
        if tokens.id_token is not None and now - _payload_of(tokens.id_token).get("iat", 0.0) < FRESH_S:
            try:
                found = yield from self.identify(at, tokens, Answer(now=now))
            except ProviderInvalid as exc:
                if exc.code not in _OUTLIVED:
                    raise
        if found is None:
            found = yield from self._retold(at, identity, tokens)
        if (found.issuer, found.subject) != (identity.issuer, identity.subject):
            raise ProviderInvalid("the provider now names somebody else", code="wrong_subject")
        self.check_admitted(found)
        # Only an ID token names the session, and not every one of a refresh does.
        return found if found.sid else msgspec.structs.replace(found, sid=identity.sid)

    def signed(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[dict[str, Any]]:
        """The claims of the ID token, all checked. Raises ProviderInvalid."""
        if tokens.id_token is None:
            raise ProviderInvalid("the provider gave no ID token", code="no_id_token")
        return (yield from self._verified(at, tokens, tokens.id_token, answer))

    def identity(self, at: Endpoints, claims: Mapping[str, Any], email: str) -> Identity:
        """The identity these claims give; `email` is believed already. Raises ProviderInvalid."""
        del at
        return claim.identity_of(
            claims,
            self.claims,
            client=self.name,
            issuer=self._oidc.issuer,
            subject=claims["sub"],
            email=email,
            is_lone_text=self.has_lone_texts,
        )

    def completed(self, identity: Identity, at: Endpoints, tokens: Tokens) -> Flow[Identity]:
        """The identity with what only the provider's API tells, at a sign-in and whenever it is looked at again.

        Raises ProviderError.
        """
        del at, tokens
        yield from ()
        return identity

    def refresh(self, tokens: Tokens, now: float) -> Flow[Tokens]:
        """The tokens to keep from now on; a new ID token must be about the same person.

        Spec: OpenID Connect Core 1.0 section 12.2. Raises as `OAuth2.refresh` does.
        """
        fresh = yield from super().refresh(tokens, now)
        if fresh.id_token is not None and fresh.id_token != tokens.id_token:
            at = yield from self.endpoints()
            signed = yield from self._verified(at, fresh, fresh.id_token, Answer(now=now))
            if tokens.id_token is not None:
                connect.check_refreshed(signed, _payload_of(tokens.id_token))
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

    def ended(self, raw: Secret, now: float) -> Flow[LogoutToken]:
        """What a logout token says, all of it checked. Raises ClientError `logout_token_…`, ProviderError.

        Spec: OpenID Connect Back-Channel Logout 1.0 section 2.6. A token that names no key gets one more try with
        keys fetched anew, as an ID token does.
        """
        kid = logout_token.key_id_of(raw.reveal())
        at = yield from self.endpoints()
        keys = yield Keys(at.jwks_url, kid, at.via)
        try:
            return self._ended(at, raw, keys, now)
        except ClientError as exc:
            if kid is not None or exc.code not in logout_token.OF_OLD_KEYS:
                raise
        keys = yield Keys(at.jwks_url, "", at.via)
        return self._ended(at, raw, keys, now)

    def _ended(self, at: Endpoints, raw: Secret, keys: tuple[dict[str, Any], ...], now: float) -> LogoutToken:
        return logout_token.verified(
            raw.reveal(),
            keys,
            issuer=at.issuer,
            client_id=self._oidc.client_id,
            now=now,
            algorithms=at.algorithms,
        )

    def speaks_for(self, issuer: str) -> bool:
        """Whether this is the issuer it signs people in for, exactly as it writes itself."""
        return issuer == self._oidc.issuer

    def sign_out_ways(self) -> Flow[tuple[str, ...]]:
        """Which its metadata names: a `page` of its own, and by `back` or `front` channel it tells.

        Raises ProviderError.
        """
        at = yield from self.endpoints()
        return (*(("page",) if at.end_session_url else ()), *at.logout_channels)

    def frame_origins(self) -> Flow[tuple[str, ...]]:
        """The origins of the issuer and of its sign-in and sign-out pages. Raises nothing of its own.

        Spec: OpenID Connect Front-Channel Logout 1.0 section 4.
        """
        urls = [self._oidc.issuer]
        with contextlib.suppress(ProviderError):  # the issuer's own is known without its metadata
            at = yield from self.endpoints()
            urls += [at.authorize_url, at.end_session_url]
        origins = dict.fromkeys(origin_of(url) for url in urls if url)
        return tuple(origin for origin in origins if _ORIGIN.fullmatch(origin))

    def _verified(self, at: Endpoints, tokens: Tokens, raw: Secret, answer: Answer) -> Flow[dict[str, Any]]:
        """The ID token's claims, all checked. A token that names no key gets one more try with keys fetched anew."""
        kid = connect.key_id_of(raw.reveal())
        keys = yield Keys(at.jwks_url, kid, at.via)
        try:
            return self._claims(at, tokens, raw, keys, answer)
        except ProviderInvalid as exc:
            if kid is not None or exc.code not in _OF_OLD_KEYS:
                raise
        keys = yield Keys(at.jwks_url, "", at.via)
        return self._claims(at, tokens, raw, keys, answer)

    def _claims(
        self,
        at: Endpoints,
        tokens: Tokens,
        raw: Secret,
        keys: tuple[dict[str, Any], ...],
        answer: Answer,
    ) -> dict[str, Any]:
        return connect.verify_id_token(
            raw.reveal(),
            keys,
            issuer=at.issuer,
            client_id=self._oidc.client_id,
            nonce=answer.nonce,
            access_token=tokens.access_token or None,
            now=answer.now,
            algorithms=at.algorithms,
            max_age_s=answer.max_age_s if self._asks_age(answer) else None,
            code=_secret(answer.params.get("code")),
            state=_secret(answer.params.get("state")),
            client_ids=answer.client_ids,
        )

    def _told(self, at: Endpoints, bearer: Secret, signed: Mapping[str, Any]) -> Flow[dict[str, Any]]:
        """Userinfo about the same subject, where there is one and the ID token lacks a claim that counts here."""
        # Hardly any token names organisations: they alone, unless the operator asked, are not worth the way.
        spared = {"email_verified"} | ({"orgs"} - self._oidc.claims.keys())
        wanted = [path for name, path in self.claims.items() if path and name not in spared]
        if not at.userinfo_url or not bearer or all(claim.at(signed, path) is not None for path in wanted):
            return {}
        document = yield from object_at(at.userinfo_url, bearer, via=at.via)
        return connect.parse_userinfo(document, signed["sub"])

    def _retold(self, at: Endpoints, identity: Identity, tokens: Tokens) -> Flow[Identity]:
        """The identity by userinfo alone. Raises ProviderRefused where there is none, or it takes the token no more."""
        if not at.userinfo_url:
            raise ProviderRefused("invalid_grant", "nothing fresh: neither a new ID token nor userinfo")
        reply: Reply = yield Get(url=at.userinfo_url, bearer=tokens.access_token, via=at.via)
        if reply.status in {401, 403}:
            raise ProviderRefused("invalid_token", f"userinfo answers {reply.status}")
        if reply.status != 200 or not isinstance(document := reply.json, dict):
            raise ProviderInvalid("the provider doesn't say who this is", detail=f"userinfo: {reply.status}")
        told = connect.parse_userinfo(document, identity.subject)
        found = self.identity(at, told, self._email({}, told))
        found = yield from self.completed(found, at, tokens)
        if lost := set(found.unknown) - set(identity.unknown):
            raise ProviderRefused("invalid_grant", f"userinfo says nothing of {', '.join(sorted(lost))}")
        return found

    def _email(self, signed: Mapping[str, Any], told: Mapping[str, Any]) -> str:
        """The address, if the document that has it calls it verified; "" otherwise."""
        path = self.claims["email_verified"]
        source = _email_source(signed, told, path)
        verified = self._oidc.assume_email_verified or self.is_true(claim.at(source, path))
        return verified_email(
            claim.at(source, self.claims["email"]), verified, email_domains=self._oidc.email_domains
        )

    def authenticated(
        self, form: wire.Form, at: Endpoints, now: float
    ) -> tuple[wire.Form, tuple[str, Secret] | None]:
        """By a signed assertion where the client has a key of its own. Spec: RFC 7523 section 2.2."""
        if self._key is None:
            return super().authenticated(form, at, now)
        client_id = self._oidc.client_id
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": at.token_url,
            "iat": int(now),
            "exp": int(now) + _ASSERTION_S,
            "jti": _once(form, now),
        }
        proof = (
            ("client_id", client_id),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", self._key.sign(claims).reveal()),
        )
        return (*form, *proof), None

    def auth_of(self, at: Endpoints) -> wire.ClientAuth:
        """The configured style, else the first this gateway knows among those the metadata names."""
        config = self._oidc
        if config.auth_style or not config.client_secret or self._auth in at.auth_methods:
            return self._auth
        return "client_secret_post" if "client_secret_post" in at.auth_methods else self._auth


def with_sid(identity: Identity, signed: Mapping[str, Any]) -> Identity:
    """The identity with the provider's own name of the session, where the ID token gives one that is a name.

    Spec: OpenID Connect Back-Channel Logout 1.0 section 2.1.
    """
    sid = signed.get("sid")
    is_name = isinstance(sid, str) and sid.isprintable() and len(sid) <= logout_token.NAME_MAX_CHARS
    return msgspec.structs.replace(identity, sid=sid) if is_name else identity


def _email_source(signed: Mapping[str, Any], told: Mapping[str, Any], verified: str) -> Mapping[str, Any]:
    """Where address and verification are both taken from: never one from here and the other from there.

    Threat: an unverified address of the ID token taken for verified by a flag that is about another one.
    """
    is_only_told = claim.at(signed, verified) is None and claim.at(told, verified) is not None
    return told if is_only_told else signed


def _signing_key(config: OidcConfig) -> SigningKey | None:
    """The client's own key, or None. Raises ValueError for one that can't be used."""
    if not config.private_key:
        return None
    return SigningKey.load(
        config.private_key, algorithm=_ALGORITHMS[config.private_key_algorithm], kid=config.private_key_id
    )


def _once(form: wire.Form, now: float) -> str:
    """A `jti` no other request has: the form holds a code or a token that is sent once."""
    return hashlib.sha256(repr((form, now)).encode()).hexdigest()[:32]


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value else None


def _mark_of(raw: Secret) -> bytes:
    """Of what is signed alone. Threat: another good signature of the same, which ECDSA has, as another token."""
    return hashlib.sha256(raw.reveal().rpartition(".")[0].encode("ascii")).digest()


def _payload_of(raw: Secret) -> dict[str, Any]:
    """The claims of an ID token that was verified when it came, and sealed since."""
    payload = base64url.decode(raw.reveal().split(".")[1])
    claims: dict[str, Any] = msgspec.json.decode(payload or b"{}")
    return claims
