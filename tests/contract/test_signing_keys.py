"""What every `store.base.SigningKeys` does."""

from __future__ import annotations

import asyncio
import io

from msgspec.structs import replace

from vestibule.core.seal import Key, KeyRing
from vestibule.observe.log import Log
from vestibule.service.assertion import Assertions
from vestibule.store.base import SigningKeyRow

NOW = 1_800_000_000.0
FIRST = SigningKeyRow(number=1, id="a1", sealed=b"\x00\xff box", created_at=NOW, signs_at=NOW)
SECOND = SigningKeyRow(number=2, id="b2", sealed=b"box", created_at=NOW + 1, signs_at=NOW + 86_400)


async def test_keys_are_kept_as_they_are_in_the_order_of_their_numbers(store):
    assert await store.signing_keys.all() == ()
    assert await store.signing_keys.add(SECOND)
    assert await store.signing_keys.add(FIRST)
    assert await store.signing_keys.all() == (FIRST, SECOND)


async def test_of_many_who_add_the_next_at_once_one_does(store):
    rows = [replace(FIRST, id=f"k{n}") for n in range(20)]
    added = await asyncio.gather(*map(store.signing_keys.add, rows))
    assert sorted(added) == [False] * 19 + [True]
    [kept] = await store.signing_keys.all()
    assert kept == rows[added.index(True)]


async def test_an_id_is_there_once(store):
    assert await store.signing_keys.add(FIRST)
    assert not await store.signing_keys.add(replace(SECOND, id="a1"))
    assert await store.signing_keys.all() == (FIRST,)


async def test_a_deleted_one_is_gone(store):
    await store.signing_keys.add(FIRST)
    await store.signing_keys.add(SECOND)
    await store.signing_keys.delete(1)
    await store.signing_keys.delete(9)
    assert await store.signing_keys.all() == (SECOND,)


async def test_of_many_processes_that_start_at_once_all_sign_by_one_key(store):
    ring = KeyRing((Key("k1", b"k" * 32),))
    processes = [Assertions(store.signing_keys, ring, Log(io.StringIO()), are_wanted=True) for _ in range(5)]
    await asyncio.gather(*(process.begin() for process in processes))
    [row] = await store.signing_keys.all()
    assert {process.key_set for process in processes} == {processes[0].key_set}
    assert row.id.encode() in processes[0].key_set
