"""What shows the running program, put together: for the admin API, and by that for console and pages.

Of several processes the one with the control plane has it. It asks stores for figures of their own making and nothing
else; whatever it shows, requests go on without it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec

from vestibule.back_office import BackOffice, Basis
from vestibule.config.compile import Compiled
from vestibule.config.load import Loaded
from vestibule.core.postgres import Postgres
from vestibule.errors import StoreError
from vestibule.observe.meter import Figures
from vestibule.observe.rates import Rates
from vestibule.service.acme_states import NameState
from vestibule.service.certificate_keeper import CertificateKeeper
from vestibule.service.concerns import Concerns
from vestibule.service.custody import Custody
from vestibule.service.grants import Grants
from vestibule.service.in_force import InForce
from vestibule.service.inventory import Inventory
from vestibule.service.overview import Counters, Overview, Place
from vestibule.service.provider_states import ProviderStates
from vestibule.store import base
from vestibule.store.guard import Guarded
from vestibule.store.split import Store as SplitStore
from vestibule.web.rehearsal import rehearse


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted as requests go by."""

    rates: Rates
    processes: Callable[[], Iterable[Figures]]
    """How each process is."""


class Showing(msgspec.Struct, frozen=True, kw_only=True):
    """Open while the program runs."""

    inventory: Inventory
    overview: Overview
    providers: ProviderStates
    custody: Custody
    in_force: InForce

    async def close(self) -> None:
        """Ask nobody any more."""
        await self.overview.close()
        await self.providers.close()


def showing_of(
    compiled: Compiled,
    basis: Basis,
    back: BackOffice,
    seen: Seen,
    *,
    grants: Grants,
    store: base.Store,
    keeper: CertificateKeeper,
    orders: Callable[[], Awaitable[tuple[NameState, ...]]] | None = None,
) -> Showing:
    """All of it, of what is open already."""
    rates = seen.rates
    registry = back.registry
    inventory = Inventory(
        compiled,
        rates,
        offer=lambda: registry.offer,
        base_urls=basis.base_urls,
        keeper=keeper,
        orders=orders,
    )
    providers = ProviderStates(registry, back.driver, back.key_sets, compiled.client_places)
    in_force = InForce(compiled, os.environ, rehearse=_rehearse)
    concerns = Concerns(
        compiled,
        ring=basis.ring,
        events=back.events,
        audit=back.records.audit,
        dead=back.records.dead_letters,
        in_force=in_force,
        providers=providers.all,
        certificates=inventory.certificates,
        keeper=keeper,
        orders=orders,
    )
    overview = Overview(
        compiled,
        rates,
        stores=_places(compiled, store, back),
        counters=Counters(sessions=store.sessions.tally, users=back.records.people.tally),
        processes=seen.processes,
        concerns=concerns.all,
    )
    custody = Custody(
        sessions=basis.sessions,
        grants=grants,
        events=back.events,
        calls=compiled.calls,
        table=lambda: registry.offer.table,
    )
    return Showing(
        inventory=inventory, overview=overview, providers=providers, custody=custody, in_force=in_force
    )


def _rehearse(loaded: Loaded) -> None:
    rehearse(loaded.checked.brandings.values())


def _places(compiled: Compiled, store: base.Store, back: BackOffice) -> tuple[Place, ...]:
    """Where records are, and where sessions are: one database by two ways, or two stores."""
    database = compiled.database
    if isinstance(database, Postgres):
        kind, where = "postgres", f"{database.host}:{database.port}/{database.name}"
    else:
        kind, where = "sqlite", _short(database)
    records = Place(name="records", kind=kind, where=where, measure=back.records.measure)  # type: ignore[arg-type]  # one of the two
    if compiled.sessions is not None:
        hosts = ",".join(map(str, compiled.sessions.hosts))
        return records, Place(name="sessions", kind="redis", where=hosts, measure=_measure_of(store))
    return records, Place(name="sessions", kind=kind, where=where, measure=_measure_of(store))  # type: ignore[arg-type]  # the same


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _measure_of(store: base.Store) -> Callable[[], Awaitable[float | None]]:
    """A round trip of the data plane's own; no verdict on whether the store is away comes of it."""
    if isinstance(store, Guarded):
        return store.breaker.measure
    sessions = store.elsewhere.sessions if isinstance(store, SplitStore) else store.sessions

    async def measure() -> float | None:
        began_mono = time.monotonic()
        try:
            await sessions.by_id("none", 0.0)
        except StoreError:
            return None
        return time.monotonic() - began_mono

    return measure
