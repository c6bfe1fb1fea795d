"""A WebSocket to a backend of HTTP/2: a stream that both sides keep open (RFC 8441).

To a relay it is what a connection of HTTP/1.1 is that was switched: the 2xx with which the backend takes it becomes the
101 that answers the client's key, what follows are raw bytes, and the end of a side is the end of that side.
"""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.errors import BackendError
from vestibule.protocol.h2_upstream import Field, answer_head, switched_head, websocket_fields
from vestibule.protocol.websocket import accept_of
from vestibule.proxy.stream_h2 import Carrier, UpstreamStream
from vestibule.proxy.upstream import ANSWER_DEADLINE_S, Client


class WebSocketStream(UpstreamStream):
    """One request for a WebSocket, and what becomes of it."""

    __slots__ = ("_key",)

    def __init__(self, connection: Carrier) -> None:
        super().__init__(connection)
        self._key = b""
        """The client's, which the backend does not get: the answer to it is made here."""

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
        """As `upstream.Upstream`; the stream stays open behind the head."""
        super().send(client, data, is_head=False, body_follows=True, answer_s=answer_s)

    def _fields_of(self, data: bytes, *, takes_trailers: bool) -> list[Field]:
        fields, self._key = websocket_fields(data, self._connection.scheme)
        return fields

    def end_body(self, trailers: Sequence[bytes] = ()) -> None:
        """The request has no body; what would end it would end the WebSocket."""

    def end_raw(self) -> None:
        """The client has ended its side."""
        super().end_body()

    # -- the answer ---------------------------------------------------------------------------

    def on_head(self, fields: Sequence[Field], *, ended: bool) -> None:
        """2xx opens it, anything else is an answer as any. Spec: RFC 8441 section 5."""
        client = self.client
        if client is None:
            return
        try:
            head = answer_head(fields)
        except BackendError as error:
            self._fail(error)
            return
        if not 200 <= head.status < 300:
            self._end_side()
            super().on_head(fields, ended=ended)
            return
        self._head = head
        self._sent = None
        self._wait()
        client.on_switched(switched_head(head, accept_of(self._key)))
        if ended and self.client is client:
            self._done(())

    def _wait(self) -> None:
        """The head is waited for though the request is open; behind it each side may be silent."""
        self.deadline = 0.0 if self._head is not None else self._connection.now() + self.answer_s

    def _finish(self) -> None:
        """The backend has ended its side: what it has not taken yet it will not."""
        if not self._waiting:
            self._end_side()
        super()._finish()

    def _end_side(self) -> None:
        """Nothing more is sent."""
        if self._request_open:
            self._request_open = False
            self._connection.engine.end_stream(self.id)
