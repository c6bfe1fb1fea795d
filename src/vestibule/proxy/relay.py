"""One exchange carried to a backend and back: the only place where a downstream and an upstream meet.

What it promises:

- the request goes out whole or the backend sees it broken off; an answer comes in whole or the client sees it
  broken off; neither is ever taken for the other;
- a request is sent a second time only if no byte of an answer came, it has no body, its method is idempotent
  (RFC 9110 section 9.2.2), and the connection it failed on had served before; or if the backend says that it has
  done nothing of it (RFC 9113 section 8.7), and all that it got of its body is still here;
- a client that leaves closes the upstream connection; a slow side slows the other.
"""

from __future__ import annotations

import asyncio
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
from vestibule.proxy.tunnel import Tunnel
from vestibule.proxy.upstream import ANSWER_DEADLINE_S, Sent, Upstream

# What a cache that serves several people may do with an answer (`protocol.caching`).
OPEN = 0
"""What the backend says of it."""
UNLESS_SAID = 1
"""Nothing, unless the backend says something of it."""
CLOSED = 2
"""Nothing, whatever the backend says: it can't know who stands in front of it."""
REFUSED_MAX = 3
"""So often a backend may say that it has done nothing of a request."""
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
LEAVE_S = 5.0
"""How long both sides of a WebSocket have to close it, once they were told to."""
_AND_PRIVATE = b"\r\n" + PRIVATE + b"\r\n"


class Failed(Protocol):
    """Answers when no backend could."""

    def __call__(self, exchange: Exchange, error: BackendError) -> None:
        """Answer the exchange with this error."""


class Relay(Responder):
    """Carries one exchange to one pool."""

    _connection: Upstream | None = None
    _started = False
    _ended = False
    _fresh = False
    _paused = False
    _tunnel: Tunnel | None = None
    _answer: AnswerHead | None = None
    """Of an answer that is being passed on."""
    _sent_at_mono = 0.0
    _refused = 0
    _again: Sent | None = None
    """What is to be sent again, once there is a connection for it."""
    takes_trailers = False
    """Whoever asked can be given trailers, though it did not say so."""
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

    def begin_with(self, body: bytes, trailers: Sequence[bytes]) -> None:
        """The same, with a body that is here whole."""
        sent = self._again = Sent()
        sent.add(body)
        sent.end(without(trailers, self.trailers_not_passed) if self.trailers_not_passed else trailers)
        self.begin()

    def _connect(self) -> None:
        self._fresh = True
        self._pool.connect(self, self.connect_s)

    def _send(self, connection: Upstream) -> None:
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
            is_chunked=head.chunked,
            takes_trailers=self.takes_trailers or head.takes_trailers,
            answer_s=self.answer_s,
        )
        again, self._again = self._again, None
        if again is not None:
            self._send_again(connection, again)
        elif has_body or head.upgrade:
            exchange.want_body()

    def _send_again(self, connection: Upstream, sent: Sent) -> None:
        """The body as far as it came, then the rest of it."""
        for piece in sent.pieces:
            connection.send_body(piece)
        if sent.is_whole:
            connection.end_body(sent.trailers)
        elif self._connection is connection:
            self._exchange.resume_body()

    # -- the pool's calls ---------------------------------------------------------------------

    def on_connected(self, connection: Upstream) -> None:
        """A fresh connection is there."""
        if self._ended:
            connection.give_back()
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
        if connection is not None:
            connection.send_body(data if self._tunnel is None else self._tunnel.to_backend.passed(data))
        elif self._again is not None:
            self._again.add(data)

    def on_body_end(self, trailers: Sequence[bytes]) -> None:
        connection = self._connection
        if self._tunnel is not None:
            if connection is not None:
                connection.end_raw()
            return
        if not self._exchange.head.has_body:
            return
        passed = without(trailers, self.trailers_not_passed) if self.trailers_not_passed else trailers
        if connection is not None:
            connection.end_body(passed)
        elif self._again is not None:
            self._again.end(passed)

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

    def on_drain(self) -> None:
        exchange = self._exchange
        if self._tunnel is not None:
            to_client, to_backend = self._tunnel.leave()
            if to_client:
                exchange.write(to_client)
            if to_backend and self._connection is not None:
                self._connection.send_body(to_backend)
            asyncio.get_running_loop().call_later(LEAVE_S, self._give_up)
        elif exchange.lasts and exchange.head.method == b"GET" and self._is_event_stream():
            # Who listens to one comes again by itself (`EventSource`); one that answers a POST has an end of its own.
            exchange.cut()

    def _is_event_stream(self) -> bool:
        return self._answer is not None and any(map(_says_event_stream, self._answer.lines))

    def _give_up(self) -> None:
        """A side didn't answer the goodbye."""
        if not self._ended:
            self.on_gone()
            self._exchange.close_tunnel()

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
        self._answer = head
        self._exchange.start(head.status_line, self._lines(head), length)

    def on_data(self, data: bytes) -> None:
        self._exchange.write(data if self._tunnel is None else self._tunnel.to_client.passed(data))

    def on_end(self, trailers: Sequence[bytes]) -> None:
        self._connection = None
        self._ended = True
        if self._tunnel is not None:
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
        self._tunnel = Tunnel()
        exchange.upgrade(
            head.status_line, [*self._lines(head), b"Upgrade: websocket", b"Connection: Upgrade"]
        )

    def on_lost(self, error: BackendError, *, answered: bool) -> None:
        self._connection = None
        head = self._exchange.head
        if self._tunnel is not None and self._tunnel.is_leaving:
            # It was told to, and what the client was told must still reach it.
            self._ended = True
            self._exchange.close_tunnel()
        elif self._started:
            # The client has part of an answer: only a broken connection tells it that this is not all.
            self._ended = True
            self._exchange.abort()
        elif answered or self._fresh or head.has_body or head.method not in IDEMPOTENT:
            self._ended = True
            self._failed(self._exchange, error)
        else:
            self._connect()

    def on_unprocessed(self, error: BackendError, sent: Sent | None) -> None:
        """Spec: RFC 9113 section 8.7: sent again whatever its method, for nobody has done anything of it."""
        self._connection = None
        self._refused += 1
        if sent is None or self._refused > REFUSED_MAX:
            self._ended = True
            self._failed(self._exchange, error)
            return
        if self._exchange.head.has_body and not sent.is_whole:
            self._exchange.pause_body()
        self._again = sent
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


class WebSocketRelay(Relay):
    """Carries a WebSocket to a backend of HTTP/2: a stream of its own, or a connection of HTTP/1.1 (`pool_h2`)."""

    def begin(self) -> None:
        connection = self._pool.take_for_websocket()
        if connection is not None:
            self._send(connection)
        else:
            self._connect()

    def _connect(self) -> None:
        self._fresh = True
        self._pool.connect(self, self.connect_s, for_websocket=True)


def _sets_our_cookie(line: bytes, also: frozenset[bytes]) -> bool:
    name, _, value = line.partition(b":")
    return len(name) == 10 and name.lower() == b"set-cookie" and sets_ours(value, also)


def _says_event_stream(line: bytes) -> bool:
    name, _, value = line.partition(b":")
    return name.lower() == b"content-type" and value.strip().lower().startswith(b"text/event-stream")
