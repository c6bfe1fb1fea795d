"""What happens at an address, and why: which host and route it belongs to, and what that answers to whom.

The address is read as a request's target is, so that what is explained is what is decided on.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from vestibule.core.explain import Condition, explain
from vestibule.core.route import Host, Route, RouteTable, has_one_meaning, is_inner, is_own, serving_name
from vestibule.errors import BadRequest, NotFound
from vestibule.model import Asker, Deny, SignIn, StepUp
from vestibule.protocol import url

METHOD_RE: Final = re.compile(r"[A-Z][A-Z-]{0,31}")
_SHOWN_MAX: Final = 5
_URL_RE: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<authority>[^/?#]*)(?P<rest>[^#]*)(?:#.*)?"
)
#: what stays as it is written; everything else is percent-encoded, as browsers do
_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_TAKEN_NOWHERE: Final = frozenset((b"TRACE", b"CONNECT"))


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Where an address leads."""

    host: Host
    route: Route
    path: str
    """Canonical."""
    is_own: bool
    """The path is the gateway's own: no rule holds there."""
    within: Spot | None = None
    """The same for the tool that is called, or in the serving that is the route's backend: whose rules come next."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered there, and why."""

    host: str
    host_place: str
    """`file:line`."""
    route: str
    """Its path; `/` for the host itself."""
    route_place: str
    path: str
    """As it is matched and forwarded."""
    method: str
    answer: str
    """`in`, `own` (a path of the gateway's own), `sign_in`, or the code of the refusal."""
    status: int | None
    """Of the gateway's answer; None: it lets the request in."""
    reason: str
    conditions: tuple[Condition, ...]
    change: str
    """What would have to be otherwise for the request to be let in; empty where it is."""

    @property
    def is_let_in(self) -> bool:
        """True where no rule is in the way."""
        return self.status is None


def spot_of(table: RouteTable, address: str, tool: str = "") -> Spot:
    """Where an address leads: a URL, or host and path. Raises BadRequest, NotFound for an unknown host.

    `tool`: of an MCP server there, that is called; its rules come next, where there are any on it. Empty: none.
    """
    found = _URL_RE.fullmatch(address.strip())
    if found is None or (found["scheme"] or "https").lower() not in {"http", "https"}:
        raise BadRequest(f"{address} is no address of a web page: https://app.example.com/path")
    host = _host(table, found["authority"])
    rest = quote(found["rest"], safe=_ASCII)
    target = url.canonical((rest if rest.startswith("/") else f"/{rest}").encode("ascii"))
    if not has_one_meaning(host, target):
        raise BadRequest("the address can be read in two ways", code="bad_target")
    spot = _spot(table, host, target.path)
    called = spot.route.tools.of(tool) if tool and spot.route.tools is not None and not spot.is_own else None
    if called is None:
        return spot
    rules = replace(spot, route=replace(spot.route, policy=called.policy, place=called.place))
    return replace(spot, within=rules)


def _spot(table: RouteTable, host: Host, path: bytes) -> Spot:
    route, is_gateways = host.route(path), is_own(path, host)
    serving = table.host(serving_name(route.backend.serving)) if route.backend.serving else None
    return Spot(
        host=host,
        route=route,
        path=path.decode("ascii"),
        is_own=is_gateways,
        within=_spot(table, serving, path) if serving is not None and not is_gateways else None,
    )


def _host(table: RouteTable, authority: str) -> Host:
    """The host of this name, or the one that people reach by it (`public_url`)."""
    try:
        name = url.authority(authority.encode("ascii" if authority.isascii() else "idna"))
    except UnicodeError:
        raise BadRequest(f"{authority} is no host name") from None
    host = table.host(name.host)
    if host is not None:
        return host
    for other in table.hosts.values():
        shown = other.base_url.partition("://")[2]
        # Of servings and the admin listener, which are all on this machine, the port tells one from another.
        is_meant = shown == authority if is_inner(other.name) else bool(shown)
        if is_meant and url.authority(shown.encode("ascii")).host == name.host:
            return other
    known = [one.decode("ascii") for one in table.hosts if not is_inner(one)]
    more = ", …" if len(known) > _SHOWN_MAX else ""
    raise NotFound(f"there is no host {authority} here, but {', '.join(known[:_SHOWN_MAX])}{more}")


def findings(spot: Spot, method: bytes, asker: Asker) -> Findings:
    """What a request with this method gets there, as the judge of requests has it, in its order.

    What the rules of a tool or a serving refuse that the host let in is theirs, with the conditions of both.
    """
    found = _found(spot, method, asker)
    if spot.within is None or not found.is_let_in:
        return found
    inner = findings(spot.within, method, asker)
    if inner.is_let_in:
        return replace(found, conditions=(*found.conditions, *inner.conditions))
    passed = (replace(condition, decides=False) for condition in found.conditions)
    return replace(inner, conditions=(*passed, *inner.conditions))


def _found(spot: Spot, method: bytes, asker: Asker) -> Findings:
    """The same, without what comes behind the route."""
    host, route = spot.host, spot.route
    explained = explain(route.policy, method, asker)
    decision = explained.decision
    answer, change = explained.answer, explained.change
    asks_to_sign_in = isinstance(decision, SignIn | StepUp)
    status = decision.status if isinstance(decision, Deny) else 302 if asks_to_sign_in else None
    if isinstance(decision, StepUp) and asker.scopes is not None:
        status = 401
    reason, conditions = decision.reason, explained.conditions
    if method in _TAKEN_NOWHERE:
        answer, status, conditions = "method_not_allowed", 405, ()
        reason, change = "the gateway takes this method nowhere", "ask by another method"
    elif spot.is_own:
        answer, status, conditions = "own", None, ()
        reason, change = "the path is the gateway's own, where no rule holds", ""
    elif route.needs_caller and asker.scopes is None:
        answer, status, conditions = "token_required", 401, ()
        reason, change = "this address takes a token only", "show a token with the request"
    elif answer == "no_sign_in" and host.takes_more:
        answer, status, change = "no_sign_in_yet", 503, "add an identity provider"
    return Findings(
        host=host.name.decode("ascii"),
        host_place=host.place,
        route=f"{route.prefix.decode('ascii')}/",
        route_place=route.place,
        path=spot.path,
        method=method.decode("ascii"),
        answer=answer,
        status=status,
        reason=reason,
        conditions=conditions,
        change=change,
    )
