"""The program at a glance: its figures, processes, stores, listeners, and what an operator should see to.

Whoever looks costs little: what reads tables is asked for once in some seconds, however many look, and a store that is
away is told of at once, not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, Literal, TypeVar

import msgspec

from vestibule import __version__
from vestibule import admin_model as model
from vestibule.config.compile import Compiled
from vestibule.errors import StoreError
from vestibule.observe import clock
from vestibule.observe.meter import Figures
from vestibule.observe.rates import Rates
from vestibule.service.figures import series_of

T = TypeVar("T")

COUNT_EVERY_S: Final = 10.0
MEASURE_EVERY_S: Final = 1.0
CONCERN_EVERY_S: Final = 3.0
WAIT_S: Final = 2.0
"""How long whoever looks waits for a count; after that they are told the last one."""
_MS: Final = 1000.0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One store, and how long asking it takes."""

    name: Literal["records", "sessions"]
    kind: Literal["sqlite", "postgres", "redis"]
    where: str
    """Without user and password."""
    measure: Callable[[], Awaitable[float | None]]
    """Seconds a round trip takes now; None: no answer in time."""


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted in stores; each may raise StoreError."""

    sessions: Callable[[float], Awaitable[int]]
    """How many live at this time."""
    users: Callable[[], Awaitable[int]]


class Kept(Generic[T]):
    """What was found a moment ago; of many who want it anew one asks."""

    def __init__(self, find: Callable[[], Awaitable[T]], first: T, *, every_s: float) -> None:
        self._find = find
        self._found = first
        self._every_s = every_s
        self._at_mono = float("-inf")
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What there is, at most that old unless finding it takes longer than `WAIT_S`."""
        loop = asyncio.get_running_loop()
        if self._task is None and loop.time() - self._at_mono >= self._every_s:
            self._task = loop.create_task(self._asked(), name="look")
        task = self._task
        if task is not None:
            await asyncio.wait((task,), timeout=WAIT_S)
            if task.done() and not task.cancelled():
                return task.result()
        return self._found

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _asked(self) -> T:
        try:
            self._found = await self._find()
            self._at_mono = asyncio.get_running_loop().time()
        finally:
            self._task = None
        return self._found


class Overview:
    """Belongs to the process that has the pages."""

    def __init__(
        self,
        compiled: Compiled,
        rates: Rates,
        *,
        stores: Sequence[Place],
        counters: Counters,
        processes: Callable[[], Iterable[Figures]],
        concerns: Callable[
            [Sequence[model.StoreState], Sequence[Figures]], Awaitable[tuple[model.Concern, ...]]
        ],
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`processes`: how each is that was heard of lately; `concerns`: what there is to see to."""
        self._rates = rates
        self._stores = tuple(stores)
        self._counters = counters
        self._processes = processes
        self._concerns = concerns
        self._now = now
        self._listeners = listeners_of(compiled)
        self._started_at = now()
        self._measured: Kept[tuple[model.StoreState, ...]] = Kept(self._measure, (), every_s=MEASURE_EVERY_S)
        self._sessions: Kept[int | None] = Kept(self._count_sessions, None, every_s=COUNT_EVERY_S)
        self._users: Kept[int | None] = Kept(self._count_users, None, every_s=COUNT_EVERY_S)
        self._found: Kept[tuple[model.Concern, ...]] = Kept(self._look_around, (), every_s=CONCERN_EVERY_S)

    async def look(self) -> model.Overview:
        """All of it."""
        stores, sessions, users = await asyncio.gather(
            self._measured.get(), self._sessions.get(), self._users.get()
        )
        now, processes = self._now(), tuple(self._processes())
        return model.Overview(
            version=__version__,
            started_at=_moment(min((one.started_at for one in processes), default=self._started_at)),
            now=_moment(now),
            requests_per_s=round(self._rates.per_s(now), 2),
            sessions=sessions,
            users=users,
            series=series_of(self._rates, now),
            workers=tuple(map(_worker, processes)),
            stores=stores,
            listeners=self._listeners,
            concerns=await self._found.get(),
            log_dropped=sum(one.log_dropped for one in processes),
        )

    async def close(self) -> None:
        """Ask no more."""
        await self._measured.close()
        await self._sessions.close()
        await self._users.close()
        await self._found.close()

    async def _look_around(self) -> tuple[model.Concern, ...]:
        return await self._concerns(await self._measured.get(), tuple(self._processes()))

    async def _measure(self) -> tuple[model.StoreState, ...]:
        return tuple(await asyncio.gather(*map(_state, self._stores)))

    async def _count_sessions(self) -> int | None:
        try:
            return await self._counters.sessions(self._now())
        except StoreError:
            return None

    async def _count_users(self) -> int | None:
        try:
            return await self._counters.users()
        except StoreError:
            return None


def listeners_of(compiled: Compiled) -> tuple[model.ListenerState, ...]:
    """All addresses of the configuration, with what each is for."""
    hosts = [
        model.ListenerState(address=str(at), purpose="hosts", name=at.scheme if compiled.https else "")
        for at in (*compiled.listeners, *compiled.https)
    ]
    edges = [
        model.ListenerState(address=str(at), purpose="edges", name=name)
        for name, listed in (("http", compiled.forward_auth), ("grpc", compiled.forward_auth_grpc))
        for at in listed
    ]
    calls = [
        model.ListenerState(address=str(call.listen), purpose="call", name=call.id) for call in compiled.calls
    ]
    servings = [
        model.ListenerState(address=str(at), purpose="serving", name=id_)
        for id_, at in compiled.servings.items()
    ]
    admin = [
        model.ListenerState(address=str(at), purpose="admin")
        for at in (compiled.admin_socket, compiled.admin_port)
        if at is not None
    ]
    return (*hosts, *edges, *calls, *servings, *admin)


async def _state(place: Place) -> model.StoreState:
    try:
        took_s = await place.measure()
    except StoreError as exc:
        return _told(place, None, exc.detail or exc.message)
    return _told(place, took_s, "" if took_s is not None else "no answer in time")


def _told(place: Place, took_s: float | None, detail: str) -> model.StoreState:
    return model.StoreState(
        name=place.name,
        kind=place.kind,
        where=place.where,
        ok=took_s is not None,
        took_ms=None if took_s is None else round(took_s * _MS, 3),
        detail=detail,
    )


def _worker(one: Figures) -> model.WorkerState:
    return model.WorkerState(
        name=one.name,
        pid=one.pid,
        started_at=_moment(one.started_at),
        heard_at=_moment(one.heard_at),
        requests=one.requests,
        memory_bytes=one.memory_bytes,
    )


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
