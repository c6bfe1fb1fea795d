"""What one process can carry, and what it does with more: it refuses at once, cheaply, and so that one can try again.

Three things run out. *Connections*: where one more comes than there may be, those that have been idle for longest
make room; where none is idle, it is told 503. *Requests under way*: one more is told 503. *Time*: when the event loop
has been late for longer than it should, and many wait, a share of the requests is told 503 until it is not
(`core.admission`), so that those who are taken are answered as fast as ever.

A WebSocket is no request under way, and takes the place of a connection, over HTTP/2 as over HTTP/1.1.
Health checks are always taken. Calls of backends, and edges that ask, belong to requests that were taken already.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable
from typing import Final, Protocol

from vestibule.core.admission import Admission
from vestibule.core.route import HEALTH_PATH, READY_PATH
from vestibule.observe.log import Log

LOOK_EVERY_S: Final = 0.02
RETRY_AFTER_S: Final = 2
BODY_BYTES_PER_S: Final = 1024
QUEUE_LEAST: Final = 50
"""So many requests between two looks are a queue."""
_ROOM: Final = 64
"""So many idle connections make room at once: looking for them costs a look at all."""
_FILES_FOR_US: Final = 256
_QUIET_S: Final = 5.0
"""So long nothing must have been refused before it is over."""
_BODY: Final = b"Too many people at once; please try again in a moment.\n"
BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\nContent-Length: %d\r\n" % (RETRY_AFTER_S, len(_BODY))
)
REFUSAL: Final = BUSY + b"\r\n" + _BODY
"""The connection goes on."""
LAST_REFUSAL: Final = BUSY + b"Connection: close\r\n\r\n" + _BODY
_CHECKS: Final = tuple(
    f"{method} {path} ".encode() for path in (HEALTH_PATH, READY_PATH) for method in ("GET", "HEAD")
)


class Idle(Protocol):
    """A connection, as far as making room goes."""

    deadline: float

    @property
    def is_idle(self) -> bool:
        """True between requests."""

    def close_idle(self) -> None:
        """Close when idle."""


class Capacity:
    """Of one process, shared by the listeners that people come by."""

    def __init__(
        self, *, connections: int = 0, requests: int = 0, body_bytes_per_s: int = BODY_BYTES_PER_S
    ) -> None:
        """As `allow` has it."""
        self.body_bytes_per_s = 0
        """At least so fast has the body of a request to come; 0: at any rate."""
        self._connections_most = self._requests_most = 0
        self._admission = Admission()
        self.connections = 0
        """Open now."""
        self.requests = 0
        """Under way now."""
        self._came = 0
        """How many requests came since the loop was last looked at."""
        self.refused = 0
        """So many since the start."""
        self.late_s = 0.0
        """How late the loop was when it was last looked at."""
        self.everyone: Callable[[], Iterable[Collection[Idle]]] = tuple
        """The connections of each listener."""
        self._going: set[object] = set()
        """Connections that were told to make room, and are open yet."""
        self._none_is_idle = False
        """When it was last looked; for a moment nobody looks again."""
        self.is_crowded = False
        """True when a request may not be taken without a question to `takes`."""
        self.allow(connections=connections, requests=requests, body_bytes_per_s=body_bytes_per_s)

    def allow(self, *, connections: int, requests: int, body_bytes_per_s: int) -> None:
        """From now on at most so many connections and requests (0: any number), and bodies at least so fast."""
        self._connections_most = connections or 1 << 30
        self._requests_most = requests or 1 << 30
        self.body_bytes_per_s = body_bytes_per_s

    @property
    def share(self) -> float:
        """Of the requests that are taken now: 1, all."""
        return self._admission.share

    # -- connections --------------------------------------------------------------------------

    def opened(self) -> bool:
        """One more connection; False when there is no room for it."""
        self.connections += 1
        if self.connections - len(self._going) <= self._connections_most:
            return True
        if not self._none_is_idle and self._make_room():
            return True
        self.refused += 1
        return False

    def closed(self, connection: object = None) -> None:
        """One connection less, which may have been told to make room."""
        self.connections -= 1
        self._going.discard(connection)

    def _make_room(self) -> bool:
        """Close those that have been idle for longest; False when there are none.

        Threat: newcomers that cost a look at all connections each, or that end 64 each while those are still going.
        """
        idle = (one for each in self.everyone() for one in each if one.is_idle)
        found = heapq.nsmallest(_ROOM, idle, key=lambda one: one.deadline)
        for connection in found:
            connection.close_idle()
        self._going.update(found)
        self._none_is_idle = not found
        return bool(found)

    # -- requests -----------------------------------------------------------------------------

    def begun(self) -> None:
        """One more request is under way."""
        self.requests += 1
        self._came += 1
        if self.requests >= self._requests_most:
            self.is_crowded = True

    def ended(self) -> None:
        """One request less."""
        self.requests -= 1
        if self.is_crowded and self._admission.share >= 1.0:
            self.is_crowded = self.requests >= self._requests_most

    def takes(self, data: bytes) -> bool:
        """Whether a request is taken that begins with these bytes."""
        if data.startswith(_CHECKS):
            return True
        if self.requests < self._requests_most and self._admission.admits():
            return True
        self.refused += 1
        self._came += 1
        return False

    def place(self, data: bytes, *, is_tunnel: bool) -> Place | None:
        """The place of a request that shares its connection with others, and begins with these bytes; None: no room.

        Threat: one connection of HTTP/2 whose streams are a hundred tunnels, each with a connection to a backend:
        one that asks to be a tunnel takes the place of a connection, which it is over HTTP/1.1.
        """
        if self.is_crowded and not self.takes(data):
            return None
        if is_tunnel and not self.opened():
            self.closed()
            return None
        self.begun()
        return Place(self, is_tunnel=is_tunnel)

    # -- time ---------------------------------------------------------------------------------

    def look(self, late_s: float, now_mono: float) -> None:
        """So late the loop was now.

        Where hardly anything came meanwhile there is no queue: something else had the processor, or one piece of work
        took long, and who is refused then would make nothing faster.
        """
        self.late_s, came, self._came = late_s, self._came, 0
        self._none_is_idle = False
        self._admission.look(late_s if came >= QUEUE_LEAST else 0.0, now_mono)
        self.is_crowded = self._admission.share < 1.0 or self.requests >= self._requests_most

    async def watch(self, log: Log) -> None:
        """Look at the loop until cancelled; who is refused is told of in the log once, and how many at the end."""
        log, loop = log.of("proxy"), asyncio.get_running_loop()
        due_mono = loop.time()
        before = said = self.refused
        quiet_mono, is_told = 0.0, False
        while True:
            due_mono += LOOK_EVERY_S
            await asyncio.sleep(due_mono - loop.time())
            now_mono = loop.time()
            self.look(max(0.0, now_mono - due_mono), now_mono)
            due_mono = max(due_mono, now_mono)
            if self.refused != before:
                before, quiet_mono = self.refused, now_mono
                if not is_told:
                    is_told = True
                    log.warning("overloaded", late_s=round(self.late_s, 3), **self._figures())
            elif is_told and now_mono - quiet_mono > _QUIET_S:
                log.info("overload_over", refused=self.refused - said, **self._figures())
                said, is_told = self.refused, False

    def _figures(self) -> dict[str, int]:
        return {"connections": self.connections, "requests": self.requests}


class Place:
    """What one request takes of a capacity, until it leaves."""

    __slots__ = ("_capacity", "_is_connection", "_is_request")

    def __init__(self, capacity: Capacity, *, is_tunnel: bool) -> None:
        self._capacity = capacity
        self._is_request = True
        self._is_connection = is_tunnel

    def begin_tunnel(self) -> None:
        """From here its bytes pass as they are: it is no request under way any more."""
        if self._is_request:
            self._is_request = False
            self._capacity.ended()

    def leave(self) -> None:
        """It is over."""
        self.begin_tunnel()
        if self._is_connection:
            self._is_connection = False
            self._capacity.closed()


def connections_within(files: int) -> int:
    """How many connections so many open files allow: each may need another one to a backend."""
    return max(64, (files - _FILES_FOR_US) // 2)


def is_whole(data: bytes, end: int) -> bool:
    """True for bytes that are one request without a body and nothing else, after whose refusal the next can come.

    `end`: where its head ends. Not sure: False, which costs a connection.
    """
    return (
        end + 4 == len(data)
        and data.startswith((b"GET ", b"HEAD "))
        and b" HTTP/1.1\r\n" in data
        and not any(word in data.lower() for word in (b"\ncontent-length", b"\ntransfer-encoding", b"close"))
    )
