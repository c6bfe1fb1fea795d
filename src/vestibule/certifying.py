"""Certificates by ACME put together: what every process shows of them, and what orders them in one of all."""

from __future__ import annotations

import ssl

import msgspec

from vestibule.core.acme import Acme
from vestibule.core.seal import KeyRing
from vestibule.fetch import AiohttpTransport, Fetcher
from vestibule.observe.log import Log
from vestibule.protocol.address import Networks
from vestibule.service import acme_dns, acme_seal
from vestibule.service.acme import Acmes
from vestibule.service.acme_order import Tables
from vestibule.service.acme_proof import Proofs
from vestibule.service.acme_shown import Showing
from vestibule.service.events import Events
from vestibule.service.shelf import Shelf
from vestibule.store import base
from vestibule.store.records import Records

_ASK_S = 20.0
"""How long an authority may take for one answer."""


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What it is built of."""

    records: Records
    tries: base.Tries
    events: Events
    ring: KeyRing
    changes: base.Changes
    shelf: Shelf
    allow: Networks
    tls: ssl.SSLContext
    log: Log


class Certifying:
    """Open while the program runs. Without anything to order, it only shows no more what was ordered before."""

    def __init__(self, acme: Acme | None, means: Means) -> None:
        records = means.records
        self._records = records
        self._ring = means.ring
        self.showing = Showing(
            acme.names if acme is not None else (),
            records.certificates,
            records.acme_proofs,
            ring=means.ring,
            shelf=means.shelf,
            changes=means.changes,
            log=means.log,
        )
        self._fetcher: Fetcher | None = None
        self.acmes: Acmes | None = None
        """None where nothing is ordered."""
        if acme is not None:
            self._fetcher = _fetcher(acme, means)
            self.acmes = _acmes(acme, means, self._fetcher, self.showing)

    async def turn(self, now: float, fence: int) -> None:
        """Order what is due: a job. Raises StoreError."""
        if self.acmes is not None:
            await self.acmes.turn(now, fence)

    async def reseal(self) -> None:
        """Have the active key seal what lasts. Raises StoreError."""
        await acme_seal.reseal(self._records.acme_accounts, self._records.certificates, self._ring)

    async def close(self) -> None:
        """Close it; what is shown stays shown."""
        await self.showing.close()
        if self._fetcher is not None:
            await self._fetcher.close()


def _fetcher(acme: Acme, means: Means) -> Fetcher:
    tls = means.tls
    if acme.ca_pem:
        tls = ssl.create_default_context()
        tls.load_verify_locations(cadata=acme.ca_pem)
    return Fetcher(transport=AiohttpTransport(tls=tls), allow=means.allow, deadline_s=_ASK_S)


def _acmes(acme: Acme, means: Means, fetcher: Fetcher, showing: Showing) -> Acmes:
    records = means.records
    dns = acme_dns.opened(acme.dns) if acme.dns is not None else None
    return Acmes(
        acme,
        Tables(records.acme_accounts, records.acme_orders, records.certificates),
        Proofs(records.acme_proofs, dns, ring=means.ring, changes=means.changes, log=means.log),
        means.tries,
        fetcher=fetcher,
        events=means.events,
        ring=means.ring,
        changes=means.changes,
        show=showing.look,
        log=means.log,
    )
