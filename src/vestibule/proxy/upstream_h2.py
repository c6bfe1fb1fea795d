"""The backend's side of HTTP/2: one connection, many streams, each the answer to one relay (RFC 9113).

What goes wrong with one answer resets its stream and leaves the others alone; what goes wrong with the connection
breaks them all off. Of an answer comes as much as its window takes, and the window opens as the client reads: a slow
client holds up its own stream only, and of each no more than a window waits here.

Imported only where a backend speaks HTTP/2: the library costs a tenth of a second at the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream
from hpack import Encoder
from hyperframe.frame import Frame, GoAwayFrame

from vestibule.errors import BackendError
from vestibule.protocol import h2_frames as frames
from vestibule.protocol.h2_upstream import Field
from vestibule.proxy.stream_h2 import WINDOW_BYTES, UpstreamStream
from vestibule.proxy.websocket_h2 import WebSocketStream

CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024
"""What may be on the way of all answers together; it opens again as they come in, whoever reads them."""
STREAMS_MAX = 1000
"""Of one connection, where the backend itself takes more."""
HEADERS_BYTES = 64 * 1024
UNSENT_MAX_BYTES = 16 * 1024 * 1024
"""A backend that makes the gateway answer (pings, settings), and reads nothing, is given up."""
PING_AFTER_S = 300.0
"""Servers of gRPC hang up on whoever asks more often."""
PING_DEADLINE_S = 20.0
HEAD_DEADLINE_S = 10.0
"""A header block that has begun must be whole."""
IDLE_FRAMES_MAX = 10_000
"""Frames that carry nothing, beyond what the traffic of the connection explains; of so many streams there are some."""
IDLE_FRAMES_PER_S = 1000
TABLE_BYTES = 4096
"""Of what was sent before, for HPACK, however much more the server would keep."""
CLOSED_STREAMS_KEPT = 2000
_PING = b"vestibul"
_CONFIGURATION = H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,  # they are made of what was checked
    normalize_outbound_headers=False,
    validate_inbound_headers=False,  # `protocol.h2_upstream` does: the library ends the connection over them
    normalize_inbound_headers=False,
)


class Origin(Protocol):
    """What a connection needs of the server it leads to."""

    def forget(self, connection: H2Upstream) -> None:
        """It is closed."""

    def now(self) -> float:
        """The loop's clock."""


class _Encoder(Encoder):
    """HPACK's, whose table is no larger than the gateway likes. Threat: a server that says it may have 4 GiB."""

    @property
    def header_table_size(self) -> int:
        """As the server was told."""
        return int(self.header_table.maxsize)

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        bounded = min(value, TABLE_BYTES)
        if bounded != self.header_table.maxsize:
            self.table_size_changes.append(bounded)
            self.header_table.maxsize = bounded


class Engine(H2Connection):
    """The library's connection, but for what it takes for the end of everything, and how much it remembers."""

    MAX_CLOSED_STREAMS = CLOSED_STREAMS_KEPT

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """GOAWAY ends what comes later; streams under way go on (RFC 9113 section 6.8)."""
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        """A body that is not as long as was said is a fault of its stream (RFC 9113 section 8.1.1), found there."""
        stream: H2Stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream._initialize_content_length = lambda headers: None  # type: ignore[method-assign]  # noqa: ARG005, SLF001
        return stream


class H2Upstream(asyncio.Protocol):
    """One connection to one server."""

    __slots__ = (
        "_busy",
        "_engine",
        "_gate",
        "_head_at",
        "_heard_at",
        "_limit",
        "_opened",
        "_pinged_at",
        "_pump_is_due",
        "_unacknowledged_bytes",
        "drains",
        "idle_since",
        "is_closed",
        "is_stuck",
        "origin",
        "scheme",
        "streams",
        "transport",
    )

    def __init__(self, origin: Origin, opened: Callable[[BackendError | None], None], scheme: bytes) -> None:
        """`opened` is called once: when the server has shown that it speaks HTTP/2, or with why it is of no use."""
        self.origin = origin
        self.scheme = scheme
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.streams: dict[int, UpstreamStream] = {}
        self.is_closed = False
        self.drains = False
        """The server takes no more streams on it."""
        self.is_stuck = False
        """The transport takes no more for now."""
        self.idle_since = self._heard_at = origin.now()
        self._opened: Callable[[BackendError | None], None] | None = opened
        self._limit = 0
        self._pinged_at = 0.0
        self._unacknowledged_bytes = 0
        self._busy = False
        self._pump_is_due = False
        """A window was opened: what waits is sent once all that has come is worked off."""
        self._head_at = 0.0
        """When a header block began that isn't whole."""
        self._gate = frames.Gate(b"", IDLE_FRAMES_MAX, IDLE_FRAMES_PER_S)
        self._engine = Engine(_CONFIGURATION)
        self._engine.encoder = _Encoder()
        self._engine.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_BYTES,
            },
        )
        # One of the server's: some hang up on a client that says it, and the library says it of itself.
        self._engine.local_settings.pop(SettingCodes.ENABLE_CONNECT_PROTOCOL, None)

    # -- the pool's calls ---------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """True while another stream may begin here."""
        return len(self.streams) < self._limit and not (self.is_closed or self.drains or self._pinged_at)

    def stream(self) -> UpstreamStream:
        """A stream for one request, which begins when that is sent."""
        return UpstreamStream(self)

    @property
    def takes_websockets(self) -> bool:
        """True where the server has said that a stream may be one (RFC 8441 section 3); it says no otherwise."""
        return bool(self._engine.remote_settings.enable_connect_protocol)

    def websocket(self) -> WebSocketStream:
        """A stream for one WebSocket, which begins when its request is sent."""
        return WebSocketStream(self)

    def sweep(self, now: float, idle_s: float) -> None:
        """Look at the deadlines of all streams, and at the connection's own."""
        for stream in [one for one in self.streams.values() if one.deadline and one.deadline < now]:
            stream.expire()
        if self.is_closed:
            return
        if self._head_at and now - self._head_at > HEAD_DEADLINE_S:
            self._give_up("a header block took too long")
        elif not self.streams:
            if now - self.idle_since > idle_s:
                self.close()
        elif self._pinged_at:
            if now - self._pinged_at > PING_DEADLINE_S:
                self._give_up("no answer to a ping")
        elif now - self._heard_at > PING_AFTER_S:
            self.doubt()

    def doubt(self) -> None:
        """Ask the server whether it is there at all; nothing new goes to it until it says so."""
        if not self._pinged_at and not self.is_closed:
            self._pinged_at = self.origin.now()
            self._engine.ping(_PING)
            self.flush()

    def close(self) -> None:
        """Close it; what is under way is broken off."""
        if self.is_closed:
            return
        self.is_closed = True
        if not self.transport.is_closing():
            self._engine.close_connection()
            self.flush()
            self.transport.close()
        self._lose_all(BackendError("the backend is no longer asked", code="backend_broke_off"))

    # -- the streams' calls -------------------------------------------------------------------

    @property
    def engine(self) -> H2Connection:
        """The state of the connection; whoever changes it calls `flush`."""
        return self._engine

    def now(self) -> float:
        """The loop's clock."""
        return self.origin.now()

    def flush(self) -> None:
        """Send what there is to be sent; while events are worked off, all of it at their end."""
        if self._busy:
            return
        data = self._engine.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)
            if self.transport.get_write_buffer_size() > UNSENT_MAX_BYTES:
                self._give_up("it reads nothing")

    def sent(self, length: int) -> None:
        """A piece of a body went out, so long."""
        self._gate.on_sent(length)

    def ended(self, stream: UpstreamStream) -> None:
        """A stream is over."""
        self.streams.pop(stream.id, None)
        self._gate.on_completed()
        if not self.streams:
            self.idle_since = self.origin.now()
            if self.drains:
                self.close()

    # -- the transport's calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._engine.initiate_connection()
        self._engine.increment_flow_control_window(CONNECTION_WINDOW_BYTES - 65535)
        self.flush()

    def data_received(self, data: bytes) -> None:
        gate = self._gate
        self._heard_at = now = self.origin.now()
        self._pinged_at = 0.0
        if self._opened is not None and data.startswith(b"HTTP/"):
            self._give_up("it answers by HTTP/1.1")
            return
        self._busy = True
        try:
            for frame in gate.feed(data, now):
                self._on_frame(frame, now)
                if self.is_closed:
                    return
        except (frames.Broken, ProtocolError) as error:
            self._on_broken(error)
            return
        finally:
            self._busy = False
        self._head_at = (self._head_at or now) if gate.waits_for_head else 0.0
        if self._pump_is_due:
            self._pump_is_due = False
            self._pump()
        self.flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self.origin.forget(self)
        self._lose_all(
            BackendError("the backend broke off", code="backend_broke_off", detail=str(exc or "closed"))
        )

    def pause_writing(self) -> None:
        self.is_stuck = True

    def resume_writing(self) -> None:
        self.is_stuck = False
        self._pump()

    # -- what the server says -----------------------------------------------------------------

    def _on_frame(self, frame: frames.Frame, now: float) -> None:
        """Let the engine act on a frame, and act on what it makes of it.

        Threat: streams that the server begins, without end; frames for streams that are over, each answered by a reset.
        """
        kind, id_ = frame.kind, frame.stream_id
        if kind == frames.SETTINGS:
            self._gate.on_settings(len(self.streams), now)
        elif kind in (frames.DATA, frames.HEADERS) and id_ not in self.streams:
            if id_ % 2 == 0 or id_ > self._engine.highest_outbound_stream_id:
                raise frames.Broken(frames.PROTOCOL_ERROR, "an answer to what nobody asked")
            self._gate.on_late(len(frame.data) if kind == frames.DATA else 0, now)
        for event in self._engine.receive_data(frame.data):
            self._on_event(event)

    def _on_broken(self, error: frames.Broken | ProtocolError) -> None:
        """The connection can't go on: say why, as far as the server takes it, and leave."""
        if isinstance(error, frames.Broken):
            self._engine.close_connection(error.code)
        self._busy = False
        self.flush()
        self._give_up(str(error) or type(error).__name__, code="bad_answer")

    def _on_event(self, event: Event) -> None:
        match event:
            case DataReceived(stream_id=id_, flow_controlled_length=size):
                self._acknowledge(size)
                self._gate.earn(size)
                stream = self.streams.get(id_)
                if stream is not None:
                    stream.on_data(event.data, size, ended=event.stream_ended is not None)
            case ResponseReceived(stream_id=id_):
                stream = self.streams.get(id_)
                if stream is not None:
                    stream.on_head(_fields(event), ended=event.stream_ended is not None)
            case TrailersReceived(stream_id=id_):
                stream = self.streams.get(id_)
                if stream is not None:
                    stream.on_trailers(_fields(event))
            case InformationalResponseReceived(stream_id=id_):
                stream = self.streams.get(id_)
                if stream is not None:
                    stream.on_interim(_fields(event))
            case StreamReset(stream_id=id_):
                stream = self.streams.get(id_)
                if stream is not None:
                    stream.on_reset(event.error_code)
            case WindowUpdated():
                self._pump_is_due = True
            case RemoteSettingsChanged():
                self._on_settings()
            case ConnectionTerminated():
                self._on_goaway(event)
            case _:
                pass  # acknowledgements, and what may be ignored

    def _on_settings(self) -> None:
        self._limit = min(self._engine.remote_settings.max_concurrent_streams, STREAMS_MAX)
        opened, self._opened = self._opened, None
        if opened is not None:
            opened(None)
        self._pump_is_due = True

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        """Spec: RFC 9113 section 6.8: of streams behind the last it names nothing was done."""
        self.drains = True
        last = event.last_stream_id or 0
        for stream in [one for id_, one in self.streams.items() if id_ > last]:
            stream.on_unprocessed()
        if not self.streams:
            self.close()

    def _acknowledge(self, size: int) -> None:
        self._unacknowledged_bytes += size
        if self._unacknowledged_bytes >= CONNECTION_WINDOW_BYTES // 2:
            self._engine.increment_flow_control_window(self._unacknowledged_bytes)
            self._unacknowledged_bytes = 0

    def _pump(self) -> None:
        """Send on what waited for a window, a frame of each stream in turn."""
        waiting = [stream for stream in self.streams.values() if stream.waits]
        while waiting and not self.is_stuck:
            waiting = [stream for stream in waiting if stream.pump()]
        self.flush()

    def _give_up(self, why: str, code: str = "backend_broke_off") -> None:
        self.is_closed = True
        self.transport.abort()
        self._lose_all(BackendError("the backend broke off", code=code, detail=f"HTTP/2: {why}"))

    def _lose_all(self, error: BackendError) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened(
                BackendError(
                    "the backend can't be reached", detail=f"it does not speak HTTP/2: {error.detail}"
                )
            )
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.on_lost(error)


def _fields(event: ResponseReceived | TrailersReceived | InformationalResponseReceived) -> list[Field]:
    return cast("list[Field]", event.headers or [])
