"""A calling interface: a local port where a backend calls an API, and the person's credential is put in on the way.

A call passes these checks in this order, and nothing goes out before the last: it comes to a loopback name and not
from a web page; it is one of the operations, where only those are let through; its `Proxy-Session` handle is good
and of a host that may call here; the credential is there, and fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from vestibule.core.call import Applied, Call, Location, SecretCredential, SessionCredential, TokenCredential
from vestibule.core.handle import Handle, open_handle
from vestibule.core.route import Backend
from vestibule.core.seal import KeyRing
from vestibule.core.session import owner_of
from vestibule.errors import BadRequest, ClientError, VestibuleError
from vestibule.model import Secret, Session, Tokens
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.traffic import Kind, Traffic
from vestibule.protocol import grpc
from vestibule.protocol.h1 import RequestHead, request_bytes
from vestibule.protocol.h1_answer import AnswerHead
from vestibule.protocol.headers import class_of
from vestibule.proxy.exchange import Exchange, record_of_exchange
from vestibule.proxy.grpc import CallRelay
from vestibule.proxy.pool import Pool, Pools
from vestibule.proxy.refusal import Answer, Answers, Refusals, id_of
from vestibule.proxy.relay import IDEMPOTENT, Relay
from vestibule.proxy.task import Tasks
from vestibule.service.grants import Grants
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.service.tokens import OwnTokens

HANDLES_MAX = 10_000
PASSED_MAX = 1024
_LOOPBACK_NAMES = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
_HANDLE_FAULTS = {
    "handle_missing": "the call carries no Proxy-Session",
    "handle_invalid": "the Proxy-Session is not one of this gateway's",
    "handle_expired": "the Proxy-Session has expired: use the one that came with the latest request",
    "handle_foreign": "the Proxy-Session is of a host that may not call here",
    "session_ended": "the session of this Proxy-Session has ended",
}


class Credential(NamedTuple):
    """One credential, and where it goes."""

    applied: Applied
    value: Secret


class Calling:
    """Takes the exchanges of one calling interface."""

    def __init__(
        self,
        call: Call,
        *,
        sessions: Sessions,
        rechecks: Rechecks,
        grants: Grants,
        tokens: OwnTokens,
        ring: KeyRing,
        pools: Pools,
        answers: Answers,
        traffic: Traffic,
        log: Log,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self.call = call
        self._sessions = sessions
        self._rechecks = rechecks
        self._grants = grants
        self._tokens = tokens
        self._ring = ring
        self.backend = Backend(servers=(call.endpoint,))
        self._pool: Pool = pools.of(self.backend)
        self._refusals = Refusals(
            answers, traffic, log.of("calls").bind(call=call.id), as_json=True, tells_calls=True, now=now
        )
        self._log = log.of("credentials").bind(call=call.id)
        self._traffic = traffic
        self._now = now
        self._host_line = b"Host: " + call.authority.encode("ascii")
        self._names = _LOOPBACK_NAMES | {name.encode("ascii") for name in call.names}
        self._replaced = frozenset(class_of(a.name) for a in call.applied if a.location is Location.HEADER)
        self._label = call.id.encode()
        self._task_name = f"call {call.id}"
        self._tasks = Tasks()
        self._handles: dict[bytes, Handle] = {}
        self._passed: dict[bytes, list[bytes]] = {}
        """By the header lines as they came: those that go out, of calls that no browser made."""

    def handle(self, exchange: Exchange) -> None:
        """Answer it. Whatever goes wrong is a refusal, and nothing goes out."""
        exchange.on_end = self._record
        try:
            self._check_caller(exchange.head)
            self._check_operation(exchange)
            credentials = self._at_hand(exchange)
            if credentials is not None:
                self._send(exchange, credentials)
            else:
                self._tasks.spawn(
                    self._fetch_and_send(exchange), self._task_name, partial(self._on_failure, exchange)
                )
        except Exception as error:  # noqa: BLE001 - the boundary: nothing goes out after an unforeseen fault
            self._on_failure(exchange, error)

    # -- who calls, and what ------------------------------------------------------------------

    def _check_caller(self, head: RequestHead) -> None:
        """Threat: a web page that reaches a loopback port, by itself or by DNS rebinding."""
        if head.host not in self._names:
            raise ClientError("this port answers to a loopback name only", code="foreign_host", status=403)
        if head.upgrade:
            if self.backend.http2:
                raise ClientError("no WebSocket is opened here", code="bad_websocket", status=501)
            head.upgrade = b""
        if head.fields in self._passed:
            return
        for line in head.lines:
            name = line.partition(b":")[0].lower()
            if name == b"origin" or name.startswith(b"sec-fetch-"):
                raise ClientError("a browser may not call here", code="browser_call", status=403)

    def _check_operation(self, exchange: Exchange) -> None:
        head = exchange.head
        operation = self.call.operation(head.method, head.target.path)
        if operation is not None:
            exchange.decision = operation.id
            exchange.route = operation.id.encode()
        elif self.call.only_operations:
            raise ClientError(
                "no operation of this interface allows it", code="operation_unknown", status=403
            )

    def _handle_of(self, head: RequestHead) -> tuple[str, str]:
        """(session id, host) of the call's handle. Raises ClientError 401."""
        if not head.caller:
            raise _unauthorized("handle_missing")
        opened = self._open(head.caller)
        if isinstance(opened, str):
            raise _unauthorized(opened)
        if opened.host not in self.call.hosts:
            raise _unauthorized("handle_foreign")
        return opened.session_id, opened.host

    def _open(self, raw: bytes) -> Handle | str:
        """The handle, opened once and kept while it is good: a backend sends the same one again and again."""
        now = self._now()
        kept = self._handles.get(raw)
        if kept is not None and now < kept.expires_at:
            return kept
        opened = open_handle(self._ring, raw, now)
        if isinstance(opened, Handle):
            if len(self._handles) >= HANDLES_MAX:
                self._handles.clear()
            self._handles[raw] = opened
        return opened

    # -- the credentials ----------------------------------------------------------------------

    def _at_hand(self, exchange: Exchange) -> list[Credential] | None:
        """All credentials, where they are in memory and fresh; None: ask `_fetch_and_send`."""
        found: list[Credential] = []
        for applied in self.call.applied:
            credential = applied.credential
            if isinstance(credential, SecretCredential):
                found.append(Credential(applied, credential.value))
                continue
            if not isinstance(credential, SessionCredential):
                return None
            opened = self._open(exchange.head.caller)
            if isinstance(opened, str) or opened.host not in self.call.hosts:
                return None
            session = self._sessions.peek_id(opened.session_id)
            client = credential.clients.get(opened.host)
            if session is None or not self._is_of(session, opened.host) or not client:
                return None
            tokens = self._grants.peek(owner_of(session, client), client)
            if tokens is None:
                return None
            if self._rechecks.is_due(session):
                return None
            exchange.session_id, exchange.asker = session.id, session
            found.append(Credential(applied, tokens.access_token))
        return None if self.call.needs_session and not exchange.session_id else found

    async def _fetch_and_send(self, exchange: Exchange) -> None:
        self._send(exchange, await self._fetch(exchange, None))

    async def _fetch(self, exchange: Exchange, rejected: Secret | None) -> list[Credential]:
        """All credentials, fetched or refreshed where need be. Raises ClientError 401, ProviderError, StoreError."""
        session, host = await self._session(exchange)
        found: list[Credential] = []
        for applied in self.call.applied:
            credential = applied.credential
            if isinstance(credential, SecretCredential):
                found.append(Credential(applied, credential.value))
                continue
            if isinstance(credential, TokenCredential):
                tokens = await self._tokens.token(credential.source, rejected=rejected)
            else:
                tokens = await self._person_tokens(session, credential.clients.get(host, ""), rejected)
            found.append(Credential(applied, tokens.access_token))
        return found

    async def _session(self, exchange: Exchange) -> tuple[Session | None, str]:
        if not self.call.needs_session:
            return None, ""
        session_id, host = self._handle_of(exchange.head)
        session = self._sessions.peek_id(session_id) or await self._sessions.by_id(session_id)
        if session is not None:
            session = await self._rechecks.checked(session)
        if session is None or not self._is_of(session, host):
            raise _unauthorized("session_ended")
        exchange.session_id, exchange.asker = session.id, session
        return session, host

    def _is_of(self, session: Session, host: str) -> bool:
        """True while the session is good on the host that gave out its handle."""
        return session.host == self.call.realms.get(host, host)

    async def _person_tokens(self, session: Session | None, client: str, rejected: Secret | None) -> Tokens:
        if session is None or not client:
            raise _unauthorized("handle_foreign")
        return await self._grants.access_token(session, client, rejected=rejected)

    # -- the call -----------------------------------------------------------------------------

    def _send(
        self, exchange: Exchange, credentials: Sequence[Credential], *, is_repeat: bool = False
    ) -> None:
        if exchange.is_over:
            return
        request = self._request(exchange, credentials)
        if self._log.wants("debug") and credentials:
            sources = [_source(one.applied.credential) for one in credentials]
            self._log.debug(
                "credential_used", id=id_of(exchange), session=exchange.session_id, sources=sources
            )
        relay = self._relay(exchange, credentials, request)
        relay.trailers_not_passed = self._replaced
        if not is_repeat:
            relay.on_answer = lambda answer: self._on_answer(exchange, credentials, answer)
        exchange.responder = relay
        relay.begin()

    def _relay(self, exchange: Exchange, credentials: Sequence[Credential], request: bytes) -> Relay:
        """What carries the call: one of gRPC has a deadline, and tells behind its answer what became of it."""
        if not (self.backend.http2 and grpc.is_call(exchange.head)):
            return Relay(exchange, self._pool, request, self._refusals.by_error)
        relay = CallRelay(exchange, self._pool, request, self._refusals.by_error)
        relay.on_status = lambda status: self._on_status(exchange, credentials, status)
        return relay

    def _request(self, exchange: Exchange, credentials: Sequence[Credential]) -> bytes:
        """The call as the API gets it: its Host, the credential in its place, nothing of the gateway's."""
        head = exchange.head
        lines = [*self._lines(head), exchange.begin_span()]
        target = head.target.full
        for applied, value in credentials:
            text = applied.prefix + value.reveal()
            if applied.location is Location.HEADER:
                lines.append(_header(applied.name, text))
            else:
                target = _with_parameter(target, applied.name, text)
        return request_bytes(head, lines, target=target, host_line=self._host_line)

    def _lines(self, head: RequestHead) -> list[bytes]:
        """The header lines that go out: what came, less those a credential takes the place of."""
        lines = self._passed.get(head.fields)
        if lines is None:
            lines = [line for line in head.lines if class_of(_name(line)) not in self._replaced]
            if "cookie" not in self._replaced:
                lines += head.cookies
            if head.is_familiar:
                if len(self._passed) >= PASSED_MAX:
                    self._passed.clear()
                self._passed[head.fields] = lines
        return lines

    def _on_answer(self, exchange: Exchange, credentials: Sequence[Credential], answer: AnswerHead) -> bool:
        """True when the answer is a 401 that a fresh token may mend: then the call is made once more.

        Only a call without a body is repeated, by an idempotent method; for others the token is refreshed all the
        same, so that the caller's own next try succeeds.
        """
        if answer.status != 401:
            if grpc.is_call(exchange.head):
                self._on_status(exchange, credentials, grpc.status_in(answer.lines))
            return False
        token = _token_of(credentials)
        if token is None:
            return False
        head = exchange.head
        is_safe = not head.has_body and head.method in IDEMPOTENT
        failed = partial(self._on_failure, exchange) if is_safe else None
        self._tasks.spawn(self._repeat(exchange, token, is_safe=is_safe), self._task_name, failed)
        return is_safe

    def _on_status(self, exchange: Exchange, credentials: Sequence[Credential], status: int | None) -> None:
        """Refresh the token of a call of gRPC that was refused for it; like any with a body it is not repeated."""
        token = _token_of(credentials)
        if status == grpc.Status.UNAUTHENTICATED and token is not None:
            self._tasks.spawn(self._repeat(exchange, token, is_safe=False), self._task_name)

    async def _repeat(self, exchange: Exchange, rejected: Secret, *, is_safe: bool) -> None:
        try:
            credentials = await self._fetch(exchange, rejected)
        except VestibuleError:
            if is_safe:
                raise
            return
        if is_safe:
            self._send(exchange, credentials, is_repeat=True)

    # -- refusals and the record --------------------------------------------------------------

    def _on_failure(self, exchange: Exchange, error: Exception) -> None:
        if isinstance(error, VestibuleError):
            exchange.decision = error.code
        self._refusals.by_failure(exchange, error)

    def refuse(self, exchange: Exchange | None, error: BadRequest, peer: str) -> Answer:
        """The answer to what can't be served."""
        return self._refusals.unread(exchange, error, peer)

    def _record(self, exchange: Exchange) -> None:
        self._traffic.add(record_of_exchange(exchange, Kind.CALL, self._label, self._now()))


def _source(credential: SecretCredential | SessionCredential | TokenCredential) -> str:
    """What a log line calls it."""
    match credential:
        case SecretCredential():
            return "secret"
        case TokenCredential(source=source):
            return source
        case _:
            return "session"


def _token_of(credentials: Sequence[Credential]) -> Secret | None:
    """The one that can be had anew; None: there is none."""
    tokens = (c.value for c in credentials if not isinstance(c.applied.credential, SecretCredential))
    return next(tokens, None)


def _unauthorized(code: str) -> ClientError:
    return ClientError(_HANDLE_FAULTS[code], code=code, status=401)


def _name(line: bytes) -> str:
    return line.partition(b":")[0].decode("latin-1")


def _header(name: str, value: str) -> bytes:
    """The header line. Threat: a credential with a line end in it, which would make header lines of its own."""
    if not value.isascii() or not value.isprintable():
        raise VestibuleError("a credential can't stand in a header", detail=f"for {name}")
    return f"{name}: {value}".encode("ascii")


def _with_parameter(target: bytes, name: str, value: str) -> bytes:
    """The target with this query parameter in place of any of the same name, however it is escaped."""
    path, _, query = target.partition(b"?")
    kept = [part for part in query.split(b"&") if part and _parameter_name(part) != name.encode()]
    kept.append(f"{quote(name, safe='')}={quote(value, safe='')}".encode())
    return path + b"?" + b"&".join(kept)


def _parameter_name(part: bytes) -> bytes:
    return unquote_to_bytes(part.partition(b"=")[0].replace(b"+", b" "))
