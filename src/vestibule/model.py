"""The plain immutable values that every rung speaks of.

Times are UNIX seconds (`_at`) or spans in seconds (`_s`), as floats. Nothing here knows where it is kept.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import msgspec


class Secret:
    """A text that must not be seen: its repr and str are masked; `reveal()` gives it out, deliberately."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Equality for tests and de-duplication only; comparing with what a client sent is hmac.compare_digest's."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a provider says has come. A person is (issuer, subject), never an e-mail address."""

    client: str
    """Full name of the identity client that vouches: its ID at top level, `HOST/ID` inside a host."""
    issuer: str
    subject: str
    login: str = ""
    """Preferred username, for show."""
    name: str = ""
    """Display name."""
    email: str = ""
    """Verified address, lower-case domain; empty when there is none or it is not verified."""
    groups: tuple[str, ...] = ()
    orgs: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    """`org/team` at GitHub and its like."""
    projects: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    """`CLIENT:ROLE` for those of one application."""
    unknown: tuple[str, ...] = ()
    """Names of those lists about which the provider said nothing: not the same as an empty one. A deny rule on
    them denies."""
    claims: dict[str, Any] = {}
    """Further claims that were asked for by name; never tokens."""
    sid: str = ""
    """The provider's own name of the session it signed them in by (OpenID Connect Back-Channel Logout 1.0 section
    2.1); empty where it gave none."""
    signed_in_at: float = 0.0
    """When the person signed in there, as far as the provider was asked and proved it; else when they came back; 0:
    nobody knows."""
    until: float = 0.0
    """When the provider's own session is over, where it said so with this sign-in; 0: it didn't."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a token endpoint answered (RFC 6749 section 5.1)."""

    access_token: Secret
    token_type: str = "Bearer"  # noqa: S105 - a type name
    refresh_token: Secret | None = None
    expires_at: float | None = None
    """None: the answer had no expires_in; then only a 401 of the API says that it has expired."""
    scopes: tuple[str, ...] = ()
    id_token: Secret | None = None
    """Kept as the hint for sign-out at the provider only."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials one session (or, later, person) holds at one client; apart from who they are."""

    owner: str
    """The session's permanent id."""
    client: str
    """Full name of the client."""
    tokens: Tokens
    obtained_at: float
    version: int = 0
    """Grows by one with each write; the compare-and-set key."""
    refreshing_since: float | None = None
    """When a refresh was sent whose result is not yet stored; found after a crash, the old token is tried once."""
    rejected_at: float | None = None
    """When it was last refreshed because an API rejected it before its time; not done again within seconds."""
    place: str = ""
    """Where the provider was that gave it (`providers.base.Refresh.place`)."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the browser or program that holds a session."""

    user_agent: str = ""
    address: str = ""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One signed-in browser. Its `id` is permanent and never leaves; the handle in the cookie is replaceable."""

    id: str
    host: str
    """The host it is good for."""
    created_at: float
    seen_at: float
    expires_at: float
    """Absolute end."""
    idle_s: float
    """It also ends when it was not seen for this long."""
    user_id: str = ""
    """The person here (`User-Id`); empty where only plain OAuth credentials were given."""
    identities: tuple[Identity, ...] = ()
    clients: tuple[str, ...] = ()
    """Full names of the clients with live credentials, in the order they came (`Proxy-Provider`)."""
    device: Device = Device()
    version: int = 0
    parent_id: str = ""
    """The session at `auth_host` it was handed on from (later); empty for its own."""
    signed_in_at: float = 0.0
    """When the person last came back from a provider; 0: never."""
    check_at: float = 0.0
    """From when on its person's groups, organisations and roles must be asked for anew before the session is used;
    0: there is nothing to ask for."""
    attributes: dict[str, Any] = {}
    """The application's own, by name: JSON values that nothing here looks at."""
    is_remembered: bool = False
    """The person asked to be kept signed in."""
    made_by: str = ""
    """Name of the service whose token made it by the API; empty: a sign-in did."""
    app: str = ""
    """The app whose it is (`core.app`): it has tokens in place of a cookie; empty: a browser's."""
    scopes: tuple[str, ...] = ()
    """Of an app's: what its tokens may be good for."""
    rotation: int = 0
    """Of an app's: the number of the refresh token that is good (`core.refresh`)."""
    rotated_at: float = 0.0
    affiliated: Identity | None = None
    """What the gateway itself says of the person (`core.organisation`): put on where it is read, and never stored."""

    def is_live(self, now: float) -> bool:
        """True while neither its absolute nor its idle end has come."""
        return now < self.expires_at and now < self.seen_at + self.idle_s


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person as this installation knows them."""

    id: str
    created_at: float
    name: str = ""
    login: str = ""
    email: str = ""
    valid_from: float = 0.0
    """Sessions and app tokens made before this are dead, whatever the session store says."""
    sessions_from: float = 0.0
    """Sessions begun before this are dead, wherever they are kept: the person signed out everywhere then."""
    disabled: bool = False
    seen_at: float = 0.0
    profile: dict[str, str] = {}
    """What the person filled in at registration, by field."""

    def lets_live(self, created_at: float) -> bool:
        """True for a session of theirs that began then, as far as they are concerned."""
        return not self.disabled and max(self.valid_from, self.sessions_from) <= created_at


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An identity as it is kept: the account at a provider by which a user is found. Its key is (issuer, subject)."""

    issuer: str
    subject: str
    user_id: str
    client: str
    """Full name of the client that vouched first."""
    kind: str = ""
    """That client's kind: `google`, `oidc`."""
    login: str = ""
    name: str = ""
    email: str = ""
    """The verified address as last told; empty when there was none."""
    created_at: float = 0.0
    seen_at: float = 0.0


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """Leave for one person to become a user: whoever has this verified address, or is this account. Used once."""

    id: str
    email: str = ""
    """Lower case; empty where the invitation names an account."""
    issuer: str = ""
    subject: str = ""
    note: str = ""
    """For people."""
    created_at: float
    created_by: str = ""
    expires_at: float
    used_at: float | None = None
    used_by: str = ""
    """The user it made."""


class AdminToken(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token of the admin API, as it is listed; the token itself is shown once and only its hash is kept."""

    id: str
    name: str
    created_at: float
    expires_at: float | None = None
    seen_at: float | None = None
    scopes: tuple[str, ...] = ()
    """What it may do (`core.scope`); empty: everything."""


class MachineKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that a machine shows, as it is listed; itself it is shown once, and only its hash is kept."""

    id: str
    machine: str
    """Name of the machine in the configuration."""
    name: str = ""
    """For people: where it is kept."""
    created_at: float
    expires_at: float | None = None
    seen_at: float | None = None


class AppToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that a person made for their programs, as it is listed; itself it is shown once, and its hash is kept."""

    id: str
    user_id: str
    name: str
    host: str
    """The one it is good for."""
    prefixes: tuple[str, ...] = ()
    """The paths it is good for, as `Bounds` has them; empty: all."""
    methods: tuple[str, ...] = ()
    """Empty: all."""
    scopes: tuple[str, ...] = ()
    created_at: float
    expires_at: float
    seen_at: float | None = None
    """When it was last used, to the minute; None: never."""


class Vouched(msgspec.Struct, frozen=True, kw_only=True):
    """What a client last said of an account: who comes without a session is known by that."""

    identity: Identity
    told_at: float
    """When it was said, at a sign-in or since; 0: it would not be said again."""
    word: str = ""
    """Names what that rested on: the provider as it was configured then."""


class Asker(msgspec.Struct, frozen=True, gc=False):
    """Who asks, as far as rules look at it; nobody signed in has no identities."""

    identities: tuple[Identity, ...] = ()
    user_id: str = ""
    """The person's id here."""
    address: str = ""
    """The client's address in its one spelling; empty when nothing better is known."""
    scopes: frozenset[str] | None = None
    """Of the token that was shown; None: none was."""
    now: float = math.inf
    """When they ask: rules on how old a sign-in may be look at it. Without it every one is too old."""
    signed_in_at: float = 0.0
    """Of the token that was shown: when its person signed in. Without one, their identities say it."""
    certificate: tuple[str, ...] = ()
    """Names of the certificate that the client has shown (`core.tls.ClientCertificate.known_as`); empty: none."""
    machine: str = ""
    """Name of the machine that it is; empty: it is none."""
    affiliated: Identity | None = None
    """What the gateway itself says of the person; it counts where one of `identities` does."""
    is_app: bool = False
    """An app that acts for the person, by an access token that the gateway gave it: its scopes bound it."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a credential is good for, at most; what is empty is not bounded."""

    host: str = ""
    prefixes: tuple[bytes, ...] = ()
    """Canonical, without their last slash: whole segments, as routes have them."""
    methods: frozenset[bytes] = frozenset()


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who shows a credential of their own with every request, instead of a browser's session."""

    id: str
    """Says in logs and caches which credential it was; never the credential itself."""
    kind: str
    """`app_token`, `jwt`, `introspection`, `basic` or `machine`."""
    identities: tuple[Identity, ...] = ()
    user_id: str = ""
    """The person here; empty where the credential is nobody's account."""
    scopes: frozenset[str] = frozenset()
    expires_at: float | None = None
    """When the credential itself ends; None: it doesn't say."""
    signed_in_at: float = 0.0
    """When its person signed in, as it says itself; infinite: with this very request; 0: nobody says."""
    bounds: Bounds = Bounds()
    machine: str = ""
    """Name of the machine that it is, by this gateway's own word; empty: it is none."""
    subject: str = ""
    """Which one of that name."""
    affiliated: Identity | None = None
    """What the gateway itself says of the person (`core.organisation`)."""


class Allow(msgspec.Struct, frozen=True):
    """The request may go to the backend. Made in `core.policy.decide` only."""

    reason: str


class SignIn(msgspec.Struct, frozen=True):
    """Nobody is signed in, and signing in could help."""

    reason: str


class StepUp(msgspec.Struct, frozen=True):
    """Somebody is signed in whom the rules let in, but so long ago that this route asks for a fresh sign-in."""

    reason: str
    max_age_s: float = 0.0
    """How long ago it may be at most."""


class Deny(msgspec.Struct, frozen=True):
    """No: with the HTTP status (403, 405 …), a stable code, and the reason in words, for the log: it names rules."""

    status: int
    code: str
    reason: str
    kinds: tuple[str, ...] = ()
    """Kinds of the rules it came from, which say what counts without naming anybody: for the person."""


RETRY_AFTER_S = 2
"""What a 503 says of when to come again."""


class Unavailable(msgspec.Struct, frozen=True):
    """It can't be decided now, since the store or the provider is away: 503 with Retry-After, cookies untouched."""

    reason: str
    retry_after_s: int = RETRY_AFTER_S
    code: str = "store_unavailable"


Decision: TypeAlias = Allow | SignIn | StepUp | Deny | Unavailable
