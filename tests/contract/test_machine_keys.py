"""What every `store.base_machine.MachineKeys` does."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.errors import StoreError
from vestibule.model import MachineKey

NOW = 1_800_000_000.0
NAS = MachineKey(id="k1", machine="backup", name="nas", created_at=NOW, expires_at=NOW + 60)
OLD = MachineKey(id="k2", machine="backup", created_at=NOW - 1)
NEXT = MachineKey(id="k3", machine="backup", created_at=NOW + 1)
OTHER = MachineKey(id="k4", machine="other", created_at=NOW + 2)
H1, H2, H3, H4 = b"\x00" * 32, b"\xff" * 32, b"c" * 32, b"d" * 32


async def test_a_key_is_found_by_its_hash_and_its_id_until_it_ends(store):
    keys = store.machine_keys
    assert await keys.create(NAS, H1, at_most=2)
    assert await keys.by_hash(H1, NOW + 59) == NAS
    assert await keys.by_id("k1", NOW + 59) == NAS
    assert await keys.by_hash(H1, NOW + 60) is None
    assert await keys.by_id("k1", NOW + 60) is None
    assert await keys.by_hash(H2, NOW) is None
    assert await keys.by_id("k9", NOW) is None
    assert await keys.create(OLD, H2, at_most=2)
    assert await keys.by_hash(H2, NOW * 2) == OLD


async def test_a_machine_has_so_many_at_most_and_those_that_ended_go_when_one_is_made(store):
    keys = store.machine_keys
    assert await keys.create(OLD, H2, at_most=2)
    assert await keys.create(NAS, H1, at_most=2)
    assert not await keys.create(NEXT, H3, at_most=2)
    assert await keys.create(OTHER, H4, at_most=2)
    late = replace(NEXT, created_at=NOW + 60)
    assert await keys.create(late, H3, at_most=2)
    assert await keys.list() == (OLD, OTHER, late)


async def test_a_revoked_one_is_gone_and_makes_room(store):
    keys = store.machine_keys
    for key, key_hash in ((OLD, H2), (NAS, H1)):
        assert await keys.create(key, key_hash, at_most=2)
    assert await keys.delete("k2")
    assert not await keys.delete("k2")
    assert await keys.by_hash(H2, NOW) is None
    assert await keys.create(NEXT, H3, at_most=2)


async def test_when_it_was_used_is_kept(store):
    keys = store.machine_keys
    assert await keys.create(NAS, H1, at_most=2)
    await keys.seen("k1", NOW + 5)
    await keys.seen("k9", NOW + 5)
    assert await keys.list() == (replace(NAS, seen_at=NOW + 5),)


@pytest.mark.parametrize(("key", "key_hash"), [(replace(NAS, id="k9"), H1), (NAS, H2)], ids=["hash", "id"])
async def test_an_id_or_a_hash_is_one_keys(store, key, key_hash):
    assert await store.machine_keys.create(NAS, H1, at_most=2)
    with pytest.raises(StoreError):
        await store.machine_keys.create(key, key_hash, at_most=2)
