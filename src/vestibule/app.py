"""The composition root: builds everything once, in order, and closes it in reverse.

Order matters at start: keys, store, data plane, listeners, and only then the control plane, so that the program
answers as early as it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
import secrets
import socket
import ssl
import stat
from collections.abc import Coroutine, Mapping
from functools import partial
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from vestibule.config.compile import Compiled
from vestibule.core.call import Call
from vestibule.core.listener import ListenAddress
from vestibule.core.route import Host, ReturnHosts, admin_name, site_of
from vestibule.errors import StoreError, VestibuleError
from vestibule.identifying import Identifying
from vestibule.measuring import Measuring
from vestibule.observe import clock
from vestibule.observe.access import AccessLog
from vestibule.observe.log import Log
from vestibule.observe.traffic import Kind
from vestibule.opening import Kept, key_jobs, opened, token_sources
from vestibule.providers.base import Provider
from vestibule.proxy.account import Account
from vestibule.proxy.admin import Admin
from vestibule.proxy.asgi import Application, Control
from vestibule.proxy.calling import Calling
from vestibule.proxy.echo import Echo
from vestibule.proxy.forward.check import Checks
from vestibule.proxy.forward.edges import Edges
from vestibule.proxy.forward.listeners import edge_listeners
from vestibule.proxy.forward.verdict import Verdicts
from vestibule.proxy.gateway import Gateway
from vestibule.proxy.internal import Internals
from vestibule.proxy.judge import Judge
from vestibule.proxy.listener import Listener, Listening
from vestibule.proxy.pool import Pools
from vestibule.proxy.remote import REPORT_EVERY_S, Office, Remote
from vestibule.proxy.serving import ServingPort
from vestibule.proxy.static import Directory
from vestibule.proxy.teller import Teller
from vestibule.readiness import Readiness, drain
from vestibule.role import Role
from vestibule.service import assertion, htpasswd
from vestibule.service.assertion import Assertions
from vestibule.service.jobs import Job, Jobs, sweeping, sweeps
from vestibule.service.log_levels import LogLevels
from vestibule.service.offer import Offer
from vestibule.service.provider_secrets import RESEAL_EVERY_S
from vestibule.service.registry import LOOK_EVERY_S
from vestibule.service.tokens import OwnTokens
from vestibule.waiting import Late, result_of
from vestibule.web.notices import Notices
from vestibule.web.pages import Pages

if TYPE_CHECKING:
    from vestibule.back_office import BackOffice, Basis
    from vestibule.control import ControlPlane

SWEEP_S = 1.0
FLUSH_S = 5.0
DRAIN_S = 30.0
"""How long a stop waits for answers under way."""

_NO_SOCKETS: Mapping[ListenAddress, socket.socket] = MappingProxyType({})


class App:
    """Everything that runs in one process."""

    def __init__(self, compiled: Compiled, kept: Kept, log: Log, role: Role, name: str) -> None:
        loop = asyncio.get_running_loop()
        self._kept = kept
        ring, store, changes = kept.ring, kept.store, kept.changes
        self._log = log
        self._role = role
        self._store = store
        self._changes = changes
        self._back_office: asyncio.Future[BackOffice] = loop.create_future()
        self._control: asyncio.Future[ControlPlane] = loop.create_future()
        self._remote = None if role.has_control else Remote.at(compiled.control_socket.path)
        self._tasks: list[asyncio.Task[None]] = []
        self.failed = asyncio.Event()
        """Set when the program can't do its work and should end."""
        self._compiled = compiled
        self._ring = ring
        self._pages = Pages(failed=lambda said: log.error("template_failed", detail=said))
        self.measuring = Measuring(name, kept, log, self._remote, compiled)
        self.traffic = self.measuring.traffic
        self.levels = LogLevels(log.levels, changes, later=loop.call_soon)
        # The control process is told of the workers' requests, which they have logged themselves.
        self.traffic.subscribe(AccessLog(log, only=Kind.ADMIN if role is Role.CONTROL else None).add)
        self._providers: dict[str, Provider] = {
            name: config.open() for name, config in compiled.clients.items()
        }
        self._offer = Offer(compiled.table, self._providers)
        self._late = Late(self._back_office)
        self.readiness = Readiness(
            store, is_loaded=self._is_loaded, is_whole=lambda: self._offer.table.is_whole
        )
        self._answers = Notices(self._pages)
        self._pools = Pools(loop.time)
        self._internals = Internals(Directory(self._answers, log), Echo(), Account(self._answers))
        self.who = Identifying(compiled, kept, self._offer, self._late, log)
        wanted = any(map(assertion.is_wanted, compiled.table.hosts.values()))
        self.assertions = Assertions(store.signing_keys, ring, log, are_wanted=wanted)
        self._jobs = Jobs(
            [job for job in self._work() if role.has_control or not job.is_shared],
            store.leases,
            node=secrets.token_hex(8),
            jitter=random.random,
            failed=self._job_failed,
        )
        self.gateway = self._gateway()
        self._sites = [Listener(at, self.gateway, clock=loop.time) for at in compiled.listeners]
        self._office = self._office_of_workers()
        if self._office is not None:
            self.readiness.workers = self._office.connected
        self.listeners: list[Listening] = []
        if role.has_sites:
            self.listeners += [*self._sites, *self._further_listeners(self._late)]
        self._asked = self._admin_listeners() if role.has_control else []
        self.listeners += self._asked
        self.measuring.listeners = self.listeners

    def _further_listeners(self, driver: Late) -> list[Listening]:
        """Those of edges, of calling interfaces and of servings."""
        compiled = self._compiled
        tokens = OwnTokens(token_sources(compiled), driver)
        clock = asyncio.get_running_loop().time
        edges = edge_listeners(
            compiled.forward_auth, compiled.forward_auth_grpc, self._edges, self._checks, self._sites[0]
        )
        calls = (
            Listener(call.listen, self._calling(call, tokens), clock=clock, slashes=True)
            for call in compiled.calls
        )
        servings = (
            Listener(at, ServingPort(id_, self.gateway), clock=clock) for id_, at in compiled.servings.items()
        )
        return [*edges, *calls, *servings]

    def _admin_listeners(self) -> list[Listener]:
        """The socket of the admin API, and its port where it has one."""
        control = Control(self._admin_application())
        clock = asyncio.get_running_loop().time
        found = []
        for at in (self._compiled.admin_socket, self._compiled.admin_port):
            if at is not None:
                admin = Admin(
                    address=at,
                    control=control,
                    ready=self.readiness.check,
                    answers=self._answers,
                    traffic=self.traffic,
                    log=self._log,
                    gateway=self.gateway,
                    host=partial(self._host_of, admin_name(at.port)),
                )
                found.append(Listener(at, admin, clock=clock, slashes=True))
        return found

    def _office_of_workers(self) -> Office | None:
        """Where other processes ask this one for pages."""
        if self._role is not Role.CONTROL:
            return None
        return Office(
            self._compiled.control_socket,
            self._application,
            host_of=self._host_of,
            traffic=self.traffic,
            metrics=self.measuring.metrics,
            log=self._log,
        )

    def _is_loaded(self) -> bool:
        return self._back_office.done() and (self._control.done() or not self._role.has_control)

    def _host_of(self, name: bytes) -> Host | None:
        """The host of this name, as it is in force now."""
        return self._offer.table.host(name)

    def _gateway(self) -> Gateway:
        compiled = self._compiled
        judge = Judge(
            table=compiled.table,
            sessions=self.who.sessions,
            rechecks=self.who.rechecks,
            callers=self.who.callers,
            lasting=self.who.lasting,
            trusted=compiled.trusted_proxies,
            ring=self._ring,
            log=self._log,
        )
        teller = Teller(self._ring, self.assertions, handle_s=compiled.lifetimes.handle_s)
        verdicts, trusted = Verdicts(judge, teller), compiled.trusted_proxies
        self._edges = Edges(verdicts, trusted, self._answers, self.traffic, self._log)
        self._checks = Checks(verdicts, trusted, self._answers, self.traffic, self._log)
        return Gateway(
            table=compiled.table,
            judge=judge,
            teller=teller,
            pools=self._pools,
            answers=self._answers,
            control=Control(self._application()),
            internal=self._internals,
            edges=self._edges,
            traffic=self.traffic,
            log=self._log,
            ready=self.readiness.check,
        )

    def _calling(self, call: Call, tokens: OwnTokens) -> Calling:
        return Calling(
            call,
            sessions=self.who.sessions,
            rechecks=self.who.rechecks,
            grants=self.who.grants,
            tokens=tokens,
            ring=self._ring,
            pools=self._pools,
            answers=self._answers,
            traffic=self.traffic,
            log=self._log,
        )

    def _work(self) -> tuple[Job, ...]:
        """What is done now and then."""
        return (
            Job(name="last seen", every_s=FLUSH_S, run=self._flush, is_shared=False),
            Job(name="identity providers", every_s=LOOK_EVERY_S, run=self._look, is_shared=False),
            Job(
                name="signing keys",
                every_s=assertion.LOOK_EVERY_S,
                run=self.assertions.look,
                is_shared=False,
            ),
            Job(name="new signing key", every_s=assertion.ROTATE_EVERY_S, run=self.assertions.rotate),
            Job(name="traffic records", every_s=REPORT_EVERY_S, run=self.measuring.report, is_shared=False),
            Job(
                name="password files", every_s=htpasswd.LOOK_EVERY_S, run=self.who.files.look, is_shared=False
            ),
            *key_jobs(self._compiled, self._ring, self._log),
            Job(name="provider secrets", every_s=RESEAL_EVERY_S, run=self._late.reseal),
            *sweeps(self._store),
            sweeping("old records", self._late.sweep, every_s=3600.0),
        )

    @classmethod
    async def open(
        cls,
        compiled: Compiled,
        log: Log,
        *,
        role: Role = Role.WHOLE,
        name: str = "gateway",
        sockets: Mapping[ListenAddress, socket.socket] = _NO_SOCKETS,
    ) -> App:
        """The app, listening: on these sockets, where somebody has bound them. Raises ConfigError, StoreError."""
        clock.now.tell(log)
        try:
            compiled.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"the state directory {compiled.state} can't be made: {exc.strerror}") from exc
        if compiled.state.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            # Who can write there can put a database of their own in place of ours.
            log.warning("state_open", path=compiled.state, detail="others can write to it: chmod go-w")
        app = cls(compiled, await opened(compiled, log, role), log, role, name)
        with contextlib.suppress(StoreError):  # then the jobs go on trying; who is to be signed for waits
            await app.assertions.begin()
        try:
            for listener in app.listeners:
                listener.bound = sockets.get(listener.address)
                await listener.start()
            app.readiness.listens = True
            if app._office is not None:
                await app._office.start()
        except BaseException:
            await app.close(drain_s=0.0)
            raise
        app.levels.begin()
        app._begin("control plane", app._load_rest())
        app._begin("sweep", app._sweep())
        app._jobs.start()
        return app

    async def close(self, drain_s: float = DRAIN_S) -> None:
        """Stop accepting, let answers under way end, close everything."""
        if (control := result_of(self._control)) is not None:
            control.closing.set()
        self.gateway.end_streams()
        serving = [one for one in self.listeners if one not in self._asked]
        await drain(serving, self._asked, self.readiness, drain_s)
        self._pools.close()
        self._internals.close()
        await self._jobs.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self._flush()
        await self.who.close()
        await self._close_rest()
        await asyncio.to_thread(self.measuring.close)
        await self._kept.close()

    async def _close_rest(self) -> None:
        """What was built after listening, and the way to where it stands."""
        if self._office is not None:
            await self._office.close()
        if self._remote is not None:
            await self._remote.close()
        if (control := result_of(self._control)) is not None:
            await control.close()
        if (back_office := result_of(self._back_office)) is not None:
            await back_office.close()
        self._control.cancel()
        self._back_office.cancel()

    # -- what runs beside the requests ---------------------------------------------------------

    async def _load_rest(self) -> None:
        """Import what a request doesn't need in a thread, so that requests are answered meanwhile, and build it."""
        try:
            back = await asyncio.to_thread(importlib.import_module, "vestibule.back_office")
            basis = await self._basis(back)
            back_office = back.BackOffice(basis)
            if self._role.has_control:
                module = await asyncio.to_thread(importlib.import_module, "vestibule.control")
                parts = module.Parts(
                    basis=basis,
                    grants=self.who.grants,
                    passwords=self.who.passwords,
                    tries=self.who.tries,
                    marks=self._store.marks,
                    parking=self._store.parking,
                    hosts=ReturnHosts.of(self._compiled.table),
                    pages=self._pages,
                    metrics=self.measuring.metrics,
                    traffic=self.traffic,
                    rates=self.measuring.rates,
                    levels=self.levels,
                    compiled=self._compiled,
                    store=self._store,
                )
                self._control.set_result(module.ControlPlane(parts, back_office))
            with contextlib.suppress(StoreError):  # then the job goes on trying
                await back_office.registry.reload()
            self._back_office.set_result(back_office)
        except Exception as error:  # noqa: BLE001 - reported to whoever waits for it, and to the log
            self._log.error("control_plane_failed", error=repr(error))
            for waited_for in (self._back_office, self._control):
                if not waited_for.done():
                    waited_for.set_exception(error)
            self.failed.set()

    async def _basis(self, module: ModuleType) -> Basis:
        compiled = self._compiled
        basis: Basis = module.Basis(
            sessions=self.who.sessions,
            rechecks=self.who.rechecks,
            changes=self._changes,
            people=compiled.people,
            lifetimes=compiled.lifetimes,
            ring=self._ring,
            database=compiled.database,
            table=compiled.table,
            configs=compiled.clients,
            providers=self._providers,
            base_urls=self._base_urls,
            use=self._use,
            fetch_allow=compiled.fetch_allow,
            fetch_timeout_s=compiled.fetch_timeout_s,
            webhooks=compiled.webhooks,
            audit_keep_s=compiled.audit_keep_s,
            tls=await asyncio.to_thread(ssl.create_default_context),
            log=self._log,
            meter=self._kept.meter,
        )
        return basis

    async def _application(self) -> Application:
        if self._remote is not None:
            return self._remote
        return (await asyncio.shield(self._control)).application

    async def _admin_application(self) -> Application:
        return (await asyncio.shield(self._control)).admin

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            for listener in self.listeners:
                listener.sweep(now)
            self._pools.sweep(now)
            self.who.lasting.sweep(now)
            await asyncio.sleep(SWEEP_S)

    async def _look(self, _now: float, _fence: int) -> None:
        if (back_office := result_of(self._back_office)) is not None:
            await back_office.registry.look()

    def _use(self, offer: Offer) -> None:
        """Other providers are in force: in this process at once."""
        self._offer = offer
        self.who.use(offer)
        self.gateway.use(offer.table)

    def _base_urls(self, host: Host) -> tuple[str, ...]:
        """Under which URLs people reach this host."""
        return tuple({site_of(host, one.scheme, one.port).base_url: None for one in self._sites})

    async def _flush(self, _now: float = 0.0, _fence: int = 0) -> None:
        await self.who.sessions.flush()
        if (back_office := result_of(self._back_office)) is not None:
            await self.who.bearers.flush(back_office.app_tokens.seen)
            await back_office.flush()

    def _job_failed(self, name: str, error: VestibuleError) -> None:
        self._log.of("jobs").error(
            "job_failed", job=name, code=error.code, detail=error.detail or error.message
        )

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._on_ended)
        self._tasks.append(task)

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        """Without these tasks nothing has a deadline, so their unforeseen end is the program's."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("fault", task=task.get_name(), error=repr(error))
            self.failed.set()
