"""Where the admin API and its pages listen, and who may use the pages by signing in.

Always on a Unix socket beside the state, on a loopback port where it is written. For who signs in, the port is resolved
as a host is, so that sign-in, sessions and rules are the same ones.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from vestibule.config import hcl, schema
from vestibule.config.client import Client
from vestibule.config.host import Scope, scope_of
from vestibule.config.path import database, state_dir
from vestibule.config.place import Place, Report
from vestibule.config.schema_host import Access, Host
from vestibule.config.value import Offered
from vestibule.config.variables import named
from vestibule.core.listener import ListenAddress
from vestibule.core.route import ADMIN, Backend, admin_name

SOCKET = "admin.sock"
PAGES_SOCKET = "pages.sock"
BUS_SOCKET = "bus.sock"
#: what fits into `sockaddr_un`, without the NUL behind it
SOCKET_PATH_LIMIT_BYTES = 107 if sys.platform == "linux" else 103


def admin_socket(config: schema.Config) -> ListenAddress:
    """The socket of the admin API: who can open it is trusted."""
    return ListenAddress(path=str(state_dir(config) / SOCKET))


def control_socket(config: schema.Config) -> ListenAddress:
    """Where the control process takes what other processes of the program ask it."""
    return ListenAddress(path=str(state_dir(config) / PAGES_SOCKET))


def bus_socket(config: schema.Config) -> str:
    """Where processes of one machine hear of changes: beside the file they share, where it isn't in their own state.

    Threat: two gateways on one SQLite file, of which one lets in whom the other signed out.
    """
    kept = database(config)
    own = state_dir(config)
    return f"{kept}.bus" if isinstance(kept, Path) and kept.parent != own else str(own / BUS_SOCKET)


def admin_port(config: schema.Config) -> ListenAddress | None:
    """The port of the admin API and its pages, where there is one."""
    return config.admin.listen if config.admin is not None else None


def check_admin(config: schema.Config, report: Report) -> None:
    """Threat: admin tokens that cross a network in clear text."""
    _check_socket(config, report)
    admin = config.admin
    if admin is None or admin.listen is None:
        return
    if admin.listen.path:
        report.fault(
            admin.at("listen"),
            f"there is a Unix socket already, {SOCKET} in the state directory: "
            'write a port, "127.0.0.1:9000", or nothing',
        )
    elif not admin.listen.is_loopback:
        report.fault(
            admin.at("listen"),
            f"{admin.listen} is plain HTTP that other machines can reach, and tokens would cross it in clear text: "
            'write "127.0.0.1:9000", and come from elsewhere by an edge that speaks TLS or by an SSH tunnel',
        )


# -- who signs in to the pages ----------------------------------------------------------------


def admin_scope(config: schema.Config, clients: Mapping[str, Client], report: Report) -> Scope | None:
    """The admin port as a host where people sign in; None where nobody does."""
    admin = config.admin
    if admin is None:
        return None
    if not admin.has("allow"):
        if admin.has("sign_in"):
            report.fault(admin.at("sign_in"), 'nobody may: add allow = ["email:ann@example.com"]')
        return None
    if admin.listen is None or admin.listen.path:
        if not admin.has("listen"):
            report.fault(
                admin.at("allow"), 'people come by a port: add listen = "127.0.0.1:9000", or leave allow out'
            )
        return None
    _check_nobody_else((("allow", admin),), report)
    offered = _offered(admin, clients)
    if not offered and not report.broken:
        report.fault(
            admin.at("allow"),
            "nobody can sign in: there is no provider at top level that says who people are",
        )
        return None
    name = admin_name(admin.listen.port).decode("ascii")
    return scope_of(_as_host(admin, offered), name, clients, config.gateway, report, issuers={})


def admin_url(listen: ListenAddress) -> str:
    """By what people reach the port. Providers take plain http for `localhost` alone, mostly."""
    name = (
        "localhost"
        if listen.host in _LOCALHOST
        else f"[{listen.host}]"
        if ":" in listen.host
        else listen.host
    )
    return f"http://{name}:{listen.port}"


_LOCALHOST = ("127.0.0.1", "::1", "localhost")


def _offered(admin: schema.Admin, clients: Mapping[str, Client]) -> tuple[Offered, ...]:
    if admin.sign_in is not None:
        return admin.sign_in
    return tuple(Offered(full) for full, client in clients.items() if "/" not in full and client.identifies)


def _as_host(admin: schema.Admin, sign_in: tuple[Offered, ...]) -> Host:
    """The host that it is like."""
    block, place = admin.block, admin.at("allow")
    written = dict(block.attributes)
    if "sign_in" not in written:
        written |= named(sign_in=hcl.Value(tuple(hcl.Value(one, place) for one in sign_in), place))
    return Host(
        block=hcl.Block(block.type, block.place, block.labels, written, ()),
        label="localhost",
        name="Vestibule",
        backend=(Backend(internal=ADMIN),),
        sign_in=sign_in,
        access=Access(block=block, allow=admin.allow, kept=admin.kept),
    )


def check_pages(scopes: Iterable[Scope], report: Report) -> None:
    """Hosts with the admin pages: nobody gets in unasked, and there is nothing else on them.

    Threat: everything that an operator may do, on a public route.
    """
    for scope in scopes:
        host = scope.node
        for route in host.route:
            if any(backend.internal == ADMIN for backend in route.backend):
                report.fault(
                    route.at("backend"),
                    "the admin pages need a host of their own: internal:admin stands there",
                )
        if not any(backend.internal == ADMIN for backend in host.backend):
            continue
        if host.route:
            report.fault(
                host.route[0].label_at, "a host with the admin pages has no routes: all of it is theirs"
            )
        if not scope.sign_in and not scope.takes_more:
            report.fault(
                host.at("backend"), "nobody signs in on this host, so nobody can use the pages: add sign_in"
            )
        if host.access is not None:
            _check_nobody_else((("allow", host.access), ("all", host.access)), report)


def _check_nobody_else(lists: Iterable[tuple[str, schema.Admin | Access]], report: Report) -> None:
    """No list lets somebody in whom nobody knows."""
    for name, node in lists:
        for number, rule in enumerate(getattr(node, name)):
            if rule.kind == "public":
                report.fault(
                    node.at(name, number),
                    '`public` would let everybody do everything here: say who may, as in "email:ann@example.com"',
                )
            elif rule.kind == "anyone":
                report.warn(
                    node.at(name, number),
                    "anyone who can sign in may do everything here: name people, or a group",
                )


def _check_socket(config: schema.Config, report: Report) -> None:
    path = os.fsencode(admin_socket(config).path)
    if len(path) > SOCKET_PATH_LIMIT_BYTES:
        gateway = config.gateway
        has_state = gateway is not None and gateway.has("state")
        place: Place = gateway.at("state") if gateway is not None and has_state else config.block.place
        report.fault(
            place,
            f"the path of the admin socket, {os.fsdecode(path)}, has {len(path)} bytes and a Unix socket's may have "
            f"{SOCKET_PATH_LIMIT_BYTES}: choose a shorter state directory",
        )
