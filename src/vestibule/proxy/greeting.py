"""A connection without TLS that has said nothing yet: by its first bytes it is one of HTTP/2, or of HTTP/1.1.

No request of HTTP/1.1 begins as a connection of HTTP/2 does (RFC 9113 section 3.4), so nothing has to be agreed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import cast

from vestibule.core.listener import Met
from vestibule.proxy.connection import Connections
from vestibule.proxy.downstream_h1 import IDLE_DEADLINE_S, H1Connection
from vestibule.proxy.exchange import Exchange

_FIRST = b"PRI "
"""What the preface begins with; the rest of it is for who speaks HTTP/2 to see to."""


class Greeting(asyncio.Protocol):
    """Until it has said enough, what its listener has of such a connection."""

    __slots__ = ("_buffer", "_http2", "_listener", "_met", "_transport", "deadline")

    def __init__(self, listener: Connections, met: Met, http2: Callable[[Met], asyncio.Protocol]) -> None:
        """`http2` makes what speaks HTTP/2."""
        self._listener = listener
        self._met = met
        self._http2 = http2
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._buffer = b""
        self.deadline = 0.0

    # -- the transport's calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.deadline = self._listener.tick + IDLE_DEADLINE_S
        if self._listener.capacity.opened():
            self._listener.open.add(self)
        else:
            self._become(H1Connection(self._listener, self._met))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) < len(_FIRST) and _FIRST.startswith(self._buffer):
            return
        self._listener.open.discard(self)
        is_http2 = self._buffer.startswith(_FIRST)
        protocol = self._http2(self._met) if is_http2 else H1Connection(self._listener, self._met)
        self._become(protocol)
        if not self._transport.is_closing():
            protocol.data_received(self._buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.open.discard(self)
        self._listener.capacity.closed(self)

    def _become(self, protocol: asyncio.Protocol) -> None:
        """From here the connection is the other's."""
        self._listener.capacity.closed(self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)

    # -- its listener's calls -----------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """True: nothing was asked."""
        return True

    def under_way(self) -> Iterator[Exchange]:
        """Nothing."""
        return iter(())

    def expire(self) -> None:
        """It has said nothing for long."""
        self._transport.close()

    def drain(self) -> None:
        """The program is going; what comes yet is told so by who reads it."""

    def close_idle(self) -> None:
        """The program is going: close."""
        self._transport.close()

    def abort(self) -> None:
        """Close without ceremony."""
        self._transport.abort()
