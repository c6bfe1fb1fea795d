"""From a checked configuration to the tables the program runs on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from vestibule.config import hcl, schema
from vestibule.config.admin import admin_port, admin_socket, admin_url, bus_socket, control_socket
from vestibule.config.app import apps_of, with_servers
from vestibule.config.branding import title_of
from vestibule.config.call import Interface
from vestibule.config.check import listeners_of
from vestibule.config.domain import placed
from vestibule.config.host import Scope
from vestibule.config.lifetimes import aligned, lifetimes_of, spanned
from vestibule.config.load import Loaded
from vestibule.config.log import outlet_of
from vestibule.config.machine import machines_of
from vestibule.config.passing import Passed
from vestibule.config.path import beside, database, key_file, state_dir
from vestibule.config.redis import redis_of
from vestibule.config.serving import Serving
from vestibule.config.shape import Node
from vestibule.config.telling import telling
from vestibule.config.tls import https_of
from vestibule.config.webhook import audit_keep_s, webhooks_of
from vestibule.core.acme import Acme
from vestibule.core.app import Apps
from vestibule.core.branding import PLAIN
from vestibule.core.call import Call, Operation, SessionCredential
from vestibule.core.certificate import Wanted
from vestibule.core.lifetimes import Lifetimes
from vestibule.core.listener import ListenAddress
from vestibule.core.machine import Machines
from vestibule.core.organisation import ORGS_PATH
from vestibule.core.passage import names_set, preflight_policy
from vestibule.core.policy import Policy
from vestibule.core.postgres import Postgres
from vestibule.core.redis import Redis
from vestibule.core.registration import Rules
from vestibule.core.route import Backend, Host, Route, RouteTable, Server, Trust, routes_of, with_callbacks
from vestibule.core.tracing import Tracing
from vestibule.core.webhook import Webhook
from vestibule.model import Secret
from vestibule.observe.outlet import Outlet
from vestibule.protocol.address import Networks
from vestibule.protocol.scim_schema import PATH
from vestibule.providers.base import ProviderConfig

_USUAL = Trust()


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """What the program is built from."""

    table: RouteTable
    listeners: tuple[ListenAddress, ...]
    """Where plain http is taken."""
    https: tuple[ListenAddress, ...]
    """Where TLS is; their scheme is `https`. There is one of either kind at least."""
    proxy_protocol: Networks
    """Whose connections begin with a PROXY header."""
    certificates: tuple[Wanted, ...]
    """How the certificate of each host where TLS ends is had."""
    acme: Acme | None
    """What is ordered of whom; None: nothing."""
    local_authority: Path
    """Directory of the local authority and what it has signed."""
    drain_s: float
    """How long requests under way may take when the program ends."""
    drain_delay_s: float
    """How long it goes on as before when it is told to end."""
    connections: int
    """How many there may be at once in a process; 0: as many as it may have files open."""
    requests: int
    """How many may be under way at once in a process."""
    body_bytes_per_s: int
    """How fast the body of a request has to come; 0: as slow as it likes."""
    admin_socket: ListenAddress
    """Of the admin API, for who can open it."""
    admin_port: ListenAddress | None
    """Of the admin API, for who has a token."""
    forward_auth: tuple[ListenAddress, ...]
    """Where edges ask by HTTP."""
    forward_auth_grpc: tuple[ListenAddress, ...]
    trusted_proxies: Networks
    fetch_allow: Networks
    """Where URLs that the operator did not write may lead, besides public addresses."""
    fetch_timeout_s: float
    workers: int
    """How many processes carry the traffic; with more than one, another has the control plane."""
    control_socket: ListenAddress
    """Where that one takes what they ask."""
    bus_socket: str
    """Where they tell each other of changes, when no database server does."""
    clients: Mapping[str, ProviderConfig]
    """Identity clients by full name, in the order written; `open()` makes the provider."""
    client_places: Mapping[str, str]
    """`file:line` of each."""
    token_sources: Mapping[str, ProviderConfig]
    """The app's own, by `TokenCredential.source`."""
    apps: Apps
    """Programs that sign people in here."""
    machines: Machines
    """Programs that prove who they are without a person."""
    calls: tuple[Call, ...]
    servings: Mapping[str, ListenAddress]
    """Where each serving has its port, by its ID."""
    state: Path
    """Absolute; made by who needs it."""
    database: Path | Postgres
    """The file, or where the server is."""
    sessions: Redis | None
    """Where sessions are when not in the database."""
    key_file: Path
    session_key: Secret | None
    """Stands for the key file where it is given."""
    lifetimes: Lifetimes
    people: Rules
    """Who may become a user."""
    webhooks: tuple[Webhook, ...]
    """Who is told what happens."""
    audit_keep_s: float
    tracing: Tracing | None
    """Where spans go; None: nowhere."""
    log: Outlet
    """How much is logged, how, and where to."""
    files: tuple[str, ...]
    """Where it was read; none: the environment alone."""
    document: hcl.Block
    """As it was written; its secrets stand in it."""
    loaded_at: float

    def reached_at(self, host: Host) -> ListenAddress:
        """The listener by which people reach a host that has no URL of its own."""
        return self.https[0] if host.demand is not None or not self.listeners else self.listeners[0]


def compile_config(loaded: Loaded) -> Compiled:
    """The tables of a configuration that `load` has found good."""
    config, checked = loaded.config, loaded.checked
    gateway = config.gateway
    # A token that people make here is never passed on, by whatever host it comes.
    has_tokens = any(scope.node.app_tokens for scope in checked.scopes.values())
    hosts = with_servers(
        placed(_host(scope, loaded, has_tokens=has_tokens), checked.domains)
        for scope in checked.scopes.values()
    )
    servings = (_serving(serving, loaded, has_tokens=has_tokens) for serving in checked.servings)
    table = RouteTable(aligned((*hosts, *servings, *_admin(loaded))))
    return Compiled(
        table=table,
        listeners=tuple(_listener(listen, gateway, "http") for listen in listeners_of(config)),
        https=tuple(
            replace(_listener(listen, gateway, "https"), scheme="https") for listen in https_of(config)
        ),
        proxy_protocol=Networks.parse(gateway.proxy_protocol if gateway else ()),
        certificates=tuple(ending.wanted for ending in checked.endings.values()),
        acme=checked.acme,
        local_authority=state_dir(config) / "local-authority",
        drain_s=gateway.drain if gateway else schema.DRAIN_S,
        drain_delay_s=gateway.drain_delay if gateway else 0.0,
        connections=gateway.connections if gateway else schema.CONNECTIONS,
        requests=gateway.requests if gateway else schema.REQUESTS,
        body_bytes_per_s=gateway.body_rate if gateway else schema.BODY_RATE,
        admin_socket=admin_socket(config),
        admin_port=admin_port(config),
        forward_auth=_edge_listeners(gateway, "forward_auth"),
        forward_auth_grpc=_edge_listeners(gateway, "forward_auth_grpc"),
        trusted_proxies=Networks.parse(gateway.trusted_proxies if gateway else ()),
        fetch_allow=Networks.parse(gateway.fetch_allow if gateway else ()),
        fetch_timeout_s=gateway.fetch_timeout if gateway else schema.FETCH_TIMEOUT_S,
        workers=gateway.workers if gateway else 1,
        control_socket=control_socket(config),
        bus_socket=bus_socket(config),
        clients={name: client.config for name, client in checked.clients.items()},
        client_places={name: client.node.block.place.short for name, client in checked.clients.items()},
        token_sources=dict(checked.sources),
        apps=apps_of(config),
        machines=machines_of(config),
        calls=tuple(_call(interface, table) for interface in checked.interfaces),
        servings={serving.node.label: serving.listen for serving in checked.servings},
        state=state_dir(config),
        database=database(config),
        sessions=redis_of(config),
        key_file=key_file(config),
        session_key=loaded.session_key,
        lifetimes=lifetimes_of(config),
        people=checked.people,
        webhooks=webhooks_of(config),
        audit_keep_s=audit_keep_s(config),
        tracing=loaded.tracing,
        log=outlet_of(config),
        files=loaded.files,
        document=loaded.document,
        loaded_at=loaded.loaded_at,
    )


# -- hosts ------------------------------------------------------------------------------------


def _host(scope: Scope, loaded: Loaded, *, has_tokens: bool) -> Host:
    node = scope.node
    passed = scope.passed[0]
    whole = Route(
        prefix=b"",
        backend=_backend(node, node.backend, passed, insecure=node.insecure),
        policy=scope.policies[0],
        tools=scope.tools[0],
        preflight=_preflight(scope, 0),
        body_limit_bytes=node.max_body,
        passage=passed.passage,
        needs_caller=bool(scope.taken.demanded[0]),
        place=node.block.place.short,
    )
    routes = [whole]
    for number, prefix in enumerate(scope.prefixes):
        if prefix is not None:
            routes.append(_route(scope, number, prefix, whole.backend))
    table, depth = routes_of(routes)
    ending = loaded.checked.endings.get(scope.name)
    host = Host(
        name=scope.name.encode(),
        title=title_of(node, loaded.config) or node.name or scope.name,
        branding=loaded.checked.brandings.get(node.label, PLAIN),
        clients=dict(scope.clients),
        sign_in=(*scope.sign_in, *scope.taken.sign_in),
        issuers=tuple(dict.fromkeys((*scope.taken.issuers, *filter(None, scope.taken.demanded)))),
        accepts=scope.taken.accepted,
        takes_more=scope.takes_more,
        header_names=names_set(
            heading for one in scope.passed if one.passage is not None for heading in one.passage.headers
        ),
        app_tokens=node.app_tokens,
        takes_callers=has_tokens or scope.taken.is_anything,
        takes_access=scope.takes_access,
        apps={app.label: frozenset(app.scopes) for app in loaded.config.app if scope.name in app.hosts},
        machines=_machines(scope.name, loaded.config),
        mcp=node.mcp,
        registers=node.register_apps,
        registered_scopes=node.register_scopes,
        session_bearer=node.session_bearer,
        compat=node.compat,
        own_paths=_own_paths(node, whole.backend),
        base_url=scope.url,
        demand=ending.demand if ending is not None else None,
        tells_certificate=node.client_cert_header,
        hsts_s=ending.hsts_s if ending is not None else 0,
        routes=table,
        depth=depth,
        place=node.block.place.short,
    )
    clients = loaded.checked.clients
    host = spanned(host, scope, clients, lifetimes_of(loaded.config).span)
    registered = {
        client: getattr(clients[full].config, "redirect_url", "") for client, full in scope.clients.items()
    }
    return telling(with_callbacks(host, registered), node, scope.prefixes, clients)


def _own_paths(node: schema.Host, backend: Backend) -> frozenset[bytes]:
    """Where directories provision people, and who runs an organisation manages it.

    That is where the operator says, else where no app is that could have the paths itself.
    """
    has_none = backend.internal == "account"
    wanted = {PATH: node.scim, ORGS_PATH: node.organisations}
    return frozenset(
        path.encode() for path, takes in wanted.items() if (has_none if takes is None else takes)
    )


def _machines(host: str, config: schema.Config) -> dict[str, frozenset[str]]:
    """The machines that have tokens for the host, and the apps that stand for themselves."""
    machines = {one.label: frozenset(one.scopes) for one in config.machine if host in one.hosts}
    apps = (one for one in config.app if host in one.hosts and "credentials" in one.grants)
    return {**machines, **{one.label: frozenset(one.scopes) for one in apps}}


def _serving(serving: Serving, loaded: Loaded, *, has_tokens: bool) -> Host:
    """As a host that nobody signs in at: who asks there comes by a host that leads to it, or shows a credential."""
    scope, believed = serving.scope, serving.believed
    host = replace(_host(scope, loaded, has_tokens=has_tokens), sign_in=believed)
    return replace(
        telling(host, scope.node, scope.prefixes, loaded.checked.clients),
        clients={},
        sign_in=(),
        issuers=(*host.issuers, *believed),
        mcp=False,
        own_paths=frozenset(),
        registers=False,
        takes_access=False,  # they are for the host that leads here, which has looked
        callbacks={},
        base_url=f"http://localhost:{serving.listen.port}",
    )


def _admin(loaded: Loaded) -> tuple[Host, ...]:
    """The admin port as a host, where people sign in to its pages: no client's name leads to it."""
    scope, listen = loaded.checked.admin, admin_port(loaded.config)
    if scope is None or listen is None:
        return ()
    return (replace(_host(scope, loaded, has_tokens=False), base_url=admin_url(listen)),)


def _route(scope: Scope, number: int, prefix: bytes, inherited: Backend) -> Route:
    """The route of this number; what the scope has for each, it has for the host itself first."""
    host, route, passed, whole = (
        scope.node,
        scope.node.route[number],
        scope.passed[number + 1],
        scope.passed[0],
    )
    insecure = host.insecure if route.insecure is None else route.insecure
    if route.backend:
        backend = _backend(route, route.backend, passed, insecure=insecure)
    elif (insecure, passed.trust, passed.http2) != (host.insecure, whole.trust, whole.http2):
        backend = _backend(host, host.backend, passed, insecure=insecure)
    else:
        backend = inherited
    return Route(
        prefix=prefix,
        backend=backend,
        policy=scope.policies[number + 1],
        tools=scope.tools[number + 1],
        preflight=_preflight(scope, number + 1),
        body_limit_bytes=host.max_body if route.max_body is None else route.max_body,
        passage=passed.passage,
        needs_caller=bool(scope.taken.demanded[number + 1]),
        place=route.block.place.short,
    )


def _preflight(scope: Scope, number: int) -> Policy | None:
    return preflight_policy(scope.policies[number]) if scope.passed[number].lets_preflight else None


def _backend(node: Node, written: tuple[Backend, ...], passed: Passed, *, insecure: bool) -> Backend:
    if not written:
        return Backend()
    first = written[0]
    if first.static_dir:
        return Backend(static_dir=str(beside(node, "backend", first.static_dir)))
    if first.internal or first.serving:
        return first
    servers = [server for backend in written for server in backend.servers]
    return Backend(
        servers=tuple(
            _server(server, node, "backend", insecure=insecure, trust=passed.trust, http2=passed.http2)
            for server in servers
        )
    )


def _server(
    server: Server,
    node: Node,
    attribute: str,
    *,
    insecure: bool,
    trust: Trust = _USUAL,
    http2: bool = False,
) -> Server:
    path = str(beside(node, attribute, server.path)) if server.path else ""
    return Server(
        host=server.host,
        port=server.port,
        path=path,
        tls=server.tls,
        http2=http2,
        verify=not insecure,
        trust=trust if server.tls else _USUAL,
    )


def _edge_listeners(gateway: schema.Gateway | None, attribute: str) -> tuple[ListenAddress, ...]:
    written: tuple[ListenAddress, ...] = getattr(gateway, attribute, ())
    return tuple(replace(_listener(listen, gateway, attribute), group=True) for listen in written)


def _listener(listen: ListenAddress, node: Node | None, attribute: str) -> ListenAddress:
    if not listen.path or node is None:
        return listen
    return replace(listen, path=str(beside(node, attribute, listen.path)))


# -- calls ------------------------------------------------------------------------------------


def _call(interface: Interface, table: RouteTable) -> Call:
    node = interface.node
    api = node.endpoint
    assert api is not None  # checked: `endpoint` is required
    return Call(
        id=interface.id,
        title=node.name or node.label,
        listen=_listener(interface.listen, node, "listen"),
        endpoint=_server(
            api.server,
            node,
            "endpoint",
            insecure=node.insecure,
            http2=api.server.http2 or node.protocol == "http2",
        ),
        authority=api.authority,
        applied=interface.applied,
        hosts=frozenset(interface.hosts),
        realms={
            name: host.realm for name in interface.hosts if (host := table.host(name.encode())) and host.realm
        },
        needs_session=bool(interface.hosts)
        or any(isinstance(one.credential, SessionCredential) for one in interface.applied),
        operations=tuple(_operation(operation) for operation in node.operation),
        only_operations=node.only_operations,
        place=node.block.place.short,
    )


def _operation(node: schema.Operation) -> Operation:
    return Operation(
        id=node.label,
        method=node.method,
        segments=node.path.segments,
        rest=node.path.rest,
        description=node.description,
    )
