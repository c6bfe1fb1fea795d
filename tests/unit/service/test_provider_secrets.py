"""Providers' secrets in the database, while keys come and go."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.seal import Key, KeyRing, key_id_of
from vestibule.errors import Invalid
from vestibule.model import Secret
from vestibule.service.provider_secrets import opened, reseal, sealed
from vestibule.store.base import ProviderRow

OLD, NEW = Key("k1", b"1" * 32), Key("k2", b"2" * 32)
BOTH = KeyRing((NEW, OLD))
FOUND = {"openid_config.client_secret": Secret("swordfish")}


def row(row_id: str, *keys: Key) -> ProviderRow:
    box = sealed(row_id, FOUND, KeyRing(keys), nonce=bytes(12))
    return ProviderRow(
        id=row_id, provider_type="oidc", enabled=True, config="{}", sealed=box, created_at=1.0, updated_at=2.0
    )


def test_secrets_come_back_in_their_own_row_only():
    assert opened(row("okta", OLD), BOTH) == FOUND
    with pytest.raises(Invalid, match="another key"):
        opened(replace(row("okta", OLD), id="google"), BOTH)
    with pytest.raises(Invalid, match="another key"):
        opened(row("okta", OLD), KeyRing((NEW,)))


async def test_what_an_older_key_sealed_is_sealed_anew_and_the_rest_left(store):
    rows = store.identity_providers
    for kept in (row("old", OLD), row("new", NEW), row("strange", Key("k9", b"9" * 32))):
        assert await rows.insert(kept)
    await reseal(rows, BOTH)
    found = {kept.id: kept for kept in await rows.all()}
    assert [key_id_of(found[name].sealed) for name in ("old", "new", "strange")] == ["k2", "k2", "k9"]
    assert [found[name].version for name in ("old", "new", "strange")] == [1, 0, 0]
    assert opened(found["old"], KeyRing((NEW,))) == FOUND


async def test_a_row_that_somebody_changes_meanwhile_is_theirs(store):
    class Raced:
        """Rows of which one is changed after they were read."""

        def __getattr__(self, name):
            return getattr(store.identity_providers, name)

        async def all(self):
            rows = await store.identity_providers.all()
            await store.identity_providers.update(replace(rows[0], config='{"theirs": 1}'), rows[0].version)
            return rows

    await store.identity_providers.insert(row("old", OLD))
    await reseal(Raced(), BOTH)
    kept = await store.identity_providers.get("old")
    assert (kept.config, key_id_of(kept.sealed)) == ('{"theirs": 1}', "k1")
