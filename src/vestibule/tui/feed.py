"""The live traffic: a thread that listens to the gateway's stream, and again when the gateway was away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from vestibule.admin_model import Row, TrafficPage
from vestibule.errors import VestibuleError

HISTORY: Final = 1000
"""Requests that are asked for at first, and after an absence."""
WAITS_S: Final = (0.3, 0.6, 1.0, 2.0, 3.0)
"""Between tries."""
BACKLOG: Final = 20_000
"""Rows that wait to be taken at most: who takes none gets the newest."""


class Source(Protocol):
    """What the feed asks; `AdminClient` has it."""

    def traffic(self, *, limit: int = 200, after: int = 0) -> TrafficPage:
        """The latest requests."""

    def traffic_stream(self) -> Iterator[tuple[Row, ...]]:
        """Requests as they end."""


class State(msgspec.Struct, frozen=True):
    """How the feed does."""

    how: Literal["connecting", "live", "lost", "refused"]
    why: str = ""
    since: datetime | None = None


class Feed:
    """Rows as they come, once each, the oldest first.

    `take` may be called from any thread. Lost is not the end: it tries again until `stop`.
    """

    def __init__(self, source: Source, now: Callable[[], datetime]) -> None:
        self._source = source
        self._now = now
        self._lock = threading.Lock()
        self._rows: list[Row] = []
        self._stopped = threading.Event()
        self._seen: set[tuple[int, datetime]] = set()
        self.state = State("connecting")
        self.losses = 0
        """How often it was lost."""
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; the thread ends with what it is reading."""
        self._stopped.set()

    def take(self) -> list[Row]:
        """What has come since it was last asked."""
        with self._lock:
            rows, self._rows = self._rows, []
        return rows

    def _run(self) -> None:
        tries = 0
        while not self._stopped.is_set():
            try:
                for _ in self._listened():
                    tries = 0
                    if self._stopped.is_set():
                        return
            except VestibuleError as error:
                self._lose(error)
            self._stopped.wait(WAITS_S[min(tries, len(WAITS_S) - 1)])
            tries += 1

    def _listened(self) -> Iterator[None]:
        """One connection. The stream begins before the gap is closed, so that nothing falls between the two."""
        self._put(self._history())
        for number, batch in enumerate(self._source.traffic_stream()):
            if number == 0:
                self._put([*self._history(), *batch])
                self.state = State("live", since=self._now())
            else:
                self._put_new(batch)
            yield

    def _history(self) -> Iterable[Row]:
        return reversed(self._source.traffic(limit=HISTORY).items)

    def _put(self, rows: Iterable[Row]) -> None:
        """Those that weren't there yet.

        By its number alone none is known: a gateway that was restarted counts from one again.
        """
        fresh = []
        for row in rows:
            known = (row.seq, row.at)
            if known not in self._seen:
                self._seen.add(known)
                fresh.append(row)
        self._put_new(fresh, is_known=True)

    def _put_new(self, rows: Iterable[Row], *, is_known: bool = False) -> None:
        batch = list(rows)
        if not is_known:
            if len(self._seen) > 4 * HISTORY:
                self._seen.clear()
            self._seen.update((row.seq, row.at) for row in batch)
        with self._lock:
            self._rows.extend(batch)
            if len(self._rows) > BACKLOG:
                del self._rows[:-BACKLOG]

    def _lose(self, error: VestibuleError) -> None:
        how: Literal["lost", "refused"] = "refused" if error.status in {401, 403, 404} else "lost"
        if self.state.how != how or self.state.why != error.message:
            since = self.state.since if self.state.how == how else self._now()
            self.state = State(how, error.message, since)
        if self.state.how == "lost":
            self.losses += 1
