"""The client's side of HTTP/2: frames of one connection to exchanges, many at a time, and answers to frames.

What the frames mean is the h2 library's; what of them is let in at all is `protocol.h2_frames`'; what a header list
means is `protocol.h2`'s, by way of HTTP/1.1's one parser. Here stands who may send when: each stream in turn a frame,
as its window and the connection's allow, and everything that became ready in one turn of the loop in one write.

A connection that broke the rules is told so by GOAWAY and lingers, as one of HTTP/1.1 does. Every stream that waits for
its client has a deadline; the connection's is the nearest of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import cast

from h2 import events
from h2.exceptions import ProtocolError

from vestibule.core.listener import UNKNOWN, Met
from vestibule.errors import BadRequest
from vestibule.protocol import h2_frames as frames
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.h2 import (
    Malformed,
    answer_block,
    trailer_lines,
)
from vestibule.protocol.h2_frames import Broken, Frame, Gate
from vestibule.proxy.capacity import REFUSAL
from vestibule.proxy.connection import Connections, gets_less, peer_of, reset
from vestibule.proxy.downstream_h1 import (
    HEAD_DEADLINE_S,
    IDLE_DEADLINE_S,
    LINGER_LIMIT_BYTES,
    LINGER_S,
    SEND_STALL_S,
)
from vestibule.proxy.engine_h2 import block, new_engine
from vestibule.proxy.exchange_h2 import H2Exchange
from vestibule.proxy.receiving_h2 import Receiving, read_head
from vestibule.proxy.sending_h2 import Sending

DRAIN_S = 1.0
"""What was on its way when the client was told to ask nothing more."""

OPEN, LINGER, CLOSED = range(3)
_LAST_STREAM = 0x7FFFFFFF
_GOING = b"draining"
_BUSY_HEAD, _, _BUSY_BODY = REFUSAL.partition(b"\r\n\r\n")
_BUSY_LINE, *_BUSY_LINES = (
    line for line in _BUSY_HEAD.split(b"\r\n") if not line.startswith(b"Content-Length:")
)


class H2Connection(asyncio.Protocol):
    """One client connection over HTTP/2."""

    __slots__ = (
        "_control",
        "_engine",
        "_flush_is_due",
        "_gate",
        "_goes_at",
        "_head_at",
        "_idle_at",
        "_in_data",
        "_last_stream",
        "_loop",
        "_receiving",
        "_send_paused",
        "_sending",
        "_streams",
        "_unsent_bytes",
        "deadline",
        "listener",
        "met",
        "peer",
        "state",
        "transport",
    )

    def __init__(self, listener: Connections, met: Met = UNKNOWN) -> None:
        self.listener = listener
        self.met = met
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.peer = met.peer
        self.state = OPEN
        self.deadline = 0.0
        self._loop: asyncio.AbstractEventLoop = cast("asyncio.AbstractEventLoop", None)
        self._gate = Gate()
        self._engine = new_engine()
        self._streams: dict[int, H2Exchange] = {}
        self._receiving = Receiving(self._engine, self._gate, listener, self._look_at)
        self._sending = Sending(self._engine, self._gate, listener, self._look_at)
        self._control = b""
        """Frames of our own making, which the engine need not know of."""
        self._in_data = False
        self._flush_is_due = False
        self._send_paused = False
        self._unsent_bytes = 0
        """What waited to be sent when a deadline was last looked at; while lingering, what has come."""
        self._idle_at = 0.0
        """When the connection is closed unless something is asked."""
        self._head_at = 0.0
        """When a header block that has begun must be whole."""
        self._last_stream = _LAST_STREAM
        """The last stream that is served."""
        self._goes_at = 0.0
        """While it drains: when no new stream is taken any more."""

    # -- the transport's calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self.peer = peer_of(transport, self.met)
        listener = self.listener
        listener.open.add(self)
        self._idle_at = self.deadline = listener.tick + HEAD_DEADLINE_S
        if listener.capacity.opened():
            if listener.draining:  # the handshake had begun before
                self.drain()
            self._flush()
        else:
            self._close(frames.ENHANCE_YOUR_CALM)

    def data_received(self, data: bytes) -> None:
        if self.state != OPEN:
            self._unsent_bytes += len(data)
            if self._unsent_bytes > LINGER_LIMIT_BYTES:
                self.abort()
            return
        gate, tick = self._gate, self.listener.tick
        was_greeted = gate.greeted
        self._in_data = True
        try:
            for frame in gate.feed(data, tick):
                self._on_frame(frame)
                if self.state != OPEN:
                    return
        except Broken as broken:
            self._on_broken(broken.code, str(broken))
        except ProtocolError as error:
            self._on_broken(None, str(error))  # the engine has written its GOAWAY already
        finally:
            self._in_data = False
        if self.state != OPEN:
            return
        if not was_greeted and gate.greeted:
            self._idle_at = tick + IDLE_DEADLINE_S
        if not gate.waits_for_head:
            self._head_at = 0.0
        elif not self._head_at:
            self._head_at = tick + HEAD_DEADLINE_S
            self._look_at(self._head_at)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = CLOSED
        self._receiving.is_over = True
        self.listener.open.discard(self)
        self.listener.capacity.closed(self)
        self._lose_all()

    def pause_writing(self) -> None:
        self._send_paused = True
        self._unsent_bytes = 0
        self._look_at(self.listener.tick + SEND_STALL_S)
        # Who doesn't read what is answered asks nothing more.
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._send_paused = False
        if self.state == OPEN and not self.transport.is_closing():
            self.transport.resume_reading()
            self._flush()

    # -- frames -------------------------------------------------------------------------------

    def _on_frame(self, frame: Frame) -> None:
        """Let the engine act on a frame, and act on what it makes of it."""
        if frame.kind == frames.GOAWAY:
            self._on_goaway(frame)
            return
        if frame.kind == frames.DATA and frame.stream_id not in self._streams:
            self._gate.on_late(len(frame.data), self.listener.tick)
        for event in self._engine.receive_data(frame.data):
            if isinstance(event, events.RequestReceived):
                self._on_request(event)
            elif isinstance(event, events.DataReceived):
                self._on_data(event)
            elif isinstance(event, events.TrailersReceived):
                self._on_trailers(event)
            elif isinstance(event, events.StreamEnded):
                exchange = self._streams.get(event.stream_id)
                if exchange is not None and not exchange.is_body_whole:
                    exchange.on_whole(exchange.came_behind)
            elif isinstance(event, events.WindowUpdated):
                self._sending.on_window(event.stream_id or 0)
            elif isinstance(event, events.RemoteSettingsChanged):
                self._sending.on_window(0)
            elif isinstance(event, events.StreamReset):
                self._on_reset(event.stream_id)
            elif isinstance(event, events.PingAckReceived) and event.ping_data == _GOING and self._goes_at:
                self._drain_on()

    def _on_request(self, event: events.RequestReceived) -> None:
        """A request: through the same parser, and the same checks, as one over HTTP/1.1."""
        stream_id, listener = event.stream_id or 0, self.listener
        if stream_id > self._last_stream:
            self._engine.reset_stream(stream_id, frames.REFUSED_STREAM)
            return
        has_body = event.stream_ended is None
        try:
            came, head = read_head(event.headers, listener, has_body=has_body)
        except Malformed as error:
            self._refuse_stream(stream_id, error)
            return
        except BadRequest as error:
            exchange = self._begin(stream_id, RequestHead(lines=[]), is_whole=not has_body)
            exchange.answer(*listener.handler.refuse(None, error, self.peer))
            return
        exchange = self._begin(stream_id, head, is_whole=not has_body)
        exchange.place = listener.capacity.place(came, is_tunnel=bool(head.upgrade))
        if exchange.place is None:
            exchange.answer(_BUSY_LINE, _BUSY_LINES, _BUSY_BODY)
        else:
            listener.handler.handle(exchange)

    def _begin(self, stream_id: int, head: RequestHead, *, is_whole: bool) -> H2Exchange:
        exchange = H2Exchange(self, stream_id, head, monotonic())
        if self.met.tls is not None:
            exchange.tls = self.met.tls
        self._streams[stream_id] = exchange
        if is_whole:
            exchange.on_whole(())
        return exchange

    def _refuse_stream(self, stream_id: int, error: BadRequest) -> None:
        """Reset a stream for what came on it, and note that."""
        self.listener.handler.refuse(None, error, self.peer)
        self._engine.reset_stream(stream_id, frames.PROTOCOL_ERROR)
        self._gate.on_reset(self.listener.tick)

    def _on_data(self, event: events.DataReceived) -> None:
        exchange = self._streams.get(event.stream_id or 0)
        counted = event.flow_controlled_length or 0
        if exchange is None:
            self._receiving.owe(counted)
            return
        exchange.on_data(bytes(event.data or b""), counted)

    def _on_trailers(self, event: events.TrailersReceived) -> None:
        exchange = self._streams.get(event.stream_id or 0)
        if exchange is None:
            return
        try:
            exchange.came_behind = trailer_lines(event.headers)
        except BadRequest as error:
            self.listener.handler.refuse(exchange, error, self.peer)
            exchange.break_off(frames.PROTOCOL_ERROR)

    def _on_reset(self, stream_id: int | None) -> None:
        """By the client; or by the engine, for what the client did on it."""
        exchange = self._streams.get(stream_id or 0)
        if exchange is not None:
            exchange.gone()
        self._gate.on_reset(self.listener.tick)

    def _on_goaway(self, frame: Frame) -> None:
        """The client will ask nothing more; what is under way goes on (RFC 9113 section 6.8)."""
        if frame.stream_id:
            raise Broken(frames.PROTOCOL_ERROR, "a GOAWAY on a stream")
        if len(frame.data) < frames.HEAD_BYTES + 8:
            raise Broken(frames.FRAME_SIZE_ERROR, "a GOAWAY that is too short")
        self._last_stream = self._engine.highest_inbound_stream_id
        if not self._streams:
            self._close(frames.NO_ERROR)

    def _on_broken(self, code: int | None, why: str) -> None:
        """The connection can't go on; `code` None: the client is told already."""
        error = BadRequest("the connection broke the rules of HTTP/2", code="bad_request", detail=why)
        self.listener.handler.refuse(None, error, self.peer)
        self._close(code)

    # -- what exchanges want --------------------------------------------------------------------

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
        if self.state == OPEN:
            fields = block(answer_block(status_line, lines, length), is_interim=status_line[9:10] == b"1")
            self._engine.send_headers(exchange.stream_id, fields, end_stream=ends)
            exchange.has_ended = ends
            self._flush_soon()

    def send_more(self, exchange: H2Exchange) -> None:
        """There is something in its outbox, or nothing will be any more."""
        if exchange.has_ended:
            self._gate.on_completed()
            exchange.ended()
        elif self._sending.add(exchange) or exchange.is_finished:
            self._flush_soon()

    def took(self, exchange: H2Exchange, number: int) -> None:
        """So many body bytes, as flow control counts them, were taken or thrown away."""
        if self._receiving.took(exchange, number):
            self._flush_soon()

    def watch_body(self, exchange: H2Exchange) -> None:
        """Its body is wanted, or no more: see to its deadline, and to how much may come."""
        if self._receiving.watch(exchange):
            self._flush_soon()

    def reset(self, exchange: H2Exchange, code: int) -> None:
        """End its stream for both sides."""
        if self.state == OPEN:
            self._engine.reset_stream(exchange.stream_id, code)
            self._flush_soon()
            if code == frames.PROTOCOL_ERROR:
                self._gate.on_reset(self.listener.tick)

    def exchange_ended(self, exchange: H2Exchange) -> None:
        """Its stream is over."""
        self._streams.pop(exchange.stream_id, None)
        self._sending.forget(exchange)
        place, exchange.place = exchange.place, None
        if place is not None:
            place.leave()
        if self._streams or self.state != OPEN:
            return
        self._idle_at = self.listener.tick + IDLE_DEADLINE_S
        self._look_at(self._idle_at)
        if self._last_stream != _LAST_STREAM:
            self._flush_soon()

    def refuse_body(self, exchange: H2Exchange, error: BadRequest) -> None:
        """The body is too slow or too large: answer so, where nothing was answered."""
        responder = exchange.take_responder()
        if responder is not None:
            responder.on_gone()
        if exchange.is_started:
            exchange.abort()
        else:
            exchange.answer(*self.listener.handler.refuse(exchange, error, self.peer))

    # -- what is sent ---------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        """Write in this turn of the loop, once."""
        if not self._in_data and not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what is ready, as long as the client takes it."""
        self._flush_is_due = False
        engine, transport = self._engine, self.transport
        while self.state == OPEN and not self._send_paused and not transport.is_closing():
            self._sending.fill()
            data = engine.data_to_send() + self._control
            self._control = b""
            if data:
                transport.write(data)
            elif self._sending.is_empty:
                if self._last_stream != _LAST_STREAM and not self._streams:
                    self._close(None)
                break
        self._sending.give_back(is_paused=self._send_paused)

    # -- deadlines ------------------------------------------------------------------------------

    def _look_at(self, at: float) -> None:
        """Something may be over by then."""
        if not self.deadline or at < self.deadline:
            self.deadline = at

    def expire(self) -> None:
        """The nearest deadline has passed (called by the listener's sweep): end what has, and find the next."""
        now, self.deadline = self.listener.tick, 0.0
        if self.state != OPEN:
            reset(self.transport) if self.transport.get_write_buffer_size() else self.transport.close()
        elif self._head_at and self._head_at < now:
            self._on_broken(frames.ENHANCE_YOUR_CALM, "a header block took too long")
        elif not self._streams and not self._goes_at and self._idle_at < now:
            self._close(frames.NO_ERROR)
        elif self._send_paused and not self._is_sending():
            reset(self.transport)
        else:
            if self._goes_at and self._goes_at < now:
                self._drain_on()
            try:
                for exchange in list(self._streams.values()):
                    self._expire_stream(exchange, now)
            except Broken as broken:
                self._on_broken(broken.code, str(broken))
            self._find_deadline()
            self._flush()

    def _expire_stream(self, exchange: H2Exchange, now: float) -> None:
        if exchange.send_at and exchange.send_at < now:
            exchange.break_off(frames.CANCEL)
            self._gate.on_stall(now)
        elif exchange.body_at and exchange.body_at < now:
            if self._send_paused or self._receiving.is_coming(exchange):
                self._receiving.renew(exchange)
            else:
                error = BadRequest("the body took too long", code="request_timeout", status=408)
                self.refuse_body(exchange, error)

    def _is_sending(self) -> bool:
        """True when less waits to be sent than the last time: slow, but not stuck."""
        before, self._unsent_bytes = self._unsent_bytes, self.transport.get_write_buffer_size()
        return gets_less(before, self._unsent_bytes)

    def _find_deadline(self) -> None:
        if self.state != OPEN:
            return
        times = [at for one in self._streams.values() for at in (one.body_at, one.send_at)]
        times += (self._head_at, self._goes_at, 0.0 if self._streams else self._idle_at)
        if self._send_paused:
            times.append(self.listener.tick + SEND_STALL_S)
        self.deadline = min((at for at in times if at), default=0.0)

    # -- its end ------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """True while nothing is asked."""
        return self.state == OPEN and not self._streams

    def under_way(self) -> Iterator[H2Exchange]:
        """What is being answered."""
        yield from self._streams.values()

    def drain(self) -> None:
        """The program is going: nothing new after what is on its way; what has no end of its own ends."""
        if self.state != OPEN:
            return
        if not self._goes_at and self._last_stream == _LAST_STREAM:
            self._control += frames.goaway(_LAST_STREAM) + frames.ping(_GOING)
            self._goes_at = self.listener.tick + DRAIN_S
            self._look_at(self._goes_at)
            self._flush_soon()
        for exchange in list(self._streams.values()):
            if exchange.responder is not None:
                exchange.responder.on_drain()

    def close_idle(self) -> None:
        """The program is going, and has waited for requests on their way: close, when there is none."""
        if self.is_idle:
            self._close(frames.NO_ERROR)

    def _drain_on(self) -> None:
        """What was on its way has come: these streams are the last (RFC 9113 section 6.8)."""
        self._goes_at = 0.0
        self._last_stream = self._engine.highest_inbound_stream_id
        self._control += frames.goaway(self._last_stream)
        self._flush_soon()

    def abort(self) -> None:
        """Close without ceremony."""
        if self.state != CLOSED:
            self.transport.abort()

    def _lose_all(self) -> None:
        for exchange in list(self._streams.values()):
            exchange.gone()

    def _close(self, code: int | None) -> None:
        """Say why, where that isn't said yet, and linger: the last frames must not be lost in a reset."""
        if self.state != OPEN:
            return
        self.state = LINGER
        self._receiving.is_over = True
        self._lose_all()
        self._unsent_bytes = 0
        self.deadline = self.listener.tick + LINGER_S
        data = self._engine.data_to_send() + self._control
        if code is not None:
            data += frames.goaway(self._engine.highest_inbound_stream_id, code)
        if self.transport.is_closing():
            return
        self.transport.write(data)
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
