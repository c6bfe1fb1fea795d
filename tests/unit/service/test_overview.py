"""The program at a glance: what it costs, and what is said when something can't be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.helpers import virtual
from vestibule import admin_model as model
from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.errors import StoreError
from vestibule.observe.meter import Figures
from vestibule.observe.rates import Rates
from vestibule.observe.traffic import Kind, Record
from vestibule.service.overview import COUNT_EVERY_S, WAIT_S, Counters, Overview, Place, listeners_of

NOW = 1_800_000_000.0
ENVIRON = {
    "VESTIBULE_BACKEND": "127.0.0.1:3000",
    "VESTIBULE_PROVIDER_TYPE": "google",
    "VESTIBULE_CLIENT_ID": "id-1",
    "VESTIBULE_CLIENT_SECRET": "hunter2",
    "VESTIBULE_ALLOWED_DOMAINS": "example.com",
    "VESTIBULE_GATEWAY_FORWARD_AUTH": "127.0.0.1:4181",
    "VESTIBULE_ADMIN_LISTEN": "127.0.0.1:9000",
}


def compiled() -> Compiled:
    return compile_config(load((), ENVIRON))


class Stores:
    """What is asked, how long it takes, and what comes of it."""

    def __init__(self) -> None:
        self.asked = 0
        self.took_s: float | None = 0.002
        self.late_s = 0.0
        self.fault: StoreError | None = None

    async def measure(self) -> float | None:
        if self.fault is not None:
            raise self.fault
        return self.took_s

    async def tally(self, _now: float = 0.0) -> int:
        self.asked += 1
        await asyncio.sleep(self.late_s)
        if self.fault is not None:
            raise self.fault
        return 7


def overview(stores: Stores, *, log_dropped: int = 0) -> Overview:
    rates = Rates()
    rates.add(Record(NOW, Kind.HOST, b"h", b"GET", b"/", 502, 0.25))

    async def concerns(
        states: Sequence[model.StoreState], processes: Sequence[Figures]
    ) -> tuple[model.Concern, ...]:
        return tuple(model.Concern(what=one.name, detail=one.detail) for one in states if not one.ok)

    return Overview(
        compiled(),
        rates,
        stores=[Place(name="records", kind="postgres", where="db:5432/x", measure=stores.measure)],
        counters=Counters(sessions=stores.tally, users=stores.tally),
        processes=lambda: [
            Figures(name="control", pid=1, started_at=NOW - 60, heard_at=NOW, log_dropped=log_dropped),
            Figures(name="worker 1", pid=2, started_at=NOW - 50, heard_at=NOW, requests=5, memory_bytes=9),
        ],
        concerns=concerns,
        now=lambda: NOW,
    )


def test_all_of_it():
    async def story() -> None:
        found = await overview(Stores(), log_dropped=3).look()
        assert (found.sessions, found.users, found.log_dropped) == (7, 7, 3)
        assert [(one.name, one.requests, one.memory_bytes) for one in found.workers] == [
            ("control", 0, 0),
            ("worker 1", 5, 9),
        ]
        assert (found.now - found.started_at).total_seconds() == 60
        assert found.stores == (
            model.StoreState(name="records", kind="postgres", where="db:5432/x", ok=True, took_ms=2.0),
        )
        assert (sum(found.series.requests), sum(found.series.errors)) == (1, 1)
        assert len({len(found.series.requests), len(found.series.p99_ms), len(found.series.sign_ins)}) == 1
        assert found.concerns == ()

    virtual.run(story())


def test_however_many_look_tables_are_counted_once_in_a_while():
    async def story() -> None:
        stores = Stores()
        one = overview(stores)
        await asyncio.gather(*(one.look() for _ in range(50)))
        assert stores.asked == 2
        await asyncio.sleep(COUNT_EVERY_S)
        await one.look()
        assert stores.asked == 4

    virtual.run(story())


def test_a_store_that_is_away_is_told_of_and_nothing_else_is_lost():
    async def story() -> None:
        stores = Stores()
        stores.fault = StoreError("The store can't be reached just now.", detail="refused")
        found = await overview(stores).look()
        assert (found.sessions, found.users) == (None, None)
        assert [(one.ok, one.took_ms, one.detail) for one in found.stores] == [(False, None, "refused")]
        assert [one.what for one in found.concerns] == ["records"]
        stores.fault, stores.took_s = None, None
        found = await overview(stores).look()
        assert found.stores[0].detail == "no answer in time"

    virtual.run(story())


def test_who_looks_does_not_wait_for_a_long_count():
    async def story() -> None:
        stores = Stores()
        stores.late_s = 60.0
        one = overview(stores)
        began = asyncio.get_running_loop().time()
        found = await one.look()
        assert asyncio.get_running_loop().time() - began <= 2 * WAIT_S
        assert found.sessions is None
        await asyncio.sleep(60)
        assert (await one.look()).sessions == 7
        await one.close()

    virtual.run(story())


def test_every_address_has_its_purpose():
    found = [(one.address, one.purpose, one.name) for one in listeners_of(compiled())]
    assert ("127.0.0.1:4181", "edges", "http") in found
    assert ("127.0.0.1:9000", "admin", "") in found
    assert [purpose for _, purpose, _ in found] == ["hosts", "edges", "admin", "admin"]
