"""What every `store.base_events.Devices` does."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.device import Family, KnownDevice
from vestibule.model import Account, User

NOW = 1_800_000_000.0
LAPTOP = KnownDevice(
    user_id="u1",
    digest=b"\x00" * 32,
    family=Family("Firefox", "Linux"),
    networks=("192.0.2.0/24", "2001:db8::/48"),
    first_at=NOW - 5,
    seen_at=NOW,
)
PHONE = replace(LAPTOP, digest=b"\xff" * 32, family=Family(), networks=(), seen_at=NOW + 1)


@pytest.fixture
async def people(store):
    for user_id in ("u1", "u2"):
        account = Account(
            issuer="https://a", subject=user_id, user_id=user_id, client="google", created_at=NOW
        )
        await store.people.register(User(id=user_id, created_at=NOW), account)
    return store


async def test_they_are_told_the_one_seen_last_first(people):
    assert await people.devices.of_user("u1") == ()
    assert await people.devices.keep(LAPTOP, at_most=9)
    assert await people.devices.keep(PHONE, at_most=9)
    assert await people.devices.keep(replace(LAPTOP, user_id="u2"), at_most=9)
    assert await people.devices.of_user("u1") == (PHONE, LAPTOP)


async def test_one_that_comes_again_is_replaced(people):
    await people.devices.keep(LAPTOP, at_most=9)
    again = replace(LAPTOP, family=Family("Firefox", "Windows"), networks=("10.0.0.0/24",), seen_at=NOW + 9)
    await people.devices.keep(again, at_most=9)
    assert await people.devices.of_user("u1") == (again,)


async def test_of_too_many_those_seen_last_stay(people):
    for n in range(4):
        await people.devices.keep(replace(LAPTOP, digest=bytes([n]) * 32, seen_at=NOW + n), at_most=2)
    assert [one.seen_at for one in await people.devices.of_user("u1")] == [NOW + 3, NOW + 2]
    await people.devices.keep(replace(LAPTOP, user_id="u2"), at_most=1)
    assert len(await people.devices.of_user("u1")) == 2


async def test_nobody_has_none_and_they_go_with_their_user(people):
    assert not await people.devices.keep(replace(LAPTOP, user_id="u9"), at_most=9)
    assert await people.devices.of_user("u9") == ()
    await people.devices.keep(LAPTOP, at_most=9)
    assert await people.people.delete("u1")
    assert await people.devices.of_user("u1") == ()
    assert await people.devices.sweep(NOW + 99) == 0


async def test_those_not_seen_for_long_are_swept_some_at_a_time(people):
    for n in range(3):
        await people.devices.keep(replace(LAPTOP, digest=bytes([n]) * 32, seen_at=NOW + n), at_most=9)
    assert await people.devices.sweep(NOW + 2, 1) == 1
    assert await people.devices.sweep(NOW + 2) == 1
    assert await people.devices.sweep(NOW + 2) == 0
    assert [one.seen_at for one in await people.devices.of_user("u1")] == [NOW + 2]
