"""Linking a further account to the person who is signed in: proven at the provider, confirmed here, then kept.

The callback never links. It parks whom the provider vouched for, bound to the session; only the confirmation, a POST
of the same session, does it, once. An account that belongs to somebody is never moved.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from vestibule.core.flow import Flow
from vestibule.core.route import ACCOUNT_PATH
from vestibule.errors import ClientError
from vestibule.model import Identity, Session
from vestibule.protocol import base64url
from vestibule.service.locker import Locker
from vestibule.service.people import People
from vestibule.service.visit import Visit

PURPOSE: Final = "link"
"""Of a flow."""
CONFIRM_S: Final = 600.0
FRESH_S: Final = 600.0
"""How long after coming back from a provider a person may change how they sign in."""
_KIND: Final = "link"


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """The account that waits for its owner's confirmation."""

    identity: Identity
    user_id: str
    kind: str


class Links:
    """Accounts between the callback and the confirmation."""

    def __init__(self, locker: Locker, people: People) -> None:
        self._locker = locker
        self._people = people

    async def arrived(self, visit: Visit, flow: Flow, identity: Identity | None, kind: str) -> str:
        """Where to go on: to the confirmation, or back to the account page where it is linked already.

        Raises ClientError `link_expired` when the session isn't the one that began it, `account_taken`.
        """
        session = visit.session
        if session is None or identity is None or bond(session) != flow.bound:
            raise _expired()
        owner = await self._people.owner_of(identity)
        if owner is not None:
            if owner.id != session.user_id:
                raise _taken()
            return ACCOUNT_PATH
        found = Proven(identity=identity, user_id=session.user_id, kind=kind)
        until = visit.now + CONFIRM_S
        return f"{ACCOUNT_PATH}/link?key=" + await self._locker.park(
            _KIND, found, bound=bond(session), until=until
        )

    async def found(self, visit: Visit, key: str) -> Proven:
        """What is to be confirmed, in the session that began it. Raises ClientError `link_expired`."""
        if visit.session is None:
            raise _expired()
        found = await self._locker.look(_KIND, key, Proven, bound=bond(visit.session), now=visit.now)
        return _of_this(visit.session, found)

    async def confirm(self, visit: Visit, key: str) -> Proven:
        """Link it, once; durable on return. Raises ClientError `link_expired`, `account_taken`."""
        if visit.session is None:
            raise _expired()
        taken = await self._locker.take(_KIND, key, Proven, bound=bond(visit.session), now=visit.now)
        found = _of_this(visit.session, taken)
        if not await self._people.link(found.user_id, found.identity, visit.now, kind=found.kind):
            raise _taken()
        return found


def bond(session: Session) -> str:
    """What ties a flow to session and person; says nothing of the session's id, which never leaves."""
    digest = hashlib.sha256(f"{session.id}\0{session.user_id}".encode()).digest()
    return base64url.encode(digest[:16])


def is_fresh(session: Session, now: float) -> bool:
    """True while the person came back from a provider less than ten minutes ago."""
    return bool(session.user_id) and now - session.signed_in_at < FRESH_S


def _of_this(session: Session, found: Proven | None) -> Proven:
    if found is None or found.user_id != session.user_id:
        raise _expired()
    return found


def _expired() -> ClientError:
    return ClientError("This linking is over. Please start it again.", code="link_expired")


def _taken() -> ClientError:
    return ClientError("That account belongs to somebody else here.", code="account_taken", status=403)
