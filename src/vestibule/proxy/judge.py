"""Steps 1 to 4 of every request: who is the client, which route, who asks, and the decision.

The gateway acts on what is judged by relaying it; forward auth (`proxy.forward`) by answering the edge that asked.
There is one judge, so that both decide alike. Nothing here fails open: an exception is a refusal, a store that
can't be reached is `Unavailable`, and neither touches a cookie.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from vestibule.core import access
from vestibule.core.credential import SESSION_INVALID
from vestibule.core.passage import is_preflight
from vestibule.core.policy import Policy, asker_of, decide, decide_on
from vestibule.core.route import Host, Route, RouteTable, has_one_meaning, is_own
from vestibule.core.seal import KeyRing
from vestibule.errors import BadRequest, CredentialRefused, ProviderUnavailable, StoreError
from vestibule.model import Allow, Caller, Decision, Deny, Session, Unavailable
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.protocol import cookie
from vestibule.protocol.address import Networks
from vestibule.protocol.headers import value_of
from vestibule.proxy.accessing import REFUSED, Shown, takes_none
from vestibule.proxy.case import Callers, Case, decided_by_rules, decided_for
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.lasting import Lasting
from vestibule.proxy.probing import OPEN, THROUGH, Probing
from vestibule.proxy.secured import check_connection, names_on, shown_by
from vestibule.proxy.still import Still
from vestibule.proxy.task import Tasks
from vestibule.proxy.view import NO_COOKIE, Kept, NotYetKnown, Told, View, Views
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions

WHOLE_S = 10.0
"""How long a request waits at the start for the providers of the database."""
_NO_SESSION = "this is no session's, or it has ended"
_TOKEN_REQUIRED = Deny(401, "token_required", "this address takes a token only")


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request before the decision."""

    view: View
    route: Route
    taken: cookie.Taken
    told: Told
    kept: Kept | None
    bears: bool = False
    """The session came by Authorization, which doesn't go on: its handle, which stands in `taken`, too, or `access`."""
    access: Shown | None = None
    """The access token that it came by."""


class Judged(msgspec.Struct, frozen=True, gc=False):
    """A request with who asks and what was decided."""

    ask: Ask
    session: Session | None
    caller: Caller | None
    decision: Decision | None
    """None: the path is the gateway's own, where anybody may ask."""
    is_preflight: bool = False
    """What a browser asks before a request of another site's page, let through unasked: nobody's credentials go on."""
    now: float = 0.0
    """When that was, where it was looked at; else 0."""
    is_probe: bool = False
    """It is the doctor's, let through this once."""
    besides: tuple[Policy, ...] = ()
    """The route's own and of all tools that are called, which hold, too, where what is said of one decided."""

    @property
    def scopes(self) -> frozenset[str] | None:
        """Of the access token by which the session came; None: there is none."""
        return _scopes(self.ask, self.session)


C = TypeVar("C", bound=Case)


class Judge:
    """Judges by one route table, which may be replaced."""

    def __init__(
        self,
        *,
        table: RouteTable,
        sessions: Sessions,
        rechecks: Rechecks,
        callers: Callers,
        lasting: Lasting,
        trusted: Networks,
        ring: KeyRing,
        log: Log,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._sessions = sessions
        self._rechecks = rechecks
        self._callers = callers
        self._lasting = lasting
        self._still = Still(sessions, callers, ring, now=now)
        lasting.allows = self._still.allows
        lasting.allows_credential = self._still.allows_credential
        self.trusted = trusted
        """The peers that are believed about who stands behind them."""
        self._ring = ring
        self.probing = Probing(ring, now)
        self._log = log.of("proxy")
        self._now = now
        self._tasks = Tasks()
        self._whole = asyncio.Event()
        self.use(table)

    def use(self, table: RouteTable) -> None:
        """Judge by this table from now on; what lasts of those it lets in no more is broken off."""
        self._table = table
        self._views = Views(table, self.trusted, self._ring)
        self._still.use(table, self._views)
        if table.is_whole:
            self._whole.set()
        self._lasting.look()

    def judge(
        self, case: C, then: Callable[[C, Judged], None], failed: Callable[[C, Exception], None]
    ) -> None:
        """Judge the case, now or later: exactly one of `then` and `failed` is called, unless it is over before."""
        try:
            self._route(case, then, failed)
        except NotYetKnown:
            self._tasks.spawn(
                self._route_later(case, then, failed), "wait for providers", partial(failed, case)
            )
        except Exception as error:  # noqa: BLE001 - the boundary: an unforeseen fault must not let anyone through
            failed(case, error)

    def holds(self, judged: Judged, now: float) -> bool:
        """True while a case with the same head, by the same client, would be judged the same again.

        The session is looked at as for any request, and counts as seen. A credential of a caller's own is asked about
        each time. Does NOT look at how old a sign-in may be: where that counts, nothing holds.
        """
        host, handle = judged.ask.view.host, judged.ask.taken.value
        if judged.caller is not None or judged.is_probe or self._table.host(host.name) is not host:
            return False
        if handle is None:
            return judged.session is None
        session = self._sessions.peek(handle.decode("latin-1"), now)
        if session is None or session is not judged.session or self._rechecks.is_due(session, now):
            return False
        self._sessions.touch(session, now)
        return True

    async def _route_later(
        self, case: C, then: Callable[[C, Judged], None], failed: Callable[[C, Exception], None]
    ) -> None:
        """Route it once it is known who may sign people in at its host."""
        try:
            async with asyncio.timeout(WHOLE_S):
                await self._whole.wait()
        except TimeoutError:
            raise StoreError("the identity providers can't be read") from None
        if not case.is_over:
            self._route(case, then, failed)

    def _route(
        self, case: C, then: Callable[[C, Judged], None], failed: Callable[[C, Exception], None]
    ) -> None:
        head = case.head
        # 1. Which host, and who is the client.
        view = self._views.of(head.host, case.listener)
        case.host = host = view.host
        case.site = view.site
        kept = view.kept(head, case.peer)
        told = view.told(case.peer, head) if kept is None else kept.told
        case.address = told.address
        if host.demand is not None or case.tls is not None:
            check_connection(case, host, is_trusted=told.is_trusted, now=self._now())
        # 2. Which route.
        target = head.target
        route = host.route(target.path)
        case.route = route.prefix
        if target.plain is not target.path and not has_one_meaning(host, target):
            raise BadRequest("the address can be read in two ways", code="bad_target")
        if head.upgrade and head.upgrade != b"websocket":
            head.upgrade = b""  # nothing else is upgraded; RFC 9110 section 7.8 lets a server go on without
        # 3. Who asks: by a credential of their own that this host takes, else by the session of the cookie.
        taken = view.taken(head) if kept is None else kept.taken
        ask = Ask(view, route, taken, told, kept)
        if route.preflight is not None and is_preflight(head) and not is_own(target.path, host):
            self._let_preflight(case, ask, route.preflight, then)
            return
        if head.authorization:
            authorization = value_of(head.authorization)
            if token := access.shown_in(authorization):
                self._by_access(case, ask, token, then, failed)
                return
            if host.session_bearer and view.is_bearer(authorization):
                ask = _bearing(ask, authorization)
                taken = ask.taken
            elif (
                host.takes_callers
                and not is_own(target.path, host)
                and self._callers.takes(host, authorization)
            ):
                self._call(case, ask, authorization, then, failed)
                return
        if taken.value is None:
            self._decide(case, ask, None, then, math.inf)
            return
        handle, now = taken.value.decode("latin-1"), self._now()
        session = self._sessions.peek(handle, now)
        if session is not None and not self._rechecks.is_due(session, now):
            self._decide(case, ask, session, then, now)
        else:
            self._tasks.spawn(self._load(case, ask, handle, then), "load session", partial(failed, case))

    def _by_access(
        self,
        case: C,
        ask: Ask,
        token: bytes,
        then: Callable[[C, Judged], None],
        failed: Callable[[C, Exception], None],
    ) -> None:
        """By an access token of an app or a machine, or what looks like one, which never goes on to a backend.

        A refused one is never followed by a look at the cookie. Raises CredentialRefused.
        """
        head, view = case.head, ask.view
        taken = ask.taken if ask.taken.value is None else ask.taken._replace(value=None)
        is_ours = is_own(head.target.path, view.host)
        if is_ours and takes_none(head):
            self._decide(case, replace(ask, taken=taken), None, then, math.inf)
            return
        now = self._now()
        shown = view.shown(token, now)
        if is_ours and takes_none(head, shown.access):
            self._decide(case, replace(ask, taken=taken), None, then, math.inf)
            return
        ask = Ask(view, ask.route, taken, ask.told, ask.kept, bears=True, access=shown)
        if shown.caller is not None:
            self._by_machine(case, ask, shown.caller, then, failed)
            return
        session = self._sessions.peek_id(shown.access.session_id)
        if session is not None and not self._rechecks.is_due(session, now):
            self._decide(case, ask, session, then, now)
        else:
            self._tasks.spawn(self._load(case, ask, "", then), "load session", partial(failed, case))

    def _by_machine(
        self,
        case: C,
        ask: Ask,
        caller: Caller,
        then: Callable[[C, Judged], None],
        failed: Callable[[C, Exception], None],
    ) -> None:
        """By a machine's: on the gateway's own paths it is nobody, and what it is good by must live still."""
        names = ask.access.access.rests_on if ask.access is not None else ()
        if is_own(case.head.target.path, ask.view.host):
            self._decide(case, replace(ask, bears=False, access=None), None, then, math.inf)
        elif all(self._callers.peek_key(name) for name in names):
            self._decide_for(case, ask, caller, then)
        else:
            self._tasks.spawn(
                self._load_keys(case, ask, caller, names, then), "load key", partial(failed, case)
            )

    async def _load_keys(
        self, case: C, ask: Ask, caller: Caller, names: tuple[str, ...], then: Callable[[C, Judged], None]
    ) -> None:
        """Threat: what was given for a key that was revoked since, or was revoked itself. Raises CredentialRefused."""
        try:
            is_live = True
            for name in names:
                is_live = is_live and await self._callers.load_key(name, self._now())
        except StoreError as error:
            then(case, Judged(ask, None, None, self._unavailable(error)))
            return
        if not is_live:
            raise CredentialRefused(REFUSED)
        self._decide_for(case, ask, caller, then)

    # -- once more -----------------------------------------------------------------------------

    def judge_within(
        self,
        case: C,
        outer: Judged,
        serving: str,
        then: Callable[[C, Judged], None],
        failed: Callable[[C, Exception], None],
    ) -> None:
        """Judge by the rules of a serving what the host that leads to it let through.

        Who asks is whoever shows a credential that the serving takes, else who asked at the host.
        """
        view = self._views.within(outer.ask.view, serving, case.listener)
        host, head = view.host, case.head
        bears = outer.ask.bears
        route, access_ = host.route(head.target.path), outer.ask.access
        ask = Ask(view, route, outer.ask.taken, outer.ask.told, None, bears=bears, access=access_)
        if host.takes_callers and outer.caller is None and head.authorization and not bears:
            authorization = value_of(head.authorization)
            if self._callers.takes(host, authorization):
                self._call(case, ask, authorization, then, failed)
                return
        decision: Decision
        if outer.caller is not None:
            # Where it is good for, the host has looked.
            decision = decided_by_rules(outer.caller, ask.route, case, self._now())
        elif ask.route.needs_caller:
            decision = _TOKEN_REQUIRED
        else:
            policy = ask.route.policy
            now, scopes = self._now(), outer.scopes
            asker = asker_of(outer.session, policy, case.address, now, names_on(case), scopes=scopes)
            decision = decide(policy, head.method, asker)
        if not isinstance(decision, Allow):
            case.host = host
        then(case, Judged(ask, outer.session, outer.caller, decision, is_preflight=outer.is_preflight))

    # -- 3. who asks ---------------------------------------------------------------------------

    async def _load(self, case: C, ask: Ask, handle: str, then: Callable[[C, Judged], None]) -> None:
        """The session, where the cache can't answer, or the provider must be asked first."""
        try:
            known = await self._known(ask, handle)
            session = known and await self._checked(case, ask, known)
        except (StoreError, ProviderUnavailable) as error:
            then(case, Judged(ask, None, None, self._unavailable(error)))
        else:
            if not case.is_over:
                self._decide(case, ask, session, then, self._now())

    async def _known(self, ask: Ask, handle: str) -> Session | None:
        """The session by the access token, else by its handle. Raises StoreError."""
        if ask.access is None:
            return self._sessions.peek(handle) or await self._sessions.load(handle)
        session_id = ask.access.access.session_id
        return self._sessions.peek_id(session_id) or await self._sessions.load_id(session_id)

    async def _checked(self, case: Case, ask: Ask, session: Session) -> Session | None:
        """The session as its provider has it now.

        Raises ProviderUnavailable, but not on our own paths: who can't be asked about may still sign out.
        """
        try:
            return await self._rechecks.checked(session)
        except ProviderUnavailable:
            if not is_own(case.head.target.path, ask.view.host):
                raise
            return session

    def _call(
        self,
        case: C,
        ask: Ask,
        authorization: bytes,
        then: Callable[[C, Judged], None],
        failed: Callable[[C, Exception], None],
    ) -> None:
        """Whose credential it is. A refused one is never followed by a look at the cookie."""
        caller = self._callers.peek(ask.view.host, authorization)
        if caller is not None:
            self._decide_for(case, ask, caller, then)
        else:
            self._tasks.spawn(
                self._load_caller(case, ask, authorization, then), "load caller", partial(failed, case)
            )

    async def _load_caller(
        self, case: C, ask: Ask, authorization: bytes, then: Callable[[C, Judged], None]
    ) -> None:
        try:
            caller = await self._callers.load(ask.view.host, authorization, case.address, self._now())
        except (StoreError, ProviderUnavailable) as error:
            then(case, Judged(ask, None, None, self._unavailable(error)))
        else:
            self._decide_for(case, ask, caller, then)

    def _unavailable(self, error: StoreError | ProviderUnavailable) -> Unavailable:
        """The decision while it can't be asked who somebody is."""
        if isinstance(error, ProviderUnavailable):
            return Unavailable(error.message, code=error.code)
        self._log.error("store_unavailable", detail=error.detail or error.message)
        return Unavailable("the store can't be reached")

    # -- 4. decide -----------------------------------------------------------------------------

    def _decide(
        self, case: C, ask: Ask, session: Session | None, then: Callable[[C, Judged], None], now: float
    ) -> None:
        """For a session as it is at `now`, or nobody."""
        head = case.head
        if session is not None:
            # A handle is good in its own realm only; and an app's session is good by its tokens alone.
            is_other = session.host != ask.view.realm or session.app or ask.access is not None
            if is_other and not _is_by_access(ask, session):
                session = None
            else:
                case.session_id, case.asker = session.id, session
                case.on_last = self._lasting.add
                self._sessions.touch(session, now)
        if session is None:
            case.on_last = self._lasting.add_by_nobody
        if session is None and ask.bears:
            raise _no_session(ask)
        path, host = head.target.path, ask.view.host
        if (path[:2] == b"/@" or host.callbacks or host.own_paths or host.compat) and is_own(path, host):
            then(case, Judged(ask, session, None, None))
            return
        if ask.route.needs_caller:
            then(case, Judged(ask, None, None, _TOKEN_REQUIRED))
            return
        policy = ask.route.policy
        shown = case.tls.client if case.tls is not None else None
        if shown is None and ask.access is None:
            decision = decide_on(policy, head.method, session, case.address, now)
        else:
            scopes = _scopes(ask, session)
            asker = asker_of(session, policy, case.address, now, names_on(case), scopes=scopes)
            decision = decide(policy, head.method, asker)
            if shown is not None:
                case.asker = session or shown_by(shown)
        if path == THROUGH and self._is_probe(case, session, decision, host):
            # Only an edge that asks lets it through: of what goes by here, the gateway knows what it sends on.
            decision = decide_on(OPEN, head.method, None, case.address, now)
            then(case, Judged(ask, None, None, decision, is_probe=True))
            return
        then(case, Judged(ask, session, None, decision, now=now if session is not None else 0.0))

    def _is_probe(self, case: C, session: Session | None, decision: Decision, host: Host) -> bool:
        return (
            session is None
            and not isinstance(case, Exchange)
            and not isinstance(decision, Allow)
            and self.probing.is_asked(case.head, host)
        )

    def _let_preflight(self, case: C, ask: Ask, policy: Policy, then: Callable[[C, Judged], None]) -> None:
        """For a browser's question, whoever sits before it: no session and no credential is looked at."""
        bare = Ask(ask.view, ask.route, NO_COOKIE, ask.told, None)
        decision = decide(policy, case.head.method, asker_of(None, policy, case.address))
        then(case, Judged(bare, None, None, decision, is_preflight=True))

    def _decide_for(self, case: C, ask: Ask, caller: Caller, then: Callable[[C, Judged], None]) -> None:
        """For somebody who showed a credential of their own."""
        if case.is_over:
            return
        case.session_id, case.asker = f"{caller.kind}:{caller.id}", caller
        case.on_last = self._lasting.add_by_credential
        decision = decided_for(caller, ask.view.name, ask.route, case, self._now())
        then(case, Judged(ask, None, caller, decision))

    def forget(self, exchange: Exchange) -> None:
        """An exchange that lasted is over."""
        self._lasting.discard(exchange)


def _is_by_access(ask: Ask, session: Session) -> bool:
    return ask.access is not None and ask.access.is_of(session, ask.view.host)


def _scopes(ask: Ask, session: Session | None) -> frozenset[str] | None:
    return ask.access.scopes_in(session) if ask.access is not None and session is not None else None


def _no_session(ask: Ask) -> CredentialRefused:
    if ask.access is not None:
        return CredentialRefused(REFUSED)
    return CredentialRefused(_NO_SESSION, code=SESSION_INVALID)


def _bearing(ask: Ask, authorization: bytes) -> Ask:
    """What is asked by the session's handle in Authorization: a wrong one is never followed by a look at the cookie.

    Raises CredentialRefused.
    """
    shown = ask.view.borne(authorization)
    if shown is None:
        raise CredentialRefused(_NO_SESSION, code=SESSION_INVALID)
    return replace(ask, taken=ask.taken._replace(value=shown), bears=True)
