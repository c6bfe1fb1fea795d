"""What a configuration may hold.

The text under each field is its entry in the manual (`docs/configuration.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vestibule.config.schema_branding import Branding
from vestibule.config.shape import Node
from vestibule.config.value import (
    Api,
    FilePath,
    HeaderName,
    Method,
    Network,
    Offered,
    Origin,
    Pattern,
    Reference,
    Seconds,
    Size,
    StoreUrl,
)
from vestibule.core.lifetimes import USUAL
from vestibule.core.listener import ListenAddress
from vestibule.core.policy import Rule
from vestibule.core.route import Backend
from vestibule.model import Secret

_ACCESS_LATER = {"rule": "write allow and deny", "policy": "write allow and deny"}
FETCH_TIMEOUT_S = Seconds(10.0)
_EDGE = "let an edge proxy in front speak TLS, and write public_url into the host"


class Gateway(Node, kw_only=True):
    """How the gateway itself runs. Without this block it listens on `127.0.0.1:8000`.

    May be split: several `gateway` blocks, in one file or many, are read as one.
    """

    LATER: ClassVar[Mapping[str, str]] = {
        "https": _EDGE,
        "forward_auth": "",
        "log": "",
        "proxy_protocol": "",
    }

    http: tuple[ListenAddress, ...] = ()
    """Addresses to listen on, as in `["127.0.0.1:8000"]`. A port that is not on loopback takes plain
    HTTP from other machines: then an edge proxy in front must speak TLS, and each host with sign-in
    needs `public_url`."""
    workers: int = 1
    """Number of processes; 1 in this version."""
    trusted_proxies: tuple[Network, ...] = ()
    """Addresses or ranges (`["10.0.0.0/8"]`) of the edge proxies in front, whose `X-Forwarded-For` and
    `Forwarded` are believed. Empty: nobody's."""
    fetch_allow: tuple[Network, ...] = ()
    """Addresses or ranges (`["10.0.0.0/8"]`) that the gateway may also call for URLs you did not write: those a
    provider's discovery document names on another host, redirects, providers kept in the database, web addresses
    that people sign in with. All these must be public https otherwise; in these ranges plain http will do. A host
    that you wrote yourself needs no entry."""
    fetch_timeout: Seconds = FETCH_TIMEOUT_S
    """How long one request to a provider may take, with all its redirects (10 seconds)."""
    state: FilePath = FilePath("state")
    """Directory of what the gateway keeps: the database and the key. Made when it is not there. A path
    that does not begin with `/` counts from the folder of the file it stands in (without a file: the
    working directory)."""


class Store(Node, kw_only=True):
    """Where sessions, credentials and people are kept. Without this block: SQLite in the state directory.

    May be split like `gateway`.
    """

    LATER: ClassVar[Mapping[str, str]] = {"sessions": "sessions stand in the database of `url`", "prefix": ""}

    url: StoreUrl | None = None
    """`sqlite:PATH` (without it `vestibule.db` in the state directory), or
    `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, for several processes on one database. What is special in a
    URL is percent-encoded in user and password; `?sslmode=` (`disable`, `prefer`, `require`, `verify-ca`,
    `verify-full`) and `sslrootcert=FILE` are libpq's. Without `sslmode` the server's certificate is checked as
    by `verify-full`, unless it is on this machine."""
    key_file: FilePath = FilePath("")
    """File of the key ring that seals and signs, readable by its owner only. Without it `vestibule.key` in
    the state directory. Beside SQLite it is made at the first start; with PostgreSQL all processes need the
    same one, or the same `VESTIBULE_SESSION_KEY`. Who has it can read every stored credential: keep it as
    safe as one."""


class Admin(Node, kw_only=True):
    """The admin API: users, invitations, identity providers.

    It always answers on the Unix socket `admin.sock` in the state directory, to the user the gateway runs as; with
    this block on a port of this machine too, to whoever has an admin token (`vestibule tokens create`). May be
    split like `gateway`.
    """

    LATER: ClassVar[Mapping[str, str]] = {
        "allow": "the owner of admin.sock may, and whoever has an admin token"
    }

    listen: ListenAddress | None = None
    """Loopback address, as in `"127.0.0.1:9000"`. Plain HTTP: other machines come by an SSH tunnel, or by an edge
    that speaks TLS on this one."""


class Lifetimes(Node, kw_only=True):
    """How long things live: `"30s"`, `"10m"`, `"24h"`, `"7d"`. May be split like `gateway`."""

    LATER: ClassVar[Mapping[str, str]] = {
        "cached_session": "one process knows of every sign-out at once",
        "remember_me": "",
    }

    pending_flow: Seconds = Seconds(USUAL.flow_s)
    """A sign-in that was begun and not finished (10 minutes)."""
    session_idle: Seconds = Seconds(USUAL.idle_s)
    """A session that is not used (24 hours)."""
    session_absolute: Seconds = Seconds(USUAL.absolute_s)
    """A session, used or not (7 days)."""
    handle: Seconds = Seconds(USUAL.handle_s)
    """The `Proxy-Session` handle a backend gets (1 hour)."""
    restriction: Seconds = Seconds(USUAL.restriction_s)
    """How old the word of a provider on groups, organisations, teams, projects and roles may be before it is asked
    anew (1 hour): who was removed there is out here without signing in again."""
    invitation: Seconds = Seconds(USUAL.invitation_s)
    """An invitation of which nothing else was said (7 days)."""
    grace: Seconds = Seconds(USUAL.grace_s)
    """How long known sessions are served while the store can't be reached (30 seconds); nobody new gets
    in then."""


class PeopleField(Node, kw_only=True):
    """One further field of the registration form; its answer is kept with the person, under its name."""

    LABEL: ClassVar[str] = "its name"
    ALIASES: ClassVar[Mapping[str, str]] = {"label": "title"}

    title: str = ""
    """What stands beside the field; also named `label`. Without it: its name."""
    hint: str = ""
    """How to fill it in."""
    required: bool = False
    """True: it can't be left empty."""


class People(Node, kw_only=True):
    """Who may become a user here. May be split like `gateway`.

    A person's account is made at the first sign-in and found again by the provider's own id of them, never by an
    e-mail address. Who may open what is for each host's `access` to say.
    """

    registration: str = "auto"
    """How a newcomer's account is made: `auto` at once, `form` after a registration form. `invite`: only for people
    who were invited. `closed`: for nobody."""
    allow_all_users: bool = True
    """False: only people who have an account, or were invited, are let in."""
    allowed_domains: tuple[str, ...] = ()
    """Domains of verified e-mail addresses (`["example.com"]`), of which everybody must have one, at every sign-in.
    Without it, or with `["*"]`: no address is asked for."""
    link_verified_emails: bool = False
    """True: a newcomer whose verified address is that of exactly one person's account here is taken for that person.
    Only for providers that you believe about addresses; it counts within a host's own providers."""
    field: tuple[PeopleField, ...] = ()
    """Further fields of the form; any number of blocks."""
    terms_url: str = ""
    """Address of the terms that the form has people accept: `https://…`, or a path of the host."""
    privacy_url: str = ""
    """Address of the privacy statement that the form links to."""


class AuthorizeParameter(Node, kw_only=True):
    """A parameter to add to the authorization URL."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "value")

    name: str = ""
    """Its name."""
    value: str = ""
    """Its value."""


class OAuth(Node, kw_only=True):
    """A plain OAuth 2.0 client with explicit URLs, as in IO.

    The redirect URL to register is `https://HOST/@ID/callback`. It yields credentials for `call` blocks,
    and tells who the person is only with `userinfo_url` or a known `type`.
    """

    LABEL: ClassVar[str] = "the client's ID"
    OPEN: ClassVar[bool] = True
    LATER: ClassVar[Mapping[str, str]] = {"credentials": "credentials stay with the session"}

    type: str = ""
    """A known kind (`google`, `github`, `oidc`), which then says who people are; it knows its URLs."""
    authorize_parameter: tuple[AuthorizeParameter, ...] = ()
    """Parameters to add to the authorization URL; any number of blocks."""


class Provider(Node, kw_only=True):
    """A known kind of identity provider.

    At top level it serves every host that lists it in `sign_in`; inside a host, that host. The redirect URL
    to register is `https://HOST/@ID/callback`.
    """

    LABEL: ClassVar[str] = "the client's ID"
    OPEN: ClassVar[bool] = True
    LATER: ClassVar[Mapping[str, str]] = {
        "credentials": "credentials stay with the session",
        "restriction": "",
    }

    type: str = ""
    """Its kind; without it, the ID is the kind (`google`, `github`). `oidc` is any OpenID provider."""
    authorize_parameter: tuple[AuthorizeParameter, ...] = ()
    """Parameters to add to the authorization URL; any number of blocks."""


class Access(Node, kw_only=True):
    """Who gets in. What no rule allows is denied.

    Rules: `public` (no sign-in needed), `anyone` (any signed-in person), `email:ADDRESS`, `domain:NAME`
    (of the verified e-mail address), `group:NAME`, `org:NAME`, `team:ORG/TEAM`, `project:PATH`, `repo:OWNER/NAME`,
    `role:NAME`, `claim:NAME=VALUE` (of a claim kept by the provider's `claims`), `user:ID` (the id here). Each value
    may name a provider first, and then looks at that one's word only: `group:okta/admins`; `user:github/octocat` is
    a login there.
    """

    LATER: ClassVar[Mapping[str, str]] = _ACCESS_LATER

    allow: tuple[Rule, ...] = ()
    """Rules; one that holds is enough. A route's list replaces the host's."""
    deny: tuple[Rule, ...] = ()
    """Rules; one that holds refuses, whatever `allow` says, and so does one that can't be answered. A
    host's list applies on all its routes."""


_REQUEST_LATER = {
    "header": "",
    "rewrite": "",
    "identity_headers": "the backend gets Proxy-… and User-… headers",
    "assertion": "",
    "timeout": "",
}


class Route(Node, kw_only=True):
    """A part of a host's paths.

    It is chosen by path alone: whole segments, the longest wins; `/admin/` also owns `/admin`. What is not
    set here is as in the host.
    """

    LABEL: ClassVar[str] = "its path"
    EITHER: ClassVar[tuple[str, ...]] = ("backend",)
    LATER: ClassVar[Mapping[str, str]] = _REQUEST_LATER

    methods: tuple[Method, ...] = ()
    """The methods it takes; any other is answered 405. Without it: all."""
    backend: tuple[Backend, ...] = ()
    """As in `host`."""
    insecure: bool | None = None
    """As in `host`."""
    max_body: Size | None = None
    """As in `host`."""
    access: Access | None = None
    """Who gets in here: `allow` replaces the host's, `deny` adds to it."""


class Auth(Node, kw_only=True):
    """A credential a call gets, and where it goes (IO's first form)."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "credential")

    name: HeaderName = HeaderName("")
    """Of the header or query parameter."""
    location: str = "header"
    """`header` or `query`."""
    credential: Reference | None = None
    """`session:CLIENT` (the person's), `secret:NAME`, `client_credentials:NAME` or `service_account:NAME`."""
    prefix: str | None = None
    """Stands before the credential; without it `Bearer ` for a token in the Authorization header, else
    nothing."""


class ApplyHeader(Node, kw_only=True):
    """A header a call gets (IO's second form).

    Exactly one of `secret`, `client_credentials` and `service_account` stands in it.
    """

    LABEL: ClassVar[str] = "the header's name"

    secret: Reference | None = None
    """Name of a `secret`, or `session:CLIENT` for the person's credential."""
    client_credentials: str = ""
    """Name of a `client_credentials` block."""
    service_account: str = ""
    """Name of a `service_account` block."""
    scopes: tuple[str, ...] = ()
    """Scopes to ask for with `service_account` or `client_credentials`, instead of those in that block."""
    prefix: str | None = None
    """As in `auth`."""


class Operation(Node, kw_only=True):
    """A named call of the API: a label in traffic and metrics, and with `only_operations` a permission."""

    LABEL: ClassVar[str] = "its ID"
    REQUIRED: ClassVar[tuple[str, ...]] = ("path",)

    method: Method = Method(b"")
    """Without it: any."""
    path: Pattern = Pattern((), rest=True)
    """As in `/v1/users/{id}`: `{…}` is any one segment, a last `/**` is everything below."""
    description: str = ""
    """For people."""


class Call(Node, kw_only=True):
    """A calling interface: a local port by which the app calls an API as the person who is signed in.

    The app sends its calls to `http://127.0.0.1:PORT/…` with the `Proxy-Session` it was given, and the
    gateway adds the person's credential. Also named `calling`; may stand inside a host, and then takes its
    handles only.

    On a loopback port the handle is a bearer secret among the programs of this machine.
    """

    LABEL: ClassVar[str] = "its ID"
    ALIASES: ClassVar[Mapping[str, str]] = {"target": "endpoint"}
    LATER: ClassVar[Mapping[str, str]] = {
        "callers": "a calling interface listens on loopback only",
        "users": "",
        "require_jwt": "a calling interface listens on loopback only",
        "atproto_auth": "",
        "credentials": "",
        "apply_query": 'write auth { location = "query" … }',
    }
    IGNORED: ClassVar[Mapping[str, str]] = {"protocol": "APIs are called by HTTP/1.1"}
    REQUIRED: ClassVar[tuple[str, ...]] = ("endpoint",)

    name: str = ""
    """For people; without it the ID."""
    port: int | None = None
    """Local port, on 127.0.0.1. This or `listen`."""
    listen: ListenAddress | None = None
    """Loopback address (`127.0.0.1:4848`, `[::1]:4848`) or `unix:PATH`. This or `port`."""
    endpoint: Api | None = None
    """The API, also named `target`: `host` or `host:443` is https; any other port needs its scheme written
    (`https://api.example.com:8443`), unless it is on loopback, which is plain http; `unix:PATH`."""
    insecure: bool = False
    """True: the API's certificate is not checked. Only for testing: who stands between gets the
    credentials."""
    hosts: tuple[str, ...] = ()
    """Names of the hosts whose handles it takes. Without it: those with the client it applies."""
    auth: tuple[Auth, ...] = ()
    """A credential and where it goes."""
    apply_header: tuple[ApplyHeader, ...] = ()
    """A header and the credential in it."""
    operation: tuple[Operation, ...] = ()
    """The calls by name."""
    only_operations: bool = False
    """True: what no `operation` names is refused."""


class Host(Node, kw_only=True):
    """A host name of yours and the app behind it. Also named `ingress`."""

    LABEL: ClassVar[str] = "the host's name"
    ALIASES: ClassVar[Mapping[str, str]] = {"oauth_client": "oauth", "calling": "call"}
    LATER: ClassVar[Mapping[str, str]] = {
        **_REQUEST_LATER,
        "atproto": "",
        "atproto_client": "",
        "credential": _EDGE,
        "compat": "",
        "session": "lifetimes stand in a block `lifetimes` at top level",
        "apikey_auth": "",
        "require_jwt": "",
        "aliases": "write a host block for each name",
    }
    REQUIRED: ClassVar[tuple[str, ...]] = ("backend",)
    EITHER: ClassVar[tuple[str, ...]] = ("backend",)

    name: str = ""
    """For people; without it the host's name."""
    backend: tuple[Backend, ...] = ()
    """Where requests go: `host:port` (http), `https://host:port`, `unix:PATH`, `static:DIR`,
    `internal:echo`, `internal:account` (no app at all: people sign in, and see their account), or a list of servers,
    used in turn, a dead one left out."""
    insecure: bool = False
    """True: the certificate of an https backend is not checked."""
    max_body: Size | None = None
    """Largest request body, as in `"10MiB"`; a larger one is answered 413. Without it: no limit."""
    public_url: Origin = Origin("")
    """Scheme and host as people see them (`https://app.example.com`), where an edge proxy in front
    speaks TLS."""
    sign_in: tuple[Offered, ...] | None = None
    """IDs of the providers people sign in with here, in the order of the buttons; `"*"` stands for every enabled
    provider of the database, after those named. Without it: those that stand inside this host."""
    access: Access | None = None
    """Who gets in. May be left out only where nothing but IO's `oauth` blocks stand: then everyone
    does, and the app sees who is signed in."""
    route: tuple[Route, ...] = ()
    """Parts of the paths with settings of their own."""
    provider: tuple[Provider, ...] = ()
    """Providers of this host alone."""
    oauth: tuple[OAuth, ...] = ()
    """OAuth 2.0 clients of this host; also named `oauth_client`."""
    call: tuple[Call, ...] = ()
    """Calling interfaces that take this host's handles only; also named `calling`."""
    branding: Branding | None = None
    """How this host's pages look."""


class SecretValue(Node, kw_only=True):
    """A secret that calls can use by name."""

    LABEL: ClassVar[str] = "its name"
    REQUIRED: ClassVar[tuple[str, ...]] = ("value",)

    value: Secret = Secret("")
    """The secret: `"${env("API_KEY")}"`, `"${file("api.key")}"`."""


class ClientCredentials(Node, kw_only=True):
    """An OAuth 2.0 client of the app's own: calls get its access token (RFC 6749 section 4.4)."""

    LABEL: ClassVar[str] = "its name"
    OPEN: ClassVar[bool] = True


class ServiceAccount(Node, kw_only=True):
    """A service account of the app's own: calls get its access token (RFC 7523).

    Also named `service_account_key`.
    """

    LABEL: ClassVar[str] = "its name"
    OPEN: ClassVar[bool] = True


Named = SecretValue | ClientCredentials | ServiceAccount


class General(Node, kw_only=True):
    """IO's blocks without a label: there is nothing to set in them."""


class Config(Node, kw_only=True):
    """The whole configuration. Blocks may stand in any order, in one file or many."""

    ALIASES: ClassVar[Mapping[str, str]] = {
        "ingress": "host",
        "calling": "call",
        "oauth_client": "oauth",
        "service_account_key": "service_account",
    }
    LATER: ClassVar[Mapping[str, str]] = {
        "domain": "each host has a sign-in of its own",
        "acme": _EDGE,
        "serve": "",
        "serving": "",
        "credential": _EDGE,
        "atproto": "",
    }
    IGNORED: ClassVar[Mapping[str, str]] = {
        "license": "Vestibule needs none",
        "user": "nobody signs in by SSH",
    }
    SPLIT: ClassVar[tuple[str, ...]] = ("gateway", "admin", "store", "lifetimes", "people", "branding")
    """Unlabelled blocks of which several are read as one."""
    GENERAL: ClassVar[tuple[str, ...]] = ("ingress", "calling")

    gateway: Gateway | None = None
    admin: Admin | None = None
    store: Store | None = None
    lifetimes: Lifetimes | None = None
    people: People | None = None
    branding: Branding | None = None
    provider: tuple[Provider, ...] = ()
    oauth: tuple[OAuth, ...] = ()
    host: tuple[Host, ...] = ()
    call: tuple[Call, ...] = ()
    secret: tuple[SecretValue, ...] = ()
    client_credentials: tuple[ClientCredentials, ...] = ()
    service_account: tuple[ServiceAccount, ...] = ()
