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
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from vestibule.core.credential import SESSION_INVALID, is_good_for
from vestibule.core.passage import is_preflight
from vestibule.core.policy import Policy, asker_of, decide, decide_on
from vestibule.core.route import Host, Route, RouteTable, Site, has_one_meaning, is_own, serving_name
from vestibule.core.seal import KeyRing
from vestibule.errors import BadRequest, ClientError, CredentialRefused, ProviderUnavailable, StoreError
from vestibule.model import (
    Allow,
    Caller,
    Decision,
    Deny,
    Session,
    Unavailable,
)
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.protocol import cookie, websocket
from vestibule.protocol.address import Networks
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.proxy.exchange import Exchange, Listener
from vestibule.proxy.lasting import Lasting
from vestibule.proxy.probing import OPEN, THROUGH, Probing
from vestibule.proxy.task import Tasks
from vestibule.proxy.view import NO_COOKIE, Kept, NotYetKnown, Told, View, Views
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions

WHOLE_S = 10.0
"""How long a request waits at the start for the providers of the database."""
_NO_SESSION = "this is no session's, or it has ended"
_TOKEN_REQUIRED = Deny(401, "token_required", "this address takes a token only")


class Case(Protocol):
    """What is judged: an exchange, or a question about one that an edge holds."""

    head: RequestHead
    listener: Listener
    peer: str
    address: str
    host: Host | None
    site: Site | None
    session_id: str
    asker: Session | Caller | None
    route: bytes
    on_last: Callable[[Exchange], None] | None
    """Told when the answer turns out to have no known end; one that only lets pass never has."""

    @property
    def is_over(self) -> bool:
        """True when nobody waits for the answer any more."""


class Callers(Protocol):
    """Who shows a credential of their own (`service.caller`)."""

    def takes(self, host: Host, authorization: bytes) -> bool:
        """True where this value of Authorization is for the gateway to judge; else it is the backend's."""

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """Whose it is, if that is known already; None says nothing but: ask `load`."""

    async def load(self, host: Host, authorization: bytes, address: str, now: float) -> Caller:
        """Whose it is. Raises ClientError (401, 429), StoreError, ProviderUnavailable."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request before the decision."""

    view: View
    route: Route
    taken: cookie.Taken
    told: Told
    kept: Kept | None
    bears: bool = False
    """The session's handle came in Authorization, which doesn't go on; it stands in `taken`, too."""


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
        lasting.allows = self._may_last
        lasting.allows_credential = self._may_still_last
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
        ask = Ask(view, host.route(head.target.path), outer.ask.taken, outer.ask.told, None, bears=bears)
        if host.takes_callers and outer.caller is None and head.authorization and not bears:
            authorization = value_of(head.authorization)
            if self._callers.takes(host, authorization):
                self._call(case, ask, authorization, then, failed)
                return
        decision: Decision
        if outer.caller is not None:
            # Where it is good for, the host has looked.
            decision = _by_rules(outer.caller, ask.route, case, self._now())
        elif ask.route.needs_caller:
            decision = _TOKEN_REQUIRED
        else:
            policy = ask.route.policy
            decision = decide(policy, head.method, asker_of(outer.session, policy, case.address, self._now()))
        if not isinstance(decision, Allow):
            case.host = host
        then(case, Judged(ask, outer.session, outer.caller, decision, is_preflight=outer.is_preflight))

    # -- 3. who asks ---------------------------------------------------------------------------

    async def _load(self, case: C, ask: Ask, handle: str, then: Callable[[C, Judged], None]) -> None:
        """The session, where the cache can't answer, or the provider must be asked first."""
        try:
            known = self._sessions.peek(handle) or await self._sessions.load(handle)
            session = known and await self._checked(case, ask, known)
        except (StoreError, ProviderUnavailable) as error:
            then(case, Judged(ask, None, None, self._unavailable(error)))
        else:
            if not case.is_over:
                self._decide(case, ask, session, then, self._now())

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
            if session.host != ask.view.realm:
                session = None  # a handle is good in its own realm only
            else:
                case.session_id, case.asker = session.id, session
                case.on_last = self._lasting.add
                self._sessions.touch(session, now)
        if session is None and ask.bears:
            raise CredentialRefused(_NO_SESSION, code=SESSION_INVALID)
        path, host = head.target.path, ask.view.host
        if (path[:2] == b"/@" or host.callbacks or host.compat) and is_own(path, host):
            then(case, Judged(ask, session, None, None))
            return
        if ask.route.needs_caller:
            then(case, Judged(ask, None, None, _TOKEN_REQUIRED))
            return
        policy = ask.route.policy
        decision = decide_on(policy, head.method, session, case.address, now)
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
        decision = _decided_for(caller, ask.view.name, ask.route, case, self._now())
        then(case, Judged(ask, None, caller, decision))

    def forget(self, exchange: Exchange) -> None:
        """An exchange that lasted is over."""
        self._lasting.discard(exchange)

    def _may_last(self, exchange: Exchange, session: Session) -> bool:
        """Whether an exchange under way would be let through now."""
        host = self._table.host(exchange.head.host)
        path, method = exchange.head.target.path, exchange.head.method
        if host is None or is_own(path, host):
            return host is not None
        policies, now = [route.policy for route in self._way(host, path)], self._now()
        decisions = [
            decide(policy, method, asker_of(session, policy, exchange.address, now)) for policy in policies
        ]
        return all(isinstance(decision, Allow) for decision in decisions)

    def _way(self, host: Host, path: bytes) -> tuple[Route, ...]:
        """The routes by whose rules a request goes: the host's, and that of a serving it leads to."""
        route = host.route(path)
        serving = self._table.host(serving_name(route.backend.serving)) if route.backend.serving else None
        return (route,) if serving is None else (route, serving.route(path))

    async def _may_still_last(self, exchange: Exchange) -> bool:
        """The same for one with a credential of its own. Raises StoreError, ProviderUnavailable."""
        head = exchange.head
        authorization = value_of(head.authorization)
        host = self._taker(head, authorization)
        if host is None:
            return False
        try:
            caller = await self._callers.load(host, authorization, exchange.address, self._now())
        except ClientError:
            return False
        (route, *inner), now = self._way(host, head.target.path), self._now()
        decision = _decided_for(caller, head.host.decode("ascii"), route, exchange, now)
        decisions = [decision, *(_by_rules(caller, one, exchange, now) for one in inner)]
        if not all(isinstance(one, Allow) for one in decisions):
            return False
        outer = self._table.host(head.host)
        return outer is host or outer is None or await self._lets_by_session(exchange, outer)

    async def _lets_by_session(self, exchange: Exchange, host: Host) -> bool:
        """Whether a host lets in who shows its serving a credential: by their session. Raises StoreError."""
        view = self._views.of(host.name, exchange.listener)
        handle = (view.taken(exchange.head).value or b"").decode("latin-1")
        known = self._sessions.peek(handle) or await self._sessions.load(handle)
        session = known if known is not None and known.host == view.realm else None
        policy = host.route(exchange.head.target.path).policy
        asker = asker_of(session, policy, exchange.address, self._now())
        return isinstance(decide(policy, exchange.head.method, asker), Allow)

    def _taker(self, head: RequestHead, authorization: bytes) -> Host | None:
        """Who takes this credential: the host, or the serving it leads to; None: nobody."""
        host = self._table.host(head.host)
        serving = host.route(head.target.path).backend.serving if host is not None else ""
        for one in (host, self._table.host(serving_name(serving)) if serving else None):
            if one is not None and one.takes_callers and self._callers.takes(one, authorization):
                return one
        return None


def _decided_for(caller: Caller, host: str, route: Route, case: Case, now: float) -> Decision:
    """What a caller may: no more than the credential is good for, whatever the rules say."""
    head = case.head
    is_upgrade = bool(head.upgrade)
    if not is_good_for(caller.bounds, host, head.target.path, head.method, is_upgrade=is_upgrade):
        return Deny(403, "out_of_bounds", f"this {caller.kind} is not good for this address")
    return _by_rules(caller, route, case, now)


def _by_rules(caller: Caller, route: Route, case: Case, now: float) -> Decision:
    """What the rules say of a caller."""
    if route.needs_caller and not route.policy.believes(caller):
        return Deny(401, "token_required", f"this address takes another token than this {caller.kind}")
    return decide(route.policy, case.head.method, asker_of(caller, route.policy, case.address, now))


def _bearing(ask: Ask, authorization: bytes) -> Ask:
    """What is asked by the session's handle in Authorization: a wrong one is never followed by a look at the cookie.

    Raises CredentialRefused.
    """
    shown = ask.view.borne(authorization)
    if shown is None:
        raise CredentialRefused(_NO_SESSION, code=SESSION_INVALID)
    return replace(ask, taken=ask.taken._replace(value=shown), bears=True)


def check_origin(head: RequestHead, ask: Ask, session: Session | None) -> None:
    """Nothing, where no page of another site is behind a WebSocket, or one that is listed. Raises BadRequest.

    Spec: RFC 6455 section 10.2. Threat: cross-site WebSocket hijacking: browsers send cookies with it, the app's own
    too, and ask no CORS. Who sends no Origin is no browser.
    """
    origin = head.value(b"origin")
    carries = session is not None or head.cookies or head.authorization
    passage = ask.route.passage
    listed = passage.origins if passage is not None else frozenset[str]()
    if carries and origin and not websocket.is_own_origin(origin, ask.view.site.base_url, listed):
        raise BadRequest("a page of another site may not open this", code="foreign_origin", status=403)
