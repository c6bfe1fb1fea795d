"""An exchange over HTTP/1.1: answers to bytes, framed so that their end is never in doubt (RFC 9112 section 6)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from vestibule.protocol.h1 import RequestHead
from vestibule.proxy.exchange import Exchange, Listener

_NO_BODY = frozenset((b"204", b"304"))


class Connection(Protocol):
    """What an exchange needs of the connection it came by."""

    transport: asyncio.Transport
    keep: bool
    peer: str

    @property
    def listener(self) -> Listener:
        """Where the connection was accepted."""

    def may_keep(self) -> bool:
        """True while the connection can serve another request after this answer."""

    def send(self, data: bytes) -> None:
        """Write to the client."""

    def send_parts(self, parts: Sequence[bytes]) -> None:
        """Write several pieces to the client."""

    def exchange_ended(self, *, keep: bool) -> None:
        """The answer is whole."""

    def begin_tunnel(self) -> None:
        """From here bytes pass as they are."""

    def abort(self) -> None:
        """Close without ceremony."""

    def want_body(self) -> None:
        """Deliver the request's body."""

    def limit_body(self, limit: int) -> None:
        """The most body bytes there may be."""

    def pause_reading(self) -> None:
        """Read nothing more for now."""

    def resume_reading(self) -> None:
        """Read on."""


class H1Exchange(Exchange):
    """An exchange over one HTTP/1.1 connection."""

    _started = False
    _chunked = False
    _is_event_stream = False
    _left: int | None = None

    def __init__(self, connection: Connection, head: RequestHead, began_at_mono: float) -> None:
        super().__init__(head, connection.listener, connection.peer, began_at_mono)
        self._connection: Connection | None = connection

    def answer(self, status_line: bytes, lines: Sequence[bytes], body: bytes = b"", raw: bytes = b"") -> None:
        connection = self._connection
        if connection is None or self._started:
            return
        self._started = True
        code = status_line[9:12]
        self.status = int(code)
        if self.tls is not None:
            came, lines = lines, self.secured(lines)
            raw = raw if lines is came else b""
        if raw and self.head.minor and self.head.method != b"HEAD" and connection.may_keep():
            self.bytes_out = len(body)
            connection.transport.write(raw)
            self._end(keep=True)
            return
        parts = [status_line, *lines]
        if code not in _NO_BODY:
            parts.append(b"Content-Length: %d" % len(body))
        keep = connection.may_keep()
        if not keep:
            parts.append(b"Connection: close")
        elif self.head.minor == 0:
            parts.append(b"Connection: keep-alive")
        parts.append(b"")
        if self.head.method == b"HEAD" or code in _NO_BODY:
            body = b""
        parts.append(body)
        data = b"\r\n".join(parts)
        self.bytes_out = len(body)
        connection.send(data)
        self._end(keep=keep)

    def start(self, status_line: bytes, lines: Sequence[bytes], length: int | None) -> None:
        connection = self._connection
        if connection is None or self._started:
            return
        self._started = True
        code = status_line[9:12]
        self.status = int(code)
        parts = [status_line, *(lines if self.tls is None else self.secured(lines))]
        bodiless = self.head.method == b"HEAD" or code in _NO_BODY
        self._left = length
        if length is not None:
            if code != b"204":
                parts.append(b"Content-Length: %d" % length)
        elif not bodiless:
            self._is_event_stream = any(map(_says_event_stream, lines))
            self.begin_to_last()
            if self.head.minor == 1:
                self._chunked = True
                parts.append(b"Transfer-Encoding: chunked")
            else:
                connection.keep = False
        if bodiless:
            self._left = 0
            self._chunked = False
        if not connection.may_keep():
            connection.keep = False  # what was said holds, though the body may be whole by the end
            parts.append(b"Connection: close")
        elif self.head.minor == 0:
            parts.append(b"Connection: keep-alive")
        parts.append(b"\r\n")
        connection.send(b"\r\n".join(parts))

    def write(self, data: bytes) -> None:
        connection = self._connection
        if connection is None or not data:
            return
        if self._left is not None:
            if len(data) > self._left:
                # More than was announced: the backend is out of step, and so would the client be.
                self.abort()
                return
            self._left -= len(data)
        self.bytes_out += len(data)
        if self._chunked:
            connection.send_parts((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            connection.send(data)

    def finish(self, trailers: Sequence[bytes] = ()) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._left:
            self.abort()
            return
        if self._chunked:
            connection.send(b"\r\n".join((b"0", *trailers, b"", b"")))
        self._end(keep=connection.may_keep())

    def inform(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        connection = self._connection
        if connection is not None and not self._started and self.head.minor == 1:
            connection.send(b"\r\n".join((status_line, *lines, b"", b"")))

    def abort(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.abort()
            self.gone()

    def cut(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if not (self._is_event_stream and self._chunked):
            self.abort()
            return
        self.end_listening()

    def upgrade(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        connection = self._connection
        if connection is not None and not self._started:
            self._started = True
            self.status = 101
            self.begin_to_last()
            connection.send(b"\r\n".join((status_line, *lines, b"", b"")))
            connection.begin_tunnel()

    def close_tunnel(self) -> None:
        self._end(keep=False)

    def want_body(self) -> None:
        if self._connection is not None:
            self._connection.want_body()

    def limit_body(self, limit_bytes: int) -> None:
        if self._connection is not None:
            self._connection.limit_body(limit_bytes)

    def pause_body(self) -> None:
        if self._connection is not None:
            self._connection.pause_reading()

    def resume_body(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()

    @property
    def is_over(self) -> bool:
        return self._connection is None

    @property
    def is_started(self) -> bool:
        """True once the head of the final answer is out."""
        return self._started

    def _end(self, *, keep: bool) -> None:
        connection = self._connection
        if connection is None:
            return
        self._connection = None
        self._report()
        connection.exchange_ended(keep=keep)

    def gone(self) -> None:
        """The connection is lost or given up: tell the responder, once."""
        if self._connection is None:
            return
        self._connection = None
        responder = self.responder
        if responder is not None:
            responder.on_gone()
        self._report()

    def _report(self) -> None:
        # Responder and exchange hold each other: let go here, and nothing waits for the garbage collector.
        self.responder = None
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self)


def _says_event_stream(line: bytes) -> bool:
    name, _, value = line.partition(b":")
    return name.lower() == b"content-type" and value.strip().lower().startswith(b"text/event-stream")
