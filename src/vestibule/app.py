"""The composition root: builds everything once, in order, and closes it in reverse.

Order matters at start: keys, store, data plane, listeners, and only then the control plane, so that the program
answers as early as it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import random
import secrets
import ssl
import stat
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vestibule.config.compile import Compiled
from vestibule.core.call import Call
from vestibule.core.postgres import Postgres
from vestibule.core.route import Host, ReturnHosts, site_of
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError, VestibuleError
from vestibule.model import Identity, Secret, User
from vestibule.observe.log import Log
from vestibule.observe.traffic import Traffic
from vestibule.providers.base import Provider, Refresh, TokenSource
from vestibule.providers.kit import Flow
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
from vestibule.proxy.lasting import Lasting
from vestibule.proxy.listener import Listener, Listening
from vestibule.proxy.pool import Pools
from vestibule.proxy.serving import ServingPort
from vestibule.proxy.static import Directory
from vestibule.proxy.teller import Teller
from vestibule.service import assertion, htpasswd
from vestibule.service.app_tokens import CREDENTIAL, Bearers, Found
from vestibule.service.assertion import Assertions
from vestibule.service.basic import Passwords
from vestibule.service.bearer import Signed
from vestibule.service.caller import Callers
from vestibule.service.grants import Grants
from vestibule.service.htpasswd import PasswordFiles, files_of
from vestibule.service.introspection import Opaque
from vestibule.service.jobs import Job, Jobs, sweeping
from vestibule.service.offer import Offer
from vestibule.service.proof import Proofs
from vestibule.service.recheck import Rechecks
from vestibule.service.registry import LOOK_EVERY_S
from vestibule.service.sessions import SESSION, Sessions
from vestibule.service.tokens import OwnTokens
from vestibule.store import keyfile, sqlite
from vestibule.store.base import Store
from vestibule.store.changes import Changes
from vestibule.web.notices import Notices
from vestibule.web.pages import Pages

if TYPE_CHECKING:
    from vestibule.control import ControlPlane

SWEEP_S = 1.0
FLUSH_S = 5.0
DRAIN_S = 30.0
"""How long a stop waits for answers under way."""

T = TypeVar("T")


class Late:
    """The control plane's driver, for those who are built before it."""

    def __init__(self, control: asyncio.Future[ControlPlane]) -> None:
        self._control = control

    async def run(self, flow: Flow[T], *, trusted: bool = True) -> T:
        """Run the flow, once the control plane is there."""
        return await (await asyncio.shield(self._control)).driver.run(flow, trusted=trusted)

    async def find_token(self, token_hash: bytes, now: float) -> Found | None:
        """The app token with this hash, if it is good. Raises StoreError."""
        return await (await asyncio.shield(self._control)).app_tokens.find(token_hash, now)

    async def owner_of(self, identity: Identity) -> User | None:
        """The user this account belongs to. Raises StoreError."""
        return await (await asyncio.shield(self._control)).people.owner_of(identity)


class App:
    """Everything that runs in one process."""

    def __init__(self, compiled: Compiled, ring: KeyRing, store: Store, log: Log) -> None:
        loop = asyncio.get_running_loop()
        self._log = log
        self._store = store
        self._control: asyncio.Future[ControlPlane] = loop.create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self.failed = asyncio.Event()
        """Set when the program can't do its work and should end."""
        self._compiled = compiled
        self._ring = ring
        self._pages = Pages(failed=lambda said: log.error("template_failed", detail=said))
        self.traffic = Traffic()
        # On a server other processes may stand, whose changes nobody tells of.
        changes = self._changes = Changes(is_shared=isinstance(compiled.database, Postgres))
        providers = {name: config.open() for name, config in compiled.clients.items()}
        self._providers: dict[str, Provider] = providers
        self.sessions = Sessions(
            store.sessions,
            changes,
            lifetimes=compiled.lifetimes,
            grace_s=compiled.lifetimes.grace_s,
        )
        driver = Late(self._control)
        self.grants = Grants(
            store.grants,
            store.leases,
            self.sessions,
            changes,
            ring,
            refreshers={name: p for name, p in providers.items() if isinstance(p, Refresh)},
            driver=driver,
        )
        self.rechecks = Rechecks(
            self.sessions, self.grants, changes, driver, log, every_s=compiled.lifetimes.restriction_s
        )
        self._offer = Offer(compiled.table, providers)
        self._files = PasswordFiles(files_of(compiled.table), ring, log, changed=self._file_changed)
        self._recheck()
        for name in self._files.providers:
            self.rechecks.look_again(name)  # nobody saw what became of it while this didn't run
        self._answers = Notices(self._pages)
        self._pools = Pools(loop.time)
        self._internals = Internals(Directory(self._answers, log), Echo(), Account(self._answers))
        self.assertions = _assertions(compiled, ring, store, log)
        self._jobs = Jobs(
            self._work(),
            store.leases,
            node=secrets.token_hex(8),
            jitter=random.random,
            failed=self._job_failed,
        )
        self._lasting = Lasting(self.sessions, self.rechecks)
        self._proofs = Proofs(driver.owner_of, changes)
        self.passwords = Passwords(self._files, self._proofs)
        self.bearers = Bearers(driver.find_token, changes, grace_s=compiled.lifetimes.grace_s)
        self._callers = self._judges_of_credentials(driver)
        self.gateway = self._gateway()
        changes.subscribe(SESSION, self._lasting.session_changed)
        changes.subscribe(CREDENTIAL, self._lasting.credential_changed)
        self._sites = [Listener(at, self.gateway, clock=loop.time) for at in compiled.listeners]
        self.listeners: list[Listening] = [*self._sites, *self._further_listeners(driver)]

    def _judges_of_credentials(self, driver: Late) -> Callers:
        """Who judges what stands in Authorization."""
        return Callers(
            app_tokens=self.bearers,
            signed=Signed(self._proofs, driver),
            opaque=Opaque(self._proofs, driver),
            passwords=self.passwords,
            is_known=self._files.has,
        )

    def _further_listeners(self, driver: Late) -> list[Listening]:
        """Those of edges, of calling interfaces, of servings and of the admin API."""
        compiled = self._compiled
        tokens = OwnTokens(_sources(compiled), driver)
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
        return [*edges, *calls, *servings, *self._admin_listeners()]

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
                    ready=self._check_ready,
                    answers=self._answers,
                    traffic=self.traffic,
                    log=self._log,
                )
                found.append(Listener(at, admin, clock=clock, slashes=True))
        return found

    def _gateway(self) -> Gateway:
        compiled = self._compiled
        judge = Judge(
            table=compiled.table,
            sessions=self.sessions,
            rechecks=self.rechecks,
            callers=self._callers,
            lasting=self._lasting,
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
        )

    def _calling(self, call: Call, tokens: OwnTokens) -> Calling:
        return Calling(
            call,
            sessions=self.sessions,
            rechecks=self.rechecks,
            grants=self.grants,
            tokens=tokens,
            ring=self._ring,
            pools=self._pools,
            answers=self._answers,
            traffic=self.traffic,
            log=self._log,
        )

    def _work(self) -> tuple[Job, ...]:
        """What is done now and then."""
        store = self._store
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
            Job(name="password files", every_s=htpasswd.LOOK_EVERY_S, run=self._files.look, is_shared=False),
            sweeping("dead sessions", store.sessions.sweep),
            sweeping("old grants", store.grants.sweep),
            sweeping("old marks", store.marks.sweep),
            sweeping("old leases", store.leases.sweep),
            sweeping("what nobody came back for", store.parking.sweep),
            sweeping("old app tokens", self._sweep_tokens, every_s=3600.0),
        )

    @classmethod
    async def open(cls, compiled: Compiled, log: Log) -> App:
        """The app, listening. Raises ConfigError, StoreError when it can't be."""
        try:
            compiled.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(f"the state directory {compiled.state} can't be made: {exc.strerror}") from exc
        if compiled.state.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            # Who can write there can put a database of their own in place of ours.
            log.warning("state_open", path=compiled.state, detail="others can write to it: chmod go-w")
        ring = _ring(compiled)
        store = await _store(compiled.database)
        app = cls(compiled, ring, store, log)
        with contextlib.suppress(StoreError):  # then the jobs go on trying; who is to be signed for waits
            await app.assertions.begin()
        try:
            for listener in app.listeners:
                await listener.start()
        except BaseException:
            await app.close(drain_s=0.0)
            raise
        app._begin("control plane", app._load_control())
        app._begin("sweep", app._sweep())
        app._jobs.start()
        return app

    async def close(self, drain_s: float = DRAIN_S) -> None:
        """Stop accepting, let answers under way end, close everything."""
        for listener in self.listeners:
            listener.stop()
        end = asyncio.get_running_loop().time() + drain_s
        while any(listener.open for listener in self.listeners) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - many small ends; no event tells of the last
            await asyncio.sleep(0.05)
        for listener in self.listeners:
            listener.abort()
        self._pools.close()
        self._internals.close()
        await self._jobs.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self._flush()
        await self.grants.close()
        self.passwords.close()
        if (control := self._built) is not None:
            await control.close()
        else:
            self._control.cancel()
        await self._store.close()

    # -- what runs beside the requests ---------------------------------------------------------

    async def _load_control(self) -> None:
        """Import the control plane in a thread, so that requests are answered meanwhile, and build it."""
        try:
            module = await asyncio.to_thread(importlib.import_module, "vestibule.control")
            parts = module.Parts(
                sessions=self.sessions,
                grants=self.grants,
                rechecks=self.rechecks,
                passwords=self.passwords,
                marks=self._store.marks,
                parking=self._store.parking,
                changes=self._changes,
                people=self._compiled.people,
                lifetimes=self._compiled.lifetimes,
                ring=self._ring,
                database=self._compiled.database,
                table=self._compiled.table,
                configs=self._compiled.clients,
                providers=self._providers,
                hosts=ReturnHosts.of(self._compiled.table),
                base_urls=self._base_urls,
                use=self._use,
                fetch_allow=self._compiled.fetch_allow,
                fetch_timeout_s=self._compiled.fetch_timeout_s,
                pages=self._pages,
                tls=await asyncio.to_thread(ssl.create_default_context),
                log=self._log,
            )
            control = module.ControlPlane(parts)
            with contextlib.suppress(StoreError):  # then the job goes on trying
                await control.registry.reload()
            self._control.set_result(control)
        except Exception as error:  # noqa: BLE001 - reported to whoever waits for it, and to the log
            self._log.error("control_plane_failed", error=repr(error))
            self._control.set_exception(error)
            self.failed.set()

    @property
    def _built(self) -> ControlPlane | None:
        """The control plane, once it is there."""
        control = self._control
        return (
            control.result()
            if control.done() and not control.cancelled() and not control.exception()
            else None
        )

    async def _application(self) -> Application:
        return (await asyncio.shield(self._control)).application

    async def _admin_application(self) -> Application:
        return (await asyncio.shield(self._control)).admin

    async def _check_ready(self) -> None:
        """Return when all work can be done. Raises VestibuleError, with what is in the way."""
        if not self._control.done():
            raise VestibuleError("the control plane is being loaded", code="starting", status=503)
        await self._store.sessions.by_id("", time.time())

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            for listener in self.listeners:
                listener.sweep(now)
            self._pools.sweep(now)
            self._lasting.sweep(now)
            await asyncio.sleep(SWEEP_S)

    async def _look(self, _now: float, _fence: int) -> None:
        if self._control.done():
            await self._control.result().registry.look()

    def _use(self, offer: Offer) -> None:
        """Other providers are in force: in this process at once."""
        refreshers = {name: one for name, one in offer.providers.items() if isinstance(one, Refresh)}
        self.grants.use(refreshers)
        self._offer = offer
        self._recheck()
        self.bearers.forget()
        self.gateway.use(offer.table)

    def _recheck(self) -> None:
        """Have people asked about at those who vouch for them now: providers, and password files."""
        offer = self._offer
        self.rechecks.use({**offer.providers, **self._files.providers}, offer.table.hosts.values())

    def _file_changed(self, name: str) -> None:
        """Another version of a password file is in force: whom it no longer has is out."""
        self._proofs.forget_client(name)
        self._recheck()
        self._lasting.look()

    def _base_urls(self, host: Host) -> tuple[str, ...]:
        """Under which URLs people reach this host."""
        return tuple({site_of(host, one.scheme, one.port).base_url: None for one in self._sites})

    async def _flush(self, _now: float = 0.0, _fence: int = 0) -> None:
        await self.sessions.flush()
        if (control := self._built) is not None:
            await self.bearers.flush(control.app_tokens.seen)

    async def _sweep_tokens(self, now: float, limit: int) -> int:
        return await control.app_tokens.sweep(now, limit) if (control := self._built) is not None else 0

    def _job_failed(self, name: str, error: VestibuleError) -> None:
        self._log.error("job_failed", job=name, code=error.code, detail=error.detail or error.message)

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


def _assertions(compiled: Compiled, ring: KeyRing, store: Store, log: Log) -> Assertions:
    wanted = any(map(assertion.is_wanted, compiled.table.hosts.values()))
    return Assertions(store.signing_keys, ring, log, are_wanted=wanted)


def _ring(compiled: Compiled) -> KeyRing:
    """The key ring: of the environment's session key where there is one, else of the key file."""
    if compiled.session_key is not None:
        return ring_of(compiled.session_key)
    if isinstance(compiled.database, Postgres):
        return keyfile.read_shared(compiled.key_file)
    return keyfile.read_or_create(compiled.key_file)


async def _store(database: Path | Postgres) -> Store:
    """The store for the data plane. asyncpg is imported by who needs it."""
    if isinstance(database, Path):
        return await sqlite.open_store(f"sqlite:{database}")
    postgres = await asyncio.to_thread(importlib.import_module, "vestibule.store.postgres")
    opened: Store = await postgres.open_store(database)
    return opened


def ring_of(session_key: Secret) -> KeyRing:
    """A ring of one key from `VESTIBULE_SESSION_KEY`; its id tells two keys apart, and nothing else of them."""
    secret = hashlib.sha256(b"vestibule session key\0" + session_key.reveal().encode()).digest()
    key_id = hashlib.sha256(b"vestibule key id\0" + secret).hexdigest()[:8]
    return KeyRing((Key(key_id, secret),))


def _sources(compiled: Compiled) -> dict[str, TokenSource]:
    return {name: cast("TokenSource", config.open()) for name, config in compiled.token_sources.items()}
