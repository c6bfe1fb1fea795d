"""What every `store.base.Grants` does."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from vestibule.store.base import SealedGrant

NOW = 1_800_000_000.0
GRANT = SealedGrant(
    owner="s1", client="h/google", version=2**47, sealed=b"\x00\xff box", expires_at=NOW + 60.5
)


async def test_a_grant_comes_back_as_it_was(store):
    assert await store.grants.put(GRANT, None)
    assert await store.grants.get("s1", "h/google") == GRANT


async def test_there_is_none_for_another_owner_or_client(store):
    await store.grants.put(GRANT, None)
    assert await store.grants.get("s2", "h/google") is None
    assert await store.grants.get("s1", "google") is None
    assert await store.grants.of("s2") == ()


async def test_putting_without_a_version_replaces_any(store):
    await store.grants.put(GRANT, None)
    assert await store.grants.put(replace(GRANT, version=7, sealed=b"new"), None)
    assert await store.grants.of("s1") == (replace(GRANT, version=7, sealed=b"new"),)


async def test_putting_over_the_expected_version_replaces_it(store):
    await store.grants.put(replace(GRANT, version=1), None)
    newer = replace(GRANT, version=2, sealed=b"new", expires_at=NOW)
    assert await store.grants.put(newer, 1)
    assert await store.grants.get("s1", "h/google") == newer


async def test_putting_over_another_version_changes_nothing(store):
    await store.grants.put(replace(GRANT, version=1), None)
    assert not await store.grants.put(replace(GRANT, version=6), 5)
    assert (await store.grants.get("s1", "h/google")).version == 1


async def test_putting_over_what_was_dropped_brings_nothing_back(store):
    await store.grants.put(replace(GRANT, version=1), None)
    assert await store.grants.delete("s1", "h/google")
    assert not await store.grants.put(replace(GRANT, version=2), 1)
    assert await store.grants.get("s1", "h/google") is None


async def test_of_many_who_put_over_one_version_one_wins(store):
    await store.grants.put(replace(GRANT, version=1), None)
    won = await asyncio.gather(
        *(store.grants.put(replace(GRANT, version=2, sealed=bytes([n])), 1) for n in range(20))
    )
    assert sum(won) == 1
    assert (await store.grants.get("s1", "h/google")).sealed == bytes([won.index(True)])


async def test_dropping_takes_one(store):
    await store.grants.put(GRANT, None)
    await store.grants.put(replace(GRANT, client="other"), None)
    assert await store.grants.delete("s1", "h/google")
    assert not await store.grants.delete("s1", "h/google")
    assert [grant.client for grant in await store.grants.of("s1")] == ["other"]


async def test_dropping_an_expected_version_leaves_any_other(store):
    await store.grants.put(replace(GRANT, version=2), None)
    assert not await store.grants.delete("s1", "h/google", 1)
    assert await store.grants.get("s1", "h/google") is not None
    assert await store.grants.delete("s1", "h/google", 2)
    assert await store.grants.get("s1", "h/google") is None


async def test_all_of_an_owner_come_in_order(store):
    for client in ("b", "c", "a"):
        await store.grants.put(replace(GRANT, client=client), None)
    await store.grants.put(replace(GRANT, owner="s2"), None)
    assert [grant.client for grant in await store.grants.of("s1")] == ["a", "b", "c"]


async def test_a_sweep_takes_those_that_outlived_their_owner(store):
    for n in range(5):
        await store.grants.put(replace(GRANT, client=f"c{n}", expires_at=NOW + n), None)
    assert [await store.grants.sweep(NOW + 3, 3) for _ in range(3)] == [3, 1, 0]
    assert [grant.client for grant in await store.grants.of("s1")] == ["c4"]
