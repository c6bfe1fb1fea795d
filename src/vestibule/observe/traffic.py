"""The ring of recent requests: one record a request, made at its end, and told to whoever counts or shows them."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, TypeAlias

import msgspec

RING_REQUESTS: Final = 5000
PATH_MAX_BYTES: Final = 2048
"""So much of a path is kept, so that whoever sends long ones fills no memory."""
SWITCHED: Final = 101
"""Status of a WebSocket: how long it took is how long it was open, and says nothing of who was kept waiting."""
_DENIED: Final = frozenset((401, 403))


class Kind(enum.Enum):
    """Whom a request came to."""

    HOST = "host"
    CALL = "call"
    """A calling interface."""
    EDGE = "edge"
    """Nobody here: an edge asked whether one that it holds may go on."""
    SERVING = "serving"
    ADMIN = "admin"
    UNREAD = "unread"
    """It could not be read."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One request, as an operator wants to see it. Holds no secret: path without query, session by its id."""

    at: float
    """When it ended."""
    kind: Kind
    name: bytes
    """Of the host, call or serving, as the configuration has it: never the client's own."""
    method: bytes
    path: bytes
    status: int
    """0 when the client left before an answer."""
    took_s: float
    address: str = ""
    session_id: str = ""
    decision: str = ""
    """The rule that let it through, or the code of what didn't."""
    request_id: str = ""
    """Empty where nobody was told one: most requests need none."""
    bytes_out: int = 0
    route: bytes = b""
    """Prefix of the route; of a call its operation's ID."""
    backend_s: float = 0.0
    """Until the backend's answer began; 0: none was asked."""
    user_id: str = ""
    person: str = ""
    """E-mail address, login or name of who asks, the first there is."""
    provider: str = ""
    """Client that they signed in by."""
    span: str = ""
    """Of a trace: 32 hex digits are its id, 16 this request's own; empty: it is part of none."""
    parent_id: str = ""
    edge: str = ""
    """Who asked, and by which contract, where an edge did."""

    @property
    def id(self) -> str:
        """By which it is found: what a person or the log was told, else what its backend was (`span_id`)."""
        return self.request_id or self.span_id

    @property
    def trace_id(self) -> str:
        """The same for all that one request has caused."""
        return self.span[:32]

    @property
    def span_id(self) -> str:
        """Its own."""
        return self.span[32:]

    @property
    def is_denial(self) -> bool:
        """True where the gateway itself said 401 or 403: no backend was asked."""
        return self.status in _DENIED and not self.backend_s


OnRecord: TypeAlias = Callable[[Record], object]


class Traffic:
    """The last requests."""

    __slots__ = ("_told", "last_seq", "ring")

    def __init__(self, size: int = RING_REQUESTS) -> None:
        self.ring: deque[Record] = deque(maxlen=size)
        self.last_seq = 0
        """How many there were; the number of the newest."""
        self._told: tuple[OnRecord, ...] = ()

    def subscribe(self, told: OnRecord) -> None:
        """Tell this one of each from now on: in the event loop; it must be quick, and not raise."""
        self._told = (*self._told, told)

    def unsubscribe(self, told: OnRecord) -> None:
        """Tell it no more."""
        self._told = tuple(one for one in self._told if one != told)

    def add(self, record: Record) -> None:
        """Keep it; the oldest goes."""
        self.ring.append(record)
        self.last_seq += 1
        for told in self._told:
            told(record)

    def since(self, seq: int) -> list[tuple[int, Record]]:
        """What came after this number, as far as it is kept, the oldest first, each with its own."""
        first = self.last_seq - len(self.ring) + 1
        skipped = max(0, seq + 1 - first)
        return list(enumerate(islice(self.ring, skipped, None), start=first + skipped))
