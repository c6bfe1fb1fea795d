"""What has to be done now and then: `run(now, fence)` under a lease, so that one of all processes does it.

The fence is the lease's number. Whatever a job writes that an overtaken run must not write carries it; a
sweep needs none, since what is dead for one is dead for all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

import msgspec

from vestibule.errors import VestibuleError
from vestibule.observe import clock
from vestibule.store import base

BATCH: Final = 200
_LEASE_OF_PERIOD: Final = 2.0
_LEASE_MIN_S: Final = 60.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is done every `every_s` seconds."""

    name: str
    every_s: float
    run: Callable[[float, int], Awaitable[object]]
    """Called with now and the lease's fencing number."""
    is_shared: bool = True
    """True: one of all processes does it. False: each does its own, and there is no fence (0)."""


class Sweep(Protocol):
    """Deletes at most `limit` of what has expired, and says how many went."""

    async def __call__(self, now: float, limit: int) -> int:
        """How many went."""


class Jobs:
    """Runs jobs until it is closed; a job that fails is reported and runs again at its next turn."""

    def __init__(
        self,
        jobs: Iterable[Job],
        leases: base.Leases,
        *,
        node: str,
        jitter: Callable[[], float],
        failed: Callable[[str, VestibuleError], None],
        now: Callable[[], float] = clock.now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`node` is this process's own name; `jitter` gives 0 to 1, which spreads turns over their period."""
        self._jobs = tuple(jobs)
        self._leases = leases
        self._node = node
        self._jitter = jitter
        self._failed = failed
        self._now = now
        self._sleep = sleep
        self._running: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Begin; the first turn of each job comes within its first period."""
        self._running = tuple(
            asyncio.create_task(self._repeat(job), name=f"job {job.name}") for job in self._jobs
        )

    async def close(self) -> None:
        """Stop, in the middle of a turn if need be, and leave the shared jobs to others."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running = ()
        with contextlib.suppress(VestibuleError):  # then the leases run out by themselves
            for job in self._jobs:
                await self._leases.release(_lease_of(job), self._node)

    async def turn(self, job: Job) -> bool:
        """Run the job once, if it is this process's turn. False: another has it, or it failed."""
        now = self._now()
        try:
            fence = await self._fence(job, now)
            if fence is None:
                return False
            await job.run(now, fence)
        except VestibuleError as exc:
            self._failed(job.name, exc)
            return False
        except Exception as exc:  # noqa: BLE001 - the boundary of a job: unforeseen, it must not end the turns
            self._failed(job.name, VestibuleError(detail=repr(exc)))
            return False
        return True

    async def _fence(self, job: Job, now: float) -> int | None:
        if not job.is_shared:
            return 0
        lease_s = max(_LEASE_MIN_S, job.every_s * _LEASE_OF_PERIOD)
        return await self._leases.acquire(_lease_of(job), self._node, now, lease_s)

    async def _repeat(self, job: Job) -> None:
        await self._sleep(job.every_s * self._jitter())
        while True:
            await self.turn(job)
            await self._sleep(job.every_s * (0.9 + 0.2 * self._jitter()))


def _lease_of(job: Job) -> str:
    return f"job:{job.name}"


def sweeps(store: base.Store) -> tuple[Job, ...]:
    """The jobs that delete what has expired of a store."""
    return (
        sweeping("dead sessions", store.sessions.sweep),
        sweeping("old grants", store.grants.sweep),
        sweeping("old marks", store.marks.sweep),
        sweeping("old leases", store.leases.sweep),
        sweeping("what nobody came back for", store.parking.sweep),
        sweeping("old counts of what failed", store.tries.sweep),
    )


def sweeping(name: str, sweep: Sweep, *, every_s: float = 60.0) -> Job:
    """A job that deletes what has expired, a few rows at a time so that nobody waits long for the store."""

    async def run(now: float, _fence: int) -> None:
        while await sweep(now, BATCH) >= BATCH:
            pass

    return Job(name=name, every_s=every_s, run=run)
