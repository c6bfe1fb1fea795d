"""What is checked of how long sessions live and how old a sign-in may be, and what it comes to for each host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from vestibule.config import schema
from vestibule.config.client import Client
from vestibule.config.host import Scope
from vestibule.config.place import Report
from vestibule.config.schema_lifetimes import SessionLifetimes
from vestibule.core.domain import Domain, domain_of
from vestibule.core.lifetimes import UNBOUNDED, Lifetimes, Span, bound, shortest
from vestibule.core.route import Host
from vestibule.core.session import is_top

MAX_AGE_USUAL_S = 60.0
"""Below this a sign-in may be too old again on the way back, by another clock than the provider's."""


def check_lifetimes(
    config: schema.Config, scopes: Mapping[str, Scope], domains: Iterable[Domain], report: Report
) -> None:
    """Report bounds that hold nowhere, and those that can't be kept."""
    top = config.lifetimes
    if top is not None:
        if top.sessions_per_person < 0:
            report.fault(top.at("sessions_per_person"), "is a number of sessions, or 0 for any number")
        usual_s = top.session_absolute
        if top.remember_me is not None and top.remember_me < usual_s and top.has("session_absolute"):
            report.warn(
                top.at("remember_me"),
                "is shorter than session_absolute: who asks to be kept signed in is signed out sooner",
            )
    found = tuple(domains)
    for scope in scopes.values():
        _check_host(scope, found, report)
        _check_max_age(scope, report)
        _check_bearer(scope, report)


def _check_host(scope: Scope, domains: tuple[Domain, ...], report: Report) -> None:
    node = scope.node.lifetimes
    if node is None:
        return
    place = node.block.place
    if not (scope.sign_in or scope.taken.sign_in or scope.takes_more or scope.clients):
        report.fault(place, f"nobody signs in at {scope.name}, so it has no sessions")
        return
    domain = domain_of(scope.name, [(one.name, one) for one in domains])
    is_led = domain is not None and domain.auth.decode("ascii") != scope.name
    if domain is None or not is_led:
        return
    auth = domain.auth.decode("ascii")
    if domain.shares_cookie:
        report.fault(
            place, f"has no effect here: all hosts of {domain.name} have one session, of which {auth} says it"
        )
    elif any(map(is_top, scope.clients.values())):
        report.warn(
            place,
            f"ends the sessions of this host only: while the one at {auth} lives, people come back without signing in; "
            "write it there, or max_age here",
        )


def _check_max_age(scope: Scope, report: Report) -> None:
    """Times that are too short, and those of what everybody gets into unasked."""
    host = scope.node
    nodes: tuple[schema.Host | schema.Route, ...] = (host, *host.route)
    for node, policy in zip(nodes, scope.policies, strict=True):
        if node.max_age is None:
            continue
        if node.max_age < MAX_AGE_USUAL_S:
            report.warn(node.at("max_age"), "is less than a minute: people are hardly back when it is over")
        own = scope.policies if node is host else (policy,)
        if all(one.public for one in own):
            report.fault(node.at("max_age"), "has no effect here: everybody gets in, signed in or not")


def _check_bearer(scope: Scope, report: Report) -> None:
    """Threat: an issuer's token taken for a handle, or a handle shown to an issuer."""
    if scope.node.session_bearer and scope.taken.accepted.introspecting is not None:
        report.fault(
            scope.node.at("session_bearer"),
            "tokens of an issuer with `introspection_url` can't be told from handles: take one of the two here",
        )


# -- what it comes to -------------------------------------------------------------------------


def lifetimes_of(config: schema.Config) -> Lifetimes:
    """Of the installation."""
    given = config.lifetimes
    if given is None:
        return Lifetimes()
    return Lifetimes(
        flow_s=given.pending_flow,
        idle_s=given.session_idle,
        absolute_s=given.session_absolute,
        handle_s=given.handle,
        restriction_s=given.restriction,
        invitation_s=given.invitation,
        grace_s=given.grace,
        app_token_s=given.app_token,
        remember_s=given.remember_me or 0.0,
        sessions_max=given.sessions_per_person,
    )


def spanned(host: Host, scope: Scope, clients: Mapping[str, Client], top: Span) -> Host:
    """The host with how long its sessions live, by whom people came."""
    own = shortest(top, _span(scope.node.lifetimes))
    names = (*scope.clients.values(), *scope.sign_in)
    theirs = {
        full: _span(getattr(clients[full].node, "lifetimes", None)) for full in names if full in clients
    }
    spans = {full: shortest(own, span) for full, span in theirs.items() if span != UNBOUNDED}
    return replace(host, span=own, spans=spans)


def aligned(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """The hosts, with what those that share a sign-in must agree on.

    Who is not asked to be kept at the auth host isn't kept by any host it hands on to; and it asks a provider when
    people signed in, where any host that it signs in for wants to know.
    """
    made = {host.name: host for host in hosts}
    asking = {host.name for host in made.values() if _wants_proof(host)}
    asking |= {host.domain.auth for host in made.values() if host.domain is not None and host.name in asking}
    return tuple(
        replace(host, span=replace(host.span, keeps=_keeps(host, made)), asks_when=host.name in asking)
        for host in made.values()
    )


def _keeps(host: Host, made: Mapping[bytes, Host]) -> bool:
    auth = made.get(host.domain.auth) if host.domain is not None else None
    return any(one.offers_to_keep for one in (host, auth) if one is not None)


def _wants_proof(host: Host) -> bool:
    return any(route.policy.max_age_s for route in host.routes.values())


def _span(node: SessionLifetimes | None) -> Span:
    if node is None:
        return UNBOUNDED
    return bound(idle_s=node.session_idle, absolute_s=node.session_absolute, remember_s=node.remember_me)
