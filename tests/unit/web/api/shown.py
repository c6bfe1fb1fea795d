"""What shows the running program, over a desk's store and a configuration of environment variables."""

from __future__ import annotations

from typing import Any

from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.core.seal import KeyRing
from vestibule.errors import ProviderUnavailable
from vestibule.fetch import Answer
from vestibule.observe.log import Log
from vestibule.service.acme_states import NameState
from vestibule.service.certificate_keeper import CertificateKeeper
from vestibule.service.concerns import Concerns
from vestibule.service.custody import Custody
from vestibule.service.flow import Driver
from vestibule.service.in_force import InForce
from vestibule.service.inventory import Inventory
from vestibule.service.keys import KeySets
from vestibule.service.overview import Counters, Overview, Place
from vestibule.service.provider_states import ProviderStates
from vestibule.service.shelf import Shelf

ENVIRON = {
    "VESTIBULE_BACKEND": "127.0.0.1:3000",
    "VESTIBULE_PROVIDER_TYPE": "google",
    "VESTIBULE_CLIENT_ID": "id-1",
    "VESTIBULE_CLIENT_SECRET": "canary-of-the-client",
    "VESTIBULE_ALLOWED_DOMAINS": "example.com",
}


async def away(url: str, *, via: str = "") -> Answer:
    del url, via
    raise ProviderUnavailable("it can't be reached")


async def at_once() -> float | None:
    return 0.001


def shown_by(desk: Any, ring: KeyRing) -> dict[str, Any]:
    """The fields of the office; `desk` has stores, services and the clock."""
    compiled = compile_config(load((), ENVIRON))
    key_sets = KeySets(away)
    registry, now = desk.registry, lambda: desk.now
    desk.keeper = CertificateKeeper(Shelf(), Log(desk.written), now=now)
    desk.orders = ()

    async def orders() -> tuple[NameState, ...]:
        return desk.orders  # type: ignore[no-any-return]  # a test has put them there

    inventory = Inventory(
        compiled,
        desk.rates,
        offer=lambda: registry.offer,
        base_urls=lambda host: (f"https://{host.name.decode()}",),
        keeper=desk.keeper,
        orders=orders,
        now=now,
    )
    providers = ProviderStates(registry, Driver(None, key_sets), key_sets, compiled.client_places, now=now)
    in_force = InForce(compiled, ENVIRON, rehearse=lambda loaded: None)
    concerns = Concerns(
        compiled,
        ring=ring,
        events=desk.events,
        audit=desk.store.audit,
        dead=desk.store.dead_letters,
        in_force=in_force,
        providers=providers.all,
        certificates=inventory.certificates,
        now=now,
    )
    overview = Overview(
        compiled,
        desk.rates,
        stores=[Place(name="records", kind="sqlite", where="here", measure=at_once)],
        counters=Counters(sessions=desk.store.sessions.tally, users=desk.store.people.tally),
        processes=desk.metrics.processes,
        concerns=concerns.all,
        now=now,
    )
    custody = Custody(
        sessions=desk.sessions,
        grants=desk.grants,
        events=desk.events,
        calls=compiled.calls,
        table=lambda: registry.offer.table,
    )
    desk.inventory = inventory
    return {
        "inventory": inventory,
        "overview": overview,
        "provider_states": providers,
        "custody": custody,
        "in_force": in_force,
    }
