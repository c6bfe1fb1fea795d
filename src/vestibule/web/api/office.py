"""What the handlers of the API work with, and who asks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from fastapi import Depends, Request

from vestibule.core import scope
from vestibule.core.change import difference
from vestibule.core.event import Event
from vestibule.core.limit import Limit
from vestibule.core.machine import Machines
from vestibule.core.seal import KeyRing
from vestibule.errors import NotFound, TooManyTries
from vestibule.model import AdminToken
from vestibule.observe.log import Log
from vestibule.observe.metrics import Metrics
from vestibule.observe.rates import Rates
from vestibule.observe.traffic import Traffic
from vestibule.service.admin import AdminTokens, Asker
from vestibule.service.app_tokens import AppTokens
from vestibule.service.custody import Custody
from vestibule.service.directory_tokens import DirectoryTokens
from vestibule.service.events import Events
from vestibule.service.in_force import InForce
from vestibule.service.inventory import Inventory
from vestibule.service.log_levels import LogLevels
from vestibule.service.machine_keys import MachineKeys
from vestibule.service.org_providers import OrgProviders
from vestibule.service.organisations import Organisations
from vestibule.service.overview import Overview
from vestibule.service.people import People
from vestibule.service.provider_states import ProviderStates
from vestibule.service.registry import Registry
from vestibule.service.reload import Reloading
from vestibule.service.steward import Steward
from vestibule.service.trail import Trail
from vestibule.service.webhooks import Webhooks
from vestibule.store.base_events import Audit


class Actor(msgspec.Struct, frozen=True):
    """Who asks: `socket`, or `token NAME`."""

    name: str
    token: AdminToken | None = None
    """None: the owner of the socket."""
    org: str = ""
    """Slug of the organisation that it runs, and sees nothing beyond; empty: an operator."""

    @property
    def service(self) -> str:
        """What the sessions it makes say of who made them."""
        return self.name if self.token is None else self.token.name

    @property
    def id(self) -> str:
        """What it is counted by. Threat: a token of the name of somebody else's, by which that one is to wait."""
        return self.name if self.token is None else self.token.id


SOCKET = Actor("socket")
STREAMS_MAX: Final = 50
STREAMS_OF_ONE: Final = 10
"""How many of them one token, or one person at the admin pages, may have; the owner of the socket all."""


class Streams:
    """How many are told something live, of one kind.

    Threat: hundreds that listen, by a token that may do no more than that: each is work many times a second.
    """

    def __init__(self) -> None:
        self._count = 0
        self._of: Counter[str] = Counter()

    def check(self, actor: Actor) -> None:
        """Raise TooManyTries where no more may come, or no more of this one's."""
        if self._count >= STREAMS_MAX:
            raise TooManyTries(f"{STREAMS_MAX} are told this live already", wait_s=5.0)
        if actor != SOCKET and self._of[actor.id] >= STREAMS_OF_ONE:
            raise TooManyTries(f"you are told this live {STREAMS_OF_ONE} times already", wait_s=5.0)

    @contextmanager
    def one(self, actor: Actor) -> Iterator[bool]:
        """One listens, as long as this lasts; False where others were faster."""
        self._count += 1
        self._of[actor.id] += 1
        try:
            is_within = actor == SOCKET or self._of[actor.id] <= STREAMS_OF_ONE
            yield is_within and self._count <= STREAMS_MAX
        finally:
            self._count -= 1
            self._of[actor.id] -= 1
            if not self._of[actor.id]:
                del self._of[actor.id]


async def nothing_ordered(name: str) -> None:
    """Raise NotFound: no certificate comes by itself."""
    raise NotFound(f"no certificate for {name} is ordered here")


Upgrade: TypeAlias = Callable[[], Awaitable[tuple[str, ...]]]
"""What went wrong; nothing when the other program serves."""


class Office(msgspec.Struct, frozen=True, kw_only=True):
    """The services, the same for all requests."""

    people: People
    registry: Registry
    tokens: AdminTokens
    app_tokens: AppTokens
    machine_keys: MachineKeys
    organisations: Organisations
    org_providers: OrgProviders
    directory_tokens: DirectoryTokens
    machines: Machines
    """Those of the configuration in force."""
    audit: Audit
    trail: Trail
    webhooks: Webhooks
    told: Limit
    """How much services tell of their applications (`service.events.told_limit`)."""
    events: Events
    """Takes what happens: `ApiCall.changed`."""
    steward: Steward
    ring: KeyRing
    """Signs cursors."""
    metrics: Metrics
    traffic: Traffic
    rates: Rates
    levels: LogLevels
    """How much is logged."""
    streams: Streams = msgspec.field(default_factory=Streams)
    """Who watches the traffic."""
    closing: asyncio.Event
    """Set when the program ends: what streams ends, too."""
    log: Log
    inventory: Inventory
    overview: Overview
    provider_states: ProviderStates
    custody: Custody
    """Credentials, masked or told."""
    in_force: InForce
    """The configuration."""
    reloading: Reloading
    upgrade: Upgrade
    """Has another program take the place of this one."""
    renew: Callable[[str], Awaitable[None]] = nothing_ordered
    """Has a name's certificate ordered anew. Raises NotFound, StoreError."""


class ApiCall(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the API."""

    office: Office
    asker: Asker
    actor: Actor

    @property
    def now(self) -> float:
        """When it came."""
        return self.asker.now

    def note(self, action: str, target: str) -> None:
        """Log a change of which an event is told by who makes it (`Events` as witness of sessions): ids only."""
        self.office.log.info(
            "admin_change",
            id=self.asker.request_id,
            who=self.actor.name,
            what=action,
            target=target,
            address=self.asker.address,
        )

    async def changed(
        self,
        action: str,
        *,
        target: str = "",
        user_id: str = "",
        session_id: str = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell of one change that was made: `admin_change` in the log, a row in the trail, a message to webhooks.

        `action`: of `core.event.NAMES`. `before`, `after`: the same members of what was changed; those that differ are
        kept (`core.change`). No secret may be among them. Who acts is known (`service.events.acting`).
        """
        self.note(action, target or session_id or user_id)
        told = {**difference(before, after), **(detail or {})}
        await self.office.events.tell(
            Event(
                id="",
                at=0.0,
                action=action,
                target=target,
                user_id=user_id,
                session_id=session_id,
                detail=told,
            )
        )


async def _call(request: Request) -> ApiCall:
    return ApiCall(office=request.state.office, asker=request.state.asker, actor=request.state.actor)


async def check_scope(request: Request) -> None:
    """Nothing, where who asks may do this operation. Raises ScopeMissing, NotFound.

    The one place where that is looked at, for every operation there is: `api.app` has it run before each.
    """
    actor: Actor = request.state.actor
    if actor.org:
        scope.check_within_org(
            actor.org, request.scope["route"].operation_id, request.path_params.get("slug", "")
        )
    if actor.token is not None:
        scope.check(actor.token.scopes, request.scope["route"].operation_id)


At = Annotated[ApiCall, Depends(_call)]
