"""A client's connection, as the listener that accepted it and the handler of its exchanges see it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator, MutableSet
from typing import Any, Final, Protocol

from vestibule.core.listener import UNKNOWN, Met
from vestibule.errors import BadRequest
from vestibule.protocol.h1 import HeadCheck
from vestibule.proxy.capacity import Capacity
from vestibule.proxy.exchange import Exchange, Listener

_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Handler(Protocol):
    """Takes exchanges: the gateway, or a calling interface."""

    def handle(self, exchange: Exchange) -> None:
        """Answer it, now or later; sets `exchange.responder` before any body is wanted."""

    def refuse(
        self, exchange: Exchange | None, error: BadRequest, peer: str
    ) -> tuple[bytes, list[bytes], bytes]:
        """Status line, header lines and body of the answer to a request that can't be served."""


class Connection(Protocol):
    """What its listener does with it."""

    deadline: float
    """By the loop's clock; 0: none."""

    @property
    def is_idle(self) -> bool:
        """True between requests."""

    def under_way(self) -> Iterator[Exchange]:
        """What is being answered."""

    def expire(self) -> None:
        """The deadline has passed."""

    def drain(self) -> None:
        """The program is going: the next answer is the last, and what has no end of its own ends."""

    def close_idle(self) -> None:
        """The program is going, and has waited for requests on their way: close, when there is none."""

    def abort(self) -> None:
        """Close without ceremony."""


class Connections(Listener, Protocol):
    """What a connection needs of the listener that accepted it."""

    handler: Handler
    check: HeadCheck
    slashes: bool
    """Paths keep their slashes as they come (`protocol.url.canonical`)."""
    draining: bool
    capacity: Capacity
    open: MutableSet[Any]
    """All connections, of whatever protocol (`Connection`)."""
    tick: float
    """The loop's clock as of the last sweep, a second ago at most: good enough for deadlines."""


def peer_of(transport: asyncio.BaseTransport, met: Met) -> str:
    """The address of who is connected: what was met says it, else the transport; empty for a Unix socket."""
    if met is not UNKNOWN:
        return met.peer
    peername = transport.get_extra_info("peername")
    return peername[0] if isinstance(peername, tuple) else ""


def gets_less(before_bytes: int, now_bytes: int) -> bool:
    """True when something waits to be sent, and less than when that was last looked at: slow, but not stuck.

    `before_bytes` 0: it was not looked at yet.
    """
    return now_bytes > 0 and (not before_bytes or now_bytes < before_bytes)


def reset(transport: asyncio.Transport) -> None:
    """Close it at once, whatever waits to be sent; the client is told by a reset.

    Threat: slow reading. What the system has taken of an answer, which may be megabytes, it would go on offering for
    minutes to a client that doesn't take it, long after the connection was closed here.
    """
    below = transport.get_extra_info("socket")
    if below is not None:
        with contextlib.suppress(OSError):  # a Unix socket may have no such thing
            below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
