"""Sessions as other services handle them: made for a person, read, changed, ended, and found by what a client shows.

A session that a service made stands for a person who did not sign in for it. So it is known by what the person's
providers last said (`service.people.People.known`), and looked at anew as that is (`service.recheck`); it holds no
credentials at any provider, and never counts as a fresh sign-in.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from vestibule.core import attributes as values
from vestibule.core import session as rules
from vestibule.core import session_token
from vestibule.core.lifetimes import Span, shortest
from vestibule.core.limit import Limit
from vestibule.core.recent import Recent
from vestibule.core.route import Host, RouteTable, is_inner, shows_admin
from vestibule.core.seal import KeyRing
from vestibule.errors import ClientError, Conflict, Invalid, NotFound, TooManyTries
from vestibule.model import Device, Identity, Secret, Session
from vestibule.protocol import base64url
from vestibule.service.events import because
from vestibule.service.people import People
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.store.base import Page

WRONG_MAX: Final = 600
"""Handles that are none which one service may ask about in a window."""
WINDOW_S: Final = 60.0
WRONG_S: Final = 10.0
"""How long a handle that was none is taken for none unasked."""
_WRONG_KEPT: Final = 10_000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The session that a service wants."""

    user_id: str
    host: str
    """Name of the host that it is to be good for."""
    attributes: Mapping[str, Any] = {}
    life_s: float | None = None
    """None: as long as sessions of that host may last."""
    idle_s: float | None = None
    device: Device = Device()
    made_by: str
    """Name of the service."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; what is unset stays."""

    attributes: Mapping[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    """A JSON Merge Patch (RFC 7396); None: all are removed."""
    expires_at: float | msgspec.UnsetType = msgspec.UNSET


class Steward:
    """What the API of sessions does. Every method may raise StoreError."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        people: People,
        rechecks: Rechecks,
        ring: KeyRing,
        table: Callable[[], RouteTable],
        span: Span,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`table`: the hosts in force. `span`: how long any session may live."""
        self._sessions = sessions
        self._people = people
        self._rechecks = rechecks
        self._ring = ring
        self._table = table
        self._span = span
        self._random = random
        self._wrong: Recent[bytes, float] = Recent(_WRONG_KEPT)
        self._tries = Limit(WRONG_MAX, WINDOW_S)

    # -- made, changed, ended -----------------------------------------------------------------

    async def create(self, wanted: Wanted, now: float) -> tuple[Session, Secret]:
        """The session, and its handle, which is nowhere else; durable.

        Raises Invalid; NotFound for no such user; Conflict `user_disabled`, and `not_vouched` where none of the
        host's providers has vouched for the person in a way that still counts.
        """
        host = self._host(wanted.host)
        attributes = values.checked(wanted.attributes)
        identities = await self._identities(wanted.user_id, host, now)
        span = self._span_at(host, identities)
        session = rules.begun(
            session_id=base64url.encode(self._random(rules.ID_BYTES)),
            host=realm_of(host),
            user_id=wanted.user_id,
            identities=identities,
            clients=(),
            device=wanted.device,
            span=_within(span, wanted),
            now=now,
            check_at=self._rechecks.next_by_word(now),
            made_by=wanted.made_by,
        )
        # Nobody came back from a provider for it: rules on how long ago that was are not to be met by it.
        session = replace(session, attributes=attributes, signed_in_at=0.0)
        handle = Secret(await self._sessions.add(session))
        for surplus in await self._sessions.beyond(wanted.user_id, session.id):
            with because("too_many_sessions"):
                await self._people.end_session(surplus, now)
        return session, handle

    async def get(self, session_id: str) -> Session:
        """The session. Raises NotFound, also for one that has ended."""
        session = await self._sessions.by_id(session_id)
        if session is None:
            raise _gone(session_id)
        return session

    async def list(self, user_id: str) -> tuple[Session, ...]:
        """The live sessions of a user, the newest first."""
        found = await self._sessions.of_user(user_id)
        return tuple(sorted(found, key=place_of, reverse=True))

    async def of_host(self, host: str, page: Page) -> tuple[Session, ...]:
        """One page of the live sessions that are good for this, as `Session.host` has it, the newest first."""
        return await self._sessions.of_host(host, page)

    async def update(
        self, session_id: str, change: Change, *, version: int | None, now: float
    ) -> tuple[Session, Session]:
        """The session as it was when it was changed, and as it is; durable. `version`: that it must have, None: any.

        Raises NotFound; Invalid; ClientError 412 `changed` where somebody was faster.
        """
        before: Session | None = None

        def changed(session: Session) -> Session:
            nonlocal before
            before = session
            if version is not None and session.version != version:
                raise ClientError(
                    "the session was changed meanwhile: read it again", code="changed", status=412
                )
            if change.attributes is not msgspec.UNSET:
                session = replace(session, attributes=values.merged(session.attributes, change.attributes))
            if change.expires_at is not msgspec.UNSET:
                self._check_end(session, change.expires_at, now)
                session = replace(session, expires_at=change.expires_at)
            return session

        after = await self._sessions.update(session_id, changed)
        if before is None or after is None:
            raise _gone(session_id)
        return before, after

    async def end(self, session_id: str, now: float) -> None:
        """End the sign-in it belongs to, everywhere; durable. Raises NotFound.

        What was handed on would be handed on anew, unasked; so what it came from ends, with all that came of it.
        """
        session = await self._sessions.by_id(session_id)
        if session is not None and session.parent_id:
            session = await self._sessions.by_id(session.parent_id)
        if session is None or not await self._people.end_session(session, now):
            raise _gone(session_id)

    async def end_all(self, user_id: str, now: float) -> int:
        """Sign a user out everywhere; how many sessions ended."""
        return await self._people.end_sessions(user_id, now)

    # -- what a client shows ------------------------------------------------------------------

    def token_of(self, session: Session, handle: Secret, now: float) -> Secret:
        """The handle in a signed token that says nothing else, good where the session is."""
        audience = session_token.audience_of(session.host)
        token = session_token.write(
            self._ring, handle.reveal(), domain=audience, now=now, expires_at=session.expires_at
        )
        return Secret(token)

    async def introspect(
        self, shown: Secret, *, asked_by: str, now: float, touch: bool = False
    ) -> Session | None:
        """The live session of this handle, or of the handle in this token; None: it is no one's.

        `touch`: it counts as used now. Its person is looked at anew where that is due. Whether rules let them in
        anywhere, it doesn't say. Raises TooManyTries, ProviderUnavailable.
        Threat: a service by which somebody tries handles. Each has 256 random bits, so it is the store that is spared.
        """
        handle, audience = self._read(shown)
        if not handle:
            return None
        session = self._sessions.peek(handle)
        if session is None:
            session = await self._load(handle, asked_by, now)
        if session is None or (audience and audience != session_token.audience_of(session.host)):
            return None
        if self._rechecks.is_due(session):
            session = await self._rechecks.checked(session)
        if session is not None and touch:
            self._sessions.touch(session, now)
            session = rules.seen(session, now)
        return session

    def _read(self, shown: Secret) -> tuple[str, str]:
        """The handle, empty for what can be none; for whom the token around it is, empty where there is none."""
        text = shown.reveal()
        if rules.is_handle(text):
            return text, ""
        return session_token.read_any(self._ring, text.encode("utf-8", "replace")) or ("", "")

    async def _load(self, handle: str, asked_by: str, now: float) -> Session | None:
        handle_hash = rules.hash_of(handle)
        if self._wrong.get(handle_hash, now) > now:
            return None
        if wait_s := self._tries.wait_s(asked_by, now):
            raise TooManyTries("too many handles were asked about that are none", wait_s=wait_s)
        session = await self._sessions.load(handle)
        if session is None:
            self._tries.add(asked_by, now)
            self._wrong.put(handle_hash, now + WRONG_S)
        return session

    # -- what it may be -----------------------------------------------------------------------

    def _host(self, name: str) -> Host:
        """Raises Invalid. Threat: a service that makes itself an operator's session, by which it may do everything."""
        raw = name.encode("utf-8")
        host = None if is_inner(raw) else self._table().host(raw)
        if host is None or shows_admin(host):
            raise Invalid((("host", "is no host of this gateway"),))
        return host

    async def _identities(self, user_id: str, host: Host, now: float) -> tuple[Identity, ...]:
        user = await self._people.user(user_id)
        if user.disabled:
            raise Conflict("This user is blocked.", code="user_disabled")
        known = await self._people.known(user, now)
        # The provider's session that somebody came by was another's: its end is not this one's.
        believed = tuple(replace(one, sid="") for one in known.identities if one.client in host.believed)
        if not believed:
            raise Conflict(
                "None of the host's providers vouches for this user: they must have signed in by one of them.",
                code="not_vouched",
            )
        return believed

    def _check_end(self, session: Session, expires_at: float, now: float) -> None:
        """Raises Invalid."""
        if expires_at <= now:
            raise Invalid((("expires_at", "is in the future: DELETE ends a session"),))
        latest = max(session.expires_at, self._latest(session))
        if expires_at > latest:
            raise Invalid(
                (("expires_at", f"is at most {latest - session.created_at:.0f} s after created_at"),)
            )

    def _latest(self, session: Session) -> float:
        """How long the configuration lets it live; 0 where its host is there no more."""
        for host in self._table().hosts.values():
            if realm_of(host) == session.host:
                span = self._span_at(host, session.identities)
                life_s, _ = span.life(is_kept=session.is_remembered and span.keeps)
                return session.created_at + life_s
        return 0.0

    def _span_at(self, host: Host, identities: tuple[Identity, ...]) -> Span:
        """How long a session lives there. Threat: one that outlives any sign-in, which the auth host has bounds for."""
        clients = tuple(one.client for one in identities)
        auth = self._table().host(host.domain.auth) if host.domain is not None else None
        return shortest(self._span, *(one.span_by(clients) for one in (host, auth) if one is not None))


def realm_of(host: Host) -> str:
    """What sessions of this host are good for, as `Session.host` has it."""
    return host.realm or host.name.decode("ascii")


def place_of(session: Session) -> tuple[float, str]:
    """Where a session stands in a list."""
    return session.created_at, session.id


def _within(span: Span, wanted: Wanted) -> Span:
    """The span, shorter where that is wanted. Raises Invalid where longer is."""
    absolute_s, idle_s = span.life(is_kept=False)
    faults = []
    if wanted.life_s is not None and wanted.life_s > absolute_s:
        faults.append(("expires_in", f"is at most {absolute_s:.0f} at this host"))
    if wanted.idle_s is not None and wanted.idle_s > idle_s:
        faults.append(("idle_timeout", f"is at most {idle_s:.0f} at this host"))
    if faults:
        raise Invalid(tuple(faults))
    return replace(
        span,
        absolute_s=absolute_s if wanted.life_s is None else wanted.life_s,
        idle_s=idle_s if wanted.idle_s is None else wanted.idle_s,
    )


def _gone(session_id: str) -> NotFound:
    return NotFound(f"There is no session {session_id}.")
