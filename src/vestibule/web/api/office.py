"""What the handlers of the API work with, and who asks."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Depends, Request

from vestibule.core import scope
from vestibule.core.seal import KeyRing
from vestibule.model import AdminToken
from vestibule.observe.log import Log
from vestibule.service.admin import AdminTokens, Asker
from vestibule.service.app_tokens import AppTokens
from vestibule.service.people import People
from vestibule.service.registry import Registry
from vestibule.service.steward import Steward
from vestibule.store.base_events import Audit


class Actor(msgspec.Struct, frozen=True):
    """Who asks: `socket`, or `token NAME`."""

    name: str
    token: AdminToken | None = None
    """None: the owner of the socket."""

    @property
    def service(self) -> str:
        """What the sessions it makes say of who made them."""
        return self.name if self.token is None else self.token.name

    @property
    def id(self) -> str:
        """What it is counted by. Threat: a token of the name of somebody else's, by which that one is to wait."""
        return self.name if self.token is None else self.token.id


SOCKET = Actor("socket")


class Office(msgspec.Struct, frozen=True, kw_only=True):
    """The services, the same for all requests."""

    people: People
    registry: Registry
    tokens: AdminTokens
    app_tokens: AppTokens
    audit: Audit
    steward: Steward
    ring: KeyRing
    """Signs cursors."""
    log: Log


class ApiCall(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the API."""

    office: Office
    asker: Asker
    actor: Actor

    @property
    def now(self) -> float:
        """When it came."""
        return self.asker.now

    def note(self, what: str, target: str) -> None:
        """Log one change: who did what to which; ids only, no secret and no address of mail."""
        self.office.log.info(
            "admin_change",
            id=self.asker.request_id,
            who=self.actor.name,
            what=what,
            target=target,
            address=self.asker.address,
        )


async def _call(request: Request) -> ApiCall:
    return ApiCall(office=request.app.state.office, asker=request.state.asker, actor=request.state.actor)


async def check_scope(request: Request) -> None:
    """Nothing, where who asks may do this operation. Raises ScopeMissing.

    The one place where that is looked at, for every operation there is: `api.app` has it run before each.
    """
    actor: Actor = request.state.actor
    if actor.token is not None:
        scope.check(actor.token.scopes, request.scope["route"].operation_id)


At = Annotated[ApiCall, Depends(_call)]
