"""What every `store.base_events.Audit` and `Outbox` does."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from vestibule.core.event import REFUSED, SESSION_CREATED, SESSION_ENDED, SIGN_IN_REFUSED, Event
from vestibule.store.base_events import AuditFilter, DeadLetter, Letter

NOW = 1_800_000_000.0
MADE = Event(
    id="e1",
    at=NOW,
    action=SESSION_CREATED,
    actor="user u1",
    user_id="u1",
    session_id="s1",
    host="app.example",
    address="192.0.2.7",
    device="Firefox on Linux",
    request_id="r1",
    detail={"client": "google", "remembered": True, "ö": [1, None]},
)
ENDED = replace(MADE, id="e2", at=NOW + 1, action=SESSION_ENDED, actor="token ops", detail={})
TWIN = replace(ENDED, id="e3", user_id="u2", session_id="s2", actor="socket")
NOT_IN = Event(id="e4", at=NOW + 2, action=SIGN_IN_REFUSED, outcome=REFUSED, target="provider google")
ALL = (NOT_IN, TWIN, ENDED, MADE)
LETTER = Letter(webhook="ops", id="e1", body=b'{"type":"x"}', created_at=NOW, next_at=NOW)


@pytest.fixture
async def filled(store):
    await store.audit.add((MADE,))
    await store.audit.add((TWIN, ENDED, NOT_IN))
    return store


async def ids(store, **wanted) -> list[str]:
    return [event.id for event in await store.audit.list(AuditFilter(**wanted))]


async def test_what_happened_is_told_whole_the_latest_first(filled):
    assert await filled.audit.list(AuditFilter()) == ALL


async def test_one_event_is_found_by_its_id(filled):
    assert await filled.audit.get("e2") == ENDED
    assert await filled.audit.get("e9") is None
    assert await filled.audit.get("e2\0") is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"action": SESSION_ENDED}, ["e3", "e2"]),
        ({"user_id": "u1"}, ["e2", "e1"]),
        ({"user_id": "u1", "action": SESSION_ENDED}, ["e2"]),
        ({"session_id": "s2"}, ["e3"]),
        ({"actor": "token ops"}, ["e2"]),
        ({"target": "provider google"}, ["e4"]),
        ({"outcome": REFUSED}, ["e4"]),
        ({"since": NOW + 1}, ["e4", "e3", "e2"]),
        ({"until": NOW + 1}, ["e1"]),
        ({"since": NOW + 1, "until": NOW + 2}, ["e3", "e2"]),
        ({"user_id": "u9"}, []),
        ({"user_id": "u1\0"}, []),
    ],
    ids=str,
)
async def test_all_filters_are_applied(filled, wanted, expected):
    assert await ids(filled, **wanted) == expected


async def test_a_page_goes_on_where_the_one_before_ended_also_within_one_moment(filled):
    assert await ids(filled, limit=2) == ["e4", "e3"]
    assert await ids(filled, limit=2, after=(NOW + 1, "e3")) == ["e2", "e1"]
    assert await ids(filled, limit=2, after=(NOW, "e1")) == []


async def test_what_is_there_already_stays_as_it_is(filled):
    new = replace(LETTER, id="e5")
    await filled.audit.add((replace(MADE, actor="somebody else"), replace(MADE, id="e5")), (LETTER, new))
    assert await ids(filled, actor="user u1") == ["e5", "e1"]
    # Whoever wrote it first has owed its message, which may have arrived long ago.
    assert await filled.outbox.due("ops", NOW, 9) == (new,)
    await filled.audit.add((), (replace(new, body=b"other"),))
    assert await filled.outbox.due("ops", NOW, 9) == (new,)


async def test_nothing_is_added_by_nothing(store):
    await store.audit.add(())
    assert await ids(store) == []
    assert await store.outbox.count() == 0


async def test_one_that_is_young_keeps_those_behind_it_whatever_their_date(filled):
    """A clock that was wrong once takes nothing along."""
    await filled.audit.add((replace(MADE, id="e9", at=1.0),))
    assert await filled.audit.sweep(NOW + 1) == 1
    assert await filled.audit.sweep(NOW + 1) == 0
    assert await ids(filled) == ["e4", "e3", "e2", "e9"]


async def test_old_ones_are_swept_some_at_a_time(filled):
    assert await filled.audit.sweep(NOW + 2, 2) == 2
    assert await filled.audit.sweep(NOW + 2) == 1
    assert await filled.audit.sweep(NOW + 2) == 0
    assert await ids(filled) == ["e4"]


# -- messages ---------------------------------------------------------------------------------


async def test_messages_are_due_from_their_turn_on_the_oldest_first(store):
    late = replace(LETTER, id="e2", created_at=NOW - 5, next_at=NOW + 5)
    other = replace(LETTER, webhook="dev")
    await store.audit.add((), (LETTER, late, other))
    assert await store.outbox.due("ops", NOW - 1, 9) == ()
    assert await store.outbox.due("ops", NOW, 9) == (LETTER,)
    assert await store.outbox.due("ops", NOW + 5, 9) == (late, LETTER)
    assert await store.outbox.due("ops", NOW + 5, 1) == (late,)
    assert await store.outbox.due("dev", NOW, 9) == (other,)
    assert await store.outbox.count() == 3


async def test_of_many_one_claims_it_and_after_a_while_another_may(store):
    await store.audit.add((), (LETTER,))
    won = await asyncio.gather(*(store.outbox.claim(LETTER, NOW + 30) for _ in range(8)))
    assert sum(won) == 1
    assert await store.outbox.due("ops", NOW + 29, 9) == ()
    (again,) = await store.outbox.due("ops", NOW + 30, 9)
    assert again == replace(LETTER, tries=1, next_at=NOW + 30)
    assert not await store.outbox.claim(LETTER, NOW + 60)
    assert await store.outbox.claim(again, NOW + 60)


async def test_one_that_did_not_arrive_has_another_turn_and_one_that_did_is_gone(store):
    await store.audit.add((), (LETTER, replace(LETTER, webhook="dev")))
    assert await store.outbox.claim(LETTER, NOW + 30)
    await store.outbox.put_off(LETTER, NOW + 5)
    (again,) = await store.outbox.due("ops", NOW + 5, 9)
    assert again.tries == 1
    await store.outbox.delete(again)
    await store.outbox.delete(again)
    await store.outbox.put_off(again, NOW)
    assert await store.outbox.due("ops", NOW + 99, 9) == ()
    assert await store.outbox.count() == 1


async def test_messages_that_are_too_old_are_swept_whosever_they_are(store):
    await store.audit.add(
        (), [replace(LETTER, webhook=f"w{n}", created_at=NOW + n, next_at=NOW + 999) for n in range(3)]
    )
    assert await store.outbox.sweep(NOW + 2, 1) == 1
    assert await store.outbox.sweep(NOW + 2) == 1
    assert await store.outbox.sweep(NOW + 2) == 0
    assert await store.outbox.count() == 1


# -- messages that were given up --------------------------------------------------------------


def dead(letter: Letter = LETTER, **fields) -> DeadLetter:
    given = {"action": SESSION_CREATED, "died_at": NOW + 9, "tries": 5, "detail": "it answered 500"} | fields
    return DeadLetter(
        webhook=letter.webhook, id=letter.id, body=letter.body, created_at=letter.created_at, **given
    )


async def test_one_that_is_given_up_is_owed_no_more_and_kept(store):
    await store.audit.add((), (LETTER,))
    await store.dead_letters.bury(LETTER, dead(), at_most=9)
    await store.dead_letters.bury(LETTER, dead(detail="a second time"), at_most=9)
    assert await store.outbox.count() == 0
    assert await store.dead_letters.list() == (dead(),)


async def test_one_that_is_tried_again_has_another_day(store):
    await store.dead_letters.bury(LETTER, dead(), at_most=9)
    assert await store.dead_letters.retry("ops", "e1", NOW + 99)
    assert await store.dead_letters.list() == ()
    assert await store.outbox.due("ops", NOW + 99, 9) == (
        replace(LETTER, created_at=NOW + 99, next_at=NOW + 99),
    )
    assert not await store.dead_letters.retry("ops", "e1", NOW + 99)


async def test_one_that_is_thrown_away_is_gone(store):
    await store.dead_letters.bury(LETTER, dead(), at_most=9)
    assert not await store.dead_letters.discard("dev", "e1")
    assert await store.dead_letters.discard("ops", "e1")
    assert not await store.dead_letters.discard("ops", "e1")
    assert await store.outbox.count() == 0


async def test_the_newest_stay_up_to_a_number_and_the_old_are_swept(store):
    letters = [replace(LETTER, id=f"e{number}") for number in range(5)]
    for number, letter in enumerate(letters):
        await store.dead_letters.bury(letter, dead(letter, died_at=NOW + number), at_most=4)
    assert [one.id for one in await store.dead_letters.list()] == ["e4", "e3", "e2", "e1"]
    assert [one.id for one in await store.dead_letters.list(2)] == ["e4", "e3"]
    assert await store.dead_letters.sweep(NOW + 3, 1) == 1
    assert await store.dead_letters.sweep(NOW + 3) == 1
    assert [one.id for one in await store.dead_letters.list()] == ["e4", "e3"]
