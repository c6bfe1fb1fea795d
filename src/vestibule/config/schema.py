"""What a configuration may hold.

The text under each field is its entry in the manual (`docs/configuration.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vestibule.config.schema_app import App
from vestibule.config.schema_branding import Branding
from vestibule.config.schema_call import ApplyHeader, Auth, Call, Operation
from vestibule.config.schema_caller import ApikeyAuth, Issuer, RequireJwt
from vestibule.config.schema_client import AuthorizeParameter, OAuth, Provider
from vestibule.config.schema_domain import Domain
from vestibule.config.schema_host import CREDENTIAL, Access, Host, Route, Tool
from vestibule.config.schema_log import Component, Log
from vestibule.config.schema_machine import Machine
from vestibule.config.schema_passage import Header, Passing
from vestibule.config.schema_serving import Serving
from vestibule.config.schema_tls import Acme
from vestibule.config.schema_tracing import TraceHeader, Tracing
from vestibule.config.schema_webhook import Audit, Webhook
from vestibule.config.shape import Node
from vestibule.config.value import (
    FilePath,
    Network,
    Offered,
    Seconds,
    SecondsOrNone,
    Size,
    StoreUrl,
)
from vestibule.core.lifetimes import USUAL
from vestibule.core.listener import ListenAddress
from vestibule.core.redis import Redis
from vestibule.core.rule import Rule
from vestibule.core.tls import Profile
from vestibule.model import Secret

__all__ = [
    "FETCH_TIMEOUT_S",
    "Access",
    "Acme",
    "Admin",
    "ApikeyAuth",
    "App",
    "ApplyHeader",
    "Audit",
    "Auth",
    "AuthorizeParameter",
    "Branding",
    "Call",
    "ClientCredentials",
    "Component",
    "Config",
    "Domain",
    "Gateway",
    "General",
    "Header",
    "Host",
    "Issuer",
    "Lifetimes",
    "Log",
    "Machine",
    "Named",
    "OAuth",
    "Operation",
    "Passing",
    "People",
    "PeopleField",
    "Provider",
    "RequireJwt",
    "Route",
    "SecretValue",
    "ServiceAccount",
    "Serving",
    "Store",
    "Tool",
    "TraceHeader",
    "Tracing",
    "Webhook",
]

FETCH_TIMEOUT_S = Seconds(10.0)
STORE_TIMEOUT_MOST_S = 5.0
HSTS_S = 365 * 86_400.0
DRAIN_S = 30.0
CONNECTIONS = 0
REQUESTS = 10_000
BODY_RATE = 1_024


class Gateway(Node, kw_only=True):
    """How the gateway itself runs. Without this block it listens on `127.0.0.1:8000`.

    May be split: several `gateway` blocks, in one file or many, are read as one.
    """

    EITHER: ClassVar[tuple[str, ...]] = ("forward_auth", "forward_auth_grpc")

    http: tuple[ListenAddress, ...] = ()
    """Addresses to listen on for plain HTTP, as in `["127.0.0.1:8000"]`. Hosts with TLS lead from here to `https`; for
    others a port that is not on loopback takes plain HTTP from other machines: then an edge proxy in front must
    speak TLS, and each host with sign-in needs `public_url`."""
    https: tuple[ListenAddress, ...] = ()
    """Addresses to listen on for HTTPS, as in `["0.0.0.0:443", "[::]:443"]`: HTTP/2 and HTTP/1.1. The first is what
    people see. Certificates come by themselves: see `tls` in `host`, and docs/tls.md."""
    proxy_protocol: tuple[Network, ...] = ()
    """Addresses or ranges of load balancers (`["10.0.0.0/8"]`; `unix`) that begin each connection with a PROXY header,
    version 1 or 2, which tells who really comes. They must; and nobody else's is read."""
    tls_profile: Profile = Profile.INTERMEDIATE
    """Which clients can connect, by Mozilla's recommendations: `intermediate` (TLS 1.2 and 1.3, all browsers of the
    last years), or `modern` (TLS 1.3 alone)."""
    hsts: SecondsOrNone = SecondsOrNone(HSTS_S)
    """How long browsers that were here come by https alone (`Strict-Transport-Security`; 365 days). `"0s"`: they are
    told nothing. Hosts with a certificate of the local authority never tell it."""
    drain: Seconds = Seconds(DRAIN_S)
    """How long requests that are under way may take when the program ends (30 seconds)."""
    drain_delay: SecondsOrNone = SecondsOrNone(0.0)
    """How long it goes on as before when it is told to end, but for `/readyz`, so that a load balancer in front
    notices first. Without it: not at all."""
    connections: int = CONNECTIONS
    """How many connections of clients may be open at once in each process. For more, idle ones make room; without any,
    they are answered 503. 0 (without it): as many as half of the files that the process may have open."""
    requests: int = REQUESTS
    """How many requests may be under way at once in each process (10000), event streams among them; more are answered
    503 with `Retry-After`."""
    body_rate: Size = Size(BODY_RATE)
    """How many bytes a second of a request's body have to come, after its first 10 seconds (`"1KiB"`): who is slower
    only keeps a place from others. 0: any number."""
    forward_auth: tuple[ListenAddress, ...] = ()
    """Address (or list of addresses) where an edge proxy asks whether a request may go on: nginx at `/@/validate`,
    Traefik and Caddy at `/@/forward`, Envoy at `/@/ext_authz/`. As in `"127.0.0.1:4181"`, or `"unix:edge.sock"`, which
    the group of the file may open. On loopback and on a socket whoever connects is taken for an edge; elsewhere only
    `trusted_proxies` are."""
    forward_auth_grpc: tuple[ListenAddress, ...] = ()
    """The same for Envoy's gRPC, `envoy.service.auth.v3.Authorization`; always an address of its own."""
    workers: int = 1
    """Number of processes that carry the traffic (1). With more than one, a further process has the sign-in pages, the
    admin API and the jobs, and a supervisor holds the listening sockets and starts anew whatever dies. One for each
    core is usual; one process does for most."""
    trusted_proxies: tuple[Network, ...] = ()
    """Addresses or ranges (`["10.0.0.0/8"]`) of the edge proxies in front, whose `X-Forwarded-For` and
    `Forwarded` are believed, and who may ask what edges ask on `http`, too. Empty: nobody's."""
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

    url: StoreUrl | None = None
    """`sqlite:PATH` (without it `vestibule.db` in the state directory), or
    `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, for several processes on one database. What is special in a
    URL is percent-encoded in user and password; `?sslmode=` (`disable`, `prefer`, `require`, `verify-ca`,
    `verify-full`) and `sslrootcert=FILE` are libpq's. Without `sslmode` the server's certificate is checked as
    by `verify-full`, unless it is on this machine."""
    sessions: Redis | None = None
    """Sessions, credentials and what lasts minutes in Redis instead, for many sign-ins or several machines; people
    and keys stay in the database of `url`, and so do revocations, which a Redis that lost its latest writes can't
    undo. `redis://USER:PASSWORD@HOST:PORT/NUMBER`; `redis+sentinel://USER:PASSWORD@HOST:26379,HOST:26379/PRIMARY` with
    the Sentinels and what they call the primary; `redis+cluster://USER:PASSWORD@HOST:6379,HOST:6379` with some servers
    of a Cluster. With TLS `rediss`, `rediss+sentinel`, `rediss+cluster`: then `?ca=FILE` names the authorities the
    certificate is checked with (without it the system's), `cert=FILE` and `key=FILE` what the gateway shows.
    `?sentinel_user=` and `sentinel_password=` are for the Sentinels. What is special in a URL is percent-encoded. See
    `docs/stores.md`."""
    prefix: str | None = None
    """What the names of all keys in Redis begin with (`"vestibule:"`): two gateways that share a Redis and nothing else
    need two."""
    timeout: Seconds | None = None
    """How long a request waits for PostgreSQL or Redis at most (`"250ms"`); what writes has 2 seconds. After one that
    waited in vain the server counts as away, and nobody waits until it answers as fast as it should again: known
    sessions are served for `grace`, all others are told to come back."""
    key_file: FilePath = FilePath("")
    """File of the key ring that seals and signs, readable by its owner only. Without it `vestibule.key` in
    the state directory. Beside SQLite it is made at the first start; with PostgreSQL all processes need the
    same one, or the same `VESTIBULE_SESSION_KEY`. Who has it can read every stored credential: keep it as
    safe as one."""


class Admin(Node, kw_only=True):
    """The admin API, and the pages that show what it does: docs/admin.md.

    It always answers on the Unix socket `admin.sock` in the state directory, to the user the gateway runs as; with
    this block on a port of this machine too, to whoever has an admin token (`vestibule tokens create`). May be
    split like `gateway`.
    """

    listen: ListenAddress | None = None
    """Loopback address, as in `"127.0.0.1:9000"`. Plain HTTP: other machines come by an SSH tunnel, or by an edge
    that speaks TLS on this one."""
    allow: tuple[Rule, ...] = ()
    """Who may use the admin pages by signing in as on a host, with rules as in `access`: `["email:ann@example.com"]`.
    Whoever may, may do everything there. Without it: whoever has an admin token."""
    sign_in: tuple[Offered, ...] | None = None
    """IDs of the providers they sign in with, as in `host`. Without it: all that stand at top level."""


class Lifetimes(Node, kw_only=True):
    """How long things live: `"30s"`, `"10m"`, `"24h"`, `"7d"`. May be split like `gateway`."""

    LATER: ClassVar[Mapping[str, str]] = {
        "cached_session": "one process knows of every sign-out at once",
    }

    pending_flow: Seconds = Seconds(USUAL.flow_s)
    """A sign-in that was begun and not finished (10 minutes)."""
    session_idle: Seconds = Seconds(USUAL.idle_s)
    """A session that is not used (24 hours)."""
    session_absolute: Seconds = Seconds(USUAL.absolute_s)
    """A session, used or not (7 days)."""
    remember_me: Seconds | None = None
    """A session whose person asked for it on the sign-in page (*Keep me signed in*), used or not: it stands for
    `session_idle` and `session_absolute` then. Who doesn't ask is signed out when the browser is closed, too. Without
    it nobody is asked."""
    sessions_per_person: int = 0
    """How many sessions a person may have: one more sign-in ends the one that was unused for longest, on all hosts. 0
    (without it): any number. What is handed on to the hosts of a domain counts as one."""
    handle: Seconds = Seconds(USUAL.handle_s)
    """The `Proxy-Session` handle a backend gets (1 hour)."""
    restriction: Seconds = Seconds(USUAL.restriction_s)
    """How old the word of a provider on groups, organisations, teams, projects and roles may be before it is asked
    anew (1 hour): who was removed there is out here without signing in again."""
    invitation: Seconds = Seconds(USUAL.invitation_s)
    """An invitation of which nothing else was said (7 days)."""
    app_token: Seconds = Seconds(USUAL.app_token_s)
    """An app token at most (365 days); whoever makes one chooses how long, within this."""
    grace: SecondsOrNone = SecondsOrNone(USUAL.grace_s)
    """How long known sessions are served while the store can't be reached (30 seconds); nobody new gets in then.
    A sign-out made elsewhere can be missed for that long. `"0s"`: nobody is served then, whoever they are (503)."""


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
        "serve": "serving",
        "service_account_key": "service_account",
    }
    LATER: ClassVar[Mapping[str, str]] = {
        "credential": CREDENTIAL,
        "atproto": "",
    }
    IGNORED: ClassVar[Mapping[str, str]] = {
        "license": "Vestibule needs none",
        "user": "nobody signs in by SSH",
    }
    SPLIT: ClassVar[tuple[str, ...]] = (
        "gateway",
        "acme",
        "admin",
        "store",
        "lifetimes",
        "people",
        "branding",
        "audit",
        "log",
        "tracing",
    )
    """Unlabelled blocks of which several are read as one."""
    GENERAL: ClassVar[tuple[str, ...]] = ("ingress", "calling")

    gateway: Gateway | None = None
    acme: Acme | None = None
    admin: Admin | None = None
    store: Store | None = None
    lifetimes: Lifetimes | None = None
    people: People | None = None
    branding: Branding | None = None
    provider: tuple[Provider, ...] = ()
    oauth: tuple[OAuth, ...] = ()
    issuer: tuple[Issuer, ...] = ()
    host: tuple[Host, ...] = ()
    domain: tuple[Domain, ...] = ()
    app: tuple[App, ...] = ()
    machine: tuple[Machine, ...] = ()
    call: tuple[Call, ...] = ()
    serving: tuple[Serving, ...] = ()
    secret: tuple[SecretValue, ...] = ()
    client_credentials: tuple[ClientCredentials, ...] = ()
    service_account: tuple[ServiceAccount, ...] = ()
    audit: Audit | None = None
    log: Log | None = None
    tracing: Tracing | None = None
    webhook: tuple[Webhook, ...] = ()
