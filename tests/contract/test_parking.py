"""What every `store.base.Parking` does."""

from __future__ import annotations

import asyncio

NOW = 1_800_000_000.0


async def test_what_was_parked_waits_as_it_was(store):
    await store.parking.park("registration", b"\x00\xff", b"\x00 box", NOW + 600)
    assert await store.parking.parked("registration", b"\x00\xff", NOW) == b"\x00 box"
    assert await store.parking.parked("registration", b"\x00\xff", NOW + 599) == b"\x00 box"


async def test_taking_takes_it_once(store):
    await store.parking.park("registration", b"1", b"box", NOW + 600)
    assert await store.parking.take("registration", b"1", NOW) == b"box"
    assert await store.parking.take("registration", b"1", NOW) is None
    assert await store.parking.parked("registration", b"1", NOW) is None


async def test_of_many_who_take_at_once_one_gets_it(store):
    await store.parking.park("link", b"1", b"box", NOW + 600)
    taken = await asyncio.gather(*(store.parking.take("link", b"1", NOW) for _ in range(20)))
    assert sorted(taken, key=bool) == [None] * 19 + [b"box"]


async def test_nothing_waits_past_its_time(store):
    await store.parking.park("link", b"1", b"box", NOW + 600)
    assert await store.parking.parked("link", b"1", NOW + 600) is None
    assert await store.parking.take("link", b"1", NOW + 600) is None


async def test_another_kind_or_key_is_another_place(store):
    await store.parking.park("link", b"1", b"box", NOW + 600)
    assert await store.parking.take("registration", b"1", NOW) is None
    assert await store.parking.take("link", b"2", NOW) is None
    assert await store.parking.take("link", b"1", NOW) == b"box"


async def test_what_stood_there_is_replaced(store):
    await store.parking.park("link", b"1", b"first", NOW + 1)
    await store.parking.park("link", b"1", b"second", NOW + 600)
    assert await store.parking.take("link", b"1", NOW + 599) == b"second"


async def test_a_sweep_takes_what_nobody_came_for(store):
    for n in range(5):
        await store.parking.park("link", bytes([n]), b"box", NOW + 1 + n)
    assert [await store.parking.sweep(NOW + 4, 3) for _ in range(3)] == [3, 1, 0]
    assert await store.parking.take("link", bytes([4]), NOW + 4) == b"box"
