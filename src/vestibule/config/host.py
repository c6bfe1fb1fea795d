"""What is checked of hosts: their names, who signs people in there, who gets in, their routes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from vestibule.config import schema
from vestibule.config.access import Door, check_access, check_said, policies_of
from vestibule.config.caller import Issuers, Taken, check_files, read_issuers, taken_by
from vestibule.config.client import Client
from vestibule.config.edge import check_without_backend, is_asked
from vestibule.config.passing import Passed, names_of, passed_by
from vestibule.config.place import Report, Unfit, nearest
from vestibule.config.risk import warn_of_edge, warn_of_risks
from vestibule.config.telling import check_telling
from vestibule.config.tls import https_of, url_of, way_of
from vestibule.config.tool import check_tools, tools_of_door
from vestibule.config.value import client_id, host_name, prefix
from vestibule.core.policy import Policy
from vestibule.core.tool import Tools
from vestibule.protocol.address import is_loopback
from vestibule.protocol.authorization_server import is_scope
from vestibule.protocol.url import host_in


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """A host as it was resolved: its names point somewhere."""

    name: str
    """Canonical."""
    node: schema.Host
    clients: Mapping[str, str]
    """Client ID in paths → full name."""
    sign_in: tuple[str, ...]
    """Full names of the clients whose identities count, in the order of the buttons."""
    policies: tuple[Policy, ...]
    """Who gets in: of the host itself, then of the routes in their order."""
    takes_more: bool
    """Every enabled provider of the database signs people in here, too."""
    takes_access: bool
    """Apps or machines have tokens for it."""
    prefixes: tuple[bytes | None, ...]
    """Of the routes, in their order; None for one at fault."""
    tools: tuple[Tools | None, ...]
    """Rules on tools of an MCP server: of the host itself, then of the routes in their order."""
    passed: tuple[Passed, ...]
    """How requests pass: of the host itself, then of the routes in their order."""
    taken: Taken = Taken()
    """Credentials it takes from callers."""
    url: str = ""
    """Where people reach it, as far as that is known: `public_url`, or where the gateway itself speaks TLS for it."""

    @property
    def is_shown_secrets(self) -> bool:
        """True where sessions, tokens or passwords come with requests."""
        return bool(self.clients or self.takes_more or self.taken.is_anything)


TAKES_MORE = "*"
"""In `sign_in`: every enabled provider of the database, too."""


def check_hosts(
    config: schema.Config, clients: Mapping[str, Client], report: Report, *, is_open: bool
) -> dict[str, Scope]:
    """Hosts by canonical name. `is_open`: some listener takes plain http from other machines."""
    scopes: dict[str, Scope] = {}
    urls: dict[str, schema.Host] = {}
    issuers = read_issuers(config.issuer, report)
    called = {name for app in config.app for name in app.hosts}
    called.update(name for machine in config.machine for name in machine.hosts)
    for host in config.host:
        name = _name(host, scopes, report)
        scope = scope_of(
            host,
            name or host.label,
            clients,
            config.gateway,
            report,
            issuers=issuers,
            takes_access=name in called or host.register_apps,
        )
        scope = replace(scope, url=url_of(config, host, scope.name))
        has_tls = way_of(config, host, scope.name) is not None
        _check_public_url(config, scope, urls, report, is_open=is_open and not has_tls)
        check_backends(host, report)
        signs_in = scope.is_shown_secrets
        check_without_backend(host, report, is_asked=is_asked(config, host), signs_in=signs_in)
        if name is not None:
            scopes[name] = scope
    check_files(((scope.node, scope.taken) for scope in scopes.values()), report)
    if not config.host and not config.serving and not report.faults:
        report.fault(
            config.block.place, 'there is no host: host "app.example.com" { backend = "localhost:3000" … }'
        )
    return scopes


def _name(host: schema.Host, scopes: Mapping[str, Scope], report: Report) -> str | None:
    try:
        name = host_name(host.label)
    except Unfit as exc:
        report.fault(host.label_at, f"`{host.label}` {exc}")
        return None
    if name in scopes:
        first = scopes[name].node.label_at.short
        report.fault(host.label_at, f"there are two hosts of the name {name}; the first is at {first}")
        return None
    return name


def scope_of(
    host: schema.Host,
    name: str,
    clients: Mapping[str, Client],
    gateway: schema.Gateway | None,
    report: Report,
    *,
    issuers: Issuers,
    takes_access: bool = False,
) -> Scope:
    """The host with its names resolved; what they don't lead to goes to *report*.

    `takes_access`: apps have tokens for it.
    """
    inline = {node.label: f"{host.label}/{node.label}" for node in (*host.provider, *host.oauth)}
    named = dict(inline)
    listed: list[str] = []
    takes_more = TAKES_MORE in (host.sign_in or ())
    for number, wanted in enumerate(host.sign_in or ()):
        place = host.at("sign_in", number)
        if wanted in (host.sign_in or ())[:number]:
            report.fault(place, f"`{wanted}` stands in sign_in twice")
        elif wanted == TAKES_MORE:
            continue
        elif wanted in inline and wanted in clients:
            report.fault(
                place,
                f"`{wanted}` is a client of this host and one at top level; give one of them another ID",
            )
        elif wanted in inline:
            listed.append(inline[wanted])
        elif wanted in clients:
            named[wanted] = wanted
            listed.append(wanted)
        elif wanted not in report.broken:  # one at fault itself is told of there, not here
            known = [*inline, *(full for full in clients if "/" not in full), *sorted(report.broken)]
            report.fault(
                place, f"there is no provider `{wanted}`{nearest(wanted, known) or _how_to_add(wanted)}"
            )
    offered = listed if host.sign_in is not None else list(inline.values())
    sign_in = tuple(full for full in offered if full in clients and clients[full].identifies)
    prefixes = _prefixes(host, named, report)
    taken = taken_by(host, name, issuers, named, report)
    names = names_of(name, named, sign_in, clients, takes_more=takes_more, tokens=taken.claims())
    door = Door(
        host=host,
        clients={**named, **taken.names},
        sign_in=(*sign_in, *taken.sign_in),
        issuers=taken.issuers,
        demanded=taken.demanded,
        takes_more=takes_more,
        takes_tokens=bool(taken.accepted.issuers) or host.app_tokens or takes_access,
    )
    check_said(host, clients, report)
    scope = Scope(
        name=name,
        node=host,
        clients=named,
        sign_in=sign_in,
        takes_more=takes_more,
        takes_access=takes_access,
        policies=policies_of(door),
        tools=tools_of_door(door),
        prefixes=prefixes,
        passed=passed_by(host, prefixes, names, report),
        taken=taken,
    )
    is_read = host.has("sign_in") == (host.sign_in is not None)
    is_whole = is_read and len(listed) + takes_more == len(host.sign_in or ())
    if is_whole and taken.is_whole and all(full in clients for full in offered):
        check_telling(host, sign_in, takes_more=takes_more, report=report)
        _check_door(door, clients, gateway, report)
        _check_registering(door, report, takes_access=takes_access)
    return scope


def _check_door(
    door: Door, clients: Mapping[str, Client], gateway: schema.Gateway | None, report: Report
) -> None:
    check_access(door, report)
    check_tools(door.host, report)
    warn_of_risks(door, clients, report)
    warn_of_edge(door, gateway, report)
    if door.host.app_tokens and not (door.sign_in or door.takes_more):
        report.fault(
            door.host.at("app_tokens"), "nobody signs in on this host who could make one: add sign_in"
        )


def _check_registering(door: Door, report: Report, *, takes_access: bool) -> None:
    host = door.host
    if host.register_apps and not (door.sign_in or door.takes_more):
        report.fault(host.at("register_apps"), "nobody signs in on this host: add sign_in")
    if host.register_scopes and not host.register_apps:
        report.fault(host.at("register_scopes"), "no app registers itself here without register_apps = true")
    for number, name in enumerate(host.register_scopes):
        if not is_scope(name) or name in host.register_scopes[:number]:
            report.fault(host.at("register_scopes", number), "is no scope, or stands here twice")
    if host.mcp and not takes_access:
        report.fault(
            host.at("mcp"), "nobody has tokens for this host: add an app for it, or register_apps = true"
        )


def _how_to_add(wanted: str) -> str:
    return f'; add provider "{wanted}" {{ client_id = "…" client_secret = "…" }}'


# -- routes and addresses ---------------------------------------------------------------------


def _prefixes(host: schema.Host, named: Mapping[str, str], report: Report) -> tuple[bytes | None, ...]:
    found: dict[bytes, schema.Route] = {}
    out: list[bytes | None] = []
    for route in host.route:
        path = _prefix(route, named, report)
        first = found.get(path) if path is not None else None
        if path is not None and first is not None:
            report.fault(
                route.label_at,
                f"`{route.label}` is the same path as `{first.label}` at {first.label_at.short}",
            )
            path = None
        if path is not None:
            found[path] = route
        out.append(path)
    return tuple(out)


def _prefix(route: schema.Route, named: Mapping[str, str], report: Report) -> bytes | None:
    try:
        path = prefix(route.label)
    except Unfit as exc:
        report.fault(route.label_at, str(exc))
        return None
    first = path.split(b"/")[1].decode()
    if first == "@" or (first.startswith("@") and first[1:] in named):
        report.fault(
            route.label_at, f"`/{first}/` belongs to the gateway itself; a route there is never reached"
        )
        return None
    return path


def check_backends(host: schema.Host, report: Report) -> None:
    """Report lists of backends that can't be one, and certificates that nobody checks."""
    nodes: tuple[schema.Host | schema.Route, ...] = (host, *host.route)
    for node in nodes:
        if node.insecure:
            report.warn(
                node.at("insecure"), "the certificate of the backend is not checked: only for testing"
            )
        if len(node.backend) > 1 and any(not backend.servers for backend in node.backend):
            report.fault(
                node.at("backend"),
                "only servers can stand in a list; static:, internal: and serving: stand alone",
            )
        elif len({server.http2 for backend in node.backend for server in backend.servers}) > 1:
            report.fault(
                node.at("backend"),
                "all servers of a list speak the same: HTTP/2 (h2c, grpc, grpcs), or none of them",
            )
        elif not node.backend and node.has("backend") and not report.faults:
            report.fault(node.at("backend"), 'the list is empty: backend = "localhost:3000"')


def _how_to_be_safe(config: schema.Config, scope: Scope) -> str:
    edge = f'let an edge proxy in front do so and write public_url = "https://{scope.name}"'
    if https_of(config):
        return f'leave tls = "off" out, so that it speaks TLS, or {edge}'
    return f'have it speak TLS, gateway {{ https = ["0.0.0.0:443"] }}, or {edge}'


def _check_public_url(
    config: schema.Config, scope: Scope, urls: dict[str, schema.Host], report: Report, *, is_open: bool
) -> None:
    host = scope.node
    url = host.public_url
    name = host_in(url)
    if not url:
        if is_open and scope.is_shown_secrets and not host.has("public_url"):
            does = "signs people in" if scope.clients or scope.takes_more else "takes credentials"
            report.fault(
                host.block.place,
                f'host "{host.label}" {does} on a port that takes plain http from other machines: '
                f"{_how_to_be_safe(config, scope)}; or listen on 127.0.0.1",
            )
        return
    if url.startswith("http://") and not is_loopback(name):
        say = report.fault if is_open and scope.is_shown_secrets else report.warn
        say(
            host.at("public_url"),
            "plain http shows every session to the network; public_url must be https://",
        )
    if url in urls:
        first = urls[url].at("public_url").short
        report.fault(host.at("public_url"), f"{url} is the public_url of another host, at {first}")
    urls.setdefault(url, host)
    if name != scope.name:
        report.warn(
            host.at("public_url"),
            f"names another host than {scope.name}; the edge proxy in front must send Host: {scope.name}",
        )


def check_ids(nodes: tuple[schema.Provider | schema.OAuth, ...], report: Report) -> None:
    """IDs that can stand in a path, each once."""
    found: dict[str, schema.Provider | schema.OAuth] = {}
    for node in nodes:
        try:
            client_id(node.label)
        except Unfit as exc:
            report.fault(node.label_at, str(exc))
        first = found.setdefault(node.label, node)
        if first is not node:
            report.fault(
                node.label_at,
                f"there are two clients of the ID `{node.label}`; the first is at {first.label_at.short}",
            )
