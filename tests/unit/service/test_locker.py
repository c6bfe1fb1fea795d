"""What waits for its browser: it comes out once, for whom it was parked."""

from __future__ import annotations

import random

import msgspec
import pytest

from vestibule.core.seal import Key, KeyRing
from vestibule.core.session import hash_of
from vestibule.model import Secret, Tokens
from vestibule.service.locker import Locker

RING = KeyRing((Key("k1", b"1" * 32),))


class Thing(msgspec.Struct, frozen=True):
    """Something with a secret in it."""

    name: str
    tokens: Tokens


THING = Thing("thing", Tokens(access_token=Secret("canary-at"), refresh_token=Secret("canary-rt")))


@pytest.fixture
def locker(store) -> Locker:
    return Locker(store.parking, RING, random=random.Random(5).randbytes)


async def park(locker: Locker, clock, bound: str = "here") -> str:
    return await locker.park("thing", THING, bound=bound, until=clock.now() + 60)


async def test_it_comes_out_whole_and_once(locker, clock):
    key = await park(locker, clock)
    for _ in range(2):
        assert await locker.look("thing", key, Thing, bound="here", now=clock.now()) == THING
    assert await locker.take("thing", key, Thing, bound="here", now=clock.now()) == THING
    assert await locker.take("thing", key, Thing, bound="here", now=clock.now()) is None
    assert await locker.look("thing", key, Thing, bound="here", now=clock.now()) is None


async def test_not_too_late(locker, clock):
    key = await park(locker, clock)
    clock.move(60)
    assert await locker.take("thing", key, Thing, bound="here", now=clock.now()) is None


@pytest.mark.parametrize("key", ["", "short", "A" * 43, "A" * 44, "ä" * 43, "../" * 14 + "a", "x" * 100_000])
async def test_a_key_that_was_guessed_opens_nothing(locker, clock, key):
    await park(locker, clock)
    assert await locker.take("thing", key, Thing, bound="here", now=clock.now()) is None


async def test_for_somebody_else_it_goes_on_waiting(locker, clock):
    """Threat: a key that leaked is used elsewhere, if only to spoil it."""
    key = await park(locker, clock)
    assert await locker.take("thing", key, Thing, bound="there", now=clock.now()) is None
    assert await locker.take("other", key, Thing, bound="here", now=clock.now()) is None
    assert await locker.take("thing", key, Thing, bound="here", now=clock.now()) == THING


async def test_a_box_put_under_another_key_opens_nothing(locker, clock, store):
    one, two = await park(locker, clock), await park(locker, clock)
    sealed = await store.parking.parked("thing", hash_of(one), clock.now())
    await store.parking.park("thing", hash_of(two), sealed, clock.now() + 60)
    assert await locker.take("thing", two, Thing, bound="here", now=clock.now()) is None


async def test_the_store_sees_neither_key_nor_secret(locker, clock, store):
    key = await park(locker, clock)
    kept = repr(store.parking.__dict__)
    assert key not in kept
    assert "canary" not in kept
    assert "thing" in kept


async def test_another_ring_opens_nothing(locker, clock, store):
    key = await park(locker, clock)
    other = Locker(store.parking, KeyRing((Key("k1", b"2" * 32),)))
    assert await other.take("thing", key, Thing, bound="here", now=clock.now()) is None


async def test_what_another_version_parked_in_another_shape_is_nothing(locker, clock):
    class Other(msgspec.Struct, frozen=True):
        number: int

    key = await park(locker, clock)
    assert await locker.take("thing", key, Other, bound="here", now=clock.now()) is None
