"""The control plane put together: the pages people sign in by, and the admin API.

Its imports cost most of a second (web framework, API models), so `app` imports this module only after the listeners
are up; until then requests for the gateway's own paths wait. Of several processes one has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container
from typing import Final

import msgspec
from starlette.applications import Starlette

from vestibule.back_office import BackOffice, Basis
from vestibule.config.compile import Compiled
from vestibule.observe.metrics import (
    AUDIT_WAITING,
    CERTIFICATE_EXPIRES,
    LOADED_AT,
    SESSIONS,
    WEBHOOKS_WAITING,
    Metrics,
    Values,
)
from vestibule.observe.rates import Rates
from vestibule.observe.traffic import Traffic
from vestibule.proxy.asgi import Application
from vestibule.service.admin import AdminTokens
from vestibule.service.assertion import Assertions
from vestibule.service.authorizing import Authorizing
from vestibule.service.basic import Passwords
from vestibule.service.certificate_keeper import CertificateKeeper
from vestibule.service.device_flow import DeviceFlow
from vestibule.service.directory_search import Search
from vestibule.service.events import told_limit
from vestibule.service.grants import Grants
from vestibule.service.issuing import Issuing
from vestibule.service.locker import Locker
from vestibule.service.log_levels import LogLevels
from vestibule.service.machines import AWS_REQUEST, ID_TOKEN, JWT, MachineTokens, Prover
from vestibule.service.minting import Minting
from vestibule.service.native import Native
from vestibule.service.offer import Offer
from vestibule.service.registered_apps import RegisteredApps
from vestibule.service.reload import Reloading
from vestibule.service.signin import SignIn
from vestibule.service.steward import Steward
from vestibule.service.sts import Sts
from vestibule.service.trail import Trail
from vestibule.service.tries import SharedTries
from vestibule.service.workloads import Workloads
from vestibule.showing import Seen, showing_of
from vestibule.store import base
from vestibule.web.admin import app as admin
from vestibule.web.admin.door import Door
from vestibule.web.api import app as api
from vestibule.web.api import org_door
from vestibule.web.api.office import Office, Upgrade, nothing_ordered
from vestibule.web.app import build
from vestibule.web.pages import Pages
from vestibule.web.scim import Beside, Scim

CERTIFICATES_MAX: Final = 1000
"""Of so many hosts it is measured when their certificates end."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What it needs beside the back office."""

    basis: Basis
    grants: Grants
    passwords: Passwords
    tries: SharedTries
    marks: base.Marks
    parking: base.Parking
    hosts: Container[str]
    """Where a return address may lead."""
    pages: Pages
    metrics: Metrics
    traffic: Traffic
    rates: Rates
    levels: LogLevels
    compiled: Compiled
    store: base.Store
    keeper: CertificateKeeper
    """Of what browsers are shown."""
    assertions: Assertions
    apply: Callable[[Compiled], Awaitable[None]]
    upgrade: Upgrade
    """Puts another configuration in force."""


class ControlPlane:
    """What is open while the program runs."""

    def __init__(self, parts: Parts, back_office: BackOffice) -> None:
        basis, self._parts, self._back = parts.basis, parts, back_office
        self.closing = asyncio.Event()
        """To be set when the program ends: what streams ends then."""
        self._minting = Minting(
            Locker(parts.parking, basis.ring), back_office.app_tokens, basis.table, back_office.events
        )
        self._signin = SignIn(
            sessions=basis.sessions,
            grants=parts.grants,
            rechecks=basis.rechecks,
            people=back_office.people,
            marks=parts.marks,
            parking=parts.parking,
            keys=basis.ring,
            driver=back_office.driver,
            passwords=parts.passwords,
            providers=basis.providers,
            hosts=parts.hosts,
            table=basis.table,
            flow_life_s=basis.lifetimes.flow_s,
        )
        self._authorizing = Authorizing(
            Issuing(parts.compiled.apps, basis.sessions, basis.rechecks, basis.ring, back_office.events),
            basis.sessions,
            Locker(parts.parking, basis.ring),
            basis.ring,
            lambda: back_office.registry.offer.table,
            assertions=parts.assertions,
        )
        self._native = Native(
            self._authorizing,
            back_office.people,
            parts.marks,
            Locker(parts.parking, basis.ring),
            back_office.driver,
            basis.providers,
            ended_since=self._signin.logouts.ended_since,
        )
        own = self._own()
        ordering = back_office.certifying.acmes
        self.showing = showing_of(
            parts.compiled,
            basis,
            back_office,
            Seen(rates=parts.rates, processes=parts.metrics.processes),
            grants=parts.grants,
            store=parts.store,
            keeper=parts.keeper,
            orders=None if ordering is None else ordering.states,
        )
        self.reloading = Reloading(self.showing.in_force, parts.apply, back_office.events, parts.metrics)
        office = self._office()
        admin_api = api.build(office)
        door = Door(admin_api, office.tokens, basis.ring)
        self.admin: Application = admin.build(admin_api, door, log=basis.log)
        managing = org_door.Beside(Beside(own, self._provisioning()), admin_api, office)
        self.application: Application = admin.Beside(managing, self.admin)
        back_office.on_offer = self._use

    def begin(self) -> None:
        """It is in force: it is what is shown, and it sends what is to be sent."""
        self._show()
        self._back.webhooks.start()

    def _own(self) -> Starlette:
        """The pages, and what apps and machines ask."""
        parts, back = self._parts, self._back
        basis = parts.basis
        return build(
            self._signin,
            back.people,
            self._minting,
            back.devices,
            self._authorizing,
            DeviceFlow(
                self._authorizing, parts.parking, Locker(parts.parking, basis.ring), basis.ring, parts.tries
            ),
            self._machine_tokens(),
            self._native,
            RegisteredApps(
                Locker(parts.parking, basis.ring),
                parts.tries,
                hosts=self._authorizing.hosts,
                host=self._authorizing.host,
                events=back.events,
            ),
            parts.pages,
            log=basis.log,
        )

    def _provisioning(self) -> Scim:
        """What directories ask."""
        back, log = self._back, self._parts.basis.log.of("signin")
        return Scim(back.directory, Search(back.records.directory), back.directory_tokens, log=log)

    def _machine_tokens(self) -> MachineTokens:
        parts, back = self._parts, self._back
        workloads = Workloads(back.driver_by, parts.marks)
        sts = Sts(back.fetcher, parts.marks)
        provers: dict[str, Prover] = {JWT: workloads, ID_TOKEN: workloads, AWS_REQUEST: sts}
        return MachineTokens(
            parts.compiled.machines,
            provers,
            back.machine_keys,
            parts.basis.ring,
            back.events,
            ended=back.ended_tokens,
        )

    def _office(self) -> Office:
        return Office(
            people=self._back.people,
            registry=self._back.registry,
            tokens=AdminTokens(self._back.records.admin_tokens, shared=self._parts.tries),
            app_tokens=self._back.app_tokens,
            machine_keys=self._back.machine_keys,
            organisations=self._back.organisations,
            org_providers=self._back.org_providers,
            directory_tokens=self._back.directory_tokens,
            machines=self._parts.compiled.machines,
            audit=self._back.records.audit,
            trail=Trail(self._back.records.audit, self._parts.basis.ring),
            events=self._back.events,
            webhooks=self._back.webhooks,
            told=told_limit(),
            steward=self._steward(),
            ring=self._parts.basis.ring,
            metrics=self._parts.metrics,
            traffic=self._parts.traffic,
            rates=self._parts.rates,
            levels=self._parts.levels,
            closing=self.closing,
            log=self._parts.basis.log.of("admin"),
            inventory=self.showing.inventory,
            overview=self.showing.overview,
            provider_states=self.showing.providers,
            custody=self.showing.custody,
            in_force=self.showing.in_force,
            reloading=self.reloading,
            upgrade=self._parts.upgrade,
            renew=self._renew,
        )

    async def _renew(self, name: str) -> None:
        acmes = self._back.certifying.acmes
        await (nothing_ordered(name) if acmes is None else acmes.renew(name))

    def _steward(self) -> Steward:
        basis, registry = self._parts.basis, self._back.registry
        return Steward(
            sessions=basis.sessions,
            people=self._back.people,
            rechecks=basis.rechecks,
            ring=basis.ring,
            table=lambda: registry.offer.table,
            span=basis.lifetimes.span,
        )

    def _show(self) -> None:
        """What is looked at when somebody asks for metrics."""
        events, outbox = self._back.events, self._back.records.outbox

        async def waiting() -> Values:
            return {(): float(await outbox.count())}

        async def sessions() -> Values:
            found = (await self.showing.overview.look()).sessions
            return {} if found is None else {(): float(found)}

        loaded_at = self._parts.compiled.loaded_at
        self._parts.metrics.show(LOADED_AT, lambda: {(): loaded_at})
        self._parts.metrics.show(CERTIFICATE_EXPIRES, self._certificates_end)
        self._parts.metrics.show(AUDIT_WAITING, lambda: {(): float(events.waiting)})
        self._parts.metrics.show_later(WEBHOOKS_WAITING, waiting)
        self._parts.metrics.show_later(SESSIONS, sessions)

    def _certificates_end(self) -> Values:
        """When, by host; the first that end are told where there are many."""
        shown = sorted(self._parts.keeper.shelf, key=lambda one: one[1].not_after_at)
        return {(name, one.source.value): one.not_after_at for name, one in shown[:CERTIFICATES_MAX]}

    def _use(self, offer: Offer) -> None:
        """Other providers are in force."""
        self._signin.use(offer.providers, self._parts.hosts, offer.table)
        self._minting.use(offer.table)
        self._native.use(offer.providers)

    async def close(self) -> None:
        """Close it; the back office is closed after it."""
        await self.showing.close()
        await self._signin.close()
