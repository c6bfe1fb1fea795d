"""The client's side of HTTP/1.1: bytes of one connection to exchanges, one after another, and answers to bytes.

A connection is always in one of these states, and every state has a deadline that one sweep a second looks at::

    IDLE ──first byte──▶ HEAD ──whole head──▶ ACTIVE ──answer and body whole──▶ IDLE
                          │                     │ answer whole, body isn't          ▲
                          ▼ refused             ▼                                   │ pipelined bytes
                        LINGER ◀────────────────┘          ACTIVE ──101──▶ TUNNEL   │

LINGER: the last answer is out and the connection closes; for a moment what still comes is thrown away: no reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import cast

from vestibule.core.listener import UNKNOWN, Met
from vestibule.errors import BadRequest
from vestibule.protocol.chunked import Chunked
from vestibule.protocol.h1 import HEAD_LIMIT_BYTES, RequestHead, check_partial_head, parse_request_head
from vestibule.proxy.capacity import LAST_REFUSAL, REFUSAL, is_whole
from vestibule.proxy.connection import Connections, gets_less, peer_of, reset
from vestibule.proxy.exchange import Responder
from vestibule.proxy.exchange_h1 import H1Exchange

HEAD_DEADLINE_S = 10.0
IDLE_DEADLINE_S = 75.0
LINGER_S = 2.0
LINGER_LIMIT_BYTES = 1 << 20
BODY_WINDOW_S = 5.0
"""The body of a request has to come at a rate, over windows of this length."""
FIRST_WINDOW_S = 10.0
"""The first one is longer: uploads begin slowly."""
BODY_STALL_S = 30.0
"""Where no rate is asked for, a body whose next byte takes longer is given up."""
SEND_STALL_S = 60.0
"""A client that takes no byte of a waiting answer for longer is given up."""
PENDING_LIMIT_BYTES = 64 * 1024
"""Pipelined bytes kept while an answer is on its way; more pauses reading."""

IDLE, HEAD, ACTIVE, LINGER, TUNNEL, CLOSED = range(6)


class H1Connection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_body_came",
        "_body_chunked",
        "_body_left",
        "_body_seen",
        "_body_wanted",
        "_buffer",
        "_is_counted",
        "_limit",
        "_paused",
        "_send_paused",
        "_unsent_bytes",
        "deadline",
        "exchange",
        "keep",
        "listener",
        "met",
        "peer",
        "state",
        "transport",
    )

    def __init__(self, listener: Connections, met: Met = UNKNOWN) -> None:
        # per connection
        self.listener = listener
        self.met = met
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.peer = met.peer
        self.state = IDLE
        self.deadline = 0.0
        self._buffer = b""
        self._paused = False
        self._send_paused = False
        self._unsent_bytes = 0
        """What waited to be sent when a deadline was last looked at."""
        self._is_counted = False
        """True while its request is one of those under way."""
        # per exchange
        self.exchange: H1Exchange | None = None
        self.keep = True
        self._body_came = 0
        """Bytes of the body since its window began."""
        self._body_left = 0
        self._body_chunked: Chunked | None = None
        self._body_wanted = False
        self._body_seen = 0
        self._limit: int | None = None

    # -- the transport's calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.peer = peer_of(transport, self.met)
        self.deadline = self.listener.tick + IDLE_DEADLINE_S
        if not self.listener.capacity.opened():
            self._turn_away(LAST_REFUSAL)
        self.listener.open.add(self)

    def data_received(self, data: bytes) -> None:
        if self.state == IDLE or self.state == HEAD:
            self._on_head_bytes(self._buffer + data if self._buffer else data)
        elif self.state == ACTIVE:
            self._on_active_bytes(data)
        elif self.state == TUNNEL:
            exchange = self.exchange
            if exchange is not None and exchange.responder is not None:
                exchange.responder.on_body(data)
        elif self.state == LINGER:
            self._body_seen += len(data)
            if self._body_seen > LINGER_LIMIT_BYTES:
                self.abort()

    def eof_received(self) -> bool:
        if self.state == TUNNEL:
            exchange = self.exchange
            if exchange is not None and exchange.responder is not None:
                exchange.responder.on_body_end(())
            return True
        if self.state == ACTIVE:
            # A client that has closed is gone, and what it asked for stops; one that half-closes on purpose can't
            # be told from it.
            self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = CLOSED
        self._buffer = b""
        self.listener.open.discard(self)
        self.listener.capacity.closed(self)
        self._uncount()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.gone()

    def pause_writing(self) -> None:
        self._send_paused = True
        self._unsent_bytes = 0
        self.deadline = self.listener.tick + SEND_STALL_S
        if self.exchange is not None and self.exchange.responder is not None:
            self.exchange.responder.on_pause()

    def resume_writing(self) -> None:
        self._send_paused = False
        if self.state == IDLE:
            self.deadline = self.listener.tick + IDLE_DEADLINE_S
            self._go_on()
            return
        if self.state == TUNNEL:
            self.deadline = 0.0
        self._set_active_deadline()
        if self.exchange is not None and self.exchange.responder is not None:
            self.exchange.responder.on_resume()

    # -- requests -----------------------------------------------------------------------------

    def _on_head_bytes(self, data: bytes) -> None:
        while data[0] == 13:  # empty lines before a request are forgiven (RFC 9112 section 2.2)
            if data == b"\r\n":  # as some send behind a body: nothing has begun
                self._buffer = b""
                return
            if data[:2] != b"\r\n":
                break
            data = data[2:]
        if self.state == IDLE:
            self.state = HEAD
            self.deadline = self.listener.tick + HEAD_DEADLINE_S
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_LIMIT_BYTES:
            self._buffer = data
            self._check_partial(data)
            return
        self._buffer = b""
        capacity = self.listener.capacity
        if capacity.is_crowded and not capacity.takes(data):
            self._turn_away(REFUSAL if is_whole(data, end) else LAST_REFUSAL)
            return
        try:
            head = parse_request_head(data[:end], slashes=self.listener.slashes)
            self.listener.check.agree(head, data[: end + 4])
        except BadRequest as error:
            self._refuse(error)
            return
        self._begin(head, data[end + 4 :])

    def _check_partial(self, data: bytes) -> None:
        """Refuse early what can't become a good head."""
        try:
            check_partial_head(data)
        except BadRequest as error:
            self._refuse(error)

    def _turn_away(self, answer: bytes) -> None:
        """There is no room: say so, and go on where the answer does."""
        self.send(answer)
        if answer is REFUSAL:
            self.state = IDLE
            self.deadline = self.listener.tick + IDLE_DEADLINE_S
        else:
            self._linger()

    def _uncount(self) -> None:
        """Its request is under way no longer."""
        if self._is_counted:
            self._is_counted = False
            self.listener.capacity.ended()

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        listener = self.listener
        listener.capacity.begun()
        self._is_counted = True
        exchange = H1Exchange(self, head, monotonic())
        if self.met.tls is not None:
            exchange.tls = self.met.tls
        self.exchange = exchange
        self.state = ACTIVE
        self.deadline = 0.0
        self.keep = head.keep_alive
        self._body_seen = 0
        self._body_came = 0
        self._limit = None
        self._body_wanted = False
        if head.chunked:
            self._body_chunked = Chunked()
        else:
            self._body_left = head.content_length or 0
        if rest:
            self._buffer = rest
            if len(rest) > PENDING_LIMIT_BYTES:
                self.pause_reading()
            elif self._paused:
                self.resume_reading()
        listener.handler.handle(exchange)

    def _body_open(self) -> bool:
        return self._body_left > 0 or self._body_chunked is not None

    def want_body(self) -> None:
        """Deliver what came of the body already, and all that follows."""
        if self._body_wanted:
            return
        self._body_wanted = True
        self.resume_reading()  # before the first bytes: the responder may ask for a pause at once
        self._set_active_deadline()
        data, self._buffer = self._buffer, b""
        if not self._body_open():
            self._buffer = data
            exchange = self.exchange
            if exchange is not None and exchange.responder is not None:
                exchange.responder.on_body_end(())
        elif data:
            self._on_body(data)

    def limit_body(self, limit: int) -> None:
        """The most body bytes this exchange may have."""
        self._limit = limit

    def _on_active_bytes(self, data: bytes) -> None:
        if self._body_wanted and self._body_open():
            self._on_body(data)
            return
        # The body before it is wanted, or a pipelined request before its turn.
        self._buffer += data
        if len(self._buffer) > PENDING_LIMIT_BYTES:
            self.pause_reading()

    def _on_body(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        responder = cast("Responder", exchange.responder)
        self._body_came += len(data)
        if self._body_chunked is not None:
            self._on_chunked(exchange, responder, data)
            return
        piece = data if len(data) <= self._body_left else data[: self._body_left]
        self._body_left -= len(piece)
        self._buffer = data[len(piece) :]
        self._set_active_deadline()
        responder.on_body(piece)
        if not self._body_left and self.exchange is exchange:
            responder.on_body_end(())

    def _on_chunked(self, exchange: H1Exchange, responder: Responder, data: bytes) -> None:
        chunked = cast("Chunked", self._body_chunked)
        try:
            pieces = chunked.feed(data)
        except BadRequest as error:
            self._break_body(exchange, error)
            return
        for piece in pieces:
            self._body_seen += len(piece)
            if self._limit is not None and self._body_seen > self._limit:
                too_large = BadRequest("the body is too large", code="body_too_large", status=413)
                self._break_body(exchange, too_large)
                return
            responder.on_body(piece)
            if self.exchange is not exchange:
                return
        if chunked.done:
            self._body_chunked = None
            self._buffer = chunked.rest
            self._set_active_deadline()
            responder.on_body_end(chunked.trailers)

    def _break_body(self, exchange: H1Exchange, error: BadRequest) -> None:
        """The body is broken or too large: stop the responder, answer if nothing was answered, and close."""
        self.keep = False
        responder, exchange.responder = exchange.responder, None
        if responder is not None:
            responder.on_gone()
        if exchange.is_started:
            exchange.abort()
        else:
            exchange.answer(*self.listener.handler.refuse(exchange, error, self.peer))

    def _refuse(self, error: BadRequest) -> None:
        """Answer a request that never became an exchange, and close."""
        self._buffer = b""
        status_line, lines, body = self.listener.handler.refuse(None, error, self.peer)
        head = (status_line, *lines, b"Content-Length: %d" % len(body), b"Connection: close", b"", body)
        self.send(b"\r\n".join(head))
        self._linger()

    # -- answers ------------------------------------------------------------------------------

    def may_keep(self) -> bool:
        """True while the connection can serve another request after this answer."""
        return self.keep and not self._body_open() and not self.listener.draining

    def send(self, data: bytes) -> None:
        """Write to the client."""
        self.transport.write(data)

    def send_parts(self, parts: Sequence[bytes]) -> None:
        """Write several pieces to the client."""
        self.transport.writelines(parts)

    def exchange_ended(self, *, keep: bool) -> None:
        """The answer is whole: go on with the next request, or close."""
        self._uncount()
        self.exchange = None
        self._body_chunked = None
        if not keep:
            self._linger()
            return
        self._body_left = 0
        self.state = IDLE
        self.deadline = self.listener.tick + IDLE_DEADLINE_S
        if self._send_paused:
            # The client has not taken the last answer yet: the next request waits for that.
            self.deadline = self.listener.tick + SEND_STALL_S
            self.pause_reading()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Serve what was pipelined; from the loop, so that a long pipeline is no deep recursion. Else read."""
        if self._buffer:
            self.state = HEAD
            self.deadline = self.listener.tick + HEAD_DEADLINE_S
            asyncio.get_running_loop().call_soon(self._on_pipelined)
        else:
            self.resume_reading()

    def _on_pipelined(self) -> None:
        if self.state == HEAD:
            data, self._buffer = self._buffer, b""
            self.state = IDLE
            self._on_head_bytes(data)
            if self.state == HEAD or self.state == IDLE:
                self.resume_reading()

    def _linger(self) -> None:
        self.state = LINGER
        self._buffer = b""
        self._body_seen = 0
        self.deadline = self.listener.tick + LINGER_S
        if self.transport.is_closing():
            return
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def begin_tunnel(self) -> None:
        """From here bytes pass as they are."""
        self._uncount()
        self.state = TUNNEL
        self.deadline = 0.0
        self.keep = False
        data, self._buffer = self._buffer, b""
        if data and self.exchange is not None and self.exchange.responder is not None:
            self.exchange.responder.on_body(data)
        self.resume_reading()

    # -- flow and deadlines -------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Read nothing more from the client for now."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self._set_active_deadline()
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._set_active_deadline()
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def _set_active_deadline(self) -> None:
        """While a body is wanted and may come, it is watched; waiting for a backend has no deadline here."""
        if self.state != ACTIVE or self._send_paused:
            return
        if not (self._body_wanted and self._body_open() and not self._paused):
            self.deadline = 0.0
        elif not self.deadline:
            self._watch_body(FIRST_WINDOW_S)

    def _watch_body(self, window_s: float) -> None:
        """From now on what comes of the body counts."""
        self._body_came = 0
        has_rate = self.listener.capacity.body_bytes_per_s
        self.deadline = self.listener.tick + (window_s if has_rate else BODY_STALL_S)

    def _is_coming(self) -> bool:
        """True when enough of the body came within its window."""
        least = self.listener.capacity.body_bytes_per_s * BODY_WINDOW_S
        return self._body_wanted and self._body_open() and self._body_came >= max(1.0, least)

    def expire(self) -> None:
        """The deadline of the state has passed (called by the listener's sweep)."""
        if self.state == HEAD:
            self._refuse(BadRequest("the request took too long", code="request_timeout", status=408))
        elif self._is_sending():
            self.deadline = self.listener.tick + SEND_STALL_S
        elif self.state == ACTIVE:
            self._expire_active()
        elif self.transport.get_write_buffer_size():
            reset(self.transport)
        else:
            self.transport.close()

    def _is_sending(self) -> bool:
        """True when something waits to be sent, and less than the last time: slow, but not stuck."""
        before, self._unsent_bytes = self._unsent_bytes, self.transport.get_write_buffer_size()
        return gets_less(before, self._unsent_bytes)

    def _expire_active(self) -> None:
        exchange = self.exchange
        if not self._send_paused and self._is_coming():
            self._watch_body(BODY_WINDOW_S)
        elif self._send_paused:
            reset(self.transport)
        elif exchange is None or exchange.is_started:
            self.abort()
        else:
            error = BadRequest("the body took too long", code="request_timeout", status=408)
            self._break_body(exchange, error)

    @property
    def is_idle(self) -> bool:
        """True between requests."""
        return self.state == IDLE and not self._buffer and not self.transport.is_closing()

    def drain(self) -> None:
        """The program is going: the next answer is the last, and what has no end of its own ends."""
        if self.exchange is not None and self.exchange.responder is not None:
            self.exchange.responder.on_drain()

    def under_way(self) -> Iterator[H1Exchange]:
        """What is being answered."""
        if self.exchange is not None:
            yield self.exchange

    def close_idle(self) -> None:
        """The program is going, and has waited for requests on their way: close, when there is none."""
        if self.is_idle:
            self.transport.close()

    def abort(self) -> None:
        """Close without ceremony."""
        if self.state != CLOSED:
            self.transport.abort()
