"""Who is who, who may become a user, and what happens to users."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.core.lifetimes import USUAL
from vestibule.core.registration import Filled, Rules
from vestibule.core.vouched import Standing
from vestibule.errors import ClientError, Conflict, Invalid, NotFound, UserDisabled
from vestibule.model import Device, Identity, Session, User
from vestibule.service.people import KNOWN, People
from vestibule.service.sessions import SESSION, USER, Sessions
from vestibule.store.base import Page

NOW = 1_800_000_000.0
ZOE = Identity(client="google", issuer="https://a", subject="1", name="Zoë", email="zoe@example.com")
ZOES_OTHER = replace(ZOE, client="github", issuer="https://b", subject="9")
HERE: dict[str, tuple[str, ...]] = {"google": (), "github": ()}


@pytest.fixture
def sessions(store, changes, clock) -> Sessions:
    return Sessions(store.sessions, changes, now=clock.now, mono=clock.mono)


@pytest.fixture
def people(store, sessions, changes) -> People:
    return People(store.people, store.invitations, sessions, changes)


async def admit(people: People, identity: Identity = ZOE, **more: Any) -> User:
    user = await people.admit(identity, NOW, clients=HERE, **more)
    assert user is not None
    return user


async def session_of(sessions: Sessions, user: User, *identities: Identity) -> Session:
    session, _ = await sessions.start(
        host="h", user_id=user.id, identities=identities or (ZOE,), clients=(), device=Device(), now=NOW
    )
    return session


async def refused(people: People, identity: Identity = ZOE) -> str:
    with pytest.raises(ClientError) as caught:
        await people.admit(identity, NOW, clients=HERE)
    assert caught.value.status == 403
    return caught.value.code


# Who is who


async def test_a_newcomer_is_registered_and_known_from_then_on(people, store):
    user = await people.admit(ZOE, NOW, kind="google")
    assert (user.name, user.email, user.created_at) == ("Zoë", "zoe@example.com", NOW)
    assert len(user.id) == 22
    assert await people.admit(ZOE, NOW + 5) == replace(user, seen_at=NOW + 5)
    [account] = await store.people.accounts_of(user.id)
    assert (account.client, account.kind, account.email) == ("google", "google", "zoe@example.com")


async def test_a_known_person_by_another_client_of_the_same_issuer_is_the_same(people):
    user = await people.admit(ZOE, NOW)
    assert (await people.admit(replace(ZOE, client="h/google"), NOW)).id == user.id


async def test_name_and_address_follow_the_provider_and_do_not_vanish(people, store):
    user = await people.admit(ZOE, NOW)
    await people.admit(replace(ZOE, name="New", email="new@example.com"), NOW)
    assert await store.people.user(user.id) == replace(user, name="New", email="new@example.com")
    await people.admit(replace(ZOE, name="", email=""), NOW)
    assert (await store.people.user(user.id)).name == "New"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"issuer": "https://b"}, id="another issuer"),
        pytest.param({"subject": "2"}, id="another subject"),
    ],
)
async def test_the_same_address_never_makes_the_same_person(people, other):
    user = await people.admit(ZOE, NOW)
    assert (await people.admit(replace(ZOE, **other), NOW)).id != user.id


async def test_a_disabled_person_is_not_admitted(people, store):
    user = await people.admit(ZOE, NOW)
    store.people.kept[user.id] = replace(user, disabled=True)
    with pytest.raises(UserDisabled):
        await people.admit(ZOE, NOW)


# Who may


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (Rules(registration="closed"), "registration_closed"),
        (Rules(registration="invite"), "not_invited"),
        (Rules(allow_all_users=False), "not_invited"),
        (Rules(allowed_domains=("corp.example",)), "domain_not_allowed"),
    ],
)
async def test_whoever_is_not_admitted_leaves_nothing(people, store, rules, code):
    people.use(rules)
    assert await refused(people) == code
    assert store.people.kept == {}


async def test_somebody_known_whose_domain_is_no_longer_allowed_is_out(people):
    await admit(people)
    people.use(Rules(allowed_domains=("corp.example",)))
    assert await refused(people) == "domain_not_allowed"
    people.use(Rules(registration="closed", allow_all_users=False))
    await admit(people)


async def test_with_a_form_nothing_is_kept_before_it_is_sent(people, store):
    people.use(Rules(registration="form"))
    assert await people.admit(ZOE, NOW) is None
    assert store.people.kept == {}
    user = await admit(people, form=Filled(name="Chosen", login="", profile={"company": "ACME"}))
    assert (user.name, user.profile) == ("Chosen", {"company": "ACME", "name": "Chosen"})
    assert (await admit(people)).name == "Chosen"


# Invitations


async def test_an_invitation_admits_once(people, store):
    people.use(Rules(registration="invite"))
    invitation = await people.invite(email="Zoe@Example.com", note="hi", created_by="ops", now=NOW)
    assert (invitation.email, invitation.expires_at) == ("zoe@example.com", NOW + USUAL.invitation_s)
    user = await admit(people)
    used = await people.invitation(invitation.id)
    assert (used.used_by, used.used_at) == (user.id, NOW)
    assert await people.invitations_of(user.id) == (used,)
    assert await refused(people, ZOES_OTHER) == "not_invited"
    await admit(people)


async def test_an_invitation_for_an_account_is_for_no_other(people):
    people.use(Rules(registration="invite"))
    await people.invite(issuer=ZOE.issuer, subject=ZOE.subject, now=NOW)
    assert await refused(people, replace(ZOE, subject="2")) == "not_invited"
    assert await refused(people, replace(ZOE, issuer="https://b")) == "not_invited"
    await admit(people, replace(ZOE, email=""))


@pytest.mark.parametrize("email", ["", "zoe@example.org", "xzoe@example.com"])
async def test_an_invitation_needs_the_verified_address(people, email):
    people.use(Rules(registration="invite"))
    await people.invite(email="zoe@example.com", now=NOW)
    assert await refused(people, replace(ZOE, email=email)) == "not_invited"


async def test_an_invitation_that_expired_or_was_withdrawn_is_none(people):
    people.use(Rules(registration="invite"))
    await people.invite(email="zoe@example.com", now=NOW - 20, life_s=10)
    withdrawn = await people.invite(email="zoe@example.com", now=NOW)
    await people.withdraw(withdrawn.id)
    with pytest.raises(NotFound):
        await people.withdraw(withdrawn.id)
    assert await refused(people) == "not_invited"


async def test_of_two_who_race_for_an_invitation_one_wins(people, store):
    """Both have found it open before either has used it up."""
    people.use(Rules(registration="invite"))
    await people.invite(email="zoe@example.com", now=NOW)
    found = store.invitations.open_for
    waited = 0

    async def at_once(*asked: Any) -> Any:
        nonlocal waited
        invitation = await found(*asked)
        waited += 1
        while waited < 2:
            await asyncio.sleep(0)
        return invitation

    store.invitations.open_for = at_once
    results = await asyncio.gather(
        people.admit(ZOE, NOW), people.admit(ZOES_OTHER, NOW), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["ClientError", "User"]
    assert len(store.people.kept) == 1


async def test_where_no_invitation_is_needed_losing_one_to_another_keeps_nobody_out(people, store):
    await people.invite(email="zoe@example.com", now=NOW)
    register, calls = store.people.register, 0

    async def lost(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await store.invitations.delete(more["invitation_id"])
        return await register(*args, **more)

    store.people.register = lost
    await admit(people)
    assert calls == 2


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({}, "email"),
        ({"email": "a@b.example", "issuer": "https://a"}, "email"),
        ({"email": "no address"}, "email"),
        ({"email": "a@b@c.example"}, "email"),
        ({"email": "a@[127.0.0.1]"}, "email"),
        ({"issuer": "https://a"}, "subject"),
        ({"subject": "1"}, "issuer"),
        ({"email": "a@b.example", "life_s": 0.0}, "expires_in"),
    ],
)
async def test_an_invitation_that_says_nothing_is_not_made(people, asked, path):
    with pytest.raises(Invalid) as caught:
        await people.invite(**asked, now=NOW)
    assert [fault[0] for fault in caught.value.faults] == [path]


# Addresses that link


async def test_a_verified_address_links_where_the_operator_says_so(people):
    people.use(Rules(link_verified_emails=True))
    user = await admit(people)
    assert (await admit(people, ZOES_OTHER)).id == user.id
    assert [account.client for account in await people.accounts_of(user.id)] == ["google", "github"]


@pytest.mark.parametrize(
    ("known", "newcomer"),
    [
        pytest.param({}, {"email": ""}, id="the newcomer's is not verified (nOAuth)"),
        pytest.param({"email": ""}, {}, id="the user's is not verified"),
        pytest.param({}, {"email": "zoe@example.org"}, id="another domain"),
        pytest.param({"client": "other.example/kc"}, {}, id="the user's comes from another host's provider"),
    ],
)
async def test_an_address_that_can_not_be_believed_links_nobody(people, known, newcomer):
    people.use(Rules(link_verified_emails=True))
    user = await admit(people, replace(ZOE, **known))
    assert (await admit(people, replace(ZOES_OTHER, **newcomer))).id != user.id


@pytest.mark.parametrize(("domains", "links"), [(("example.com",), True), (("corp.example",), False)])
async def test_an_account_counts_only_while_its_provider_is_believed_about_the_address(
    people, domains, links
):
    people.use(Rules(link_verified_emails=True))
    user = await admit(people)
    clients = {"google": domains, "github": ()}
    other = await people.admit(ZOES_OTHER, NOW, clients=clients)
    assert (other.id == user.id) is links


async def test_an_address_that_two_have_links_nobody(people):
    await admit(people)
    await admit(people, replace(ZOE, subject="2"))
    people.use(Rules(link_verified_emails=True))
    assert len({user.id for user in await people.users(Page())}) == 2
    await admit(people, ZOES_OTHER)
    assert len(await people.users(Page())) == 3


async def test_a_disabled_person_gets_no_further_account_by_address(people, store):
    people.use(Rules(link_verified_emails=True))
    user = await admit(people)
    await people.set_disabled(user.id, True, NOW)
    with pytest.raises(UserDisabled):
        await people.admit(ZOES_OTHER, NOW, clients=HERE)
    assert len(await people.accounts_of(user.id)) == 1


# Users


async def test_signing_out_everywhere_holds_for_sessions_that_are_kept_elsewhere(people, sessions):
    user = await admit(people)
    for _ in range(3):
        await session_of(sessions, user)
    assert await people.end_sessions(user.id, NOW + 5) == 3
    kept = await people.user(user.id)
    assert (kept.sessions_from, kept.valid_from, kept.disabled) == (NOW + 5, user.valid_from, False)
    assert not kept.lets_live(NOW + 4)
    assert kept.lets_live(NOW + 5)


async def test_blocking_ends_every_session_at_once_and_keeps_them_out(people, sessions, changes):
    user, other = await admit(people), await admit(people, replace(ZOE, subject="2"))
    mine = [await session_of(sessions, user) for _ in range(3)]
    theirs = await session_of(sessions, other)
    for session in (*mine, theirs):
        await sessions.by_id(session.id)
    told: list[str] = []
    changes.subscribe(SESSION, told.append)
    changes.subscribe(USER, told.append)
    before, blocked = await people.set_disabled(user.id, True, NOW + 5)
    assert before.disabled is False
    assert (blocked.disabled, blocked.valid_from) == (True, NOW + 5)
    assert {session.id for session in mine} | {user.id} == set(told)
    assert [sessions.peek_id(session.id) for session in mine] == [None] * 3
    assert [await sessions.by_id(session.id) for session in mine] == [None] * 3
    assert await sessions.by_id(theirs.id) is not None
    with pytest.raises(UserDisabled):
        await people.admit(ZOE, NOW + 6)
    await people.set_disabled(user.id, False, NOW + 7)
    assert [await sessions.by_id(session.id) for session in mine] == [None] * 3
    assert await people.admit(ZOE, NOW + 8) is not None


async def test_a_change_under_way_does_not_unblock_who_is_blocked_meanwhile(people, store):
    """Somebody mends a name at the very moment in which somebody else blocks the person."""
    user = await admit(people)
    read, gate, reading = store.people.user, asyncio.Event(), asyncio.Event()

    async def slow(user_id: str) -> User | None:
        found = await read(user_id)
        reading.set()
        await gate.wait()
        return found

    store.people.user = slow
    mending = asyncio.create_task(people.update(user.id, name="Zoe"))
    await reading.wait()
    blocking = asyncio.create_task(people.set_disabled(user.id, True, NOW + 1))
    for _ in range(5):
        await asyncio.sleep(0)
    gate.set()
    mended, blocked = await asyncio.gather(mending, blocking)
    # What the trail is told of each is what it changed, and not what was there when it was asked for.
    assert (mended.before.name, mended.after.name) == (user.name, "Zoe")
    assert (blocked.before.name, blocked.after.disabled) == ("Zoe", True)
    store.people.user = read
    saved = await people.user(user.id)
    assert (saved.disabled, saved.valid_from, saved.name) == (True, NOW + 1, "Zoe")


async def test_deleting_leaves_nothing_and_tells_of_every_session_before(people, sessions, store):
    user = await admit(people)
    session = await session_of(sessions, user)
    told: list[tuple[str, float, bool]] = []

    async def listener(ending: Session, now: float, *, for_good: bool) -> tuple[()]:
        assert await sessions.by_id(ending.id) is not None
        told.append((ending.id, now, for_good))
        return ()

    people.before_end(listener)
    await people.delete(user.id, NOW + 1)
    assert told == [(session.id, NOW + 1, True)]
    assert await sessions.by_id(session.id) is None
    assert (store.people.kept, await people.accounts_of(user.id)) == ({}, ())
    assert (await admit(people)).id != user.id


async def test_whom_there_is_not_is_not_found(people):
    for call in (
        people.user("u"),
        people.update("u", name="x"),
        people.set_disabled("u", True, NOW),
        people.delete("u", NOW),
        people.account("https://a", "1"),
        people.unlink("u", "https://a", "1"),
        people.invitation("i"),
    ):
        with pytest.raises(NotFound):
            await call


async def test_what_is_changed_here_is_not_overwritten_by_the_next_sign_in(people):
    user = await admit(people)
    await people.update(user.id, name=" Chosen ", login="zq", profile={"company": "ACME"})
    again = await admit(people)
    assert (again.name, again.login, again.profile["company"]) == ("Chosen", "zq", "ACME")
    await people.update(user.id, name="")
    again = await admit(people)
    assert (again.name, again.login) == ("Zoë", "zq")


@pytest.mark.parametrize(
    "change", [{"name": "a\nb"}, {"profile": {"x": "y" * 501}}, {"profile": {str(n): "" for n in range(60)}}]
)
async def test_what_can_not_be_shown_is_not_kept(people, change):
    user = await admit(people)
    with pytest.raises(Invalid):
        await people.update(user.id, **change)
    assert await people.user(user.id) == user


@pytest.mark.parametrize("ends", ["cut_off", "end_sessions"])
async def test_whom_another_node_blocks_in_the_same_moment_stays_blocked(people, store, monkeypatch, ends):
    user = await admit(people)
    read = store.people.user
    blocked: list[User] = []

    async def overtaken(user_id: str) -> User:
        known = await read(user_id)
        if not blocked:
            blocked.append(replace(known, disabled=True, valid_from=NOW + 1))
            await store.people.save(blocked[0])
        return known

    monkeypatch.setattr(store.people, "user", overtaken)
    if ends == "cut_off":
        await people.cut_off(user.id, NOW + 3)
    else:
        await people.end_sessions(user.id, NOW + 3)
    await people.user(user.id)  # where it didn't look at them, they are blocked now
    kept = await read(user.id)
    assert kept.disabled
    assert max(kept.valid_from, kept.sessions_from) == NOW + 3
    assert kept.valid_from >= NOW + 1


async def test_nobody_is_cut_off_who_is_not_there(people):
    with pytest.raises(NotFound):
        await people.cut_off("nobody", NOW)


async def test_signing_out_everywhere_leaves_the_user(people, sessions):
    user = await admit(people)
    await session_of(sessions, user)
    assert len(await people.sessions_of(user.id)) == 1
    assert await people.end_sessions(user.id, NOW) == 1
    assert await people.sessions_of(user.id) == ()
    assert await people.user(user.id)


# Accounts


async def test_a_linked_account_finds_the_user_and_is_never_moved(people):
    user, other = await admit(people), await admit(people, replace(ZOE, subject="2"))
    assert await people.link(user.id, ZOES_OTHER, NOW, kind="github")
    assert await people.link(user.id, ZOES_OTHER, NOW)
    assert not await people.link(other.id, ZOES_OTHER, NOW)
    assert (await admit(people, ZOES_OTHER)).id == user.id
    assert (await people.account(ZOES_OTHER.issuer, ZOES_OTHER.subject)).user_id == user.id
    assert len(await people.accounts(Page(), client="github")) == 1


async def test_unlinking_ends_the_sessions_that_account_vouches_for(people, sessions):
    user = await admit(people)
    await people.link(user.id, ZOES_OTHER, NOW)
    by_first = await session_of(sessions, user, ZOE)
    by_other = await session_of(sessions, user, ZOES_OTHER)
    by_both = await session_of(sessions, user, ZOE, ZOES_OTHER)
    await people.unlink(user.id, ZOES_OTHER.issuer, ZOES_OTHER.subject)
    assert await sessions.by_id(by_first.id) == by_first
    assert await sessions.by_id(by_other.id) is None
    assert (await sessions.by_id(by_both.id)).identities == (ZOE,)
    with pytest.raises(Conflict) as caught:
        await people.unlink(user.id, ZOE.issuer, ZOE.subject)
    assert caught.value.code == "last_account"


async def test_unlinking_leaves_what_was_handed_on_to_who_the_person_still_is(people, sessions):
    user = await admit(people)
    await people.link(user.id, ZOES_OTHER, NOW)
    parent = await session_of(sessions, user, ZOE, ZOES_OTHER)
    child, handle = await sessions.hand_on(parent, host="app", device=Device(), now=NOW)
    await people.unlink(user.id, ZOES_OTHER.issuer, ZOES_OTHER.subject)
    assert (await sessions.load(handle)).identities == (ZOE,)
    assert (await sessions.by_id(child.id)).user_id == user.id


async def test_unlinking_ends_what_was_handed_on_with_its_parent(people, sessions):
    user = await admit(people)
    await people.link(user.id, ZOES_OTHER, NOW)
    parent = await session_of(sessions, user, ZOES_OTHER)
    _, handle = await sessions.hand_on(parent, host="app", device=Device(), now=NOW)
    await people.unlink(user.id, ZOES_OTHER.issuer, ZOES_OTHER.subject)
    assert await sessions.load(handle) is None


async def test_somebody_elses_account_can_not_be_unlinked(people):
    user, other = await admit(people), await admit(people, replace(ZOE, subject="2"))
    with pytest.raises(NotFound):
        await people.unlink(user.id, ZOE.issuer, "2")
    assert len(await people.accounts_of(other.id)) == 1


# Who they are without a session

STANDING = Standing(words={"google": "g1", "github": "h1"})


async def known(people: People, user: User, now: float = NOW) -> tuple[Identity, ...]:
    return (await people.known(user, now)).identities


async def test_who_signed_in_is_known_by_what_was_said_last(people):
    people.judge_by(STANDING)
    user = await admit(people, replace(ZOE, groups=("old",)))
    user = await admit(people, replace(ZOE, groups=("new",)))
    assert await known(people, user) == (replace(ZOE, groups=("new",)),)


async def test_one_account_is_known_by_each_client_that_vouches_for_it(people):
    people.judge_by(Standing(words={"google": "g1", "b.example/google": "g2"}))
    await admit(people)
    user = await admit(people, replace(ZOE, client="b.example/google"))
    assert {one.client for one in await known(people, user)} == {"google", "b.example/google"}


async def test_who_linked_an_account_is_known_by_it_until_it_is_unlinked(people):
    people.judge_by(STANDING)
    user = await admit(people)
    await people.link(user.id, ZOES_OTHER, NOW)
    assert await known(people, user) == (ZOE, ZOES_OTHER)
    await people.unlink(user.id, ZOES_OTHER.issuer, ZOES_OTHER.subject)
    assert await known(people, user) == (ZOE,)


async def test_what_was_said_by_another_provider_of_that_id_does_not_count(people):
    people.judge_by(STANDING)
    user = await admit(people)
    people.judge_by(Standing(words={"google": "g2"}))
    assert await known(people, user) == ()


async def test_who_is_of_a_domain_that_is_taken_no_more_is_not_known(people):
    people.judge_by(STANDING)
    user = await admit(people)
    people.use(Rules(allowed_domains=("example.org",)))
    assert await known(people, user) == ()


async def test_of_whom_a_provider_would_say_nothing_more_the_groups_are_not_known(people):
    people.judge_by(STANDING)
    user = await admit(people, replace(ZOE, groups=("staff",)))
    await people.doubt(user.id, ZOE)
    [identity] = await known(people, user)
    assert (identity.groups, identity.email) == ((), ZOE.email)


async def test_whoever_keeps_what_is_known_of_somebody_is_told_of_every_change(people, changes):
    heard: list[str] = []
    changes.subscribe(KNOWN, heard.append)
    user = await admit(people)
    await people.link(user.id, ZOES_OTHER, NOW)
    await people.doubt(user.id, ZOE)
    await people.unlink(user.id, ZOES_OTHER.issuer, ZOES_OTHER.subject)
    assert heard == [user.id] * 4
