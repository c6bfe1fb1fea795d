"""Sessions behind their cache."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Away, Heartbeats
from vestibule.core import session as rules
from vestibule.errors import StoreError
from vestibule.model import Account, Device, Identity, Session, User
from vestibule.service.sessions import SESSION, USER, Sessions
from vestibule.store.base import EVERYTHING, Page

ACCOUNT = Account(issuer="i", subject="1", user_id="u1", client="google")
IDENTITY, OTHER, THIRD = (Identity(client="google", issuer="i", subject=subject) for subject in "123")
START = {"host": "h", "user_id": "", "identities": (), "clients": ("google",), "device": Device()}


@pytest.fixture
def sessions(away, changes, clock) -> Sessions:
    return Sessions(away, changes, now=clock.now, mono=clock.mono)


async def started(sessions: Sessions, clock, **fields) -> tuple[Session, str]:
    return await sessions.start(**(START | fields), now=clock.now())


async def test_a_new_session_is_in_the_store_under_the_hash_of_its_handle(sessions, store, clock):
    session, handle = await started(sessions, clock)
    assert (await store.sessions.by_handle(rules.hash_of(handle), clock.now())).session == session
    assert session.id not in handle
    assert len(session.id) == 22


async def test_every_session_has_its_own_id_and_handle(sessions, clock):
    made = [await started(sessions, clock) for _ in range(20)]
    assert len({session.id for session, _ in made}) == len({handle for _, handle in made}) == 20


async def test_the_cache_answers_after_the_first_load(sessions, away, clock):
    session, handle = await started(sessions, clock)
    assert sessions.peek(handle) is None
    assert await sessions.load(handle) == session
    assert sessions.peek(handle) == session
    assert sessions.peek_id(session.id) == session
    assert away.calls == ["create", "by_handle"]


@pytest.mark.parametrize("handle", ["", "short", "a" * 44, "é" * 43, "x" * 43 + "\0", "%" * 43])
async def test_what_can_be_no_handle_is_never_asked_for(sessions, away, handle):
    assert await sessions.load(handle) is None
    assert sessions.peek(handle) is None
    assert away.calls == []


async def test_an_unknown_handle_is_none_each_time(sessions):
    handle = "a" * 43
    assert await sessions.load(handle) is None
    assert sessions.peek(handle) is None
    assert await sessions.load(handle) is None


async def test_the_cache_forgets_a_session_at_its_end(sessions, clock):
    _, handle = await started(sessions, clock)
    await sessions.load(handle)
    clock.move(86399)
    assert sessions.peek(handle) is not None
    clock.move(1)
    assert sessions.peek(handle) is None
    assert await sessions.load(handle) is None


async def test_ending_is_felt_at_once_and_everywhere(sessions, store, clock):
    session, handle = await started(sessions, clock)
    await sessions.load(handle)
    assert await sessions.end(session.id)
    assert sessions.peek(handle) is None
    assert sessions.peek_id(session.id) is None
    assert await sessions.load(handle) is None
    assert await sessions.by_id(session.id) is None
    assert await store.sessions.by_id(session.id, clock.now()) is None
    assert not await sessions.end(session.id)


async def test_ending_reaches_another_process_by_way_of_changes(away, changes, clock):
    here, there = (Sessions(away, changes, now=clock.now, mono=clock.mono) for _ in range(2))
    session, handle = await started(here, clock)
    await there.load(handle)
    await here.end(session.id)
    assert there.peek(handle) is None


async def test_an_update_is_seen_at_once(sessions, clock):
    session, handle = await started(sessions, clock)
    await sessions.load(handle)
    updated = await sessions.update(session.id, lambda before: rules.with_client(before, "github"))
    assert updated.clients == ("google", "github")
    assert sessions.peek(handle) is None
    assert await sessions.load(handle) == updated


async def test_an_update_that_changes_nothing_writes_nothing(sessions, away, clock):
    session, _ = await started(sessions, clock)
    assert await sessions.update(session.id, lambda before: before) == session
    assert "save" not in away.calls


async def test_an_update_of_an_ended_session_is_none(sessions, clock):
    session, _ = await started(sessions, clock)
    await sessions.end(session.id)
    assert await sessions.update(session.id, lambda before: rules.with_client(before, "x")) is None


async def test_no_update_is_lost_when_many_come_at_once(sessions, clock):
    session, _ = await started(sessions, clock, clients=())

    async def add(n: int) -> None:
        await sessions.update(session.id, lambda before: rules.with_client(before, f"c{n}"))

    await asyncio.gather(*(add(n) for n in range(20)))
    assert sorted((await sessions.by_id(session.id)).clients) == sorted(f"c{n}" for n in range(20))


async def test_a_renewed_session_keeps_its_id_and_the_old_handle_for_30_s(sessions, store, clock):
    session, old = await started(sessions, clock)
    await sessions.load(old)
    renewed, new = await sessions.renew(session)
    assert (renewed.id, renewed.version) == (session.id, 1)
    assert new != old
    assert await sessions.load(new) == renewed
    assert await sessions.load(old) == renewed
    clock.move(29.9)
    assert sessions.peek(old) == renewed
    clock.move(0.1)
    assert sessions.peek(old) is None
    assert await sessions.load(old) is None
    assert sessions.peek(new) == renewed


async def test_a_handle_from_before_a_sign_in_dies_with_it(sessions, store, clock):
    await store.people.register(User(id="u1", created_at=0.0), ACCOUNT)
    session, planted = await started(sessions, clock)
    await sessions.load(planted)
    signed_in, handle = await sessions.renew(session, lambda before: replace(before, user_id="u1"))
    assert signed_in.user_id == "u1"
    assert sessions.peek(planted) is None
    assert await sessions.load(planted) is None
    assert await sessions.load(handle) == signed_in


async def test_renewing_an_ended_session_is_none(sessions, clock):
    session, _ = await started(sessions, clock)
    await sessions.end(session.id)
    assert await sessions.renew(session) is None


async def test_renewing_takes_in_what_others_wrote_meanwhile(sessions, clock):
    session, _ = await started(sessions, clock)
    await sessions.update(session.id, lambda before: rules.with_client(before, "github"))
    renewed, _ = await sessions.renew(session, lambda before: rules.with_client(before, "idp"))
    assert renewed.clients == ("google", "github", "idp")


async def test_a_change_of_the_user_empties_the_cache_of_their_sessions(sessions, store, changes, clock):
    await store.people.register(User(id="u1", created_at=0.0), ACCOUNT)
    _, hers = await started(sessions, clock, user_id="u1")
    _, other = await started(sessions, clock)
    await sessions.load(hers)
    await sessions.load(other)
    store.people.kept["u1"] = replace(store.people.kept["u1"], valid_from=clock.now() + 1)
    changes.publish(USER, "u1")
    assert sessions.peek(hers) is None
    assert sessions.peek(other) is not None
    assert await sessions.load(hers) is None


async def test_without_heartbeats_an_entry_is_good_for_a_second(sessions, away, changes, clock):
    _, handle = await started(sessions, clock)
    await sessions.load(handle)
    changes.is_beating = False
    clock.move(0.9)
    assert sessions.peek(handle) is not None
    clock.move(0.2)
    assert sessions.peek(handle) is None
    assert await sessions.load(handle) is not None
    assert sessions.peek(handle) is not None
    changes.is_beating = True
    clock.move(3600)
    assert sessions.peek(handle) is not None
    assert away.calls.count("by_handle") == 2


@pytest.mark.parametrize("kind", [SESSION, USER])
async def test_where_changes_may_have_been_missed_everything_is_read_again(sessions, changes, clock, kind):
    session, handle = await started(sessions, clock)
    await sessions.load(handle)
    changes.publish(kind, EVERYTHING)
    assert sessions.peek(handle) is None
    assert sessions.peek_id(session.id) is None
    clock.move(0.001)
    assert await sessions.load(handle) == session
    assert sessions.peek(handle) == session


async def test_what_may_have_changed_is_served_while_the_store_is_away(sessions, away, changes, clock):
    session, handle = await started(sessions, clock)
    await sessions.load(handle)
    changes.publish(SESSION, EVERYTHING)
    away.is_away = True
    assert sessions.peek(handle) is None
    assert await sessions.load(handle) == session
    assert await sessions.by_id(session.id) == session


async def test_what_was_noted_of_use_outlives_what_is_forgotten(sessions, store, changes, clock):
    session, _ = await started(sessions, clock)
    clock.move(600)
    sessions.touch(session, clock.now())
    changes.publish(SESSION, EVERYTHING)
    assert await sessions.flush() == 1
    assert (await store.sessions.by_id(session.id, clock.now())).seen_at == clock.now()


async def test_an_entry_is_as_old_as_the_question_was_not_the_answer(store, changes, clock):
    class Slow(Away):
        def __getattr__(self, name):
            method = super().__getattr__(name)

            async def call(*args):
                found = await method(*args)
                clock.move(0.6)  # between what the store saw, and that it is here
                return found

            return call

    slow = Slow(store.sessions)
    sessions = Sessions(slow, changes, now=clock.now, mono=clock.mono)
    session, handle = await started(Sessions(store.sessions, changes, now=clock.now, mono=clock.mono), clock)
    changes.is_beating = False
    await sessions.load(handle)
    assert sessions.peek(handle) == session
    clock.move(0.5)
    assert sessions.peek(handle) is None


@pytest.mark.parametrize("is_by_id", [False, True], ids=["handle", "id"])
async def test_who_comes_late_shares_no_old_look_up_where_changes_may_go_untold(
    store, changes, clock, is_by_id
):
    class Slow(Away):
        def __getattr__(self, name):
            method = super().__getattr__(name)

            async def call(*args):
                found = await method(*args)
                await gate.wait()  # what the store said waits to be read
                return found

            return call

    gate = asyncio.Event()
    slow = Slow(store.sessions)
    sessions = Sessions(slow, changes, now=clock.now, mono=clock.mono)
    session, handle = await started(Sessions(store.sessions, changes, now=clock.now, mono=clock.mono), clock)
    changes.is_beating = False
    look = partial(sessions.load_id, session.id) if is_by_id else partial(sessions.load, handle)
    before = asyncio.create_task(look())
    while not slow.calls:
        await asyncio.sleep(0)
    await store.sessions.delete(session.id)  # elsewhere, and this process stands still meanwhile
    clock.move(1.0)
    after = asyncio.create_task(look())
    await asyncio.sleep(0)
    gate.set()
    assert await before == session
    assert await after is None


@pytest.mark.parametrize("is_by_id", [False, True], ids=["handle", "id"])
async def test_however_many_ask_at_once_the_store_is_asked_once(store, changes, clock, is_by_id):
    session, handle = await started(Sessions(store.sessions, changes, now=clock.now, mono=clock.mono), clock)
    counted = Away(store.sessions)
    sessions = Sessions(counted, changes, now=clock.now, mono=clock.mono)
    look = partial(sessions.load_id, session.id) if is_by_id else partial(sessions.load, handle)
    assert await asyncio.gather(*(look() for _ in range(20))) == [session] * 20
    assert len(counted.calls) == 1


@pytest.mark.parametrize("is_id_first", [False, True], ids=["handle first", "id first"])
async def test_a_handle_shown_as_an_id_shares_no_look_up(sessions, clock, is_id_first):
    session, handle = await started(sessions, clock)
    looks = [sessions.load(handle), sessions.load_id(handle)]
    found = await asyncio.gather(*(reversed(looks) if is_id_first else looks))
    assert found == ([None, session] if is_id_first else [session, None])


async def test_grace_serves_nobody_whom_the_part_of_the_store_that_is_there_says_to_have_ended(
    store, away, changes, clock
):
    sessions = Sessions(away, changes, now=clock.now, mono=clock.mono, last_word=Away(store.revocations))
    ended, handle = await started(sessions, clock)
    other, others = await started(sessions, clock)
    for one in (handle, others):
        await sessions.load(one)
    away.is_away, changes.is_beating = True, False
    clock.move(2.0)
    assert await sessions.load(handle) == ended
    await store.revocations.revoke([(ended.id, ended.expires_at)])
    sessions._last_word.is_away = True  # nothing of the store is there: that is what the grace is for
    assert await sessions.load(handle) == ended
    sessions._last_word.is_away = False
    for ask in (sessions.load(handle), sessions.by_id(ended.id), sessions.load(handle)):
        with pytest.raises(StoreError):
            await ask
    assert await sessions.load(others) == await sessions.by_id(other.id) == other


async def test_a_handle_of_before_a_renewal_elsewhere_finds_nothing_of_after_it(store, changes, clock):
    here = Sessions(store.sessions, changes, now=clock.now, mono=clock.mono)
    elsewhere = Sessions(store.sessions, Heartbeats(), now=clock.now, mono=clock.mono)
    session, old = await started(here, clock)
    await store.people.register(User(id="u1", created_at=0.0), ACCOUNT)
    await here.load(old)
    renewed, _ = await elsewhere.renew(session, lambda s: replace(s, user_id="u1"))
    assert await here.by_id(session.id) == renewed  # before the change is heard of
    assert here.peek(old) is None


@pytest.mark.parametrize(
    ("change", "settles"),
    [
        ({"user_id": "u2"}, True),
        ({"user_id": "", "identities": ()}, True),
        ({"identities": (IDENTITY,)}, True),
        ({"expires_at": 1_800_000_001.0}, True),
        ({"idle_s": 1.0}, True),
        ({"identities": (IDENTITY, OTHER, THIRD)}, False),
        ({"attributes": {"theme": "dark"}}, False),
        ({"check_at": 5.0}, False),
    ],
    ids=[
        "another person",
        "nobody",
        "an account less",
        "sooner over",
        "sooner idle",
        "an account more",
        "data",
        "a check",
    ],
)
async def test_who_takes_something_away_waits_until_all_have_heard(sessions, store, clock, change, settles):
    changes = sessions._changes
    await store.people.register(User(id="u1", created_at=clock.now()), ACCOUNT)
    for way in ("update", "renew"):
        session, _ = await started(sessions, clock, user_id="u1", identities=(IDENTITY, OTHER))
        changes.settled = 0
        await getattr(sessions, way)(
            session if way == "renew" else session.id, lambda s: replace(s, **change)
        )
        assert bool(changes.settled) is settles, way


@pytest.mark.parametrize("end", ["end", "end_of", "end_by"])
async def test_who_ends_sessions_waits_until_all_have_heard(sessions, changes, clock, end):
    session, _ = await started(sessions, clock)
    await getattr(sessions, end)({"end": session.id, "end_of": "u1", "end_by": "google"}[end])
    assert changes.settled


async def test_a_sign_in_waits_for_nobody(sessions, changes, clock):
    session, _ = await started(sessions, clock)
    await sessions.renew(session, lambda s: replace(s, user_id="u1", identities=(IDENTITY,)))
    assert not changes.settled


async def test_while_the_store_is_away_what_was_verified_is_served_within_grace(
    sessions, away, changes, clock
):
    session, handle = await started(sessions, clock)
    _, never_verified = await started(sessions, clock)
    await sessions.load(handle)
    changes.is_beating = False
    away.is_away = True
    clock.move(29.9)
    assert sessions.peek(handle) is None
    assert await sessions.load(handle) == session
    assert await sessions.by_id(session.id) == session
    with pytest.raises(StoreError):
        await sessions.load(never_verified)
    clock.move(0.2)
    with pytest.raises(StoreError):
        await sessions.load(handle)
    with pytest.raises(StoreError):
        await sessions.by_id(session.id)
    away.is_away = False
    assert await sessions.load(handle) == session


async def test_grace_serves_no_session_that_was_revoked_here(sessions, away, changes, clock):
    session, handle = await started(sessions, clock)
    await sessions.load(handle)
    changes.publish(SESSION, session.id)
    away.is_away = True
    with pytest.raises(StoreError):
        await sessions.load(handle)


async def test_grace_makes_no_session_and_no_handle_live_longer(store, away, changes, clock):
    sessions = Sessions(away, changes, now=clock.now, mono=clock.mono, grace_s=100_000.0)
    session, old = await started(sessions, clock)
    _, new = await sessions.renew(session)
    await sessions.load(old)
    await sessions.load(new)
    away.is_away = True
    clock.move(29.9)
    assert (await sessions.load(old)).id == session.id
    clock.move(0.1)
    with pytest.raises(StoreError):
        await sessions.load(old)
    assert (await sessions.load(new)).id == session.id
    clock.move(86_400)  # unseen for so long, it is over
    for ask in (sessions.load(new), sessions.by_id(session.id)):
        with pytest.raises(StoreError):
            await ask


async def test_when_it_is_unknown_which_of_a_persons_ended_the_cache_is_asked_for_none(
    sessions, store, away, clock
):
    await store.people.register(User(id="u1", created_at=0.0), ACCOUNT)
    _, hers = await started(sessions, clock, user_id="u1")
    await sessions.load(hers)
    away.is_away = True
    with pytest.raises(StoreError):
        await sessions.end_of("u1")
    assert sessions.peek(hers) is None
    with pytest.raises(StoreError):  # nor for grace's sake
        await sessions.load(hers)


async def test_when_it_is_unknown_whether_it_ended_the_cache_is_asked_no_more(sessions, away, clock):
    session, handle = await started(sessions, clock)
    await sessions.load(handle)
    away.is_away = True
    with pytest.raises(StoreError):
        await sessions.end(session.id)
    assert sessions.peek(handle) is None


@pytest.mark.parametrize("by", ["handle", "id"])
async def test_what_was_read_before_a_change_is_not_kept_after_it(store, changes, clock, by):
    has_read, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Away):
        """Reads, then takes its time."""

        def __getattr__(self, name):
            method = super().__getattr__(name)

            async def call(*args):
                found = await method(*args)
                if name == f"by_{by}" and not has_read.is_set():
                    has_read.set()
                    await go_on.wait()
                return found

            return call

    sessions = Sessions(Slow(store.sessions), changes, now=clock.now, mono=clock.mono)
    session, handle = await started(sessions, clock)
    asked = sessions.load(handle) if by == "handle" else sessions.by_id(session.id)
    loading = asyncio.create_task(asked)
    await has_read.wait()
    await sessions.end(session.id)
    go_on.set()
    assert await loading == session  # it lived when it was asked for
    assert sessions.peek(handle) is None
    assert sessions.peek_id(session.id) is None


async def test_last_seen_is_noted_once_a_minute_and_written_in_one_go(sessions, store, away, clock):
    session, handle = await started(sessions, clock)
    cached = await sessions.load(handle)
    sessions.touch(cached, clock.now())
    assert await sessions.flush() == 0
    clock.move(60)
    sessions.touch(cached, clock.now())
    sessions.touch(sessions.peek(handle), clock.now())
    assert sessions.peek(handle).seen_at == clock.now()
    assert await sessions.flush() == 1
    assert await sessions.flush() == 0
    assert (await store.sessions.by_id(session.id, clock.now())).seen_at == clock.now()
    assert away.calls.count("touch") == 1


async def test_what_was_noted_is_not_forgotten_by_a_reload_nor_by_a_store_that_is_away(
    sessions, store, away, changes, clock
):
    session, handle = await started(sessions, clock)
    cached = await sessions.load(handle)
    clock.move(60)
    sessions.touch(cached, clock.now())
    changes.publish(SESSION, session.id)
    await sessions.load(handle)
    assert sessions.peek(handle).seen_at == clock.now()
    away.is_away = True
    with pytest.raises(StoreError):
        await sessions.flush()
    away.is_away = False
    assert await sessions.flush() == 1
    assert (await store.sessions.by_id(session.id, clock.now())).seen_at == clock.now()


async def test_a_session_in_use_outlives_its_idle_time(sessions, clock):
    _, handle = await started(sessions, clock)
    for _ in range(48):
        clock.move(3600)
        sessions.touch(sessions.peek(handle) or await sessions.load(handle), clock.now())
        await sessions.flush()
    assert sessions.peek(handle) is not None


async def test_the_cache_is_bounded_and_what_is_used_stays(store, changes, clock):
    sessions = Sessions(store.sessions, changes, now=clock.now, mono=clock.mono, capacity=10)
    handles = [(await started(sessions, clock))[1] for _ in range(30)]
    first = await sessions.load(handles[0])
    for handle in handles[1:]:
        clock.move(60)
        sessions.touch(first, clock.now())
        await sessions.load(handle)
    assert sessions.peek(handles[0]) is not None
    assert sum(sessions.peek(handle) is not None for handle in handles) == 10


# -- what is handed on ------------------------------------------------------------------------

ZOE = Identity(client="google", issuer="i", subject="1", name="Zoë")


async def family(sessions: Sessions, clock) -> tuple[Session, Session, str]:
    """A parent, its child on another host, and the child's handle."""
    parent, _ = await started(sessions, clock, identities=(ZOE,))
    handed = await sessions.hand_on(parent, host="app", device=Device(), now=clock.now())
    assert handed is not None
    return parent, *handed


async def test_a_child_is_given_out_with_what_its_parent_has_now(sessions, clock):
    parent, child, handle = await family(sessions, clock)
    assert (child.host, child.identities, child.clients) == ("app", (ZOE,), ("google",))
    assert await sessions.load(handle) == child
    await sessions.update(parent.id, lambda s: replace(s, clients=("google", "github")))
    assert sessions.peek(handle) is None
    loaded = await sessions.load(handle)
    assert loaded.clients == ("google", "github")
    assert sessions.peek(handle) == sessions.peek_id(child.id) == loaded


async def test_the_store_keeps_of_a_child_what_is_its_own(sessions, store, clock):
    _, child, _ = await family(sessions, clock)
    kept = await store.sessions.by_id(child.id, clock.now())
    assert (kept.identities, kept.clients) == ((), ())
    await sessions.update(child.id, lambda s: replace(s, clients=("app/drive",)))
    kept = await store.sessions.by_id(child.id, clock.now())
    assert kept.clients == ("app/drive",)
    assert (await sessions.by_id(child.id)).clients == ("google", "app/drive")


async def test_a_parents_end_is_told_of_each_child(sessions, changes, clock):
    parent, child, handle = await family(sessions, clock)
    await sessions.load(handle)
    told: list[str] = []
    changes.subscribe(SESSION, told.append)
    assert await sessions.end(parent.id)
    assert {parent.id, child.id} == set(told)
    assert sessions.peek(handle) is None
    assert await sessions.load(handle) is None
    assert await sessions.by_id(child.id) is None


async def test_a_childs_end_leaves_its_parent(sessions, clock):
    parent, child, handle = await family(sessions, clock)
    assert await sessions.end(child.id)
    assert await sessions.load(handle) is None
    assert await sessions.by_id(parent.id) is not None


async def test_a_change_of_a_parent_is_told_of_the_children_in_the_cache(sessions, changes, clock):
    """By that, what lasts of theirs is looked at again."""
    parent, child, handle = await family(sessions, clock)
    await sessions.load(handle)
    told: list[str] = []
    changes.subscribe(SESSION, told.append)
    await sessions.update(parent.id, lambda s: replace(s, identities=()))
    assert child.id in told


async def test_nobody_is_handed_on_from_what_has_ended(sessions, store, clock):
    parent, _ = await started(sessions, clock)
    await sessions.end(parent.id)
    assert await sessions.hand_on(parent, host="app", device=Device(), now=clock.now()) is None
    assert not store.sessions._kept


async def test_using_a_child_keeps_its_parent_from_idling(sessions, clock):
    parent, _, handle = await family(sessions, clock)
    for _ in range(30):
        clock.move(3600)
        sessions.touch(await sessions.load(handle), clock.now())
        await sessions.flush()
    assert await sessions.by_id(parent.id) is not None
    assert await sessions.load(handle) is not None


async def test_a_child_ends_with_its_parents_time(sessions, clock):
    parent, child, handle = await family(sessions, clock)
    assert child.expires_at == parent.expires_at
    await sessions.update(parent.id, lambda s: replace(s, expires_at=clock.now() + 10))
    assert (await sessions.load(handle)).expires_at == clock.now() + 10
    clock.move(10)
    assert await sessions.load(handle) is None


async def test_a_child_of_before_a_sign_in_is_nobodys(sessions, store, clock):
    """Threat: fixation, by a child that somebody planted before its parent got its person."""
    await store.people.register(User(id="u1", created_at=clock.now()), ACCOUNT)
    parent, _, handle = await family(sessions, clock)
    assert await sessions.load(handle) is not None
    await sessions.renew(parent, lambda s: replace(s, user_id="u1"))
    assert await sessions.load(handle) is None


async def test_a_users_sessions_are_listed_whole(sessions, store, clock):
    await store.people.register(User(id="u1", created_at=clock.now()), ACCOUNT)
    parent, _ = await started(sessions, clock, user_id="u1", identities=(ZOE,))
    clock.move(1)
    child, _ = await sessions.hand_on(parent, host="app", device=Device(), now=clock.now())
    assert await sessions.of_user("u1") == (child, parent)


async def test_a_hosts_sessions_are_listed_whole_and_by_pages(sessions, store, clock):
    await store.people.register(User(id="u1", created_at=clock.now()), ACCOUNT)
    made = []
    for _ in range(3):
        parent, _ = await started(sessions, clock, user_id="u1", identities=(ZOE,))
        clock.move(1)
        child, _ = await sessions.hand_on(parent, host="app", device=Device(), now=clock.now())
        made.append((parent, child))
    first = await sessions.of_host("app", Page(limit=2))
    assert first == (made[2][1], made[1][1])
    assert all(one.identities == (ZOE,) for one in first)
    assert await sessions.of_host("app", Page(after=(first[1].created_at, first[1].id), limit=2)) == (
        made[0][1],
    )


async def test_without_the_store_a_child_is_good_for_as_long_as_others(sessions, away, clock):
    _, child, handle = await family(sessions, clock)
    await sessions.load(handle)
    away.is_away = True
    assert await sessions.load(handle) == child
    clock.move(31)
    with pytest.raises(StoreError):
        await sessions.load(handle)


# -- who is told ------------------------------------------------------------------------------


class Watching:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    async def began(self, session):
        self.told.append(("began", session.id))

    async def ended(self, sessions):
        self.told += [("ended", one.id) for one in sessions]

    async def ended_all(self, user_id, sessions):
        self.told.append(("ended all", user_id, *(one.id for one in sessions)))

    async def ended_by(self, client, count):
        self.told.append(("ended by", client, count))


@pytest.fixture
async def watching(sessions, store, clock) -> Watching:
    await store.people.register(User(id="u1", created_at=clock.now() - 1), ACCOUNT)
    witness = Watching()
    sessions.watched_by(witness)
    return witness


async def test_who_watches_is_told_of_sessions_that_people_begin_and_end(sessions, watching, clock):
    one, _ = await started(sessions, clock, user_id="u1")
    two, handle = await started(sessions, clock, user_id="u1")
    await sessions.load(handle)
    assert watching.told == [("began", one.id), ("began", two.id)]
    watching.told.clear()
    await sessions.end(one.id)
    await sessions.end(two.id)
    assert not await sessions.end(two.id)
    assert watching.told == [("ended", one.id), ("ended", two.id)]


async def test_of_what_nobody_has_or_was_handed_on_nothing_is_told(sessions, watching, clock):
    nobodys, _ = await started(sessions, clock)
    parent, _ = await started(sessions, clock, user_id="u1")
    watching.told.clear()
    child, _ = await sessions.hand_on(parent, host="other", device=Device(), now=clock.now())
    await sessions.end(nobodys.id)
    await sessions.end(child.id)
    assert watching.told == []


async def test_a_session_that_gets_a_person_begins_then_and_not_again(sessions, watching, clock):
    session, _ = await started(sessions, clock)
    session, _ = await sessions.renew(session, lambda before: replace(before, user_id="u1"))
    await sessions.renew(session)
    assert watching.told == [("began", session.id)]


async def test_one_that_is_nobodys_any_more_is_told_as_it_was(sessions, watching, clock):
    session, _ = await started(sessions, clock, user_id="u1")
    watching.told.clear()
    await sessions.update(session.id, lambda before: replace(before, user_id=""))
    await sessions.end(session.id, session)
    assert watching.told == [("ended", session.id)]


async def test_all_of_a_person_end_as_one_with_their_names(sessions, watching, clock):
    parent, _ = await started(sessions, clock, user_id="u1")
    await sessions.hand_on(parent, host="other", device=Device(), now=clock.now())
    watching.told.clear()
    await sessions.end_of("u1", await sessions.of_user("u1"))
    assert watching.told == [("ended all", "u1", parent.id)]


async def test_all_of_a_client_end_as_a_number(sessions, watching, clock):
    for _ in range(3):
        await started(sessions, clock, user_id="u1")
    watching.told.clear()
    await sessions.end_by("google")
    await sessions.end_by("github")
    assert watching.told == [("ended by", "google", 3)]


async def test_what_can_not_be_read_ends_all_the_same(sessions, watching, store, clock, monkeypatch):
    session, _ = await started(sessions, clock, user_id="u1")

    async def away(*_):
        raise StoreError("The store is away.")

    monkeypatch.setattr(store.sessions, "by_id", away)
    assert await sessions.end(session.id)
