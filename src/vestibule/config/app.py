"""What is checked of `app` blocks, and what they come to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, get_args

from msgspec.structs import replace

from vestibule.config import schema
from vestibule.config.domain import part_of
from vestibule.config.host import Scope
from vestibule.config.place import Report, nearest
from vestibule.config.schema_app import App as Node
from vestibule.core.app import RESOURCE_PATH, SERVER_PATH, App, Apps, GrantName, hash_of, redirect_fault
from vestibule.core.domain import Domain
from vestibule.core.route import Host
from vestibule.model import Secret
from vestibule.protocol.authorization_server import is_scope

SECRET_MIN_CHARS: Final = 32
ACCESS_MAX_S: Final = 3600.0
LEEWAY_MAX_S: Final = 300.0
GRANTS: Final[tuple[str, ...]] = get_args(GrantName)
_OF_PEOPLE: Final = frozenset({"code", "device", "native"})
"""Grants by which somebody signs in."""
_ID_RE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,62}")


def check_apps(
    config: schema.Config,
    scopes: Mapping[str, Scope],
    domains: Iterable[Domain],
    report: Report,
    *,
    native: Collection[str],
) -> None:
    """All that is wrong with them goes to *report*. `native`: full names of clients whose SDKs' tokens are taken."""
    domains = tuple(domains)
    found: dict[str, Node] = {}
    for node in config.app:
        if not _ID_RE.fullmatch(node.label):
            report.fault(
                node.label_at,
                f"`{node.label}` can't be an ID: letters, digits, `.`, `_`, `~`, `-`, at most 63",
            )
        first = found.setdefault(node.label, node)
        if first is not node:
            report.fault(
                node.label_at, f"there are two apps `{node.label}`; the first is at {first.label_at.short}"
            )
        _check_hosts(node, scopes, domains, report)
        _check_redirects(node, report)
        _check_grants(node, report)
        _check_native(node, scopes, native, report)
        _check_scopes(node, report)
        _check_secrets(node, report)
        _check_spans(node, report)


def apps_of(config: schema.Config) -> Apps:
    """The apps, by ID."""
    return Apps.of(
        App(
            id=node.label,
            name=node.name or node.label,
            hosts=tuple(node.hosts),
            redirects=node.redirects,
            grants=frozenset(node.grants),
            scopes=node.scopes,
            secrets=tuple(hash_of(one) for one in (node.secret, node.old_secret) if one),
            access_s=node.access,
            refresh_s=node.refresh,
            idle_s=node.refresh_idle,
            leeway_s=node.leeway,
            confirms=node.confirm,
            place=node.block.place.short,
        )
        for node in config.app
    )


def with_servers(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """The hosts: those that give out tokens of apps, and those of MCP, with the paths that say so."""
    known = tuple(hosts)
    servers = {
        host.domain.auth if host.domain is not None else host.name for host in known if host.takes_access
    }

    def own_paths(host: Host) -> frozenset[bytes]:
        server = {SERVER_PATH.encode()} if host.name in servers else set()
        return host.own_paths | server | ({RESOURCE_PATH.encode()} if host.mcp else set())

    return tuple(replace(host, own_paths=own_paths(host)) for host in known)


# -- hosts ------------------------------------------------------------------------------------


def _check_hosts(node: Node, scopes: Mapping[str, Scope], domains: Sequence[Domain], report: Report) -> None:
    if node.has("hosts") and not node.hosts and not report.faults:
        report.fault(node.at("hosts"), "the list is empty: name the hosts that the app calls")
    server = first = ""
    for number, name in enumerate(node.hosts):
        place, scope = node.at("hosts", number), scopes.get(name)
        if name in node.hosts[:number]:
            report.fault(place, f"{name} stands here twice")
        elif scope is None:
            report.fault(place, f"there is no host {name}{nearest(name, scopes)}")
        elif not _OF_PEOPLE.isdisjoint(node.grants) and not (scope.sign_in or scope.takes_more):
            report.fault(place, f"nobody signs in on {name}: add sign_in to it, or leave it out here")
        elif not server:
            server, first = _server_of(scope, domains), name
        elif _server_of(scope, domains) != server:
            # Threat: one app at two servers, and what is the one's shown to the other (RFC 9700 section 4.4).
            report.fault(
                place,
                f"tokens for {name} come from {_server_of(scope, domains)}, and those for {first} from {server}: "
                "write an app for each, or put both hosts into a domain",
            )


def _server_of(scope: Scope, domains: Sequence[Domain]) -> str:
    """The host that gives out the tokens for this one: its domain's auth host, or itself."""
    domain = part_of(scope.name, scope.clients.values(), scope.sign_in, domains, takes_more=scope.takes_more)
    return domain.auth.decode() if domain is not None else scope.name


# -- what it may ------------------------------------------------------------------------------


def _check_redirects(node: Node, report: Report) -> None:
    for number, uri in enumerate(node.redirects):
        place = node.at("redirects", number)
        # Threat: a code that goes where somebody else reads it.
        if fault := redirect_fault(uri):
            report.fault(place, f"is no redirect URI: {fault}")
        elif uri in node.redirects[:number]:
            report.fault(place, "stands here twice")
    if node.redirects and node.grants and "code" not in node.grants and not report.faults:
        report.warn(node.at("redirects"), "nobody comes back without the grant `code`")


def _check_grants(node: Node, report: Report) -> None:
    if node.has("grants") and not node.grants and not report.faults:
        report.fault(node.at("grants"), f"the list is empty: name some of {', '.join(GRANTS)}")
    for number, name in enumerate(node.grants):
        place = node.at("grants", number)
        if name not in GRANTS:
            report.fault(place, f"there is no grant `{name}`: {', '.join(GRANTS)}{nearest(name, GRANTS)}")
        elif name in node.grants[:number]:
            report.fault(place, f"`{name}` stands here twice")
        elif name == "code" and not node.has("redirects"):
            report.fault(
                place if node.has("grants") else node.block.place,
                "the grant `code` needs redirects, to where people come back: "
                'redirects = ["com.example.app:/callback"]',
            )
        elif name == "credentials" and not node.has("secret"):
            # Threat: whoever knows the ID, which is no secret, is the app.
            report.fault(place, "the grant `credentials` needs a secret: else anybody could be this app")
    if node.has("grants") and set(node.grants) == {"refresh"}:
        report.fault(node.at("grants"), "`refresh` goes on with what another grant began: add that")
    if "code" in node.grants and node.has("redirects") and not node.redirects and not report.faults:
        report.fault(node.at("redirects"), "the list is empty: the grant `code` needs one")


def _check_native(node: Node, scopes: Mapping[str, Scope], native: Collection[str], report: Report) -> None:
    """Threat, to operators: an app that nobody gets in by, without a word of why."""
    if "native" not in node.grants or report.faults:
        return
    place = node.at("grants", node.grants.index("native"))
    for name in dict.fromkeys(node.hosts):
        scope = scopes.get(name)
        if scope is not None and scope.sign_in and not (scope.takes_more or set(scope.sign_in) & set(native)):
            report.warn(
                place,
                f"nobody gets in by `native` on {name}: give one of its providers native_client_ids "
                "(the apps' own client IDs there), or leave it out here",
            )


def _check_scopes(node: Node, report: Report) -> None:
    for number, name in enumerate(node.scopes):
        place = node.at("scopes", number)
        if not is_scope(name):
            report.fault(place, 'is no scope: visible ASCII without blanks, `"` and `\\`, at most 128')
        elif name in node.scopes[:number]:
            report.fault(place, f"`{name}` stands here twice")


def _check_secrets(node: Node, report: Report) -> None:
    for name in ("secret", "old_secret"):
        secret: Secret = getattr(node, name)
        # Threat: a secret that can be guessed, by who tries words against the token endpoint.
        if node.has(name) and len(secret.reveal()) < SECRET_MIN_CHARS:
            report.fault(
                node.at(name), f"has fewer than {SECRET_MIN_CHARS} characters: openssl rand -base64 32"
            )
    if node.has("old_secret") and not node.has("secret"):
        report.fault(node.at("old_secret"), "is the one before `secret`: write that")
    elif node.old_secret and node.old_secret == node.secret:
        report.fault(node.at("old_secret"), "is `secret` itself: leave it out")


def _check_spans(node: Node, report: Report) -> None:
    if node.access > ACCESS_MAX_S:
        report.fault(node.at("access"), "is an hour at most: nobody can take an access token back")
    if node.refresh_idle > node.refresh:
        name = "refresh_idle" if node.has("refresh_idle") else "refresh"
        report.fault(
            node.at(name), "refresh_idle (30 days without it) is longer than refresh (90 days without it)"
        )
    if node.access > node.refresh_idle:
        report.fault(
            node.at("refresh_idle" if node.has("refresh_idle") else "access"),
            "an access token (10 minutes without `access`) would outlive the app's sign-in",
        )
    if node.leeway > LEEWAY_MAX_S:
        report.fault(node.at("leeway"), "is 5 minutes at most: for so long a thief goes unnoticed")
