"""Registration by a form: who has come waits, sealed, until the form is sent; only then is there an account.

Nothing of a newcomer stands among the users before, and nothing is left when they go away: what waits is good for a
quarter of an hour, once, and for the browser that holds its cookie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from vestibule.core.flow import Flow
from vestibule.core.registration import Filled
from vestibule.core.route import Host
from vestibule.errors import ClientError
from vestibule.model import Device, Identity, Session, Tokens
from vestibule.protocol import cookie
from vestibule.providers.base import SignedIn
from vestibule.service.arrival import Arrival, Arrivals
from vestibule.service.leaving import Leaving
from vestibule.service.locker import Locker
from vestibule.service.visit import Visit

REGISTER_S: Final = 900.0
"""How long a newcomer may take to fill in the form."""
_KIND: Final = "registration"


class Newcomer(msgspec.Struct, frozen=True, kw_only=True):
    """Who waits for their account, and what they brought."""

    identity: Identity
    tokens: Tokens | None
    flow: Flow
    kind: str
    """Of the client: `google`, `oidc`."""
    came_at: float


class Registrations:
    """Newcomers between the callback and the form."""

    def __init__(
        self,
        locker: Locker,
        arrivals: Arrivals,
        leaving: Leaving,
        *,
        check_at: Callable[[str, Host, float], float],
        clients: Callable[[Host], Mapping[str, tuple[str, ...]]],
    ) -> None:
        """`check_at`: from when on a session by this client on this host must be checked (`service.recheck`).

        `clients`: a host's own, with the domains within which they are believed about addresses.
        """
        self._clients = clients
        self._locker = locker
        self._arrivals = arrivals
        self._leaving = leaving
        self._check_at = check_at

    async def wait(self, visit: Visit, arrival: Arrival) -> tuple[str, ...]:
        """Let them wait; the Set-Cookie values by which this browser is known again. Durable."""
        identity = arrival.result.identity
        assert identity is not None, "credentials alone are no newcomer"
        newcomer = Newcomer(
            identity=identity,
            tokens=arrival.result.tokens,
            flow=arrival.flow,
            kind=arrival.kind,
            came_at=visit.now,
        )
        key = await self._locker.park(_KIND, newcomer, bound=_host(visit), until=visit.now + REGISTER_S)
        site = visit.site
        return (cookie.build(_cookie(visit), key, secure=site.secure, max_age_s=int(REGISTER_S)),)

    async def newcomer(self, visit: Visit) -> Newcomer:
        """Who waits in this browser. Raises ClientError `registration_expired` when nobody does."""
        found = await self._locker.look(
            _KIND, visit.cookies.get(_cookie(visit), ""), Newcomer, bound=_host(visit), now=visit.now
        )
        return self._still_welcome(visit, found)

    async def complete(self, visit: Visit, form: Filled) -> tuple[Session, str, Newcomer]:
        """The session of the new user and its handle; once. The account is made in the same step.

        Raises ClientError `registration_expired`, and what `People.admit` raises: rules may have changed since.
        """
        newcomer = self._still_welcome(visit, await self._take(visit))
        client = newcomer.flow.client
        arrival = Arrival(
            client=client,
            signs_in=True,
            kind=newcomer.kind,
            clients=self._clients(visit.host),
            result=SignedIn(identity=newcomer.identity, tokens=newcomer.tokens),
            flow=newcomer.flow,
            siblings=frozenset(),
            session_id=visit.session.id if visit.session else "",
            device=Device(user_agent=visit.user_agent, address=visit.address),
            now=visit.now,
            check_at=self._check_at(client, visit.host, visit.now),
            form=form,
            realm=visit.host.realm,
            span_by=visit.host.span_by,
        )
        try:
            settled = await self._arrivals.settle(arrival)
        except ClientError:
            self._give_back(newcomer, visit.now)
            raise
        assert settled is not None, "the form has been sent"
        return (*settled, newcomer)

    async def cancel(self, visit: Visit) -> None:
        """Forget who waits; their tokens are revoked where the provider can."""
        newcomer = await self._take(visit)
        if newcomer is not None:
            self._give_back(newcomer, visit.now)

    def forgotten(self, visit: Visit) -> tuple[str, ...]:
        """The Set-Cookie values that end the browser's part."""
        return (cookie.clear(_cookie(visit), secure=visit.site.secure),)

    async def _take(self, visit: Visit) -> Newcomer | None:
        return await self._locker.take(
            _KIND, visit.cookies.get(_cookie(visit), ""), Newcomer, bound=_host(visit), now=visit.now
        )

    def _still_welcome(self, visit: Visit, newcomer: Newcomer | None) -> Newcomer:
        """The newcomer, while the host signs people in with that client."""
        if newcomer is None or newcomer.flow.client not in visit.host.sign_in:
            raise ClientError("This registration is over. Please sign in again.", code="registration_expired")
        return newcomer

    def _give_back(self, newcomer: Newcomer, now: float) -> None:
        self._leaving.revoke({newcomer.flow.client: newcomer.tokens}, now)


def is_waiting(visit: Visit) -> bool:
    """True where this browser says that a newcomer waits on this host; whether one does, `newcomer` knows."""
    return _cookie(visit) in visit.cookies


def _cookie(visit: Visit) -> str:
    return f"{visit.site.prefix}-register"


def _host(visit: Visit) -> str:
    return visit.host.name.decode("ascii")
