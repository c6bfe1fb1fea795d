"""What is built from one configuration: who answers what, by which rules, with which providers.

A process has one in force. A reload builds the next beside it, and hands it the listeners once it is whole (`app`);
the one before ends when its last exchange has. Two of them share what `Shared` names, and meet at the store like two
processes: whatever must be done by one alone is done under a lease, and what one changes the other hears.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from vestibule.config.compile import Compiled
from vestibule.core.call import Call
from vestibule.core.listener import ListenAddress
from vestibule.core.route import Backend, Host, ReturnHosts, admin_name, urls_of
from vestibule.errors import StoreError, VestibuleError
from vestibule.identifying import Identifying
from vestibule.measuring import Measuring
from vestibule.observe.log import Log
from vestibule.opening import Kept, key_jobs, token_sources
from vestibule.providers.base import Provider
from vestibule.providers.saml import EXCHANGE, SamlConfig
from vestibule.proxy.admin import Admin
from vestibule.proxy.asgi import Application, Control
from vestibule.proxy.calling import Calling
from vestibule.proxy.connection import Handler
from vestibule.proxy.exchange import Listener as Site
from vestibule.proxy.forward.check import Checks
from vestibule.proxy.forward.edges import Edges, OwnListener
from vestibule.proxy.forward.verdict import Verdicts
from vestibule.proxy.gateway import Gateway
from vestibule.proxy.internal import Internals
from vestibule.proxy.judge import Judge
from vestibule.proxy.lasting import Book
from vestibule.proxy.listener import HTTP2
from vestibule.proxy.pool import Pools
from vestibule.proxy.remote import REPORT_EVERY_S, Remote
from vestibule.proxy.serving import ServingPort
from vestibule.proxy.teller import Teller
from vestibule.readiness import Readiness
from vestibule.role import Role
from vestibule.service import assertion, certificate_alarms, certificate_keeper, htpasswd
from vestibule.service.assertion import Assertions
from vestibule.service.certificate_keeper import CertificateKeeper
from vestibule.service.jobs import Job, Jobs, sweeping, sweeps
from vestibule.service.log_levels import LogLevels
from vestibule.service.offer import Offer
from vestibule.service.provider_secrets import RESEAL_EVERY_S
from vestibule.service.registry import LOOK_EVERY_S
from vestibule.service.shelf import Shelf
from vestibule.service.tokens import OwnTokens
from vestibule.store.changes import Lent
from vestibule.waiting import Late, Proofs, result_of
from vestibule.web.notices import Notices
from vestibule.web.pages import Pages

if TYPE_CHECKING:
    from vestibule.back_office import BackOffice, Basis
    from vestibule.control import ControlPlane
    from vestibule.service.acme_shown import Showing

FLUSH_S = 5.0
ORDER_S = 5.0
SHOW_S = 30.0
"""So often it is looked whether other certificates are there, should nobody have told."""


Apply = Callable[[Compiled], Awaitable[None]]
"""Raises ConfigError, StoreError; then nothing has changed."""


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What a process has whatever its configuration says: all its generations use it, and `App` closes it."""

    kept: Kept
    log: Log
    role: Role
    remote: Remote | None
    """The way to the control process, from a worker."""
    measuring: Measuring
    levels: LogLevels
    readiness: Readiness
    pools: Pools
    keeper: CertificateKeeper
    """What the process shows by TLS, on its `shelf`."""
    lasting: Book
    pages: Pages
    answers: Notices
    internals: Internals
    shelf: Shelf
    apply: Apply
    """Puts another configuration in force."""
    upgrade: Callable[[], Awaitable[tuple[str, ...]]]
    """Has another program take the place of this one; what went wrong."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers at an address."""

    at: ListenAddress
    handler: Handler
    slashes: bool = False
    """Paths keep their slashes as they come."""
    greets: bool = False
    """HTTP/2 without TLS is spoken, too."""
    is_admin: bool = False


class ServedGrpc(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers edges at an address by gRPC."""

    at: ListenAddress
    checks: Checks
    site: Site
    """By which people reach hosts without a `public_url`."""


class Generation:
    """Everything of one configuration in one process. It listens nowhere itself."""

    def __init__(self, compiled: Compiled, shared: Shared) -> None:
        loop = asyncio.get_running_loop()
        self.compiled = compiled
        self._shared = shared
        self._lent = Lent(shared.kept.changes)
        kept = self._kept = msgspec.structs.replace(shared.kept, changes=self._lent)
        log = self._log = shared.log
        self.sites: Sequence[Site] = ()
        """The listeners by which people reach hosts, the first first."""
        self._callings: list[Calling] = []
        self._back_office: asyncio.Future[BackOffice] = loop.create_future()
        self._control: asyncio.Future[ControlPlane] = loop.create_future()
        self._answers = shared.answers
        self._providers: dict[str, Provider] = {
            name: config.open() for name, config in compiled.clients.items()
        }
        self._offer = Offer(compiled.table, self._providers)
        self._late = Late(self._back_office)
        self.who = Identifying(compiled, kept, self._offer, self._late, log, shared.lasting)
        wanted = any(map(assertion.is_wanted, compiled.table.hosts.values()))
        self.assertions = Assertions(kept.store.signing_keys, kept.ring, log, are_wanted=wanted)
        self._jobs = Jobs(
            [job for job in self._work() if shared.role.has_control or not job.is_shared],
            kept.store.leases,
            node=secrets.token_hex(8),
            jitter=random.random,
            failed=self._job_failed,
        )
        acme = compiled.acme
        self._proofs = Proofs(are_ordered=acme is not None and acme.by_http)
        self._showing: Showing | None = None
        self._is_in_force = False
        self.gateway = self._gateway()

    def _gateway(self) -> Gateway:
        compiled, shared = self.compiled, self._shared
        judge = Judge(
            table=compiled.table,
            sessions=self.who.sessions,
            rechecks=self.who.rechecks,
            callers=self.who.callers,
            lasting=self.who.lasting,
            trusted=compiled.trusted_proxies,
            ring=shared.kept.ring,
            log=self._log,
        )
        traffic = shared.measuring.traffic
        teller = Teller(shared.kept.ring, self.assertions, handle_s=compiled.lifetimes.handle_s)
        verdicts, trusted = Verdicts(judge, teller), compiled.trusted_proxies
        self._edges = Edges(verdicts, trusted, self._answers, traffic, self._log)
        self._checks = Checks(verdicts, trusted, self._answers, traffic, self._log)
        return Gateway(
            table=compiled.table,
            judge=judge,
            teller=teller,
            pools=shared.pools,
            answers=self._answers,
            control=Control(self.application()),
            internal=shared.internals,
            edges=self._edges,
            traffic=traffic,
            log=self._log,
            ready=shared.readiness.check,
            proofs=self._proofs,
        )

    # -- who answers where ---------------------------------------------------------------------

    def people(self) -> Iterator[Served]:
        """Who answers at each address that people come by: `sites`, once they are listeners."""
        if self._shared.role.has_sites:
            for at in (*self.compiled.listeners, *self.compiled.https):
                yield Served(at=at, handler=self.gateway)

    def served(self) -> Iterator[Served]:
        """Who answers at each other address but those for gRPC; `sites` are known by then."""
        if self._shared.role.has_sites:
            yield from self._served()
        if self._shared.role.has_control:
            yield from self._administered()

    def asked_by_grpc(self) -> Iterator[ServedGrpc]:
        """Who answers edges by gRPC."""
        if self._shared.role.has_sites:
            for at in self.compiled.forward_auth_grpc:
                yield ServedGrpc(at=at, checks=self._checks, site=self.sites[0])

    def _served(self) -> Iterator[Served]:
        compiled = self.compiled
        for at in compiled.forward_auth:
            own = OwnListener(self._edges, self.sites[0], is_closed=at.is_loopback)
            yield Served(at=at, handler=own)
        tokens = OwnTokens(token_sources(compiled), self._late)
        for call in compiled.calls:
            calling = self._calling(call, tokens)
            yield Served(at=call.listen, handler=calling, slashes=True, greets=call.endpoint.http2)
        for id_, at in compiled.servings.items():
            yield Served(at=at, handler=ServingPort(id_, self.gateway))

    def _administered(self) -> Iterator[Served]:
        """Who answers at the socket of the admin API, and at its port where it has one."""
        control, shared = Control(self._admin_application()), self._shared
        for at in (self.compiled.admin_socket, self.compiled.admin_port):
            if at is not None:
                admin = Admin(
                    address=at,
                    control=control,
                    ready=shared.readiness.check,
                    answers=self._answers,
                    traffic=shared.measuring.traffic,
                    log=self._log,
                    gateway=self.gateway,
                    host=partial(self.host_of, admin_name(at.port)),
                )
                yield Served(at=at, handler=admin, slashes=True, is_admin=True)

    def _calling(self, call: Call, tokens: OwnTokens) -> Calling:
        shared = self._shared
        calling = Calling(
            call,
            sessions=self.who.sessions,
            rechecks=self.who.rechecks,
            grants=self.who.grants,
            tokens=tokens,
            ring=shared.kept.ring,
            pools=shared.pools,
            answers=self._answers,
            traffic=shared.measuring.traffic,
            log=self._log,
        )
        self._callings.append(calling)
        return calling

    def host_of(self, name: bytes) -> Host | None:
        """The host of this name, as it is in force now."""
        return self._offer.table.host(name)

    def backends(self) -> Iterator[Backend]:
        """All that requests are sent on to, and calls."""
        for host in self._offer.table.hosts.values():
            yield from (route.backend for route in host.routes.values())
        yield from (calling.backend for calling in self._callings)

    @property
    def is_whole(self) -> bool:
        """True when all providers are in force."""
        return self._offer.table.is_whole

    @property
    def is_loaded(self) -> bool:
        """True when the control plane is there, or what a worker has of it."""
        return self._back_office.done() and (self._control.done() or not self._shared.role.has_control)

    async def application(self) -> Application:
        """Who answers the gateway's own paths, here or in the control process."""
        if self._shared.remote is not None:
            return self._shared.remote
        return (await asyncio.shield(self._control)).application

    async def _admin_application(self) -> Application:
        return (await asyncio.shield(self._control)).admin

    # -- begin and end -------------------------------------------------------------------------

    async def load(self, *, must_know: bool = False) -> None:
        """Import what a request doesn't need in a thread, so that requests are answered meanwhile, and build it.

        `must_know`: raise StoreError where what stands in the store can't be read, which is else tried again.
        """
        try:
            await self._load(must_know=must_know)
        except Exception as error:
            for waited_for in (self._back_office, self._control):
                if not waited_for.done():
                    waited_for.set_exception(error)
            raise

    async def _load(self, *, must_know: bool) -> None:
        shared = self._shared
        if self.compiled.https:
            await asyncio.to_thread(importlib.import_module, HTTP2)
        back = await asyncio.to_thread(importlib.import_module, "vestibule.back_office")
        basis = await self._basis(back)
        back_office = back.BackOffice(basis)
        self._showing = showing = back_office.certifying.showing
        self._proofs.come_from(showing)
        if self._is_in_force:
            showing.begin()
        tries = contextlib.suppress(*(() if must_know else (StoreError,)))  # its job goes on trying
        with tries:  # first: who connects by TLS waits for it
            await showing.load()
        if shared.role.has_control:
            if any(isinstance(config, SamlConfig) for config in self.compiled.clients.values()):
                await asyncio.to_thread(importlib.import_module, EXCHANGE)
            module = await asyncio.to_thread(importlib.import_module, "vestibule.control")
            store, measuring = self._kept.store, shared.measuring
            parts = module.Parts(
                basis=basis,
                grants=self.who.grants,
                passwords=self.who.passwords,
                tries=self.who.tries,
                marks=store.marks,
                parking=store.parking,
                hosts=ReturnHosts.of(self.compiled.table),
                pages=shared.pages,
                metrics=measuring.metrics,
                traffic=measuring.traffic,
                rates=measuring.rates,
                levels=shared.levels,
                compiled=self.compiled,
                store=store,
                keeper=shared.keeper,
                assertions=self.assertions,
                apply=shared.apply,
                upgrade=shared.upgrade,
            )
            # Its routes and models take tenths of a second, which no request is to wait for.
            self._control.set_result(await asyncio.to_thread(module.ControlPlane, parts, back_office))
        with tries:
            await back_office.registry.reload()
        self._back_office.set_result(back_office)

    async def _basis(self, module: ModuleType) -> Basis:
        compiled, kept = self.compiled, self._kept
        basis: Basis = module.Basis(
            sessions=self.who.sessions,
            rechecks=self.who.rechecks,
            changes=kept.changes,
            people=compiled.people,
            lifetimes=compiled.lifetimes,
            ring=kept.ring,
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
            acme=compiled.acme,
            tries=kept.store.tries,
            parking=kept.store.parking,
            shelf=self._shared.shelf,
            tls=await asyncio.to_thread(ssl.create_default_context),
            log=self._log,
            meter=kept.meter,
        )
        return basis

    def begin(self) -> None:
        """It is in force: its rules are for all that lasts, and what is done now and then is done by it."""
        self._is_in_force = True
        self.who.lasting.begin()
        if self._showing is not None:
            self._showing.begin()
        self._jobs.start()

    def begin_control(self) -> None:
        """Show and send what the control plane has to, once it is loaded and in force."""
        if (control := result_of(self._control)) is not None:
            control.begin()

    async def reload(self) -> None:
        """Put in force what the files say by now. Raises as `service.reload` does."""
        await (await asyncio.shield(self._control)).reloading.reload()

    @property
    def is_reloading(self) -> bool:
        """True while somebody waits for the next one to be in force, or is about to be told."""
        control = result_of(self._control)
        return control is not None and control.reloading.is_busy

    def end_streams(self) -> None:
        """End what has no end of its own: pages that are watched, events that are listened to."""
        if (control := result_of(self._control)) is not None:
            control.closing.set()
        self.gateway.end_streams()

    def step_down(self) -> None:
        """Another is in force: what is shown by TLS is as that has it."""
        if self._showing is not None:
            self._showing.retire()

    async def retire(self) -> None:
        """Leave to the next one what is done now and then."""
        await self._jobs.close()

    async def close(self) -> None:
        """Close everything of it, in reverse, once its exchanges are over."""
        await self._jobs.close()
        with contextlib.suppress(StoreError):
            await self._flush()
        await self.who.close()
        if (control := result_of(self._control)) is not None:
            await control.close()
        if (back_office := result_of(self._back_office)) is not None:
            await back_office.close()
        self._control.cancel()
        self._back_office.cancel()
        await self._lent.close()

    # -- what goes on --------------------------------------------------------------------------

    def _work(self) -> tuple[Job, ...]:
        """What is done now and then."""
        shared, assertions = self._shared, self.assertions
        report = shared.measuring.report
        return (
            Job(name="last seen", every_s=FLUSH_S, run=self._flush, is_shared=False),
            Job(name="identity providers", every_s=LOOK_EVERY_S, run=self._look, is_shared=False),
            Job(name="signing keys", every_s=assertion.LOOK_EVERY_S, run=assertions.look, is_shared=False),
            Job(name="new signing key", every_s=assertion.ROTATE_EVERY_S, run=assertions.rotate),
            Job(name="traffic records", every_s=REPORT_EVERY_S, run=report, is_shared=False),
            Job(
                name="password files", every_s=htpasswd.LOOK_EVERY_S, run=self.who.files.look, is_shared=False
            ),
            Job(
                name="certificates",
                every_s=certificate_keeper.LOOK_EVERY_S,
                run=shared.keeper.look,
                is_shared=False,
            ),
            Job(name="certificate alarms", every_s=certificate_alarms.LOOK_EVERY_S, run=self._sound),
            *key_jobs(self.compiled, shared.kept.ring, self._log),
            Job(name="provider secrets", every_s=RESEAL_EVERY_S, run=self._late.reseal),
            Job(name="certificates", every_s=SHOW_S, run=self._look_at_certificates, is_shared=False),
            *((Job(name="orders", every_s=ORDER_S, run=self._late.order),) if self.compiled.acme else ()),
            *sweeps(shared.kept.store),
            sweeping("old records", self._late.sweep, every_s=3600.0),
        )

    async def _look(self, _now: float, _fence: int) -> None:
        if (back_office := result_of(self._back_office)) is not None:
            await back_office.registry.look()

    async def _look_at_certificates(self, _now: float, _fence: int) -> None:
        if (back_office := result_of(self._back_office)) is not None:
            await back_office.certifying.showing.look()

    async def _sound(self, _now: float, _fence: int) -> None:
        """Tell of certificates that end."""
        if (back_office := result_of(self._back_office)) is not None:
            shared = self._shared
            await certificate_alarms.sound(
                shared.keeper.shelf, shared.kept.store.marks, back_office.events, self._log
            )

    def _use(self, offer: Offer) -> None:
        """Other providers are in force: in this process at once."""
        self._offer = offer
        self.who.use(offer)
        self.gateway.use(offer.table)

    def _base_urls(self, host: Host) -> tuple[str, ...]:
        """Under which URLs people reach this host."""
        return urls_of(host, [(one.scheme, one.port) for one in self.sites])

    async def _flush(self, _now: float = 0.0, _fence: int = 0) -> None:
        await self.who.sessions.flush()
        if (back_office := result_of(self._back_office)) is not None:
            await self.who.bearers.flush(back_office.app_tokens.seen)
            await back_office.flush()

    def _job_failed(self, name: str, error: VestibuleError) -> None:
        self._log.of("jobs").error(
            "job_failed", job=name, code=error.code, detail=error.detail or error.message
        )
