"""What every `store.base.Leases` does."""

from __future__ import annotations

import asyncio

NOW = 1_800_000_000.0


async def test_one_owner_has_it_until_it_runs_out(store):
    first = await store.leases.acquire("job", "a", NOW, 30)
    assert first is not None
    assert await store.leases.acquire("job", "b", NOW + 29, 30) is None
    second = await store.leases.acquire("job", "b", NOW + 30, 30)
    assert second > first
    assert await store.leases.acquire("job", "a", NOW + 31, 30) is None


async def test_of_many_at_once_one_gets_it(store):
    fences = await asyncio.gather(*(store.leases.acquire("job", f"o{n}", NOW, 30) for n in range(50)))
    assert sum(fence is not None for fence in fences) == 1


async def test_the_owner_gets_it_anew_and_longer(store):
    first = await store.leases.acquire("job", "a", NOW, 30)
    assert await store.leases.acquire("job", "a", NOW + 20, 30) > first
    assert await store.leases.acquire("job", "b", NOW + 49, 30) is None


async def test_what_was_given_up_is_free(store):
    first = await store.leases.acquire("job", "a", NOW, 30)
    await store.leases.release("job", "a")
    assert await store.leases.acquire("job", "b", NOW, 30) > first


async def test_only_its_owner_gives_it_up(store):
    await store.leases.acquire("job", "a", NOW, 30)
    await store.leases.release("job", "b")
    await store.leases.release("other", "a")
    assert await store.leases.acquire("job", "b", NOW, 30) is None


async def test_names_are_apart_and_numbers_grow_over_all(store):
    fences = [await store.leases.acquire(name, "a", NOW, 30) for name in ("x", "y", "z")]
    assert fences == sorted(set(fences))


async def test_a_sweep_takes_those_that_ran_out_and_no_number_comes_again(store):
    last = [await store.leases.acquire(f"l{n}", "a", NOW, 1 + n) for n in range(5)][-1]
    assert [await store.leases.sweep(NOW + 4, 3) for _ in range(3)] == [3, 1, 0]
    assert await store.leases.acquire("l4", "b", NOW + 4, 30) is None
    assert await store.leases.sweep(NOW + 5) == 1
    assert await store.leases.acquire("l4", "b", NOW + 5, 30) > last
