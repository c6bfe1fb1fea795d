"""The request path, top to bottom: from a canonical head to a backend, a page, or a refusal.

1 who is the client · 2 which route · 3 which session · 4 decide · 5 act on the decision · 6 inject and relay ·
7 one record. What was decided on is what is forwarded. Nothing before 5 fails open: an exception is a refusal,
a store that can't be reached is 503, and neither touches a cookie.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Protocol, assert_never

import msgspec

from vestibule.core.handle import LIFE_S, seal_handle
from vestibule.core.inject import identity_lines
from vestibule.core.policy import decide
from vestibule.core.route import HEALTH_PATH, Backend, Host, Route, RouteTable
from vestibule.core.seal import KeyRing
from vestibule.errors import BadRequest, ProviderUnavailable, StoreError
from vestibule.model import Allow, Asker, Decision, Deny, Session, SignIn, StepUp, Unavailable
from vestibule.observe.log import Log
from vestibule.observe.traffic import Traffic
from vestibule.protocol import cookie, websocket
from vestibule.protocol.address import Networks
from vestibule.protocol.h1 import RequestHead, fields_bytes
from vestibule.protocol.headers import value_of
from vestibule.proxy.exchange import Exchange, record_of
from vestibule.proxy.lasting import Lasting
from vestibule.proxy.pool import Pools
from vestibule.proxy.refusal import Answer, Answers, Refusals, id_of
from vestibule.proxy.relay import Relay
from vestibule.proxy.task import Tasks
from vestibule.proxy.view import Kept, NotYetKnown, Told, View, Views
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.service.visit import Visit

BLOCKS_MAX = 10_000
_HEALTHY = (b"Content-Type: text/plain", b"Cache-Control: no-store")
WHOLE_S = 10.0
"""How long a request waits at the start for the providers of the database."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request before the decision."""

    view: View
    route: Route
    taken: cookie.Taken
    told: Told
    kept: Kept | None


class OnFault(Protocol):
    """Answers when the control plane fails."""

    def __call__(self, exchange: Exchange, error: Exception) -> None:
        """Answer the exchange with a page of what went wrong, or break it off."""


class Control(Protocol):
    """The control plane, behind its adapter: answers the gateway's own paths."""

    def begin(self, exchange: Exchange, visit: Visit, on_fault: OnFault) -> None:
        """Answer the exchange, now or later; `on_fault` is called when it can't."""


class Internal(Protocol):
    """Answers for backends that are no servers: directories and built-in applications."""

    def begin(self, exchange: Exchange, backend: Backend, lines: list[bytes]) -> None:
        """Answer the exchange; `lines` are the headers a backend would have got."""


class Gateway:
    """Takes the exchanges of all listeners that serve hosts."""

    def __init__(
        self,
        *,
        table: RouteTable,
        sessions: Sessions,
        rechecks: Rechecks,
        lasting: Lasting,
        ring: KeyRing,
        trusted: Networks,
        pools: Pools,
        answers: Answers,
        control: Control,
        internal: Internal,
        traffic: Traffic,
        log: Log,
        handle_s: float = LIFE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sessions = sessions
        self._rechecks = rechecks
        self._ring = ring
        self._pools = pools
        self._control = control
        self._internal = internal
        self._traffic = traffic
        self._log = log
        self._now = now
        self._handle_s = handle_s
        """Life of a `Proxy-Session` handle; one is given out for half of it, so that it always lives as long again."""
        self._trusted = trusted
        self._refusals = Refusals(answers, traffic, log, now=now)
        self._blocks: OrderedDict[tuple[str, bytes], tuple[Session, float, list[bytes]]] = OrderedDict()
        self._tasks = Tasks()
        self._lasting = lasting
        lasting.allows = self._may_last
        self._whole = asyncio.Event()
        self.use(table)

    def use(self, table: RouteTable) -> None:
        """Serve by this table from now on; what lasts of those it lets in no more is broken off."""
        for host in table.hosts.values():
            for route in host.routes.values():
                if route.backend.servers:
                    self._pools.of(route.backend)
        self._table = table
        self._views = Views(table, self._trusted)
        self._blocks.clear()
        if table.is_whole:
            self._whole.set()
        self._lasting.look()

    def _may_last(self, exchange: Exchange, session: Session) -> bool:
        """Whether an exchange under way would be let through now."""
        host = self._table.host(exchange.head.host)
        path = exchange.head.target.path
        if host is None or _is_own(path, host):
            return host is not None
        policy = host.route(path).policy
        return isinstance(
            decide(
                policy, exchange.head.method, Asker(session.identities, session.user_id, exchange.address)
            ),
            Allow,
        )

    # -- the path -----------------------------------------------------------------------------

    def handle(self, exchange: Exchange) -> None:
        """Answer it. Whatever goes wrong on the way is a refusal."""
        exchange.on_end = self._record
        try:
            self._route(exchange)
        except NotYetKnown:
            self._tasks.spawn(
                self._route_later(exchange),
                "wait for providers",
                partial(self._refusals.by_failure, exchange),
            )
        except Exception as error:  # noqa: BLE001 - the boundary: an unforeseen fault must not let anyone through
            if _is_health_check(exchange, error):
                exchange.answer(b"HTTP/1.1 200 OK", list(_HEALTHY), b"ok\n")
            else:
                self._refusals.by_failure(exchange, error)

    async def _route_later(self, exchange: Exchange) -> None:
        """Route it once it is known who may sign people in at its host."""
        try:
            async with asyncio.timeout(WHOLE_S):
                await self._whole.wait()
        except TimeoutError:
            raise StoreError("the identity providers can't be read") from None
        if not exchange.is_over:
            self._route(exchange)

    def _route(self, exchange: Exchange) -> None:
        head = exchange.head
        # 1. Which host, and who is the client.
        view = self._views.of(head.host, exchange.listener)
        exchange.host = host = view.host
        exchange.site = view.site
        kept = view.kept(head, exchange.peer)
        told = view.told(exchange.peer, head) if kept is None else kept.told
        exchange.address = told.address
        # 2. Which route.
        target = head.target
        route = host.route(target.path)
        if target.plain is not target.path and target.plain != target.path:
            _check_one_meaning(host, route, head)
        if head.upgrade and head.upgrade != b"websocket":
            head.upgrade = b""  # nothing else is upgraded; RFC 9110 section 7.8 lets a server go on without
        # 3. Which session.
        taken = view.taken(head) if kept is None else kept.taken
        ask = Ask(view, route, taken, told, kept)
        if taken.value is None:
            self._decide(exchange, ask, None)
            return
        handle = taken.value.decode("latin-1")
        session = self._sessions.peek(handle)
        if session is not None and not self._rechecks.is_due(session):
            self._decide(exchange, ask, session)
        else:
            failed = partial(self._refusals.by_failure, exchange)
            self._tasks.spawn(self._load(exchange, ask, handle), "load session", failed)

    async def _load(self, exchange: Exchange, ask: Ask, handle: str) -> None:
        """Step 3 where the cache can't answer, or the provider must be asked first."""
        try:
            known = self._sessions.peek(handle) or await self._sessions.load(handle)
            session = known and await self._checked(exchange, ask, known)
        except StoreError as error:
            self._log.error("store_unavailable", detail=error.detail or error.message)
            self._act(exchange, ask, None, Unavailable("the session store can't be reached"))
        except ProviderUnavailable as error:
            self._act(exchange, ask, None, Unavailable(error.message, code=error.code))
        else:
            self._decide(exchange, ask, session)

    async def _checked(self, exchange: Exchange, ask: Ask, session: Session) -> Session | None:
        """The session as its provider has it now.

        Raises ProviderUnavailable, but not on our own paths: who can't be asked about may still sign out.
        """
        try:
            return await self._rechecks.checked(session)
        except ProviderUnavailable:
            if not _is_own(exchange.head.target.path, ask.view.host):
                raise
            return session

    def _decide(self, exchange: Exchange, ask: Ask, session: Session | None) -> None:
        head = exchange.head
        if exchange.is_over:
            return
        if session is not None:
            if session.host != ask.view.name:
                session = None  # a handle is good on its own host only
            else:
                exchange.session_id = session.id
                exchange.on_last = self._lasting.add
                self._sessions.touch(session, self._now())
        path = head.target.path
        if (path[:2] == b"/@" or path in ask.view.host.callbacks) and _is_own(path, ask.view.host):
            self._visit(exchange, ask, session)
            return
        # 4. Decide.
        if session is None:
            asker = Asker(address=exchange.address)
        else:
            asker = Asker(session.identities, session.user_id, exchange.address)
        decision = decide(ask.route.policy, head.method, asker)
        self._act(exchange, ask, session, decision)

    def _act(self, exchange: Exchange, ask: Ask, session: Session | None, decision: Decision) -> None:
        # 5. One match over the decision.
        match decision:
            case Allow():
                exchange.decision = decision.reason
                self._forward(exchange, ask, session)
            case SignIn() | StepUp():
                exchange.decision = "sign_in"
                clears_cookie = ask.taken.is_repeated
                self._refusals.to_sign_in(
                    exchange, ask.view.site, session, decision, clears_cookie=clears_cookie
                )
            case Deny() if decision.code == "no_sign_in" and ask.view.host.takes_more:
                # Somebody has yet to add a provider.
                self._act(exchange, ask, session, Unavailable(decision.reason, code="no_sign_in_yet"))
            case Deny():
                exchange.decision = decision.code
                methods = ask.route.policy.methods
                self._refusals.by_decision(exchange, decision, session, methods=methods)
            case Unavailable():
                exchange.decision = "unavailable"
                self._refusals.by_decision(exchange, decision, session)
            case _:
                assert_never(decision)

    # -- 6. to the backend ---------------------------------------------------------------------

    def _forward(self, exchange: Exchange, ask: Ask, session: Session | None) -> None:
        head = exchange.head
        limit = ask.route.body_limit_bytes
        if limit is not None:
            exchange.limit_body(limit)
            if head.content_length is not None and head.content_length > limit:
                raise BadRequest("the body is too large", code="body_too_large", status=413)
        if head.upgrade:
            self._check_websocket(head, ask, session)
        backend = ask.route.backend
        if not backend.servers:
            self._internal.begin(exchange, backend, self._lines(head, ask, session))
            return
        request = (
            head.method + b" " + head.target.full + b" HTTP/1.1\r\n" + self._fields(exchange, ask, session)
        )
        relay = Relay(exchange, self._pools.of(backend), request, self._refusals.by_error)
        exchange.responder = relay
        relay.begin()

    def _fields(self, exchange: Exchange, ask: Ask, session: Session | None) -> bytes:
        """The header lines as the backend gets them, from those that came; kept for a client that sends them again.

        They are the same as long as these are: what came, the session as a value, and what is told of the client.
        """
        now, kept = self._now(), ask.kept
        if kept is not None and kept.session is session and now < kept.good_until:
            return kept.block
        head = exchange.head
        block = fields_bytes(head, self._lines(head, ask, session))
        good_until = (
            now + self._handle_s / 2 if session is None else self._blocks[session.id, ask.view.host.name][1]
        )
        ask.view.keep(head, Kept(exchange.peer, ask.told, ask.taken, session, good_until, block))
        return block

    def _lines(self, head: RequestHead, ask: Ask, session: Session | None) -> list[bytes]:
        """What came, without the gateway's cookies; what is told of the client; what is told of the person."""
        lines = [*head.lines, *ask.told.lines]
        if ask.taken.rest:
            lines.append(b"Cookie: " + ask.taken.rest)
        if session is not None:
            lines += self._identity_lines(session, ask.view.host)
        return lines

    def _identity_lines(self, session: Session, host: Host) -> list[bytes]:
        """What the backend is told of the person; made once for a session and host, kept while nothing changes."""
        key = (session.id, host.name)
        kept = self._blocks.get(key)
        now = self._now()
        if kept is not None and kept[0] is session and now < kept[1]:
            return kept[2]
        handle = seal_handle(
            self._ring, session.id, session.host, now + self._handle_s, nonce=secrets.token_bytes(12)
        )
        lines = identity_lines(session, host, handle)
        self._blocks[key] = (session, now + self._handle_s / 2, lines)
        self._blocks.move_to_end(key)
        if len(self._blocks) > BLOCKS_MAX:
            self._blocks.popitem(last=False)
        return lines

    def _check_websocket(self, head: RequestHead, ask: Ask, session: Session | None) -> None:
        """A good handshake, and no page of another site behind it. Spec: RFC 6455 sections 4.2.1 and 10.2.

        Threat: cross-site WebSocket hijacking: browsers send cookies with it and ask no CORS.
        """
        if head.has_body:
            raise BadRequest("a WebSocket begins without a body", code="bad_websocket")
        websocket.key_of(head.method, head.lines)
        origin = head.value(b"origin")
        if session is not None and origin and not websocket.is_own_origin(origin, ask.view.site.base_url):
            raise BadRequest("a page of another site may not open this", code="foreign_origin", status=403)

    # -- the gateway's own answers -------------------------------------------------------------

    def refuse(self, exchange: Exchange | None, error: BadRequest, peer: str) -> Answer:
        """The answer to what can't be served: broken requests, bodies too large or too slow."""
        return self._refusals.unread(exchange, error, peer)

    def _on_application_fault(self, exchange: Exchange, error: Exception) -> None:
        """The control plane failed on this exchange."""
        exchange.responder = None if exchange.status == 0 else exchange.responder
        self._refusals.by_failure(exchange, error)

    def _visit(self, exchange: Exchange, ask: Ask, session: Session | None) -> None:
        """A path of the gateway's own: to the control plane, with what is known already."""
        head, view = exchange.head, ask.view
        exchange.decision = "own"
        parsed = cookie.parse(value_of(line) for line in head.cookies)
        own = view.site.cookie.encode("ascii")
        visit = Visit(
            host=view.host,
            site=view.site,
            session=session,
            address=exchange.address,
            user_agent=head.value(b"user-agent").decode("latin-1"),
            request_id=id_of(exchange),
            now=self._now(),
            cookies={
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in parsed.values.items()
                if name != own
            },
        )
        self._control.begin(exchange, visit, self._on_application_fault)

    # -- 7. one record -------------------------------------------------------------------------

    def _record(self, exchange: Exchange) -> None:
        if exchange.lasts:
            self._lasting.discard(exchange)
        host = exchange.host.name if exchange.host is not None else b""
        self._traffic.add(record_of(exchange, host, self._now()))


def _is_health_check(exchange: Exchange, error: Exception) -> bool:
    """True for a platform that looks whether this process answers, under a name that is no host's."""
    is_asked = exchange.head.target.path == HEALTH_PATH.encode() and exchange.head.method in (b"GET", b"HEAD")
    return is_asked and isinstance(error, BadRequest) and error.code == "unknown_host"


def _is_own(path: bytes, host: Host) -> bool:
    """True for `/@/…`, for `/@ID/…` of this host's clients, and for paths they come back to.

    Every other path is the backend's, `/@alice` too.
    """
    if path[:2] != b"/@":
        return path in host.callbacks
    end = path.find(b"/", 2)
    return end > 0 and (end == 2 or path[2:end].decode("latin-1") in host.clients)


def _check_one_meaning(host: Host, route: Route, head: RequestHead) -> None:
    """Threat: `/admin;x/y`, which some backends serve as `/admin/y` and a prefix rule would not know."""
    if host.route(head.target.plain) is not route or _is_own(head.target.plain, host) != _is_own(
        head.target.path, host
    ):
        raise BadRequest("the address can be read in two ways", code="bad_target")
