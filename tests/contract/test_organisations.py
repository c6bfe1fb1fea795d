"""What every `store.base_organisations.Organisations` does."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from vestibule.core.organisation import Affiliation, Domain, Group, Member, Organisation
from vestibule.errors import StoreError
from vestibule.model import Account, User
from vestibule.store.base import Page

NOW = 1_800_000_000.0
ACME = Organisation(id="o1", slug="acme", name="Acme", created_at=NOW, updated_at=NOW)
BETA = Organisation(id="o2", slug="beta", name="Beta", created_at=NOW + 1, updated_at=NOW + 1)
ADMINS = Group(id="g1", org_id="o1", name="admins", created_at=NOW)
THEIRS = Group(id="g2", org_id="o2", name="admins", created_at=NOW)
ALL = Page()


@pytest.fixture
async def orgs(store):
    """Two organisations, and two people of neither."""
    for name in ("u1", "u2"):
        user = User(id=name, created_at=NOW)
        assert await store.people.register(
            user, Account(issuer="https://idp", subject=name, user_id=name, client="idp")
        )
    assert not await store.organisations.any()
    assert not await store.presence.organisations()
    assert await store.organisations.create(ACME)
    assert await store.organisations.create(BETA)
    return store.organisations


async def test_one_is_found_by_id_and_slug_and_no_two_have_one_slug(orgs):
    assert await orgs.any()
    assert await orgs.get("o1") == await orgs.by_slug("acme") == ACME
    assert await orgs.get("o9") is await orgs.by_slug("Acme") is None
    assert not await orgs.create(replace(BETA, id="o3", slug="acme"))
    assert await orgs.list(ALL) == (ACME, BETA)
    assert await orgs.list(Page((NOW, "o1"), 1)) == (BETA,)
    assert await orgs.list(Page(None, 1)) == (ACME,)


async def test_whoever_reads_sessions_knows_whether_there_are_any(orgs, store):
    assert await store.presence.organisations()
    await orgs.delete("o1")
    assert await store.presence.organisations()
    await orgs.delete("o2")
    assert not await store.presence.organisations()


async def test_who_was_slower_changes_nothing(orgs):
    new = replace(ACME, name="Acme Ltd", updated_at=NOW + 5)
    assert await orgs.save(replace(new, slug="other"), 0)
    assert await orgs.get("o1") == replace(new, version=1)
    assert not await orgs.save(new, 0)
    assert not await orgs.save(replace(new, id="o9"), 0)


async def test_a_domain_is_verified_for_one_only(orgs):
    mine = Domain(org_id="o1", domain="acme.example", token="t1", created_at=NOW)
    theirs = replace(mine, org_id="o2", token="t2")
    assert await orgs.add_domain(mine)
    assert not await orgs.add_domain(mine)
    assert await orgs.add_domain(theirs)
    assert await orgs.owner_of("acme.example") is None
    assert await orgs.verify("o1", "acme.example", "dns", NOW + 1)
    assert not await orgs.verify("o2", "acme.example", "dns", NOW + 2)
    assert not await orgs.verify("o1", "other.example", "dns", NOW + 2)
    assert await orgs.owner_of("acme.example") == ACME
    assert await orgs.domains("o1") == (replace(mine, verified_at=NOW + 1, verified_by="dns"),)
    assert await orgs.domains("o2") == (theirs,)
    assert await orgs.drop_domain("o2", "acme.example")
    assert not await orgs.drop_domain("o2", "acme.example")
    assert not await orgs.add_domain(theirs)
    assert await orgs.drop_domain("o1", "acme.example")
    assert await orgs.add_domain(theirs)
    assert await orgs.owner_of("acme.example") is None


async def test_of_two_who_verify_at_once_one_has_it(orgs):
    for org_id in ("o1", "o2"):
        await orgs.add_domain(Domain(org_id=org_id, domain="x.example", token="t", created_at=NOW))
    won = await asyncio.gather(*(orgs.verify(one, "x.example", "operator", NOW) for one in ("o1", "o2")))
    assert sorted(won) == [False, True]


async def test_members_and_what_they_are_affiliated_with(orgs):
    one = Member(org_id="o1", user_id="u1", roles=("admin",), source="provider", created_at=NOW + 1)
    two = Member(org_id="o1", user_id="u2", created_at=NOW)
    assert await orgs.affiliations_of("u1") == ()
    assert await orgs.join(one)
    assert not await orgs.join(replace(one, roles=(), source="scim"))
    assert await orgs.join(two)
    assert await orgs.join(replace(two, org_id="o2"))
    assert await orgs.member("o1", "u1") == one
    assert await orgs.member("o2", "u1") is None
    assert await orgs.members("o1", ALL) == (two, one)
    assert await orgs.members("o1", Page((NOW, "u2"))) == (one,)
    assert await orgs.of_user("u2") == (ACME, BETA)
    assert set(await orgs.affiliations_of("u1")) == {
        Affiliation(kind="org", org="acme", source="provider"),
        Affiliation(kind="role", org="acme", name="admin"),
    }
    assert await orgs.set_roles("o1", "u1", ("billing", "help"))
    assert not await orgs.set_roles("o2", "u1", ("admin",))
    assert (await orgs.member("o1", "u1")).roles == ("billing", "help")
    assert await orgs.leave("o1", "u1")
    assert not await orgs.leave("o1", "u1")
    assert await orgs.affiliations_of("u1") == ()


async def test_only_who_is_there_becomes_a_member(orgs):
    for org_id, user_id in (("o1", "u9"), ("o9", "u1")):
        with pytest.raises(StoreError):
            await orgs.join(Member(org_id=org_id, user_id=user_id, created_at=NOW))


async def test_a_group_has_members_of_its_own_organisation_only(orgs):
    assert await orgs.create_group(ADMINS)
    assert await orgs.create_group(THEIRS)
    assert not await orgs.create_group(replace(ADMINS, id="g3"))
    await orgs.join(Member(org_id="o1", user_id="u1", created_at=NOW))
    assert await orgs.add_to_group("o1", "g1", "u1")
    assert not await orgs.add_to_group("o1", "g1", "u1")
    for org_id, group_id, user_id in (("o1", "g1", "u2"), ("o2", "g2", "u1"), ("o1", "g2", "u1")):
        with pytest.raises(StoreError):
            await orgs.add_to_group(org_id, group_id, user_id)
    assert [one.user_id for one in await orgs.in_group("g1", ALL)] == ["u1"]
    assert await orgs.in_group("g2", ALL) == ()
    assert Affiliation(kind="group", org="acme", name="admins") in await orgs.affiliations_of("u1")
    assert await orgs.group("o2", "g1") is None
    assert await orgs.group("o1", "g1") == ADMINS
    assert await orgs.groups("o1", ALL) == (ADMINS,)
    assert not await orgs.drop_from_group("o2", "g1", "u1")
    assert await orgs.drop_from_group("o1", "g1", "u1")
    assert not await orgs.drop_from_group("o1", "g1", "u1")
    await orgs.add_to_group("o1", "g1", "u1")
    assert await orgs.delete_group("o2", "g1") is None
    assert await orgs.delete_group("o1", "g1") == ("u1",)
    assert await orgs.delete_group("o1", "g1") is None


async def test_who_leaves_or_is_deleted_is_in_no_group(orgs, store):
    await orgs.create_group(ADMINS)
    for name in ("u1", "u2"):
        await orgs.join(Member(org_id="o1", user_id=name, created_at=NOW))
        await orgs.add_to_group("o1", "g1", name)
    await orgs.leave("o1", "u1")
    await store.people.delete("u2")
    assert await orgs.in_group("g1", ALL) == await orgs.members("o1", ALL) == ()


async def test_an_organisation_goes_with_all_that_is_its(orgs):
    await orgs.create_group(ADMINS)
    await orgs.add_domain(Domain(org_id="o1", domain="acme.example", token="t", created_at=NOW))
    await orgs.verify("o1", "acme.example", "dns", NOW)
    await orgs.join(Member(org_id="o1", user_id="u1", created_at=NOW))
    await orgs.add_to_group("o1", "g1", "u1")
    assert await orgs.delete("o1")
    assert not await orgs.delete("o1")
    assert await orgs.affiliations_of("u1") == await orgs.domains("o1") == await orgs.groups("o1", ALL) == ()
    assert await orgs.owner_of("acme.example") is None
