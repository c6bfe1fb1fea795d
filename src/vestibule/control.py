"""The control plane put together: all that a sign-in needs and a plain request does not.

Its imports cost most of a second (HTTP client, SQL records, web framework), so `app` imports this module only after
the listeners are up; until then requests for the gateway's own paths wait.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Container, Mapping
from pathlib import Path

import msgspec

from vestibule.core.lifetimes import Lifetimes
from vestibule.core.postgres import Postgres
from vestibule.core.registration import Rules
from vestibule.core.route import Host, RouteTable
from vestibule.core.seal import KeyRing
from vestibule.fetch import AiohttpTransport, Fetcher
from vestibule.observe.log import Log
from vestibule.protocol.address import Networks
from vestibule.providers.base import Provider, ProviderConfig
from vestibule.proxy.asgi import Application
from vestibule.service.admin import AdminTokens
from vestibule.service.app_tokens import AppTokens
from vestibule.service.basic import Passwords
from vestibule.service.flow import Driver
from vestibule.service.grants import Grants
from vestibule.service.keys import KeySets
from vestibule.service.locker import Locker
from vestibule.service.minting import Minting
from vestibule.service.offer import Offer
from vestibule.service.people import People
from vestibule.service.recheck import Rechecks
from vestibule.service.registry import Registry
from vestibule.service.sessions import Sessions
from vestibule.service.signin import SignIn
from vestibule.service.standing import standing_of
from vestibule.store import base, records
from vestibule.web.api import app as api
from vestibule.web.api.office import Office
from vestibule.web.app import build
from vestibule.web.pages import Pages


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the data plane has built already."""

    sessions: Sessions
    grants: Grants
    rechecks: Rechecks
    passwords: Passwords
    marks: base.Marks
    parking: base.Parking
    changes: base.Changes
    people: Rules
    ring: KeyRing
    database: Path | Postgres
    table: RouteTable
    configs: Mapping[str, ProviderConfig]
    """What was read of the configuration's providers, by full name."""
    providers: Mapping[str, Provider]
    hosts: Container[str]
    """Where a return address may lead."""
    base_urls: Callable[[Host], tuple[str, ...]]
    """Under which URLs people reach a host."""
    use: Callable[[Offer], None]
    """Takes what is in force whenever it changes."""
    lifetimes: Lifetimes
    fetch_allow: Networks
    fetch_timeout_s: float
    pages: Pages
    tls: ssl.SSLContext
    log: Log


class ControlPlane:
    """What is open while the program runs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._fetcher = Fetcher(
            transport=AiohttpTransport(tls=parts.tls),
            allow=parts.fetch_allow,
            deadline_s=parts.fetch_timeout_s,
        )
        self.driver = Driver(self._fetcher, KeySets(self._fetcher.get))
        self._records = records.open_records(parts.database)
        self.people = People(
            self._records.people,
            self._records.invitations,
            parts.sessions,
            parts.changes,
            rules=parts.people,
            invitation_s=parts.lifetimes.invitation_s,
        )
        parts.rechecks.tell(self.people)
        self.app_tokens = AppTokens(
            self._records.app_tokens,
            self.people,
            parts.changes,
            life_max_s=parts.lifetimes.app_token_s,
        )
        self._minting = Minting(Locker(parts.parking, parts.ring), self.app_tokens, parts.table)
        self.registry = Registry(
            rows=self._records.identity_providers,
            keys=parts.ring,
            driver=self.driver,
            table=parts.table,
            configs=parts.configs,
            providers=parts.providers,
            use=self._use,
            end_sessions=parts.sessions.end_by,
            log=parts.log,
            base_urls=parts.base_urls,
            allow=parts.fetch_allow,
        )
        self._judge_by(self.registry.offer)
        self._signin = SignIn(
            sessions=parts.sessions,
            grants=parts.grants,
            rechecks=parts.rechecks,
            people=self.people,
            marks=parts.marks,
            parking=parts.parking,
            keys=parts.ring,
            driver=self.driver,
            passwords=parts.passwords,
            providers=parts.providers,
            hosts=parts.hosts,
            table=parts.table,
            flow_life_s=parts.lifetimes.flow_s,
        )
        self.application: Application = build(
            self._signin, self.people, self._minting, parts.pages, log=parts.log
        )
        self.admin: Application = api.build(self._office())

    def _office(self) -> Office:
        return Office(
            people=self.people,
            registry=self.registry,
            tokens=AdminTokens(self._records.admin_tokens),
            app_tokens=self.app_tokens,
            ring=self._parts.ring,
            log=self._parts.log,
        )

    def _use(self, offer: Offer) -> None:
        """Other providers are in force."""
        self._signin.use(offer.providers, self._parts.hosts, offer.table)
        self._minting.use(offer.table)
        self._judge_by(offer)
        self._parts.use(offer)

    def _judge_by(self, offer: Offer) -> None:
        """By these providers old words about people are judged."""
        self.people.judge_by(standing_of(offer, holds_s=self._parts.lifetimes.absolute_s))

    async def close(self) -> None:
        """Close in reverse."""
        await self._signin.close()
        await self._records.close()
        await self._fetcher.close()
