"""One request over HTTP/2 and its answer (RFC 9113 section 8): a stream of a connection that carries others, too.

It is to a relay what a connection of HTTP/1.1 is. A fault of its own resets it, and leaves the connection alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from h2.connection import H2Connection
from h2.errors import ErrorCodes

from vestibule.errors import BackendError
from vestibule.protocol.h1_answer import AnswerHead
from vestibule.protocol.h2_upstream import Field, answer_head, request_fields, trailer_fields, trailer_lines
from vestibule.proxy.connection import gets_less
from vestibule.proxy.upstream import ANSWER_DEADLINE_S, SEND_STALL_S, Client, Sent

WINDOW_BYTES = 256 * 1024
"""What may come of one answer before its client has read any of it."""
STREAM_ID_MAX = 1 << 30
"""Beyond it a new connection is made: the ids of a connection are not endless."""
SENT_KEPT_BYTES = 64 * 1024
"""Of a request's body, for the case that the backend says it has done nothing of it."""
INTERIM_MAX = 16
"""Interim answers (1xx) to one request."""


class Carrier(Protocol):
    """What a stream needs of its connection."""

    scheme: bytes
    drains: bool
    is_stuck: bool
    is_closed: bool
    streams: dict[int, UpstreamStream]

    @property
    def has_room(self) -> bool:
        """True while another stream may begin here."""

    @property
    def engine(self) -> H2Connection:
        """The state of the connection; whoever changes it calls `flush`."""

    def now(self) -> float:
        """The loop's clock."""

    def flush(self) -> None:
        """Send what there is to be sent."""

    def sent(self, length: int) -> None:
        """A piece of a body went out, so long."""

    def ended(self, stream: UpstreamStream) -> None:
        """A stream is over."""

    def doubt(self) -> None:
        """Ask the server whether it is there at all."""


class UpstreamStream:
    """One request and its answer: what a relay asks by (`upstream.Upstream`)."""

    __slots__ = (
        "_connection",
        "_ends",
        "_head",
        "_interims",
        "_is_head_request",
        "_is_held",
        "_left",
        "_paused",
        "_request_open",
        "_sent",
        "_trailers",
        "_unread_bytes",
        "_unsent_bytes",
        "_waiting",
        "_waiting_bytes",
        "answer_s",
        "client",
        "deadline",
        "id",
        "is_closed",
    )

    def __init__(self, connection: Carrier) -> None:
        self._connection = connection
        self.id = 0
        """0 until the request is sent."""
        self.client: Client | None = None
        self.is_closed = False
        self.deadline = 0.0
        self.answer_s = ANSWER_DEADLINE_S
        # the request
        self._request_open = False
        self._waiting: deque[bytes | memoryview] = deque()
        self._waiting_bytes = 0
        self._unsent_bytes = 0
        """What waited when the deadline was last looked at; 0: not looked at yet."""
        self._is_held = False
        """The client was told that the body comes faster than it is taken."""
        self._ends = False
        self._trailers: Sequence[bytes] = ()
        self._sent: Sent | None = Sent()
        # the answer
        self._is_head_request = False
        self._head: AnswerHead | None = None
        self._interims = 0
        self._left: int | None = None
        self._paused = False
        self._unread_bytes = 0
        """What came and was not yet said to be read."""

    # -- the client's calls -------------------------------------------------------------------

    def send(
        self,
        client: Client,
        data: bytes,
        *,
        is_head: bool,
        body_follows: bool,
        is_chunked: bool = False,
        takes_trailers: bool = False,
        answer_s: float = ANSWER_DEADLINE_S,
    ) -> None:
        """As `upstream.Upstream`."""
        connection = self._connection
        self.client = client
        self.answer_s = answer_s
        self._is_head_request = is_head
        self._request_open = body_follows
        if not connection.has_room:
            asyncio.get_running_loop().call_soon(self.on_unprocessed)
            return
        engine = connection.engine
        self.id = engine.get_next_available_stream_id()
        connection.drains = connection.drains or self.id > STREAM_ID_MAX
        fields = self._fields_of(data, takes_trailers=takes_trailers)
        connection.streams[self.id] = self
        engine.send_headers(self.id, fields, end_stream=not body_follows)
        if not body_follows and self._sent is not None:
            self._sent.end(())
        self._wait()
        connection.flush()

    def _fields_of(self, data: bytes, *, takes_trailers: bool) -> list[Field]:
        """The header list that this head goes out as."""
        return request_fields(data, self._connection.scheme, takes_trailers=takes_trailers)

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body, now or as the backend takes it."""
        if self.is_closed or not data:
            return
        if self._sent is not None:
            self._sent.add(data)
            if self._sent.size_bytes > SENT_KEPT_BYTES:
                self._sent = None
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._pump_all()

    def end_body(self, trailers: Sequence[bytes] = ()) -> None:
        """The request is whole."""
        if self.is_closed or not self._request_open:
            return
        if self._sent is not None:
            self._sent.end(trailers)
        self._ends = True
        self._trailers = trailers
        self._pump_all()

    def end_raw(self) -> None:
        """Nothing is switched here."""

    def close(self) -> None:
        """Leave it: the stream is reset, the connection goes on. No call of the client follows."""
        self.client = None
        self._reset(ErrorCodes.CANCEL)

    def give_back(self) -> None:
        """Nothing was sent."""

    def pause(self) -> None:
        """Let no more of the answer come than its window holds."""
        self._paused = True

    def resume(self) -> None:
        """Let it come."""
        self._paused = False
        if self.id and not self.is_closed:
            self._acknowledge()
            self._connection.flush()

    # -- the body -----------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """True while something of the request is still here."""
        return self._request_open and not self.is_closed and (self._ends or bool(self._waiting))

    def _pump_all(self) -> None:
        if not self.id:
            return
        while not self._connection.is_stuck and self.pump():
            pass
        if self._waiting and not self._is_held and not self.is_closed:
            self._is_held = True
            self._unsent_bytes = 0
            self.deadline = self._connection.now() + SEND_STALL_S
            if self.client is not None:
                self.client.on_pause_body()
        self._connection.flush()

    def pump(self) -> bool:
        """Send one frame, if the windows take it; True while there may be more."""
        if not self.waits:
            return False
        engine = self._connection.engine
        if self._waiting:
            room = min(engine.local_flow_control_window(self.id), engine.max_outbound_frame_size)
            if room <= 0:
                return False
            self._send_piece(engine, room)
            return self.waits
        self._request_open = False
        if self._trailers and (fields := trailer_fields(self._trailers)):
            engine.send_headers(self.id, fields, end_stream=True)
        else:
            engine.end_stream(self.id)
        self._wait()
        return False

    def _send_piece(self, engine: H2Connection, room: int) -> None:
        piece = self._waiting.popleft()
        if len(piece) > room:
            whole = memoryview(piece)
            self._waiting.appendleft(whole[room:])
            piece = whole[:room]
        self._waiting_bytes -= len(piece)
        is_last = self._ends and not self._waiting and not self._trailers
        engine.send_data(self.id, piece, end_stream=is_last)
        self._connection.sent(len(piece))
        if is_last:
            self._request_open = False
        if not self._waiting and self._is_held:
            self._is_held = False
            if self.client is not None:
                self.client.on_resume_body()
        if not self._waiting:
            self._wait()

    def _wait(self) -> None:
        """The deadline of the answer's head, once the request is out."""
        is_waiting = self._head is None and not self._request_open
        self.deadline = self._connection.now() + self.answer_s if is_waiting else 0.0

    # -- the answer ---------------------------------------------------------------------------

    def on_interim(self, fields: Sequence[Field]) -> None:
        """A 1xx answer."""
        client = self.client
        self._interims += 1
        if self._interims > INTERIM_MAX:
            self._fail(BackendError("the backend's answer has no end of beginnings", code="bad_answer"))
            return
        try:
            head = answer_head(fields)
        except BackendError as error:
            self._fail(error)
            return
        if client is not None:
            client.on_interim(head)

    def on_head(self, fields: Sequence[Field], *, ended: bool) -> None:
        """The head of the answer; `ended`: and nothing behind it."""
        client = self.client
        if client is None:
            return
        try:
            head = answer_head(fields)
        except BackendError as error:
            self._fail(error)
            return
        self._head = head
        self._sent = None
        self.deadline = 0.0
        if self._is_bodiless(head):
            self._left = 0
            client.on_head(head, head.content_length)
            if ended and self.client is client:
                self._done(())
        elif ended and head.content_length:
            self._fail(BackendError("the backend's answer is shorter than it says", code="bad_answer"))
        elif ended:
            self._finish()
            client.on_whole(head, b"", b"")
        else:
            self._left = head.content_length
            client.on_head(head, head.content_length)

    def on_data(self, data: bytes, size: int, *, ended: bool) -> None:
        """A piece of the body; `size` is what it took of the window."""
        client = self.client
        if client is None:
            return
        if self._head is None or (self._left is not None and len(data) > self._left):
            self._fail(BackendError("the backend's answer is longer than it says", code="bad_answer"))
            return
        if self._left is not None:
            self._left -= len(data)
        self._unread_bytes += size
        if data:
            client.on_data(data)
        if self.client is not client:
            return
        if ended:
            self._done(())
        elif not self._paused:
            self._acknowledge()

    def on_trailers(self, fields: Sequence[Field]) -> None:
        """The fields behind the body, with which it ends."""
        try:
            lines = trailer_lines(fields)
        except BackendError as error:
            self._fail(error)
            return
        self._done(lines)

    def on_reset(self, code: int) -> None:
        """The backend gives the stream up. Spec: RFC 9113 section 8.7."""
        if code == ErrorCodes.REFUSED_STREAM and self._head is None:
            self.on_unprocessed()
            return
        self._connection.ended(self)
        detail = f"HTTP/2: the stream was reset ({_name_of(code)})"
        self.on_lost(BackendError("the backend broke off", code="backend_broke_off", detail=detail))

    def on_unprocessed(self) -> None:
        """The backend has done nothing of this request."""
        client, sent = self.client, self._sent
        self.client = None
        self.is_closed = True
        self._connection.ended(self)
        if client is not None:
            error = BackendError("the backend takes no request now", detail="HTTP/2: the stream was refused")
            client.on_unprocessed(error, sent)

    def on_lost(self, error: BackendError) -> None:
        """The answer can't come any more, or no more of it."""
        client, self.client = self.client, None
        self.is_closed = True
        if client is not None:
            client.on_lost(error, answered=self._head is not None)

    def expire(self) -> None:
        """The deadline for the answer's head, or for taking the body, has passed."""
        if self._is_held:
            before, self._unsent_bytes = self._unsent_bytes, self._waiting_bytes
            if gets_less(before, self._unsent_bytes):
                self.deadline = self._connection.now() + SEND_STALL_S  # slow, but not stuck
                return
        client, self.client = self.client, None
        self._reset(ErrorCodes.CANCEL)
        self._connection.doubt()
        if client is not None:
            error = BackendError("the backend did not answer in time", code="backend_timeout", status=504)
            client.on_lost(error, answered=True)

    def _is_bodiless(self, head: AnswerHead) -> bool:
        return self._is_head_request or head.status in (204, 304)

    def _acknowledge(self) -> None:
        if self._unread_bytes >= WINDOW_BYTES // 2:
            self._connection.engine.increment_flow_control_window(self._unread_bytes, self.id)
            self._unread_bytes = 0

    def _done(self, trailers: Sequence[bytes]) -> None:
        client = self.client
        if client is None:
            return
        if self._left:
            self._fail(BackendError("the backend's answer is shorter than it says", code="bad_answer"))
            return
        self._finish()
        client.on_end(trailers)

    def _finish(self) -> None:
        """The answer is whole. What is still open of the request nobody wants (RFC 9113 section 8.1)."""
        self.client = None
        if self._request_open:
            self._reset(ErrorCodes.CANCEL)
        else:
            self.is_closed = True
            self._connection.ended(self)

    def _fail(self, error: BackendError) -> None:
        client, self.client = self.client, None
        self._reset(ErrorCodes.PROTOCOL_ERROR)
        if client is not None:
            client.on_lost(error, answered=True)

    def _reset(self, code: ErrorCodes) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._waiting.clear()
        connection = self._connection
        if self.id and not connection.is_closed:
            if self.id in connection.streams:
                _reset_quietly(connection.engine, self.id, code)
            connection.flush()
            connection.ended(self)


def _reset_quietly(engine: H2Connection, stream_id: int, code: ErrorCodes) -> None:
    """Reset it, unless both ends are through with it: bad trailers are seen only when the stream has ended."""
    stream = engine.streams.get(stream_id)
    if stream is not None and not stream.closed:
        engine.reset_stream(stream_id, code)


def _name_of(code: int) -> str:
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"{code:#x}"
