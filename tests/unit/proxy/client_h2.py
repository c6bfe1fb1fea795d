"""The same client as `conftest.Client`, over HTTP/2: what it sends is read as HTTP/1.1, and so is what it gets.

So a test that speaks of requests and answers, and of no bytes, is one of both downstreams.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.helpers.messages import Message, UnreadableError
from tests.helpers.peer_h2 import Field, H2Peer, Stream
from tests.helpers.transport import FakeLoop
from vestibule.proxy.downstream_h2 import H2Connection

PROTOCOL_ERROR = 1
_DROPPED = frozenset((b"connection: upgrade", b"connection: close", b"connection: keep-alive"))


class H2Client:
    """The other end of one connection to a listener, over HTTP/2."""

    def __init__(self, loop: FakeLoop, listener, peer: tuple[str, int] | str = ("192.0.2.7", 40000)) -> None:
        self.loop = loop
        self.listener = listener
        self.connection = H2Connection(listener)
        self.transport = loop.connect(self.connection, peer)
        self.peer = H2Peer()
        self._asked: list[int] = []
        self._tunnels: set[int] = set()
        self._last = 0
        self._left: int | None = 0
        self._is_chunked = False
        self._open: int | None = None
        """A stream whose body has not all been sent, or that is a tunnel."""
        self.flush()

    def send(self, *pieces: bytes) -> H2Client:
        """Whole requests of HTTP/1.1, or more of the last one's body."""
        for piece in pieces:
            if self._open is None:
                self.ask(piece)
            else:
                self._send_body(piece)
        return self

    def ask(self, data: bytes) -> None:
        """One request."""
        head, end, body = data.partition(b"\r\n\r\n")
        assert end, "a head in pieces is HTTP/1.1's business"
        fields, length = fields_of(head, self.listener.scheme.encode())
        stream_id = self.peer.ask(fields, ends=length == 0)
        self._asked.append(stream_id)
        self._last = stream_id
        self._left = length
        self._is_chunked = b"\r\ntransfer-encoding: chunked" in head.lower()
        if (b":protocol", b"websocket") in fields:
            self._tunnels.add(stream_id)
        if length != 0:
            self._open = stream_id
        self.flush()
        if body:
            self._send_body(body)

    def _send_body(self, data: bytes) -> None:
        stream_id = self._open
        assert stream_id is not None
        if self._is_chunked:
            body, trailers = _chunks_of(data)
            self.peer.send(stream_id, body, ends=trailers == [])
            if trailers:
                self.peer.engine.send_headers(stream_id, trailers, end_stream=True)
            self.flush()
            return
        if self._left is not None and self._left > 0:
            self._left -= len(data)
            assert self._left >= 0, "pipelining is HTTP/1.1's business"
        ends = self._left == 0
        self.peer.send(stream_id, data, ends=ends)
        if ends:
            self._open = None
        self.flush()

    def flush(self) -> None:
        """Send what waits, and take what comes, until nothing does."""
        while True:
            self.peer.feed(self.transport.clear())
            out = self.peer.out()
            if not out or self.transport.is_closing():
                return
            self.transport.receive(out)

    @property
    def streams(self) -> list[Stream]:
        """In the order they were asked for."""
        self.flush()
        return [self.peer.streams[stream_id] for stream_id in self._asked]

    def answers(self, *methods: bytes) -> list[Message]:
        """What has come since the last time; whole answers alone."""
        self.flush()
        found = []
        for stream_id in list(self._asked):
            stream = self.peer.streams[stream_id]
            if stream.reset == PROTOCOL_ERROR and not stream.fields:
                # What no client of HTTP/2 sends is reset; over HTTP/1.1 it is told so.
                found.append(Message(b"HTTP/1.1 400 ", [], b"", []))
                self._asked.remove(stream_id)
            elif stream.reset is not None and not stream.is_ended:
                raise UnreadableError(f"reset: {stream.reset}")
            elif stream.fields:
                message = stream.message
                if stream_id in self._tunnels and message.status == 200:
                    message = message._replace(first=b"HTTP/1.1 101 ")
                found.append(message)
                self._asked.remove(stream_id)
        return found

    def answer(self, method: bytes = b"GET") -> Message:
        found = self.answers(method)
        assert len(found) == 1, found
        return found[0]

    @property
    def is_ended(self) -> bool:
        """The gateway will serve nothing more here: that is, on the last stream."""
        self.flush()
        transport, last = self.transport, self.peer.streams.get(self._last)
        if last is not None and (last.is_ended or last.reset is not None):
            return True
        return transport.is_closed or transport.is_closing() or transport.has_ended_writing

    def wait(self, seconds: float) -> None:
        """Time passes; the listener looks at its deadlines once a second."""
        for _ in range(int(seconds)):
            self.loop.advance(1)
            self.loop.run(self.listener.sweep, self.loop.time())


def fields_of(head: bytes, scheme: bytes = b"http") -> tuple[list[Field], int | None]:
    """The header list of a request that is written as HTTP/1.1, and the length of its body; None: till it ends."""
    first, *lines = head.split(b"\r\n")
    method, target, _ = first.split(b" ")
    authority, rest = b"", []
    length: int | None = 0
    is_upgrade = False
    for line in lines:
        raw_name, _, value = line.partition(b":")
        name, value = raw_name.lower(), value.strip(b" \t")
        if name == b"host" and not authority:
            authority = value
        elif name == b"upgrade" and value == b"websocket":
            is_upgrade = True
        elif name == b"transfer-encoding" and value == b"chunked":
            length = None
        elif line.lower() not in _DROPPED and name != b"sec-websocket-key":
            if name == b"content-length":
                length = int(value)
            rest.append((name, value))
    if target[:1] != b"/" and b"://" in target:
        target = b"/" + target.split(b"/", 3)[3]
    pseudo: Sequence[Field] = [(b":method", method), (b":scheme", scheme), (b":authority", authority)]
    if is_upgrade:
        pseudo = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *pseudo[1:]]
        length = None
    if not authority:
        pseudo = [field for field in pseudo if field[0] != b":authority"]
    return [*pseudo, (b":path", target), *rest], length


def _chunks_of(data: bytes) -> tuple[bytes, list[Field] | None]:
    """The body bytes of whole chunks, and the trailers behind the last, where that is among them."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            lines = [line.split(b":", 1) for line in data.split(b"\r\n") if line]
            return body, [(name.lower(), value.strip()) for name, value in lines]
        body, data = body + data[:length], data[length + 2 :]
    return body, None
