"""From a person's wish for an app token to the token: a form that is good once, in the session that asked for it."""

from __future__ import annotations

from typing import Final

import msgspec

from vestibule.core import event as names
from vestibule.core.app_token import Wish
from vestibule.core.event import Event
from vestibule.core.route import Host, RouteTable
from vestibule.errors import ClientError, Invalid
from vestibule.model import AppToken, Secret, Session
from vestibule.service.app_tokens import AppTokens, told_of
from vestibule.service.events import Events
from vestibule.service.linking import bond
from vestibule.service.locker import Locker
from vestibule.service.visit import Visit

FORM_S: Final = 600.0
_KIND: Final = "app token"


class _Form(msgspec.Struct, frozen=True):
    """A form that was shown and not yet sent."""

    user_id: str


class Minting:
    """Forms for app tokens. That the person came back from a provider lately, the caller has checked."""

    def __init__(self, locker: Locker, tokens: AppTokens, table: RouteTable, events: Events) -> None:
        self._locker = locker
        self._events = events
        self.tokens = tokens
        self._table = table

    def use(self, table: RouteTable) -> None:
        """Take the hosts from a new configuration."""
        self._table = table

    def hosts(self, host: Host) -> tuple[str, ...]:
        """Hosts for which tokens are made on this one's account page: itself, or those that sign people in here.

        Only those that take app tokens.
        """
        domain = host.domain
        if domain is not None and domain.auth == host.name:
            found = [one for one in self._table.hosts.values() if one.domain == domain]
        else:
            found = [host]
        return tuple(one.name.decode("ascii") for one in found if one.app_tokens)

    async def begin(self, visit: Visit) -> str:
        """The key of a form, good once and for ten minutes. Raises StoreError."""
        session = _person(visit)
        form = _Form(session.user_id)
        until = visit.now + FORM_S
        return await self._locker.park(_KIND, form, bound=bond(session), until=until)

    async def make(self, visit: Visit, key: str, wish: Wish) -> tuple[AppToken, Secret]:
        """The token, durable. A wish with a fault leaves the form good.

        Raises Invalid, ClientError `token_form_expired`, Conflict, StoreError.
        """
        session = _person(visit)
        faults = self.tokens.faults_of(wish)
        if wish.host not in self.hosts(visit.host):
            faults["host"] = "invalid"
        if faults:
            raise Invalid(tuple(faults.items()))
        form = await self._locker.take(_KIND, key, _Form, bound=bond(session), now=visit.now)
        if form is None or form.user_id != session.user_id:
            raise _expired()
        token, text = await self.tokens.mint(session.user_id, wish, visit.now)
        await self._tell(names.APP_TOKEN_CREATED, token, session, "after")
        return token, text

    async def revoke(self, session: Session, token_id: str) -> None:
        """End a token of the person's own, at once and everywhere. Raises NotFound."""
        gone = next((one for one in await self.tokens.of_user(session.user_id) if one.id == token_id), None)
        await self.tokens.revoke(session.user_id, token_id)
        if gone is not None:
            await self._tell(names.APP_TOKEN_REVOKED, gone, session, "before")

    async def _tell(self, action: str, token: AppToken, session: Session, when: str) -> None:
        """`when`: whether the token was there `before`, or is `after`."""
        await self._events.tell(
            Event(
                id="",
                at=0.0,
                action=action,
                target=f"app token {token.id}",
                user_id=session.user_id,
                session_id=session.id,
                detail={when: told_of(token)},
            )
        )


def _person(visit: Visit) -> Session:
    if visit.session is None or not visit.session.user_id:
        raise _expired()
    return visit.session


def _expired() -> ClientError:
    return ClientError("This form is over. No token was made by it now.", code="token_form_expired")
