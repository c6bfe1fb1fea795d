"""Whose directory a token shows, and who is told to wait."""

from __future__ import annotations

import pytest

from vestibule.core.organisation import Organisation
from vestibule.model import Secret
from vestibule.protocol.scim_error import ScimError
from vestibule.service.directory_tokens import FAILURES_MAX, WINDOW_S, DirectoryTokens

NOW = 1_800_000_000.0
THERE = "203.0.113.7"


@pytest.fixture
async def tokens(store) -> DirectoryTokens:
    org = Organisation(id="o1", slug="acme", name="acme", created_at=NOW, updated_at=NOW)
    assert await store.organisations.create(org)
    return DirectoryTokens(store.directory)


async def wrong(tokens: DirectoryTokens, secret: Secret, now: float = NOW) -> int:
    with pytest.raises(ScimError) as caught:
        await tokens.prove(f"Bearer {secret.reveal()}", THERE, now)
    return caught.value.status


async def test_wrong_tokens_keep_no_directory_out_that_comes_from_the_same_address(tokens):
    """Threat: all tenants of a directory service have its addresses, and so has whoever wants them silenced."""
    good, theirs = await tokens.make("o1", "", None, NOW)
    revoked, gone = await tokens.make("o1", "", None, NOW)
    await tokens.revoke("o1", revoked.id)
    assert [await wrong(tokens, gone) for _ in range(FAILURES_MAX + 1)] == [401] * FAILURES_MAX + [429]
    assert (await tokens.prove(f"Bearer {theirs.reveal()}", THERE, NOW)).id == good.id
    assert await wrong(tokens, gone) == 429
    assert await wrong(tokens, gone, NOW + WINDOW_S) == 401
