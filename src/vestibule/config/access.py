"""Who gets in: the rules of hosts and routes checked, and made into policies.

Each list of a route stands instead of the host's list of that name; `deny` adds to it. What is legal but risky is told
by `config.risk`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from vestibule.config.client import Client
from vestibule.config.place import Place, Report, nearest
from vestibule.config.schema_host import Access, Host, Route
from vestibule.core.credential import APIKEY, HTPASSWD
from vestibule.core.organisation import OWN
from vestibule.core.policy import Policy, policy_of
from vestibule.core.rule import OWN_KINDS, Rule, qualified
from vestibule.protocol.address import is_loopback
from vestibule.protocol.htpasswd import canonical

PUBLIC = Rule(kind="public", text="public")
ANYONE = Rule(kind="anyone", text="anyone")
_LISTS = ("allow", "all", "deny")
_USER_ID_RE = re.compile(r"[A-Za-z0-9_-]{22}")
#: rules that ask for nobody's identity
IMPERSONAL = frozenset({"public", "network", "token", "machine"})


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A host as its rules see it: whose word on people counts there."""

    host: Host
    clients: Mapping[str, str]
    """ID → full name of those whom rules may name."""
    sign_in: tuple[str, ...]
    """Full names of the clients people sign in with."""
    issuers: tuple[str, ...] = ()
    """Names of those whose word on callers counts, too."""
    demanded: tuple[str, ...] = ()
    """The one without whose token nobody gets in, of the host, then of its routes; empty: none."""
    takes_more: bool = False
    """Every enabled provider of the database signs people in here, too."""
    takes_tokens: bool = False
    """Somebody may show a token here, instead of signing in."""


class Written(msgspec.Struct, frozen=True):
    """A rule where it stands."""

    access: Access
    name: str
    """Of the list."""
    number: int
    rule: Rule

    @property
    def place(self) -> Place:
        """Where that is."""
        return self.access.at(self.name, self.number)


# -- policies ---------------------------------------------------------------------------------


def policies_of(door: Door) -> tuple[Policy, ...]:
    """The policy of the host itself, then those of its routes, in their order."""
    routes = door.host.route
    demanded = door.demanded or ("",) * (len(routes) + 1)
    whole = _policy(door, None, demanded[0])
    # Most routes have nothing of their own: they share what the host has.
    return (
        whole,
        *(
            whole
            if route.access is None
            and not route.methods
            and issuer == demanded[0]
            and route.max_age in (None, door.host.max_age)
            else _policy(door, route, issuer)
            for route, issuer in zip(routes, demanded[1:], strict=True)
        ),
    )


def _policy(door: Door, route: Route | None, demanded: str) -> Policy:
    accesses = (door.host.access, route.access if route is not None else None)
    allow = _list(door, route, "allow")
    if allow is None and door.host.access is None:
        is_asked = demanded or door.host.apikey_auth is not None
        allow = (ANYONE,) if is_asked else (PUBLIC,) if is_unasked(door.host) else ()
    every = _list(door, route, "all") or ()
    if demanded:  # what is public elsewhere takes such a token here
        allow = allow and tuple(ANYONE if rule.kind == "public" else rule for rule in allow)
        every = tuple(ANYONE if rule.kind == "public" else rule for rule in every)
    return policy_of(
        allow=allow,
        all=every,
        deny=tuple(
            rule for access in accesses if access is not None for rule in _rules(door, access, "deny")
        ),
        methods=frozenset(route.methods if route is not None else ()),
        sign_in=frozenset() if demanded else frozenset(door.sign_in),
        issuers=frozenset({demanded} if demanded else door.issuers),
        max_age_s=_max_age_s(door.host, route),
    )


def tool_policy(door: Door, number: int, access: Access) -> Policy:
    """What must hold for a tool of the host itself (0), or of the route of that number; it has lists of its own."""
    issuer = door.demanded[number] if door.demanded else ""
    return policy_of(
        allow=_rules(door, access, "allow") if access.has("allow") else None,
        all=_rules(door, access, "all"),
        deny=_rules(door, access, "deny"),
        sign_in=frozenset() if issuer else frozenset(door.sign_in),
        issuers=frozenset({issuer} if issuer else door.issuers),
    )


def _max_age_s(host: Host, route: Route | None) -> float:
    """The route's, else the host's; 0: neither is written."""
    written = host.max_age if route is None or route.max_age is None else route.max_age
    return written or 0.0


def _list(door: Door, route: Route | None, name: str) -> tuple[Rule, ...] | None:
    """The rules that hold under this name: the route's, else the host's; None where neither is written."""
    access = written(door.host, route, name)
    return None if access is None else _rules(door, access, name)


def written(host: Host, route: Route | None, name: str) -> Access | None:
    """The block whose list of this name holds for a route, or for the host itself."""
    for access in (route.access if route is not None else None, host.access):
        if access is not None and access.has(name):
            return access
    return None


def _rules(door: Door, access: Access, name: str) -> tuple[Rule, ...]:
    """The rules with the providers they name, and where they stand."""
    rules: tuple[Rule, ...] = getattr(access, name)
    return tuple(
        msgspec.structs.replace(_spelled(qualified(rule, door.clients)), place=access.at(name, number).short)
        for number, rule in enumerate(rules)
    )


def _spelled(rule: Rule) -> Rule:
    """The rule with the name of somebody with a password in its one spelling.

    Threat: `deny = ["user:htpasswd/Bob"]`, and `bob` in the file.
    """
    if rule.kind == "user" and rule.provider.partition(":")[0] in (HTPASSWD, APIKEY):
        return msgspec.structs.replace(rule, value=canonical(rule.value))
    return rule


# -- faults -----------------------------------------------------------------------------------


def is_unasked(host: Host) -> bool:
    """True for a host with nothing but IO's own blocks: it lets everyone through unasked."""
    return bool(host.oauth) and host.access is None and host.sign_in is None and not host.provider


def check_said(host: Host, clients: Mapping[str, Client], report: Report) -> None:
    """Fail closed: a host says who gets in, or the operator is told what to write."""
    anyone, some = _choice(host, clients)
    if host.access is not None:
        if not host.access.has("allow") and not host.access.has("all"):
            report.fault(host.access.block.place, f"this access says nobody gets in: add {some}")
    elif host.sign_in or host.provider or host.htpasswd or host.issuers:
        does = "takes tokens" if host.issuers and not (host.sign_in or host.provider) else "signs people in"
        report.fault(
            host.block.place,
            f'host "{host.label}" {does} but does not say who gets in; write one of these into it:\n'
            f"    access {{ {anyone} }}\n"
            f"    access {{ {some} }}",
        )
    elif not is_unasked(host) and host.apikey_auth is None and host.require_jwt is None:
        report.fault(
            host.block.place,
            f'host "{host.label}" does not say who gets in: write access {{ allow = ["public"] }} for everyone, '
            "or sign_in and access",
        )


def _choice(host: Host, clients: Mapping[str, Client]) -> tuple[str, str]:
    """The two settings an operator mostly means."""
    domain = ".".join(host.label.lower().rstrip(".").split(".")[-2:])
    for wanted in host.sign_in or ():
        config = getattr(clients.get(wanted), "config", None)
        domain = getattr(config, "hosted_domain", "") or domain
    if "." not in domain or is_loopback(domain):
        domain = "example.com"
    return 'allow = ["anyone"]', f'allow = ["domain:{domain}"]'


def check_access(door: Door, report: Report) -> None:
    """Rules that can never hold, and lists that let nobody in."""
    for one in rules_of(door.host):
        _check_named(door, one.rule, one.place, report)
        if one.name != "deny":
            _check_possible(door, one.rule, one.place, report)
    for route in (None, *door.host.route):
        if route is None or route.access is not None:
            _check_enters(door, route, report)


def rules_of(host: Host) -> Iterator[Written]:
    """Every rule of a host, its routes and its tools."""
    parts: tuple[Host | Route, ...] = (host, *host.route)
    for access in (*(part.access for part in parts), *(tool.access for part in parts for tool in part.tool)):
        if access is not None:
            for name in _LISTS:
                for number, rule in enumerate(getattr(access, name)):
                    yield Written(access, name, number, rule)


def _check_possible(door: Door, rule: Rule, place: Place, report: Report) -> None:
    if rule.kind == "certificate":
        return  # by `_check_named`
    if rule.kind not in IMPERSONAL and not door.sign_in and not door.takes_more and not door.issuers:
        report.fault(place, f"`{rule.text}` can never hold: {_nobody(door)}")
    elif rule.kind == "token" and not door.takes_tokens:
        report.fault(
            place,
            f"`{rule.text}` can never hold: nobody can show a token on this host; "
            "add issuers, app_tokens = true, or an app or a machine for it",
        )


def _check_enters(door: Door, route: Route | None, report: Report) -> None:
    """Networks narrow: a list of nothing else lets nobody in, and was meant to."""
    access = written(door.host, route, "allow") or written(door.host, route, "all")
    if access is None or report.faults:
        return
    name = "allow" if access.has("allow") else "all"
    rules: tuple[Rule, ...] = getattr(access, name)
    if not rules:
        report.warn(access.at(name), "nobody gets in: the list is empty")
    elif all(rule.kind == "network" for rule in rules):
        others = ", ".join(f'"{rule.text}"' for rule in rules)
        report.fault(
            access.at(name),
            "networks only narrow who gets in, so nobody does: add who, as in "
            f'{name} = ["anyone", {others}], or "public" for everybody there',
        )


def _nobody(door: Door) -> str:
    if door.clients:
        names = ", ".join(f"`{name}`" for name in door.clients)
        return f"{names} gives credentials but not a person; add userinfo_url, or sign_in with a provider"
    return "nobody can sign in on this host; add sign_in with a provider"


def _check_named(door: Door, rule: Rule, place: Place, report: Report) -> None:
    """Rules that seem to name a provider and don't: they would do nothing, and a deny that does nothing lets in."""
    if rule.kind == "network":
        return
    if rule.kind == "certificate":
        if not door.host.client_ca:
            report.fault(
                place,
                f"`{rule.text}` can never hold: nobody is asked for a certificate on this host; add client_ca, "
                "the file of the authorities that sign them",
            )
        return
    found = qualified(rule, door.clients)
    head, slash, _ = (rule.name if rule.kind == "claim" else rule.value).partition("/")
    if head == OWN and slash:
        if found.provider != OWN:
            kinds = ", ".join(f"{kind}:" for kind in sorted(OWN_KINDS))
            report.fault(place, f"`{rule.text}`: `@` is the gateway itself, whose word is on {kinds}")
        return
    if found.provider:
        if found.provider not in door.sign_in and found.provider not in door.issuers:
            report.fault(place, f"`{rule.text}`: `{head}` signs nobody in on this host")
        return
    if rule.kind in ("email", "domain", "user") and slash:
        fault = report.warn if door.takes_more else report.fault
        fault(
            place, f"`{rule.text}`: there is no provider `{head}` on this host{nearest(head, door.clients)}"
        )
    elif rule.kind == "user" and not _USER_ID_RE.fullmatch(rule.value):
        login = f"user:{next(iter(door.clients), 'github')}/{rule.value}"
        report.fault(
            place, f"`{rule.text}` is no id of a person here; a login is named with its provider: {login}"
        )
    elif slash and (close := nearest(head, door.clients)):
        report.warn(
            place, f"`{rule.text}`: `{head}` is no provider of this host, so this is the whole name{close}"
        )
