"""One exchange carried to a backend and back: the only place where a downstream and an upstream meet.

What it promises:

- the request goes out whole or the backend sees it broken off; an answer comes in whole or the client sees it
  broken off; neither is ever taken for the other;
- a request is sent a second time only if no byte of an answer came, it has no body, its method is idempotent
  (RFC 9110 section 9.2.2), and the connection it failed on had served before;
- a client that leaves closes the upstream connection; a slow side slows the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from vestibule.core.passage import without
from vestibule.errors import BackendError, VestibuleError
from vestibule.protocol import websocket
from vestibule.protocol.caching import PRIVATE, made_private
from vestibule.protocol.cookie import sets_ours
from vestibule.protocol.h1_answer import AnswerHead
from vestibule.proxy.exchange import Exchange, Responder
from vestibule.proxy.pool import CONNECT_DEADLINE_S, Pool
from vestibule.proxy.upstream import ANSWER_DEADLINE_S, UpstreamConnection

# What a cache that serves several people may do with an answer (`protocol.caching`).
OPEN = 0
"""What the backend says of it."""
UNLESS_SAID = 1
"""Nothing, unless the backend says something of it."""
CLOSED = 2
"""Nothing, whatever the backend says: it can't know who stands in front of it."""
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
_AND_PRIVATE = b"\r\n" + PRIVATE + b"\r\n"


class Failed(Protocol):
    """Answers when no backend could."""

    def __call__(self, exchange: Exchange, error: BackendError) -> None:
        """Answer the exchange with this error."""


class Relay(Responder):
    """Carries one exchange to one pool."""

    _connection: UpstreamConnection | None = None
    _started = False
    _ended = False
    _fresh = False
    _paused = False
    _tunnel = False
    _sent_at_mono = 0.0
    answer_s = ANSWER_DEADLINE_S
    connect_s = CONNECT_DEADLINE_S
    privacy = OPEN
    """What is made of answers that a cache between here and the client could give to somebody else."""
    answer_lines: Callable[[list[bytes]], list[bytes]] | None = None
    """What the route makes of an answer's header lines."""
    trailers_not_passed: frozenset[str] = frozenset()
    """Classes of header names that may not come behind the body either."""
    answer_trailers_not_passed: frozenset[str] = frozenset()
    on_answer: Callable[[AnswerHead], bool] | None = None
    """Asked before an answer is passed on; True takes it away (a calling interface that repeats after a 401)."""

    def __init__(self, exchange: Exchange, pool: Pool, request: bytes, failed: Failed) -> None:
        self._exchange = exchange
        self._pool = pool
        self._request = request
        """The whole head as the backend gets it."""
        self._failed = failed

    def begin(self) -> None:
        """Send it, on an idle connection or a new one."""
        connection = self._pool.take()
        if connection is not None:
            self._send(connection)
        else:
            self._connect()

    def _connect(self) -> None:
        self._fresh = True
        self._pool.connect(self, self.connect_s)

    def _send(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        exchange = self._exchange
        head = exchange.head
        if self._paused:
            connection.pause()
        has_body = head.has_body
        self._sent_at_mono = time.monotonic()
        connection.send(
            self,
            self._request,
            is_head=head.method == b"HEAD",
            body_follows=has_body,
            answer_s=self.answer_s,
        )
        if has_body or head.upgrade:
            exchange.want_body()

    # -- the pool's calls ---------------------------------------------------------------------

    def on_connected(self, connection: UpstreamConnection) -> None:
        """A fresh connection is there."""
        if self._ended:
            connection.origin.release(connection)
        elif connection.is_closed:
            self.on_refused(BackendError("the backend broke off", code="backend_broke_off"))
        else:
            self._send(connection)

    def on_refused(self, error: BackendError) -> None:
        """No server can be reached."""
        if not self._ended:
            self._ended = True
            self._failed(self._exchange, error)

    # -- the downstream's calls ---------------------------------------------------------------

    def on_body(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._tunnel:
            connection.send_body(data)
            return
        if self._exchange.head.chunked:
            connection.send_parts((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            connection.send_body(data)

    def on_body_end(self, trailers: Sequence[bytes]) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._tunnel:
            connection.end_raw()
            return
        head = self._exchange.head
        if head.chunked:
            passed = without(trailers, self.trailers_not_passed) if self.trailers_not_passed else trailers
            connection.send_body(b"\r\n".join((b"0", *passed, b"", b"")))
        if head.has_body:
            connection.end_body()

    def on_gone(self) -> None:
        self._ended = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def on_pause(self) -> None:
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def on_resume(self) -> None:
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    # -- the upstream's calls -----------------------------------------------------------------

    def on_interim(self, head: AnswerHead) -> None:
        self._exchange.inform(head.status_line, self._passed(head))

    def on_whole(self, head: AnswerHead, body: bytes, raw: bytes) -> None:
        self._connection = None
        self._exchange.backend_s = time.monotonic() - self._sent_at_mono
        if self.on_answer is not None and self.on_answer(head):
            return
        self._ended = True
        lines = self._passed(head)
        if self.privacy and not head.is_private:
            lines, raw = self._closed(head, lines, raw)
        if self.answer_lines is not None:
            lines, raw = self.answer_lines(lines), b""
        self._exchange.answer(head.status_line, lines, body, raw)

    def on_head(self, head: AnswerHead, length: int | None) -> None:
        self._exchange.backend_s = time.monotonic() - self._sent_at_mono
        if self.on_answer is not None and self.on_answer(head):
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            return
        self._started = True
        if head.status == 304 and length is not None:
            length = None  # a length of what is not sent; some clients wait for it
        self._exchange.start(head.status_line, self._lines(head), length)

    def on_data(self, data: bytes) -> None:
        self._exchange.write(data)

    def on_end(self, trailers: Sequence[bytes]) -> None:
        self._connection = None
        self._ended = True
        if self._tunnel:
            self._exchange.close_tunnel()
        else:
            passed = [line for line in trailers if not _sets_our_cookie(line, self._own_cookies)]
            self._exchange.finish(without(passed, self.answer_trailers_not_passed))

    def on_switched(self, head: AnswerHead) -> None:
        """Spec: RFC 6455 section 4.1. Threat: a backend that switches to what was not asked for."""
        exchange = self._exchange
        exchange.backend_s = time.monotonic() - self._sent_at_mono
        asked = exchange.head
        try:
            if asked.upgrade != b"websocket" or head.upgrade != b"websocket":
                raise BackendError("the backend switched to another protocol", code="bad_answer")
            answered = [*head.lines, b"Upgrade: websocket", b"Connection: Upgrade"]
            websocket.check_answer(websocket.key_of(asked.method, asked.lines), asked.lines, answered)
        except VestibuleError as error:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            self._ended = True
            detail = error.detail or error.message
            self._failed(exchange, BackendError("a switch nobody can use", code="bad_answer", detail=detail))
            return
        self._started = True
        self._tunnel = True
        exchange.upgrade(
            head.status_line, [*self._lines(head), b"Upgrade: websocket", b"Connection: Upgrade"]
        )

    def on_lost(self, error: BackendError, *, answered: bool) -> None:
        self._connection = None
        head = self._exchange.head
        if self._started:
            # The client has part of an answer: only a broken connection tells it that this is not all.
            self._ended = True
            self._exchange.abort()
        elif answered or self._fresh or head.has_body or head.method not in IDEMPOTENT:
            self._ended = True
            self._failed(self._exchange, error)
        else:
            self._connect()

    def on_pause_body(self) -> None:
        self._exchange.pause_body()

    def on_resume_body(self) -> None:
        self._exchange.resume_body()

    def _lines(self, head: AnswerHead) -> list[bytes]:
        """The answer's lines as the client gets them."""
        lines = self._passed(head)
        if self.privacy and not head.is_private:
            lines, _ = self._closed(head, lines, b"")
        return lines if self.answer_lines is None else self.answer_lines(lines)

    def _passed(self, head: AnswerHead) -> list[bytes]:
        """The answer's lines, without cookies that would take the place of the gateway's own."""
        if not head.set_cookies:
            return head.lines
        return [line for line in head.lines if not _sets_our_cookie(line, self._own_cookies)]

    @property
    def _own_cookies(self) -> frozenset[bytes]:
        """Those of the gateway's that an operator named."""
        host = self._exchange.host
        return host.shared_cookies if host is not None else frozenset()

    def _closed(self, head: AnswerHead, lines: list[bytes], raw: bytes) -> tuple[list[bytes], bytes]:
        """Lines, and the same answer as bytes where it can go on so, kept from caches that serve several people."""
        if not head.caching:
            return [*lines, PRIVATE], raw and raw.replace(b"\r\n", _AND_PRIVATE, 1)
        return (lines, raw) if self.privacy == UNLESS_SAID else (made_private(lines), b"")


def _sets_our_cookie(line: bytes, also: frozenset[bytes]) -> bool:
    name, _, value = line.partition(b":")
    return len(name) == 10 and name.lower() == b"set-cookie" and sets_ours(value, also)
