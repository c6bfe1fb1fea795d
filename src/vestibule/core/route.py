"""Which host and which route a request belongs to: tables compiled once, looked up at a cost that does not grow.

A host is found by its exact canonical name. A route is chosen by path alone: whole segments, the longest prefix
wins, and `/admin/` also owns `/admin`. A method a route does not list is a 405 of that route, never another route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from vestibule.core.app import is_metadata
from vestibule.core.branding import PLAIN, Branding
from vestibule.core.compat import Claim, claim_of, root_of, unrooted
from vestibule.core.credential import NOTHING, Accepted
from vestibule.core.domain import Domain, is_within
from vestibule.core.flow import split_redirect
from vestibule.core.lifetimes import UNBOUNDED, Span, shortest
from vestibule.core.organisation import ORGS_PATH
from vestibule.core.passage import Passage
from vestibule.core.policy import Policy, joined
from vestibule.core.tls import Demand
from vestibule.core.tool import Tools
from vestibule.model import Secret
from vestibule.protocol.scim_schema import PATH
from vestibule.protocol.url import Target, host_in, neighbour_url

# Paths of the gateway's own that answers lead to; all of them stand in `web.app`.
SIGN_IN_PATH = "/@/signin"
ENTER_PATH = "/@/enter"
HEALTH_PATH = "/@/healthz"
"""Platforms ask it under whatever name they have for a machine, so it is answered under any."""
READY_PATH = "/@/readyz"
"""The same of whether it can do all its work."""
KEYS_PATH = "/@/jwks.json"
POMERIUM_KEYS_PATH = "/.well-known/pomerium/jwks.json"
"""Where backends written for Pomerium look; the gateway's own on hosts that tell as Pomerium does."""
SIGN_OUT_PATH = "/@/signout"
SIGNED_OUT_PATH = "/@/signedout"
ACCOUNT_PATH = "/@/account"
REGISTER_PATH = f"{ACCOUNT_PATH}/register"
_BELOW = (f"{PATH}/".encode(), f"{ORGS_PATH}/".encode())

ADMIN = "admin"
"""The built-in application that the admin pages are."""


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """By what a server of TLS is known, and what the gateway shows it, where that is not as usual."""

    authorities: str = ""
    """Certificates (PEM) that its own must come from; empty: the system's."""
    shown: Secret | None = None
    """The gateway's certificate and its key (PEM), for servers that ask for one."""
    name: str = ""
    """What its certificate must be for, and what is asked for (SNI); empty: the host it is reached by."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a backend or of an API."""

    host: str = ""
    """Name or IP address to connect to; empty for a Unix socket."""
    port: int = 0
    path: str = ""
    """Path of a Unix socket; empty for TCP."""
    tls: bool = False
    http2: bool = False
    """It is spoken to by HTTP/2 and by nothing else: over TLS by ALPN, otherwise by prior knowledge."""
    verify: bool = True
    """False only where the operator wrote `insecure = true`."""
    trust: Trust = Trust()

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """As it is written in the configuration."""
        if self.http2:
            return "grpcs" if self.tls else "h2c"
        return "https" if self.tls else "http"

    @property
    def protocol(self) -> str:
        """What is spoken to it, as ALPN has it."""
        return "h2" if self.http2 else "http/1.1"


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """Where a route leads: servers (balanced), a directory, a built-in application, or a serving; at most one of these.

    None of them: nowhere. An edge asks about its requests, and sends them on itself.
    """

    servers: tuple[Server, ...] = ()
    static_dir: str = ""
    internal: str = ""
    """`echo`."""
    serving: str = ""
    """ID of the serving whose rules come next, and whose backend then (`serving_name`)."""

    @property
    def http2(self) -> bool:
        """True for servers that are spoken to by HTTP/2; all of them are, or none."""
        return bool(self.servers) and self.servers[0].http2


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend is told of who asks, beside this gateway's own headers; routes that tell alike share one."""

    families: tuple[str, ...] = ()
    """Of `core.inject.FAMILIES`: headers as other products name them."""
    assertion: bool = False
    """A signed `Proxy-Assertion`, too."""


OWN_HEADERS = Telling()


class Route(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One part of a host's paths."""

    prefix: bytes
    """Without its last slash: `/admin`; empty for the host itself."""
    backend: Backend
    policy: Policy
    body_limit_bytes: int | None = None
    """None: no limit; bodies are streamed."""
    tools: Tools | None = None
    """Rules on what is called by the bodies of requests to an MCP server; None: these aren't read."""
    passage: Passage | None = None
    """What becomes of requests and answers on their way; None: nothing."""
    preflight: Policy | None = None
    """Of what browsers ask before a request of another site's page, where that is let through unasked."""
    needs_caller: bool = False
    """Only who shows a token with each request is let in; no session is looked at."""
    telling: Telling = OWN_HEADERS
    place: str = ""
    """`file:line` it was written at, for explanations."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One host name of the configuration, with everything a request to it needs."""

    name: bytes
    """Canonical: lower case, no trailing dot, no port."""
    title: str
    clients: Mapping[str, str]
    """Client ID in paths → full name: the clients that have `/@ID/…` on this host."""
    sign_in: tuple[str, ...] = ()
    """Full names of the identifying clients, in the order of the buttons."""
    issuers: tuple[str, ...] = ()
    """Names of those, besides `sign_in`, whose word on callers counts: issuers of tokens, a password file."""
    accepts: Accepted = NOTHING
    """Whose tokens and passwords are taken in Authorization."""
    takes_callers: bool = False
    """Some credentials in Authorization are for the gateway to judge (`service.caller`)."""
    app_tokens: bool = False
    """Tokens that people made on their account page are taken (`service.app_tokens`)."""
    takes_access: bool = False
    """Access tokens of the gateway's own are taken in Authorization (`core.access`)."""
    apps: Mapping[str, frozenset[str]] = {}
    """The apps that have such tokens for it, by ID, and the scopes that each may have."""
    machines: Mapping[str, frozenset[str]] = {}
    """The machines, by name, likewise."""
    mcp: bool = False
    """Clients of MCP are told with each 401 where tokens for it come from (RFC 9728)."""
    registers: bool = False
    """Apps that nobody wrote into the configuration may register themselves for it (RFC 7591)."""
    registered_scopes: tuple[str, ...] = ()
    """What those may ask for."""
    session_bearer: bool = False
    """A session's handle, or a token with it, is taken in Authorization and stands for the cookie."""
    span: Span = UNBOUNDED
    """How long its sessions live, and whether people may ask to be kept signed in."""
    spans: Mapping[str, Span] = {}
    """The same of sessions by those clients (full names) that say more."""
    asks_when: bool = False
    """Providers are asked when people signed in there: a route of it, or of a host it signs in for, wants to know."""
    realm: str = ""
    """What sessions are good for here, as `Session.host` has it; empty: this host alone, by its name."""
    domain: Domain | None = None
    """Whose sign-in it shares; None: it has its own."""
    shared_cookies: frozenset[bytes] = frozenset()
    """Lower-case names of the session cookies of all domains: whichever come, no backend sees them, nor sets them."""
    takes_more: bool = False
    """Every enabled provider of the database signs people in here, too (`joined_by`)."""
    callbacks: Mapping[bytes, tuple[str, ...]] = {}
    """Paths outside `/@…` that are the redirect URL of clients, and the IDs of those."""
    own_paths: frozenset[bytes] = frozenset()
    """Paths outside `/@…` that are its own: metadata of the authorization server, SCIM, the API of organisations."""
    compat: tuple[str, ...] = ()
    """Products whose paths are answered here, too (`core.compat`)."""
    base_url: str = ""
    """`public_url`, or where the gateway speaks TLS for it; without trailing slash; empty: made from the listener."""
    routes: Mapping[bytes, Route] = {}
    """Route by `prefix`; the host itself stands under `b""`."""
    depth: int = 0
    """Most segments any prefix has, so that a long path costs no more than a short one."""
    branding: Branding = PLAIN
    """How its pages look."""
    header_names: tuple[str, ...] = ()
    """Headers that its routes set to something of the person's, whichever route: edges overwrite them, too."""
    families: tuple[str, ...] = ()
    """The families of all its routes (`Telling`): an edge overwrites their headers on each."""
    kinds: Mapping[str, str] = {}
    """Kind of each client in `sign_in`, by full name: `github`, `oidc`."""
    kept_claims: tuple[str, ...] = ()
    """Names of the further claims that its clients keep."""
    demand: Demand | None = None
    """What it asks of those who connect by TLS; None: it has no TLS."""
    tells_certificate: bool = True
    """Backends are told of the certificate that a client has shown."""
    hsts_s: int = 0
    """How long browsers are told to come by TLS alone (RFC 6797); 0: they are not."""
    place: str = ""

    def span_by(self, clients: Iterable[str]) -> Span:
        """How long a session lives whose person came by these clients (full names)."""
        return shortest(self.span, *(self.spans[name] for name in clients if name in self.spans))

    @property
    def offers_to_keep(self) -> bool:
        """True where somebody may ask to be kept signed in."""
        return self.span.keeps or any(span.keeps for span in self.spans.values())

    @property
    def is_led_away(self) -> bool:
        """True where people use the clients at top level at another host: the domain's auth host."""
        return self.domain is not None and self.domain.auth != self.name

    @property
    def root(self) -> bytes:
        """Below what its edge hands the gateway's own paths on, where that is not at `/@` (`core.compat`)."""
        return root_of(self.compat)

    def claim(self, path: bytes) -> Claim | None:
        """Which other product has this path here."""
        return claim_of(self.compat, path, is_led_away=self.is_led_away)

    @property
    def believed(self) -> tuple[str, ...]:
        """Full names of all whose identities count here."""
        return (*self.sign_in, *self.issuers)

    def route(self, path: bytes) -> Route:
        """The route that owns this canonical path; there is always one."""
        routes = self.routes
        if not self.depth:
            return routes[b""]
        key = b"/".join(path.split(b"/", self.depth + 1)[: self.depth + 1])
        while key:
            route = routes.get(key.rstrip(b"/"))
            if route is not None:
                return route
            key = key[: key.rfind(b"/")]
        return routes[b""]


def is_own(path: bytes, host: Host) -> bool:
    """True for `/@/…`, for `/@ID/…` of this host's clients, for paths they come back to, and other products' paths.

    Every other path is the backend's, `/@alice` too.
    """
    if path[:2] != b"/@":
        return (
            path in host.callbacks
            or path in host.own_paths
            or (host.mcp and is_metadata(path))
            or (path.startswith(_BELOW) and any(path.startswith(own + b"/") for own in host.own_paths))
            or (bool(host.compat) and _is_products(path, host))
        )
    end = path.find(b"/", 2)
    return end > 0 and (end == 2 or path[2:end].decode("latin-1") in host.clients)


def _is_products(path: bytes, host: Host) -> bool:
    bare = unrooted(path, host.root)
    return host.claim(path) is not None or (bare is not path and is_own(bare, host))


def has_one_meaning(host: Host, target: Target) -> bool:
    """False where some backends would read the target as another route's.

    Threat: `/admin;x/y`, which they serve as `/admin/y` and a prefix rule would not know.
    """
    path, plain = target.path, target.plain
    if plain is path or plain == path:
        return True
    return host.route(plain) is host.route(path) and is_own(plain, host) == is_own(path, host)


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A host as people reach it by one listener."""

    base_url: str
    """`https://app.example` or `http://localhost:8000`, no trailing slash."""
    cookie: str
    """Name of the session cookie."""
    secure: bool
    auth_url: str = ""
    """Base URL of the domain's auth host, where people sign in for this one; empty: here."""
    cookie_domain: str = ""
    """What the session cookie is set for; empty: this host alone."""
    own_cookie: str = ""
    """What a session cookie of this host alone would be called, where `cookie` is the domain's."""

    @property
    def prefix(self) -> str:
        """What the names of its other cookies begin with, which are always this host's alone: `<prefix>-flow-<id>`."""
        return self.own_cookie or self.cookie


def site_of(host: Host, scheme: str, port: int) -> Site:
    """The site of *host* on a listener; from the configuration, never from what a client sent."""
    if host.base_url:
        secure = host.base_url.startswith("https://")
        shown = host.base_url.rpartition(":")[2]
        port = int(shown) if shown.isdigit() else 80
        return _site(host, host.base_url, port, secure=secure)
    secure = scheme == "https"
    shown = "" if port == (443 if secure else 80) else f":{port}"
    return _site(host, f"{scheme}://{host.name.decode()}{shown}", port, secure=secure)


def urls_of(host: Host, listeners: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Under which base URLs people reach a host; `listeners` are scheme and port of each.

    By https only where TLS ends here for it, unless there is no other listener: an edge leads to one of them.
    """
    here = [one for one in listeners if one[0] != "https" or host.demand is not None]
    return tuple({site_of(host, scheme, port).base_url: None for scheme, port in here or listeners})


def _site(host: Host, base_url: str, port: int, *, secure: bool) -> Site:
    own, domain = cookie_name(port, secure=secure), host.domain
    if domain is None:
        return Site(base_url=base_url, cookie=own, secure=secure)
    auth_url = domain.auth_url or neighbour_url(base_url, domain.auth)
    shares = domain.shares_cookie
    return Site(
        base_url=base_url,
        cookie=domain.cookie_name(port, secure=secure) if shares else own,
        secure=secure,
        auth_url="" if domain.auth == host.name else auth_url,
        cookie_domain=domain.cookie_domain,
        own_cookie=own if shares else "",
    )


def cookie_name(port: int, *, secure: bool) -> str:
    """`__Host-vestibule` over https, `vestibule-PORT` over plain http: ports of one host share their cookies."""
    return "__Host-vestibule" if secure else f"vestibule-{port}"


def serving_name(id_: str) -> bytes:
    """The name under which a serving stands among the hosts: none that a client could ask for has a colon in it."""
    return b"serving:" + id_.encode("ascii")


def is_serving(name: bytes) -> bool:
    """True for a name that `serving_name` gives: nobody asks for it, it has no address of its own."""
    return name.startswith(b"serving:")


def admin_name(port: int) -> bytes:
    """The name under which the admin listener stands among the hosts, where people sign in to its pages."""
    return b"admin:%d" % port


def is_admin(name: bytes) -> bool:
    """True for a name that `admin_name` gives."""
    return name.startswith(b"admin:")


def is_inner(name: bytes) -> bool:
    """True for a serving and the admin listener: no client can ask a listener for hosts by such a name."""
    return b":" in name


def shows_admin(host: Host) -> bool:
    """True where the admin pages are: whoever is let in there may do everything."""
    return any(route.backend.internal == ADMIN for route in host.routes.values())


class RouteTable:
    """Hosts by name; replaced whole when the configuration, or a provider of the database, changes."""

    __slots__ = ("hosts", "is_whole")

    def __init__(self, hosts: Iterable[Host], *, is_whole: bool = False) -> None:
        """`is_whole`: the providers of the database have joined the hosts that take them."""
        self.hosts: dict[bytes, Host] = {host.name: host for host in hosts}
        self.is_whole = is_whole or not any(host.takes_more for host in self.hosts.values())

    def host(self, name: bytes) -> Host | None:
        """The host of this canonical name, or None: an unknown host has no default."""
        return self.hosts.get(name)


class ReturnHosts(msgspec.Struct, frozen=True):
    """Hosts a person may be sent to after signing in: those of the table, and all of the domains that share a cookie.

    Names are lower case; one with a port (`b.example:8443`) is another place: it is in here where that is the port of a
    host's `public_url`, and below `localhost`.
    """

    names: frozenset[str]
    domains: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: RouteTable) -> ReturnHosts:
        """The table's."""
        names = {name.decode("ascii") for name in table.hosts if not is_inner(name)}
        # Threat: whoever signs in at an app is sent to the operator's pages.
        apart = [host for host in table.hosts.values() if not is_admin(host.name)]
        shown = {host.base_url.partition("://")[2] for host in apart if host.base_url}
        found = {host.domain for host in table.hosts.values() if host.domain is not None}
        domains = sorted(domain.name for domain in found if domain.shares_cookie)
        return cls(frozenset(names | shown), tuple(domains))

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or name in self.names:
            return name in self.names
        host, colon, _ = name.partition(":")
        return any(
            is_within(host, domain) and (not colon or domain.rpartition(".")[2] == "localhost")
            for domain in self.domains
        )


def routes_of(routes: Iterable[Route]) -> tuple[dict[bytes, Route], int]:
    """Routes by prefix, and the depth `Host.depth` wants."""
    table = {route.prefix: route for route in routes}
    return table, max((prefix.count(b"/") for prefix in table), default=0)


def joined_by(
    table: RouteTable,
    more: Mapping[str, str],
    *,
    absent: Iterable[str] = (),
    kinds: Mapping[str, str] = {},
    claims: Iterable[str] = (),
) -> RouteTable:
    """The table with these clients at every host that takes more, behind those it has.

    `more`: redirect URLs, mostly empty, by ID, which is the full name, too. An ID that a host has already stays what it
    is there. `absent`: IDs of those that are switched off, which rules go on to mean. `kinds`: of those in `more`;
    `claims`: the further ones they keep.
    """
    named = {name: name for name in (*absent, *more)}
    kept = tuple(claims)
    return RouteTable(
        (
            _keeping(_joined(host, more, named), kinds, kept) if host.takes_more else host
            for host in table.hosts.values()
        ),
        is_whole=True,
    )


def _keeping(host: Host, kinds: Mapping[str, str], claims: tuple[str, ...]) -> Host:
    """The host that knows of what kind those are that joined it, and what they keep."""
    return replace(
        host,
        kinds={**kinds, **host.kinds},
        kept_claims=tuple(dict.fromkeys((*host.kept_claims, *claims))),
    )


def _joined(host: Host, more: Mapping[str, str], named: Mapping[str, str]) -> Host:
    joining = tuple(name for name in more if name not in host.clients)
    clients = {**host.clients, **{name: name for name in joining}}
    # Threat: with Okta switched off, `group:okta/admins` is the group of that path at GitLab, which anybody may make.
    known = {**named, **host.clients}
    routes = {}
    for prefix, route in host.routes.items():
        tools = route.tools and route.tools.joined(joining, known)
        routes[prefix] = replace(route, policy=joined(route.policy, joining, known), tools=tools)
    wider = replace(host, clients=clients, sign_in=(*host.sign_in, *joining), routes=routes)
    return with_callbacks(wider, {name: more[name] for name in joining})


def with_callbacks(host: Host, registered: Mapping[str, str]) -> Host:
    """The host with the paths of its own that these clients (by ID) have registered as redirect URLs."""
    names = {host.name.decode("ascii"), host_in(host.base_url)}
    callbacks = dict(host.callbacks)
    for client, url in registered.items():
        _, authority, path = split_redirect(url)
        if path and not path.startswith("/@") and host_in(authority) in names:
            key = path.encode("utf-8")
            callbacks[key] = (*callbacks.get(key, ()), client)
    return replace(host, callbacks=callbacks)
