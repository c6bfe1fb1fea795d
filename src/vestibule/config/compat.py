"""What is checked of `compat`: other products' paths on a host, and what an edge that knows only these can't do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vestibule.config import schema
from vestibule.config.client import Client
from vestibule.config.edge import edge_listeners
from vestibule.config.host import Scope
from vestibule.config.place import Place, Report
from vestibule.core.compat import PRODUCTS, asked_at, callback_of, claim_of, patterns_of
from vestibule.core.domain import Domain, domain_of
from vestibule.core.flow import split_redirect
from vestibule.protocol.url import host_in


def check_compat(
    config: schema.Config,
    scopes: Mapping[str, Scope],
    clients: Mapping[str, Client],
    domains: Iterable[Domain],
    report: Report,
) -> None:
    """Each host's: nothing is claimed twice, and what is claimed can work."""
    named = [(domain.name, domain) for domain in domains]
    for scope in scopes.values():
        if not scope.node.compat:
            continue
        domain = domain_of(scope.name, named)
        is_led_away = domain is not None and domain.auth != scope.name.encode()
        _check_clashes(scope, report)
        _check_callbacks(scope, clients, report, is_led_away=is_led_away)
        _warn_of_routes(scope, report, is_led_away=is_led_away)
        _warn_of_rules(scope, report)
        _check_asked(config, scope, report)
        _warn_of_names(scope, scopes, report)
        if domain is not None and not is_led_away and not domain.shares_cookie:
            _warn_of_handoff(scope, report)


def _at(scope: Scope, product: str) -> Place:
    return scope.node.at("compat", [str(one) for one in scope.node.compat].index(product))


def _check_clashes(scope: Scope, report: Report) -> None:
    products = scope.node.compat
    for number, product in enumerate(products):
        for first in products[:number]:
            place, before = scope.node.at("compat", number), _at(scope, first)
            same = sorted(set(patterns_of(first)) & set(patterns_of(product)))
            if first == product:
                report.fault(place, f"`{product}` stands in compat twice; the first is at {before.short}")
            elif same:
                paths = ", ".join(path.decode() for path in same)
                report.fault(
                    place, f"`{product}` claims {paths} of this host, and so does `{first}` at {before.short}"
                )


def _check_callbacks(
    scope: Scope, clients: Mapping[str, Client], report: Report, *, is_led_away: bool
) -> None:
    """Threat: a provider that sends people back to where something else is done, or where no edge leads them here."""
    come_back: set[bytes] = set()
    for full in scope.clients.values():
        client = clients.get(full)
        url = getattr(client.config, "redirect_url", "") if client is not None else ""
        _, where, path = split_redirect(url)
        if client is None or host_in(where) not in _names(scope):
            continue
        come_back.add(path.encode())
        claim = claim_of(scope.node.compat, path.encode(), is_led_away=is_led_away)
        if claim is not None and path.encode() != callback_of(claim.product):
            report.fault(
                client.node.at("redirect_url"),
                f"{path} is another path of `{claim.product}`, at {_at(scope, claim.product).short}; people come back "
                f"to {callback_of(claim.product).decode()} there",
            )
    for product in scope.node.compat:
        theirs = callback_of(product).decode()
        if scope.clients and not is_led_away and theirs.encode() not in come_back:
            base = scope.node.public_url or f"https://{scope.name}"
            report.warn(
                _at(scope, product),
                f"no provider of this host sends people back to {theirs}, as one that was registered for "
                f'`{product}` does: redirect_url = "{base}{theirs}" in its block',
            )


def _names(scope: Scope) -> tuple[str, str]:
    return scope.name, host_in(scope.node.public_url)


def _warn_of_routes(scope: Scope, report: Report, *, is_led_away: bool) -> None:
    for route, prefix in zip(scope.node.route, scope.prefixes, strict=True):
        claim = claim_of(scope.node.compat, prefix or b"/", is_led_away=is_led_away)
        if claim is not None:
            report.warn(
                route.label_at,
                f"`{route.label}` itself belongs to `{claim.product}`, at {_at(scope, claim.product).short}; what is "
                "below goes by this route",
            )


def _warn_of_rules(scope: Scope, report: Report) -> None:
    """What the documented configurations don't tell decides here."""
    whole, *parts = scope.policies
    if all(policy == whole for policy in parts):
        return
    methods = any(policy.methods for policy in parts)
    for product in scope.node.compat:
        path = asked_at(product).decode()
        says_path = product == "oauth2-proxy"
        missing = [] if says_path else ["X-Original-URL $scheme://$host$request_uri"]
        if methods:
            missing.append(f"X-{'Forwarded' if says_path else 'Original'}-Method $request_method")
        if missing:
            lines = " ".join(f"proxy_set_header {line};" for line in missing)
            report.warn(
                _at(scope, product),
                f"the routes of this host have rules of their own, and {product}'s own nginx configuration doesn't say "
                f"{'by which method' if says_path else 'for which path'} people ask, so that they are refused: "
                f"add {lines} where it asks {path}",
            )


def _warn_of_names(scope: Scope, scopes: Mapping[str, Scope], report: Report) -> None:
    """Threat: `GET http://b.example/` with `Host: a.example`: nginx serves the one, and asks about the other."""
    others = [other for other in scopes.values() if other.node.compat and other is not scope]
    differs = any(_said(other) != _said(scope) for other in others)
    for product in scope.node.compat:
        if differs and PRODUCTS[product].asked_only:
            path = asked_at(product).decode()
            report.warn(
                _at(scope, product),
                f"{product}'s own nginx configuration asks with $http_host, which a client can make another host's "
                "than the one that nginx serves, and these have other rules: where it asks "
                f"{path}, write proxy_set_header Host $host;",
            )


def _said(scope: Scope) -> list[object]:
    """The rules of its host and routes, wherever they are written."""
    return [
        (*([rule.text for rule in rules or ()] for rules in (one.allow, one.all, one.deny)), one.methods)
        for one in scope.policies
    ]


def _check_asked(config: schema.Config, scope: Scope, report: Report) -> None:
    gateway = config.gateway
    if edge_listeners(gateway) or (gateway is not None and gateway.trusted_proxies):
        return
    report.warn(
        scope.node.at("compat"),
        'nobody may ask who is signed in: list the edges that do in gateway: trusted_proxies = ["127.0.0.1"]',
    )


def _warn_of_handoff(scope: Scope, report: Report) -> None:
    for product in scope.node.compat:
        if PRODUCTS[product].asked_only:
            report.warn(
                _at(scope, product),
                f"an edge configured for `{product}` hands nothing on by which other hosts could take people over: "
                'their domain needs sso = "cookie"',
            )
