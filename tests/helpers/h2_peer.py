"""A server of HTTP/2 without sockets: the h2 library's own server side behind an address of `FakeLoop.network`.

peer = loop.network["127.0.0.1", 9001] = H2Peer(loop)
…                                # somebody asks
peer.look()                      # reads what has come, and answers by `peer.answers`
peer.request.fields              # what was asked
"""

from __future__ import annotations

from collections.abc import Callable

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

from tests.helpers.transport import FakeLoop, FakeServer, FakeTransport

Field = tuple[bytes, bytes]


class Line:
    """One connection, as the server sees it."""

    def __init__(self, transport: FakeTransport, settings: dict[int, int]) -> None:
        self.transport = transport
        self.read = 0
        self.engine = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.engine.local_settings.update(settings)
        self.engine.local_settings.acknowledge()
        self.engine.initiate_connection()
        self.goaway: events.ConnectionTerminated | None = None

    def flush(self) -> None:
        data = self.engine.data_to_send()
        if data:
            self.transport.receive(data)


class Asked:
    """One request, as far as it came, and the means to answer it."""

    def __init__(self, line: Line, stream_id: int, fields: list[Field]) -> None:
        self.line = line
        self.stream_id = stream_id
        self.all = fields
        self.body = b""
        self.unread = 0
        self.trailers: list[Field] = []
        self.is_whole = False
        self.reset: int | None = None

    @property
    def fields(self) -> dict[bytes, bytes]:
        assert len(dict(self.all)) == len(self.all), self.all
        return dict(self.all)

    @property
    def path(self) -> bytes:
        return self.fields[b":path"]

    def head(self, *fields: Field, status: bytes = b"200", end: bool = False) -> Asked:
        self.line.engine.send_headers(self.stream_id, [(b":status", status), *fields], end_stream=end)
        self.line.flush()
        return self

    def data(self, data: bytes, *, end: bool = False) -> Asked:
        self.line.engine.send_data(self.stream_id, data, end_stream=end)
        self.line.flush()
        return self

    def end(self, *trailers: Field) -> Asked:
        if trailers:
            self.line.engine.send_headers(self.stream_id, list(trailers), end_stream=True)
        else:
            self.line.engine.end_stream(self.stream_id)
        self.line.flush()
        return self

    def refuse(self, code: int) -> None:
        self.line.engine.reset_stream(self.stream_id, code)
        self.line.flush()

    def take(self) -> None:
        """Read the body: its window opens again."""
        size, self.unread = self.unread, 0
        if size:
            self.line.engine.acknowledge_received_data(size, self.stream_id)
            self.line.flush()


def ok(asked: Asked) -> None:
    """The whole answer, once the request is whole."""
    if asked.is_whole:
        body = b"from " + asked.path
        asked.head((b"content-length", b"%d" % len(body))).data(body, end=True)


class H2Peer(FakeServer):
    """The server: one `Line` a connection, one `Asked` a request."""

    def __init__(self, loop: FakeLoop, **settings: int) -> None:
        super().__init__()
        self.loop = loop
        self.settings = {getattr(SettingCodes, name.upper()): value for name, value in settings.items()}
        self.answers: Callable[[Asked], None] = ok
        self.reads = True
        """False: the windows of bodies stay as they are."""
        self.lines: list[Line] = []
        self.asked: list[Asked] = []

    def look(self) -> None:
        """Read what has come, and answer it, as long as there is more."""
        self.loop.settle()
        before: tuple[int, ...] = ()
        while before != (before := tuple(len(one.written) for one in self.connections)):
            self._look_once()
            self.loop.settle()

    @property
    def request(self) -> Asked:
        assert len(self.asked) == 1, self.asked
        return self.asked[0]

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    def _look_once(self) -> None:
        for transport in self.connections[len(self.lines) :]:
            self.lines.append(Line(transport, self.settings))
        for line in list(self.lines):
            data = line.transport.written[line.read :]
            line.read = len(line.transport.written)
            found = line.engine.receive_data(data) if data else []
            line.flush()
            for event in found:
                self._on_event(line, event)

    def _on_event(self, line: Line, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            self.asked.append(Asked(line, event.stream_id, event.headers))
            if event.stream_ended is None:
                self.answers(self.asked[-1])
            return
        if isinstance(event, events.ConnectionTerminated):
            line.goaway = event
        id_ = getattr(event, "stream_id", 0)
        asked = next((one for one in self.asked if one.line is line and one.stream_id == id_), None)
        if asked is None:
            return
        if isinstance(event, events.DataReceived):
            asked.body += event.data
            asked.unread += event.flow_controlled_length
            if self.reads:
                asked.take()
        elif isinstance(event, events.TrailersReceived):
            asked.trailers = event.headers
        elif isinstance(event, events.StreamReset):
            asked.reset = event.error_code
        elif isinstance(event, events.StreamEnded):
            asked.is_whole = True
            self.answers(asked)
