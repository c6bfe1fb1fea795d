"""What every `store.base.AdminTokens` does."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.errors import StoreError
from vestibule.model import AdminToken

NOW = 1_800_000_000.0
CI = AdminToken(id="t1", name="CI", created_at=NOW, expires_at=NOW + 60)
HAND = AdminToken(id="t2", name="by hand", created_at=NOW - 1)
H1, H2 = b"\x00" * 32, b"\xff" * 32


async def test_a_token_is_found_by_its_hash_until_it_expires(store):
    await store.admin_tokens.create(CI, H1)
    assert await store.admin_tokens.by_hash(H1, NOW + 59) == CI
    assert await store.admin_tokens.by_hash(H1, NOW + 60) is None
    assert await store.admin_tokens.by_hash(H2, NOW) is None
    assert await store.admin_tokens.by_hash(b"", NOW) is None


async def test_a_token_without_end_has_none(store):
    await store.admin_tokens.create(HAND, H2)
    assert await store.admin_tokens.by_hash(H2, NOW * 2) == HAND


async def test_all_are_listed_the_oldest_first_and_expired_ones_too(store):
    assert await store.admin_tokens.list() == ()
    await store.admin_tokens.create(CI, H1)
    await store.admin_tokens.create(HAND, H2)
    assert await store.admin_tokens.list() == (HAND, CI)


async def test_when_it_was_used_is_kept(store):
    await store.admin_tokens.create(CI, H1)
    await store.admin_tokens.seen("t1", NOW + 5)
    await store.admin_tokens.seen("t9", NOW + 5)
    assert await store.admin_tokens.list() == (replace(CI, seen_at=NOW + 5),)
    assert await store.admin_tokens.by_hash(H1, NOW) == replace(CI, seen_at=NOW + 5)


async def test_a_revoked_one_is_gone(store):
    await store.admin_tokens.create(CI, H1)
    assert await store.admin_tokens.delete("t1")
    assert not await store.admin_tokens.delete("t1")
    assert await store.admin_tokens.by_hash(H1, NOW) is None
    assert await store.admin_tokens.list() == ()


async def test_an_id_or_hash_that_is_taken_is_a_fault(store):
    await store.admin_tokens.create(CI, H1)
    with pytest.raises(StoreError):
        await store.admin_tokens.create(replace(HAND, id="t1"), H2)
    with pytest.raises(StoreError):
        await store.admin_tokens.create(HAND, H1)
    assert await store.admin_tokens.list() == (CI,)
