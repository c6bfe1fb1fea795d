"""What every `store.base.Invitations` does; how one is used up is in `test_people`."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.errors import StoreError
from vestibule.model import Invitation
from vestibule.store.base import Page

NOW = 1_800_000_000.0
ADA = Invitation(
    id="i1",
    email="ada@example.com",
    note="für den Chor",
    created_at=NOW,
    created_by="cli",
    expires_at=NOW + 600,
)
BY_ACCOUNT = Invitation(id="i2", issuer="https://a", subject="42", created_at=NOW + 1, expires_at=NOW + 600)
USED = replace(ADA, id="i3", created_at=NOW + 2, used_at=NOW + 3, used_by="u1")


async def test_an_invitation_comes_back_as_it_was(store):
    for invitation in (ADA, BY_ACCOUNT, USED):
        await store.invitations.create(invitation)
        assert await store.invitations.get(invitation.id) == invitation
    assert await store.invitations.get("i4") is None


async def test_an_id_that_is_taken_is_a_fault(store):
    await store.invitations.create(ADA)
    with pytest.raises(StoreError):
        await store.invitations.create(replace(BY_ACCOUNT, id="i1"))
    assert await store.invitations.get("i1") == ADA


async def test_a_withdrawn_one_is_gone(store):
    await store.invitations.create(ADA)
    assert await store.invitations.delete("i1")
    assert not await store.invitations.delete("i1")
    assert await store.invitations.get("i1") is None
    assert await store.invitations.open_for("ada@example.com", "", "", NOW) is None


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["i1", "i2", "i3"]),
        ({"email": "ADA@example.com"}, ["i1", "i3"]),
        ({"email": "bob@example.com"}, []),
        ({"is_open": True, "now": NOW}, ["i1", "i2"]),
        ({"is_open": False, "now": NOW}, ["i3"]),
        ({"is_open": False, "now": NOW + 600}, ["i1", "i2", "i3"]),
        ({"email": "ada@example.com", "is_open": True, "now": NOW}, ["i1"]),
        ({"used_by": "u1"}, ["i3"]),
        ({"used_by": "nobody"}, []),
    ],
    ids=str,
)
async def test_they_are_listed_by(store, filters, found):
    for invitation in (USED, ADA, BY_ACCOUNT):
        await store.invitations.create(invitation)
    assert [one.id for one in await store.invitations.list(Page(), **filters)] == found


async def test_they_come_page_by_page(store):
    for invitation in (USED, ADA, BY_ACCOUNT):
        await store.invitations.create(invitation)
    first = await store.invitations.list(Page(limit=2))
    rest = await store.invitations.list(Page(after=(first[-1].created_at, first[-1].id), limit=2))
    assert [one.id for one in (*first, *rest)] == ["i1", "i2", "i3"]


@pytest.mark.parametrize(
    ("email", "issuer", "subject", "found"),
    [
        ("ada@example.com", "https://a", "1", "i1"),
        ("ADA@EXAMPLE.COM", "https://a", "1", "i1"),
        ("", "https://a", "42", "i2"),
        ("bob@example.com", "https://a", "42", "i2"),
        ("ada@example.com", "https://a", "42", "i1"),
        ("", "https://b", "42", None),
        ("", "https://a", "1", None),
        ("", "", "", None),
        ("bob@example.com", "https://a", "1", None),
    ],
)
async def test_who_comes_has_the_oldest_open_one_of_theirs(store, email, issuer, subject, found):
    for invitation in (BY_ACCOUNT, replace(ADA, id="later", created_at=NOW + 5), ADA):
        await store.invitations.create(invitation)
    one = await store.invitations.open_for(email, issuer, subject, NOW)
    assert (one and one.id) == found


async def test_a_used_or_expired_one_is_nobodys(store):
    await store.invitations.create(USED)
    await store.invitations.create(ADA)
    assert await store.invitations.open_for("ada@example.com", "", "", NOW + 599) == ADA
    assert await store.invitations.open_for("ada@example.com", "", "", NOW + 600) is None
