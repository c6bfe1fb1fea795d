"""A store that is timed answers as it did; what took how long, and what was in vain, is counted."""

from __future__ import annotations

import itertools

import pytest

from vestibule.errors import StoreError
from vestibule.observe.meter import Meter
from vestibule.observe.metrics import STORE_FAILURES, STORE_SECONDS
from vestibule.store import timed as module
from vestibule.store.guard import PARTS
from vestibule.store.memory import Store
from vestibule.store.timed import timed


class Broken:
    async def get(self, owner: str, client: str) -> None:
        raise StoreError("gone")

    async def put(self) -> None:
        raise ValueError("not the store's fault")


def made() -> tuple[Store, Meter]:
    meter, ticks = Meter(), itertools.count(0.0, 0.5)
    return timed(Store(), "records", meter, mono=lambda: next(ticks)), meter


async def test_a_call_answers_as_before_and_its_time_is_counted():
    store, meter = made()
    assert await store.leases.acquire("a", "me", 1.0, 10.0) is not None
    assert await store.leases.acquire("a", "you", 2.0, 10.0) is None
    ((labels, values),) = meter.series(STORE_SECONDS)
    assert labels == ("records", "leases.acquire")
    assert (sum(values[:-1]), values[-1]) == (2.0, 1.0)
    assert not list(meter.series(STORE_FAILURES))


async def test_what_was_asked_in_vain_is_counted_as_failed_and_raised():
    store, meter = made()
    store.grants = Broken()
    timed(store, "records", meter)
    with pytest.raises(StoreError):
        await store.grants.get("s", "c")
    with pytest.raises(ValueError, match="not the store"):
        await store.grants.put()
    assert dict(meter.series(STORE_FAILURES)) == {("records", "grants.get"): [1.0]}


def test_every_part_of_a_store_is_timed():
    assert set(module.PARTS) == set(PARTS)
