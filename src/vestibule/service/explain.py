"""Who somebody is when it is asked what they may: by their newest session, else by what providers said last."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from vestibule.core.person import called
from vestibule.core.route import Host
from vestibule.errors import Conflict, NotFound
from vestibule.model import Asker, User
from vestibule.service.people import People
from vestibule.service.sessions import Find
from vestibule.store.base import Page

_ID_RE: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_LOOKED_AT: Final = 200
_NAMED: Final = 5


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody about whom it is asked."""

    asker: Asker
    user_id: str = ""
    who: str = ""
    """For people: address, name or id."""
    known_by: str = ""
    """Where what is known of them comes from, in words."""


async def subject_of(
    people: People,
    who: str,
    host: Host,
    address: str,
    now: float,
    *,
    affiliated: Find | None = None,
) -> Subject:
    """The person, as the rules of *host* see them now; nobody for an empty *who*.

    `who`: id, address or login; `affiliated`: what the gateway itself says of a user.
    Raises NotFound, Conflict where several are meant, StoreError.
    """
    if not who:
        return Subject(asker=Asker(address=address), who="nobody", known_by="nobody is signed in")
    user = await _user(people, who)
    shown = called(user) or user.id
    if user.disabled:
        known_by = "blocked: nobody can be signed in as them"
        return Subject(asker=Asker(address=address), user_id=user.id, who=shown, known_by=known_by)
    sessions = await people.sessions_of(user.id)
    realm = host.realm or host.name.decode("ascii")
    session = next((one for one in sessions if one.host == realm), next(iter(sessions), None))
    if session is not None:
        identities, known_by = session.identities, f"their session at {session.host}"
    else:
        identities = (await people.known(user, now)).identities
        known_by = "what providers said of them last: they have no session"
    own = await affiliated(user.id, identities) if affiliated is not None else None
    asker = Asker(identities, user.id, address, None, now, affiliated=own)
    return Subject(asker=asker, user_id=user.id, who=shown, known_by=known_by)


async def _user(people: People, who: str) -> User:
    if _ID_RE.fullmatch(who):
        try:
            return await people.user(who)
        except NotFound:
            pass  # a login may look like an id
    if "@" in who:
        found = await people.users(Page(limit=_LOOKED_AT), email=who)
    else:
        named = await people.users(Page(limit=_LOOKED_AT), text=who)
        found = tuple(user for user in named if user.login.casefold() == who.casefold())
    if not found:
        raise NotFound(f"nobody here is {who}: name an id, an address or a login of a user")
    if len(found) > 1:
        ids = ", ".join(user.id for user in found[:_NAMED])
        raise Conflict(f"{len(found)} users are {who}: say which, of {ids}")
    return found[0]
