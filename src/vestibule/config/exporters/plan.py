"""What an edge has to know, whatever edge it is: its sites, what of them is the gateway's own, and whom it asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from vestibule.config.compile import Compiled
from vestibule.core.compat import ASK, PRODUCTS
from vestibule.core.inject import FAMILIES, names
from vestibule.core.listener import ListenAddress
from vestibule.core.organisation import ORGS_PATH
from vestibule.core.passage import Passage
from vestibule.core.route import (
    POMERIUM_KEYS_PATH,
    Backend,
    Host,
    Route,
    Server,
    is_inner,
    serving_name,
)
from vestibule.errors import ConfigError
from vestibule.protocol.address import is_loopback
from vestibule.protocol.headers import OWNED
from vestibule.protocol.scim_schema import PATH

#: what stands in a path of the configuration and means nothing to any edge's language
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/_.~@+-]*")
_APP: Final = Server(host="127.0.0.1", port=3000)
#: of what proxies say of the client, which each edge writes itself
_OF_EDGES: Final = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)
_SWEPT: Final = ("X-Auth-Request-", "X-Vouch-", "X-Pomerium-", "X-Nuon-Auth-", "X-Original-", "X-Rewrite-")
"""What names of families begin with, for edges that remove headers by the beginning of their names."""
_UNHEARD: Final = (
    *("X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"),
    *("X-Original-Host", "X-Original-Method", "X-Original-URI", "X-Original-URL", "X-Rewrite-URL"),
    *("X-Forwarded-Method", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme"),
    *("X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Uri", "X-Forwarded-Access-Token"),
    *("X-Auth-Request-Access-Token", "X-Auth-Request-Redirect", "X-Vouch-Token"),
    *("HTTP2-Settings", "Proxy"),
)
"""By what a client would have backends take another method, address or protocol for the one that was decided on.

The gateway itself passes none of them on. Threat: attacks.md P2, P5 and H6.
"""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to connect to."""

    host: str = ""
    port: int = 0
    path: str = ""
    """Of a Unix socket."""
    tls: bool = False

    @property
    def address(self) -> str:
        """`host:port`; empty for a Unix socket."""
        if self.path:
            return ""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a site's paths that goes to servers of its own."""

    prefix: str
    """Without its last slash; empty for the site itself."""
    servers: tuple[Target, ...]
    name: str
    """Of its group of servers: letters, digits and `_`."""
    limit_bytes: int | None
    note: str = ""
    """What the gateway would do that an edge doesn't."""

    @property
    def tls(self) -> bool:
        """Whether its servers speak TLS."""
        return self.servers[0].tls


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A host as people reach it at the edge."""

    name: str
    id: str
    """The name in letters, digits and `_`."""
    scheme: str
    port: int
    is_local: bool
    """Only this machine is to reach it."""
    is_whole: bool
    """All of it is the gateway's own: an `auth_host`, or a host with nothing behind it but accounts."""
    own_prefixes: tuple[str, ...]
    """What goes to the gateway, and is not asked about: all below these, which end in a slash."""
    own_paths: tuple[str, ...]
    parts: tuple[Part, ...]
    """The longest prefix first; the last is the site itself."""
    told: tuple[str, ...]
    """Names of the headers that an answer which lets pass always has."""
    cleared: tuple[str, ...]
    """Names that backends of other products believe, and nobody may send."""

    @property
    def authority(self) -> str:
        """As a browser writes it in Host."""
        return (
            self.name if self.port == (443 if self.scheme == "https" else 80) else f"{self.name}:{self.port}"
        )

    @property
    def listen(self) -> str:
        """The address to listen on."""
        return f"127.0.0.1:{self.port}" if self.is_local else str(self.port)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that is exported."""

    sites: tuple[Site, ...]
    gateway: Target
    """Where the gateway answers people."""
    asked: Target
    """Where it answers edges."""
    grpc: Target | None
    """The same for Envoy's gRPC, where it has it."""
    swept: tuple[str, ...] = _SWEPT

    @property
    def told(self) -> tuple[str, ...]:
        """Of all sites together, for edges that are told once."""
        return tuple(dict.fromkeys(name for site in self.sites for name in site.told))

    @property
    def swept_names(self) -> tuple[str, ...]:
        """What no client may send to any site, but for what begins as one of `swept`."""
        every = sorted({name for site in self.sites for name in (*site.told, *site.cleared)})
        return tuple(name for name in every if not name.startswith((*self.swept, "X-Forwarded-")))

    @property
    def listens(self) -> tuple[tuple[str, str, tuple[Site, ...]], ...]:
        """Scheme, address and sites of every address to listen on."""
        found: dict[tuple[str, str], list[Site]] = {}
        for site in self.sites:
            found.setdefault((site.scheme, site.listen), []).append(site)
        return tuple((scheme, listen, tuple(sites)) for (scheme, listen), sites in found.items())


def plan_of(edge: str, compiled: Compiled) -> Plan:
    """What this edge has to know. Raises ConfigError, with what to write."""
    if not compiled.forward_auth:
        raise ConfigError(
            (
                'edges ask on an address of their own: write forward_auth = "127.0.0.1:4181" into the gateway block',
            )
        )
    if not compiled.listeners:
        raise ConfigError(
            ('edges send requests on by plain http: write http = ["127.0.0.1:8000"] into the gateway block',)
        )
    faults: list[str] = []
    hosts = compiled.table.hosts
    sites = tuple(
        _site(_without_servings(host, hosts), faults) for host in hosts.values() if not is_inner(host.name)
    )
    if faults:
        raise ConfigError(tuple(f"{fault}, which {edge} can't be told" for fault in faults))
    return Plan(
        sites=sites,
        gateway=_reached(compiled.listeners[0]),
        asked=_reached(compiled.forward_auth[0]),
        grpc=_reached(compiled.forward_auth_grpc[0]) if compiled.forward_auth_grpc else None,
    )


def _reached(listen: ListenAddress) -> Target:
    """The address as the edge connects to it, on the same machine."""
    is_any = listen.host in ("0.0.0.0", "::")  # noqa: S104 - what is listened on, not listening
    return Target(host="127.0.0.1" if is_any else listen.host, port=listen.port, path=listen.path)


def _without_servings(host: Host, hosts: Mapping[bytes, Host]) -> Host:
    """The host with the servers behind a serving in its place: whoever holds the request sends it there itself."""
    if not any(route.backend.serving for route in host.routes.values()):
        return host

    def behind(route: Route) -> Route:
        if not route.backend.serving:
            return route
        whole = hosts[serving_name(route.backend.serving)].routes[b""]
        limit = whole.body_limit_bytes if route.body_limit_bytes is None else route.body_limit_bytes
        return replace(route, backend=whole.backend, body_limit_bytes=limit, passage=whole.passage)

    return replace(host, routes={prefix: behind(route) for prefix, route in host.routes.items()})


def _site(host: Host, faults: list[str]) -> Site:
    name = host.name.decode("ascii")
    scheme, _, authority = (host.base_url or f"https://{name}").partition("://")
    port = authority.rpartition(":")[2]
    told = names(host)
    every = {known for family in FAMILIES.values() for known, _ in family.headers}
    every |= {"-".join(word.capitalize() for word in known.split("-")) for known in OWNED}
    every |= set(_UNHEARD)
    folded = {known.lower() for known in told} | set(_OF_EDGES)
    site_id = re.sub(r"[^a-z0-9]", "_", name)
    return Site(
        name=name,
        id=site_id,
        scheme=scheme,
        port=int(port) if port.isdigit() else (443 if scheme == "https" else 80),
        is_local=is_loopback(name) or name.endswith(".localhost"),
        is_whole=host.routes[b""].backend.internal == "account",
        own_prefixes=_own_prefixes(host),
        own_paths=tuple(_plain(path, host.place, faults) for path in _own_paths(host)),
        parts=tuple(_parts(host, site_id, faults)),
        told=told,
        cleared=tuple(sorted(known for known in every if known.lower() not in folded)),
    )


def _own_prefixes(host: Host) -> tuple[str, ...]:
    """`/@/` and that of each client; all that begins with `/@` where clients come while the gateway runs."""
    below = tuple(f"{path}/" for path in (PATH, ORGS_PATH) if path.encode() in host.own_paths)
    if host.takes_more:
        return ("/@", *below)
    return ("/@/", *(f"/@{client}/" for client in host.clients), *below)


def _own_paths(host: Host) -> tuple[str, ...]:
    """Where clients come back to, what apps are told, other products' paths, and where those of Pomerium find keys."""
    keys = (POMERIUM_KEYS_PATH,) if "pomerium" in host.families else ()
    theirs = [path for product in host.compat for path in PRODUCTS[product].paths]
    claims = {path: host.claim(path) for path in theirs}
    shown = [path for path, claim in claims.items() if claim is not None and claim.what != ASK]
    return (
        *dict.fromkeys(path.decode() for path in (*host.callbacks, *sorted(host.own_paths), *shown)),
        *keys,
    )


def _parts(host: Host, site_id: str, faults: list[str]) -> list[Part]:
    """Routes with servers, or limits, of their own; all others are asked about like the whole site."""
    whole = host.routes[b""]
    found = [_part(whole, f"app_{site_id}", host, faults)]
    for number, route in enumerate(sorted(host.routes.values(), key=lambda one: one.prefix), 1):
        is_other = route.backend != whole.backend or route.body_limit_bytes != whole.body_limit_bytes
        if route.prefix and is_other:
            found.append(_part(route, f"app_{site_id}_{number}", host, faults))
    return sorted(found, key=lambda part: -len(part.prefix))


def _part(route: Route, name: str, host: Host, faults: list[str]) -> Part:
    prefix = _plain(route.prefix.decode(), route.place or host.place, faults)
    return Part(
        prefix=prefix,
        name=name,
        servers=_servers(route.backend),
        limit_bytes=route.body_limit_bytes,
        note=_note(route),
    )


def _servers(backend: Backend) -> tuple[Target, ...]:
    return tuple(
        Target(host=one.host, port=one.port, path=one.path, tls=one.tls) for one in backend.servers or (_APP,)
    )


def _note(route: Route) -> str:
    backend = route.backend
    if backend.static_dir or backend.internal:
        return f"the gateway serves {backend.static_dir or backend.internal} here; an edge needs servers of your own"
    if not backend.servers:
        return "write your app's address"
    if backend.http2:
        return "your app speaks HTTP/2 here: have the edge send it on so (grpc_pass, h2c, proto h2 …)"
    if route.passage is not None and _is_more_than_told(route.passage):
        return "what the gateway does to paths and answers here when it proxies itself, an edge that asks does not"
    return ""


def _is_more_than_told(passage: Passage) -> bool:
    """True for what isn't a header that the edge is told of, too."""
    is_changed = bool(passage.rewrite or passage.answer_headers or passage.host_line or passage.is_of_request)
    return is_changed or passage.answer_s is not None or passage.connect_s is not None


def _plain(path: str, place: str, faults: list[str]) -> str:
    if not _PLAIN_PATH.fullmatch(path):
        faults.append(f"{place}: the path `{path}` has characters that mean something else to edges")
    return path
