"""Credentials that were good a moment ago: for how long, for whom, and never for another one (attacks.md O11)."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.service.callers import CI, People, bearer, caller, host_of, proofs_of
from tests.unit.service.conftest import Clock, Heartbeats
from vestibule.core.credential import Accepted
from vestibule.errors import CredentialRefused, StoreError, UserDisabled
from vestibule.model import Caller
from vestibule.service.proof import LIFE_S, Proofs
from vestibule.service.sessions import USER
from vestibule.store.base import EVERYTHING

HOST = host_of(Accepted(issuers=(CI,)))
TOKEN = bearer("abc")


class Prover:
    """Finds out whose a credential is, and counts."""

    def __init__(self, found: Caller | Exception) -> None:
        self.found = found
        self.times = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Caller:
        self.times += 1
        await self.gate.wait()
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def changes() -> Heartbeats:
    return Heartbeats()


@pytest.fixture
def proofs(people: People, clock: Clock, changes: Heartbeats) -> Proofs:
    return proofs_of(people, clock, changes)


async def test_what_was_good_is_good_for_a_minute_unseen(proofs: Proofs, clock: Clock):
    prover = Prover(caller())
    assert proofs.peek(HOST, TOKEN) is None
    found = await proofs.load(HOST, TOKEN, prover)
    clock.move(LIFE_S - 1)
    assert proofs.peek(HOST, TOKEN) is found
    assert await proofs.load(HOST, TOKEN, prover) is found
    assert prover.times == 1
    clock.move(1)
    assert proofs.peek(HOST, TOKEN) is None
    await proofs.load(HOST, TOKEN, prover)
    assert prover.times == 2


async def test_it_is_good_no_longer_than_the_credential(proofs: Proofs, clock: Clock):
    await proofs.load(HOST, TOKEN, Prover(caller(expires_at=clock.now() + 10)))
    clock.move(9)
    assert proofs.peek(HOST, TOKEN) is not None
    clock.move(1)
    assert proofs.peek(HOST, TOKEN) is None


@pytest.mark.parametrize("life_s", [0.0, -30.0])
async def test_what_is_at_its_end_is_not_kept(proofs: Proofs, clock: Clock, life_s: float):
    await proofs.load(HOST, TOKEN, Prover(caller(expires_at=clock.now() + life_s)))
    assert proofs.peek(HOST, TOKEN) is None


@pytest.mark.parametrize(
    "other",
    [b"Bearer ab", b"Bearer abcd", b"bearer abc", b"Bearer  abc", b"Bearer abC", b"Basic abc", b"abc", b""],
)
async def test_o11_another_credential_never_finds_it(proofs: Proofs, other: bytes):
    await proofs.load(HOST, TOKEN, Prover(caller()))
    assert proofs.peek(HOST, other) is None


async def test_o11_tokens_of_ten_thousand_characters_that_differ_in_the_last_are_two(proofs: Proofs):
    long = "a" * 10_000
    await proofs.load(HOST, bearer(long + "b"), Prover(caller()))
    assert proofs.peek(HOST, bearer(long + "c")) is None
    assert proofs.peek(HOST, bearer(long)) is None


async def test_o11_another_host_never_finds_it(proofs: Proofs):
    await proofs.load(HOST, TOKEN, Prover(caller()))
    assert proofs.peek(host_of(HOST.accepts, b"other.example"), TOKEN) is None


async def test_o11_it_is_good_under_what_the_host_took_then_only(proofs: Proofs):
    await proofs.load(HOST, TOKEN, Prover(caller()))
    assert proofs.peek(host_of(HOST.accepts), TOKEN) is not None
    assert proofs.peek(host_of(Accepted(issuers=(CI,))), TOKEN) is None


async def test_what_is_kept_holds_nothing_of_a_credential(proofs: Proofs):
    await proofs.load(HOST, bearer("hunter2"), Prover(caller()))
    assert b"hunter2" not in b"".join(proofs._kept)


async def test_many_at_a_time_are_found_out_once(proofs: Proofs):
    prover = Prover(caller())
    prover.gate.clear()
    asking = [asyncio.create_task(proofs.load(HOST, TOKEN, prover)) for _ in range(20)]
    await asyncio.sleep(0)
    prover.gate.set()
    found = await asyncio.gather(*asking)
    assert prover.times == 1
    assert all(one is found[0] for one in found)


async def test_a_refusal_is_not_kept(proofs: Proofs):
    prover = Prover(CredentialRefused("no"))
    for _ in range(2):
        with pytest.raises(CredentialRefused):
            await proofs.load(HOST, TOKEN, prover)
    assert prover.times == 2
    assert proofs.peek(HOST, TOKEN) is None


async def test_the_person_is_found_by_issuer_and_subject(proofs: Proofs, people: People):
    people.add("u1", CI.url, "alice")
    assert (await proofs.load(HOST, TOKEN, Prover(caller()))).user_id == "u1"
    assert (await proofs.load(HOST, bearer("other"), Prover(caller("bob")))).user_id == ""


async def test_who_is_blocked_here_is_out_with_a_token_from_elsewhere(
    proofs: Proofs, people: People, changes: Heartbeats
):
    people.add("u1", CI.url, "alice")
    prover = Prover(caller())
    await proofs.load(HOST, TOKEN, prover)
    people.block(CI.url, "alice")
    changes.publish(USER, "u1")
    assert proofs.peek(HOST, TOKEN) is None
    with pytest.raises(UserDisabled):
        await proofs.load(HOST, TOKEN, prover)


async def test_a_change_of_somebody_else_leaves_it(proofs: Proofs, people: People, changes: Heartbeats):
    people.add("u1", CI.url, "alice")
    await proofs.load(HOST, TOKEN, Prover(caller()))
    changes.publish(USER, "u2")
    assert proofs.peek(HOST, TOKEN) is not None


async def test_who_is_blocked_while_it_is_being_found_out_is_not_kept(
    proofs: Proofs, people: People, changes: Heartbeats
):
    people.add("u1", CI.url, "alice")
    prover = Prover(caller())
    looked_up = people.owner_of

    async def owner_of(identity):
        found = await looked_up(identity)
        changes.publish(USER, "u1")  # between the look-up and its use
        return found

    proofs._owner_of = owner_of
    await proofs.load(HOST, TOKEN, prover)
    assert proofs.peek(HOST, TOKEN) is None


async def test_who_comes_after_somebody_was_blocked_shares_no_look_up_of_before(
    proofs: Proofs, people: People, changes: Heartbeats
):
    people.add("u1", CI.url, "alice")
    looked_up, gate = proofs._owner_of, asyncio.Event()

    async def slow(identity):
        found = await looked_up(identity)
        await gate.wait()  # the answer is on its way
        return found

    proofs._owner_of = slow
    before = asyncio.create_task(proofs.load(HOST, TOKEN, Prover(caller())))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    people.block(CI.url, "alice")
    changes.publish(USER, "u1")
    after = asyncio.create_task(proofs.load(HOST, TOKEN, Prover(caller())))
    await asyncio.sleep(0)
    gate.set()
    assert (await before).user_id == "u1"
    with pytest.raises(UserDisabled):
        await after


async def test_without_a_heartbeat_the_person_is_looked_up_again_after_a_second_and_the_credential_is_not(
    proofs: Proofs, people: People, changes: Heartbeats, clock: Clock
):
    people.add("u1", CI.url, "alice")
    changes.is_beating = False
    prover = Prover(caller())
    await proofs.load(HOST, TOKEN, prover)
    assert proofs.peek(HOST, TOKEN) is not None
    clock.move(1)
    assert proofs.peek(HOST, TOKEN) is None
    people.block(CI.url, "alice")
    with pytest.raises(UserDisabled):
        await proofs.load(HOST, TOKEN, prover)
    assert prover.times == 1


async def test_where_changes_may_have_been_missed_the_person_is_looked_up_again_and_the_credential_is_not(
    proofs: Proofs, people: People, changes: Heartbeats
):
    people.add("u1", CI.url, "alice")
    prover = Prover(caller())
    await proofs.load(HOST, TOKEN, prover)
    changes.publish(USER, EVERYTHING)
    assert proofs.peek(HOST, TOKEN) is None
    people.block(CI.url, "alice")
    with pytest.raises(UserDisabled):
        await proofs.load(HOST, TOKEN, prover)
    assert prover.times == 1


async def test_looking_the_person_up_again_makes_no_credential_live_longer(
    proofs: Proofs, changes: Heartbeats, clock: Clock
):
    changes.is_beating = False
    prover = Prover(caller())
    for _ in range(60):
        await proofs.load(HOST, TOKEN, prover)
        clock.move(2)
    assert prover.times == 2


async def test_a_store_that_is_away_lets_nobody_in(proofs: Proofs, people: People):
    people.error = StoreError("The store is away.")
    with pytest.raises(StoreError):
        await proofs.load(HOST, TOKEN, Prover(caller()))
    assert proofs.peek(HOST, TOKEN) is None


async def test_what_a_client_vouched_for_can_be_forgotten(proofs: Proofs):
    await proofs.load(HOST, TOKEN, Prover(caller()))
    proofs.forget_client("other")
    assert proofs.peek(HOST, TOKEN) is not None
    proofs.forget_client("ci")
    assert proofs.peek(HOST, TOKEN) is None


async def test_what_is_kept_is_bounded_and_the_oldest_goes(people: People, clock: Clock):
    proofs = proofs_of(people, clock, capacity=10)
    for number in range(25):
        await proofs.load(HOST, bearer(f"t{number}"), Prover(caller()))
    assert len(proofs._kept) == 10
    assert proofs.peek(HOST, bearer("t24")) is not None
    assert proofs.peek(HOST, bearer("t0")) is None
