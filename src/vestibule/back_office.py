"""What every process needs of providers and people beside the data plane: outgoing HTTP, records, who is in force.

Its imports cost some tenths of a second (HTTP client, SQL records), so `app` imports this module only after the
listeners are up. The pages and the admin API stand on it (`control`), in the one process that has them.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from vestibule.certifying import Certifying, Means
from vestibule.core.acme import Acme
from vestibule.core.lifetimes import Lifetimes
from vestibule.core.postgres import Postgres
from vestibule.core.registration import Rules
from vestibule.core.route import Host, RouteTable
from vestibule.core.seal import KeyRing
from vestibule.core.webhook import Webhook
from vestibule.fetch import AiohttpTransport, Fetcher
from vestibule.observe.log import Log
from vestibule.observe.meter import Meter
from vestibule.protocol.address import Networks
from vestibule.providers.base import Provider, ProviderConfig
from vestibule.service import provider_secrets
from vestibule.service.app_tokens import AppTokens
from vestibule.service.devices import Devices
from vestibule.service.directory import Directory
from vestibule.service.directory_tokens import DirectoryTokens
from vestibule.service.ended_tokens import EndedTokens
from vestibule.service.events import Events
from vestibule.service.flow import Driver
from vestibule.service.keys import KeySets
from vestibule.service.machine_keys import MachineKeys
from vestibule.service.offer import Offer
from vestibule.service.org_providers import OrgProviders
from vestibule.service.organisations import Organisations
from vestibule.service.people import People
from vestibule.service.recheck import Rechecks
from vestibule.service.registry import Registry
from vestibule.service.sessions import Sessions
from vestibule.service.shelf import Shelf
from vestibule.service.standing import standing_of
from vestibule.service.txt import texts_of
from vestibule.service.webhooks import Webhooks
from vestibule.store import base, records
from vestibule.store.base_organisations import Affiliations


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What the data plane has built already."""

    sessions: Sessions
    rechecks: Rechecks
    changes: base.Changes
    people: Rules
    ring: KeyRing
    database: Path | Postgres
    table: RouteTable
    configs: Mapping[str, ProviderConfig]
    """What was read of the configuration's providers, by full name."""
    providers: Mapping[str, Provider]
    base_urls: Callable[[Host], tuple[str, ...]]
    """Under which URLs people reach a host."""
    use: Callable[[Offer], None]
    """Takes what is in force whenever it changes."""
    lifetimes: Lifetimes
    fetch_allow: Networks
    fetch_timeout_s: float
    webhooks: tuple[Webhook, ...]
    """Who is told what happens."""
    audit_keep_s: float
    """How long what happened is kept."""
    acme: Acme | None
    """Which certificates are ordered."""
    tries: base.Tries
    parking: base.Parking
    shelf: Shelf
    tls: ssl.SSLContext
    log: Log
    meter: Meter


class BackOffice:
    """Open while the program runs."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self.on_offer: Callable[[Offer], None] = lambda _offer: None
        """Told of other providers before the data plane is."""
        self.fetcher = self._fetcher(basis.tls)
        self.key_sets = KeySets(self.fetcher.get, documents=self.fetcher.get_document)
        self.driver = Driver(self.fetcher, self.key_sets, basis.meter)
        self._by_authorities: dict[str, tuple[Fetcher, Driver]] = {}
        self.records = records.open_records(basis.database, basis.log, ring=basis.ring)
        self.organisations = self._organisations()
        self.events = Events(basis.log, basis.webhooks, key_id=basis.ring.active_id, meter=basis.meter)
        self.events.keep_in(self.records.audit)
        self._sealed_by = ""
        basis.sessions.watched_by(self.events)
        self.webhooks = Webhooks(
            self.records.outbox,
            self.records.dead_letters,
            basis.webhooks,
            self.fetcher,
            basis.log,
            meter=basis.meter,
        )
        self.events.wake(self.webhooks.wake)
        self.devices = Devices(self.records.devices, self.events, basis.ring, basis.log)
        self.people = self._people()
        basis.rechecks.tell(self.people)
        self.directory = self._directory()
        self.machine_keys = MachineKeys(self.records.machine_keys, basis.changes)
        self.ended_tokens = EndedTokens(basis.parking, basis.changes)
        self.app_tokens = AppTokens(
            self.records.app_tokens,
            self.people,
            basis.changes,
            life_max_s=basis.lifetimes.app_token_s,
        )
        self.registry = Registry(
            rows=self.records.identity_providers,
            keys=basis.ring,
            driver=self.driver,
            table=basis.table,
            configs=basis.configs,
            providers=basis.providers,
            use=self._use,
            end_sessions=basis.sessions.end_by,
            log=basis.log,
            base_urls=basis.base_urls,
            allow=basis.fetch_allow,
            organisations=self.records.organisations,
        )
        rows, end = self.records.identity_providers, basis.sessions.end_by
        self.org_providers = OrgProviders(rows, self.registry, end)
        self.organisations.tell(self.org_providers)
        self.people.tell_arrivals(self.directory.arrived, self.organisations.arrived)
        self.certifying = Certifying(basis.acme, self._means())
        self._judge_by(self.registry.offer)

    def _people(self) -> People:
        basis = self._basis
        return People(
            self.records.people,
            self.records.invitations,
            basis.sessions,
            basis.changes,
            rules=basis.people,
            invitation_s=basis.lifetimes.invitation_s,
        )

    def _directory(self) -> Directory:
        kept = self.records
        self.directory_tokens = DirectoryTokens(kept.directory)
        return Directory(
            kept.directory, kept.organisations, self.people, self._basis.changes, self.events.tell
        )

    def _organisations(self) -> Organisations:
        kept = self.records.organisations
        self.affiliations: tuple[Affiliations, ...] = (kept, self.records.directory)
        """Who says what people are affiliated with."""
        return Organisations(kept, self._basis.changes, sources=self.affiliations, texts=texts_of)

    def _means(self) -> Means:
        basis = self._basis
        return Means(
            records=self.records,
            tries=basis.tries,
            events=self.events,
            ring=basis.ring,
            changes=basis.changes,
            shelf=basis.shelf,
            allow=basis.fetch_allow,
            tls=basis.tls,
            log=basis.log,
        )

    def _use(self, offer: Offer) -> None:
        """Other providers are in force."""
        self.on_offer(offer)
        self._judge_by(offer)
        self._basis.use(offer)

    def _judge_by(self, offer: Offer) -> None:
        """By these providers old words about people are judged."""
        self.people.judge_by(standing_of(offer, holds_s=self._basis.lifetimes.absolute_s))

    async def reseal(self) -> None:
        """Have the active key seal what lasts. Raises StoreError."""
        await provider_secrets.reseal(self.records.identity_providers, self._basis.ring)
        await self.certifying.reseal()

    async def flush(self) -> None:
        """Have told and written what is still to be."""
        active_id = self._basis.ring.active_id
        await self.events.seals_by(active_id)
        await self.events.flush()
        if self._sealed_by != active_id:
            # While the key before is still there: afterwards nobody can tell whether the ends were ours.
            await self.records.audit.reseal()
            self._sealed_by = active_id

    async def sweep(self, now: float, limit: int) -> int:
        """Delete at most `limit` old records of each kind; how many went of the kind that had the most."""
        return max(
            await self.app_tokens.sweep(now, limit),
            await self.records.audit.sweep(now - self._basis.audit_keep_s, limit),
            await self.devices.sweep(now, limit),
            await self.webhooks.sweep(now, limit),
            await self.records.acme_proofs.sweep(now, limit),
        )

    def driver_by(self, authorities: str) -> Driver:
        """What fetches where these authorities (PEM) alone are trusted; empty: the one for all that the system trusts.

        Threat: keys that were fetched from one whom others vouch for: nothing is shared between two.
        """
        if not authorities:
            return self.driver
        if authorities not in self._by_authorities:
            fetcher = self._fetcher(ssl.create_default_context(cadata=authorities))
            driver = Driver(fetcher, KeySets(fetcher.get), self._basis.meter)
            self._by_authorities[authorities] = fetcher, driver
        return self._by_authorities[authorities][1]

    def _fetcher(self, tls: ssl.SSLContext) -> Fetcher:
        basis = self._basis
        return Fetcher(
            transport=AiohttpTransport(tls=tls), allow=basis.fetch_allow, deadline_s=basis.fetch_timeout_s
        )

    async def close(self) -> None:
        """Close in reverse."""
        await self.certifying.close()
        await self.events.close()
        await self.webhooks.close()
        await self.records.close()
        for fetcher, _ in self._by_authorities.values():
            await fetcher.close()
        await self.fetcher.close()
