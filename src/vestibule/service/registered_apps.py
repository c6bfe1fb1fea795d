"""Apps that registered themselves (RFC 7591): known to every node, for hosts that want such, and gone when unused.

Anybody may register, so nothing is believed of what they say: an app of theirs has no secret, people are asked each
time it wants in and are shown where the answer goes, and so many are taken of an address, and in all. What is kept is
parked in the store under the app's ID until it is over; nothing needs to be swept by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from vestibule.core import event as names
from vestibule.core.app import REGISTERED, App, Apps, is_registered_id
from vestibule.core.event import Event
from vestibule.core.limit import Limit
from vestibule.core.lockout import Counter, network_of
from vestibule.core.route import Host
from vestibule.errors import TooManyTries
from vestibule.service.events import Events
from vestibule.service.locker import Locker
from vestibule.service.tries import SharedTries
from vestibule.service.visit import Visit

UNUSED_S: Final = 3600.0
"""How long one is kept by which nobody has signed in."""
WINDOW_S: Final = 3600.0
FROM_MAX: Final = 20
"""Registrations of one address in an hour."""
IN_ALL_MAX: Final = 1000
"""And of all, so that no more than twice as many ever wait unused."""
NAMELESS: Final = "?"
"""The name of one that gave none."""
_KIND: Final = "registered app"
_ALL: Final = "all"


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """What an app said of itself, as far as it counts."""

    name: str
    redirects: tuple[str, ...]
    registered_at: float


class RegisteredApps:
    """Those of all hosts of this gateway. Every method may raise StoreError."""

    def __init__(
        self,
        locker: Locker,
        tries: SharedTries,
        *,
        hosts: Callable[[Host], tuple[str, ...]],
        host: Callable[[str], Host | None],
        events: Events,
    ) -> None:
        """`hosts`: those for which tokens are given at a host; `host`: the host of a name, as it is in force."""
        self._locker = locker
        self._tries = tries
        self._hosts = hosts
        self._host = host
        self._events = events
        self._from = Limit(FROM_MAX, WINDOW_S)
        self._in_all = Limit(IN_ALL_MAX, WINDOW_S)

    def open_to(self, here: Host) -> tuple[Host, ...]:
        """The hosts for which apps may register themselves at this one; empty: none may."""
        found = (self._host(name) for name in self._hosts(here))
        return tuple(one for one in found if one is not None and one.registers)

    async def register(self, visit: Visit, said: Registered) -> str:
        """The ID of a new app, which everybody knows at once, and the trail, too; durable. Raises TooManyTries."""
        await self._count(visit)
        until = visit.now + UNUSED_S
        key = await self._locker.park(_KIND, said, bound=_bound(visit.host), until=until)
        client_id = REGISTERED + key
        await self._events.tell(
            Event(
                id="",
                at=0.0,
                action=names.REGISTERED_APP_CREATED,
                target=client_id,
                host=_bound(visit.host),
                detail={"name": said.name, "redirects": list(said.redirects)},
            )
        )
        return client_id

    async def among(self, apps: Apps, client_id: str, here: Host, now: float) -> Apps:
        """These apps, and the one of this ID that registered itself at this host, if it did and still may."""
        if client_id in apps.by_id or not is_registered_id(client_id):
            return apps
        app = await self._find(client_id, here, now)
        return apps if app is None else Apps.of((*apps.by_id.values(), app))

    async def keep(self, app: App, here: Host, now: float) -> None:
        """Somebody signed in by it: it is known as long as that may last; durable."""
        if not app.is_registered:
            return
        key = app.id.removeprefix(REGISTERED)
        said = await self._locker.look(_KIND, key, Registered, bound=_bound(here), now=now)
        if said is not None:
            until = now + UNUSED_S + app.refresh_s
            await self._locker.keep(_KIND, key, said, bound=_bound(here), until=until)

    async def name_of(self, client_id: str, here: Host, now: float) -> str:
        """What the app calls itself that registered at this host; empty for one that isn't known, or gave no name."""
        key = client_id.removeprefix(REGISTERED)
        said = await self._locker.look(_KIND, key, Registered, bound=_bound(here), now=now)
        return said.name if said is not None and said.name != NAMELESS else ""

    async def _find(self, client_id: str, here: Host, now: float) -> App | None:
        hosts = self.open_to(here)
        if not hosts:
            return None
        key = client_id.removeprefix(REGISTERED)
        said = await self._locker.look(_KIND, key, Registered, bound=_bound(here), now=now)
        return None if said is None else app_of(client_id, said, hosts)

    async def _count(self, visit: Visit) -> None:
        """Threat: a store filled by whoever can reach this."""
        network, now = network_of(visit.address), visit.now
        counters = (
            Counter(kind="app registered from", key=network, most=FROM_MAX, window_s=WINDOW_S),
            Counter(kind="app registered", key=_ALL, most=IN_ALL_MAX, window_s=WINDOW_S),
        )
        if wait_s := max(self._from.wait_s(network, now), self._in_all.wait_s(_ALL, now)):
            raise _too_many(wait_s)
        self._from.add(network, now)  # at once: many at a time are many
        self._in_all.add(_ALL, now)
        if wait_s := await self._tries.wait_s(counters, now):
            self._from.take_back(network)
            self._in_all.take_back(_ALL)
            raise _too_many(wait_s)
        await self._tries.failed(counters, now)


def app_of(client_id: str, said: Registered, hosts: tuple[Host, ...]) -> App:
    """The app: public, for these hosts alone, and no more than they let such have."""
    scopes = dict.fromkeys(scope for host in hosts for scope in host.registered_scopes)
    return replace(
        App(id=client_id, name=said.name, redirects=said.redirects, is_registered=True),
        hosts=tuple(host.name.decode("ascii") for host in hosts),
        scopes=tuple(scopes),
    )


def _too_many(wait_s: float) -> TooManyTries:
    return TooManyTries("too many apps were registered of late", wait_s=wait_s)


def _bound(here: Host) -> str:
    return here.name.decode("ascii")
