"""What is checked of hosts: their names, who signs people in there, who gets in, their routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from vestibule.config import schema
from vestibule.config.client import Client
from vestibule.config.passing import Passed, names_of, passed_by
from vestibule.config.place import Place, Report, Unfit, nearest
from vestibule.config.value import client_id, host_name, prefix
from vestibule.core.rule import FRESH, Rule, qualified
from vestibule.protocol.address import is_loopback


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """A host as it was resolved: its names point somewhere."""

    name: str
    """Canonical."""
    node: schema.Host
    clients: Mapping[str, str]
    """Client ID in paths → full name."""
    sign_in: tuple[str, ...]
    """Full names of the clients whose identities count, in the order of the buttons."""
    allow: tuple[Rule, ...]
    deny: tuple[Rule, ...]
    takes_more: bool
    """Every enabled provider of the database signs people in here, too."""
    prefixes: tuple[bytes | None, ...]
    """Of the routes, in their order; None for one at fault."""

    passed: tuple[Passed, ...]
    """How requests pass: of the host itself, then of the routes in their order."""

PUBLIC = Rule(kind="public", text="public")
TAKES_MORE = "*"
"""In `sign_in`: every enabled provider of the database, too."""
_USER_ID_RE = re.compile(r"[A-Za-z0-9_-]{22}")
#: kinds at which anybody can have an account, and what lets in only some
_FOR_ANYBODY = {
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


def check_hosts(
    config: schema.Config, clients: Mapping[str, Client], report: Report, *, is_open: bool
) -> dict[str, Scope]:
    """Hosts by canonical name. `is_open`: some listener takes plain http from other machines."""
    scopes: dict[str, Scope] = {}
    urls: dict[str, schema.Host] = {}
    for host in config.host:
        name = _name(host, scopes, report)
        scope = _scope(host, name or host.label, clients, report)
        _check_public_url(scope, urls, report, is_open=is_open)
        _check_backends(host, report)
        if name is not None:
            scopes[name] = scope
    if not config.host and not report.faults:
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


def _scope(host: schema.Host, name: str, clients: Mapping[str, Client], report: Report) -> Scope:
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
    scope = Scope(
        name=name,
        node=host,
    prefixes = _prefixes(host, named, report)
    names = names_of(name, named, sign_in, clients, takes_more=takes_more)
        clients=named,
        sign_in=sign_in,
        takes_more=takes_more,
        allow=_allow(host, clients, report),
        deny=host.access.deny if host.access else (),
        prefixes=prefixes,
        passed=passed_by(host, prefixes, names, report),
    )
    is_whole = len(listed) + takes_more == len(host.sign_in or ()) and host.has("sign_in") == (
        host.sign_in is not None
    )
    if is_whole and all(full in clients for full in offered):
        _check_access(scope, clients, report)
        if host.app_tokens and not (sign_in or takes_more):
            report.fault(host.at("app_tokens"), "nobody signs in on this host who could make one: add sign_in")
    return scope


def _how_to_add(wanted: str) -> str:
    return f'; add provider "{wanted}" {{ client_id = "…" client_secret = "…" }}'


# -- who gets in ------------------------------------------------------------------------------


def _allow(host: schema.Host, clients: Mapping[str, Client], report: Report) -> tuple[Rule, ...]:
    """Fail closed: only a host with nothing but IO's own blocks lets everyone through unasked."""
    if host.access is not None:
        if not host.access.has("allow"):
            report.fault(
                host.access.block.place, f"this access says nobody gets in: add {_choice(host, clients)[1]}"
            )
        elif not host.access.allow and not report.faults:
            report.warn(host.access.at("allow"), "nobody gets in: the list is empty")
        return host.access.allow
    if host.sign_in or host.provider:
        anyone, some = _choice(host, clients)
        report.fault(
            host.block.place,
            f'host "{host.label}" signs people in but does not say who gets in; write one of these into it:\n'
            f"    access {{ {anyone} }}\n"
            f"    access {{ {some} }}",
        )
        return ()
    if host.oauth and host.sign_in is None:
        return (PUBLIC,)
    report.fault(
        host.block.place,
        f'host "{host.label}" does not say who gets in: write access {{ allow = ["public"] }} for everyone, '
        "or sign_in and access",
    )
    return ()


def _choice(host: schema.Host, clients: Mapping[str, Client]) -> tuple[str, str]:
    """The two settings an operator mostly means."""
    domain = ".".join(host.label.lower().rstrip(".").split(".")[-2:])
    for wanted in host.sign_in or ():
        config = getattr(clients.get(wanted), "config", None)
        domain = getattr(config, "hosted_domain", "") or domain
    if "." not in domain or is_loopback(domain):
        domain = "example.com"
    return 'allow = ["anyone"]', f'allow = ["domain:{domain}"]'


def _check_access(scope: Scope, clients: Mapping[str, Client], report: Report) -> None:
    """Rules that can never hold, and rules that hold for more people than it seems."""
    host = scope.node
    accesses = [host.access, *(route.access for route in host.route)]
    for access in accesses:
        if access is None:
            continue
        _check_deny(access, report)
        for name, rules in (("allow", access.allow), ("deny", access.deny)):
            for number, rule in enumerate(rules):
                _check_named(scope, rule, access.at(name, number), report)
        for number, rule in enumerate(access.allow):
            place = access.at("allow", number)
            if rule.kind == "public" and len(access.allow) > 1:
                report.warn(place, "`public` lets everyone in; the other rules do nothing")
            elif rule.kind != "public" and not scope.sign_in and not scope.takes_more:
                report.fault(place, f"`{rule.text}` can never hold: {_nobody(scope)}")
            elif rule.kind == "anyone":
                _warn_anyone(scope, clients, place, report)
            elif scope.takes_more and rule.kind in FRESH and "/" not in (rule.name or rule.value):
                # Threat: whoever may add providers adds one that says it of them.
                named = rule.text.replace(":", f":{next(iter(scope.clients), 'google')}/", 1)
                report.warn(
                    place,
                    f"`{rule.text}`: every provider that is added may say that of anybody; {named} names one",
                )


def _check_deny(access: schema.Access, report: Report) -> None:
    for number, rule in enumerate(access.deny):
        if rule.kind in ("public", "anyone"):
            who = "everyone" if rule.kind == "public" else "every signed-in person"
            report.warn(access.at("deny", number), f"`{rule.text}` refuses {who}")


def _nobody(scope: Scope) -> str:
    if scope.clients:
        names = ", ".join(f"`{name}`" for name in scope.clients)
        return f"{names} gives credentials but not a person; add userinfo_url, or sign_in with a provider"
    return "nobody can sign in on this host; add sign_in with a provider"


def _check_named(scope: Scope, rule: Rule, place: Place, report: Report) -> None:
    """Rules that seem to name a provider and don't: they would do nothing, and a deny that does nothing lets in."""
    found = qualified(rule, scope.clients)
    head, slash, _ = (rule.name if rule.kind == "claim" else rule.value).partition("/")
    if found.provider:
        if found.provider not in scope.sign_in:
            report.fault(place, f"`{rule.text}`: `{head}` signs nobody in on this host")
        return
    if rule.kind in ("email", "domain", "user") and slash:
        fault = report.warn if TAKES_MORE in (scope.node.sign_in or ()) else report.fault
        fault(
            place, f"`{rule.text}`: there is no provider `{head}` on this host{nearest(head, scope.clients)}"
        )
    elif rule.kind == "user" and not _USER_ID_RE.fullmatch(rule.value):
        login = f"user:{next(iter(scope.clients), 'github')}/{rule.value}"
        report.fault(
            place, f"`{rule.text}` is no id of a person here; a login is named with its provider: {login}"
        )
    elif slash and (close := nearest(head, scope.clients)):
        report.warn(
            place, f"`{rule.text}`: `{head}` is no provider of this host, so this is the whole name{close}"
        )


def _warn_anyone(scope: Scope, clients: Mapping[str, Client], place: Place, report: Report) -> None:
    for full in scope.sign_in:
        client = clients[full]
        provider: Any = client.config.open()
        if client.kind not in _FOR_ANYBODY or getattr(provider, "is_restricted", False):
            continue
        where = f'{client.node.block.type} "{client.id}"'
        narrower = f"; {_FOR_ANYBODY[client.kind]} in {where} narrows it" if _FOR_ANYBODY[client.kind] else ""
        article = "an" if provider.title[0] in "AEIOU" else "a"
        report.warn(place, f"`anyone` lets in whoever has {article} {provider.title} account{narrower}")


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


def _check_backends(host: schema.Host, report: Report) -> None:
    nodes: tuple[schema.Host | schema.Route, ...] = (host, *host.route)
    for node in nodes:
        if node.insecure:
            report.warn(
                node.at("insecure"), "the certificate of the backend is not checked: only for testing"
            )
        if len(node.backend) > 1 and any(not backend.servers for backend in node.backend):
            report.fault(
                node.at("backend"), "only servers can stand in a list; static: and internal: stand alone"
            )
        elif not node.backend and node.has("backend") and not report.faults:
            report.fault(node.at("backend"), 'the list is empty: backend = "localhost:3000"')


def _check_public_url(scope: Scope, urls: dict[str, schema.Host], report: Report, *, is_open: bool) -> None:
    host = scope.node
    url = host.public_url
    name = url.partition("://")[2]
    if not url:
        if is_open and (scope.clients or scope.takes_more) and not host.has("public_url"):
            report.fault(
                host.block.place,
                f'host "{host.label}" signs people in on a port that takes plain http from other machines: '
                f'let an edge proxy in front speak TLS and write public_url = "https://{scope.name}", '
                "or listen on 127.0.0.1",
            )
        return
    if url.startswith("http://") and not is_loopback(name.partition(":")[0]):
        say = report.fault if is_open and (scope.clients or scope.takes_more) else report.warn
        say(
            host.at("public_url"),
            "plain http shows every session to the network; public_url must be https://",
        )
    if url in urls:
        first = urls[url].at("public_url").short
        report.fault(host.at("public_url"), f"{url} is the public_url of another host, at {first}")
    urls.setdefault(url, host)
    if name.partition(":")[0] != scope.name:
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
