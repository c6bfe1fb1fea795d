"""What is legal in access rules but risky: rules that hold for more people than it seems, or for nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from vestibule.config.access import IMPERSONAL, Door, Written, rules_of, written
from vestibule.config.client import Client
from vestibule.config.place import Place, Report
from vestibule.config.schema import Gateway
from vestibule.config.schema_host import Route
from vestibule.core.rule import FRESH, LISTED, Rule, qualified

#: kinds at which anybody can have an account, and what lets in only some
_FOR_ANYBODY: Final = {
    "google": "hosted_domain",
    "github": "allowed_orgs",
    "gitlab": "allowed_groups",
    "bitbucket": "allowed_workspaces",
    "slack": "allowed_workspaces",
    "digitalocean": "allowed_teams",
    "discord": "allowed_guilds",
    **dict.fromkeys(
        ("apple", "facebook", "indieauth", "linkedin", "logingov", "openstax", "sourcehut", "twitch"), ""
    ),
}
TELLS: Final[Mapping[str, tuple[str, ...]]] = {
    "google": ("groups", "orgs"),
    "entra": ("groups", "roles", "orgs"),
    "github": ("orgs", "teams", "repos"),
    "gitlab": ("groups", "projects"),
    "bitbucket": ("orgs", "repos"),
    "gitea": ("orgs", "teams"),
    "forgejo": ("orgs", "teams"),
    "keycloak": ("groups", "roles", "orgs"),
    "okta": ("groups",),
    "auth0": ("groups", "roles", "orgs"),
    "cognito": ("groups", "roles"),
    "cidaas": ("groups", "roles"),
    "adfs": ("groups", "roles"),
    "slack": ("orgs",),
    "discord": ("orgs", "roles"),
    "digitalocean": ("teams",),
    "nextcloud": ("groups",),
    "alibaba": ("orgs",),
    "oidc": ("groups", "orgs"),
    "oauth2": ("groups", "orgs"),
    "saml": ("groups",),
    **dict.fromkeys(
        (
            *("apple", "facebook", "homeassistant", "indieauth", "linkedin"),
            *("logingov", "openstax", "sourcehut", "twitch"),
        ),
        (),
    ),
}
"""What each kind says of people by itself, as docs/providers.md has it; `claims` may name more."""
#: said only where this is written
_ASKED_FOR: Final = {
    ("google", "groups"): "groups_key",
    ("github", "repos"): "allowed_repos",
    ("gitlab", "projects"): "allowed_projects",
    ("bitbucket", "repos"): "allowed_repos",
}
_READING: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))


def warn_of_risks(door: Door, clients: Mapping[str, Client], report: Report) -> None:
    """Warn of each rule, then of what the lists of a route are together. `clients`: all, by full name."""
    for one in rules_of(door.host):
        _warn_repeated(one, report)
        _warn_everybody(one, report)
        _warn_untold(door, clients, one, report)
        _warn_any_provider(door, one, report)
    for route in (None, *door.host.route):
        if route is None or route.access is not None:
            _warn_anyone(door, route, clients, report)
            _warn_public(door, route, report)
        if route is not None and route.access is not None:
            _warn_networks_gone(door, route, report)
            _warn_writes(door, route, report)


def warn_of_edge(door: Door, gateway: Gateway | None, report: Report) -> None:
    """Behind an edge that isn't trusted everybody comes from the edge's own address."""
    if not door.host.public_url or (gateway is not None and gateway.trusted_proxies):
        return
    for one in rules_of(door.host):
        if one.rule.kind == "network":
            report.warn(
                one.place,
                f"`{one.rule.text}`: behind an edge proxy every request comes from the proxy's own address, "
                "unless gateway { trusted_proxies } names it",
            )
            return


# -- one rule ---------------------------------------------------------------------------------


def _warn_repeated(one: Written, report: Report) -> None:
    before: tuple[Rule, ...] = getattr(one.access, one.name)[: one.number]
    if any(_same(one.rule, other) for other in before):
        report.warn(one.place, f"`{one.rule.text}` stands in {one.name} twice")
    elif one.name != "deny" and any(_same(one.rule, other) for other in one.access.deny):
        report.warn(one.place, f"`{one.rule.text}` stands in deny, too, which wins")


def _same(one: Rule, other: Rule) -> bool:
    return (one.kind, one.name, one.value) == (other.kind, other.name, other.value)


def _warn_everybody(one: Written, report: Report) -> None:
    """Rules that hold for everybody, where that does nothing or too much."""
    name, rule, place = one.name, one.rule, one.place
    if name == "deny" and rule.kind in ("public", "anyone"):
        who = "everyone" if rule.kind == "public" else "every signed-in person"
        report.warn(place, f"`{rule.text}` refuses {who}")
    elif rule.kind == "public" and name == "allow" and _others(one.access.allow):
        report.warn(place, "`public` lets everyone in; the other rules do nothing")
    elif rule.kind == "public" and name == "all" and not one.access.has("allow"):
        report.warn(
            place, "`public` lets everyone in, where no `allow` says who: write it there if that is meant"
        )
    elif rule.kind == "public" and name == "all":
        report.warn(place, "`public` always holds, so in `all` it does nothing: it is meant for `allow`")
    elif rule.kind == "network" and rule.value.endswith("/0"):
        version, other = ("IPv6", "IPv4") if ":" in rule.value else ("IPv4", "IPv6")
        who = "refuses" if name == "deny" else "holds for"
        report.warn(place, f"`{rule.text}` {who} everybody who comes by {version}, and nobody by {other}")


def _others(rules: Iterable[Rule]) -> list[Rule]:
    """Those besides `public` and networks."""
    return [rule for rule in rules if rule.kind not in ("public", "network")]


def _warn_untold(door: Door, clients: Mapping[str, Client], one: Written, report: Report) -> None:
    """Rules on what no provider of the host ever tells: as a deny they refuse everybody."""
    name, rule = one.name, one.rule
    found = qualified(rule, door.clients)
    if rule.kind not in FRESH or (door.takes_more and not found.provider) or door.issuers:
        return
    asked = [clients[full] for full in door.sign_in if found.provider in ("", full) and full in clients]
    silent = [client for client in asked if not _tells(client, found)]
    if not silent or (name != "deny" and len(silent) < len(asked)):
        return
    what = f"the claim `{found.name}`" if rule.kind == "claim" else LISTED[rule.kind]
    who = " and ".join(f"`{client.id}`" for client in silent)
    says = f"{'says' if len(silent) == 1 else 'say'} nothing of {what}{_way(silent[0], found)}"
    if name == "deny" and (found.provider or len(silent) < len(asked)):
        report.warn(one.place, f"`{rule.text}` refuses everybody who comes by {who}, which {says}")
    else:
        effect = "refuses everybody" if name == "deny" else "holds for nobody"
        report.warn(one.place, f"`{rule.text}` {effect}: {who} {says}")


def _tells(client: Client, rule: Rule) -> bool:
    claims: Mapping[str, str] = getattr(client.config, "claims", None) or {}
    claims = claims or getattr(client.config, "names", {})
    if rule.kind == "claim":
        return any(rule.name == name or rule.name.startswith(f"{name}.") for name in claims)
    field = LISTED[rule.kind]
    if field in claims:
        return bool(claims[field])
    asked_for = _ASKED_FOR.get((client.kind, field), "")
    if asked_for and not getattr(client.config, asked_for, None):
        return False
    return client.kind not in TELLS or field in TELLS[client.kind]


def _way(client: Client, rule: Rule) -> str:
    """How it could be made to tell; empty where it can't."""
    field = LISTED.get(rule.kind, "")
    if asked_for := _ASKED_FOR.get((client.kind, field), ""):
        return f"; it does with {asked_for}"
    if client.kind == "saml":
        return f'; attributes {{ {field or rule.name} = "…" }} in its block names where it stands, if it does'
    if "claims" not in type(client.config).__struct_fields__:  # type: ignore[attr-defined]  # all are structs
        return ""
    return f'; claims {{ {field or rule.name} = "…" }} in its block names where it stands, if it does'


def _warn_any_provider(door: Door, one: Written, report: Report) -> None:
    """Threat: whoever may add providers adds one that says it of them."""
    rule = one.rule
    if (
        one.name == "deny"
        or not door.takes_more
        or rule.kind not in FRESH
        or "/" in (rule.name or rule.value)
    ):
        return
    named = rule.text.replace(":", f":{next(iter(door.clients), 'google')}/", 1)
    report.warn(
        one.place, f"`{rule.text}`: every provider that is added may say that of anybody; {named} names one"
    )


# -- the lists of a host or route together ----------------------------------------------------


def _rules(door: Door, route: Route | None, name: str) -> tuple[Rule, ...]:
    access = written(door.host, route, name)
    return getattr(access, name) if access is not None else ()


def _warn_anyone(door: Door, route: Route | None, clients: Mapping[str, Client], report: Report) -> None:
    if any(backend.internal == "account" for backend in door.host.backend):
        return  # there is nothing to be let into
    name = "allow" if written(door.host, route, "allow") else "all"
    access = written(door.host, route, name)
    if access is None or any(rule.kind not in (*IMPERSONAL, "anyone") for rule in _rules(door, route, "all")):
        return
    if route is not None and access is not route.access:
        return  # told of at the host
    for number, rule in enumerate(getattr(access, name)):
        if rule.kind == "anyone":
            for full in door.sign_in:
                if full in clients:
                    _warn_anybody(clients[full], access.at(name, number), report)


def _warn_anybody(client: Client, place: Place, report: Report) -> None:
    provider: Any = client.config.open()
    if client.kind not in _FOR_ANYBODY or getattr(provider, "is_restricted", False):
        return
    where = f'{client.node.block.type} "{client.id}"'
    narrower = f"; {_FOR_ANYBODY[client.kind]} in {where} narrows it" if _FOR_ANYBODY[client.kind] else ""
    article = "an" if provider.title[0] in "AEIOU" else "a"
    report.warn(place, f"`anyone` lets in whoever has {article} {provider.title} account{narrower}")


def _warn_public(door: Door, route: Route | None, report: Report) -> None:
    """`public` beside what needs somebody to be known."""
    place = _public_at(door, route)
    if place is None:
        return
    if needed := _others(_rules(door, route, "all")):
        what = ", ".join(f"`{rule.text}`" for rule in needed)
        report.warn(place, f"`public` lets nobody in by itself: {what} of `all` must hold, too")
        return
    accesses = (door.host.access, route.access if route is not None else None)
    denied = [rule for access in accesses if access for rule in access.deny if rule.kind not in IMPERSONAL]
    if denied and (door.sign_in or door.takes_more):
        report.warn(
            place,
            f"`public`, but everybody must sign in here, so that it is known whether `{denied[0].text}` denies them",
        )


def _public_at(door: Door, route: Route | None) -> Place | None:
    """Where the `public` stands that holds for a route, or for the host itself; None: nowhere."""
    access = written(door.host, route, "allow")
    if access is None:
        return None
    numbers = [number for number, rule in enumerate(access.allow) if rule.kind == "public"]
    return access.at("allow", numbers[0]) if numbers else None


def _warn_networks_gone(door: Door, route: Route, report: Report) -> None:
    """A route's `allow` stands instead of the host's, with the networks in it."""
    assert route.access is not None
    host = door.host.access
    if host is None or not route.access.has("allow") or not route.access.allow:
        return
    networks = [rule.text for rule in host.allow if rule.kind == "network"]
    held = (*route.access.allow, *_rules(door, route, "all"))
    if networks and not any(rule.kind == "network" for rule in held):
        report.warn(
            route.access.at("allow"),
            f"stands instead of the host's list, so `{networks[0]}` doesn't hold here; in `all` of the host it would",
        )


def _warn_writes(door: Door, route: Route, report: Report) -> None:
    """A public part of a host that isn't public: meant for reading, mostly."""
    place = _public_at(door, route)
    access = route.access
    if place is None or access is None or not access.has("allow") or _others(_rules(door, route, "all")):
        return
    is_open = _public_at(door, None) is not None and not _others(_rules(door, None, "all"))
    backends = route.backend or door.host.backend
    reads_only = bool(route.methods) and frozenset(route.methods) <= _READING
    if is_open or reads_only or not any(backend.servers for backend in backends):
        return
    is_grpc = any(backend.http2 for backend in backends)
    advice = f'methods = ["GET", "HEAD"] in route "{route.label}" lets them read only'
    if is_grpc:
        advice = "calls of gRPC are all POST: a route for each that is meant for all keeps it to these"
    report.warn(place, f"`public`: here anybody may write, too, without signing in; {advice}")
