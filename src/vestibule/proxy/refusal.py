"""The answers that are no backend's: refusals, faults, the way to sign in. Each has an id that is in the log."""

from __future__ import annotations

import base64
import secrets
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote_from_bytes

from vestibule.core.credential import TOO_OLD, challenges, sends_passwords
from vestibule.core.explain import CONDITIONS_LOGGED_MAX, explain
from vestibule.core.policy import asker_of
from vestibule.core.route import SIGN_IN_PATH, Host, Site
from vestibule.core.tls import Handshake
from vestibule.errors import (
    BadRequest,
    ClientError,
    CredentialRefused,
    StoreError,
    TooManyTries,
    VestibuleError,
)
from vestibule.model import (
    RETRY_AFTER_S,
    Deny,
    Session,
    SignIn,
    StepUp,
    Unavailable,
)
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.traffic import Kind, Record, Traffic
from vestibule.protocol import grpc
from vestibule.protocol.authorization import step_up_challenge
from vestibule.protocol.caching import NOT_KEPT
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.mcp import refusal
from vestibule.proxy import mcp
from vestibule.proxy.exchange import Listener, Responder
from vestibule.proxy.judge import Judged
from vestibule.proxy.secured import names_on
from vestibule.service.cookies import without_session

Answer = tuple[bytes, list[bytes], bytes]

#: what is taken where no route says otherwise; TRACE and CONNECT nowhere
_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
_JSON = b"Content-Type: application/json"
_READABLE = (
    b"Access-Control-Allow-Origin: *",
    b"Access-Control-Expose-Headers: WWW-Authenticate, Retry-After",
)
_REDIRECT_LINES = (
    *NOT_KEPT,
    b"Referrer-Policy: no-referrer",
    b"X-Content-Type-Options: nosniff",
)


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
        decided_by: tuple[str, ...] = (),
        as_json: bool = False,
    ) -> Answer:
        """Status line, header lines, body. `head` None: the request could not be read; `as_json`: whoever asks.

        `decided_by`: kinds of the rules that refused it.
        """

    def is_navigation(self, head: RequestHead) -> bool:
        """True when a person in a browser waits for a page (Sec-Fetch-Mode, Accept, method)."""


class Refusable(Protocol):
    """What can be refused: an exchange, or a question about one that an edge holds."""

    head: RequestHead
    host: Host | None
    listener: Listener
    tls: Handshake | None
    address: str
    session_id: str
    decision: str
    request_id: str
    status: int
    rpc: bytes
    responder: Responder | None

    def answer(self, status_line: bytes, lines: Sequence[bytes], body: bytes = b"") -> None:
        """The whole answer at once."""

    def abort(self) -> None:
        """Break off in a way that no client takes for the end of the answer."""


class Refusals:
    """Answers with what is wrong, and writes one log line for each."""

    def __init__(
        self,
        answers: Answers,
        traffic: Traffic,
        log: Log,
        *,
        as_json: bool = False,
        tells_calls: bool = False,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`tells_calls`: a call of gRPC is answered with a status of gRPC, for its client is who reads it."""
        self._answers = answers
        self._traffic = traffic
        self._log = log
        self._as_json = as_json
        self._tells_calls = tells_calls
        self._now = now

    def none(self, exchange: Refusable, judged: Judged) -> None:
        """Log that there was nothing against a request, where somebody wants to know each."""
        if self._log.wants("debug"):
            route = judged.ask.route
            why = {"reason": exchange.decision, "route": route.prefix or b"/", "place": route.place}
            self._log.debug("allowed", **_of(exchange), **why)

    def by_judgement(self, exchange: Refusable, judged: Judged) -> None:
        """Answer a request that was not allowed."""
        ask, session, decision = judged.ask, judged.session, judged.decision
        match decision:
            case StepUp() if judged.caller is not None or ask.bears:
                exchange.decision = TOO_OLD
                self._too_old(exchange, session, decision, "")
            case SignIn() | StepUp():
                exchange.decision = TOO_OLD if isinstance(decision, StepUp) else "sign_in"
                clears_cookie = ask.taken.is_repeated
                self.to_sign_in(exchange, ask.view.site, session, decision, clears_cookie=clears_cookie)
            case Deny() if decision.code == "no_sign_in" and ask.view.host.takes_more:
                # Somebody has yet to add a provider.
                exchange.decision = "unavailable"
                self.by_decision(exchange, Unavailable(decision.reason, code="no_sign_in_yet"), session)
            case Deny():
                exchange.decision = decision.code
                methods, why = ask.route.policy.methods, _why(exchange, judged, decision, self._now())
                more = mcp.insufficient(judged, decision, exchange.listener, exchange.head.target.path)
                self.by_decision(exchange, decision, session, methods=methods, why=why, more=more)
            case Unavailable():
                exchange.decision = "unavailable"
                self.by_decision(exchange, decision, session)
            case _:
                raise TypeError(f"{decision!r} is no refusal")

    def by_decision(
        self,
        exchange: Refusable,
        decision: Deny | Unavailable,
        session: Session | None,
        *,
        methods: frozenset[bytes] = frozenset(),
        why: Mapping[str, Any] = {},
        more: Sequence[bytes] = (),
    ) -> None:
        """Answer with a decision against the request; `methods` are those that a 405 says are taken.

        `why`: what the log says of it, and nobody else is told; `more`: further header lines.
        """
        lines = list(more)
        kinds: tuple[str, ...] = ()
        if isinstance(decision, Deny):
            status, code, kinds = decision.status, decision.code, decision.kinds
            if status == 405:
                lines.append(_allow(methods))
        else:
            status, code = 503, decision.code
            lines.append(b"Retry-After: %d" % decision.retry_after_s)
        self._log.info("refused", status=status, code=code, reason=decision.reason, **_of(exchange), **why)
        self._answer(exchange, status, code, session=session, decided_by=kinds, more=lines)

    def by_failure(self, exchange: Refusable, error: Exception) -> None:
        """Answer with whatever was raised: an error of ours, or something nobody meant."""
        if isinstance(error, VestibuleError):
            self.by_error(exchange, error)
        else:
            self.by_fault(exchange, error)

    def by_error(self, exchange: Refusable, error: VestibuleError) -> None:
        """Answer with an error of ours, by whose fault it is."""
        exchange.decision = exchange.decision or error.code
        write = self._log.info if isinstance(error, ClientError) else self._log.warning
        detail = error.detail or error.message
        write("refused", status=error.status, code=error.code, detail=detail, **_of(exchange))
        more = [b"Retry-After: %d" % RETRY_AFTER_S] if isinstance(error, StoreError) else []
        if isinstance(error, TooManyTries):
            more.append(b"Retry-After: %d" % error.retry_after_s)
        if error.status == 405:
            more.append(_allow(_METHODS))
        is_told = self._as_json or isinstance(error, CredentialRefused)
        reason = error.message if is_told else ""
        self._answer(exchange, error.status, error.public_code, reason=reason, more=more)

    def by_fault(self, exchange: Refusable, error: Exception) -> None:
        """Answer to something nobody meant: the log gets all of it, the client an id."""
        trace = "".join(traceback.format_exception(error)[-4:])
        self._log.error("fault", error=repr(error), trace=trace, **_of(exchange))
        if exchange.responder is not None:
            exchange.abort()
        else:
            self._answer(exchange, 500, "internal_error")

    def unread(self, exchange: Refusable | None, error: BadRequest, peer: str) -> Answer:
        """The answer to what can't be served: broken requests, bodies too large or too slow."""
        request_id = id_of(exchange) if exchange is not None else new_id()
        detail = error.detail or error.message
        self._log.info(
            "bad_request", id=request_id, code=error.code, status=error.status, detail=detail, peer=peer
        )
        if exchange is None:
            code = error.code
            record = Record(
                self._now(), Kind.UNREAD, b"", b"", b"", error.status, 0.0, peer, "", code, request_id
            )
            self._traffic.add(record)
        if exchange is not None and self._is_call(exchange):
            return _refused_call(error.status, error.code, error.message, request_id)
        status_line, lines, body = self._answers.make(
            exchange.head if exchange is not None else None,
            status=error.status,
            code=error.code,
            request_id=request_id,
            host=exchange.host if exchange is not None else None,
            as_json=self._as_json,
        )
        return status_line, [*lines, _allow(_METHODS)] if error.status == 405 else lines, body

    def to_sign_in(
        self,
        exchange: Refusable,
        site: Site,
        session: Session | None,
        decision: SignIn | StepUp,
        *,
        clears_cookie: bool,
    ) -> None:
        """Send a person to the sign-in page and back; tell a program where it is."""
        head = exchange.head
        sign_in = site.base_url + SIGN_IN_PATH
        cleared = without_session(site) if clears_cookie else ()
        more = [b"Set-Cookie: " + value.encode("ascii") for value in cleared]
        if not self._answers.is_navigation(head):
            reason = decision.reason
            if isinstance(decision, StepUp):
                self._too_old(exchange, session, decision, sign_in, more)
                return
            self._answer(
                exchange, 401, "sign_in_required", reason, session=session, sign_in=sign_in, more=more
            )
            return
        location = f"{sign_in}?rd={quote_from_bytes(head.target.full, safe='/~')}"
        lines = [b"Location: " + location.encode("ascii"), *_REDIRECT_LINES, *more]
        exchange.answer(b"HTTP/1.1 302 Found", lines)

    def _too_old(
        self,
        exchange: Refusable,
        session: Session | None,
        decision: StepUp,
        sign_in: str,
        more: Sequence[bytes] = (),
    ) -> None:
        """Tell a program that whoever it acts for has to sign in again. Spec: RFC 9470 section 3."""
        self._log.info("refused", status=401, code=TOO_OLD, reason=decision.reason, **_of(exchange))
        realm = exchange.host.name.decode("ascii") if exchange.host is not None else ""
        asked = step_up_challenge(realm, description=decision.reason, max_age_s=decision.max_age_s)
        lines = [*more, b"WWW-Authenticate: " + asked.encode("ascii")]
        self._answer(exchange, 401, TOO_OLD, decision.reason, session=session, sign_in=sign_in, more=lines)

    def _answer(
        self,
        exchange: Refusable,
        status: int,
        code: str,
        reason: str = "",
        *,
        session: Session | None = None,
        sign_in: str = "",
        decided_by: tuple[str, ...] = (),
        more: list[bytes] | None = None,
    ) -> None:
        if exchange.status:
            # Part of another answer is out already: only a broken connection tells that it is not all.
            exchange.abort()
            return
        if self._is_call(exchange):
            exchange.answer(*_refused_call(status, code, reason, id_of(exchange)))
            return
        status_line, lines, body = self._answers.make(
            exchange.head,
            status=status,
            code=code,
            reason=reason,
            request_id=id_of(exchange),
            host=exchange.host,
            session=session,
            sign_in=sign_in,
            decided_by=decided_by,
            as_json=self._as_json or _is_caller(exchange.head) or bool(exchange.rpc),
        )
        if exchange.rpc:
            body = refusal(code, status, body, exchange.rpc)
            lines = [*(line for line in lines if not line.lower().startswith(b"content-type:")), _JSON]
        if code == TOO_OLD or (status == 401 and exchange.host is not None and exchange.host.mcp):
            # The one challenge says all; some clients and edges look at the first alone.
            lines = [line for line in lines if not line.lower().startswith(b"www-authenticate:")]
        if code != TOO_OLD and status == 401 and exchange.host is not None:
            lines = [*lines, *_challenges(exchange.host, exchange, code, reason)]
        if exchange.host is not None and exchange.host.mcp and exchange.head.value(b"origin"):
            # A client of MCP in a browser reads where tokens come from; what comes by a cookie it doesn't get by `*`.
            lines = [*lines, *_READABLE]
        exchange.answer(status_line, [*lines, *(more or ())], body)

    def _is_call(self, exchange: Refusable) -> bool:
        return self._tells_calls and grpc.is_call(exchange.head)


def _refused_call(status: int, code: str, reason: str, request_id: str) -> Answer:
    """What a client of gRPC takes for a refusal: a status of its own, and no page."""
    told = f"{code}: {reason} [{request_id}]" if reason else f"{code} [{request_id}]"
    return grpc.STATUS_LINE, [*grpc.refusal_lines(grpc.status_of(status, code), told), *NOT_KEPT], b""


def _is_caller(head: RequestHead) -> bool:
    """True for who shows a credential with the request and asks for no page: a program, whatever else it takes."""
    return bool(head.authorization) and b"text/html" not in head.value(b"accept")


def _challenges(host: Host, exchange: Refusable, code: str, why: str) -> list[bytes]:
    """What a 401 owes: which credentials the host takes in Authorization (RFC 9110 section 11.6.1)."""
    head, path = exchange.head, exchange.head.target.path
    found = challenges(
        host.accepts,
        host.name.decode("ascii"),
        app_tokens=host.app_tokens,
        session_bearer=host.session_bearer,
        takes_access=host.takes_access,
        knows_basic_alone=sends_passwords(head.value(b"user-agent")),
        is_browser=bool(head.value(b"sec-fetch-mode")),
        code=code,
        why=why,
        scope=mcp.scope_for(host, host.route(path).policy) if host.mcp else "",
        resource_metadata=mcp.metadata_url(host, exchange.listener, path),
    )
    return [b"WWW-Authenticate: " + value.encode("ascii") for value in found]


def _allow(methods: frozenset[bytes]) -> bytes:
    """The header a 405 owes (RFC 9110 section 15.5.6)."""
    return b"Allow: " + b", ".join(sorted(methods))


def new_id() -> str:
    """An id for a request: 80 random bits, easy to read out."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def id_of(exchange: Refusable) -> str:
    """The request's id; made when first asked for, since most requests need none."""
    if not exchange.request_id:
        exchange.request_id = new_id()
    return exchange.request_id


def _why(exchange: Refusable, judged: Judged, decision: Deny, now: float) -> dict[str, Any]:
    """What a log line says of a denial: the route, and each condition with what it saw.

    No conditions where it wasn't the rules that refused.
    """
    route = judged.ask.route
    why: dict[str, Any] = {"route": route.prefix or b"/", "place": route.place}
    policy = route.preflight if judged.is_preflight else route.policy
    if policy is not None:
        who = judged.caller or judged.session
        asker = asker_of(who, policy, exchange.address, now, names_on(exchange), scopes=judged.scopes)
        found = explain(policy, exchange.head.method, asker, most=CONDITIONS_LOGGED_MAX)
        if found.decision == decision:
            why["conditions"] = found.brief()
    return why


def _of(exchange: Refusable) -> dict[str, Any]:
    """What a log line says of the request."""
    head = exchange.head
    return {
        "id": id_of(exchange),
        "host": head.host,
        "method": head.method,
        "path": head.target.path,
        "address": exchange.address,
        "session": exchange.session_id,
    }
