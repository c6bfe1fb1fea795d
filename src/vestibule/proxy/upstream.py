"""The backend's side of HTTP/1.1: one connection, one request at a time, its answer to a relay.

A connection goes back to its origin only when it is byte-synchronised: the request went out whole, the answer came
in whole by its own framing, nothing followed it, and neither side said close. In every other case it is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from vestibule.errors import BackendError, BadRequest
from vestibule.protocol.chunked import Chunked
from vestibule.protocol.h1 import HEAD_LIMIT_BYTES
from vestibule.protocol.h1_answer import AnswerHead, parse_answer_head
from vestibule.proxy.connection import gets_less

ANSWER_DEADLINE_S = 60.0
"""From the request sent to the answer's head."""
SEND_STALL_S = 60.0
"""A backend that takes no byte of a waiting body for longer is given up."""


class Client(Protocol):
    """Who sent the request on a connection: a relay."""

    def on_interim(self, head: AnswerHead) -> None:
        """A 1xx answer other than 101."""

    def on_switched(self, head: AnswerHead) -> None:
        """101: from here `on_data` is raw."""

    def on_whole(self, head: AnswerHead, body: bytes, raw: bytes) -> None:
        """The whole answer at once; the connection has been released already.

        `raw` are the bytes of all of it where they can go on as they are, else empty.
        """

    def on_head(self, head: AnswerHead, length: int | None) -> None:
        """The head of an answer whose body follows."""

    def on_data(self, data: bytes) -> None:
        """A piece of the body."""

    def on_end(self, trailers: Sequence[bytes]) -> None:
        """The answer is whole; the connection has been released already."""

    def on_lost(self, error: BackendError, *, answered: bool) -> None:
        """The connection broke, or the answer can't be believed; `answered`: bytes of the answer had come."""

    def on_pause_body(self) -> None:
        """The backend takes the request's body more slowly than it comes."""

    def on_resume_body(self) -> None:
        """It has caught up."""

    def on_unprocessed(self, error: BackendError, sent: Sent | None) -> None:
        """The backend says that it has done nothing of this request; `sent`: what it has got of its body, if kept."""


class Sent:
    """The beginning of a request's body, kept as long as it may have to be sent again."""

    __slots__ = ("is_whole", "pieces", "size_bytes", "trailers")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size_bytes = 0
        self.is_whole = False
        self.trailers: Sequence[bytes] = ()

    def add(self, data: bytes) -> None:
        """One more piece of it."""
        self.pieces.append(data)
        self.size_bytes += len(data)

    def end(self, trailers: Sequence[bytes]) -> None:
        """That was all."""
        self.is_whole = True
        self.trailers = trailers


class Upstream(Protocol):
    """By what a relay asks one server: a connection, or a stream of one."""

    is_closed: bool

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
        """Send a request's head, with all of a body that is there already; its answer begins within `answer_s`.

        `is_chunked`: the length of its body is not known. `takes_trailers`: whoever asked can be given trailers.
        """

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body."""

    def end_body(self, trailers: Sequence[bytes] = ()) -> None:
        """The request is whole."""

    def end_raw(self) -> None:
        """A switched connection: nothing more will be sent."""

    def close(self) -> None:
        """Leave it: what is under way is broken off. No call of the client follows."""

    def give_back(self) -> None:
        """Nothing was sent, and nothing will be."""

    def pause(self) -> None:
        """Let no more of the answer come for now."""

    def resume(self) -> None:
        """Let it come."""


class Origin(Protocol):
    """What a connection needs of the server it leads to."""

    def release(self, connection: UpstreamConnection) -> None:
        """Take it back for the next request."""

    def forget(self, connection: UpstreamConnection) -> None:
        """It is closed."""

    def now(self) -> float:
        """The loop's clock."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to one server."""

    __slots__ = (
        "_answered",
        "_body",
        "_buffer",
        "_head",
        "_is_chunked",
        "_left",
        "_paused",
        "_raw",
        "_request_open",
        "_send_paused",
        "_unsent_bytes",
        "answer_s",
        "client",
        "deadline",
        "idle_since",
        "is_closed",
        "is_head_request",
        "keep",
        "origin",
        "transport",
    )

    def __init__(self, origin: Origin) -> None:
        # per connection
        self.origin = origin
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.is_closed = False
        self.idle_since = 0.0
        self.deadline = 0.0
        # per request
        self.client: Client | None = None
        self.answer_s = ANSWER_DEADLINE_S
        self.keep = True
        self.is_head_request = False
        self._request_open = False
        self._is_chunked = False
        self._answered = False
        self._buffer = b""
        self._head: AnswerHead | None = None
        self._left: int | None = None
        self._body: Chunked | None = None
        self._paused = False
        self._send_paused = False
        self._unsent_bytes = 0
        """What waited to be sent when the deadline was last looked at; 0: not looked at yet."""
        self._raw = False

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
        """As `Upstream`."""
        self.client = client
        self.answer_s = answer_s
        self.is_head_request = is_head
        self._request_open = body_follows
        self._is_chunked = is_chunked
        self._answered = False
        self._head = None
        self.deadline = 0.0 if body_follows else self.origin.now() + answer_s
        self.transport.write(data)

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body, or of what a switched connection carries."""
        if self._is_chunked:
            self.transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            self.transport.write(data)

    def end_body(self, trailers: Sequence[bytes] = ()) -> None:
        """The request is whole."""
        if self._is_chunked:
            self.transport.write(b"\r\n".join((b"0", *trailers, b"", b"")))
        self._request_open = False
        if self._head is None:
            self.deadline = self.origin.now() + self.answer_s

    def end_raw(self) -> None:
        """A switched connection: nothing more will be sent."""
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self) -> None:
        """Leave it: what is under way is broken off. No call of the client follows."""
        self.client = None
        self.is_closed = True
        self.transport.abort()

    def give_back(self) -> None:
        """Nothing was sent, and nothing will be: the next request may have it."""
        self.origin.release(self)

    def pause(self) -> None:
        """Read no more of the answer for now."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    # -- the transport's calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is None:
            # Nobody asked: whatever it is, the next request must not get it for its answer.
            self.close()
        elif self._raw:
            client.on_data(data)
        elif self._head is None:
            self._answered = True
            self._on_head_bytes(client, self._buffer + data if self._buffer else data)
        else:
            self._on_body(client, data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self.origin.forget(self)
        client, self.client = self.client, None
        if client is None:
            return
        head = self._head
        if self._raw or (head is not None and self._left is None and self._body is None and exc is None):
            # A body that ends with the connection, or a tunnel, ends by a clean close.
            client.on_end(())
            return
        error = BackendError("the backend broke off", code="backend_broke_off", detail=str(exc or "closed"))
        client.on_lost(error, answered=self._answered)

    def pause_writing(self) -> None:
        self._send_paused = True
        self._unsent_bytes = 0
        self.deadline = self.origin.now() + SEND_STALL_S
        if self.client is not None:
            self.client.on_pause_body()

    def resume_writing(self) -> None:
        self._send_paused = False
        is_waiting = self._head is None and not self._request_open
        self.deadline = self.origin.now() + self.answer_s if is_waiting else 0.0
        if self.client is not None:
            self.client.on_resume_body()

    # -- the answer ---------------------------------------------------------------------------

    def _on_head_bytes(self, client: Client, data: bytes) -> None:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > HEAD_LIMIT_BYTES:
                self._buffer = data
                if len(data) > HEAD_LIMIT_BYTES:
                    self._fail(BackendError("the backend's answer has too large a head", code="bad_answer"))
                return
            self._buffer = b""
            raw = data
            try:
                head = parse_answer_head(data[:end])
            except BackendError as error:
                self._fail(error)
                return
            data = data[end + 4 :]
            if head.status >= 200:
                self._on_head(client, head, data, raw)
                return
            if head.status == 101:
                self._raw = True
                self.deadline = 0.0
                self._head = head
                client.on_switched(head)
                if data and self.client is client:
                    client.on_data(data)
                return
            client.on_interim(head)
            if not data or self.client is not client:
                return

    def _on_head(self, client: Client, head: AnswerHead, data: bytes, raw: bytes) -> None:
        """Where the body ends (RFC 9112 section 6.3), and the answer at once where it is whole."""
        self._head = head
        self.deadline = 0.0
        self.keep = head.keep_alive
        self._body = None
        # 1. Answers that never have a body.
        if self.is_head_request or head.status == 204 or head.status == 304:
            self._left = 0
            self.keep = self.keep and not data
            client.on_head(head, head.content_length)
            if self.client is client:
                self._done(client, ())
            return
        # 2. chunked  3. a length  4. until the connection ends
        if head.chunked:
            self._body = Chunked()
        elif head.content_length is not None:
            self._left = head.content_length
            if len(data) >= self._left:
                if len(data) > self._left:
                    self.keep = False
                    data = data[: self._left]
                    raw = b""
                self._release()
                client.on_whole(head, data, raw if head.is_verbatim else b"")
                return
        else:
            self._left = None
            self.keep = False
        client.on_head(head, head.content_length)
        if data and self.client is client:
            self._on_body(client, data)

    def _on_body(self, client: Client, data: bytes) -> None:
        if self._body is not None:
            self._on_chunked(client, self._body, data)
            return
        left = self._left
        if left is None:
            client.on_data(data)
            return
        if len(data) > left:
            self.keep = False
            data = data[:left]
        self._left = left - len(data)
        client.on_data(data)
        if not self._left and self.client is client:
            self._done(client, ())

    def _on_chunked(self, client: Client, body: Chunked, data: bytes) -> None:
        try:
            pieces = body.feed(data)
        except BadRequest as error:
            self._fail(
                BackendError("the backend's answer is malformed", code="bad_answer", detail=error.message)
            )
            return
        for piece in pieces:
            client.on_data(piece)
            if self.client is not client:
                return
        if body.done:
            self.keep = self.keep and not body.rest
            self._done(client, body.trailers)

    def _done(self, client: Client, trailers: Sequence[bytes]) -> None:
        self._release()
        client.on_end(trailers)

    def _release(self) -> None:
        """Give the connection back, or close it when it is not in step."""
        self.client = None
        self._head = None
        self._body = None
        is_sent = not self._request_open and not self.transport.get_write_buffer_size()
        if self.keep and is_sent and not self.transport.is_closing():
            self.resume()
            self.origin.release(self)
        else:
            self.is_closed = True
            self.transport.abort()

    def _fail(self, error: BackendError) -> None:
        client = self.client
        self.close()
        if client is not None:
            client.on_lost(error, answered=True)

    def expire(self) -> None:
        """The deadline for the answer's head, or for taking the body, has passed."""
        if self._send_paused:
            before, self._unsent_bytes = self._unsent_bytes, self.transport.get_write_buffer_size()
            if gets_less(before, self._unsent_bytes):
                self.deadline = self.origin.now() + SEND_STALL_S  # slow, but not stuck
                return
        self._fail(BackendError("the backend did not answer in time", code="backend_timeout", status=504))
