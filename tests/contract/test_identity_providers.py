"""What every `store.base.IdentityProviders` does."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from vestibule.store.base import ProviderRow

NOW = 1_800_000_000.0
GOOGLE = ProviderRow(
    id="google",
    provider_type="google",
    enabled=True,
    config='{"google_config": {"client_id": "ü"}}',
    sealed=b"\x00\xff box",
    created_at=NOW,
    updated_at=NOW,
)
OKTA = replace(GOOGLE, id="okta", provider_type="oidc", created_at=NOW - 5)


async def test_a_provider_comes_back_as_it_was(store):
    assert await store.identity_providers.insert(GOOGLE)
    assert await store.identity_providers.get("google") == GOOGLE
    assert await store.identity_providers.get("Google") is None


async def test_all_come_the_oldest_first(store):
    assert await store.identity_providers.all() == ()
    await store.identity_providers.insert(GOOGLE)
    await store.identity_providers.insert(OKTA)
    assert await store.identity_providers.all() == (OKTA, GOOGLE)


async def test_an_id_that_is_taken_is_not_given_again(store):
    await store.identity_providers.insert(GOOGLE)
    assert not await store.identity_providers.insert(replace(OKTA, id="google"))
    assert await store.identity_providers.get("google") == GOOGLE


async def test_changing_the_expected_version_replaces_it_and_counts(store):
    await store.identity_providers.insert(GOOGLE)
    new = replace(GOOGLE, enabled=False, config="{}", sealed=b"", updated_at=NOW + 1, created_at=0.0)
    assert await store.identity_providers.update(new, 0)
    assert await store.identity_providers.get("google") == replace(new, created_at=NOW, version=1)


async def test_changing_another_version_or_a_stranger_changes_nothing(store):
    await store.identity_providers.insert(GOOGLE)
    assert not await store.identity_providers.update(replace(GOOGLE, config="{}"), 1)
    assert not await store.identity_providers.update(OKTA, 0)
    assert await store.identity_providers.all() == (GOOGLE,)


async def test_of_many_who_change_one_version_one_wins(store):
    await store.identity_providers.insert(GOOGLE)
    won = await asyncio.gather(
        *(store.identity_providers.update(replace(GOOGLE, config=f"[{n}]"), 0) for n in range(10))
    )
    assert sum(won) == 1
    assert (await store.identity_providers.get("google")).config == f"[{won.index(True)}]"


async def test_a_deleted_one_is_gone(store):
    await store.identity_providers.insert(GOOGLE)
    assert await store.identity_providers.delete("google")
    assert not await store.identity_providers.delete("google")
    assert await store.identity_providers.all() == ()
    assert not await store.identity_providers.update(GOOGLE, 0)


async def test_the_stamp_changes_with_each_change_and_never_otherwise(store):
    table = store.identity_providers
    stamps = [await table.stamp()]
    await table.insert(GOOGLE)
    stamps.append(await table.stamp())
    await table.insert(OKTA)
    stamps.append(await table.stamp())
    await table.update(replace(GOOGLE, enabled=False), 0)
    stamps.append(await table.stamp())
    await table.delete("google")
    stamps.append(await table.stamp())
    await table.insert(replace(GOOGLE, created_at=NOW + 9, updated_at=NOW + 9))
    stamps.append(await table.stamp())
    assert len(set(stamps)) == 6
    await table.all()
    await table.insert(OKTA)
    await table.update(OKTA, 7)
    assert await table.stamp() == stamps[-1]
