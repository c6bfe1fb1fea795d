"""What every `store.base.Marks` does."""

from __future__ import annotations

import asyncio

NOW = 1_800_000_000.0


async def test_only_the_first_caller_gets_it(store):
    assert await store.marks.consume("flow", b"1", NOW, NOW + 600)
    assert not await store.marks.consume("flow", b"1", NOW, NOW + 600)
    assert not await store.marks.consume("flow", b"1", NOW + 599, NOW + 9999)


async def test_of_many_at_once_one_gets_it(store):
    won = await asyncio.gather(*(store.marks.consume("flow", b"1", NOW, NOW + 600) for _ in range(50)))
    assert sum(won) == 1


async def test_another_kind_or_key_is_another_mark(store):
    assert await store.marks.consume("flow", b"1", NOW, NOW + 600)
    assert await store.marks.consume("flow", b"2", NOW, NOW + 600)
    assert await store.marks.consume("code", b"1", NOW, NOW + 600)


async def test_an_expired_mark_can_be_had_again_once(store):
    assert await store.marks.consume("flow", b"1", NOW, NOW + 600)
    assert await store.marks.consume("flow", b"1", NOW + 600, NOW + 1200)
    assert not await store.marks.consume("flow", b"1", NOW + 601, NOW + 1200)


async def test_a_sweep_takes_expired_ones_only(store):
    for n in range(5):
        await store.marks.consume("flow", bytes([n]), NOW, NOW + 1 + n)
    assert [await store.marks.sweep(NOW + 4, 3) for _ in range(3)] == [3, 1, 0]
    assert not await store.marks.consume("flow", bytes([4]), NOW + 4, NOW + 9)
