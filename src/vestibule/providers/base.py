"""What an identity client can do, as small Protocols; a frozen configuration's `open()` makes a provider.

Nothing here holds a socket, request, response, store or clock. Capabilities are checked by `isinstance` when
the configuration loads, never while a person waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

import msgspec

from vestibule.model import Identity, Secret, Tokens
from vestibule.protocol.logout_token import LogoutToken
from vestibule.providers.kit import Flow

SAML: Final = "saml"
"""`Tokens.token_type` of what is no token: by which a session of SAML is named when it is ended."""
SAML_ANSWER: Final = "saml_response"
"""The callback's parameter that holds an answer by SAML."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider needs to send a person off. Verifier and nonce stay at the server."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: Secret
    """PKCE code verifier (RFC 7636); only its S256 challenge goes into the URL."""
    hints: Mapping[str, str] = {}
    """Passed on from `/@/signin`: login_hint, prompt, hd …; only names the provider's file allows."""
    max_age_s: int | None = None
    """How long ago the person may have signed in there at most; None: nobody asks."""
    now: float = 0.0

    def __repr__(self) -> str:
        """Without state and nonce."""
        return f"Start(redirect_uri={self.redirect_uri!r}, hints={self.hints!r})"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back to the callback, with what was sent off."""

    params: Mapping[str, str] = {}
    """The callback's parameters, each at most once."""
    redirect_uri: str = ""
    nonce: str = ""
    """Empty where tokens are looked at again, which no sign-in has asked for."""
    verifier: Secret = Secret("")
    now: float
    kept: str = ""
    """The hint that the provider wanted to see again (`RedirectLogin.keeps`)."""
    max_age_s: int | None = None
    """As it was sent off (`Start`)."""
    client_ids: tuple[str, ...] = ()
    """Whose the ID token may be where an app got it itself (`NativeLogin`); empty: this gateway's own."""

    def __repr__(self) -> str:
        """Without what came: the code stands in it."""
        return f"Answer(redirect_uri={self.redirect_uri!r}, params=***)"


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """What a flow ends in: an identity, tokens, or both."""

    identity: Identity | None = None
    tokens: Tokens | None = None
    mark: bytes = b""
    """What is the same of an answer however often it comes, and of no other; empty: the flow's one use suffices."""
    until: float = 0.0
    """From when on such an answer would be refused as too old."""


class Form(msgspec.Struct, frozen=True):
    """What a browser sends on by POST: the person's own is the only one that does."""

    action: str
    """Where to."""
    fields: tuple[tuple[str, str], ...]
    """Names and values, in order."""

    def __repr__(self) -> str:
        """Without what is sent."""
        return f"Form(action={self.action!r}, fields=***)"


class Provider(Protocol):
    """Anything that `open()` of a provider's configuration makes."""

    @property
    def name(self) -> str:
        """Full name of the client."""

    @property
    def kind(self) -> str:
        """Its kind, by the name it has in the configuration: `google`, `oidc`."""

    @property
    def title(self) -> str:
        """What the button says."""

    @property
    def is_trusted(self) -> bool:
        """False where its URLs came from a database row: they must be public then (`fetch`)."""


class ProviderConfig(Protocol):
    """A provider's frozen configuration: the factory."""

    def open(self) -> Provider:
        """The provider; pure, fetches nothing."""


@runtime_checkable
class RedirectLogin(Provider, Protocol):
    """Signs people in by sending their browser away and back."""

    @property
    def identifies(self) -> bool:
        """False where it yields credentials only (plain OAuth 2.0 without userinfo_url or a known type)."""

    @property
    def keeps(self) -> str:
        """The hint that it can't do without, at the start and again at the callback (IndieAuth: `me`); mostly empty."""

    @property
    def redirect_url(self) -> str:
        """The redirect URL registered with it, where that isn't `https://HOST/@ID/callback`; else empty."""

    def start(self, start: Start) -> Flow[str | Form]:
        """The URL to send the browser to, or what it is to send there."""

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        """Who came back and with what. Raises ProviderRefused, ProviderInvalid, ProviderUnavailable."""


class NativeToken(msgspec.Struct, frozen=True, kw_only=True):
    """What an app got from the provider's SDK on somebody's phone."""

    id_token: Secret
    nonce: Secret
    """As the app made it; the token holds it, or its SHA-256 in hex."""
    user: str = ""
    """Apple's JSON beside the token of a first sign-in, as the app passes it on."""
    now: float


class Native(msgspec.Struct, frozen=True, kw_only=True):
    """Whom such a token is about."""

    identity: Identity
    mark: bytes
    """What is the same of this token however often it is shown, and of no other."""
    until: float
    """From when on it would be refused as too old."""
    told_at: float
    """When the provider made it."""
    name: str = ""
    """What the app says they are called. Nobody vouches for it: a form may begin with it, and no more."""


@runtime_checkable
class NativeLogin(Provider, Protocol):
    """Signs people in by an ID token that an app got itself (OpenID Connect Core 1.0; SDKs of Google and Apple)."""

    @property
    def native_client_ids(self) -> tuple[str, ...]:
        """The apps' own client IDs at the provider; empty: none does that."""

    def native(self, shown: NativeToken) -> Flow[Native]:
        """Whom it is about. Raises as `RedirectLogin.finish` does. That it is shown once alone is not checked here."""


@runtime_checkable
class WithinDomains(Provider, Protocol):
    """Is believed about addresses within certain domains only."""

    @property
    def email_domains(self) -> tuple[str, ...]:
        """The domains; empty: all."""


@runtime_checkable
class Refresh(Provider, Protocol):
    """Gets a fresh access token for a refresh token.

    A `place` says where it is, if it has that attribute: tokens that were given at one are shown at no other.
    """

    def refresh(self, tokens: Tokens, now: float) -> Flow[Tokens]:
        """The tokens to keep from now on: the old refresh token where no new one came.

        Raises ProviderRefused where the credential itself is refused, else as `finish` does.
        """


@runtime_checkable
class Recheck(Provider, Protocol):
    """Says anew who somebody is, without the person: what groups, organisations, roles they have now."""

    @property
    def is_restricted(self) -> bool:
        """True where the configuration lets in only some of the provider's accounts."""

    @property
    def needs_tokens(self) -> bool:
        """False where it asks by a credential of the app's own; `recheck` then gets none of the person's."""

    def recheck(self, identity: Identity, tokens: Tokens, now: float) -> Flow[Identity]:
        """The same person as the provider has them now; `tokens` are live where they could be refreshed.

        Raises ClientError (`not_admitted`, 403) for somebody who is no longer let in, ProviderRefused and
        ProviderInvalid where the provider won't say, ProviderUnavailable.
        """


@runtime_checkable
class SignOut(Provider, Protocol):
    """Tells the provider that the person has left."""

    def sign_out_url(self, tokens: Tokens, return_to: str) -> Flow[str | None]:
        """Where to send the browser for RP-initiated logout; None where the provider has no such page."""

    def revoke(self, tokens: Tokens, now: float, *, for_good: bool = False) -> Flow[None]:
        """Revoke what can be revoked (RFC 7009); best effort.

        `for_good`: the person's account is deleted here, so consent goes too where a sign-out leaves it.
        """


@runtime_checkable
class EndsSessions(Provider, Protocol):
    """Tells when a session of its own is over (OpenID Connect Back-Channel and Front-Channel Logout 1.0)."""

    def ended(self, logout_token: Secret, now: float) -> Flow[LogoutToken]:
        """What a logout token says, all of it checked. Raises ClientError `logout_token_…`, ProviderError."""

    def sign_out_ways(self) -> Flow[tuple[str, ...]]:
        """Which it has: a `page` of its own, and by `back` or `front` channel it tells. Raises ProviderError."""

    def speaks_for(self, issuer: str) -> bool:
        """Whether this is the issuer, or one of those, that it signs people in for."""

    def frame_origins(self) -> Flow[tuple[str, ...]]:
        """Where pages of its own may stand that frame ours. Raises nothing of its own."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser brought of a provider's logout (SAML 2.0 Bindings sections 3.4 and 3.5)."""

    query: str = ""
    """Of a GET, as it came: the signature is over these very octets."""
    form: Mapping[str, str] = {}
    """Of a POST."""
    redirect_uri: str
    """The callback, beside which the logout stands."""
    now: float

    def __repr__(self) -> str:
        """Without the message, which names people."""
        return f"Told(redirect_uri={self.redirect_uri!r})"


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What such a message comes to."""

    ended: tuple[LogoutToken, ...] = ()
    """What it says has ended; empty where it answers a logout that began here."""
    reply: str | Form | None = None
    """Where the browser goes on, once that has ended; None: to the page of people who have left."""


@runtime_checkable
class SpeaksSaml(Provider, Protocol):
    """Signs people in by SAML 2.0: has metadata to show, and a logout that browsers carry."""

    @property
    def relay_states(self) -> tuple[str, ...]:
        """The RelayStates with which the provider may send somebody here unasked; empty: it may not."""

    def metadata(self, redirect_uri: str) -> bytes:
        """What the provider must know of this client, as XML; pure."""

    def leave(self, tokens: Tokens, now: float) -> Flow[str | Form | None]:
        """Where the browser goes to end the session there, or with what; None where it has no such place."""

    def logout(self, told: Told) -> Flow[Ending]:
        """What the message says, all of it checked. Raises ProviderError."""


@runtime_checkable
class TokenSource(Protocol):
    """Gets an access token of the app's own: client credentials or a service account."""

    def token(self, now: float) -> Flow[Tokens]:
        """A fresh token. Raises ProviderRefused, ProviderInvalid, ProviderUnavailable."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at when a provider was tried out."""

    what: str
    """`discovery`, `keys`, `client credentials` …"""
    ok: bool
    detail: str = ""
    """What was found; never a secret."""
    advice: str = ""
    """What to do about it; empty where nothing need be done."""


@runtime_checkable
class Probe(Provider, Protocol):
    """Can be tried out without a person."""

    def probe(self, redirect_uri: str, now: float) -> Flow[tuple[Finding, ...]]:
        """What can be found out: discovery, keys, the client's credentials. Raises nothing of its own."""
