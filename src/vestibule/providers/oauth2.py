"""The authorization code dance, once, and the plain OAuth 2.0 client (RFC 6749, 7009, 7636, 9207, 9700).

A provider built on this one says where its endpoints are (`endpoints`) and who has come (`identify`); state,
PKCE, the exchange, refresh and revocation are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from vestibule.core import claim
from vestibule.core.person import verified_email
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused
from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol import oauth2 as wire
from vestibule.providers.base import Answer, Finding, SignedIn, Start
from vestibule.providers.kit import Flow, PostForm, Reply
from vestibule.providers.listing import TOKEN_REFUSED, object_at
from vestibule.providers.place import check_url, origin_of, place_of
from vestibule.providers.probe import probed

#: how a client shows its secret, by the short names of the configuration
AUTH_STYLES: Final[Mapping[str, wire.ClientAuth]] = {
    "basic": "client_secret_basic",
    "post": "client_secret_post",
    "none": "none",
}


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What every client registered at a provider has."""

    name: str
    """Full name of the client: its ID at top level, `HOST/ID` inside a host."""
    title: str = ""
    """What the button says; without it the name of the kind, or the ID."""
    client_id: str
    """The client's ID, as registered with the provider."""
    client_secret: Secret = Secret("")
    """Its secret; left out only for a public client."""
    auth_style: str = ""
    """How the secret is shown to the provider: `basic` (header), `post` (form) or `none`. Without it: what
    suits the provider, `none` where there is no secret."""
    scopes: tuple[str, ...] = ()
    """Scopes to ask for."""
    authorize_parameters: tuple[tuple[str, str], ...] = ()
    """Further parameters of the authorization URL, from `authorize_parameter` blocks."""
    form_post: bool = False
    """Have the answer posted to the callback (`response_mode=form_post`), where the provider demands that."""
    redirect_url: str = ""
    """The redirect URL registered with the provider, where it isn't `https://HOST/@ID/callback`: with or without
    scheme, at any path of the host, which then leads to the callback."""
    is_trusted: bool = True
    """False for a row of the database: its URLs must be public."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        if self.auth_style not in {"", *AUTH_STYLES}:
            raise ValueError(f"auth_style is one of {', '.join(AUTH_STYLES)}")
        if self.auth_style in {"basic", "post"} and not self.client_secret:
            raise ValueError(f'auth_style = "{self.auth_style}" needs a client_secret')
        wire.check_parameters(self.authorize_parameters)


class PersonConfig(ClientConfig, frozen=True, kw_only=True):
    """What a client has that says who people are."""

    has_own_accounts: ClassVar[bool] = False
    """True for a kind whose accounts, as a row of the database, are never those of another provider."""
    email_domains: tuple[str, ...] = ()
    """E-mail domains this provider is believed about; empty: all. An address outside them counts as none."""
    assume_email_verified: bool = False
    """Believe addresses that the provider doesn't call verified: only for a provider that lets nobody enter an
    address of others."""
    claims: Mapping[str, str] = {}
    """Where the provider's document has what: `claims { groups = "realm_access.roles" }`. Standard names are
    `login`, `name`, `email`, `email_verified`, and the lists `groups`, `orgs`, `teams`, `projects`, `repos`,
    `roles`; any other name is a further claim to keep, for `claim:` rules. A dotted path leads into objects; an
    empty text switches one off."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        if any(domain != domain.lower() or "@" in domain or not domain for domain in self.email_domains):
            raise ValueError('email_domains are bare domains in lower case: ["example.com"]')
        # Threat: a row of the database for which a display name, which people choose, is who they are.
        if "subject" in self.claims and not self.is_trusted and not self.has_own_accounts:
            raise ValueError("claims can't name the subject in a database: the kind says who accounts are")


class OAuth2Config(PersonConfig, frozen=True, kw_only=True, tag_field="type", tag="oauth2"):
    """A plain OAuth 2.0 client with explicit URLs; it says who people are only with `userinfo_url`."""

    has_own_accounts: ClassVar[bool] = True
    """Those of its `userinfo_url`."""
    authorize_url: str
    """Where people are sent to."""
    access_token_url: str
    """The token endpoint."""
    userinfo_url: str = ""
    """Where the provider says who holds an access token; without it the client gives credentials only."""
    revoke_url: str = ""
    """Where tokens are revoked at sign-out (RFC 7009)."""
    issuer: str = ""
    """Whom an account belongs to, together with its subject; without it the origin of `userinfo_url`. Where
    it is written, an `iss` in the provider's answer must equal it (RFC 9207)."""
    allowed_groups: tuple[str, ...] = ()
    """Only members of one of these groups are let in; empty: any account."""
    allowed_orgs: tuple[str, ...] = ()
    """Only members of one of these organisations are let in; empty: any account."""
    allowed_roles: tuple[str, ...] = ()
    """Only accounts with one of these roles are let in; empty: any account."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        for name in ("authorize_url", "access_token_url", "userinfo_url", "revoke_url"):
            check_url(name, getattr(self, name), is_required=name in {"authorize_url", "access_token_url"})
        if self.issuer and not self.is_trusted:
            raise ValueError("issuer can't be set in a database: accounts belong to userinfo_url there")

    def open(self) -> PlainOAuth2:
        """The client; pure, fetches nothing."""
        return PlainOAuth2(self)


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where a provider does what."""

    authorize_url: str
    token_url: str
    userinfo_url: str = ""
    revoke_url: str = ""
    end_session_url: str = ""
    jwks_url: str = ""
    issuer: str = ""
    """Whom an authorization response must be from; empty: nobody says."""
    has_iss: bool = False
    """The response always names its issuer (RFC 9207)."""
    algorithms: tuple[str, ...] = ()
    """Signing algorithms of ID tokens, as the metadata has them."""
    auth_methods: tuple[str, ...] = ()
    """How clients may show who they are, as the metadata has them."""
    has_s256: bool | None = None
    """Whether the metadata names PKCE by S256; None: it says nothing of PKCE."""
    logout_channels: tuple[str, ...] = ()
    """By which the metadata says that it tells of sessions that end there: `back`, `front`."""
    via: str = ""
    """The operator's URL these came from; empty when the operator wrote them all."""


class OAuth2:
    """The dance. Subclasses give `endpoints`, `identify` and what is customary at theirs."""

    title_of_kind: ClassVar[str] = ""
    hints: ClassVar[Mapping[str, str]] = {"login_hint": "login_hint", "prompt": "prompt"}
    """What a sign-in link may pass on: its name there, and the parameter of the authorization URL."""
    prompt_to_switch: ClassVar[str] = "select_account"
    """The prompt by which this kind lets a person come with another account."""
    default_auth_style: ClassVar[str] = "basic"
    default_scopes: ClassVar[tuple[str, ...]] = ()
    default_claims: ClassVar[Mapping[str, str]] = {
        "login": "preferred_username",
        "name": "name",
        "email": "email",
        "email_verified": "email_verified",
        "groups": "groups",
        "orgs": "orgs",
    }
    """Where this kind's document has what, where the configuration doesn't say (`core.claim`)."""
    folds_case: ClassVar[bool] = False
    """True where names of groups and organisations are the same in any case."""
    has_text_booleans: ClassVar[bool] = False
    """True where a claim that is true may be written as the text `true`."""
    has_lone_texts: ClassVar[bool] = False
    """True where a list of one may be written as lone text."""
    uses_nonce: ClassVar[bool] = False
    keeps: ClassVar[str] = ""
    needs_tokens: bool = True

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self.claims: Mapping[str, str] = {**self.default_claims, **getattr(config, "claims", {})}
        style = config.auth_style or (self.default_auth_style if config.client_secret else "none")
        self._auth = AUTH_STYLES[style]
        self.scopes = config.scopes or self.default_scopes
        self.email_domains = config.email_domains if isinstance(config, PersonConfig) else ()

    @property
    def name(self) -> str:
        """Full name of the client."""
        return self._config.name

    @property
    def kind(self) -> str:
        """Its kind, as the configuration names it."""
        return str(self._config.__struct_config__.tag)

    @property
    def title(self) -> str:
        """What the button says."""
        return self._config.title or self.title_of_kind or self._config.name.rpartition("/")[2]

    @property
    def is_trusted(self) -> bool:
        """Whether the operator wrote its URLs."""
        return self._config.is_trusted

    @property
    def redirect_url(self) -> str:
        """The redirect URL registered with the provider, where it is another than ours."""
        return self._config.redirect_url

    @property
    def place(self) -> str:
        """Where it is; empty for one that the operator wrote (`providers.base.Refresh`)."""
        return "" if self.is_trusted else place_of(self._config)

    @property
    def identifies(self) -> bool:
        """Whether it says who people are."""
        return True

    @property
    def response_mode(self) -> str:
        """How the answer comes back: `form_post`, or empty for the provider's own way."""
        return "form_post" if self._config.form_post else ""

    @property
    def is_restricted(self) -> bool:
        """Whether only some accounts are let in: one of the `allowed_…` lists is written."""
        names = (name for name in self._config.__struct_fields__ if name.startswith("allowed_"))
        return any(getattr(self._config, name) for name in names)

    def endpoints(self) -> Flow[Endpoints]:
        """Where this provider does what."""
        raise NotImplementedError

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who holds these tokens; None where the client gives credentials only. Raises ProviderError."""
        raise NotImplementedError

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Parameters of the authorization URL that this kind sends; the configuration's win over them."""
        return ()

    def auth_of(self, at: Endpoints) -> wire.ClientAuth:
        """How the client shows its secret: as configured, else as is customary at this kind."""
        del at
        return self._auth

    def start(self, start: Start) -> Flow[str]:
        """The URL to send the browser to. Raises ProviderError where it must be asked for."""
        at = yield from self.endpoints()
        hints = (
            {**start.hints} if start.max_age_s is None else {**start.hints, "max_age": str(start.max_age_s)}
        )
        return wire.authorization_url(
            at.authorize_url,
            client_id=self._config.client_id,
            redirect_uri=start.redirect_uri,
            state=start.state,
            verifier=start.verifier,
            scopes=self.scopes,
            nonce=start.nonce if self.uses_nonce else "",
            response_mode=self.response_mode,
            more=self._more(at.authorize_url, hints),
        )

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        """Who came back and with what. Raises ProviderRefused, ProviderInvalid, ProviderUnavailable."""
        at = yield from self.endpoints()
        code = wire.authorization_code(answer.params, issuer=at.issuer, has_iss=at.has_iss)
        form = wire.code_form(code, redirect_uri=answer.redirect_uri, verifier=answer.verifier)
        tokens = yield from self._tokens(at, form, answer.now)
        identity = yield from self.identify(at, tokens, answer)
        if identity is not None:
            self.check_admitted(identity)
        return SignedIn(identity=identity, tokens=tokens)

    def recheck(self, identity: Identity, tokens: Tokens, now: float) -> Flow[Identity]:
        """The same person as the provider has them now.

        Raises ClientError (`not_admitted`, 403), ProviderError; ProviderRefused where the token is taken no more.
        Threat: somebody who was put out of a group and stays in by an old session; tokens that have become
        somebody else's.
        """
        at = yield from self.endpoints()
        try:
            found = yield from self.identify(at, tokens, Answer(now=now))
        except ProviderInvalid as exc:
            if exc.code != TOKEN_REFUSED:
                raise
            raise ProviderRefused("invalid_token", exc.detail) from exc
        if found is None or (found.issuer, found.subject) != (identity.issuer, identity.subject):
            raise ProviderInvalid("the provider now names somebody else", code="wrong_subject")
        self.check_admitted(found)
        return found

    def probe(self, redirect_uri: str, now: float) -> Flow[tuple[Finding, ...]]:
        """What can be found out without a person."""
        return (yield from probed(self, redirect_uri, now))

    def check_admitted(self, identity: Identity) -> None:
        """Raise ClientError (`not_admitted`, 403) unless each `allowed_…` list that is written holds one of theirs."""
        for name in claim.LISTS:
            self.check_held(f"allowed_{name}", self.allowed(name), getattr(identity, name))

    def check_held(self, name: str, allowed: Iterable[str], held: Iterable[str]) -> None:
        """Raise ClientError (`not_admitted`, 403) unless the list of this name is empty or holds one of theirs."""
        wanted = self._folded(allowed)
        if wanted and wanted.isdisjoint(self._folded(held)):
            raise self.not_admitted(f"none of {name}")

    def not_admitted(self, detail: str = "") -> ClientError:
        """The error that an account is told by that it isn't one of those let in."""
        return ClientError(
            f"Your {self.title} account is not one that is let in here.",
            code="not_admitted",
            status=403,
            detail=detail,
        )

    def is_true(self, value: Any) -> bool:
        """Whether a claim is true as this kind writes it: anything else, 1 and "yes" too, is not."""
        return value is True or (self.has_text_booleans and value == "true")

    def allowed(self, name: str) -> tuple[str, ...]:
        """What `allowed_NAME` of the configuration holds, as identities name it; empty: any account."""
        return tuple(getattr(self._config, f"allowed_{name}", ()))

    def _folded(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(name.casefold() for name in names) if self.folds_case else frozenset(names)

    def refresh(self, tokens: Tokens, now: float) -> Flow[Tokens]:
        """The tokens to keep from now on, with the old refresh token where no new one came.

        Raises ProviderRefused only where the credential itself is refused; that this gateway isn't accepted
        as a client (a changed secret) is ProviderInvalid, so that it costs nobody a credential.
        """
        if tokens.refresh_token is None:
            raise ProviderRefused("invalid_grant", "there is no refresh token")
        at = yield from self.endpoints()
        try:
            return (yield from self._tokens(at, wire.refresh_form(tokens.refresh_token), now, old=tokens))
        except ProviderRefused as exc:
            if wire.blames_grant(exc.error):
                raise
            detail = f"{exc.error}: {exc.description}"
            raise ProviderInvalid(
                "the provider refuses this gateway as a client", detail=detail, code="client_refused"
            ) from exc

    def sign_out_url(self, tokens: Tokens, return_to: str) -> Flow[str | None]:
        """None: there is no sign-out page in OAuth 2.0."""
        del tokens, return_to
        yield from ()
        return None

    def revoke(self, tokens: Tokens, now: float, *, for_good: bool = False) -> Flow[None]:
        """Revoke the refresh token and the access token where the provider takes that (RFC 7009)."""
        at = yield from self.endpoints()
        if not at.revoke_url or not (for_good or getattr(self._config, "revoke_at_sign_out", True)):
            return
        if (refresh := tokens.refresh_token) is not None:
            form = wire.revocation_form(refresh, "refresh_token")
            yield from self._post(at.revoke_url, form, at, now)
        form = wire.revocation_form(tokens.access_token, "access_token")
        yield from self._post(at.revoke_url, form, at, now)

    def _more(self, authorize_url: str, hints: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Parameters beyond the dance's own: allowed hints, then this kind's, then the configuration's."""
        allowed = {self.hints[name]: value for name, value in hints.items() if name in self.hints}
        kinds = dict(self.parameters())
        if allowed.get("prompt") == "select_account":
            kinds["prompt"] = f"{self.prompt_to_switch} {kinds.get('prompt', '')}".strip()
        merged = {**allowed, **kinds, **dict(self._config.authorize_parameters)}
        present = {name for name, _ in parse_qsl(urlsplit(authorize_url).query, keep_blank_values=True)}
        return tuple((name, value) for name, value in merged.items() if value and name not in present)

    def _tokens(self, at: Endpoints, form: wire.Form, now: float, old: Tokens | None = None) -> Flow[Tokens]:
        reply = yield from self._post(at.token_url, form, at, now)
        return tokens_in(reply, now=now, asked=self.scopes, old=old)

    def authenticated(
        self, form: wire.Form, at: Endpoints, now: float
    ) -> tuple[wire.Form, tuple[str, Secret] | None]:
        """The form and the `basic` by which the client shows who it is. `now` is for kinds that sign an assertion."""
        del now
        config = self._config
        return wire.authenticated(
            form, method=self.auth_of(at), client_id=config.client_id, client_secret=config.client_secret
        )

    def _post(self, url: str, form: wire.Form, at: Endpoints, now: float) -> Flow[Reply]:
        form, basic = self.authenticated(form, at, now)
        reply: Reply = yield PostForm(url=url, form=form, basic=basic, via=at.via)
        return reply


class Userinfo(OAuth2):
    """The dance at a provider whose API says in one JSON object who holds an access token.

    A kind built on it gives `endpoints` with `userinfo_url`, and `default_claims`.
    """

    def __init__(self, config: PersonConfig) -> None:
        super().__init__(config)
        self._person = config

    def document(self, at: Endpoints, tokens: Tokens) -> Flow[Mapping[str, Any]]:
        """What the provider says of the holder of these tokens."""
        return (yield from object_at(at.userinfo_url, tokens.access_token, via=at.via))

    def issuer_of(self, at: Endpoints) -> str:
        """Whom accounts belong to: the origin of the API, where nothing else is said."""
        return at.issuer or origin_of(at.userinfo_url)

    def email_of(self, document: Mapping[str, Any]) -> str:
        """The address, if it is verified; "" otherwise."""
        told = claim.at(document, self.claims["email_verified"])
        verified = self._person.assume_email_verified or self.is_true(told)
        return verified_email(
            claim.at(document, self.claims["email"]), verified, email_domains=self._person.email_domains
        )

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who the provider says holds the access token. Raises ProviderInvalid."""
        del answer
        document = yield from self.document(at, tokens)
        return claim.identity_of(
            document,
            self.claims,
            client=self.name,
            issuer=self.issuer_of(at),
            subject=claim.subject_of(document, self.claims.get("subject", "")),
            email=self.email_of(document),
        )


class PlainOAuth2(Userinfo):
    """The client of an `oauth` block with explicit URLs."""

    def __init__(self, config: OAuth2Config) -> None:
        super().__init__(config)
        self._plain = config
        self._endpoints = Endpoints(
            authorize_url=config.authorize_url,
            token_url=config.access_token_url,
            userinfo_url=config.userinfo_url,
            revoke_url=config.revoke_url,
            issuer=config.issuer,
        )

    @property
    def identifies(self) -> bool:
        """Whether it says who people are: with `userinfo_url` only."""
        return bool(self._plain.userinfo_url)

    def endpoints(self) -> Flow[Endpoints]:
        """The URLs of the configuration."""
        yield from ()
        return self._endpoints

    def identify(self, at: Endpoints, tokens: Tokens, answer: Answer) -> Flow[Identity | None]:
        """Who the provider's userinfo_url says holds the access token; None without one."""
        return (yield from super().identify(at, tokens, answer)) if at.userinfo_url else None

    def issuer_of(self, at: Endpoints) -> str:
        """The configured issuer, else the origin of `userinfo_url`; of a row of the database, all of that URL.

        Threat: a row whose URLs stand at the host of another provider, among what anybody may put there, and whose
        accounts would be that provider's.
        """
        if not self.is_trusted:
            return at.userinfo_url.partition("?")[0]
        return self._plain.issuer or origin_of(at.userinfo_url)


def tokens_in(reply: Reply, *, now: float, asked: tuple[str, ...], old: Tokens | None = None) -> Tokens:
    """The tokens a token endpoint answered with; all else as `protocol.oauth2.parse_token_answer` has it."""
    content_type = reply.headers.get("content-type", "")
    return wire.parse_token_answer(reply.status, content_type, reply.body, now=now, asked=asked, old=old)
