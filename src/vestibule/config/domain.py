"""What is checked of `domain` blocks: names, auth hosts, what one cookie for a domain needs, and whom it shows what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace
from publicsuffixlist import PublicSuffixList

from vestibule.config import schema
from vestibule.config.client import Client
from vestibule.config.host import TAKES_MORE, Scope
from vestibule.config.place import Report, Unfit
from vestibule.config.schema_domain import Domain as Node
from vestibule.config.value import host_name
from vestibule.core.domain import Domain, domain_of, is_within
from vestibule.core.flow import split_redirect
from vestibule.core.route import Host
from vestibule.core.session import is_top
from vestibule.protocol.address import is_loopback
from vestibule.protocol.cookie import is_ours
from vestibule.protocol.url import host_in

_NAME_RE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_SSO: Final = ("handoff", "cookie")
_TOKENS: Final = ("opaque", "jwt")
_SECURE: Final = "__secure-"


def check_domains(
    config: schema.Config,
    scopes: Mapping[str, Scope],
    clients: Mapping[str, Client],
    report: Report,
    *,
    is_open: bool,
) -> tuple[Domain, ...]:
    """The domains. `is_open`: some listener takes plain http from other machines (`config.host` tells of it)."""
    found: dict[str, tuple[Node, Domain]] = {}
    for node in config.domain:
        name = _name(node, found, report)
        if name:
            found[name] = node, _domain(node, name, scopes)
    names = [(name, name) for name in found]
    for name, (node, domain) in found.items():
        theirs = [scope for scope in scopes.values() if domain_of(scope.name, names) == name]
        if _check_auth_host(node, domain, names, report):
            _check_hosts(node, domain, theirs, report, is_open=is_open)
            _check_redirects(domain, theirs, clients, report)
        _check_cookie(node, domain, theirs, report)
    _check_clashes(found, report)
    return tuple(domain for _, domain in found.values())


def placed(host: Host, domains: Iterable[Domain]) -> Host:
    """The host in its domain.

    One whose people sign in by its own clients alone has no part in a hand-off.
    """
    domains = tuple(domains)
    shared = frozenset(one.cookie.lower().encode() for one in domains if one.cookie)
    domain = part_of(
        host.name.decode("ascii"), host.clients.values(), host.sign_in, domains, takes_more=host.takes_more
    )
    if domain is None:
        return replace(host, shared_cookies=shared)
    return replace(host, shared_cookies=shared, domain=domain, realm=domain.realm)


def part_of(
    name: str, clients: Iterable[str], sign_in: Iterable[str], domains: Iterable[Domain], *, takes_more: bool
) -> Domain | None:
    """The domain whose sign-in the host of this name shares; None for one with its own.

    `clients`, `sign_in`: full names of the host's.
    """
    domain = domain_of(name, [(one.name, one) for one in domains])
    if domain is None or domain.shares_cookie or takes_more or any(map(is_top, (*clients, *sign_in))):
        return domain
    return None


def _name(node: Node, found: Mapping[str, tuple[Node, Domain]], report: Report) -> str:
    """The canonical name; empty with a fault."""
    try:
        name: str = host_name(node.label)
    except Unfit as exc:
        report.fault(node.label_at, f"`{node.label}` {exc}")
        return ""
    if name in found:
        first = found[name][0].label_at.short
        report.fault(node.label_at, f"there are two domains of the name {name}; the first is at {first}")
        return ""
    if name.startswith("[") or name.rpartition(".")[2].isdecimal():
        report.fault(node.label_at, f"{name} is an address, and has no hosts below it")
        return ""
    if not is_loopback(name) and PublicSuffixList().publicsuffix(name) == name:
        report.fault(
            node.label_at,
            f"under {name} anybody has a domain: browsers share no cookie there; name one of your own",
        )
        return ""
    return name


def _domain(node: Node, name: str, scopes: Mapping[str, Scope]) -> Domain:
    auth = scopes.get(node.auth_host)
    return Domain(
        name=name,
        auth=node.auth_host.encode(),
        auth_url=auth.url if auth is not None else "",
        shares_cookie=node.sso == "cookie",
        cookie=node.cookie,
        is_token=node.session_token == "jwt",  # noqa: S105 - says of what form it is
    )


# -- where people sign in ---------------------------------------------------------------------


def _check_auth_host(node: Node, domain: Domain, names: list[tuple[str, str]], report: Report) -> bool:
    """False with a fault: then nothing else can be said of its hosts."""
    if not node.auth_host:
        return False  # told by who read it
    if not is_within(node.auth_host, domain.name):
        report.fault(
            node.at("auth_host"),
            f"is no host of {domain.name}: it is where all of them sign in, auth.{domain.name}",
        )
        return False
    longest = domain_of(node.auth_host, names)
    if longest != domain.name:
        report.fault(node.at("auth_host"), f"is a host of the domain {longest}, which has a block of its own")
        return False
    return True


def _check_hosts(
    node: Node, domain: Domain, scopes: Iterable[Scope], report: Report, *, is_open: bool
) -> None:
    auth = next((scope for scope in scopes if scope.name == node.auth_host), None)
    if auth is None:
        return  # its block is at fault itself
    others = [scope for scope in scopes if scope is not auth and _signs_in(scope)]
    _check_own_block(auth, report)
    if not others and not report.faults:
        report.warn(
            node.block.place,
            f"no host of {domain.name} signs people in with a provider at top level, so nobody is led to {auth.name}",
        )
    for scope in others:
        _check_offered(scope, auth, report)
    if not is_open:
        _check_urls(auth, others, report)
    _check_schemes(auth, others, report)


def _signs_in(scope: Scope) -> bool:
    return scope.takes_more or any(is_top(full) for full in (*scope.clients.values(), *scope.taken.sign_in))


def _check_own_block(auth: Scope, report: Report) -> None:
    """Nobody is let into an app there, and nobody comes back from a provider of that host's own."""
    host = auth.node
    if [backend.internal for backend in host.backend] != ["account"]:
        report.fault(host.at("backend"), f"{auth.name} is an auth_host, which has no app: leave it out")
    for route in host.route:
        report.fault(
            route.label_at, f"{auth.name} is an auth_host, which has no app: there is nothing to route"
        )
    for client in (*host.provider, *host.oauth):
        report.fault(
            client.label_at,
            f"people of the whole domain sign in here: `{client.label}` goes to top level, out of this host",
        )


def _check_offered(scope: Scope, auth: Scope, report: Report) -> None:
    """Threat: a loop. Who is led to the auth host for a provider that it doesn't have comes back as they went."""
    if not set(scope.taken.sign_in) <= set(auth.taken.sign_in):
        report.fault(
            scope.node.at("htpasswd"),
            f"is not the password file of {auth.name}, where people of this host sign in: write it there, too",
        )
    if auth.node.has("sign_in") and auth.node.sign_in is None:
        return  # it can't be read, and was told of
    for number, wanted in enumerate(scope.node.sign_in or ()):
        is_theirs = auth.takes_more if wanted == TAKES_MORE else wanted in auth.clients
        is_meant = wanted == TAKES_MORE or is_top(scope.clients.get(wanted, f"{scope.name}/"))
        if is_meant and not is_theirs:
            report.fault(
                scope.node.at("sign_in", number),
                f"`{wanted}` is not in sign_in of {auth.name}, where people of this host sign in: add it there, "
                "or leave out sign_in there",
            )


def _check_urls(auth: Scope, others: Iterable[Scope], report: Report) -> None:
    scopes = (auth, *others)
    if any(scope.url for scope in scopes):
        for scope in scopes:
            if not scope.url:
                report.fault(
                    scope.node.block.place,
                    f'host "{scope.node.label}" has no public_url, and others of its domain have: people are led from '
                    "one to the other, so write it into each",
                )


def _check_schemes(auth: Scope, others: Iterable[Scope], report: Report) -> None:
    scheme = auth.url.partition("://")[0]
    for scope in others:
        url = scope.url
        if scheme and url and url.partition("://")[0] != scheme:
            report.fault(
                scope.node.at("public_url"),
                f"is not {scheme}, as that of {auth.name} is; all hosts of a domain have one scheme",
            )


def _check_redirects(
    domain: Domain, scopes: Iterable[Scope], clients: Mapping[str, Client], report: Report
) -> None:
    """People come back from a provider to the auth host, and to no other."""
    scopes = list(scopes)
    elsewhere = {scope.name for scope in scopes} - {domain.auth.decode()}
    used = {full for scope in scopes for full in scope.clients.values() if is_top(full)}
    for full in used:
        client = clients.get(full)
        where = split_redirect(getattr(client.config, "redirect_url", ""))[1] if client else ""
        if client is not None and host_in(where) in elsewhere:
            report.fault(
                client.node.at("redirect_url"),
                f"people of {domain.name} come back to {domain.auth.decode()}, not to {where}",
            )


# -- one cookie for all -----------------------------------------------------------------------


def _check_cookie(node: Node, domain: Domain, scopes: Iterable[Scope], report: Report) -> None:
    for attribute, written, known in (
        ("sso", node.sso, _SSO),
        ("session_token", node.session_token, _TOKENS),
    ):
        if written not in known:
            report.fault(node.at(attribute), f"is {' or '.join(known)}")
    if not domain.shares_cookie:
        for attribute in ("cookie", "session_token"):
            if node.has(attribute) and node.sso in _SSO:
                report.fault(node.at(attribute), 'has no effect here: it belongs to sso = "cookie"')
        return
    if node.has("cookie"):
        _check_cookie_name(node, domain, scopes, report)
    _check_reach(node, domain, scopes, report)
    report.warn(
        node.at("sso"),
        f"every host below {domain.name} gets the session cookie, also those that are not this gateway's: who runs one "
        'can act as whoever visits it, and sign people in as somebody else; with sso = "handoff" no host can',
    )
    if domain.is_token:
        report.warn(
            node.at("session_token"),
            "who gets hold of the token can read the session's handle in it, since when it is and until when; it names "
            "nobody. Only this gateway can check it, and does at each request, so it ends with sign-out",
        )


def _check_reach(node: Node, domain: Domain, scopes: Iterable[Scope], report: Report) -> None:
    """Threat: a loop. Who has signed in is led back to a host that the cookie doesn't get to, and from there here."""
    for scope in scopes:
        shown = host_in(scope.url)
        if shown and not is_within(shown, domain.name):
            report.fault(
                scope.node.at("public_url"),
                f"{shown} is not in {domain.name}: it never gets the cookie of that",
            )
        elif not domain.cookie_domain and scope.name != node.auth_host and _signs_in(scope):
            report.fault(
                node.at("sso"),
                f"browsers share no cookie of {domain.name}, a name without a dot: "
                f'domain "vestibule.{domain.name}", or sso = "handoff"',
            )
            return


def _check_cookie_name(node: Node, domain: Domain, scopes: Iterable[Scope], report: Report) -> None:
    name, place = node.cookie, node.at("cookie")
    lower = name.lower()
    is_plain = any(scope.name == node.auth_host and not scope.url.startswith("https:") for scope in scopes)
    if not _NAME_RE.fullmatch(name):
        report.fault(place, "is no name of a cookie: letters, digits and `-`, at most 64")
    elif lower.startswith("__host-"):
        report.fault(place, "browsers keep `__Host-` for cookies of one host; this one is for a domain")
    elif lower.startswith(_SECURE) and is_plain:
        report.fault(
            place, f"browsers take `__Secure-` over https alone; {domain.auth.decode()} has plain http"
        )
    elif is_ours(name.encode("ascii")) and lower != "__secure-vestibule":
        report.fault(place, "is what cookies of single hosts are called; choose another name")


def _check_clashes(found: Mapping[str, tuple[Node, Domain]], report: Report) -> None:
    """Threat: of two cookies of one name none counts, so hosts that get both would sign nobody in."""
    auths: dict[bytes, Node] = {}
    for node, domain in found.values():
        first = auths.setdefault(domain.auth, node)
        if first is not node and domain.auth:
            report.fault(node.at("auth_host"), f"is the auth_host of the domain {first.label}, too")
    sharing = [(node, domain) for node, domain in found.values() if domain.shares_cookie]
    for node, domain in sharing:
        for outer, above in sharing:
            is_below = above is not domain and is_within(domain.name, above.name)
            if is_below and domain.cookie.lower() == above.cookie.lower():
                report.fault(
                    node.at("cookie" if node.has("cookie") else "sso"),
                    f"browsers send hosts of {domain.name} the cookie of {above.name}, too (at "
                    f"{outer.block.place.short}): give the two different names",
                )
