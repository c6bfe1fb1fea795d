"""What every `store.base_directory.Directory` does."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from vestibule.core.organisation import Affiliation, Organisation, issuer_in
from vestibule.errors import StoreError
from vestibule.model import Account, User
from vestibule.protocol.scim_patch import Members
from vestibule.store.base_directory import DirectoryToken, Entry, Reference, Saved, Wanted

NOW = 1_800_000_000.0
ACME = Organisation(id="o1", slug="acme", name="Acme", created_at=NOW, updated_at=NOW)
BETA = Organisation(id="o2", slug="beta", name="Beta", created_at=NOW + 1, updated_at=NOW + 1)
ANN = Entry(
    id="d1",
    org_id="o1",
    kind="User",
    name="Ann@acme.example",
    external_id="00u1",
    document={"userName": "Ann@acme.example", "name": {"givenName": "Änn"}},
    created_at=NOW,
    updated_at=NOW,
)
BOB = replace(ANN, id="d2", name="bob", external_id="00u2", document={"userName": "bob"}, created_at=NOW + 1)
THEIRS = replace(BOB, id="d3", org_id="o2")
DEVS = Entry(
    id="g1",
    org_id="o1",
    kind="Group",
    name="Developers",
    document={"displayName": "Developers"},
    created_at=NOW,
    updated_at=NOW,
)
SALES = replace(DEVS, id="g2", name="Sales")
TOKEN = DirectoryToken(id="t1", org_id="o1", name="okta", created_at=NOW, expires_at=NOW + 60)
H1, H2, H3 = b"\x00" * 32, b"\xff" * 32, b"c" * 32
ALL = Wanted()


@pytest.fixture
async def directory(store):
    """Two organisations; Acme's has Ann and Bob, Beta's another bob; one user, who has come by Acme's provider."""
    assert await store.organisations.create(ACME)
    assert await store.organisations.create(BETA)
    user = User(id="u1", created_at=NOW)
    account = Account(issuer=issuer_in("o1", "https://idp"), subject="00u1", user_id="u1", client="idp")
    assert await store.people.register(user, account)
    for entry in (ANN, BOB, THEIRS):
        assert await store.directory.insert(entry) == Saved()
    return store.directory


async def test_an_entry_is_its_organisations_alone(directory):
    assert await directory.get("o1", "User", "d1") == ANN
    assert await directory.get("o2", "User", "d1") is None
    assert await directory.get("o1", "Group", "d1") is None
    assert await directory.save(replace(ANN, org_id="o2"), 1) == Saved(outcome="stale")
    assert await directory.delete("o2", "User", "d1") is None
    assert await directory.entries("o2", "User", ALL, limit=9) == (THEIRS,)


async def test_a_name_is_one_persons_in_any_case_and_groups_may_share_theirs(directory):
    assert await directory.insert(replace(ANN, id="d9", name="ANN@acme.example")) == Saved(outcome="taken")
    assert await directory.save(replace(BOB, name="ann@ACME.example"), 1) == Saved(outcome="taken")
    assert await directory.insert(DEVS) == Saved()
    assert await directory.insert(replace(DEVS, id="g3")) == Saved()
    with pytest.raises(StoreError):
        await directory.insert(replace(ANN, name="other"))
    with pytest.raises(StoreError):
        await directory.insert(replace(ANN, id="d8", name="other", org_id="o9"))


async def test_who_was_slower_changes_nothing(directory):
    new = replace(ANN, name="ann", is_active=False, document={"userName": "ann"}, updated_at=NOW + 5)
    assert await directory.save(new, 1) == Saved()
    assert await directory.get("o1", "User", "d1") == replace(new, version=2)
    assert await directory.save(new, 1) == Saved(outcome="stale")
    outcomes = await asyncio.gather(*(directory.save(new, 2) for _ in range(3)))
    assert sorted(saved.outcome for saved in outcomes) == ["saved", "stale", "stale"]


async def test_entries_are_listed_by_age_by_page_and_by_what_they_are_looked_for_by(directory):
    listed = await directory.entries("o1", "User", ALL, limit=9)
    assert listed == (ANN, BOB)
    assert await directory.entries("o1", "User", ALL, offset=1, limit=1) == (BOB,)
    assert await directory.entries("o1", "User", ALL, after=(NOW, "d1"), limit=9) == (BOB,)
    assert await directory.count("o1", "User", ALL) == 2
    for wanted in (Wanted(name="ANN@ACME.EXAMPLE"), Wanted(external_id="00u1"), Wanted(id="d1")):
        assert await directory.entries("o1", "User", wanted, limit=9) == (ANN,)
        assert await directory.count("o1", "User", wanted) == 1
    assert await directory.entries("o1", "User", Wanted(ids=("d2", "d9", "d1", "d3")), limit=9) == (ANN, BOB)
    assert await directory.entries("o1", "User", Wanted(ids=()), limit=9) == ()
    assert await directory.entries("o1", "User", Wanted(name="bob", external_id="00u1"), limit=9) == ()


async def test_members_come_and_go_with_the_version_and_only_those_of_the_directory(directory):
    assert await directory.insert(DEVS, [Members(add=("d1", "d1"))]) == Saved()
    assert await directory.references("Group", ["g1"]) == {"g1": (Reference("d1", "Ann@acme.example"),)}
    assert await directory.save(DEVS, 1, [Members(add=("d2", "d1")), Members(remove=("d1", "d9"))]) == Saved()
    assert await directory.references("Group", ["g1", "g2"]) == {"g1": (Reference("d2", "bob"),)}
    assert await directory.references("User", ["d1", "d2"]) == {"d2": (Reference("g1", "Developers"),)}
    for wrong in ("d3", "g1", "d9"):
        refused = await directory.save(DEVS, 2, [Members(add=("d1", wrong), is_emptied=True)])
        assert refused == Saved(outcome="no_member")
    kept = await directory.get("o1", "Group", "g1")
    assert kept == replace(DEVS, version=2)
    assert await directory.entries("o1", "Group", Wanted(has="d2"), limit=9) == (kept,)
    assert await directory.entries("o1", "User", Wanted(has="g1"), limit=9) == (BOB,)
    assert await directory.save(DEVS, 2, [Members(add=("d1",), is_emptied=True)]) == Saved()
    assert await directory.references("Group", ["g1"]) == {"g1": (Reference("d1", "Ann@acme.example"),)}


async def test_thousands_of_members_in_one_step(directory):
    people = [replace(BOB, id=f"p{n:04}", name=f"p{n:04}") for n in range(1200)]
    for entry in people:
        await directory.insert(entry)
    ids = tuple(entry.id for entry in people)
    assert await directory.insert(DEVS, [Members(add=ids)]) == Saved()
    assert len((await directory.references("Group", ["g1"]))["g1"]) == 1200
    assert await directory.save(DEVS, 1, [Members(remove=ids[:1100])]) == Saved()
    assert len((await directory.references("Group", ["g1"]))["g1"]) == 100


async def test_an_entry_is_one_user_at_most_and_a_user_one_entry(directory):
    assert await directory.user_of("o1", "00u1") == "u1"
    assert await directory.user_of("o2", "00u1") == ""
    assert await directory.user_of("o1", "00u2") == ""
    assert not await directory.join("o2", "d1", "u1")
    assert await directory.join("o1", "d1", "u1")
    assert await directory.join("o1", "d1", "u1")
    assert not await directory.join("o1", "d2", "u1")
    assert await directory.of_user("u1") == (replace(ANN, user_id="u1"),)
    await directory.save(replace(ANN, user_id="", name="ann"), 1)
    [ann] = await directory.of_user("u1")
    assert (ann.user_id, ann.name) == ("u1", "ann")


@pytest.mark.parametrize("count", [2, 15, 16])
async def test_a_subject_is_looked_for_at_all_of_the_organisations_providers_and_at_no_others(
    store, directory, count
):
    async def came(issuer: str, subject: str) -> None:
        user = User(id=f"{issuer} {subject}", created_at=NOW)
        account = Account(issuer=issuer, subject=subject, user_id=user.id, client="c")
        assert await store.people.register(user, account)

    for org_id in ("o1", "o2"):
        for number in range(count):
            await came(issuer_in(org_id, f"https://{number}.example"), f"{org_id} {number}")
    await came("https://own.example", "own")
    for number in range(count):
        found = await directory.user_of("o1", f"o1 {number}")
        assert found == f"{issuer_in('o1', f'https://{number}.example')} o1 {number}"
        assert await directory.user_of("o1", f"o2 {number}") == ""
    assert await directory.user_of("o1", "own") == ""
    await came(issuer_in("o1", "https://another.example"), "o1 0")
    assert await directory.user_of("o1", "o1 0") == ""  # of two nobody knows which


async def test_who_is_switched_off_is_nobody_who_comes(directory):
    assert await directory.save(replace(ANN, is_active=False), 1) == Saved()
    assert not await directory.join("o1", "d1", "u1")
    assert await directory.of_user("u1") == ()


async def test_whose_groups_are_others_is_told_and_what_they_are(store, directory):
    await directory.join("o1", "d1", "u1")
    org = Affiliation(kind="org", org="acme", source="scim")
    group = Affiliation(kind="group", org="acme", name="Developers", source="scim")
    assert await directory.affiliations_of("u1") == (org,)
    assert await directory.insert(DEVS, [Members(add=("d1", "d2"))]) == Saved(touched=("u1",))
    assert set(await directory.affiliations_of("u1")) == {org, group}
    assert await directory.save(DEVS, 1, [Members(remove=("d2",))]) == Saved()
    assert await directory.save(DEVS, 2, [Members(is_emptied=True)]) == Saved(touched=("u1",))
    assert await directory.save(DEVS, 3, [Members(add=("d1",))]) == Saved(touched=("u1",))
    assert await directory.save(replace(ANN, is_active=False), 1) == Saved()
    assert await directory.affiliations_of("u1") == ()
    assert await directory.save(ANN, 2) == Saved()
    assert await directory.delete("o1", "Group", "g1") == Saved(touched=("u1",))
    assert await directory.affiliations_of("u1") == (org,)
    assert await store.people.delete("u1")
    assert await directory.affiliations_of("u1") == ()
    left = await directory.get("o1", "User", "d1")
    assert left is not None
    assert left.user_id == ""


async def test_a_person_who_is_deleted_leaves_their_groups(directory):
    await directory.insert(DEVS, [Members(add=("d1", "d2"))])
    await directory.insert(SALES, [Members(add=("d1",))])
    assert await directory.delete("o1", "User", "d1") == Saved()
    assert await directory.get("o1", "User", "d1") is None
    assert await directory.references("Group", ["g1", "g2"]) == {"g1": (Reference("d2", "bob"),)}


async def test_a_rule_is_kept_by_organisation(directory):
    assert await directory.rule("o1") == "subject"
    await directory.set_rule("o1", "external_id")
    await directory.set_rule("o1", "user_name")
    assert await directory.rule("o1") == "user_name"
    assert await directory.rule("o2") == "subject"


async def test_an_organisation_has_two_tokens_at_most_each_good_until_it_ends_or_is_revoked(directory):
    second, third = replace(TOKEN, id="t2", expires_at=None), replace(TOKEN, id="t3", created_at=NOW + 1)
    assert await directory.create_token(TOKEN, H1)
    assert await directory.create_token(second, H2)
    assert not await directory.create_token(third, H3)
    assert await directory.token_by_hash(H1, NOW + 59) == TOKEN
    assert await directory.token_by_hash(H1, NOW + 60) is None
    assert await directory.token_by_hash(H2, NOW * 2) == second
    await directory.token_seen("t2", NOW + 5)
    await directory.token_seen("t9", NOW + 5)
    assert await directory.tokens("o1") == (TOKEN, replace(second, seen_at=NOW + 5))
    assert await directory.tokens("o2") == ()
    late = replace(third, created_at=NOW + 60, expires_at=None)
    assert await directory.create_token(late, H3)
    assert not await directory.delete_token("o2", "t2")
    assert await directory.delete_token("o1", "t2")
    assert await directory.tokens("o1") == (late,)
    with pytest.raises(StoreError):
        await directory.create_token(replace(late, id="t4"), H3)


@pytest.mark.parametrize("odd", ["a\0", "a\ud800"], ids=ascii)
async def test_what_nothing_can_have_is_nowhere_and_says_nothing_of_the_store(directory, odd):
    """Threat: one directory's questions, which a database can't even be asked, make it away for everybody."""
    for _ in range(3):
        several = (
            Wanted(name=odd),
            Wanted(external_id=odd),
            Wanted(id=odd),
            Wanted(ids=(odd,)),
            Wanted(has=odd),
        )
        for wanted in several:
            assert await directory.entries("o1", "User", wanted, limit=9) == ()
            assert await directory.count("o1", "User", wanted) == 0
        assert await directory.get("o1", "User", odd) is None
        assert await directory.user_of("o1", odd) == ""
        assert await directory.entries("o1", "User", ALL, offset=10**30, limit=9) == ()
    assert await directory.entries("o1", "User", ALL, limit=9) == (ANN, BOB)
