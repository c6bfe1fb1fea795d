"""What every `store.base.People` does."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from vestibule.errors import StoreError
from vestibule.model import Account, Identity, Invitation, User, Vouched
from vestibule.store.base import Page

NOW = 1_800_000_000.0
ZOE = User(
    id="u1",
    created_at=NOW,
    name="Zoë",
    login="zoe",
    email="Zoe@example.com",
    seen_at=NOW,
    profile={"town": "Zürich", "shirt": "M"},
)
AT_A = Account(
    issuer="https://a",
    subject="1",
    user_id="u1",
    client="google",
    kind="oidc",
    login="zoe",
    name="Zoë",
    email="Zoe@example.com",
    created_at=NOW,
    seen_at=NOW,
)
AT_B = replace(AT_A, issuer="https://b", client="app.example.com/github", kind="github", created_at=NOW + 1)


async def registered(store, user_id: str, created_at: float = NOW, **fields) -> User:
    """A user with one account, at the issuer that bears their id."""
    user = User(id=user_id, created_at=created_at, **fields)
    account = replace(
        AT_A, issuer=f"https://{user_id}", user_id=user_id, email=user.email, created_at=created_at
    )
    assert await store.people.register(user, account) == user
    return user


async def test_whoever_is_cut_off_stays_blocked_and_all_else_is_as_it_was(store):
    user = await registered(store, "u1", disabled=True, name="Zoë", valid_from=NOW, sessions_from=NOW + 5)
    assert await store.people.cut_off("u1", valid_from=NOW + 3)
    assert await store.people.user("u1") == replace(user, valid_from=NOW + 3)
    assert await store.people.cut_off("u1", valid_from=NOW + 1, sessions_from=NOW + 9)
    assert await store.people.user("u1") == replace(user, valid_from=NOW + 3, sessions_from=NOW + 9)
    assert not await store.people.cut_off("nobody", valid_from=NOW)
    assert await store.people.save(replace(user, name="Zoe"))  # by who read them before
    assert await store.people.user("u1") == replace(
        user, name="Zoe", valid_from=NOW + 3, sessions_from=NOW + 9
    )


async def test_users_are_counted(store):
    assert await store.people.tally() == 0
    await registered(store, "u1")
    await registered(store, "u2", disabled=True)
    assert await store.people.tally() == 2
    await store.people.delete("u1")
    assert await store.people.tally() == 1


# -- registering ------------------------------------------------------------------------------


async def test_who_was_registered_is_found_by_issuer_and_subject(store):
    assert await store.people.register(ZOE, AT_A) == ZOE
    assert await store.people.user_of("https://a", "1") == ZOE
    assert await store.people.user("u1") == ZOE
    assert await store.people.account("https://a", "1") == AT_A


async def test_neither_another_issuer_nor_another_subject_finds_them(store):
    await store.people.register(ZOE, AT_A)
    for issuer, subject in (
        ("https://b", "1"),
        ("https://a", "2"),
        ("https://a/", "1"),
        ("https://A", "1"),
        ("https://a", ""),
        ("https://a", "1 "),
    ):
        assert await store.people.user_of(issuer, subject) is None
        assert await store.people.account(issuer, subject) is None
    assert await store.people.user("u2") is None


async def test_an_account_that_is_taken_keeps_its_user(store):
    await store.people.register(ZOE, AT_A)
    late = replace(ZOE, id="u2", name="Late")
    assert await store.people.register(late, replace(AT_A, user_id="u2", client="github")) == ZOE
    assert await store.people.user("u2") is None
    assert (await store.people.account("https://a", "1")).client == "google"


async def test_of_many_who_register_one_account_at_once_one_user_comes(store):
    users = await asyncio.gather(
        *(store.people.register(replace(ZOE, id=f"u{n}"), replace(AT_A, user_id=f"u{n}")) for n in range(10))
    )
    assert len({user.id for user in users}) == 1
    assert await store.people.user_of("https://a", "1") == users[0]
    assert await store.people.users(Page()) == (users[0],)


async def test_two_people_of_one_address_stay_two(store):
    await store.people.register(ZOE, AT_A)
    await store.people.register(replace(ZOE, id="u2"), replace(AT_B, user_id="u2"))
    assert (await store.people.user_of("https://a", "1")).id == "u1"
    assert (await store.people.user_of("https://b", "1")).id == "u2"


async def test_a_users_id_that_is_taken_is_a_fault_and_nobody_is_made(store):
    await store.people.register(ZOE, AT_A)
    with pytest.raises(StoreError):
        await store.people.register(ZOE, AT_B)
    assert await store.people.account("https://b", "1") is None


# -- invitations ------------------------------------------------------------------------------

INVITED = Invitation(id="i1", email="zoe@example.com", created_at=NOW - 60, expires_at=NOW + 60)


async def test_registering_uses_the_invitation_up(store):
    await store.invitations.create(INVITED)
    assert await store.people.register(ZOE, AT_A, invitation_id="i1") == ZOE
    used = await store.invitations.get("i1")
    assert (used.used_at, used.used_by) == (NOW, "u1")
    assert await store.people.user_of("https://a", "1") == ZOE


@pytest.mark.parametrize(
    "invitation",
    [
        pytest.param(replace(INVITED, used_at=NOW - 1, used_by="u0"), id="used"),
        pytest.param(replace(INVITED, expires_at=NOW), id="expired"),
        pytest.param(replace(INVITED, id="another"), id="withdrawn"),
    ],
)
async def test_nobody_is_made_by_an_invitation_that_is(store, invitation):
    await store.invitations.create(invitation)
    assert await store.people.register(ZOE, AT_A, invitation_id="i1") is None
    assert await store.people.user("u1") is None
    assert await store.people.user_of("https://a", "1") is None
    assert await store.invitations.get(invitation.id) == invitation


async def test_of_many_with_one_invitation_one_comes_in(store):
    await store.invitations.create(INVITED)
    made = await asyncio.gather(
        *(
            store.people.register(
                replace(ZOE, id=f"u{n}"), replace(AT_A, subject=str(n), user_id=f"u{n}"), invitation_id="i1"
            )
            for n in range(10)
        )
    )
    [user] = [user for user in made if user is not None]
    assert await store.people.users(Page()) == (user,)
    assert (await store.invitations.get("i1")).used_by == user.id


async def test_whose_account_is_known_needs_no_invitation(store):
    await store.people.register(ZOE, AT_A)
    await store.invitations.create(INVITED)
    assert await store.people.register(replace(ZOE, id="u2"), AT_A, invitation_id="i1") == ZOE
    assert await store.invitations.get("i1") == INVITED


# -- what providers tell, what an operator changes --------------------------------------------


async def test_being_seen_renews_what_a_provider_tells_and_nothing_else(store):
    user = replace(ZOE, valid_from=5.0, disabled=True)
    await store.people.register(user, AT_A)
    told = {"name": "New", "login": "new", "email": "new@example.com", "seen_at": NOW + 9}
    await store.people.seen(replace(ZOE, created_at=1.0, **told), replace(AT_A, client="x", kind="x", **told))
    assert await store.people.user("u1") == replace(user, **told)
    assert await store.people.account("https://a", "1") == replace(AT_A, **told)


async def test_an_account_without_a_kind_learns_it(store):
    await store.people.register(ZOE, replace(AT_A, kind=""))
    await store.people.seen(ZOE, AT_A)
    assert await store.people.account("https://a", "1") == AT_A


async def test_seeing_a_stranger_makes_nobody(store):
    await store.people.seen(ZOE, AT_A)
    assert await store.people.user("u1") is None
    assert await store.people.account("https://a", "1") is None


async def test_being_seen_leaves_the_account_of_another(store):
    await store.people.register(ZOE, AT_A)
    await registered(store, "u2")
    await store.people.seen(replace(ZOE, id="u2"), replace(AT_A, name="Taken", user_id="u2"))
    assert await store.people.account("https://a", "1") == AT_A


async def test_saving_replaces_a_user_but_not_when_they_came_and_were_seen(store):
    await store.people.register(ZOE, AT_A)
    new = User(
        id="u1",
        created_at=0.0,
        name="N",
        login="n",
        email="n@n",
        valid_from=NOW,
        disabled=True,
        profile={"a": "b"},
    )
    assert await store.people.save(new)
    assert await store.people.user("u1") == replace(new, created_at=NOW, seen_at=NOW)
    assert [user.id for user in await store.people.users(Page(), email="N@N")] == ["u1"]


async def test_saving_a_stranger_makes_nobody(store):
    assert not await store.people.save(ZOE)
    assert await store.people.user("u1") is None


# -- lists ------------------------------------------------------------------------------------


async def test_users_come_page_by_page_in_order(store):
    for n in (3, 1, 2, 5, 4):
        await registered(store, f"u{n}", NOW + n // 2)
    seen, after = [], None
    while page := await store.people.users(Page(after=after, limit=2)):
        assert len(page) <= 2
        seen += [user.id for user in page]
        after = page[-1].created_at, page[-1].id
    assert seen == ["u1", "u2", "u3", "u4", "u5"]


async def test_a_user_who_comes_between_two_pages_moves_nobody(store):
    for n in (1, 2, 4):
        await registered(store, f"u{n}", NOW + n)
    first = await store.people.users(Page(limit=2))
    await registered(store, "u0", NOW)
    rest = await store.people.users(Page(after=(first[-1].created_at, first[-1].id), limit=2))
    assert [user.id for user in rest] == ["u4"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["u1", "u2", "u3"]),
        ({"email": "ADA@example.com"}, ["u1"]),
        ({"email": "ada@work.example"}, ["u1"]),
        ({"email": "example.com"}, []),
        ({"text": "ada"}, ["u1", "u3"]),
        ({"text": "ÉLODIE"}, ["u2"]),
        ({"text": "@EXAMPLE"}, ["u1", "u2"]),
        ({"text": "100%_\\"}, ["u3"]),
        ({"text": "%"}, ["u3"]),
        ({"text": "_"}, ["u3"]),
        ({"disabled": True}, ["u2"]),
        ({"disabled": False}, ["u1", "u3"]),
        ({"text": "ada", "disabled": True}, []),
    ],
    ids=str,
)
async def test_users_are_found_by(store, filters, found):
    await registered(store, "u1", name="Ada", email="Ada@example.com")
    work = replace(AT_A, issuer="https://work", user_id="u1", email="Ada@work.example")
    assert await store.people.link(work)
    await registered(store, "u2", name="Élodie", email="elodie@example.com", disabled=True)
    await registered(store, "u3", name="100%_\\", login="adam")
    assert [user.id for user in await store.people.users(Page(), **filters)] == found


async def test_the_owners_of_an_address_are_those_with_an_account_of_it(store):
    await registered(store, "u1", email="ada@example.com")
    await store.people.save(User(id="u1", created_at=NOW, email="elsewhere@example.com"))
    await registered(store, "u2", email="bob@example.com")
    assert [user.id for user in await store.people.owners_of("ADA@example.com")] == ["u1"]
    assert await store.people.owners_of("elsewhere@example.com") == ()
    assert await store.people.owners_of("nobody@example.com") == ()


async def test_of_many_owners_two_are_told(store):
    for n in range(4):
        await registered(store, f"u{n}", NOW - n, email="ada@example.com")
    assert [user.id for user in await store.people.owners_of("ada@example.com")] == ["u3", "u2"]


async def test_an_account_twice_is_one_owner(store):
    await registered(store, "u1", email="ada@example.com")
    await store.people.link(replace(AT_B, email="ada@example.com"))
    assert [user.id for user in await store.people.owners_of("ada@example.com")] == ["u1"]


async def test_nobody_owns_no_address(store):
    await registered(store, "u1")
    assert await store.people.owners_of("") == ()


async def test_accounts_come_page_by_page_and_filtered(store):
    await store.people.register(ZOE, AT_A)
    await store.people.link(replace(AT_A, subject="2"))
    await store.people.link(AT_B)
    await registered(store, "u2", NOW + 5)
    seen, after = [], None
    while page := await store.people.accounts(Page(after=after, limit=1)):
        [account] = page
        seen.append((account.issuer, account.subject))
        after = account.created_at, f"{account.issuer}\0{account.subject}"
    assert seen == [("https://a", "1"), ("https://a", "2"), ("https://b", "1"), ("https://u2", "1")]
    assert len(await store.people.accounts(Page(), user_id="u1")) == 3
    assert len(await store.people.accounts(Page(), issuer="https://a")) == 2
    assert await store.people.accounts(Page(), client="app.example.com/github") == (AT_B,)
    assert await store.people.accounts(Page(), user_id="u2", issuer="https://a") == ()


# -- linking and leaving ----------------------------------------------------------------------


async def test_a_linked_account_finds_its_user(store):
    await store.people.register(ZOE, AT_A)
    assert await store.people.link(AT_B)
    assert await store.people.user_of("https://b", "1") == ZOE
    assert await store.people.accounts_of("u1") == (AT_A, AT_B)
    assert await store.people.accounts_of("u2") == ()


@pytest.mark.parametrize("user_id", ["u1", "u2"], ids=["their own", "another's"])
async def test_an_account_that_belongs_to_somebody_never_moves(store, user_id):
    await store.people.register(ZOE, AT_A)
    await registered(store, "u2")
    assert not await store.people.link(replace(AT_A, user_id=user_id, name="Moved"))
    assert await store.people.account("https://a", "1") == AT_A


async def test_of_many_who_link_one_account_at_once_one_has_it(store):
    for n in range(5):
        await registered(store, f"u{n}")
    won = await asyncio.gather(*(store.people.link(replace(AT_B, user_id=f"u{n}")) for n in range(5)))
    assert sum(won) == 1
    assert (await store.people.account("https://b", "1")).user_id == f"u{won.index(True)}"


async def test_nothing_is_linked_to_nobody(store):
    with pytest.raises(StoreError):
        await store.people.link(AT_B)
    assert await store.people.account("https://b", "1") is None


async def test_an_account_can_be_taken_away_but_not_the_last(store):
    await store.people.register(ZOE, AT_A)
    await store.people.link(AT_B)
    assert await store.people.unlink("u1", "https://a", "1")
    assert not await store.people.unlink("u1", "https://b", "1")
    assert await store.people.accounts_of("u1") == (AT_B,)
    assert await store.people.user_of("https://a", "1") is None


async def test_of_many_who_take_the_last_two_at_once_one_fails(store):
    await store.people.register(ZOE, AT_A)
    await store.people.link(AT_B)
    gone = await asyncio.gather(
        *(store.people.unlink("u1", issuer, "1") for issuer in ("https://a", "https://b") * 3)
    )
    assert sum(gone) == 1
    assert len(await store.people.accounts_of("u1")) == 1


async def test_nobody_takes_anothers_account_away(store):
    await store.people.register(ZOE, AT_A)
    await store.people.link(AT_B)
    await registered(store, "u2")
    await store.people.link(replace(AT_A, subject="9", user_id="u2"))
    assert not await store.people.unlink("u2", "https://a", "1")
    assert not await store.people.unlink("u1", "https://c", "1")
    assert len(await store.people.accounts_of("u1")) == 2


async def test_deleting_a_user_takes_the_accounts_along_and_they_may_come_anew(store):
    await store.people.register(ZOE, AT_A)
    await store.people.link(AT_B)
    await registered(store, "u2")
    assert await store.people.delete("u1")
    assert not await store.people.delete("u1")
    assert await store.people.user("u1") is None
    assert await store.people.user_of("https://b", "1") is None
    assert len(await store.people.accounts(Page())) == 1
    again = replace(ZOE, id="u3")
    assert await store.people.register(again, replace(AT_A, user_id="u3")) == again


# -- what clients say of accounts -------------------------------------------------------------

SAID = Vouched(
    identity=Identity(
        client="google",
        issuer="https://a",
        subject="1",
        email="Zoe@example.com",
        groups=("staff", "é"),
        unknown=("orgs",),
        claims={"plan": "free", "seats": [1, 2]},
    ),
    told_at=NOW,
    word="w1",
)
ELSEWHERE = replace(
    SAID, identity=replace(SAID.identity, client="b.example.com/google", groups=()), word="w2"
)


async def test_what_a_client_said_last_is_kept_for_each_client(store):
    await store.people.register(ZOE, AT_A)
    assert await store.people.vouched_of("u1") == ()
    assert await store.people.vouch(SAID)
    assert await store.people.vouch(ELSEWHERE)
    later = replace(SAID, identity=replace(SAID.identity, groups=("new",)), told_at=NOW + 5, word="w3")
    assert await store.people.vouch(later)
    assert await store.people.vouched_of("u1") == (ELSEWHERE, later)
    assert await store.people.vouched_of("u2") == ()


async def test_nothing_is_said_of_an_account_that_is_not_there(store):
    assert not await store.people.vouch(SAID)
    await store.people.register(ZOE, AT_A)
    assert await store.people.vouched_of("u1") == ()


async def test_what_would_not_be_said_again_is_of_no_time(store):
    await store.people.register(ZOE, AT_A)
    await store.people.doubt(SAID.identity)
    await store.people.vouch(SAID)
    await store.people.vouch(ELSEWHERE)
    await store.people.doubt(SAID.identity)
    assert await store.people.vouched_of("u1") == (ELSEWHERE, replace(SAID, told_at=0.0))


async def test_what_was_said_goes_with_the_account(store):
    await store.people.register(ZOE, AT_A)
    await store.people.link(AT_B)
    await store.people.vouch(SAID)
    at_b = replace(SAID, identity=replace(SAID.identity, issuer="https://b"))
    await store.people.vouch(at_b)
    assert not await store.people.unlink("u2", "https://a", "1")
    assert len(await store.people.vouched_of("u1")) == 2
    assert await store.people.unlink("u1", "https://a", "1")
    assert await store.people.vouched_of("u1") == (at_b,)
    assert await store.people.delete("u1")
    await store.people.register(ZOE, AT_A)
    await store.people.link(AT_B)
    assert await store.people.vouched_of("u1") == ()


async def test_who_is_vouched_for_while_the_account_is_deleted_is_gone(store):
    await store.people.register(ZOE, AT_A)
    *_, deleted = await asyncio.gather(
        *(store.people.vouch(SAID) for _ in range(5)), store.people.delete("u1"), return_exceptions=True
    )
    assert deleted is True
    assert await store.people.vouched_of("u1") == ()
