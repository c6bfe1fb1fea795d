"""What one process measures: shown where all is known, sent on where it is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vestibule.errors import StoreError
from vestibule.measuring import Measuring
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.meter import Meter
from vestibule.observe.metrics import (
    BUS_AGE,
    CONNECTIONS,
    LOG_DROPPED,
    PROCESS_CPU,
    PROCESS_STARTS,
    REQUESTS,
    SIGN_INS,
    STORE_UP,
    WORKERS,
    WORKERS_WANTED,
)
from vestibule.observe.traffic import Kind, Record
from vestibule.opening import Kept


class Store:
    """Answers, or is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.sessions = self

    async def by_id(self, _session_id: str, _now: float) -> None:
        if self.is_away:
            raise StoreError("away")


class Remote:
    """Takes what a worker tells, while it is there."""

    def __init__(self) -> None:
        self.is_there = True
        self.told: list[Any] = []

    def report(self, report: Any) -> bool:
        if self.is_there:
            self.told.append(report())
        return self.is_there


class World:
    """One process that measures."""

    def __init__(self, remote: Remote | None = None, name: str = "gateway") -> None:
        self.store, self.is_current, self.log, self.meter = Store(), True, Log(), Meter()
        changes: Any = SimpleNamespace(is_current=lambda _mono: self.is_current)
        store: Any = self.store
        kept = Kept(ring=None, meter=self.meter, store=store, changes=changes, hub=None)
        compiled: Any = SimpleNamespace(workers=2, tracing=None)
        self.measuring = Measuring(name, kept, self.log, remote, compiled)

    def request(self, *, status: int = 200) -> None:
        self.measuring.traffic.add(
            Record(
                at=clock.now(),
                kind=Kind.HOST,
                name=b"a",
                method=b"GET",
                path=b"/",
                status=status,
                took_s=0.01,
            )
        )

    def series(self, family: Any) -> dict[tuple[str, ...], float]:
        return {labels: values[0] for labels, values in self.meter.series(family)}

    def sign_ins(self) -> int:
        _, steps = self.measuring.rates.steps(clock.now())
        return sum(step.sign_ins for step in steps)


@pytest.fixture
def whole() -> World:
    return World()


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def worker(remote: Remote) -> World:
    return World(remote, "worker 1")


async def test_where_all_is_known_requests_are_counted_and_rated(whole):
    whole.request()
    whole.request(status=403)
    await whole.measuring.report()
    assert sum(whole.series(REQUESTS).values()) == 2
    count = whole.measuring.rates.count(Kind.HOST, "a", clock.now())
    assert (count.requests, count.denials) == (2, 1)
    assert whole.series(PROCESS_STARTS) == {("gateway",): 1}
    assert ("gateway",) in whole.series(PROCESS_CPU)


async def test_sign_ins_are_rated_once_each_and_those_alone_that_came_to_something(whole):
    for outcome in ("ok", "ok", "refused", "handed_on"):
        whole.meter.add(SIGN_INS, ("op", outcome))
    await whole.measuring.report()
    await whole.measuring.report()
    assert whole.sign_ins() == 2
    whole.meter.add(SIGN_INS, ("other", "ok"))
    await whole.measuring.report()
    assert whole.sign_ins() == 3


async def test_a_worker_counts_no_requests_and_rates_nothing_but_tells_of_all(worker, remote):
    worker.request()
    worker.meter.add(SIGN_INS, ("op", "ok"))
    await worker.measuring.report()
    assert worker.series(REQUESTS) == {}
    assert worker.measuring.rates.count(Kind.HOST, "a", clock.now()).requests == 0
    assert worker.sign_ins() == 0
    [told] = remote.told
    assert [record.name for record in told.records] == [b"a"]
    assert told.figures.name == "worker 1"
    assert SIGN_INS.name in [one.family for one in told.grown]


async def test_what_nobody_takes_is_told_later(worker, remote):
    remote.is_there = False
    worker.request()
    worker.meter.add(SIGN_INS, ("op", "ok"))
    await worker.measuring.report()
    assert remote.told == []
    remote.is_there = True
    worker.request()
    await worker.measuring.report()
    [told] = remote.told
    assert len(told.records) == 2
    assert SIGN_INS.name in [one.family for one in told.grown]


async def test_lines_that_nobody_took_are_counted_as_they_come(whole):
    await whole.measuring.report()
    assert whole.series(LOG_DROPPED) == {(): 0}
    whole.measuring._log = SimpleNamespace(dropped=3)
    await whole.measuring.report()
    await whole.measuring.report()
    assert whole.series(LOG_DROPPED) == {(): 3}


async def test_who_asks_is_shown_how_things_are_now(whole):
    listener = SimpleNamespace(address="127.0.0.1:80", open={1, 2})
    whole.measuring.listeners = lambda: (listener,)
    found = await whole.measuring.metrics.look()
    assert found[WORKERS_WANTED.name] == {(): 2.0}
    assert found[WORKERS.name] == {(): 1.0}
    assert found[CONNECTIONS.name] == {("127.0.0.1:80",): 2.0}
    assert found[STORE_UP.name] == {("records",): 1.0}
    assert found[BUS_AGE.name] == {("gateway",): 0.0}


async def test_a_store_that_is_away_is_shown_to_be(whole):
    whole.store.is_away = True
    assert (await whole.measuring.metrics.look())[STORE_UP.name] == {("records",): 0.0}


async def test_the_age_of_the_bus_grows_while_nothing_is_heard(whole):
    await whole.measuring.report()
    whole.is_current = False
    assert whole.measuring.figures().beat_age_s > 0
    whole.is_current = True
    assert whole.measuring.figures().beat_age_s == 0
