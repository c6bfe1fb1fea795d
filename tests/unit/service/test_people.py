"""Who is who."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.errors import UserDisabled
from vestibule.model import Identity
from vestibule.service.people import People
from vestibule.service.sessions import Sessions

NOW = 1_800_000_000.0
ZOE = Identity(client="google", issuer="https://a", subject="1", name="Zoë", email="zoe@example.com")


@pytest.fixture
def sessions(store, changes, clock) -> Sessions:
    return Sessions(store.sessions, changes, now=clock.now, mono=clock.mono)


@pytest.fixture
def people(store, sessions, changes) -> People:
    return People(store.people, store.invitations, sessions, changes)


async def test_a_newcomer_is_registered_and_known_from_then_on(people):
    user = await people.admit(ZOE, NOW)
    assert (user.name, user.email, user.created_at) == ("Zoë", "zoe@example.com", NOW)
    assert len(user.id) == 22
    assert await people.admit(ZOE, NOW + 5) == replace(user, seen_at=NOW + 5)


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
