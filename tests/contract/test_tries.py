"""What every `store.base.Tries` does."""

from __future__ import annotations

import asyncio

NOW = 1_800_000_000.0


async def test_tries_are_counted_until_the_window_that_began_with_the_first_ends(store):
    assert await store.tries.add("lockout", b"zoe", NOW, 60.0) == 1
    assert await store.tries.add("lockout", b"zoe", NOW + 59, 60.0) == 2
    assert await store.tries.count("lockout", b"zoe", NOW + 59) == (2, NOW + 60)
    assert await store.tries.count("lockout", b"zoe", NOW + 60) == (0, 0.0)
    assert await store.tries.add("lockout", b"zoe", NOW + 60, 60.0) == 1
    assert await store.tries.count("lockout", b"zoe", NOW + 60) == (1, NOW + 120)


async def test_none_were_made_of_what_nobody_tried(store):
    assert await store.tries.count("lockout", b"zoe", NOW) == (0, 0.0)


async def test_each_kind_and_key_is_counted_for_itself(store):
    for kind, key in (("lockout", b"zoe"), ("lockout", b""), ("limit", b"zoe")):
        assert await store.tries.add(kind, key, NOW, 60.0) == 1
    await store.tries.clear("lockout", b"zoe")
    assert await store.tries.count("lockout", b"zoe", NOW) == (0, 0.0)
    assert await store.tries.count("limit", b"zoe", NOW) == (1, NOW + 60)


async def test_what_was_cleared_begins_anew_and_clearing_nothing_is_no_fault(store):
    await store.tries.clear("lockout", b"zoe")
    await store.tries.add("lockout", b"zoe", NOW, 60.0)
    await store.tries.clear("lockout", b"zoe")
    assert await store.tries.add("lockout", b"zoe", NOW + 5, 60.0) == 1


async def test_of_many_at_once_none_is_lost(store):
    numbers = await asyncio.gather(*(store.tries.add("lockout", b"zoe", NOW, 60.0) for _ in range(50)))
    assert sorted(numbers) == list(range(1, 51))


async def test_a_window_begun_by_a_clock_that_was_ahead_ends_with_one_that_begins_now(store):
    await store.tries.add("lockout", b"zoe", NOW + 86400, 60.0)
    assert await store.tries.add("lockout", b"zoe", NOW, 60.0) == 2
    assert await store.tries.count("lockout", b"zoe", NOW) == (2, NOW + 60)


async def test_a_sweep_takes_windows_that_ran_out_a_few_at_a_time(store):
    for n in range(5):
        await store.tries.add("lockout", bytes([n]), NOW, 60.0)
    await store.tries.add("lockout", b"later", NOW + 1, 60.0)
    assert [await store.tries.sweep(NOW + 60, 3) for _ in range(3)] == [3, 2, 0]
    assert await store.tries.count("lockout", b"later", NOW + 60) == (1, NOW + 61)
