"""What every `store.base.Sessions` does."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from vestibule.errors import StoreError
from vestibule.model import Account, Device, Identity, Session, User
from vestibule.store.base import Page, SealedGrant

NOW = 1_800_000_000.0
H1, H2, H3, H4 = (bytes([n]) * 32 for n in range(1, 5))
WHOLE = Session(
    id="s1",
    host="forum.example.com",
    created_at=NOW,
    seen_at=NOW,
    expires_at=NOW + 7 * 86400,
    idle_s=86400.0,
    user_id="",
    identities=(
        Identity(
            client="google",
            issuer="https://accounts.google.com",
            subject="42",
            login="zoë",
            name="Zoë 🚪",
            email="zoe@example.com",
            groups=("admins", "a,b"),
            orgs=("example",),
            teams=("example/doors",),
            projects=("example/hall=40",),
            repos=("example/hall",),
            roles=("admin", "app:editor"),
            unknown=("repos",),
            claims={"team": "x", "level": 3, "tags": ["a", None, 1.5], "big": 2**80},
        ),
    ),
    clients=("google", "forum.example.com/api"),
    device=Device(user_agent="Mozilla/5.0", address="2001:db8::1"),
    parent_id="s0",
    signed_in_at=NOW - 1.25,
    check_at=NOW + 3600.5,
)


def session(session_id="s1", **fields) -> Session:
    return replace(WHOLE, id=session_id, **fields)


async def register(store, user: User) -> None:
    account = Account(issuer="https://a", subject=user.id, user_id=user.id, client="google")
    await store.people.register(user, account)


async def test_those_that_live_are_counted(store):
    assert await store.sessions.tally(NOW) == 0
    await store.sessions.create(session("s1", idle_s=100.0), H1)
    await store.sessions.create(session("s2", expires_at=NOW + 50.0), H2)
    assert [await store.sessions.tally(NOW + later) for later in (0, 50, 100)] == [2, 1, 0]
    await store.sessions.delete("s1")
    assert await store.sessions.tally(NOW) == 1


async def test_a_session_comes_back_as_it_was(store):
    await store.sessions.create(WHOLE, H1)
    held = await store.sessions.by_handle(H1, NOW)
    assert held.session == WHOLE
    assert held.good_until == WHOLE.expires_at
    assert await store.sessions.by_id("s1", NOW) == WHOLE


async def test_an_unknown_handle_or_id_is_none(store):
    await store.sessions.create(WHOLE, H1)
    assert await store.sessions.by_handle(H2, NOW) is None
    assert await store.sessions.by_handle(b"", NOW) is None
    assert await store.sessions.by_id("s2", NOW) is None
    assert await store.sessions.by_id("", NOW) is None


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        pytest.param({"idle_s": 100.0}, NOW + 99.9, id="idle"),
        pytest.param({"expires_at": NOW + 50}, NOW + 49.9, id="absolute"),
    ],
)
async def test_a_session_lives_to_the_earlier_of_its_ends(store, fields, last):
    await store.sessions.create(session(**fields), H1)
    assert await store.sessions.by_id("s1", last) is not None
    assert await store.sessions.by_handle(H1, last) is not None
    assert await store.sessions.by_id("s1", last + 0.1) is None
    assert await store.sessions.by_handle(H1, last + 0.1) is None


async def test_saving_replaces_and_counts_the_version(store):
    await store.sessions.create(WHOLE, H1)
    changed = session(clients=("github",), identities=(), expires_at=NOW + 60, idle_s=30.0, host="other")
    assert await store.sessions.save(changed, 0)
    assert await store.sessions.by_id("s1", NOW) == replace(changed, version=1)
    assert (await store.sessions.by_handle(H1, NOW)).session.version == 1
    assert await store.sessions.by_id("s1", NOW + 30) is None


async def test_saving_over_another_version_changes_nothing(store):
    await store.sessions.create(WHOLE, H1)
    assert await store.sessions.save(session(host="first"), 0)
    assert not await store.sessions.save(session(host="second"), 0)
    assert (await store.sessions.by_id("s1", NOW)).host == "first"


async def test_of_many_who_save_the_same_version_one_wins(store):
    await store.sessions.create(WHOLE, H1)
    won = await asyncio.gather(*(store.sessions.save(session(host=f"h{n}"), 0) for n in range(20)))
    assert sum(won) == 1
    assert (await store.sessions.by_id("s1", NOW)).host == f"h{won.index(True)}"


async def test_saving_what_was_ended_brings_nothing_back(store):
    await store.sessions.create(WHOLE, H1)
    assert await store.sessions.delete("s1")
    assert not await store.sessions.save(WHOLE, 0)
    assert not await store.sessions.renew_handle(WHOLE, 0, H2, old_good_until=NOW + 30)
    assert await store.sessions.by_id("s1", NOW) is None
    assert await store.sessions.by_handle(H1, NOW) is None
    assert await store.sessions.by_handle(H2, NOW) is None


async def test_saving_never_sets_last_seen_back(store):
    await store.sessions.create(session(idle_s=100.0), H1)
    await store.sessions.touch([("s1", NOW + 60)])
    assert await store.sessions.save(session(idle_s=100.0), 0)
    assert (await store.sessions.by_id("s1", NOW + 159)).seen_at == NOW + 60


async def test_a_renewed_handle_is_in_force_and_the_old_one_honoured_for_its_time(store):
    await store.sessions.create(WHOLE, H1)
    assert await store.sessions.renew_handle(session(host="new"), 0, H2, old_good_until=NOW + 30)
    current = await store.sessions.by_handle(H2, NOW)
    assert (current.session.host, current.session.version, current.good_until) == ("new", 1, WHOLE.expires_at)
    old = await store.sessions.by_handle(H1, NOW + 29)
    assert (old.session, old.good_until) == (current.session, NOW + 30)
    assert await store.sessions.by_handle(H1, NOW + 30) is None
    assert await store.sessions.by_handle(H2, NOW + 30) is not None


async def test_only_the_last_handle_before_is_honoured(store):
    await store.sessions.create(WHOLE, H1)
    assert await store.sessions.renew_handle(WHOLE, 0, H2, old_good_until=NOW + 30)
    assert await store.sessions.renew_handle(WHOLE, 1, H3, old_good_until=NOW + 30)
    assert await store.sessions.by_handle(H1, NOW) is None
    assert await store.sessions.by_handle(H2, NOW) is not None
    assert await store.sessions.by_handle(H3, NOW) is not None


async def test_a_handle_from_before_a_sign_in_need_not_be_honoured_at_all(store):
    await store.sessions.create(WHOLE, H1)
    assert await store.sessions.renew_handle(WHOLE, 0, H2, old_good_until=0.0)
    assert await store.sessions.by_handle(H1, NOW) is None


async def test_renewing_over_another_version_leaves_the_handle(store):
    await store.sessions.create(WHOLE, H1)
    assert await store.sessions.save(WHOLE, 0)
    assert not await store.sessions.renew_handle(WHOLE, 0, H2, old_good_until=NOW + 30)
    assert await store.sessions.by_handle(H1, NOW) is not None
    assert await store.sessions.by_handle(H2, NOW) is None


async def test_renewing_one_session_leaves_the_others(store):
    await store.sessions.create(WHOLE, H1)
    await store.sessions.create(session("s2"), H3)
    assert await store.sessions.renew_handle(WHOLE, 0, H2, old_good_until=NOW + 30)
    assert (await store.sessions.by_handle(H3, NOW)).session.id == "s2"


async def test_ending_takes_its_grants_along_and_no_other(store):
    await store.sessions.create(WHOLE, H1)
    await store.sessions.create(session("s2"), H2)
    for owner in ("s1", "s2"):
        for client in ("a", "b"):
            grant = SealedGrant(owner=owner, client=client, version=0, sealed=b"x", expires_at=NOW + 9)
            await store.grants.put(grant, None)
    assert await store.sessions.delete("s1")
    assert not await store.sessions.delete("s1")
    assert await store.grants.of("s1") == ()
    assert len(await store.grants.of("s2")) == 2
    assert await store.sessions.by_handle(H1, NOW) is None
    assert await store.sessions.by_handle(H2, NOW) is not None


ENDS = [
    pytest.param(lambda sessions: sessions.delete("parent"), id="its end"),
    pytest.param(lambda sessions: sessions.delete_of("u1"), id="its user's end"),
    pytest.param(lambda sessions: sessions.delete_by("okta"), id="its client's end"),
]


@pytest.mark.parametrize("end", ENDS)
async def test_a_parents_end_is_its_childrens_with_what_they_own(store, end):
    await register(store, User(id="u1", created_at=NOW))
    okta = {"clients": ("okta",), "identities": (), "parent_id": ""}
    bare = {"clients": (), "identities": ()}
    await store.sessions.create(session("parent", user_id="u1", **okta), H1)
    await store.sessions.create(session("one", parent_id="parent", **bare), H2)
    await store.sessions.create(session("two", parent_id="parent", user_id="u1", **bare), H3)
    await store.sessions.create(session("other", parent_id="", **bare), H4)
    for owner in ("parent", "one", "two", "other"):
        grant = SealedGrant(owner=owner, client="a", version=0, sealed=b"x", expires_at=NOW + 9)
        await store.grants.put(grant, None)
    assert sorted(await end(store.sessions)) == ["one", "parent", "two"]
    assert await end(store.sessions) == ()
    assert [len(await store.grants.of(owner)) for owner in ("parent", "one", "two", "other")] == [0, 0, 0, 1]
    assert [await store.sessions.by_handle(handle, NOW) for handle in (H1, H2, H3)] == [None, None, None]
    assert await store.sessions.by_handle(H4, NOW) is not None


async def test_a_childs_end_is_nobody_elses(store):
    await store.sessions.create(session("parent", parent_id=""), H1)
    await store.sessions.create(session("one", parent_id="parent"), H2)
    await store.sessions.create(session("two", parent_id="parent"), H3)
    assert await store.sessions.delete("one") == ("one",)
    assert await store.sessions.delete("") == ()
    assert await store.sessions.by_handle(H1, NOW) is not None
    assert await store.sessions.by_handle(H3, NOW) is not None


async def test_the_live_sessions_of_a_user_come_newest_first(store):
    await register(store, User(id="u1", created_at=NOW))
    await store.sessions.create(session("old", user_id="u1", created_at=NOW), H1)
    await store.sessions.create(session("new", user_id="u1", created_at=NOW + 1), H2)
    await store.sessions.create(session("dead", user_id="u1", expires_at=NOW), H3)
    await store.sessions.create(session("nobody's"), H4)
    assert [found.id for found in await store.sessions.of_user("u1", NOW)] == ["new", "old"]
    assert await store.sessions.of_user("u2", NOW) == ()
    assert await store.sessions.of_user("", NOW) == ()


async def test_a_disabled_user_has_no_live_session(store):
    await register(store, User(id="u1", created_at=NOW))
    await store.sessions.create(session(user_id="u1"), H1)
    assert await store.people.save(User(id="u1", created_at=NOW, disabled=True))
    assert await store.sessions.of_user("u1", NOW) == ()


async def test_a_deleted_users_sessions_are_dead_at_once(store):
    await register(store, User(id="u1", created_at=NOW))
    await store.sessions.create(session(user_id="u1"), H1)
    assert await store.people.delete("u1")
    assert await store.sessions.by_handle(H1, NOW) is None
    assert await store.sessions.by_id("s1", NOW) is None


async def test_ending_all_by_a_client_takes_whoever_has_to_do_with_it_and_nobody_else(store):
    okta = Identity(client="okta", issuer="https://okta.example", subject="1")
    namesake = Identity(client="google", issuer="https://a", subject="2", groups=("okta",), name='"okta"')
    for session_id, fields, handle in (
        ("s1", {"identities": (okta,), "clients": ()}, H1),
        ("s2", {"identities": (), "clients": ("google", "okta")}, H2),
        ("s3", {"identities": (namesake,), "clients": ("google",)}, H3),
        ("s4", {"identities": (), "clients": ("app.example/okta",)}, H4),
    ):
        await store.sessions.create(session(session_id, user_id="", **fields), handle)
        grant = SealedGrant(owner=session_id, client="a", version=0, sealed=b"x", expires_at=NOW + 9)
        await store.grants.put(grant, None)
    assert sorted(await store.sessions.delete_by("okta")) == ["s1", "s2"]
    assert await store.sessions.delete_by("okta") == ()
    assert [len(await store.grants.of(f"s{n}")) for n in range(1, 5)] == [0, 0, 1, 1]
    assert await store.sessions.by_handle(H1, NOW) is None
    assert await store.sessions.by_handle(H3, NOW) is not None


async def test_ending_all_of_a_user_takes_their_grants_along_and_nothing_else(store):
    for session_id, user_id, handle in (("s1", "u1", H1), ("s2", "u1", H2), ("s3", "u2", H3), ("s4", "", H4)):
        await register(store, User(id=user_id or "other", created_at=NOW))
        await store.sessions.create(session(session_id, user_id=user_id), handle)
        grant = SealedGrant(owner=session_id, client="a", version=0, sealed=b"x", expires_at=NOW + 9)
        await store.grants.put(grant, None)
    assert sorted(await store.sessions.delete_of("u1")) == ["s1", "s2"]
    assert await store.sessions.delete_of("u1") == ()
    assert await store.sessions.delete_of("") == ()
    assert [len(await store.grants.of(f"s{n}")) for n in range(1, 5)] == [0, 0, 1, 1]
    assert await store.sessions.by_handle(H1, NOW) is None
    assert await store.sessions.by_handle(H3, NOW) is not None
    assert await store.sessions.by_handle(H4, NOW) is not None


async def test_touching_keeps_it_alive_and_never_goes_backwards(store):
    await store.sessions.create(session("s1", idle_s=100.0), H1)
    await store.sessions.create(session("s2", idle_s=100.0, expires_at=NOW + 120), H2)
    await store.sessions.touch([("s1", NOW + 90), ("s2", NOW + 90), ("unknown", NOW)])
    await store.sessions.touch([("s1", NOW + 10)])
    await store.sessions.touch([])
    assert (await store.sessions.by_id("s1", NOW + 189)).seen_at == NOW + 90
    assert await store.sessions.by_id("s1", NOW + 190) is None
    assert await store.sessions.by_id("s2", NOW + 119) is not None
    assert await store.sessions.by_id("s2", NOW + 120) is None


async def test_touching_leaves_the_version(store):
    await store.sessions.create(WHOLE, H1)
    await store.sessions.touch([("s1", NOW + 90)])
    assert await store.sessions.save(WHOLE, 0)


async def test_a_sweep_takes_the_dead_a_few_at_a_time(store):
    for n in range(5):
        await store.sessions.create(session(f"dead{n}", expires_at=NOW + n), bytes([n]) * 32)
    await store.sessions.create(session("idle", idle_s=5.0), b"i" * 32)
    await store.sessions.create(session("alive"), b"a" * 32)
    grant = SealedGrant(owner="dead0", client="a", version=0, sealed=b"x", expires_at=NOW + 999)
    await store.grants.put(grant, None)
    assert [await store.sessions.sweep(NOW + 10, 4) for _ in range(3)] == [4, 2, 0]
    assert await store.sessions.by_id("alive", NOW + 10) is not None
    assert await store.grants.of("dead0") == ()


@pytest.mark.parametrize(
    ("user", "lives"),
    [
        pytest.param(User(id="u1", created_at=NOW), True, id="plain"),
        pytest.param(User(id="u1", created_at=NOW, valid_from=NOW), True, id="valid since it began"),
        pytest.param(User(id="u1", created_at=NOW, valid_from=NOW + 0.1), False, id="valid only later"),
        pytest.param(
            User(id="u1", created_at=NOW, sessions_from=NOW + 0.1), False, id="signed out everywhere later"
        ),
        pytest.param(User(id="u1", created_at=NOW, disabled=True), False, id="disabled"),
        pytest.param(User(id="u2", created_at=NOW), False, id="unknown"),
    ],
)
async def test_a_session_lives_as_its_user_does(store, user, lives):
    await register(store, user)
    await store.sessions.create(session(user_id="u1"), H1)
    await store.sessions.renew_handle(session(user_id="u1"), 0, H2, old_good_until=NOW + 30)
    assert (await store.sessions.by_id("s1", NOW) is not None) is lives
    assert (await store.sessions.by_handle(H1, NOW) is not None) is lives
    assert (await store.sessions.by_handle(H2, NOW) is not None) is lives


async def test_an_id_or_handle_that_is_taken_is_a_fault(store):
    await store.sessions.create(WHOLE, H1)
    with pytest.raises(StoreError):
        await store.sessions.create(WHOLE, H2)
    with pytest.raises(StoreError):
        await store.sessions.create(session("s2"), H1)
    assert (await store.sessions.by_handle(H1, NOW)).session.id == "s1"
    assert await store.sessions.by_id("s2", NOW) is None


# -- by the provider's own session -------------------------------------------------------------


def okta(sid: str, issuer: str = "https://okta.example") -> Identity:
    return Identity(client="okta", issuer=issuer, subject="1", sid=sid)


async def test_sessions_are_found_by_the_providers_own_and_no_other_is(store):
    for session_id, identities, handle in (
        ("s1", (okta("a"),), H1),
        ("s2", (Identity(client="api", issuer="https://api", subject="1"), okta("a")), H2),
        ("s3", (okta("b"), okta("a", "https://elsewhere.example")), H3),
        ("s4", (okta(""),), H4),
    ):
        await store.sessions.create(session(session_id, identities=identities), handle)
    found = await store.sessions.by_sid("https://okta.example", "a", NOW)
    assert sorted(one.id for one in found) == ["s1", "s2"]
    assert [one.id for one in await store.sessions.by_sid("https://elsewhere.example", "a", NOW)] == ["s3"]
    assert await store.sessions.by_sid("https://okta.example", "c", NOW) == ()
    assert await store.sessions.by_sid("https://okta.example", "", NOW) == ()


async def test_issuer_and_sid_are_not_run_together(store):
    await store.sessions.create(session(identities=(okta("bc", "https://a"),)), H1)
    assert await store.sessions.by_sid("https://ab", "c", NOW) == ()


@pytest.mark.parametrize("renews", [False, True], ids=["saved", "renewed"])
async def test_what_a_session_is_found_by_is_what_it_has_now(store, renews):
    await store.sessions.create(session(identities=(okta("a"),), clients=("github",)), H1)
    now = session(identities=(okta("b"),), clients=("google",))
    if renews:
        assert await store.sessions.renew_handle(now, 0, H2, old_good_until=NOW)
    else:
        assert await store.sessions.save(now, 0)
    assert await store.sessions.by_sid("https://okta.example", "a", NOW) == ()
    assert [one.id for one in await store.sessions.by_sid("https://okta.example", "b", NOW)] == ["s1"]
    assert await store.sessions.delete_by("github") == ()
    assert await store.sessions.delete_by("google") == ("s1",)
    assert await store.sessions.by_sid("https://okta.example", "b", NOW) == ()


async def test_a_dead_session_is_found_by_nothing(store):
    await store.sessions.create(session("ended", identities=(okta("a"),)), H1)
    await store.sessions.create(session("idle", identities=(okta("a"),), idle_s=5.0), H2)
    await store.sessions.create(session("theirs", identities=(okta("a"),), user_id="u9"), H3)
    assert await store.sessions.delete("ended") == ("ended",)
    assert await store.sessions.by_sid("https://okta.example", "a", NOW + 5) == ()


async def test_all_by_a_client_end_however_many_they_are(store):
    names = [f"s{n}" for n in range(1203)]
    many = (
        store.sessions.create(session(name, identities=(), clients=("okta",)), name.encode())
        for name in names
    )
    await asyncio.gather(*many)
    ended: list[str] = []
    while some := await store.sessions.delete_by("okta"):
        ended += some
    assert sorted(ended) == sorted(names)
    assert await store.sessions.by_id("s7", NOW) is None


# -- by host ----------------------------------------------------------------------------------


async def ids_at(store, host: str, page: Page, now: float = NOW) -> list[str]:
    return [one.id for one in await store.sessions.of_host(host, page, now)]


async def test_the_live_sessions_of_a_host_come_newest_first_and_no_others(store):
    await store.sessions.create(session("old", host="a", user_id="", created_at=NOW - 9), H1)
    await store.sessions.create(session("new", host="a", user_id="", created_at=NOW - 1), H2)
    await store.sessions.create(session("other", host="b", user_id=""), H3)
    await store.sessions.create(session("dead", host="a", user_id="", idle_s=1.0), H4)
    assert await ids_at(store, "a", Page(), NOW + 2) == ["new", "old"]
    assert await ids_at(store, "b", Page(), NOW + 2) == ["other"]
    assert await ids_at(store, ".a", Page(), NOW + 2) == []
    [whole] = await store.sessions.of_host("b", Page(), NOW)
    assert whole == session("other", host="b", user_id="")


async def test_pages_of_a_host_go_on_where_the_one_before_ended_also_within_one_moment(store):
    made = [(f"s{number:02d}", NOW - number // 8) for number in range(40)]
    for number, (name, created_at) in enumerate(made):
        await store.sessions.create(session(name, host="a", created_at=created_at), bytes([number]) * 32)
    places = dict(made)
    expected = sorted(places, key=lambda name: (places[name], name), reverse=True)
    found: list[str] = []
    after = None
    for _ in range(100):
        some = await ids_at(store, "a", Page(after=after, limit=7))
        found += some
        if len(some) < 7:
            break
        after = places[some[-1]], some[-1]
    assert found == expected


async def test_what_has_ended_makes_no_page_of_a_host_shorter(store):
    for number in range(12):
        await store.sessions.create(
            session(f"s{number:02d}", host="a", created_at=NOW - number), bytes([number]) * 32
        )
    for number in range(0, 12, 2):
        await store.sessions.delete(f"s{number:02d}")
    assert await ids_at(store, "a", Page(limit=4)) == ["s01", "s03", "s05", "s07"]
    assert await ids_at(store, "a", Page(after=(NOW - 7, "s07"), limit=4)) == ["s09", "s11"]


async def test_a_blocked_users_sessions_are_in_no_list_of_a_host(store):
    await register(store, User(id="u1", created_at=NOW))
    await store.sessions.create(session("s1", host="a", user_id="u1"), H1)
    assert await ids_at(store, "a", Page()) == ["s1"]
    await store.people.save(User(id="u1", created_at=NOW, disabled=True))
    assert await ids_at(store, "a", Page()) == []


async def test_a_session_stays_in_its_hosts_list_when_it_changes(store):
    await store.sessions.create(session("s1", host="a"), H1)
    assert await store.sessions.save(session("s1", host="a", clients=()), 0)
    assert await store.sessions.renew_handle(session("s1", host="a"), 1, H2, old_good_until=0.0)
    await store.sessions.touch([("s1", NOW + 5)])
    assert await ids_at(store, "a", Page()) == ["s1"]
