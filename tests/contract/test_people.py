"""What every `store.base.People` does."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from vestibule.model import User

NOW = 1_800_000_000.0
ZOE = User(id="u1", created_at=NOW, name="Zoë", email="zoe@example.com")


async def test_who_was_registered_is_found_by_issuer_and_subject(store):
    assert await store.people.register(ZOE, "https://a", "1", "google", NOW) == ZOE
    assert await store.people.user_of("https://a", "1") == ZOE
    assert await store.people.user("u1") == ZOE


async def test_neither_another_issuer_nor_another_subject_finds_them(store):
    await store.people.register(ZOE, "https://a", "1", "google", NOW)
    assert await store.people.user_of("https://b", "1") is None
    assert await store.people.user_of("https://a", "2") is None
    assert await store.people.user_of("https://a/", "1") is None
    assert await store.people.user_of("https://A", "1") is None
    assert await store.people.user("u2") is None


async def test_an_identity_that_is_taken_keeps_its_user(store):
    await store.people.register(ZOE, "https://a", "1", "google", NOW)
    late = replace(ZOE, id="u2", name="Late")
    assert await store.people.register(late, "https://a", "1", "github", NOW) == ZOE
    assert await store.people.user("u2") is None


async def test_of_many_who_register_one_identity_at_once_one_user_comes(store):
    users = await asyncio.gather(
        *(store.people.register(replace(ZOE, id=f"u{n}"), "https://a", "1", "google", NOW) for n in range(10))
    )
    assert len({user.id for user in users}) == 1
    assert await store.people.user_of("https://a", "1") == users[0]


async def test_two_people_of_one_address_stay_two(store):
    await store.people.register(ZOE, "https://a", "1", "google", NOW)
    await store.people.register(replace(ZOE, id="u2"), "https://b", "1", "github", NOW)
    assert (await store.people.user_of("https://a", "1")).id == "u1"
    assert (await store.people.user_of("https://b", "1")).id == "u2"


async def test_being_seen_renews_name_and_address_and_nothing_else(store):
    await store.people.register(replace(ZOE, valid_from=5.0, disabled=True), "https://a", "1", "google", NOW)
    await store.people.seen(replace(ZOE, name="New", email="new@example.com", created_at=1.0), NOW + 9)
    assert await store.people.user("u1") == replace(
        ZOE, name="New", email="new@example.com", valid_from=5.0, disabled=True
    )


async def test_seeing_a_stranger_makes_nobody(store):
    await store.people.seen(ZOE, NOW)
    assert await store.people.user("u1") is None
