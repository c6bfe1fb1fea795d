"""The listeners of one process, by address; a reload adds some, takes some away, and gives all the others new rules.

An address that stays keeps its socket: no connection to it is ever refused, and one that is open goes on. Where one
takes the place of another on the same port (another protocol, a wildcard for an address), what waits to be accepted
waits on.
"""

from __future__ import annotations

import importlib
import resource
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from vestibule.config.compile import Compiled
from vestibule.core.listener import ListenAddress
from vestibule.core.seal import KeyRing
from vestibule.core.tls import Demand
from vestibule.edge.front import Front
from vestibule.edge.pending import Pending, most_within
from vestibule.generation import Generation, Served, ServedGrpc
from vestibule.observe.log import Log
from vestibule.protocol.address import Networks
from vestibule.proxy.binding import Taken
from vestibule.proxy.capacity import Capacity, connections_within
from vestibule.proxy.listener import Listener, Listening, UnderWay
from vestibule.service.shelf import Shelf

SITE: Final = "site"
FRONTED: Final = "fronted"
"""The same, where something stands before the first request: a PROXY header, a TLS handshake."""
OWN: Final = "own"
GRPC: Final = "grpc"
_Key = tuple[str, ListenAddress]
"""What a listener is, and where: another kind at the same address is another listener."""


def addresses_of(compiled: Compiled) -> tuple[ListenAddress, ...]:
    """Where it listens, for others than who looks after it."""
    return (
        *compiled.listeners,
        *compiled.https,
        *compiled.forward_auth,
        *compiled.forward_auth_grpc,
        *(call.listen for call in compiled.calls),
        *compiled.servings.values(),
    )


def admin_addresses_of(compiled: Compiled) -> tuple[ListenAddress, ...]:
    """Where the admin API is asked."""
    return tuple(at for at in (compiled.admin_socket, compiled.admin_port) if at is not None)


class Rules:
    """The configuration by which a front takes connections: of a new one, the one that it is made for."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled

    def demand_of(self, name: bytes) -> Demand | None:
        """What the host of this name asks of who connects to it; None: there is none, or none with TLS."""
        host = self.compiled.table.host(name)
        return None if host is None else host.demand

    def proxies(self) -> Networks:
        """Whose connections must begin with a PROXY header."""
        return self.compiled.proxy_protocol


class Place(msgspec.Struct, frozen=True):
    """One listener, and who answers there from now on."""

    listener: Listening
    served: Served | ServedGrpc
    is_new: bool
    rules: Rules


class Plan(msgspec.Struct, kw_only=True):
    """What a reload makes of the listeners; nothing of it is done yet."""

    places: dict[_Key, Place]
    gone: list[Listening]
    heirs: list[tuple[Listening, Listening]]
    """New ones, each with the one whose socket it goes on with."""
    generation: Generation

    def stop(self) -> None:
        """Accept nothing more at what is new; all that was there goes on."""
        for new, old in self.heirs:
            new.give_back(old)
        for place in self.places.values():
            if place.is_new:
                place.listener.stop()

    def drop(self) -> None:
        """Let go of what was bound for it."""
        for place in self.places.values():
            if place.is_new:
                place.listener.drop()


class Listeners:
    """Open while the process runs."""

    def __init__(
        self, clock: Callable[[], float], capacity: Capacity, shelf: Shelf, ring: KeyRing, log: Log
    ) -> None:
        self._clock = clock
        self._shelf = shelf
        self._ring = ring
        self._log = log
        self._capacity = capacity
        self._places: dict[_Key, Place] = {}
        self.leaving: list[Listening] = []
        """Those that accept nothing more, and have connections open."""
        capacity.everyone = self._counted

    @property
    def all(self) -> list[Listening]:
        """Those that accept."""
        return [place.listener for place in self._places.values()]

    @property
    def asked(self) -> list[Listening]:
        """Those of the admin API."""
        places = self._places.values()
        return [one.listener for one in places if isinstance(one.served, Served) and one.served.is_admin]

    # -- a plan --------------------------------------------------------------------------------

    def plan(self, generation: Generation) -> Plan:
        """Who will listen where; `generation.sites` are known by it. Nothing is bound yet."""
        compiled = generation.compiled
        behind = bool(compiled.proxy_protocol)
        places = {}
        for one in generation.people():
            key = FRONTED if behind or one.at.scheme == "https" else SITE, one.at
            places[key] = self._place(key, one, compiled)
        generation.sites = [
            place.listener for place in places.values() if isinstance(place.listener, Listener)
        ]
        places |= {(OWN, one.at): self._place((OWN, one.at), one, compiled) for one in generation.served()}
        places |= {
            (GRPC, one.at): self._place((GRPC, one.at), one, compiled) for one in generation.asked_by_grpc()
        }
        gone = [place.listener for key, place in self._places.items() if key not in places]
        return Plan(places=places, gone=gone, heirs=[], generation=generation)

    def _place(self, key: _Key, served: Served | ServedGrpc, compiled: Compiled) -> Place:
        known = self._places.get(key)
        if known is not None:
            return Place(known.listener, served, is_new=False, rules=known.rules)
        rules = Rules(compiled)
        return Place(self._made(key[0], served, rules), served, is_new=True, rules=rules)

    def _made(self, kind: str, served: Served | ServedGrpc, rules: Rules) -> Listening:
        if isinstance(served, ServedGrpc):
            transport = importlib.import_module("vestibule.proxy.forward.grpc")
            listener: Listening = transport.GrpcListener(served.at, served.checks, served.site)
            return listener
        return Listener(
            served.at,
            served.handler,
            clock=self._clock,
            slashes=served.slashes,
            greets=served.greets,
            acceptor=self._front(served.at, rules) if kind == FRONTED else None,
            capacity=self._capacity if kind in (SITE, FRONTED) else None,
            log=self._log,
        )

    def _counted(self) -> Iterator[Collection[Any]]:
        """The connections that the capacity counts: nobody else can make room."""
        for listener in (*self.all, *self.leaving):
            if isinstance(listener, Listener) and listener.capacity is self._capacity:
                yield listener.open

    def _front(self, at: ListenAddress, rules: Rules) -> Front:
        """What reads what stands before the first request, as the configuration in force has it then."""
        return Front(
            certificates=self._shelf if at.scheme == "https" else None,
            demand_of=rules.demand_of,
            proxies=rules.proxies,
            log=self._log,
            ring=self._ring,
            pending=Pending(most_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])),
        )

    def bind(self, plan: Plan, sockets: Mapping[ListenAddress, Taken]) -> None:
        """Bind what is new, where nobody has bound it already. Raises ConfigError; then nothing was bound."""
        try:
            for place in plan.places.values():
                if place.is_new:
                    self._bind(place.listener, plan, sockets)
        except BaseException:
            plan.drop()
            raise

    def _bind(self, new: Listening, plan: Plan, sockets: Mapping[ListenAddress, Taken]) -> None:
        in_the_way = [one for one in plan.gone if one.address.clashes(new.address)]
        heir_of = next((one for one in in_the_way if _same_place(one, new)), None)
        if new.address in sockets:
            new.taken = sockets[new.address]
            new.bind()
        elif heir_of is not None:
            plan.heirs.append((new, heir_of))
        else:
            for one in in_the_way:
                one.share_port()
            new.bind(is_shared=bool(in_the_way))

    # -- in force ------------------------------------------------------------------------------

    async def start(self, plan: Plan) -> None:
        """Accept at the new addresses, too. Raises ConfigError; then some of them may, until the plan is stopped."""
        for new, old in plan.heirs:
            new.succeed(old)
        for place in plan.places.values():
            if place.is_new:
                await place.listener.start()

    def use(self, plan: Plan) -> None:
        """Every request from now on is answered by this plan; whatever listens where nobody should stops."""
        compiled = plan.generation.compiled
        for place in plan.places.values():
            _hand(place)
            place.rules.compiled = compiled
        self._places = plan.places
        self._capacity.allow(
            connections=compiled.connections
            or connections_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
            requests=compiled.requests,
            body_bytes_per_s=compiled.body_bytes_per_s,
        )
        for listener in plan.gone:
            listener.stop()
        self.leaving += plan.gone

    def sweep(self, now: float) -> None:
        """End what has waited past its deadline."""
        for listener in (*self.all, *self.leaving):
            listener.sweep(now)
        self.leaving = [one for one in self.leaving if not one.is_empty]

    def under_way(self) -> Iterator[UnderWay]:
        """What is being answered."""
        for listener in (*self.all, *self.leaving):
            yield from listener.under_way()


def _hand(place: Place) -> None:
    """Have it answered there by whom the plan says."""
    listener, served = place.listener, place.served
    if isinstance(served, ServedGrpc):
        listener.use(served.checks, served.site)  # type: ignore[attr-defined]  # its module isn't imported here
    elif isinstance(listener, Listener):
        listener.handler, listener.slashes = served.handler, served.slashes
        listener.greets = served.greets


def _same_place(one: Listening, other: Listening) -> bool:
    """Whether the two want the very same socket, which one has."""
    ours, theirs = one.address, other.address
    return (ours.host, ours.port, ours.path) == (theirs.host, theirs.port, theirs.path)
