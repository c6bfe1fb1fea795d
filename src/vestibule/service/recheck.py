"""Asks providers anew who somebody is: groups, organisations, teams and roles change without the person.

A session whose rules or provider depend on them has a time (`Session.check_at`) from which on it isn't used before that
was done: at the first request after it, once however many wait. Who was removed is out without signing in again. A
restriction that is written or changed later holds for sessions that are there, too. A provider that can't be asked, or
a store that can't be, leaves things as they were for some minutes; then nothing is let through.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol

from msgspec.structs import replace

from vestibule.core.lifetimes import USUAL
from vestibule.core.person import is_same_person
from vestibule.core.route import Host
from vestibule.core.session import owner_of
from vestibule.errors import (
    ClientError,
    CredentialGone,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    StoreError,
)
from vestibule.model import Identity, Secret, Session, Tokens
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.providers.base import Provider, Recheck
from vestibule.providers.kit import Driver
from vestibule.service.events import because
from vestibule.service.flight import Flights
from vestibule.service.grants import REFRESHED, Grants
from vestibule.service.sessions import Sessions
from vestibule.store.base import EVERYTHING, Changes

GRACE_S: Final = 300.0
"""How long a session goes on whose provider can't be asked."""
RETRY_S: Final = 10.0
"""How long a provider that couldn't be asked about a session is left alone about it."""
FRESH_S: Final = 240.0
"""Tokens younger than this need no refresh to ask with; less than what providers take for fresh."""
HARD_S: Final = 20.0
_NO_TOKENS: Final = Tokens(access_token=Secret(""))


class Listener(Protocol):
    """Told of what providers say, for those who come without a session."""

    async def vouch(self, user_id: str, identity: Identity, now: float) -> None:
        """This is what they say of somebody now."""

    async def doubt(self, user_id: str, identity: Identity) -> None:
        """They would not say it again."""

    async def known_now(self, user_id: str, now: float) -> tuple[Identity, ...]:
        """Who somebody is by what they have said; nobody, where there is no such user."""


class Rechecks:
    """Keeps what providers say of people fresh."""

    def __init__(
        self,
        sessions: Sessions,
        grants: Grants,
        changes: Changes,
        driver: Driver,
        log: Log,
        *,
        every_s: float = USUAL.restriction_s,
        grace_s: float = GRACE_S,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._sessions = sessions
        self._grants = grants
        self._driver = driver
        self._log = log.of("sessions")
        self._every_s = every_s
        self._grace_s = grace_s
        self._now = now
        self._providers: dict[str, Recheck] = {}
        self._seen: dict[str, Recheck] = {}
        self._restricted: frozenset[str] = frozenset()
        self._changed_at: dict[str, float] = {}
        self._fresh_hosts: frozenset[str] = frozenset()
        self._flights: Flights[Session | None] = Flights()
        self._retry_at: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        changes.subscribe(REFRESHED, self.refreshed)

    def use(self, providers: Mapping[str, Provider], hosts: Iterable[Host] = ()) -> None:
        """Take providers by full name, and the hosts, from a new configuration."""
        found = {name: p for name, p in providers.items() if isinstance(p, Recheck)}
        now = self._now()
        changed = (name for name, p in found.items() if self._seen.get(name, p) is not p)
        self._changed_at |= dict.fromkeys(changed, now)
        self._seen |= found  # those that are switched off, too: they may come back changed
        self._providers = found
        self._restricted = frozenset(name for name, p in found.items() if p.is_restricted)
        self._fresh_hosts = frozenset(name for host in hosts if _is_fresh(host) for name in _looked_at(host))

    def look_again(self, client: str) -> None:
        """Ask this one about everybody anew, before their sessions are used again."""
        self._changed_at[client] = self._now()

    def tell(self, listener: Listener) -> None:
        """Have `listener` told from now on."""
        self._listener = listener

    def next_at(self, client: str, host: Host, now: float) -> float:
        """When a session that has its person from this client must be checked; 0: never.

        Needed where the provider lets in only some, or a rule of the host looks at what may change.
        """
        provider = self._providers.get(client)
        if provider is None:
            return 0.0
        is_fresh = _is_fresh(host) or not self._fresh_hosts.isdisjoint(_looked_at(host))
        return now + self._every_s if provider.is_restricted or is_fresh else 0.0

    def next_by_word(self, now: float) -> float:
        """When a session must be checked that a service made, which has nothing to ask its provider with."""
        return now + self._every_s

    def is_due(self, session: Session, now: float = 0.0) -> bool:
        """True when the session may not be used before `checked`. `now`: the time, where it has just been looked at."""
        if not session.check_at:
            return bool(self._restricted or self._fresh_hosts) and self._is_owed(session)
        if (now or self._now()) >= session.check_at:
            return True
        return bool(self._changed_at) and self._is_outdated(session)

    def _is_owed(self, session: Session) -> bool:
        """Threat: who came in before there was a restriction, or a rule on groups, and stays in by that."""
        is_fresh = session.host in self._fresh_hosts
        clients = [identity.client for identity in session.identities]
        return any(name in self._restricted or (is_fresh and name in self._providers) for name in clients)

    def _is_outdated(self, session: Session) -> bool:
        """Whether a restriction was changed after the provider was asked last."""
        told_at = session.check_at - self._every_s
        clients = [identity.client for identity in session.identities]
        return any(name in self._restricted and self._changed_at.get(name, 0.0) > told_at for name in clients)

    async def checked(self, session: Session) -> Session | None:
        """The session as it may be used now; None when it has ended, perhaps by this.

        What was handed on is looked at with its parent: who it is, its parent says.
        Raises ProviderUnavailable where the provider could not be asked for too long, StoreError.
        """
        if not self.is_due(session):
            return session
        if self._now() < self._retry_at.get(session.id, 0.0):
            return self._as_it_was(session)
        if session.parent_id:
            parent = await self._sessions.by_id(session.parent_id)
            if parent is None or await self.checked(parent) is None:
                return None
        return await self._flights.share(session.id, partial(self._check, session.id), name="recheck")

    def refreshed(self, session_id: str) -> None:
        """A credential of this session was refreshed just now: look again at the next request.

        Not where that was done to look; nor by more than one process, that which refreshed it.
        """
        if session_id != EVERYTHING and session_id not in self._flights:
            task = asyncio.create_task(self._bring_forward(session_id), name="recheck soon")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _bring_forward(self, session_id: str) -> None:
        now = self._now()
        with contextlib.suppress(StoreError):  # then it is looked at when its time comes
            await self._sessions.update(
                session_id, lambda s: replace(s, check_at=now) if s.check_at > now else s
            )

    async def _check(self, session_id: str) -> Session | None:
        session = await self._sessions.by_id(session_id)
        if session is None or not self.is_due(session):
            return session
        own = [one for one in session.identities if owner_of(session, one.client) == session_id]
        if session.parent_id and not own:
            return session
        if session.app or (session.made_by and not any(one.client in session.clients for one in own)):
            return await self._by_word(session)
        try:
            async with asyncio.timeout(HARD_S):
                found = [await self._asked(session, identity) for identity in own]
        except TimeoutError:
            return await self._failed(session, ProviderUnavailable("the provider did not answer in time"))
        except (ClientError, ProviderRefused) as error:
            await self._end(session, error)
            await self._tell(replace(session, identities=tuple(own)), ())
            return None
        except (ProviderError, StoreError) as error:
            return await self._failed(session, error)
        self._retry_at.pop(session_id, None)
        await self._tell(session, found)
        told = partial(_told, found=found, check_at=self._now() + self._every_s)
        try:
            return await self._sessions.update(session_id, told)
        except StoreError as error:
            if told(session).identities != session.identities:
                raise  # what is known now can't be kept: nobody is let in by what it was before
            return await self._failed(session, error)

    async def _by_word(self, session: Session) -> Session | None:
        """An app's, or what a service made, has no credentials to ask with: what was said of the person counts.

        It ends where nobody vouches for the person any more.
        """
        if self._listener is None:
            raise StoreError("nobody can be asked about yet")
        now = self._now()
        clients = {identity.client for identity in session.identities}
        known = await self._listener.known_now(session.user_id, now)
        found = tuple(_as_came(one, session) for one in known if one.client in clients)
        if not found:
            await self._end(session, ClientError("nobody vouches for them any more", code="not_vouched"))
            return None
        check_at = self.next_by_word(now)
        return await self._sessions.update(
            session.id, lambda current: replace(current, identities=found, check_at=check_at)
        )

    async def _asked(self, session: Session, identity: Identity) -> Identity:
        """The identity as its provider has it now. Raises ClientError, ProviderError."""
        provider = self._providers.get(identity.client)
        if provider is None:
            return identity
        tokens = _NO_TOKENS
        if provider.needs_tokens:
            age_s = min(FRESH_S, self._every_s)
            tokens = await self._grants.fresh_tokens(session, identity.client, max_age_s=age_s)
        flow = provider.recheck(identity, tokens, self._now())
        return await self._driver.run(flow, trusted=provider.is_trusted, about=identity.client)

    async def _tell(self, session: Session, found: Iterable[Identity]) -> None:
        """Have it known who was found; none: that nobody would be. Nobody waits here for the store to come back."""
        if self._listener is None:
            return
        try:
            for identity in found or session.identities:
                if identity.client not in self._providers:  # nobody was asked
                    continue
                if found:
                    await self._listener.vouch(session.user_id, identity, self._now())
                else:
                    await self._listener.doubt(session.user_id, identity)
        except StoreError as error:
            self._log.warning("recheck_untold", session=session.id, detail=error.detail or error.message)

    async def _end(self, session: Session, error: ClientError | ProviderRefused) -> None:
        """The person is out: not let in any more, or nothing can be learned of them without them."""
        code = "credential_gone" if isinstance(error, CredentialGone) else error.code
        detail = error.detail or error.message
        self._log.info("recheck_out", session=session.id, user=session.user_id, code=code, detail=detail)
        with because(code):
            await self._sessions.end(session.id)

    async def _failed(self, session: Session, error: ProviderError | StoreError) -> Session | None:
        """The provider, or the store, couldn't be asked; raises ProviderUnavailable when that lasts too long.

        Threat: who was signed out while a slow provider was waited for, and is let in as they were before. Raises
        StoreError.
        """
        self._log.warning(
            "recheck_failed", session=session.id, code=error.code, detail=error.detail or error.message
        )
        if len(self._retry_at) > 10_000:
            self._retry_at.clear()
        self._retry_at[session.id] = self._now() + RETRY_S
        known = await self._sessions.by_id(session.id)
        return known and self._as_it_was(known)

    def _as_it_was(self, session: Session) -> Session:
        """Threat: who no longer fits a restriction, and sees to it that the provider can't be asked about them."""
        since = session.check_at
        if since and self._is_outdated(session):
            since = min(since, *(self._changed_at.get(one.client, since) for one in session.identities))
        if self._now() < since + self._grace_s:
            return session
        raise ProviderUnavailable("The provider can't be asked whether you may still come in.")


def _looked_at(host: Host) -> tuple[str, ...]:
    """What sessions are good for (`Session.host`) that this host's rules look at: its own, or its auth host's, too."""
    own = host.realm or host.name.decode("ascii")
    return (own, host.domain.auth.decode("ascii")) if host.domain is not None else (own,)


def _is_fresh(host: Host) -> bool:
    """Whether a rule of the host looks at what may change without the person."""
    return any(
        route.policy.is_fresh or (route.tools is not None and route.tools.is_fresh)
        for route in host.routes.values()
    )


def _as_came(identity: Identity, session: Session) -> Identity:
    """What was said of somebody elsewhere, as this session has it.

    Threat: who signed in elsewhere just now, and by that counts as fresh here, where a fresh sign-in is asked for.
    """
    same = (
        old.signed_in_at
        for old in session.identities
        if old.client == identity.client and is_same_person(old, identity)
    )
    return replace(identity, sid="", signed_in_at=max(same, default=0.0), until=0.0)


def _told(session: Session, *, found: list[Identity], check_at: float) -> Session:
    """The session with its identities as they were told, but for those that were replaced meanwhile."""
    identities = tuple(
        next(
            (
                # The name may be one that the person chose; that they are asked about is no sign-in.
                replace(new, name=old.name or new.name, signed_in_at=old.signed_in_at, until=old.until)
                for new in found
                if new.client == old.client and is_same_person(new, old)
            ),
            old,
        )
        for old in session.identities
    )
    return replace(session, identities=identities, check_at=check_at)
