"""The request path, top to bottom: from a canonical head to a backend, a page, or a refusal.

1 who is the client · 2 which route · 3 which session · 4 decide · 5 act on the decision · 6 inject and relay ·
7 one record. What was decided on is what is forwarded. Nothing before 5 fails open: an exception is a refusal,
a store that can't be reached is 503, and neither touches a cookie.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol, assert_never
from urllib.parse import quote_from_bytes

from vestibule.core.handle import KEPT_S, LIFE_S, seal_handle
from vestibule.core.inject import identity_lines
from vestibule.core.policy import decide
from vestibule.core.route import Backend, Host, Route, RouteTable, Site, site_of
from vestibule.core.seal import KeyRing
from vestibule.errors import BadRequest, StoreError, VestibuleError
from vestibule.model import Allow, Decision, Deny, Session, SignIn, StepUp, Unavailable
from vestibule.observe.log import Log
from vestibule.observe.traffic import Record, Traffic
from vestibule.protocol import cookie, forwarded, websocket
from vestibule.protocol.address import Networks
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.proxy.exchange import Exchange, Listener
from vestibule.proxy.pool import Pools
from vestibule.proxy.relay import Relay
from vestibule.service.sessions import Sessions
from vestibule.service.visit import Visit

BLOCKS_MAX = 10_000
COOKIES_MAX = 10_000
CLIENTS_MAX = 10_000
FIELDS_MAX = 1024
KEPT_FIELDS_BYTES = 4096


class Told(NamedTuple):
    """Who the client is, and the header lines that tell the backend."""

    address: str
    lines: list[bytes]
    is_trusted: bool
    """The peer is a trusted proxy: what it says differs from request to request."""


class Ask(NamedTuple):
    """What is known of a request before the decision."""

    view: View
    route: Route
    taken: cookie.Taken
    told: Told


class Kept(NamedTuple):
    """Header lines made for a backend, and what they were made of."""

    session: Session | None
    told: Told
    good_until: float
    block: bytes


class View:
    """A host as one listener sees it, with what was worked out for it before; all of it bounded."""

    __slots__ = ("clients", "cookies", "fields", "host", "name", "site")

    def __init__(self, host: Host, site: Site) -> None:
        self.host = host
        self.site = site
        self.name = host.name.decode("ascii")
        self.cookies: dict[bytes, cookie.Taken] = {}
        """By Cookie line: browsers send the same one again."""
        self.clients: dict[tuple[str, bytes], Told] = {}
        """By peer and Host, where only the peer's own address counts."""
        self.fields: dict[bytes, Kept] = {}
        """By the header lines as they came: what the backend gets for them."""


class Answers(Protocol):
    """Makes the gateway's own answers: a page for a person, JSON for a program."""

    def make(
        self,
        head: RequestHead | None,
        *,
        status: int,
        code: str,
        reason: str = "",
        request_id: str = "",
        host: Host | None = None,
        session: Session | None = None,
        sign_in: str = "",
        as_json: bool = False,
    ) -> tuple[bytes, list[bytes], bytes]:
        """Status line, header lines, body. `head` None: the request could not be read; `as_json`: whoever asks."""

    def is_navigation(self, head: RequestHead) -> bool:
        """True when a person in a browser waits for a page (Sec-Fetch-Mode, Accept, method)."""


class Faults(Protocol):
    """Answers when the control plane fails."""

    def __call__(self, exchange: Exchange, error: Exception) -> None:
        """Answer the exchange with a page of what went wrong, or break it off."""


class Control(Protocol):
    """The control plane, behind its adapter: answers the gateway's own paths."""

    def begin(self, exchange: Exchange, visit: Visit, faults: Faults) -> None:
        """Answer the exchange, now or later; `faults` is called when it can't."""


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
        ring: KeyRing,
        trusted: Networks,
        pools: Pools,
        answers: Answers,
        control: Control,
        internal: Internal,
        traffic: Traffic,
        log: Log,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.table = table
        self._sessions = sessions
        self._ring = ring
        self._trusted = trusted
        self._pools = pools
        self._answers = answers
        self._control = control
        self._internal = internal
        self._traffic = traffic
        self._log = log
        self._now = now
        self._views: dict[tuple[bytes, Listener], View] = {}
        self._blocks: OrderedDict[tuple[str, bytes], tuple[Session, float, list[bytes]]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[str, set[Exchange]] = {}

    # -- the path -----------------------------------------------------------------------------

    def handle(self, exchange: Exchange) -> None:
        """Answer it. Whatever goes wrong on the way is a refusal."""
        exchange.on_end = self._record
        try:
            self._route(exchange)
        except VestibuleError as error:
            self._refuse(exchange, error)
        except Exception as error:  # noqa: BLE001 - the boundary: an unforeseen fault must not let anyone through
            self._on_fault(exchange, error)

    def _route(self, exchange: Exchange) -> None:
        head = exchange.head
        # 1. Which host, and who is the client.
        view = self._views.get((head.host, exchange.listener)) or self._view(head.host, exchange.listener)
        exchange.host = host = view.host
        exchange.site = view.site
        told = self._told(view, exchange)
        exchange.address = told.address
        # 2. Which route.
        target = head.target
        route = host.route(target.path)
        if target.plain is not target.path and target.plain != target.path:
            _check_one_meaning(host, route, head)
        if head.upgrade and head.upgrade != b"websocket":
            head.upgrade = b""  # nothing else is upgraded; RFC 9110 section 7.8 lets a server go on without
        # 3. Which session.
        taken = self._taken(view, head)
        ask = Ask(view, route, taken, told)
        if taken.value is None:
            self._decide(exchange, ask, None)
            return
        handle = taken.value.decode("latin-1")
        session = self._sessions.peek(handle)
        if session is not None:
            self._decide(exchange, ask, session)
        else:
            self._spawn(self._load(exchange, ask, handle), exchange)

    async def _load(self, exchange: Exchange, ask: Ask, handle: str) -> None:
        """Step 3 where the cache can't answer."""
        try:
            session = await self._sessions.load(handle)
        except StoreError as error:
            self._log.error("store_unavailable", detail=error.detail or error.message)
            self._act(exchange, ask, None, Unavailable("the session store can't be reached"))
        else:
            self._decide(exchange, ask, session)

    def _decide(self, exchange: Exchange, ask: Ask, session: Session | None) -> None:
        head = exchange.head
        if exchange.is_over:
            return
        if session is not None:
            if session.host != ask.view.name:
                session = None  # a handle is good on its own host only
            else:
                exchange.session_id = session.id
                self._sessions.touch(session, self._now())
        if _is_own(head.target.path, ask.view.host):
            self._visit(exchange, ask, session)
            return
        # 4. Decide.
        decision = decide(ask.route.policy, head.method, () if session is None else session.identities)
        self._act(exchange, ask, session, decision)

    def _act(self, exchange: Exchange, ask: Ask, session: Session | None, decision: Decision) -> None:
        # 5. One match over the decision.
        match decision:
            case Allow():
                exchange.decision = decision.reason
                self._forward(exchange, ask, session)
            case SignIn() | StepUp():
                exchange.decision = "sign_in"
                self._send_to_sign_in(exchange, ask, session, decision)
            case Deny():
                exchange.decision = decision.code
                self._answer(exchange, decision, session)
            case Unavailable():
                exchange.decision = "unavailable"
                self._answer(exchange, decision, session)
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
            self._check_websocket(exchange, ask, session)
        backend = ask.route.backend
        if not backend.servers:
            self._internal.begin(exchange, backend, self._lines(head, ask, session))
            return
        request = head.method + b" " + head.target.full + b" HTTP/1.1\r\n" + self._fields(head, ask, session)
        relay = Relay(exchange, self._pools.of(backend), request, self._refuse)
        exchange.responder = relay
        relay.begin()

    def _fields(self, head: RequestHead, ask: Ask, session: Session | None) -> bytes:
        """The header lines as the backend gets them, from those that came; kept for a client that sends them again.

        They are the same as long as these are: what came, the session as a value, and what is told of the client.
        """
        fields = ask.view.fields
        kept = fields.get(head.fields)
        if (
            kept is not None
            and kept.session is session
            and kept.told is ask.told
            and self._now() < kept.good_until
        ):
            return kept.block
        lines = self._lines(head, ask, session)
        block = fields_bytes(head, lines)
        if head.minor and not head.upgrade and len(head.fields) <= KEPT_FIELDS_BYTES:
            if len(fields) >= FIELDS_MAX:
                fields.clear()
            good_until = (
                self._now() + KEPT_S if session is None else self._blocks[session.id, ask.view.host.name][1]
            )
            fields[head.fields] = Kept(session, ask.told, good_until, block)
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
            self._ring, session.id, session.host, now + LIFE_S, nonce=secrets.token_bytes(12)
        )
        lines = identity_lines(session, host, handle)
        self._blocks[key] = (session, now + KEPT_S, lines)
        self._blocks.move_to_end(key)
        if len(self._blocks) > BLOCKS_MAX:
            self._blocks.popitem(last=False)
        return lines

    def _check_websocket(self, exchange: Exchange, ask: Ask, session: Session | None) -> None:
        """A good handshake, and no page of another site behind it. Spec: RFC 6455 sections 4.2.1 and 10.2.

        Threat: cross-site WebSocket hijacking: browsers send cookies with it and ask no CORS.
        """
        head = exchange.head
        websocket.key_of(head.method, head.lines)
        origin = head.value(b"origin")
        if session is None:
            return
        if origin and not websocket.is_own_origin(origin, ask.view.site.base_url):
            raise BadRequest("a page of another site may not open this", code="foreign_origin", status=403)
        self._open.setdefault(session.id, set()).add(exchange)

    # -- the gateway's own answers -------------------------------------------------------------

    def _send_to_sign_in(
        self, exchange: Exchange, ask: Ask, session: Session | None, decision: SignIn | StepUp
    ) -> None:
        head, site = exchange.head, ask.view.site
        sign_in = f"{site.base_url}/@/signin"
        if not self._answers.is_navigation(head):
            exchange.answer(
                *self._answers.make(
                    head,
                    status=401,
                    code="sign_in_required",
                    reason=decision.reason,
                    request_id=self._id(exchange),
                    host=ask.view.host,
                    session=session,
                    sign_in=sign_in,
                )
            )
            return
        location = f"{sign_in}?rd={quote_from_bytes(head.target.full, safe='/~')}"
        lines = [b"Location: " + location.encode("ascii"), *_REDIRECT_LINES]
        if ask.taken.is_repeated:
            lines.append(b"Set-Cookie: " + cookie.clear(site.cookie, secure=site.secure).encode("ascii"))
        exchange.answer(b"HTTP/1.1 302 Found", lines)

    def _answer(self, exchange: Exchange, decision: Deny | Unavailable, session: Session | None) -> None:
        if isinstance(decision, Deny):
            status, code, more = decision.status, decision.code, []
        else:
            status, code, more = 503, "store_unavailable", [b"Retry-After: %d" % decision.retry_after_s]
        self._log.info("refused", status=status, code=code, reason=decision.reason, **self._of(exchange))
        status_line, lines, body = self._answers.make(
            exchange.head,
            status=status,
            code=code,
            request_id=exchange.request_id,
            host=exchange.host,
            session=session,
        )
        exchange.answer(status_line, [*lines, *more], body)

    def refuse(
        self, exchange: Exchange | None, error: BadRequest, peer: str
    ) -> tuple[bytes, list[bytes], bytes]:
        """The answer to what can't be served: broken requests, bodies too large or too slow."""
        request_id = self._id(exchange) if exchange is not None else new_id()
        self._log.info(
            "bad_request",
            id=request_id,
            code=error.code,
            status=error.status,
            detail=error.detail or error.message,
            peer=peer,
        )
        if exchange is None:
            self._traffic.add(
                Record(self._now(), b"", b"", b"", error.status, 0.0, peer, "", error.code, request_id, 0)
            )
        return self._answers.make(
            exchange.head if exchange is not None else None,
            status=error.status,
            code=error.code,
            request_id=request_id,
            host=exchange.host if exchange is not None else None,
        )

    def _refuse(self, exchange: Exchange, error: VestibuleError) -> None:
        """Answer with an error of ours, by whose fault it is."""
        exchange.decision = exchange.decision or error.code
        write = self._log.info if isinstance(error, BadRequest) else self._log.warning
        write(
            "refused",
            status=error.status,
            code=error.code,
            detail=error.detail or error.message,
            **self._of(exchange),
        )
        exchange.answer(
            *self._answers.make(
                exchange.head,
                status=error.status,
                code=error.code,
                request_id=exchange.request_id,
                host=exchange.host,
            )
        )

    def _on_fault(self, exchange: Exchange, error: Exception) -> None:
        """Something nobody meant: the log gets all of it, the client an id."""
        trace = "".join(traceback.format_exception(error)[-4:])
        self._log.error("fault", error=repr(error), trace=trace, **self._of(exchange))
        if exchange.responder is not None:
            exchange.abort()
            return
        exchange.answer(
            *self._answers.make(
                exchange.head,
                status=500,
                code="internal_error",
                request_id=exchange.request_id,
                host=exchange.host,
            )
        )

    def _on_application_fault(self, exchange: Exchange, error: Exception) -> None:
        """The control plane failed on this exchange."""
        exchange.responder = None if exchange.status == 0 else exchange.responder
        if isinstance(error, VestibuleError):
            self._refuse(exchange, error)
        else:
            self._on_fault(exchange, error)

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
            request_id=self._id(exchange),
            now=self._now(),
            cookies={
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in parsed.values.items()
                if name != own
            },
        )
        self._control.begin(exchange, visit, self._on_application_fault)

    # -- small things --------------------------------------------------------------------------

    def _view(self, name: bytes, listener: Listener) -> View:
        """The host by this listener. Raises BadRequest 421 for a host of no one's: there is no default."""
        host = self.table.host(name)
        if host is None:
            raise BadRequest("no such host here", code="unknown_host", status=421)
        view = View(host, site_of(host, listener.scheme, listener.port))
        self._views[name, listener] = view
        return view

    def _told(self, view: View, exchange: Exchange) -> Told:
        """Who the client is and what the backend is told of it; worked out once for an untrusted peer and Host."""
        head = exchange.head
        key = (exchange.peer, head.host_line)
        told = view.clients.get(key)
        if told is not None and not (told.is_trusted and head.forwarded):
            return told
        client = forwarded.client_of(exchange.peer, head.forwarded, self._trusted)
        host = value_of(head.host_line).decode("ascii")
        block = forwarded.build(client, proto=exchange.listener.scheme, host=host)
        told = Told(client.address, block.split(b"\r\n")[:-1], exchange.peer in self._trusted)
        if not (told.is_trusted and head.forwarded):
            if len(view.clients) >= CLIENTS_MAX:
                view.clients.clear()
            view.clients[key] = told
        return told

    def _taken(self, view: View, head: RequestHead) -> cookie.Taken:
        """Our cookie, and the rest of the Cookie header for the backend."""
        if not head.cookies:
            return _NO_COOKIE
        line = head.cookies[0] if len(head.cookies) == 1 else b":" + b"; ".join(map(value_of, head.cookies))
        taken = view.cookies.get(line)
        if taken is None:
            taken = cookie.take(value_of(line), view.site.cookie.encode("ascii"))
            if len(view.cookies) >= COOKIES_MAX:
                view.cookies.clear()
            view.cookies[line] = taken
        return taken

    def _spawn(self, work: Coroutine[Any, Any, None], exchange: Exchange) -> None:
        task = asyncio.get_running_loop().create_task(work, name="load session")
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if isinstance(error, VestibuleError):
                self._refuse(exchange, error)
            elif isinstance(error, Exception):
                self._on_fault(exchange, error)

        task.add_done_callback(done)

    def _id(self, exchange: Exchange) -> str:
        if not exchange.request_id:
            exchange.request_id = new_id()
        return exchange.request_id

    def _of(self, exchange: Exchange) -> dict[str, Any]:
        """What a log line says of the request."""
        head = exchange.head
        return {
            "id": self._id(exchange),
            "host": head.host,
            "method": head.method,
            "path": head.target.path,
            "address": exchange.address,
            "session": exchange.session_id,
        }

    def session_changed(self, session_id: str) -> None:
        """The session changed: when it is over, its open tunnels end too."""
        exchanges = self._open.get(session_id)
        if exchanges and self._sessions.peek_id(session_id) is None:
            self._spawn(self._close_tunnels(session_id), next(iter(exchanges)))

    async def _close_tunnels(self, session_id: str) -> None:
        if await self._sessions.by_id(session_id) is None:
            for exchange in list(self._open.get(session_id, ())):
                exchange.abort()

    # -- 7. one record -------------------------------------------------------------------------

    def _record(self, exchange: Exchange) -> None:
        head = exchange.head
        if head.upgrade and exchange.session_id in self._open:
            tunnels = self._open[exchange.session_id]
            tunnels.discard(exchange)
            if not tunnels:
                del self._open[exchange.session_id]
        self._traffic.add(
            Record(
                self._now(),
                head.host,
                head.method,
                head.target.path,
                exchange.status,
                time.monotonic() - exchange.began_at_mono,
                exchange.address,
                exchange.session_id,
                exchange.decision,
                exchange.request_id,
                exchange.bytes_out,
            )
        )


_NO_COOKIE = cookie.Taken(None, is_repeated=False, rest=b"")
_REDIRECT_LINES = (
    b"Cache-Control: no-store",
    b"Vary: Cookie, Authorization",
    b"Referrer-Policy: no-referrer",
)


def request_bytes(head: RequestHead, lines: list[bytes], *, target: bytes, host_line: bytes) -> bytes:
    """A request's head written anew, for another target and host than it came for."""
    return head.method + b" " + target + b" HTTP/1.1\r\n" + fields_bytes(head, lines, host_line)


def fields_bytes(head: RequestHead, lines: list[bytes], host_line: bytes = b"") -> bytes:
    """The header lines with Host and framing, up to and with the empty line."""
    parts = [host_line or head.host_line, *lines]
    if head.content_length is not None:
        parts.append(b"Content-Length: %d" % head.content_length)
    elif head.chunked:
        parts.append(b"Transfer-Encoding: chunked")
    if head.expect_continue and head.has_body:
        parts.append(b"Expect: 100-continue")
    if head.upgrade:
        parts.append(b"Connection: Upgrade")
        parts.append(b"Upgrade: websocket")
    parts.append(b"\r\n")
    return b"\r\n".join(parts)


def _is_own(path: bytes, host: Host) -> bool:
    """True for `/@/…` and for `/@ID/…` of this host's clients; every other path is the backend's, `/@alice` too."""
    if path[:2] != b"/@":
        return False
    end = path.find(b"/", 2)
    return end > 0 and (end == 2 or path[2:end].decode("latin-1") in host.clients)


def _check_one_meaning(host: Host, route: Route, head: RequestHead) -> None:
    """Threat: `/admin;x/y`, which some backends serve as `/admin/y` and a prefix rule would not know."""
    if host.route(head.target.plain) is not route or _is_own(head.target.plain, host) != _is_own(
        head.target.path, host
    ):
        raise BadRequest("the address can be read in two ways", code="bad_target")


def _query_escaped(target: bytes) -> str:
    return quote_from_bytes(target, safe="/~")


def new_id() -> str:
    """An id for a request: 80 random bits, easy to read out."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def _where(error: Exception) -> str:
    """The last frames of an unforeseen fault, for the log."""
    return "".join(traceback.format_exception(error)[-4:])
