"""The ring of recent requests and the counters: one record a request, made once, at its end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import msgspec

RING_REQUESTS = 2000


class Record(msgspec.Struct, frozen=True, gc=False):
    """One request, as an operator wants to see it. Holds no secret: path without query, session by its id."""

    at: float
    host: bytes
    method: bytes
    path: bytes
    status: int
    """0 when the client left before an answer."""
    took_s: float
    address: str
    session_id: str
    decision: str
    request_id: str
    bytes_out: int


class Traffic:
    """The last requests, and how many there were by host and status."""

    __slots__ = ("counts", "on_add", "ring")

    def __init__(self, size: int = RING_REQUESTS) -> None:
        self.on_add: Callable[[Record], object] | None = None
        """Told of each."""
        self.ring: deque[Record] = deque(maxlen=size)
        self.counts: Counter[tuple[bytes, int]] = Counter()

    def add(self, record: Record) -> None:
        """Keep it; the oldest goes."""
        self.ring.append(record)
        self.counts[record.host, record.status] += 1
        if self.on_add is not None:
            self.on_add(record)
