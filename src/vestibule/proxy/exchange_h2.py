"""An exchange over one stream of HTTP/2: what is to be sent waits here for its turn, what came for who wants it.

Out: `outbox` holds what the client's window or the other streams leave no room for yet; beyond `OUTBOX_HIGH_BYTES` the
responder is told to pause. In: body bytes that nobody wants yet, or has paused, are held, and the client's window is
only opened again for what was taken, so no stream can hold more than its window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from vestibule.errors import BadRequest
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.h2_frames import CANCEL, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR
from vestibule.proxy.capacity import Place
from vestibule.proxy.exchange import Exchange, Listener, Responder

OUTBOX_HIGH_BYTES = 64 * 1024
OUTBOX_LOW_BYTES = 16 * 1024
_NO_BODY = frozenset((b"204", b"304"))
_NO_LENGTH = frozenset((b"204",))
_NO_WEBSOCKET = b"HTTP/1.1 502 Bad Gateway", (b"Cache-Control: no-store",), b""
"""For a backend that answers as if no WebSocket had been asked for: to a client of HTTP/2, 2xx would be one."""


class Connection(Protocol):
    """What an exchange needs of the connection that its stream is of."""

    peer: str

    @property
    def listener(self) -> Listener:
        """Where the connection was accepted."""

    def send_head(
        self,
        exchange: H2Exchange,
        status_line: bytes,
        lines: Sequence[bytes],
        length: int | None,
        *,
        ends: bool,
    ) -> None:
        """Write the head of an answer, or of an interim one."""

    def send_more(self, exchange: H2Exchange) -> None:
        """There is something in its outbox, or nothing will be any more."""

    def took(self, exchange: H2Exchange, number: int) -> None:
        """So many body bytes, as flow control counts them, were taken or thrown away."""

    def watch_body(self, exchange: H2Exchange) -> None:
        """Its body is wanted, or no more: see to its deadline, and to how much may come."""

    def reset(self, exchange: H2Exchange, code: int) -> None:
        """End its stream for both sides."""

    def exchange_ended(self, exchange: H2Exchange) -> None:
        """Its stream is over."""

    def refuse_body(self, exchange: H2Exchange, error: BadRequest) -> None:
        """The body is broken, too slow or too large: answer so, where nothing was answered."""


class H2Exchange(Exchange):
    """An exchange over one stream of HTTP/2."""

    _started = False
    _is_event_stream = False
    _left: int | None = None
    _is_finished = False
    """The responder has said all; what is in the outbox goes out yet."""
    _trailers: Sequence[bytes] = ()
    _told_to_pause = False
    _wanted = False
    _body_paused = False
    _limit: int | None = None
    _seen = 0
    _is_whole = False
    """The client has ended its side."""
    _request_trailers: Sequence[bytes] | None = None
    """Of a body that is whole, until the responder was told."""
    window_grown = False
    """More than the first window was opened for its body."""
    owed_bytes = 0
    """Taken of its body, and not yet given back to the client's window."""
    came_bytes = 0
    """Of its body, since it was last looked at."""
    body_at = 0.0
    """When more of its body must have come; 0: nobody waits for it."""
    came_behind: Sequence[bytes] = ()
    """Trailers of the request."""
    outbox_bytes = 0
    send_at = 0.0
    """When its client must have taken something; 0: nothing waits for that."""
    has_turn = False
    """It stands in the row of those that have something to send."""
    has_ended = False
    """Its side of the stream is ended: all that was to be sent is."""
    place: Place | None = None
    """What it takes of the process's capacity."""
    is_tunnel = False
    """It was upgraded."""

    def __init__(
        self, connection: Connection, stream_id: int, head: RequestHead, began_at_mono: float
    ) -> None:
        super().__init__(head, connection.listener, connection.peer, began_at_mono)
        self._connection: Connection | None = connection
        self.stream_id = stream_id
        self._asks_for_tunnel = bool(head.upgrade)
        """Whoever answers may pay no heed to it, and take it out of the head."""
        self.outbox: deque[bytes] = deque()
        self._held: deque[tuple[bytes, int]] = deque()
        """Body bytes nobody has wanted yet, with what flow control counts for them."""

    # -- the answer ---------------------------------------------------------------------------

    def answer(self, status_line: bytes, lines: Sequence[bytes], body: bytes = b"", raw: bytes = b"") -> None:
        connection = self._connection
        if connection is None or self._started:
            return
        if self._asks_for_tunnel and status_line[9:10] == b"2":
            status_line, lines, body = _NO_WEBSOCKET
        self._started = True
        code = status_line[9:12]
        self.status = int(code)
        length = None if code in _NO_BODY else len(body)
        if self.head.method == b"HEAD" or code in _NO_BODY:
            body = b""
        self.bytes_out = len(body)
        self._is_finished = True
        connection.send_head(self, status_line, self.secured(lines), length, ends=not body)
        if body:
            self._put(body)
        if self._connection is not None:
            connection.send_more(self)

    def start(self, status_line: bytes, lines: Sequence[bytes], length: int | None) -> None:
        connection = self._connection
        if connection is None or self._started:
            return
        if self._asks_for_tunnel and status_line[9:10] == b"2":
            responder = self.take_responder()
            if responder is not None:
                responder.on_gone()
            self.answer(*_NO_WEBSOCKET)
            return
        self._started = True
        code = status_line[9:12]
        self.status = int(code)
        bodiless = self.head.method == b"HEAD" or code in _NO_BODY
        self._left = 0 if bodiless else length
        if length is None and not bodiless:
            self._is_event_stream = any(map(_says_event_stream, lines))
            self.begin_to_last()
            if self.is_closed:
                return  # it may last no longer already
        told = None if code in _NO_LENGTH else length
        connection.send_head(self, status_line, self.secured(lines), told, ends=False)

    def write(self, data: bytes) -> None:
        connection = self._connection
        if connection is None or not data or self._is_finished:
            return
        if self._left is not None:
            if len(data) > self._left:
                # More than was announced: the backend is out of step, and so would the client be.
                self.abort()
                return
            self._left -= len(data)
        self.bytes_out += len(data)
        self._put(data)
        connection.send_more(self)
        if self.outbox_bytes > OUTBOX_HIGH_BYTES and not self._told_to_pause and self._connection is not None:
            self._told_to_pause = True
            if self.responder is not None:
                self.responder.on_pause()

    def finish(self, trailers: Sequence[bytes] = ()) -> None:
        connection = self._connection
        if connection is None or self._is_finished:
            return
        if self._left:
            self.abort()
            return
        self._is_finished = True
        self._trailers = trailers
        connection.send_more(self)

    def inform(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        connection = self._connection
        if connection is not None and not self._started:
            connection.send_head(self, status_line, lines, None, ends=False)

    def abort(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.reset(self, INTERNAL_ERROR)
            self.gone()

    def cut(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if not self._is_event_stream:
            connection.reset(self, CANCEL)
            self.gone()
            return
        self.end_listening()

    def upgrade(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        """200 is what 101 is over HTTP/1.1; the key was the gateway's own. Spec: RFC 8441 section 5."""
        connection = self._connection
        if connection is None or self._started:
            return
        self._started = self.is_tunnel = True
        self.status = 101
        self.begin_to_last()
        if self.is_closed:
            return
        passed = [line for line in lines if not line.lower().startswith(b"sec-websocket-accept:")]
        if self.place is not None:
            self.place.begin_tunnel()
        connection.send_head(self, b"HTTP/1.1 200 OK", passed, None, ends=False)
        self.want_body()

    def close_tunnel(self) -> None:
        self.finish()

    @property
    def is_over(self) -> bool:
        return self._is_finished or self._connection is None

    @property
    def is_closed(self) -> bool:
        """True when its stream is: nothing is sent or taken any more."""
        return self._connection is None

    @property
    def is_started(self) -> bool:
        """True once the head of the final answer is out."""
        return self._started

    # -- what is sent of it ---------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Nothing more will come into the outbox."""
        return self._is_finished

    @property
    def trailers(self) -> Sequence[bytes]:
        """What ends the answer instead of its last body bytes."""
        return self._trailers

    def _put(self, data: bytes) -> None:
        self.outbox.append(data)
        self.outbox_bytes += len(data)

    def take(self, number: int) -> bytes:
        """The next bytes to send, so many at most; at least one is there."""
        outbox = self.outbox
        first = outbox.popleft()
        if len(first) < number and outbox:
            parts, size = [first], len(first)
            while outbox and size < number:
                parts.append(outbox.popleft())
                size += len(parts[-1])
            first = b"".join(parts)
        if len(first) > number:
            outbox.appendleft(first[number:])
            first = first[:number]
        self.outbox_bytes -= len(first)
        return first

    def sent(self) -> None:
        """Something went out: whoever waits for that may go on."""
        if self._told_to_pause and self.outbox_bytes <= OUTBOX_LOW_BYTES:
            self._told_to_pause = False
            if self.responder is not None:
                self.responder.on_resume()

    # -- the request's body -------------------------------------------------------------------

    def want_body(self) -> None:
        connection = self._connection
        if connection is None or self._wanted:
            return
        if self.head.upgrade and not self.is_tunnel:
            # What comes before the answer is the tunnel's; of the request there is no body.
            if self.responder is not None:
                self.responder.on_body_end(())
            return
        self._wanted = True
        connection.watch_body(self)
        if self._is_too_large():
            connection.refuse_body(self, _too_large())  # it came before anybody said how large it may be
        else:
            self._hand_over()

    def limit_body(self, limit_bytes: int) -> None:
        self._limit = limit_bytes

    def pause_body(self) -> None:
        if not self._body_paused:
            self._body_paused = True
            if self._connection is not None:
                self._connection.watch_body(self)

    def resume_body(self) -> None:
        if self._body_paused:
            self._body_paused = False
            if self._connection is not None:
                self._connection.watch_body(self)
                self._hand_over()

    @property
    def awaits_body(self) -> bool:
        """The next byte of the body is the client's to send, and somebody waits for it."""
        return self._wanted and not self._body_paused and not self._is_whole and not self.is_tunnel

    @property
    def is_body_whole(self) -> bool:
        """The client has ended its side."""
        return self._is_whole

    @property
    def held_bytes(self) -> int:
        """What has come of its body, and waits."""
        return sum(len(data) for data, _ in self._held)

    def on_data(self, data: bytes, counted: int) -> None:
        """Bytes of the body have come; `counted` with their padding."""
        connection = self._connection
        if connection is None:
            return
        self._seen += len(data)
        length = self.head.content_length
        if length is not None and self._seen > length:
            self.break_off(PROTOCOL_ERROR)
        elif self._is_too_large():
            connection.took(self, counted)
            connection.refuse_body(self, _too_large())
        elif self._wanted and not self._body_paused and not self._held:
            connection.took(self, counted)
            if data and self.responder is not None:
                self.responder.on_body(data)
        else:
            self._held.append((data, counted))

    def _is_too_large(self) -> bool:
        return self._limit is not None and self._seen > self._limit and not self.is_tunnel

    def on_whole(self, trailers: Sequence[bytes]) -> None:
        """The client has ended its side."""
        if self._connection is None:
            return
        self._is_whole = True
        if self.head.content_length is not None and self._seen != self.head.content_length:
            self.break_off(PROTOCOL_ERROR)
            return
        self._request_trailers = trailers
        self._connection.watch_body(self)
        self._hand_over()

    def _hand_over(self) -> None:
        """Give what is held to who wants it."""
        connection = self._connection
        while self._held and connection is not None and self._wanted and not self._body_paused:
            data, counted = self._held.popleft()
            connection.took(self, counted)
            if data and self.responder is not None:
                self.responder.on_body(data)
            connection = self._connection
        trailers = self._request_trailers
        if trailers is None or self._held or not self._wanted or self._connection is None:
            return
        if self._body_paused and (self.head.has_body or self.is_tunnel):
            return
        self._request_trailers = None
        if self.responder is not None:
            self.responder.on_body_end(trailers)

    # -- its end ------------------------------------------------------------------------------

    def break_off(self, code: int) -> None:
        """End its stream for what the client did on it."""
        connection = self._connection
        if connection is not None:
            connection.reset(self, code)
            self.gone()

    def ended(self) -> None:
        """The answer is out, whole. A body that isn't whole yet is of no use to anybody (RFC 9113 section 8.1)."""
        connection = self._connection
        if connection is None:
            return
        if not self._is_whole:
            connection.reset(self, NO_ERROR)
        self._let_go(connection)

    def gone(self) -> None:
        """The stream is lost or given up: tell the responder, once."""
        connection = self._connection
        if connection is None:
            return
        responder = self.responder
        self._connection = None
        if responder is not None:
            responder.on_gone()
        self._let_go(connection)

    def take_responder(self) -> Responder | None:
        """Whoever answers, who is not asked any more."""
        responder, self.responder = self.responder, None
        return responder

    def _let_go(self, connection: Connection) -> None:
        self._connection = None
        for _, counted in self._held:
            connection.took(self, counted)
        self._held.clear()
        self.outbox.clear()
        self.outbox_bytes = 0
        # Responder and exchange hold each other: let go here, and nothing waits for the garbage collector.
        self.responder = None
        connection.exchange_ended(self)
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self)


def _too_large() -> BadRequest:
    return BadRequest("the body is too large", code="body_too_large", status=413)


def _says_event_stream(line: bytes) -> bool:
    name, _, value = line.partition(b":")
    return name.lower() == b"content-type" and value.strip().lower().startswith(b"text/event-stream")
