"""What goes out over a connection of HTTP/2, and when: each stream in turn a frame, as the windows are open."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from vestibule.protocol import h2_frames as frames
from vestibule.protocol.h2 import block_of
from vestibule.proxy.downstream_h1 import SEND_STALL_S
from vestibule.proxy.engine_h2 import CONNECTION_WINDOW_BYTES, Engine, block
from vestibule.proxy.exchange_h2 import H2Exchange

WRITE_BYTES = 64 * 1024
"""So much is made ready before it is looked whether the client takes it."""
ANSWERED_BYTES = CONNECTION_WINDOW_BYTES
"""So much of answers that wait for nothing but their client is the connection's to hold: as much as of bodies."""


class Clock(Protocol):
    """What time it is."""

    tick: float


class Sending:
    """The streams of one connection that have something to send."""

    __slots__ = ("_blocked", "_clock", "_engine", "_gate", "_look_at", "_turns")

    def __init__(
        self, engine: Engine, gate: frames.Gate, clock: Clock, look_at: Callable[[float], None]
    ) -> None:
        """`look_at`: told when a stream must have got on."""
        self._engine = engine
        self._gate = gate
        self._clock = clock
        self._look_at = look_at
        self._turns: deque[H2Exchange] = deque()
        """In the order of their turns."""
        self._blocked: dict[int, H2Exchange] = {}
        """Those that wait for their client's window."""

    @property
    def is_empty(self) -> bool:
        """Nothing can be sent now."""
        return not self._turns

    def add(self, exchange: H2Exchange) -> bool:
        """Let it have its turn; False where it has one, or waits for its client."""
        if exchange.has_turn or exchange.stream_id in self._blocked:
            return False
        exchange.has_turn = True
        self._turns.append(exchange)
        return True

    def forget(self, exchange: H2Exchange) -> None:
        """Its stream is over."""
        self._blocked.pop(exchange.stream_id, None)

    def on_window(self, stream_id: int) -> None:
        """A window was opened: of one stream, or of all by 0."""
        if stream_id:
            exchange = self._blocked.pop(stream_id, None)
            if exchange is not None:
                self.add(exchange)
            return
        blocked, self._blocked = self._blocked, {}
        for exchange in blocked.values():
            self.add(exchange)

    def fill(self) -> None:
        """Let each stream in its turn send a frame, until that is enough for one write."""
        turns, room = self._turns, WRITE_BYTES
        while turns and room > 0:
            exchange = turns.popleft()
            exchange.has_turn = False
            if not exchange.is_closed:
                room -= self._send_some(exchange)

    def give_back(self, *, is_paused: bool) -> None:
        """Let go of the places of answers that are made, and that their client doesn't take.

        What is left of them is memory of this connection, as over HTTP/1.1; of what it may not hold any more the places
        stay taken. `is_paused`: the client takes nothing at all.

        Threat: windows that stay shut. A hundred connections of a hundred streams would be all requests there may be.
        """
        if not self._blocked and not is_paused:
            return
        waiting = [one for one in (*self._blocked.values(), *self._turns) if one.is_finished]
        room = ANSWERED_BYTES - sum(one.outbox_bytes for one in waiting if one.place is None)
        for exchange in waiting:
            place = exchange.place
            if place is not None and exchange.outbox_bytes <= room:
                room -= exchange.outbox_bytes
                exchange.place = None
                place.leave()

    def _send_some(self, exchange: H2Exchange) -> int:
        """One frame of this stream; how many bytes of its body."""
        engine, stream_id = self._engine, exchange.stream_id
        number = exchange.outbox_bytes
        if number:
            number = min(number, engine.local_flow_control_window(stream_id), frames.FRAME_LIMIT_BYTES)
            if number <= 0:
                self._block(exchange)
                return 0
            data = exchange.take(number)
            exchange.send_at = 0.0
            exchange.has_ended = exchange.is_finished and not exchange.outbox_bytes and not exchange.trailers
            engine.send_data(stream_id, data, end_stream=exchange.has_ended)
            self._gate.earn(number)
            exchange.sent()
            if exchange.is_closed:
                return number
        if exchange.outbox_bytes:
            self.add(exchange)
        elif exchange.is_finished:
            self._end(exchange)
        return number

    def _end(self, exchange: H2Exchange) -> None:
        """All was sent: end the stream where its last bytes didn't."""
        if not exchange.has_ended:
            trailers = block_of(exchange.trailers)
            if trailers:
                self._engine.send_headers(exchange.stream_id, block(trailers), end_stream=True)
            else:
                self._engine.end_stream(exchange.stream_id)
            exchange.has_ended = True
        self._gate.on_completed()
        exchange.ended()

    def _block(self, exchange: H2Exchange) -> None:
        """It waits for its client, who has only so long."""
        self._blocked[exchange.stream_id] = exchange
        if not exchange.send_at:
            exchange.send_at = self._clock.tick + SEND_STALL_S
            self._look_at(exchange.send_at)
