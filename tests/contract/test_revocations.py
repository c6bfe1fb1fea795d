"""What every `store.base.Revocations` does."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.model import Account, Session, User

NOW = 1_800_000_000.0


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(kept_in, request):
    """Without Redis, which keeps none."""
    async with kept_in(request.param) as store:
        yield store


def session(session_id: str = "s1", **fields) -> Session:
    times = {"created_at": NOW, "seen_at": NOW, "expires_at": NOW + 100, "idle_s": 100.0}
    return Session(id=session_id, host="h", **(times | fields))


async def register(store, user: User) -> None:
    account = Account(issuer="https://a", subject=user.id, user_id=user.id, client="google")
    await store.people.register(user, account)


async def test_what_was_not_revoked_may_live(store):
    assert await store.revocations.living((session(), session("s2"))) == {"s1", "s2"}
    assert await store.revocations.living(()) == frozenset()


async def test_what_was_revoked_may_not_and_nothing_else(store):
    await store.revocations.revoke([("s1", NOW + 9), ("s3", NOW + 9)])
    assert await store.revocations.living((session(), session("s2"), session("s3"))) == {"s2"}


async def test_a_parents_end_is_its_childrens(store):
    await store.revocations.revoke([("parent", NOW + 9)])
    children = (session("s1", parent_id="parent"), session("s2", parent_id="other"), session("s3"))
    assert await store.revocations.living(children) == {"s2", "s3"}


@pytest.mark.parametrize(
    ("user", "lives"),
    [
        pytest.param(User(id="u1", created_at=NOW), True, id="plain"),
        pytest.param(User(id="u1", created_at=NOW, valid_from=NOW + 0.1), True, id="valid since it began"),
        pytest.param(User(id="u1", created_at=NOW, valid_from=NOW + 0.2), False, id="valid only later"),
        pytest.param(
            User(id="u1", created_at=NOW, sessions_from=NOW + 0.2), False, id="signed out everywhere later"
        ),
        pytest.param(User(id="u1", created_at=NOW, disabled=True), False, id="disabled"),
        pytest.param(User(id="u2", created_at=NOW), False, id="unknown"),
    ],
)
async def test_a_session_may_live_as_its_user_may(store, user, lives):
    await register(store, user)
    found = await store.revocations.living((session(user_id="u1", created_at=NOW + 0.1), session("s2")))
    assert found == ({"s1", "s2"} if lives else {"s2"})


async def test_many_are_asked_for_at_once(store):
    await store.revocations.revoke([(f"s{n}", NOW + 9) for n in range(0, 1200, 2)])
    found = await store.revocations.living([session(f"s{n}") for n in range(1200)])
    assert found == {f"s{n}" for n in range(1, 1200, 2)}


async def test_revoking_again_shortens_nothing(store):
    await store.revocations.revoke([("s1", NOW + 9), ("s1", NOW + 7)])
    await store.revocations.revoke([("s1", NOW + 5)])
    assert await store.revocations.sweep(NOW + 8) == 0
    assert await store.revocations.living((session(),)) == frozenset()
    assert await store.revocations.sweep(NOW + 9) == 1
    assert await store.revocations.living((session(),)) == {"s1"}


async def test_of_many_who_revoke_the_same_all_get_through(store):
    ended = [(f"s{n}", NOW + 9) for n in range(50)]
    orders = (ended, ended[::-1], ended[25:] + ended[:25])
    await asyncio.gather(*(store.revocations.revoke(order) for order in orders * 5))
    assert await store.revocations.living([session(name) for name, _ in ended]) == frozenset()


async def test_a_sweep_takes_what_need_not_be_remembered_a_few_at_a_time(store):
    await store.revocations.revoke([(f"s{n}", NOW + 1 + n) for n in range(5)])
    assert [await store.revocations.sweep(NOW + 4, 3) for _ in range(3)] == [3, 1, 0]
    assert await store.revocations.living((session("s3"), session("s4"))) == {"s3"}
