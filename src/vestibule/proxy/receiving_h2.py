"""What comes over a connection of HTTP/2: heads, and of bodies how much may and how fast it must."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from secrets import token_bytes

from vestibule.protocol.h1 import RequestHead, parse_request_head
from vestibule.protocol.h2 import Field, Malformed, request_block
from vestibule.protocol.h2_frames import Gate
from vestibule.proxy.connection import Connections
from vestibule.proxy.downstream_h1 import BODY_STALL_S, BODY_WINDOW_S, FIRST_WINDOW_S
from vestibule.proxy.engine_h2 import (
    CONNECTION_WINDOW_BYTES,
    FIRST_WINDOW_BYTES,
    STREAM_WINDOW_BYTES,
    Engine,
)
from vestibule.proxy.exchange_h2 import H2Exchange


def read_head(fields: Sequence[Field], listener: Connections, *, has_body: bool) -> tuple[bytes, RequestHead]:
    """The head of a request as the parser of HTTP/1.1 reads it, and the bytes that it has read. Raises BadRequest."""
    key = base64.b64encode(token_bytes(16))
    block = request_block(fields, scheme=listener.scheme.encode("ascii"), has_body=has_body, key=key)
    head = parse_request_head(block, slashes=listener.slashes)
    listener.check.agree(head, block + b"\r\n\r\n")
    if head.content_length and not has_body:
        raise Malformed("a body was announced, and none comes", code="bad_framing")
    return block, head


class Receiving:
    """The windows that the client's bodies come through.

    A window is opened again for what was taken, the stream's and the connection's: what nobody takes stays within them.
    """

    __slots__ = ("_engine", "_gate", "_listener", "_look_at", "_owed_bytes", "is_over")

    def __init__(
        self, engine: Engine, gate: Gate, listener: Connections, look_at: Callable[[float], None]
    ) -> None:
        """`look_at`: told when a body must have got on."""
        self._engine = engine
        self._gate = gate
        self._listener = listener
        self._look_at = look_at
        self._owed_bytes = 0
        """Taken, and not yet given back to the connection's window."""
        self.is_over = False
        """The connection has ended: nothing is opened any more."""

    def took(self, exchange: H2Exchange, number: int) -> bool:
        """So many body bytes, as flow control counts them, were taken or thrown away; True: a frame waits."""
        is_due = self.owe(number)
        exchange.owed_bytes += number
        exchange.came_bytes += number
        window = STREAM_WINDOW_BYTES if exchange.window_grown else FIRST_WINDOW_BYTES
        if exchange.owed_bytes * 2 < window or exchange.is_closed or exchange.is_body_whole or self.is_over:
            return is_due
        self._engine.increment_flow_control_window(exchange.owed_bytes, exchange.stream_id)
        exchange.owed_bytes = 0
        return True

    def owe(self, number: int) -> bool:
        """The same for the connection alone: its stream is over."""
        self._gate.earn(number)
        self._owed_bytes += number
        if self._owed_bytes * 4 < CONNECTION_WINDOW_BYTES or self.is_over:
            return False
        self._engine.increment_flow_control_window(self._owed_bytes)
        self._owed_bytes = 0
        return True

    def watch(self, exchange: H2Exchange) -> bool:
        """A body is wanted, or no more: see to its deadline and its window; True: there is a frame to send."""
        if not exchange.awaits_body:
            exchange.body_at = 0.0
            if not exchange.is_tunnel:
                return False
        elif not exchange.body_at:
            self._watch_for(exchange, FIRST_WINDOW_S)
        length = exchange.head.content_length
        if exchange.window_grown or exchange.is_body_whole or self.is_over:
            return False
        if length is not None and length <= FIRST_WINDOW_BYTES:
            return False
        exchange.window_grown = True
        more = STREAM_WINDOW_BYTES - FIRST_WINDOW_BYTES
        self._engine.increment_flow_control_window(more, exchange.stream_id)
        return True

    def is_coming(self, exchange: H2Exchange) -> bool:
        """True when enough of a body came within its time, or need not.

        It need not where the connection's window let nothing through, and where the two sides talk and each may be
        silent: by gRPC, and once an answer without known end is under way.
        """
        if exchange.talks or exchange.lasts:
            return True
        least = self._listener.capacity.body_bytes_per_s * BODY_WINDOW_S
        return exchange.came_bytes >= max(1.0, least) or self._engine.inbound_flow_control_window <= 0

    def renew(self, exchange: H2Exchange) -> None:
        """From now on what comes of a body counts anew."""
        self._watch_for(exchange, BODY_WINDOW_S)

    def _watch_for(self, exchange: H2Exchange, window_s: float) -> None:
        rate = self._listener.capacity.body_bytes_per_s
        exchange.came_bytes = 0
        exchange.body_at = self._listener.tick + (window_s if rate else BODY_STALL_S)
        self._look_at(exchange.body_at)
