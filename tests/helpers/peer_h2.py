"""A client of HTTP/2 for tests, without I/O: on the h2 library's client side, and for what that refuses to send, raw frames.

peer = H2Peer()
peer.out()                        # bytes to send
stream_id = peer.ask([(b":method", b"GET"), …])
peer.feed(data)                   # bytes that came
peer.streams[stream_id].status, .body, .trailers, .reset
"""

from __future__ import annotations

from collections.abc import Sequence

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame, SettingsFrame

from tests.helpers.messages import Message

Field = tuple[bytes, bytes]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Stream:
    """What has come on one stream."""

    def __init__(self) -> None:
        self.informed: list[list[Field]] = []
        self.fields: list[Field] = []
        self.body = b""
        self.trailers: list[Field] = []
        self.is_ended = False
        self.reset: int | None = None

    @property
    def status(self) -> int:
        return int(dict(self.fields)[b":status"])

    @property
    def message(self) -> Message:
        """The same as an answer of HTTP/1.1."""
        return Message(b"HTTP/1.1 %d " % self.status, self.fields[1:], self.body, self.trailers)


class H2Peer:
    """The client's side of one connection."""

    def __init__(self, *, window: int | None = None) -> None:
        """`window`: of each stream; without it all is taken as it comes."""
        config = H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.engine = H2Connection(config)
        self.takes = window is None
        self.engine.local_settings.enable_connect_protocol = 0
        if window is not None:
            self.engine.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = window
            self.engine.local_settings.acknowledge()
        self.engine.initiate_connection()
        self.streams: dict[int, Stream] = {}
        self.is_going: int | None = None
        """The last stream that the other side says it serves."""
        self.error: int | None = None
        """Why the other side has ended the connection, where it was an error."""
        self._left = b""

    def out(self) -> bytes:
        """What is to be sent now."""
        return self.engine.data_to_send()

    def ask(self, fields: Sequence[Field], *, ends: bool = True) -> int:
        """Open a stream with these fields."""
        stream_id = self.engine.get_next_available_stream_id()
        self.engine.send_headers(stream_id, fields, end_stream=ends)
        self.streams[stream_id] = Stream()
        return stream_id

    def send(self, stream_id: int, data: bytes, *, ends: bool = False) -> None:
        """Body bytes, as far as frames go; the window must be open."""
        pieces = [data[at : at + 16384] for at in range(0, len(data), 16384)] or [b""]
        for piece in pieces[:-1]:
            self.engine.send_data(stream_id, piece)
        self.engine.send_data(stream_id, pieces[-1], end_stream=ends)

    def feed(self, data: bytes) -> None:
        """What has come. GOAWAY ends nothing: that is for the test to look at."""
        self._left += data
        while len(self._left) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._left[:9]))
            if len(self._left) < 9 + length:
                return
            whole, self._left = self._left[: 9 + length], self._left[9 + length :]
            if isinstance(frame, GoAwayFrame):
                frame.parse_body(memoryview(whole[9:]))
                self.is_going = frame.last_stream_id
                self.error = frame.error_code or self.error
                continue
            for event in self.engine.receive_data(whole):
                self._on_event(event)

    def _on_event(self, event: events.Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0, _NONE)
        match event:
            case events.InformationalResponseReceived():
                stream.informed.append([(bytes(n), bytes(v)) for n, v in event.headers])
            case events.ResponseReceived():
                stream.fields = [(bytes(n), bytes(v)) for n, v in event.headers]
            case events.DataReceived():
                stream.body += event.data
                if self.takes and event.flow_controlled_length:
                    self.engine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.TrailersReceived():
                stream.trailers = [(bytes(n), bytes(v)) for n, v in event.headers]
            case events.StreamEnded():
                stream.is_ended = True
            case events.StreamReset():
                stream.reset = int(event.error_code)


_NONE = Stream()


def frames_of(data: bytes) -> list[Frame]:
    """The frames that these bytes are, whole."""
    found = []
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        found.append(frame)
        data = data[9 + length :]
    return found


def greeting(**settings: int) -> bytes:
    """What a client begins with, with settings of its own by their names in `SettingsFrame`."""
    frame = SettingsFrame(0)
    frame.settings = {getattr(SettingsFrame, name): value for name, value in settings.items()}
    return PREFACE + frame.serialize()


def errors_of(data: bytes) -> tuple[int | None, dict[int, int]]:
    """Why the connection was ended, and why streams were: what GOAWAY and RST_STREAM in these bytes say."""
    ended, resets = None, {}
    for frame in frames_of(data):
        if isinstance(frame, GoAwayFrame):
            ended = frame.error_code
        elif isinstance(frame, RstStreamFrame):
            resets[frame.stream_id] = frame.error_code
    return ended, resets
