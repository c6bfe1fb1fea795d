"""`envoy.service.auth.v3.Authorization/Check`: Envoy's question in a message, and the answer in another.

Envoy alone can be told what to take from a request before it goes on: every spelling of a header that only the gateway
may set, the gateway's own cookies, a credential that it accepted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from vestibule.errors import BadRequest
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.traffic import Traffic
from vestibule.protocol import address
from vestibule.protocol.address import Networks
from vestibule.protocol.ext_authz import Check, Header, allowed, denied, read_check
from vestibule.protocol.forwarded import client_of
from vestibule.protocol.h1 import RequestHead, head_about, parse_request_head
from vestibule.protocol.headers import ALIAS, CALLER, DROP, FORWARDED, request_kind, value_of
from vestibule.proxy.exchange import Listener
from vestibule.proxy.forward.question import Question, check_scheme, passed_on
from vestibule.proxy.forward.verdict import Verdicts
from vestibule.proxy.judge import Judged
from vestibule.proxy.refusal import Answers, Refusals
from vestibule.proxy.teller import Told

CONTRACT = "grpc"
"""How its questions are told from those of others."""
_ENVOYS_OWN = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"te"))
"""What Envoy itself writes for the backend. Another spelling of one is nobody's."""
_NOBODYS = frozenset((ALIAS, CALLER, DROP, FORWARDED))
_NO_HEAD = RequestHead(lines=[])


class Checks:
    """Answers messages; the transport is `grpc`'s."""

    def __init__(
        self,
        verdicts: Verdicts,
        trusted: Networks,
        answers: Answers,
        traffic: Traffic,
        log: Log,
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._verdicts = verdicts
        self.trusted = trusted
        self.log = log = log.of("edges").bind(listener="forward_auth_grpc")
        self._traffic = traffic
        self._refusals = Refusals(answers, traffic, log, now=now)
        self._now = now

    async def answer(self, message: bytes, site: Listener) -> bytes:
        """The CheckResponse to a CheckRequest. Whatever goes wrong on the way is a refusal in it.

        `site`: the listener by which people reach hosts without a `public_url`.
        """
        began_at_mono = time.monotonic()
        question = _Question(site, self._refusals)
        try:
            check = read_check(message)
            question.came = tuple(name for name, _ in check.headers)
            question.head, question.address = self._about(check)
            question.peer = question.address
        except Exception as error:  # noqa: BLE001 - the boundary: an unforeseen fault must not let anyone through
            self._verdicts.refuse(question, error)
        else:
            self._verdicts.on(question)
        try:
            return await question.answered
        finally:
            took_s = time.monotonic() - began_at_mono
            record = question.record(
                self._now(), took_s, CONTRACT, status=question.status, bytes_out=question.bytes_out
            )
            self._traffic.add(record)

    def _about(self, check: Check) -> tuple[RequestHead, str]:
        """The head of the request asked about, and its client. Raises BadRequest."""
        check_scheme(check.scheme or b"http")
        lines = [name + b": " + value for name, value in check.headers if name != b"host"]
        if any(b"\r" in line or b"\n" in line for line in lines):
            raise BadRequest("a header's value has a line end", code="bad_header")
        head = parse_request_head(b"\r\n".join((b"GET / HTTP/1.1", b"Host: asking", *lines)))
        about = head_about(head, method=check.method, target=check.path, authority=check.host)
        try:
            source = address.normalise(check.source) if check.source else ""
        except ValueError:
            raise BadRequest("the client's address is malformed", code="bad_question") from None
        return about, client_of(source, head.forwarded, self.trusted).address


class _Question(Question):
    def __init__(self, site: Listener, refusals: Refusals) -> None:
        super().__init__(_NO_HEAD, site, "", refusals)
        self.bytes_out = 0
        self.came: tuple[bytes, ...] = ()
        """Names of the request's headers, as Envoy would send them on."""
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def allow(self, judged: Judged, told: Told) -> None:
        pairs = [(name.lower().encode(), value.encode()) for name, value in told.pairs]
        cookie, authorization = passed_on(self.head, judged)
        removed = [*_spoofable(self.came, {name for name, _ in pairs})]
        for name, value in ((b"cookie", cookie), (b"authorization", authorization)):
            if value:
                pairs.append((name, value))
            elif name in self.came:
                removed.append(name)
        self._end(200, allowed(pairs, removed))

    def answer(self, status_line: bytes, lines: Sequence[bytes], body: bytes = b"") -> None:
        status = int(status_line[9:12])
        self._end(status, denied(status, map(_header_of, lines), body))

    def abort(self) -> None:
        self.answered.cancel()

    @property
    def is_over(self) -> bool:
        return self.answered.done()

    def _end(self, status: int, message: bytes) -> None:
        if not self.answered.done():
            self.status, self.bytes_out = status, len(message)
            self.answered.set_result(message)


def _spoofable(came: Iterable[bytes], told: set[bytes]) -> Iterable[bytes]:
    """What the gateway itself would not forward as it came, in every spelling, and what it doesn't set now."""
    return (name for name in came if request_kind(name + b":") in _NOBODYS and name not in told | _ENVOYS_OWN)


def _header_of(line: bytes) -> Header:
    return line[: line.find(b":")], value_of(line)
