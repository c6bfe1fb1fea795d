"""What one process measures of itself, and how that comes to the one that shows it.

Requests are counted where all of them are known: in the control process, or the only one. Everything else (the store,
providers, refreshes) is counted where it happens, and a worker sends what has grown along with its records.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from vestibule import __version__
from vestibule.config.compile import Compiled
from vestibule.core.tracing import Tracing
from vestibule.errors import StoreError
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.meter import Figures
from vestibule.observe.metrics import (
    BUILD,
    BUS_AGE,
    CONNECTIONS,
    LOG_DROPPED,
    OVERLOAD_REFUSED,
    PROCESS_CPU,
    PROCESS_FILES,
    PROCESS_MEMORY,
    PROCESS_START,
    PROCESS_STARTS,
    SIGN_INS,
    STORE_UP,
    WORKERS,
    WORKERS_WANTED,
    Metrics,
)
from vestibule.observe.rates import Rates
from vestibule.observe.trace import Tracer
from vestibule.observe.traffic import Traffic
from vestibule.opening import Kept
from vestibule.proxy.capacity import Capacity
from vestibule.proxy.listener import Listening
from vestibule.proxy.remote import Remote, Reporter
from vestibule.store import split

_PAGE_BYTES: Final = resource.getpagesize()
_STATM: Final = Path("/proc/self/statm")
_FDS: Final = Path("/proc/self/fd")
_LOOK_S: Final = 1.0
"""How long somebody who asks for metrics waits for a store."""


class Measuring:
    """Open while the process runs."""

    def __init__(self, name: str, kept: Kept, log: Log, remote: Remote | None, compiled: Compiled) -> None:
        """`name`: of the process; `remote`: where a worker tells what it has measured."""
        self.traffic = Traffic()
        self.rates = Rates()
        """Of all requests, where all are known."""
        self._name = name
        self._changes = kept.changes
        self._log = log
        self._store = kept.store
        self._workers = compiled.workers
        self._tracer: Tracer | None = None
        self._tracing: Tracing | None = None
        self._started_at = clock.now()
        self._cpu_s = self._dropped = 0.0
        self._refused = 0
        self.capacity = Capacity()
        """What the listeners of sites have room for."""
        self._signed_in = 0
        self._sure_mono = time.monotonic()
        self.listeners: Callable[[], Sequence[Listening]] = tuple
        self.metrics = Metrics(self.traffic, meter=kept.meter, counts=remote is None)
        self.metrics.here = self.figures
        if remote is None:
            self._reporter = None
            self.traffic.subscribe(self.rates.add)
            kept.meter.add(PROCESS_STARTS, (name,))
            self._trace(compiled.tracing)
        else:
            self._reporter = Reporter(self.traffic, remote, self.figures, kept.meter)
        self._show()

    async def report(self, _now: float = 0.0, _fence: int = 0) -> None:
        """Count what has come, and tell it to who shows it."""
        self.metrics.count()
        if self._tracer is not None:
            self._tracer.count()
        meter, cpu_s, dropped = self.metrics.meter, time.process_time(), self._log.dropped
        meter.add(PROCESS_CPU, (self._name,), cpu_s - self._cpu_s)
        meter.add(LOG_DROPPED, (), dropped - self._dropped)
        meter.add(OVERLOAD_REFUSED, (), self.capacity.refused - self._refused)
        self._cpu_s, self._dropped, self._refused = cpu_s, dropped, self.capacity.refused
        if self._changes.is_current(time.monotonic()):
            self._sure_mono = time.monotonic()
        if self._reporter is None:
            self._count_rates()
        else:
            self._reporter.send()

    def _count_rates(self) -> None:
        """Take in what waits, and the sign-ins that were counted since."""
        self.rates.take_in()
        ways = self.metrics.meter.series(SIGN_INS)
        signed_in = sum(int(values[0]) for (_, outcome), values in ways if outcome == "ok")
        self.rates.signed_in(clock.now(), max(0, signed_in - self._signed_in))
        self._signed_in = signed_in

    def close(self) -> None:
        """Send what is still to be sent."""
        if self._tracer is not None:
            self._tracer.close()

    def use(self, compiled: Compiled) -> None:
        """Another configuration is in force: spans go where it says."""
        if self._reporter is None and compiled.tracing != self._tracing:
            if self._tracer is not None:
                self._tracer.stop()
                self._tracer = None
            self._trace(compiled.tracing)

    def _trace(self, tracing: Tracing | None) -> None:
        self._tracing = tracing
        if tracing is not None:
            self._tracer = Tracer(
                tracing, self.traffic, self.metrics.meter, self._log, word=self.metrics.word
            )

    def figures(self) -> Figures:
        """How this process is now."""
        return Figures(
            name=self._name,
            pid=os.getpid(),
            started_at=self._started_at,
            heard_at=clock.now(),
            requests=self.metrics.requests,
            memory_bytes=_memory_bytes(),
            cpu_s=time.process_time(),
            open_files=_open_files(),
            connections={str(one.address): len(one.open) for one in self.listeners()},
            log_dropped=self._log.dropped,
            beat_age_s=self._beat_age_s(),
        )

    def _beat_age_s(self) -> float:
        now_mono = time.monotonic()
        return 0.0 if self._changes.is_current(now_mono) else now_mono - self._sure_mono

    # -- what is looked at when somebody asks ----------------------------------------------------

    def _show(self) -> None:
        metrics, processes = self.metrics, self.metrics.processes
        metrics.show(BUILD, lambda: {(__version__,): 1.0})
        metrics.show(WORKERS_WANTED, lambda: {(): float(self._workers)})
        metrics.show(WORKERS, lambda: {(): float(sum(one.name != "control" for one in processes()))})
        metrics.show(PROCESS_START, lambda: {(one.name,): one.started_at for one in processes()})
        metrics.show(PROCESS_MEMORY, lambda: {(one.name,): float(one.memory_bytes) for one in processes()})
        metrics.show(PROCESS_FILES, lambda: {(one.name,): float(one.open_files) for one in processes()})
        metrics.show(BUS_AGE, lambda: {(one.name,): one.beat_age_s for one in processes()})
        metrics.show(CONNECTIONS, lambda: _summed(one.connections for one in processes()))
        metrics.show_later(STORE_UP, self._stores)

    async def _stores(self) -> Mapping[tuple[str, ...], float]:
        """Which of the stores answers."""
        now, store = clock.now(), self._store
        found: dict[tuple[str, ...], float] = {}
        if isinstance(store, split.Store):
            found["sessions",] = await _answers(store.kept.by_id("", now))
            store = store.database
        found["records",] = await _answers(store.sessions.by_id("", now))
        return found


async def _answers(asked: Awaitable[object]) -> float:
    """1 where it answers in time."""
    with contextlib.suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_LOOK_S):
            await asked
            return 1.0
    return 0.0


def _summed(connections: Iterable[Mapping[str, int]]) -> dict[tuple[str, ...], float]:
    """Of all processes, by listener."""
    total: Counter[tuple[str, ...]] = Counter()
    for each in connections:
        total.update({(listener,): number for listener, number in each.items()})
    return {labels: float(number) for labels, number in total.items()}


def _memory_bytes() -> int:
    """Resident; 0 where the system doesn't tell."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
    return 0


def _open_files() -> int:
    with contextlib.suppress(OSError):
        return sum(1 for _ in _FDS.iterdir())
    return 0
