"""What a finished flow brought, put into this browser's session.

Ten tabs that sign in at once end in one session. Their callbacks all carry the flow cookies of the others, so
a finishing flow finds the session a sibling has just made, though it came without that session's cookie;
siblings take turns, and within half a minute they are given one and the same handle, whichever answer reaches
the browser last. A sign-in begun after that gets a handle of its own.
What siblings need to know of each other is kept in this process for as long as a flow may last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec

from vestibule.core import signin as rules
from vestibule.core.flow import LIFE_S, Flow
from vestibule.core.lifetimes import UNBOUNDED, Span
from vestibule.core.person import is_same_person, shown
from vestibule.core.registration import Filled
from vestibule.core.session import lived, with_client
from vestibule.errors import ClientError, FlowError
from vestibule.model import Device, Identity, Secret, Session, Tokens, User
from vestibule.providers.base import SignedIn
from vestibule.service.crowd import Crowd
from vestibule.service.events import because
from vestibule.service.grants import Grants
from vestibule.service.people import People
from vestibule.service.sessions import Sessions

T = TypeVar("T")

SAME_HANDLE_S: Final = 30.0
"""For how long siblings are given the handle that one of them was given."""
_MEMORY_MAX: Final = 20_000
#: the steps that bring a person
_PERSONAL: Final = (rules.Enter, rules.Adopt, rules.Renew, rules.Replace, rules.Widen)
WANTED: Final = "wanted"
"""Purpose of a flow: whoever is here is nobody where it leads to (`core.signin.Widen`)."""


def _any_span(_clients: Iterable[str]) -> Span:
    return UNBOUNDED


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A finished flow on its way into a session."""

    client: str
    """Full name."""
    signs_in: bool
    """Whether the client is one of the host's `sign_in`."""
    result: SignedIn
    flow: Flow
    siblings: frozenset[str]
    """Ids of the other flows this very browser has under way."""
    session_id: str
    """The session the callback came with; empty for none."""
    device: Device
    now: float
    check_at: float = 0.0
    """From when on the provider must be asked anew who has come; 0: never."""
    kind: str = ""
    """Of the client: `google`, `oidc`."""
    clients: Mapping[str, tuple[str, ...]] = {}
    """The host's `sign_in`, each with the domains within which it is believed about addresses (empty: all)."""
    form: Filled | None = None
    """What a newcomer filled in."""
    realm: str = ""
    """What its session is good for (`core.route.Host`); empty: the flow's host."""
    span_by: Callable[[Iterable[str]], Span] = _any_span
    """How long a session lives there whose person came by these clients (`core.route.Host.span_by`)."""

    @property
    def good_for(self) -> str:
        """What `Session.host` is to be."""
        return self.realm or self.flow.host


class Done(msgspec.Struct, frozen=True):
    """A flow that ended in this process."""

    session_id: str
    """Empty until it has settled, and for good when the provider refused."""
    rd: str
    at: float
    siblings: frozenset[str] = frozenset()
    """The flows that were under way in that browser then."""


class _Given(msgspec.Struct, frozen=True):
    """A handle that was given out, and the flows that were under way in that browser then."""

    handle: Secret
    siblings: frozenset[str]
    at: float


IsOver = Callable[[Identity, Tokens | None, float], Awaitable[bool]]


async def _never(_identity: Identity, _tokens: Tokens | None, _now: float) -> bool:
    return False


async def _leave(_session: Session, _now: float) -> None:
    """Nothing."""


class Arrivals:
    """Settles finished flows."""

    def __init__(
        self,
        sessions: Sessions,
        grants: Grants,
        people: People,
        *,
        memory_s: float = LIFE_S,
        is_over: IsOver = _never,
        before_end: Callable[[Session, float], Awaitable[object]] = _leave,
    ) -> None:
        """`is_over`: whether the provider has ended its session meanwhile (`service.logout`).

        `before_end`: called for a session that is about to end because its person has too many.
        """
        self._memory_s = memory_s
        self._before_end = before_end
        self._is_over = is_over
        self._sessions = sessions
        self._grants = grants
        self._people = people
        self.crowd = Crowd()
        """Of those who sign in."""
        self._turns = _Turns()
        self._done: dict[str, Done] = {}
        self._given: dict[str, _Given] = {}

    def done(self, flow_id: str) -> Done | None:
        """How this flow ended, if it did in this process within the life of a flow."""
        return self._done.get(flow_id)

    def spend(self, flow: Flow, now: float) -> None:
        """Remember that the flow's one use is over, whatever comes of it."""
        self._done[flow.id] = Done("", flow.rd, now)
        self._forget(now)

    async def settle(self, arrival: Arrival) -> tuple[Session, str] | None:
        """The browser's session and handle, durable; None: a newcomer who must fill in the form first.

        Siblings go one after the other. Raises ClientError (`other_person`, what `People.admit` raises; 403),
        FlowError where the provider has ended its session meanwhile, StoreError.
        """
        async with self._turns.of(arrival.siblings | {arrival.flow.id}):
            with self.crowd.entering() as got_in:  # who waits for a sibling says nothing of how many come
                settled = await self._settle(arrival)
                if settled is not None:
                    got_in()
                return settled

    async def _settle(self, arrival: Arrival) -> tuple[Session, str] | None:
        while True:
            session = await self._session_here(arrival)
            step = rules.next_step(
                session,
                arrival.result.identity,
                signs_in=arrival.signs_in,
                is_wanted=arrival.flow.purpose == WANTED,
            )
            user = None
            if isinstance(step, _PERSONAL) and step.identity is not None:
                user = await self._admit(step.identity, arrival)
                if user is None:
                    return None
            taken = await self._take(step, session, user, arrival)
            if taken is not None:  # None: the session ended in between, so once more without it
                await self._check_lasting(arrival, taken[0])
                self._remember(arrival, *taken)
                await self._end_surplus(taken[0], arrival.now)
                return taken

    async def _check_lasting(self, arrival: Arrival, session: Session) -> None:
        """Raise FlowError where the provider has ended meanwhile what this session would rest on; it is over then."""
        identity, tokens = arrival.result.identity, arrival.result.tokens
        if identity is None or not any(is_same_person(known, identity) for known in session.identities):
            return
        if not await self._is_over(identity, tokens, arrival.now):
            return
        with because("ended_at_provider"):
            await self.end(session.id)
        detail = "the provider has ended its session meanwhile"
        raise FlowError("This sign-in is over. Please start again.", code="flow_expired", detail=detail)

    async def end(self, session_id: str) -> None:
        """End a session everywhere; durable on return."""
        self._given.pop(session_id, None)
        await self._sessions.end(session_id)

    async def _end_surplus(self, session: Session, now: float) -> None:
        """End what the person has too many, the longest unseen first.

        Of two who sign in at once each sees the other's, unless one isn't stored yet: then the next sign-in does it.
        """
        for one in await self._sessions.beyond(session.user_id, session.id):
            await self._before_end(one, now)
            with because("too_many_sessions"):
                await self.end(one.id)

    async def _session_here(self, arrival: Arrival) -> Session | None:
        """This browser's session as it is now: the one a sibling ended in last, else the one it came with.

        Threat: session swap. Somebody's finished flow planted as a cookie is no sibling: its browser didn't
        hold this flow. Where that can't be told, because it ended before this one began, the person must be
        the same.
        """
        done = sorted(
            (self._done[flow_id] for flow_id in arrival.siblings if flow_id in self._done),
            key=lambda known: -known.at,
        )
        for known in done:
            session = await self._here(known.session_id, arrival)
            if session is not None and _is_theirs(session, known, arrival):
                return session
        return await self._here(arrival.session_id, arrival)

    async def _here(self, session_id: str, arrival: Arrival) -> Session | None:
        session = await self._sessions.by_id(session_id) if session_id else None
        return session if session is not None and session.host == arrival.good_for else None

    async def _admit(self, identity: Identity, arrival: Arrival) -> User | None:
        return await self._people.admit(
            identity, arrival.now, kind=arrival.kind, form=arrival.form, clients=arrival.clients
        )

    async def _take(
        self, step: rules.Step, session: Session | None, user: User | None, arrival: Arrival
    ) -> tuple[Session, str] | None:
        """Take the step; None when the session it was to change has ended meanwhile. `user`: who it brings."""
        match step, session, user:
            case rules.Refuse(code, reason), _, _:
                raise ClientError(reason, code=code, status=403)
            case rules.Enter(identity), _, _:
                return await self._enter(identity, user, arrival)
            case rules.Adopt(identity), Session(), User():
                return await self._adopt(session, identity, user, arrival)
            case rules.Renew(identity), Session(), User():
                return await self._renew(session, identity, user, arrival)
            case rules.Replace(identity), Session(), User():
                return await self._replace(session, identity, user, arrival)
            case rules.Widen(identity), Session(), User():
                return await self._widen(session, identity, user, arrival)
            case rules.AddCredentials(), Session(), _:
                return await self._change(session, arrival, lambda current: current)
            case _:
                raise AssertionError(f"{type(step).__name__} without a session")

    async def _enter(
        self, identity: Identity | None, user: User | None, arrival: Arrival
    ) -> tuple[Session, str]:
        if identity is not None and user is not None:
            identity = _come(identity, user, arrival)
        tokens = arrival.result.tokens
        session, handle = await self._sessions.start(
            host=arrival.good_for,
            user_id=user.id if user else "",
            identities=(identity,) if identity else (),
            clients=(arrival.client,) if tokens else (),
            device=arrival.device,
            now=arrival.now,
            check_at=arrival.check_at if identity else 0.0,
            span=arrival.span_by((arrival.client,)),
            is_remembered=arrival.flow.remembers,
        )
        if tokens:
            await self._grants.keep(session, arrival.client, tokens, arrival.now)
        return session, handle

    async def _adopt(
        self, session: Session, identity: Identity, user: User, arrival: Arrival
    ) -> tuple[Session, str] | None:
        identity = _come(identity, user, arrival)
        now, check_at = arrival.now, arrival.check_at
        return await self._change(
            session,
            arrival,
            lambda current: _lived(
                rules.adopted(current, identity, user.id, now=now, check_at=check_at), arrival
            ),
            is_new_person=True,
        )

    async def _renew(
        self, session: Session, identity: Identity, user: User, arrival: Arrival
    ) -> tuple[Session, str] | None:
        if user.id != session.user_id:  # the person the session knew is gone, and was registered anew
            return await self._replace(session, identity, user, arrival)
        identity = _come(identity, user, arrival)
        now, check_at = arrival.now, arrival.check_at
        return await self._change(
            session,
            arrival,
            lambda current: _lived(rules.renewed(current, identity, now=now, check_at=check_at), arrival),
        )

    async def _widen(
        self, session: Session, identity: Identity, user: User, arrival: Arrival
    ) -> tuple[Session, str] | None:
        if user.id != session.user_id:
            return await self._replace(session, identity, user, arrival)
        identity = _come(identity, user, arrival)
        now, check_at = arrival.now, arrival.check_at
        return await self._change(
            session,
            arrival,
            lambda current: _lived(rules.widened(current, identity, now=now, check_at=check_at), arrival),
        )

    async def _replace(
        self, session: Session, identity: Identity, user: User, arrival: Arrival
    ) -> tuple[Session, str]:
        """The new person's session; the old one is over, durably, before anybody hears of the new one."""
        entered = await self._enter(identity, user, arrival)
        with because("another_person"):
            await self.end(session.id)
        return entered

    async def _change(
        self,
        session: Session,
        arrival: Arrival,
        change: Callable[[Session], Session],
        *,
        is_new_person: bool = False,
    ) -> tuple[Session, str] | None:
        """The session with the arrival's credentials, changed, under a new handle; None when it has ended.

        Within half a minute of a sibling's new handle that one serves: of two answers under way it is unknown
        which reaches the browser last. Never for a new person: handles from before a sign-in die with it.
        """
        tokens = arrival.result.tokens
        if tokens:
            await self._grants.keep(session, arrival.client, tokens, arrival.now)

        def changed(current: Session) -> Session:
            current = change(current)
            return with_client(current, arrival.client) if tokens else current

        known = None if is_new_person else self._siblings_handle(session.id, arrival)
        if known is None:
            return await self._sessions.renew(session, changed)
        updated = await self._sessions.update(session.id, changed)
        return None if updated is None else (updated, known.reveal())

    def _siblings_handle(self, session_id: str, arrival: Arrival) -> Secret | None:
        """The handle given out a moment ago while this flow was already under way in the same browser."""
        given = self._given.get(session_id)
        if given is None or arrival.now - given.at >= SAME_HANDLE_S:
            return None
        return given.handle if arrival.flow.id in given.siblings else None

    def _remember(self, arrival: Arrival, session: Session, handle: str) -> None:
        """Keep for siblings and reloads which session the flow ended in, and under which handle."""
        now = arrival.now
        self._done.pop(arrival.flow.id, None)
        self._done[arrival.flow.id] = Done(session.id, arrival.flow.rd, now, arrival.siblings)
        given = self._given.get(session.id)
        if given is None or given.handle != Secret(handle):
            self._given.pop(session.id, None)
            self._given[session.id] = _Given(Secret(handle), arrival.siblings, now)
        self._forget(now)

    def _forget(self, now: float) -> None:
        _forget(self._done, lambda done: now - done.at > self._memory_s)
        _forget(self._given, lambda kept: now - kept.at > SAME_HANDLE_S)


def _come(identity: Identity, user: User, arrival: Arrival) -> Identity:
    """The identity as its person's, with when they signed in: as the provider proved, else now."""
    return msgspec.structs.replace(shown(identity, user), signed_in_at=identity.signed_in_at or arrival.now)


def _lived(session: Session, arrival: Arrival) -> Session:
    """The session within what holds for all that its person came by.

    Threat: a provider whose people stay for hours, and who stay by signing in at another one again and again. What was
    said by who has bounds of their own, and was not asked now, is kept no longer for it.
    """
    others = {known.client for known in session.identities} - {arrival.client}
    span = arrival.span_by({arrival.client, *others})
    may_be_kept = arrival.span_by(others) == arrival.span_by(())
    return lived(session, span, arrival.now, is_remembered=arrival.flow.remembers and may_be_kept)


def _is_theirs(session: Session, sibling: Done, arrival: Arrival) -> bool:
    """True when the sibling's session surely is this browser's, or this person's."""
    identity = arrival.result.identity
    return arrival.flow.id in sibling.siblings or (
        identity is not None and any(is_same_person(known, identity) for known in session.identities)
    )


class _Turns:
    """Lets those that share a name go one after the other."""

    def __init__(self) -> None:
        self._busy: frozenset[str] = frozenset()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def of(self, names: frozenset[str]) -> AsyncIterator[None]:
        """Hold all the names at once."""
        while not self._busy.isdisjoint(names):
            await self._freed.wait()
        self._busy |= names
        try:
            yield
        finally:
            self._busy -= names
            self._freed.set()
            self._freed = asyncio.Event()


def _forget(memory: dict[str, T], is_old: Callable[[T], bool]) -> None:
    """Drop old entries from the front of a dictionary in order of age, and what is beyond its bound."""
    while memory:
        oldest = next(iter(memory))
        if not is_old(memory[oldest]) and len(memory) <= _MEMORY_MAX:
            return
        del memory[oldest]
