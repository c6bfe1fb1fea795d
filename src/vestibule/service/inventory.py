"""What is in force, as the admin API shows it: hosts, calling interfaces, who asks for edges, providers, certificates.

All of it is made when somebody asks, of the tables that requests go by: what is shown is what is so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

from vestibule import admin_model as model
from vestibule.config.compile import Compiled
from vestibule.core.call import Applied, Call, SecretCredential, SessionCredential
from vestibule.core.policy import Policy
from vestibule.core.route import Backend, Host, Route, RouteTable, is_serving
from vestibule.errors import StoreError
from vestibule.observe import clock
from vestibule.observe.rates import Rates
from vestibule.observe.traffic import Kind
from vestibule.service.acme_states import NameState
from vestibule.service.certificate_keeper import CertificateKeeper
from vestibule.service.certificates import NOTHING, Sought, certificates_of
from vestibule.service.figures import counts_of
from vestibule.service.offer import Offer

_Contract: TypeAlias = Literal["validate", "forward", "ext_authz", "grpc", "compat"]
_CONTRACTS: Final[Mapping[str, _Contract]] = {
    "validate": "validate",
    "forward": "forward",
    "ext_authz": "ext_authz",
    "grpc": "grpc",
}
"""By what records call them; all others are other products'."""


class Inventory:
    """What one program has."""

    def __init__(
        self,
        compiled: Compiled,
        rates: Rates,
        *,
        offer: Callable[[], Offer],
        base_urls: Callable[[Host], tuple[str, ...]],
        keeper: CertificateKeeper | None = None,
        orders: Callable[[], Awaitable[tuple[NameState, ...]]] | None = None,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`offer`: hosts and providers in force; `base_urls`: under which URLs people reach a host.

        `keeper`: of certificates that browsers are shown; `orders`: how it is with those that are ordered.
        """
        self._keeper = keeper
        self._orders = orders
        self._compiled = compiled
        self._rates = rates
        self._offer = offer
        self._base_urls = base_urls
        self._now = now

    def hosts(self) -> tuple[model.HostState, ...]:
        """All hosts, and after them the servings, with their routes."""
        table = self._offer().table
        return tuple(
            self._host(host) for host in sorted(table.hosts.values(), key=lambda host: is_serving(host.name))
        )

    def calls(self) -> tuple[model.CallState, ...]:
        """All calling interfaces."""
        return tuple(self._call(call) for call in self._compiled.calls)

    def edges(self) -> tuple[model.EdgeState, ...]:
        """Whoever has asked since the start, by address and contract."""
        found = []
        now = self._now()
        for name in self._rates.names(Kind.EDGE):
            word, _, address = name.partition(" ")
            contract = _CONTRACTS.get(word, "compat")
            counts = counts_of(self._rates, Kind.EDGE, name, now)
            found.append(model.EdgeState(address=address, contract=contract, counts=counts))
        return tuple(found)

    def certificates(self) -> tuple[model.CertificateState, ...]:
        """Those that are trusted or shown by this program."""
        return self._certificates(NOTHING)

    async def certificates_sought(self) -> tuple[model.CertificateState, ...]:
        """The same, with those that have to be had: names without one, and what is wrong with getting the next."""
        if self._keeper is None:
            return await asyncio.to_thread(self._certificates, NOTHING)
        try:
            orders = () if self._orders is None else await self._orders()
        except StoreError:
            orders = ()  # names are told of all the same
        sought = Sought(
            wanted=self._keeper.wanted, troubles=self._keeper.troubles, orders=orders, now=self._now()
        )
        return await asyncio.to_thread(self._certificates, sought)

    def _certificates(self, sought: Sought) -> tuple[model.CertificateState, ...]:
        shelf = () if self._keeper is None else self._keeper.shelf
        return certificates_of(self._compiled, shelf, sought)

    def _host(self, host: Host) -> model.HostState:
        name = host.name.decode("ascii")
        kind, counted = (Kind.SERVING, name.partition(":")[2]) if is_serving(host.name) else (Kind.HOST, name)
        return model.HostState(
            name=name,
            label=host.title,
            place=host.place,
            sign_in=host.sign_in,
            urls=(host.base_url,) if is_serving(host.name) else self._base_urls(host),
            backend=backend_words(host.routes[b""].backend),
            routes=tuple(_route(route) for _, route in sorted(host.routes.items())),
            counts=counts_of(self._rates, kind, counted, self._now()),
        )

    def _call(self, call: Call) -> model.CallState:
        return model.CallState(
            id=call.id,
            name=call.title,
            place=call.place,
            listen=str(call.listen),
            endpoint=str(call.endpoint),
            hosts=tuple(sorted(call.hosts)),
            credentials=tuple(map(_applied, call.applied)),
            operations=tuple(
                model.OperationState(
                    id=one.id,
                    method=one.method.decode("ascii"),
                    path=path_words(one.segments, rest=one.rest),
                )
                for one in call.operations
            ),
            only_operations=call.only_operations,
            counts=counts_of(self._rates, Kind.CALL, call.id, self._now()),
        )


def backend_words(backend: Backend) -> str:
    """Where a route leads, in the words of the configuration; empty: nowhere, an edge sends requests on."""
    if backend.static_dir:
        return f"static:{backend.static_dir}"
    if backend.internal:
        return f"internal:{backend.internal}"
    if backend.serving:
        return f"serving:{backend.serving}"
    return ", ".join(map(str, backend.servers))


def path_words(segments: Iterable[bytes], *, rest: bool) -> str:
    """The path of an operation as it is written; `{…}` is any one segment."""
    path = "".join(f"/{segment.decode('utf-8', 'replace') or '{…}'}" for segment in segments) or "/"
    return f"{path.rstrip('/')}/**" if rest else path


def hosts_of(table: RouteTable, client: str) -> tuple[str, ...]:
    """Names of the hosts where people sign in by this client (full name), or get credentials of it."""
    found = (host for host in table.hosts.values() if not is_serving(host.name))
    return tuple(host.name.decode("ascii") for host in found if client in host.clients.values())


def _route(route: Route) -> model.RouteState:
    policy = route.policy
    return model.RouteState(
        prefix=route.prefix.decode("utf-8", "replace") + "/",
        methods=tuple(sorted(method.decode("ascii") for method in policy.methods)),
        backend=backend_words(route.backend),
        allow=_allowed(policy),
        deny=tuple(rule.text for rule in policy.deny),
        place=route.place,
    )


def _allowed(policy: Policy) -> tuple[str, ...]:
    """The rules of `allow`; before what must hold besides stands `and`."""
    either = tuple(rule.text for rule in policy.allow or ())
    every = [rule.text for rule in policy.all]
    if policy.max_age_s:
        every.append(f"signed in at most {policy.max_age_s:g} s ago")
    return (*either, *(f"and {text}" for text in every))


def _applied(one: Applied) -> str:
    credential = one.credential
    match credential:
        case SessionCredential():
            words = f"session:{credential.client}"
        case SecretCredential():
            words = f"secret:{credential.name}"
        case _:
            words = credential.source
    where = one.name if one.location.value == "header" else f"?{one.name}"
    return f"{words} in {where}"
