"""What every `store.base.AppTokens` does."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from vestibule.errors import StoreError
from vestibule.model import Account, AppToken, User
from vestibule.store.base import Bearer, Page

NOW = 1_800_000_000.0
ZOE = User(id="u1", created_at=NOW - 60, name="Zoë", email="zoe@example.com", profile={"town": "Zürich"})
BOB = User(id="u2", created_at=NOW - 60)
GIT = AppToken(
    id="t1",
    user_id="u1",
    name="Zoë's laptop",
    host="git.example.com",
    prefixes=("/zoe/repo", "/zoe/é"),
    methods=("GET", "HEAD"),
    scopes=("read",),
    created_at=NOW,
    expires_at=NOW + 60,
)
DAV = replace(GIT, id="t2", name="phone", host="dav.example.com", prefixes=(), methods=(), created_at=NOW - 1)
H1, H2, H3 = b"\x00" * 32, b"\xff" * 32, b"\x01" * 32


@pytest.fixture
async def people(store):
    for user in (ZOE, BOB):
        account = Account(
            issuer="https://a", subject=user.id, user_id=user.id, client="google", created_at=NOW
        )
        await store.people.register(user, account)
    return store


async def made(store, token: AppToken = GIT, token_hash: bytes = H1, at_most: int = 9) -> bool:
    return await store.app_tokens.create(token, token_hash, at_most=at_most)


async def test_a_token_is_found_with_its_user_by_its_hash_until_it_expires(people):
    assert await made(people)
    assert await people.app_tokens.by_hash(H1, NOW + 59) == Bearer(GIT, ZOE)
    assert await people.app_tokens.by_hash(H1, NOW + 60) is None
    assert await people.app_tokens.by_hash(H2, NOW) is None
    assert await people.app_tokens.by_hash(b"", NOW) is None


async def test_a_users_tokens_are_listed_the_oldest_first_and_expired_ones_too(people):
    assert await people.app_tokens.of_user("u1") == ()
    await made(people)
    await made(people, DAV, H2)
    assert await people.app_tokens.of_user("u1") == (DAV, GIT)
    assert await people.app_tokens.of_user("u2") == ()


@pytest.mark.parametrize(
    ("change", "is_good"),
    [
        ({"disabled": True}, False),
        ({"valid_from": NOW + 1}, False),
        ({"valid_from": NOW}, True),
        ({"name": "Z"}, True),
    ],
    ids=str,
)
async def test_it_is_good_while_its_user_is(people, change, is_good):
    await made(people)
    user = replace(ZOE, **change)
    await people.people.save(user)
    found = await people.app_tokens.by_hash(H1, NOW)
    assert found == (Bearer(GIT, user) if is_good else None)
    assert await people.app_tokens.of_user("u1") == (GIT,)


async def test_it_goes_with_its_user(people):
    await made(people)
    await made(people, replace(DAV, user_id="u2"), H2)
    assert await people.people.delete("u1")
    assert await people.app_tokens.by_hash(H1, NOW) is None
    assert await people.app_tokens.of_user("u1") == ()
    assert len(await people.app_tokens.of_user("u2")) == 1


async def test_there_are_no_more_than_so_many_of_one_user(people):
    assert await made(people, at_most=1)
    assert not await made(people, DAV, H2, at_most=1)
    assert await made(people, replace(DAV, user_id="u2"), H2, at_most=1)
    assert await people.app_tokens.of_user("u1") == (GIT,)


async def test_of_many_made_at_once_no_more_than_so_many_come(people):
    won = await asyncio.gather(
        *(made(people, replace(GIT, id=f"t{n}"), bytes([n]) * 32, at_most=3) for n in range(10))
    )
    assert sum(won) == 3
    assert len(await people.app_tokens.of_user("u1")) == 3


async def test_when_it_was_used_is_kept_and_never_goes_backwards(people):
    await made(people)
    await made(people, DAV, H2)
    await people.app_tokens.seen(())
    await people.app_tokens.seen([("t1", NOW + 5), ("t2", NOW + 6), ("t9", NOW)])
    await people.app_tokens.seen([("t1", NOW + 4)])
    assert await people.app_tokens.of_user("u1") == (
        replace(DAV, seen_at=NOW + 6),
        replace(GIT, seen_at=NOW + 5),
    )
    assert (await people.app_tokens.by_hash(H1, NOW)).token.seen_at == NOW + 5


async def test_a_revoked_one_is_gone_and_another_users_is_left(people):
    await made(people)
    assert not await people.app_tokens.delete("u2", "t1")
    assert await people.app_tokens.delete("u1", "t1")
    assert not await people.app_tokens.delete("u1", "t1")
    assert await people.app_tokens.by_hash(H1, NOW) is None


async def test_old_ones_are_swept_some_at_a_time(people):
    for n in range(3):
        await made(people, replace(GIT, id=f"t{n}", expires_at=NOW + n), bytes([n]) * 32)
    assert await people.app_tokens.sweep(NOW + 2, 1) == 1
    assert await people.app_tokens.sweep(NOW + 2) == 1
    assert await people.app_tokens.sweep(NOW + 2) == 0
    assert [token.id for token in await people.app_tokens.of_user("u1")] == ["t2"]


@pytest.mark.parametrize(
    ("token", "token_hash"),
    [
        pytest.param(replace(DAV, id="t1"), H2, id="its id is taken"),
        pytest.param(DAV, H1, id="its hash is taken"),
        pytest.param(replace(DAV, user_id="u9"), H2, id="there is no such user"),
    ],
)
async def test_it_is_a_fault_when(people, token, token_hash):
    await made(people)
    with pytest.raises(StoreError):
        await made(people, token, token_hash)
    assert await people.app_tokens.of_user("u1") == (GIT,)


async def test_all_are_listed_page_by_page_with_whose_they_are(people):
    others = replace(GIT, id="t3", user_id="u2", created_at=NOW)
    for token, token_hash in ((GIT, H1), (DAV, H2), (others, H3)):
        assert await made(people, token, token_hash)
    first = await people.app_tokens.list(Page(limit=2))
    assert first == (Bearer(DAV, ZOE), Bearer(GIT, ZOE))
    assert await people.app_tokens.list(Page(after=(NOW, "t1"), limit=2)) == (Bearer(others, BOB),)
    await people.app_tokens.seen([("t3", NOW + 5)])
    await people.people.save(replace(BOB, disabled=True))
    [last] = await people.app_tokens.list(Page(after=(NOW, "t1")))
    assert (last.token.seen_at, last.user.disabled) == (NOW + 5, True)
