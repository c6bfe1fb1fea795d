"""One process of the program: what it keeps as long as it runs, its listeners, and the generation that is in force.

Order matters at start: keys, store, data plane, listeners, and only then the control plane, so that the program
answers as early as it can. What is built from the configuration is a `Generation`; closed is in reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from vestibule.config.compile import Compiled
from vestibule.core.listener import ListenAddress
from vestibule.core.route import Host
from vestibule.errors import ConfigError, StoreError
from vestibule.generation import Apply, Generation, Shared
from vestibule.listening import Listeners, Plan
from vestibule.measuring import Measuring
from vestibule.observe import clock
from vestibule.observe.access import AccessLog
from vestibule.observe.log import Log
from vestibule.observe.traffic import Kind
from vestibule.opening import Kept, opened
from vestibule.proxy.account import Account
from vestibule.proxy.asgi import Application
from vestibule.proxy.binding import Handed, Taken
from vestibule.proxy.capacity import Capacity, connections_within
from vestibule.proxy.echo import Echo
from vestibule.proxy.internal import Internals
from vestibule.proxy.lasting import Book
from vestibule.proxy.listener import Listening, UnderWay
from vestibule.proxy.pool import Pools
from vestibule.proxy.remote import Office, Remote
from vestibule.proxy.static import Directory
from vestibule.readiness import Readiness, drain, stopped
from vestibule.role import Role
from vestibule.service.certificate_keeper import CertificateKeeper, Ready
from vestibule.service.log_levels import LogLevels
from vestibule.service.shelf import Shelf
from vestibule.state import have_state
from vestibule.store.changes import Changes
from vestibule.web.notices import Notices
from vestibule.web.pages import Pages

SWEEP_S = 1.0
DOUBT_S = 0.5
"""How long what is cached is good for beside another program."""
LOOK_S = 0.05
DRAIN_S = 30.0
"""How long a stop waits for answers under way."""

_NO_SOCKETS: Mapping[ListenAddress, Taken] = MappingProxyType({})


class Ending(ConfigError):
    """The program is about to end: what is in force stays until then."""

    def __init__(self) -> None:
        super().__init__(("the gateway is about to end",))


class App:
    """Everything that runs in one process."""

    def __init__(self, compiled: Compiled, kept: Kept, log: Log, role: Role, name: str) -> None:
        loop = asyncio.get_running_loop()
        self._kept = kept
        self._log = log
        self._role = role
        self._clock = loop.time
        self._remote = None if role.has_control else Remote.at(compiled.control_socket.path)
        self._tasks: list[asyncio.Task[None]] = []
        self.failed = asyncio.Event()
        """Set when the program can't do its work and should end."""
        self.measuring = Measuring(name, kept, log, self._remote, compiled)
        self.traffic = self.measuring.traffic
        self.levels = LogLevels(log.levels, kept.changes, later=loop.call_soon)
        # The control process is told of the workers' requests, which they have logged themselves.
        self.traffic.subscribe(AccessLog(log, only=Kind.ADMIN if role is Role.CONTROL else None).add)
        self.readiness = Readiness(
            kept.store,
            is_loaded=lambda: self.generation.is_loaded,
            is_whole=lambda: self.generation.is_whole,
        )
        self._pools = Pools(loop.time)
        self.keeper = CertificateKeeper(Shelf(), log)
        self._pages = Pages(failed=lambda said: log.error("template_failed", detail=said))
        self._answers = Notices(self._pages)
        self._internals = Internals(Directory(self._answers, log), Echo(), Account(self._answers))
        self.upgrade: Callable[[], Awaitable[tuple[str, ...]]] = _no_upgrade
        """Has another program take the place of this one; what went wrong."""
        self.apply: Apply = self.reload
        """Puts another configuration in force: here, where this process is the only one."""
        self.capacity = Capacity(
            connections=connections_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        )
        self.measuring.capacity = self.capacity
        self._shared = self._what_is_shared(log)
        self.generation = Generation(compiled, self._shared)
        """What is in force."""
        self._next: tuple[Generation, Plan, Ready] | None = None
        """What is ready to be, and waits for the word."""
        self._before: dict[asyncio.Task[None], Generation] = {}
        """Those whose last exchanges are under way, by who waits for these."""
        self._turn = asyncio.Lock()
        self._office = self._office_of_workers(compiled)
        if self._office is not None:
            self.readiness.workers = self._office.connected
        self._places = Listeners(self._clock, self.capacity, self.keeper.shelf, kept.ring, log)
        self.measuring.listeners = lambda: self.listeners

    def _what_is_shared(self, log: Log) -> Shared:
        """What all generations use."""
        return Shared(
            kept=self._kept,
            log=log,
            role=self._role,
            remote=self._remote,
            measuring=self.measuring,
            levels=self.levels,
            readiness=self.readiness,
            pools=self._pools,
            keeper=self.keeper,
            lasting=Book(),
            pages=self._pages,
            answers=self._answers,
            internals=self._internals,
            shelf=self.keeper.shelf,
            apply=self._apply,
            upgrade=self._upgrade,
        )

    @property
    def listeners(self) -> list[Listening]:
        """Those that accept."""
        return self._places.all

    def _office_of_workers(self, compiled: Compiled) -> Office | None:
        """Where other processes ask this one for pages."""
        if self._role is not Role.CONTROL:
            return None
        return Office(
            compiled.control_socket,
            self._application,
            host_of=self._host_of,
            traffic=self.traffic,
            metrics=self.measuring.metrics,
            log=self._log,
        )

    async def _application(self) -> Application:
        return await self.generation.application()

    def _host_of(self, name: bytes) -> Host | None:
        """As it is in force; of one that is gone by now, as it was for the requests that are still under way."""
        known = (one.host_of(name) for one in (self.generation, *self._before.values()))
        return next((host for host in known if host is not None), None)

    # -- begin and end -------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        compiled: Compiled,
        log: Log,
        *,
        role: Role = Role.WHOLE,
        name: str = "gateway",
        sockets: Mapping[ListenAddress, Taken] = _NO_SOCKETS,
        is_late: bool = False,
    ) -> App:
        """The app, listening: on these sockets, where somebody has bound them. Raises ConfigError, StoreError.

        `is_late`: it accepts only when all of it is loaded, since another program does so until then.
        """
        clock.now.tell(log)
        have_state(compiled, log)
        app = cls(compiled, await opened(compiled, log, role), log, role, name)
        with contextlib.suppress(StoreError):  # then the jobs go on trying; who is to be signed for waits
            await app.generation.assertions.begin()
            await app.generation.who.affiliated.begin()
        app.keeper.begin(compiled.certificates, compiled.local_authority)
        plan = app._places.plan(app.generation)
        try:
            app._places.bind(plan, sockets)
            app._places.use(plan)
            if is_late:
                await app.generation.load(must_know=True)
            await app._places.start(plan)
            app.readiness.listens = True
            if app._office is not None:
                await app._office.start()
        except BaseException:
            await app.close(drain_s=0.0)
            raise
        app.levels.begin()
        if is_late:
            app.generation.begin_control()
        else:
            app._begin("control plane", app._load_rest())
        app._begin("sweep", app._sweep())
        app._begin("capacity", app.capacity.watch(log))
        app.generation.begin()
        return app

    def handed(self) -> dict[str, Handed]:
        """By address, what another program needs to go on with the sockets; where any port will do, it finds one."""
        return {str(one.address): one.handed() for one in self.listeners if not one.address.is_any_port}

    def hand_over(self) -> None:
        """Another program serves at the same addresses from now on, on the same store."""
        for listener in self.listeners:
            listener.hand_over()

    def stand_beside(self) -> asyncio.Task[None] | None:
        """While another program is on the same store: without a channel between the two nothing cached is believed."""
        if not isinstance(self._kept.changes, Changes):
            return None
        return self._begin("doubt", _doubt(self._kept.changes))

    async def close(self, drain_s: float = DRAIN_S, delay_s: float = 0.0) -> None:
        """Stop accepting, let answers under way end, close everything.

        For `delay_s` it only says that it isn't ready, and goes on as before: who sends requests here looks every few
        seconds, and would find a closed door until then.
        """
        self.readiness.is_draining = True
        if delay_s:
            await asyncio.sleep(delay_s)
        self.generation.end_streams()
        await self.abandon()
        asked = self._places.asked
        serving = [one for one in self.listeners if one not in asked]
        await drain([*serving, *self._places.leaving], asked, self.readiness, drain_s)
        self._pools.close()
        self._internals.close()
        for task in (*self._tasks, *self._before):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._before, return_exceptions=True)
        await self.generation.retire()
        if self._office is not None:
            await self._office.close()
        if self._remote is not None:
            await self._remote.close()
        for generation in (self.generation, *self._before.values()):
            await generation.close()
        await asyncio.to_thread(self.measuring.close)
        await self._kept.close()

    # -- another configuration -----------------------------------------------------------------

    async def _upgrade(self) -> tuple[str, ...]:
        return await self.upgrade()

    async def _apply(self, compiled: Compiled) -> None:
        await self.apply(compiled)

    async def reload(self, compiled: Compiled) -> None:
        """Put another configuration in force. Raises ConfigError, StoreError; then nothing has changed."""
        async with self._turn:
            await self.prepare(compiled)
            await self.commit()

    async def prepare(self, compiled: Compiled, sockets: Mapping[ListenAddress, Taken] = _NO_SOCKETS) -> None:
        """Have all of it built, loaded and bound, up to the word (`commit`). Raises as `reload` does."""
        await self.abandon()
        self._go_on()
        generation = Generation(compiled, self._shared)
        try:
            plan = self._places.plan(generation)
            await generation.assertions.begin()
            await generation.who.affiliated.begin()
            await generation.load(must_know=True)
            shown = await asyncio.to_thread(
                self.keeper.prepare, compiled.certificates, compiled.local_authority
            )
            self._go_on()
            self._places.bind(plan, sockets)
        except BaseException:
            await generation.close()
            raise
        self._next = generation, plan, shown

    def _go_on(self) -> None:
        """Raises Ending where there is nothing to go on with."""
        if self.readiness.is_draining:
            raise Ending

    async def abandon(self) -> None:
        """Drop what is prepared, if anything is."""
        following, self._next = self._next, None
        if following is not None:
            generation, plan, _ = following
            plan.drop()
            await generation.close()

    async def commit(self) -> None:
        """Put in force what is prepared: for each request that comes from now on, on whatever connection.

        Raises ConfigError where nobody may listen at an address after all; then nothing has changed.
        """
        if self._next is None:
            raise RuntimeError("nothing is prepared")
        generation, plan, shown = self._next
        try:
            self._go_on()
            await self._places.start(plan)
            self._go_on()
        except BaseException:
            plan.stop()
            await self.abandon()
            raise
        # From here nobody else has a turn, until all of it is the next one's.
        self._next = None
        before, self.generation = self.generation, generation
        last = [one for one in self._under_way() if not one.is_over]
        before.step_down()
        self.keeper.use(shown)
        self._places.use(plan)
        generation.begin()
        generation.begin_control()
        self.measuring.use(generation.compiled)
        leaving = asyncio.get_running_loop().create_task(
            self._leave(before, last, plan.gone), name="generation before"
        )
        self._before[leaving] = before

    def _under_way(self) -> Iterator[UnderWay]:
        yield from self._places.under_way()
        if self._office is not None:
            yield from self._office.under_way()

    async def _leave(self, before: Generation, last: list[UnderWay], gone: list[Listening]) -> None:
        """Close a generation when its last exchanges are over; what lasts goes on without it."""
        until_mono = self._clock() + DRAIN_S
        before.end_streams()
        await before.retire()
        await stopped(gone, until_mono)
        while self._clock() < until_mono and (  # noqa: ASYNC110 - many small ends; no event tells of the last
            before.is_reloading or any(not (one.is_over or one.lasts) for one in last)
        ):
            await asyncio.sleep(LOOK_S)
        await before.close()
        self._before.pop(asyncio.current_task(), None)  # type: ignore[arg-type]  # this is a task
        living = (self.generation, *self._before.values())
        self._pools.keep(backend for one in living for backend in one.backends())
        del before, last  # nothing else leads to it: this frame would keep all of it until the next reload
        gc.collect()

    # -- what runs beside the requests ---------------------------------------------------------

    async def _load_rest(self) -> None:
        generation = self.generation
        try:
            await generation.load()
            generation.begin_control()
        except Exception as error:  # noqa: BLE001 - reported to the log; who waits for it is told by the generation
            self._log.error("control_plane_failed", error=repr(error))
            self.failed.set()

    async def _sweep(self) -> None:
        while True:
            now = self._clock()
            self._places.sweep(now)
            self._pools.sweep(now)
            self.generation.who.lasting.sweep(now)
            await asyncio.sleep(SWEEP_S)

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._on_ended)
        self._tasks.append(task)
        return task

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        """Without these tasks nothing has a deadline, so their unforeseen end is the program's."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("fault", task=task.get_name(), error=repr(error))
            self.failed.set()


async def _no_upgrade() -> tuple[str, ...]:
    return ("it was not started by `vestibule serve`",)


async def _doubt(changes: Changes) -> None:
    while True:
        changes.doubt()
        await asyncio.sleep(DOUBT_S)
