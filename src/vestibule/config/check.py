"""Everything that no single block can know about itself: references, clashes, what can't work together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from vestibule.config import schema
from vestibule.config.acme import check_acme
from vestibule.config.admin import admin_port, admin_scope, check_admin, check_pages
from vestibule.config.app import check_apps
from vestibule.config.branding import check_brandings
from vestibule.config.call import Interface, Sources, check_calls
from vestibule.config.client import Client, check_kind, read_client
from vestibule.config.compat import check_compat
from vestibule.config.domain import check_domains
from vestibule.config.edge import check_edges, edge_listeners
from vestibule.config.host import Scope, check_hosts, check_ids
from vestibule.config.lifetimes import check_lifetimes
from vestibule.config.log import check_log
from vestibule.config.machine import check_machines
from vestibule.config.path import check_paths
from vestibule.config.people import check_people
from vestibule.config.place import Place, Report
from vestibule.config.redirect import check_redirect_urls
from vestibule.config.redis import check_redis
from vestibule.config.serving import Serving, check_servings
from vestibule.config.tls import Ending, check_tls, https_of, way_of
from vestibule.config.tracing import check_tracing
from vestibule.config.webhook import check_webhooks
from vestibule.core.acme import Acme
from vestibule.core.branding import Branding
from vestibule.core.certificate import Source
from vestibule.core.domain import Domain
from vestibule.core.listener import ListenAddress
from vestibule.core.registration import Rules
from vestibule.observe import clock
from vestibule.providers.base import ProviderConfig

DEFAULT_LISTENER = ListenAddress(host="127.0.0.1", port=8000)


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration with its references resolved."""

    clients: Mapping[str, Client] = {}
    """Identity clients by full name, in the order written."""
    scopes: Mapping[str, Scope] = {}
    """Hosts by canonical name."""
    endings: Mapping[str, Ending] = {}
    """How TLS ends at hosts, by canonical name; it doesn't at others."""
    acme: Acme | None = None
    """Which certificates are ordered of whom."""
    admin: Scope | None = None
    """The admin port as a host; None where nobody signs in to its pages."""
    domains: tuple[Domain, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    servings: tuple[Serving, ...] = ()
    sources: Mapping[str, ProviderConfig] = {}
    """Token sources of the app's own that calls use, by name."""
    brandings: Mapping[str, Branding] = {}
    """How each host's pages look, by the host's label."""
    people: Rules = Rules()
    """Who may become a user."""


def check(config: schema.Config, report: Report) -> Checked:
    """All that is wrong goes to *report*; the result is whole only when nothing is."""
    _check_gateway(config, report)
    clients = _clients(config, report)
    is_open = any(not one.is_loopback for one in listeners_of(config))
    scopes = check_hosts(config, clients, report, is_open=is_open)
    endings = check_tls(config, {name: one.node for name, one in scopes.items()}, report, clock.now())
    ordered = (name for name, one in endings.items() if one.wanted.source is Source.ACME)
    acme = check_acme(config, ordered, listeners_of(config), report)
    domains = check_domains(config, scopes, clients, report, is_open=is_open)
    check_apps(config, scopes, domains, report, native=_native(clients))
    check_machines(config, scopes, domains, report)
    check_redirect_urls(clients, scopes, report)
    _check_issuers(clients.values(), report)
    check_compat(config, scopes, clients, domains, report)
    check_lifetimes(config, scopes, domains, report)
    sources = Sources(_sources(config, report))
    interfaces = check_calls(config, scopes, sources, report)
    servings = check_servings(config, clients, scopes, report)
    _check_clashes(config, interfaces, servings, report)
    check_paths(config, report)
    check_redis(config, report)
    check_admin(config, report)
    check_pages(scopes.values(), report)
    admin = admin_scope(config, clients, report)
    check_edges(config, report)
    check_webhooks(config, report)
    check_log(config, report)
    check_tracing(config, report)
    _check_names(config.secret, "secrets", report)
    _warn_unused(config, [*scopes.values(), *((admin,) if admin is not None else ())], report)
    return Checked(
        clients=clients,
        scopes=scopes,
        endings=endings,
        acme=acme,
        admin=admin,
        domains=domains,
        interfaces=interfaces,
        servings=servings,
        sources=sources.used,
        brandings=check_brandings(config, report),
        people=check_people(config, report),
    )


WORKERS_MAX = 128


def listeners_of(config: schema.Config) -> tuple[ListenAddress, ...]:
    """The addresses the gateway listens on for plain http; none need be where it speaks TLS."""
    gateway = config.gateway
    if gateway is not None and gateway.https:
        return gateway.http
    return (gateway.http if gateway else ()) or (DEFAULT_LISTENER,)


def _check_gateway(config: schema.Config, report: Report) -> None:
    gateway = config.gateway
    if gateway is None:
        return
    if not 1 <= gateway.workers <= WORKERS_MAX:
        report.fault(gateway.at("workers"), f"a number from 1 to {WORKERS_MAX}; one a core is usual")
    if gateway.has("http") and not gateway.http and not report.faults:
        report.fault(gateway.at("http"), 'the list is empty: http = ["127.0.0.1:8000"]')
    has_edge = any(
        host.public_url.startswith("https://") and way_of(config, host, host.label) is None
        for host in config.host
    )
    is_open = any(not one.is_loopback for one in gateway.http)
    if has_edge and is_open and not gateway.trusted_proxies:
        report.warn(
            gateway.at("http"),
            "trusted_proxies is empty, so every request counts as coming from the edge proxy's own address",
        )
    _check_fetch_allow(gateway, report)
    for number, network in enumerate(gateway.trusted_proxies):
        if network.endswith("/0"):
            report.warn(
                gateway.at("trusted_proxies", number),
                f"{network} believes anybody about where a request comes from",
            )


def _check_fetch_allow(gateway: schema.Gateway, report: Report) -> None:
    for number, network in enumerate(gateway.fetch_allow):
        place = gateway.at("fetch_allow", number)
        if network == "unix":
            report.fault(place, "providers are not reached by Unix sockets: write addresses or ranges")
        elif network.endswith("/0"):
            report.warn(
                place, f"{network} lets anybody who can give a URL reach whatever this machine reaches"
            )


def _clients(config: schema.Config, report: Report) -> dict[str, Client]:
    """All identity clients by full name."""
    found: dict[str, Client] = {}
    scopes: list[tuple[str, tuple[schema.Provider | schema.OAuth, ...]]] = [
        ("", (*config.provider, *config.oauth))
    ]
    scopes += [(f"{host.label}/", (*host.provider, *host.oauth)) for host in config.host]
    for start, nodes in scopes:
        check_ids(nodes, report)
        for node in nodes:
            kind = check_kind(node, report)
            client = read_client(node, kind, f"{start}{node.label}", report) if kind else None
            if client is None:
                report.broken.add(node.label)
            else:
                found.setdefault(client.name, client)
    return found


def _check_issuers(clients: Iterable[Client], report: Report) -> None:
    """Threat: a provider by SAML that is written down by the name of another, whose people it would then be."""
    named: dict[str, list[Client]] = {}
    for client in clients:
        for field in ("issuer", "web_url"):
            if name := getattr(client.config, field, ""):
                named.setdefault(str(name).rstrip("/"), []).append(client)
    for name, sharing in named.items():
        for client in sharing:
            others = [one for one in sharing if _speaks_by(one) != _speaks_by(client)]
            if client.kind == "saml" and others:
                other = others[0].node.block
                report.fault(
                    client.node.at("issuer"),
                    f'{name} is the issuer of {other.type} "{others[0].id}" ({other.place.short}) too: whoever either '
                    "of them vouches for would be one person",
                )


def _speaks_by(client: Client) -> tuple[str, ...]:
    """Where what it says comes from, as far as that tells clients of one issuer apart."""
    return (client.kind, *(str(getattr(client.config, name, "")) for name in ("metadata_url", "metadata")))


def _sources(config: schema.Config, report: Report) -> dict[str, Client]:
    """Token sources by `kind:NAME`."""
    found: dict[str, Client] = {}
    groups: tuple[tuple[str, Sequence[schema.ClientCredentials | schema.ServiceAccount]], ...] = (
        ("client_credentials", config.client_credentials),
        ("service_account", config.service_account),
    )
    for kind, nodes in groups:
        _check_names(nodes, f"{kind} blocks", report)
        for node in nodes:
            client = read_client(node, kind, f"{kind}:{node.label}", report)
            if client is None:
                report.broken.add(node.label)
            else:
                found.setdefault(client.name, client)
    return found


def _check_names(nodes: Sequence[schema.Named], what: str, report: Report) -> None:
    found: dict[str, Place] = {}
    for node in nodes:
        if node.label in found:
            place = found[node.label].short
            report.fault(node.label_at, f"there are two {what} named `{node.label}`; the first is at {place}")
        found.setdefault(node.label, node.label_at)


def _check_clashes(
    config: schema.Config, interfaces: tuple[Interface, ...], servings: tuple[Serving, ...], report: Report
) -> None:
    """Two on one address: only one could start."""
    gateway = config.gateway
    taken: list[tuple[ListenAddress, Place]] = []
    for number, listen in enumerate(listeners_of(config)):
        place = gateway.at("http", number) if gateway and gateway.http else config.block.place
        _take(listen, place, taken, report)
    for number, listen in enumerate(https_of(config)):
        _take(listen, (gateway or config).at("https", number), taken, report)
    for listen, place in edge_listeners(gateway):
        _take(listen, place, taken, report)
    for interface in interfaces:
        node = interface.node
        _take(interface.listen, node.at("port" if node.port is not None else "listen"), taken, report)
    for serving in servings:
        _take(serving.listen, serving.node.at("port"), taken, report)
    port = admin_port(config)
    if port is not None and config.admin is not None:
        _take(port, config.admin.at("listen"), taken, report)


def _take(
    listen: ListenAddress, place: Place, taken: list[tuple[ListenAddress, Place]], report: Report
) -> None:
    for other, first in taken:
        if listen.clashes(other):
            where = (
                "the default address of the gateway" if first.column == 1 and first.line == 1 else first.short
            )
            report.fault(place, f"{listen} is taken by {where}" + ("" if listen == other else f" ({other})"))
            return
    taken.append((listen, place))


def _native(clients: Mapping[str, Client]) -> frozenset[str]:
    """Those whose SDKs' ID tokens are taken."""
    return frozenset(name for name, one in clients.items() if getattr(one.config, "native_client_ids", ()))


def _warn_unused(config: schema.Config, scopes: Iterable[Scope], report: Report) -> None:
    used = {full for scope in scopes for full in scope.clients.values()}
    for node in (*config.provider, *config.oauth):
        if node.label not in used and not report.faults:
            report.warn(node.label_at, f"`{node.label}` serves no host: list it in a host's sign_in")
    listed = {label for host in config.host for label in host.issuers}
    for issuer in config.issuer:
        if issuer.label not in listed and not report.faults:
            report.warn(
                issuer.label_at, f"no host takes tokens of `{issuer.label}`: list it in a host's issuers"
            )
