"""The request path, top to bottom: from a canonical head to a backend, a page, or a refusal.

1 who is the client · 2 which route · 3 which session · 4 decide · 5 act on the decision · 6 inject and relay ·
7 one record. What was decided on is what is forwarded. Nothing before 5 fails open: an exception is a refusal,
a store that can't be reached is 503, and neither touches a cookie.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from vestibule.core.compat import HEALTH, PRODUCTS
from vestibule.core.device import user_agent_of
from vestibule.core.passage import without
from vestibule.core.route import (
    ADMIN,
    HEALTH_PATH,
    KEYS_PATH,
    POMERIUM_KEYS_PATH,
    READY_PATH,
    Backend,
    RouteTable,
    is_admin,
    is_serving,
)
from vestibule.errors import BadRequest, ClientError
from vestibule.model import Allow, Session, SignIn
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.traffic import Kind, Traffic
from vestibule.protocol import cookie, grpc, websocket
from vestibule.protocol.h1 import RequestHead, fields_bytes
from vestibule.protocol.headers import value_of
from vestibule.proxy.challenge import Challenges, NoProofs, Proofs, is_challenge
from vestibule.proxy.exchange import Exchange, record_of_exchange
from vestibule.proxy.forward.compat import wanted
from vestibule.proxy.forward.edges import Edges
from vestibule.proxy.grpc import CallRelay
from vestibule.proxy.health import METHODS, Health, tell_ok
from vestibule.proxy.judge import Ask, Judge, Judged
from vestibule.proxy.origin import check_origin
from vestibule.proxy.passing import Way
from vestibule.proxy.pool import Pools
from vestibule.proxy.probing import OWN
from vestibule.proxy.refusal import Answer, Answers, Refusals, id_of
from vestibule.proxy.relay import CLOSED, UNLESS_SAID, Relay, WebSocketRelay
from vestibule.proxy.secured import ComeByTls, client_cert_line, redirect
from vestibule.proxy.teller import Teller
from vestibule.proxy.tool import Held, judged_calls, read_calls
from vestibule.proxy.view import Kept
from vestibule.service.visit import Visit

_AUTHORIZATION = frozenset(("authorization",))
_KEYS = frozenset((KEYS_PATH.encode(), POMERIUM_KEYS_PATH.encode()))
_READY = READY_PATH.encode()
_KEY_SET = (
    b"Content-Type: application/jwk-set+json",
    b"Cache-Control: public, max-age=300",
    b"X-Content-Type-Options: nosniff",
)
"""The one answer of the gateway's own that may be kept: keys are published long before they are used."""


class OnFault(Protocol):
    """Answers when the control plane fails."""

    def __call__(self, exchange: Exchange, error: Exception) -> None:
        """Answer the exchange with a page of what went wrong, or break it off."""


class Control(Protocol):
    """The control plane, behind its adapter: answers the gateway's own paths."""

    def begin(self, exchange: Exchange, visit: Visit, on_fault: OnFault) -> None:
        """Answer the exchange, now or later; `on_fault` is called when it can't."""

    def end_streams(self) -> None:
        """End what has no end of its own."""


class Internal(Protocol):
    """Answers for backends that are no servers: directories and built-in applications."""

    def begin(self, exchange: Exchange, backend: Backend, lines: list[bytes], way: Way | None = None) -> None:
        """Answer the exchange; `lines` are the headers a backend would have got, `way` what its route makes of it."""


async def _always() -> None:
    """Nothing is in the way."""


class Gateway:
    """Takes the exchanges of all listeners that serve hosts."""

    def __init__(
        self,
        *,
        table: RouteTable,
        judge: Judge,
        teller: Teller,
        pools: Pools,
        answers: Answers,
        control: Control,
        internal: Internal,
        edges: Edges,
        traffic: Traffic,
        log: Log,
        ready: Callable[[], Awaitable[None]] = _always,
        proofs: Proofs | None = None,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`ready` returns when the program can do all its work, and raises what is in the way otherwise.

        `proofs` are what certificate authorities are to see that ask for a token of ours; None: none is.
        """
        self._health = Health(ready)
        self._judge = judge
        self._teller = teller
        self._pools = pools
        self._control = control
        self._internal = internal
        self._edges = edges
        self._traffic = traffic
        self._challenges = Challenges(proofs or NoProofs())
        self._now = now
        self._refusals = Refusals(answers, traffic, log.of("proxy"), tells_calls=True, now=now)
        self._prepare_for(table)

    def use(self, table: RouteTable) -> None:
        """Serve by this table from now on; what lasts of those it lets in no more is broken off."""
        self._prepare_for(table)
        self._teller.forget()
        self._judge.use(table)

    def end_streams(self) -> None:
        """End what the gateway itself sends for as long as somebody listens: this process is about to stop."""
        self._control.end_streams()

    def _prepare_for(self, table: RouteTable) -> None:
        """Edges ask as these hosts have it, and each backend has its connections."""
        self._table = table
        self._edges.use(table)
        theirs = {
            path: what
            for product in {name for host in table.hosts.values() for name in host.compat}
            for path, what in PRODUCTS[product].paths.items()
            if what in HEALTH
        }
        self._health_paths = {HEALTH_PATH.encode(): "healthz", _READY: "ready", **theirs}
        self._kinds = {
            name: Kind.SERVING if is_serving(name) else Kind.ADMIN
            for name in table.hosts
            if is_serving(name) or is_admin(name)
        }
        for host in table.hosts.values():
            for route in host.routes.values():
                if route.backend.servers:
                    self._pools.of(route.backend)

    # -- the path -----------------------------------------------------------------------------

    def handle(self, exchange: Exchange) -> None:
        """Answer it. Whatever goes wrong on the way is a refusal."""
        head = exchange.head
        target, edges = head.target, self._edges
        if (target.path[:3] == b"/@/" or target.came or head.host in edges.names) and edges.takes(head):
            self._edges.handle(exchange, exchange.listener)
            return
        exchange.on_end = self._record
        if target.path[:2] == b"/." and is_challenge(target.path) and head.method in METHODS:
            exchange.host = self._table.host(head.host)
            if exchange.host is not None:
                self._challenges.begin(exchange, self._judged, self.fail)
                return
        self._judged(exchange)

    def _judged(self, exchange: Exchange) -> None:
        # 1 to 4. Client, route, who asks, decision.
        self._judge.judge(exchange, self._act, self.fail)

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer with what went wrong before anything was decided."""
        exchange.on_end = self._record
        if isinstance(error, ComeByTls):
            redirect(exchange, error.url)
            return
        match self._health_check(exchange, error):
            case "":
                self._refusals.by_failure(exchange, error)
            case "ready":
                self._tell_ready(exchange)
            case _:
                tell_ok(exchange)

    def _health_check(self, exchange: Exchange, error: Exception) -> str:
        """What a platform asks that looks after this process, under a name that is no host's; empty: nobody does."""
        head = exchange.head
        if head.method not in METHODS or not isinstance(error, BadRequest) or error.code != "unknown_host":
            return ""
        return self._health_paths.get(head.target.path, "")

    def _tell_ready(self, exchange: Exchange) -> None:
        self._health.tell_ready(
            exchange, lambda error: self._refusals.by_failure(exchange, error), brief=True
        )

    def _act(self, exchange: Exchange, judged: Judged) -> None:
        # 5. One match over the decision.
        ask, decision = judged.ask, judged.decision
        match decision:
            case None if exchange.head.target.path in _KEYS and exchange.head.method in (b"GET", b"HEAD"):
                exchange.decision = "own"
                exchange.answer(b"HTTP/1.1 200 OK", list(_KEY_SET), self._teller.key_set)
            case None if exchange.head.target.path == _READY and exchange.head.method in METHODS:
                exchange.decision = "own"
                self._tell_ready(exchange)
            case None if exchange.head.target.path == OWN and self._tell_doctor(exchange, ask):
                pass
            case None:
                self._visit(exchange, ask, judged.session)
            case Allow():
                exchange.decision = decision.reason
                self._refusals.none(exchange, judged)
                self._forward(exchange, judged)
            case _:
                self._refusals.by_judgement(exchange, judged)

    def _tell_doctor(self, exchange: Exchange, ask: Ask) -> bool:
        return self._judge.probing.tell(exchange, is_trusted=ask.told.is_trusted)

    # -- 6. to the backend ---------------------------------------------------------------------

    def _forward(self, exchange: Exchange, judged: Judged, held: Held | None = None) -> None:
        head, ask = exchange.head, judged.ask
        if ask.route.tools is not None and held is None and (head.has_body or head.upgrade):
            read_calls(exchange, judged, self._act_on_calls, self.fail)
            return
        limit = ask.route.body_limit_bytes
        if limit is not None:
            exchange.limit_body(limit)
            if head.content_length is not None and head.content_length > limit:
                raise BadRequest("the body is too large", code="body_too_large", status=413)
        passage, backend = ask.route.passage, ask.route.backend
        if head.upgrade:
            self._check_websocket(head, ask, judged.session)
        way = None
        if passage is not None:
            try:
                way = Way(passage, exchange, judged)
            except ClientError as error:
                self._refuse_way(exchange, judged, error)
                return
        if backend.serving:
            self._judge.judge_within(exchange, judged, backend.serving, self._act, self.fail)
            return
        if backend.internal == ADMIN:
            self._visit(exchange, ask, judged.session)
            return
        if not backend.servers:
            lines = [*self._lines(head, judged, way)[0], *exchange.begin_span().split(b"\r\n")]
            self._internal.begin(exchange, backend, lines, way)
            return
        target = head.target if way is None else way.target
        fields = self._fields(exchange, judged, way)
        told = head.method, target.full, fields, exchange.begin_span()
        request = b"%b %b HTTP/1.1\r\n%b%b\r\n\r\n" % told
        relay = _carrier(head, backend)(exchange, self._pools.of(backend), request, self._refusals.by_error)
        if not ask.route.policy.public:
            relay.privacy = CLOSED
        elif judged.session is not None or judged.caller is not None:
            relay.privacy = UNLESS_SAID
        if way is not None:
            way.fit(relay)
        exchange.responder = relay
        if held is None:
            relay.begin()
        else:
            relay.begin_with(held.body, held.trailers)

    def _act_on_calls(self, exchange: Exchange, judged: Judged, held: Held) -> None:
        refused = judged_calls(exchange, judged, held.body, self._now())
        if refused is None:
            self._forward(exchange, judged, held)
        else:
            self._refusals.by_judgement(exchange, refused)

    def _refuse_way(self, exchange: Exchange, judged: Judged, error: ClientError) -> None:
        """The path needs what isn't known of the person; of nobody, nothing is known yet."""
        if judged.session is None and judged.caller is None and judged.ask.view.host.sign_in:
            decision = SignIn(error.detail)
            self._refusals.by_judgement(exchange, msgspec.structs.replace(judged, decision=decision))
        else:
            self._refusals.by_error(exchange, error)

    def _fields(self, exchange: Exchange, judged: Judged, way: Way | None) -> bytes:
        """The header lines as the backend gets them, each with its end; kept for a client that sends them again.

        They are the same as long as these are: what came, who asks as a value, what is told of the client, and how
        the route tells of people and does with header lines.
        """
        ask = judged.ask
        passage = None if way is None else way.passage
        kept, who = ask.kept, judged.caller or judged.session
        client = exchange.tls.client if exchange.tls is not None else None
        if (
            kept is not None
            and client is None
            and kept.who is who
            and kept.telling is ask.route.telling
            and kept.passage is passage
            and (judged.now or self._now()) < kept.good_until
        ):
            return kept.block
        head = exchange.head
        lines, good_until = self._lines(head, judged, way)
        if client is not None and ask.view.host.tells_certificate:
            lines.append(client_cert_line(client))
        block = fields_bytes(head, lines, b"" if passage is None else passage.host_line)[:-2]
        telling = ask.route.telling
        if client is None and not judged.is_preflight and (passage is None or not passage.is_of_request):
            kept = Kept(exchange.peer, ask.told, ask.taken, who, telling, good_until, block, passage)
            ask.view.keep(head, kept)
        return block

    def _lines(self, head: RequestHead, judged: Judged, way: Way | None) -> tuple[list[bytes], float]:
        """What came, without the gateway's cookies and what it accepted; what is told of client and person.

        And until when they may be sent again.
        """
        ask, came = judged.ask, head.lines
        if judged.caller is not None or judged.is_preflight or ask.bears:
            came = without(came, _AUTHORIZATION)
        lines = [*came, *ask.told.lines]
        if ask.taken.rest:
            lines.append(b"Cookie: " + ask.taken.rest)
        told = self._teller.told(judged)
        lines += told.lines
        return lines if way is None else way.lines(lines), told.good_until

    def _check_websocket(self, head: RequestHead, ask: Ask, session: Session | None) -> None:
        """A good handshake, and no page of another site behind it. Spec: RFC 6455 section 4.2.1."""
        if head.has_body:
            raise BadRequest("a WebSocket begins without a body", code="bad_websocket")
        websocket.key_of(head.method, head.lines)
        check_origin(head, ask, session)

    # -- the gateway's own answers -------------------------------------------------------------

    def refuse(self, exchange: Exchange | None, error: BadRequest, peer: str) -> Answer:
        """The answer to what can't be served: broken requests, bodies too large or too slow."""
        return self._refusals.unread(exchange, error, peer)

    def _on_application_fault(self, exchange: Exchange, error: Exception) -> None:
        """The control plane failed on this exchange."""
        exchange.responder = None if exchange.status == 0 else exchange.responder
        self._refusals.by_failure(exchange, error)

    def _visit(self, exchange: Exchange, ask: Ask, session: Session | None) -> None:
        """A path of the gateway's own, or an admin page: to the control plane, with what is known already."""
        head, view = exchange.head, ask.view
        exchange.decision = exchange.decision or "own"
        parsed = cookie.parse(value_of(line) for line in head.cookies)
        own = view.site.cookie.encode("ascii")
        root = view.host.root
        visit = Visit(
            host=view.host,
            site=view.site,
            session=session,
            address=exchange.address,
            user_agent=user_agent_of(head.value(b"user-agent")),
            request_id=id_of(exchange),
            now=self._now(),
            root=root.decode("ascii") if root and head.target.path.startswith(root + b"/") else "",
            wanted=wanted(head) if root and ask.told.is_trusted else (),
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
            self._judge.forget(exchange)
        host = exchange.host.name if exchange.host is not None else b""
        kind = self._kinds.get(host, Kind.HOST)
        self._traffic.add(record_of_exchange(exchange, kind, host, self._now()))


def _carrier(head: RequestHead, backend: Backend) -> type[Relay]:
    """What carries such a request to servers of such a kind."""
    if not backend.http2:
        return Relay
    if head.upgrade:
        return WebSocketRelay
    return CallRelay if grpc.is_call(head) else Relay
