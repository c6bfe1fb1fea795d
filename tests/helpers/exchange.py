"""An exchange without a connection: it keeps what it is answered with, and plays the client's side of it.

    exchange = FakeExchange(b"POST /a HTTP/1.1\\r\\nHost: app.example\\r\\nContent-Length: 2\\r\\n\\r\\n")
    handler.handle(exchange)        # or a responder's begin
    exchange.send(b"hi")            # the client sends its body; on_body_end follows when it is whole
    assert exchange.status == 200 and exchange.body == b"…"
    await exchange.ended.wait()     # where the answer comes from a thread or a task

What a responder may not do (answer twice, write past the length it announced, go on after the end) fails at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from vestibule.protocol.h1 import parse_request_head
from vestibule.proxy.exchange import Exchange


class FakeListener:
    """The listener the exchange came by."""

    scheme = "http"
    port = 80


class FakeExchange(Exchange):
    """Records its answer: `status_line`, `lines`, `body`, `trailers`, and how it ended."""

    def __init__(self, request: bytes, *, peer: str = "192.0.2.7", reads: bool = True) -> None:
        head, _, rest = request.partition(b"\r\n\r\n")
        assert not rest, "the body goes in by send()"
        super().__init__(parse_request_head(head), FakeListener(), peer, began_at_mono=0.0)
        self.status_line = b""
        self.lines: list[bytes] = []
        self.length: int | None = None
        self.body = b""
        self.trailers: tuple[bytes, ...] = ()
        self.interim: list[bytes] = []
        self.writes: list[int] = []
        self.aborted = False
        self.upgraded = False
        self.ended = asyncio.Event()
        self.wanted = False
        self.paused = False
        self.body_limit: int | None = None
        self.reads = reads
        """False: a client that takes nothing; every write pauses the responder until `catch_up()`."""
        self._left_of_body = self.head.content_length or 0
        self._gone = False

    # -- what a test looks at -------------------------------------------------------------------

    def values(self, name: bytes) -> list[bytes]:
        """The values of the answer's header fields of this name, whatever their case."""
        fields = [line.partition(b":") for line in self.lines]
        return [value.strip() for found, _, value in fields if found.lower() == name.lower()]

    def value(self, name: bytes) -> bytes | None:
        """The one value of that field, None where it is missing."""
        values = self.values(name)
        assert len(values) <= 1, f"{name!r} is repeated"
        return values[0] if values else None

    # -- what a test lets the client do ---------------------------------------------------------

    def send(self, data: bytes, *, whole: bool | None = None) -> None:
        """Body bytes; `whole` ends a chunked body, one with a length ends by itself."""
        assert self.wanted, "nobody asked for the body"
        assert not self.paused, "the responder asked for a pause"
        responder = self.responder
        assert responder is not None
        if data:
            responder.on_body(data)
        self._left_of_body -= len(data)
        if whole or (whole is None and not self.head.chunked and self._left_of_body == 0):
            responder.on_body_end(())

    def leave(self) -> None:
        """The client closes its connection."""
        self._gone = True
        if not self.ended.is_set():
            self.ended.set()
            if self.responder is not None:
                self.responder.on_gone()
        self._report()

    def catch_up(self) -> None:
        """The client has read all that was written."""
        assert self.responder is not None
        self.responder.on_resume()

    # -- Exchange -------------------------------------------------------------------------------

    def answer(self, status_line: bytes, lines: Sequence[bytes], body: bytes = b"") -> None:
        if self._gone:
            return
        self._begin(status_line, lines)
        self.length = len(body)
        if self.head.method != b"HEAD":
            self.body = body
            self.bytes_out = len(body)
        self._end()

    def start(self, status_line: bytes, lines: Sequence[bytes], length: int | None) -> None:
        if not self._gone:
            self._begin(status_line, lines)
            self.length = length

    def write(self, data: bytes) -> None:
        if self._gone:
            return
        assert self.status_line, "a write before the head"
        assert not self.ended.is_set(), "a write after the end"
        self.body += data
        self.bytes_out += len(data)
        self.writes.append(len(data))
        assert self.length is None or len(self.body) <= self.length, "more than was announced"
        if not self.reads and self.responder is not None:
            self.responder.on_pause()

    def finish(self, trailers: Sequence[bytes] = ()) -> None:
        if self._gone:
            return
        whole = self.length is None or self.head.method == b"HEAD" or len(self.body) == self.length
        assert whole, "less than was announced"
        self.trailers = tuple(trailers)
        self._end()

    def inform(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        assert not self.status_line, "an interim answer after the final one"
        self.interim.append(b"\r\n".join((status_line, *lines)))

    def cut(self) -> None:
        self.abort()

    @property
    def is_over(self) -> bool:
        return self._gone or self.ended.is_set()

    def abort(self) -> None:
        if not self._gone:
            self.aborted = True
            self._end()

    def upgrade(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        self._begin(status_line, lines)
        self.upgraded = True

    def close_tunnel(self) -> None:
        assert self.upgraded
        self._end()

    def want_body(self) -> None:
        assert self.responder is not None, "the body is wanted and nobody is there to take it"
        self.wanted = True

    def limit_body(self, limit_bytes: int) -> None:
        self.body_limit = limit_bytes

    def pause_body(self) -> None:
        self.paused = True

    def resume_body(self) -> None:
        self.paused = False

    def _begin(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        assert not self.status_line, "answered twice"
        self.status_line = status_line
        self.status = int(status_line[9:12])
        self.lines = list(lines)

    def _end(self) -> None:
        assert not self.ended.is_set(), "ended twice"
        self.ended.set()
        self._report()

    def _report(self) -> None:
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self)


def get(path: bytes, *lines: bytes, method: bytes = b"GET", host: bytes = b"app.example") -> FakeExchange:
    """An exchange for a request without a body."""
    return FakeExchange(
        b"\r\n".join((method + b" " + path + b" HTTP/1.1", b"Host: " + host, *lines, b"", b""))
    )
