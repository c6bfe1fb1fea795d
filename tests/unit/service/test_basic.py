"""User names and passwords: who is let in, how often one may try, and what an unknown name shows (attacks.md O12)."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import pytest

from tests.unit.service.callers import People as Known
from tests.unit.service.callers import basic, bearer, host_of, proofs_of
from tests.unit.service.conftest import Away, Clock, Heartbeats
from vestibule.core.credential import NOTHING, Accepted, PasswordFile
from vestibule.core.lockout import TRIES_FROM_MAX, TRIES_MAX, WINDOW_S
from vestibule.core.route import Host
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import CredentialRefused, TooManyTries, UserDisabled
from vestibule.model import Caller, Secret
from vestibule.observe.log import Log
from vestibule.protocol.htpasswd import People, Person, canonical
from vestibule.service.basic import THREADS, WAITING_MAX, Passwords
from vestibule.service.htpasswd import PasswordFiles
from vestibule.service.tries import SharedTries
from vestibule.store.memory import Store

SHA = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="  # correct horse
FILE = PasswordFile(name="htpasswd:/users", text=Secret(f"ann:{SHA}\nStra\u00dfe:{SHA}\n"))
HOST = host_of(Accepted(passwords=FILE))


class World:
    def __init__(self, tries: Any = None, changes: Any = None) -> None:
        self.clock = Clock()
        self.known = Known()
        self.files = PasswordFiles([FILE], KeyRing((Key("k1", b"1" * 32),)), Log(io.StringIO()))
        self.tried: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.passwords = Passwords(
            self.files,
            proofs_of(self.known, self.clock),
            shared=SharedTries(tries) if tries is not None else None,
            changes=changes,
            fits=self.fits,
            now=self.clock.now,
        )

    def fits(self, people: People, user: str, password: Secret, *, salt: bytes) -> Person | None:
        assert threading.current_thread() is not threading.main_thread()
        assert salt
        self.gate.wait(10)
        self.tried.append(user)
        person = people.by_name.get(canonical(user))
        return person if password.reveal() == "correct horse" else None

    async def load(
        self,
        user: str = "ann",
        password: str = "correct horse",
        address: str = "192.0.2.1",
        host: Host = HOST,
    ) -> Caller:
        authorization = basic(user, password)
        assert self.passwords.takes(host, authorization)
        return await self.passwords.load(host, authorization, address, self.clock.now())

    async def refused(self, user: str = "ann", password: str = "wrong", **more: Any) -> CredentialRefused:
        with pytest.raises(CredentialRefused) as told:
            await self.load(user, password, **more)
        return told.value


@pytest.fixture
def world():
    world = World()
    yield world
    world.gate.set()
    world.passwords.close()


@pytest.mark.parametrize(
    ("host", "authorization", "taken"),
    [
        pytest.param(HOST, basic("ann", "x"), True, id="user and password"),
        pytest.param(HOST, b"basic !!!", True, id="what can't be read"),
        pytest.param(HOST, bearer("x"), False, id="Bearer"),
        pytest.param(HOST, b"", False, id="nothing"),
        pytest.param(host_of(NOTHING), basic("ann", "x"), False, id="host without passwords"),
    ],
)
def test_what_is_taken(world: World, host: Host, authorization: bytes, taken: bool):
    assert world.passwords.takes(host, authorization) is taken


async def test_the_right_password_says_who_comes(world: World):
    caller = await world.load()
    (identity,) = caller.identities
    assert (caller.kind, caller.id, caller.scopes, caller.expires_at) == ("basic", "ann", frozenset(), None)
    assert (identity.client, identity.subject, identity.login) == (FILE.name, "ann", "ann")
    assert "correct horse" not in repr(caller)


@pytest.mark.parametrize("user", ["Ann", "ANN ", " ann", "\uff21nn"])
async def test_cve_2026_47203_every_spelling_of_a_name_is_one_person(world: World, user: str):
    caller = await world.load(user)
    assert caller.identities == (await world.load("ann")).identities


async def test_the_person_here_is_the_one_of_the_form(world: World):
    world.known.add("u1", FILE.name, "strasse")
    assert (await world.load("STRASSE")).user_id == "u1"


async def test_who_is_blocked_here_is_out(world: World):
    world.known.add("u1", FILE.name, "ann")
    world.known.block(FILE.name, "ann")
    with pytest.raises(UserDisabled):
        await world.load()


async def test_the_right_password_costs_one_hash_in_a_minute(world: World):
    for _ in range(10):
        await world.load()
    assert world.tried == ["ann"]


async def test_many_requests_at_a_time_with_the_right_password_are_one_try(world: World):
    found = await asyncio.gather(*(world.load() for _ in range(3 * TRIES_MAX)))
    assert world.tried == ["ann"]
    assert all(caller is found[0] for caller in found)


@pytest.mark.parametrize("authorization", [b"Basic !!!", b"Basic YW5u", b"Basic", b"Basic AAAA"])
async def test_what_cannot_be_read_is_refused(world: World, authorization: bytes):
    with pytest.raises(CredentialRefused) as told:
        await world.passwords.load(HOST, authorization, "192.0.2.1", world.clock.now())
    assert (told.value.status, told.value.code) == (401, "bad_credentials")
    assert world.tried == []


# -- tries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["ann", "nobody", ""])
async def test_o12_a_wrong_password_and_an_unknown_name_are_answered_alike(world: World, user: str):
    error = await world.refused(user)
    assert (error.status, error.code, error.message) == (
        401,
        "bad_credentials",
        "The user name or the password is wrong.",
    )
    assert "wrong" not in error.detail
    assert world.tried == [user]  # each is the work of one hash


@pytest.mark.parametrize("user", ["ann", "nobody"])
async def test_o12_after_so_many_wrong_passwords_nobody_tries_that_name_for_a_while(world: World, user: str):
    for number in range(TRIES_MAX):
        await world.refused(user, address=f"192.0.2.{number}")
    with pytest.raises(TooManyTries) as told:
        await world.load(user, address="198.51.100.1")
    assert (told.value.status, told.value.retry_after_s) == (429, WINDOW_S)
    assert len(world.tried) == TRIES_MAX
    world.clock.move(WINDOW_S)
    await world.refused(user)


async def test_cve_2025_24806_spellings_share_one_count(world: World):
    for spelled in ("ann", "Ann", "ANN", "ann ", " ann", "\uff41nn", "aNN", "anN", "AnN", "aNn"):
        await world.refused(spelled)
    with pytest.raises(TooManyTries):
        await world.load("ann")


async def test_o12_an_address_tries_so_many_names_for_a_while(world: World):
    for number in range(TRIES_FROM_MAX):
        await world.refused(f"user{number}", address=f"2001:db8::{number:x}")
    with pytest.raises(TooManyTries):
        await world.load("ann", address="2001:db8::ffff")
    await world.load("ann", address="2001:db8:0:1::1")


async def test_o12_many_tries_at_a_time_are_many_tries(world: World):
    world.gate.clear()
    tries = [asyncio.create_task(world.load("ann", f"wrong{number}")) for number in range(3 * TRIES_MAX)]
    for _ in range(10):
        await asyncio.sleep(0)
    world.gate.set()
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert len(world.tried) == TRIES_MAX
    assert sum(isinstance(result, TooManyTries) for result in results) == 2 * TRIES_MAX


async def test_who_is_known_goes_on_while_others_try_their_name(world: World):
    await world.load(address="192.0.2.1")
    for number in range(TRIES_MAX):
        await world.refused(password=f"wrong{number}", address="198.51.100.1")
    world.clock.move(61)
    await world.load(address="192.0.2.1")


async def test_work_that_nobody_can_do_in_time_is_sent_away(world: World):
    world.gate.clear()
    tries = [
        asyncio.create_task(world.load(f"user{number}", "wrong", address=f"192.0.2.{number}"))
        for number in range(WAITING_MAX)
    ]
    for _ in range(10):
        await asyncio.sleep(0)
    with pytest.raises(TooManyTries):
        await world.load("ann", address="198.51.100.1")
    world.gate.set()
    await asyncio.gather(*tries, return_exceptions=True)
    await world.load("ann", address="198.51.100.1")


async def test_the_real_work_is_done_by_the_real_hash():
    world = World()
    world.passwords = Passwords(world.files, proofs_of(world.known, world.clock), now=world.clock.now)
    await world.load()
    await world.refused()
    world.passwords.close()


# -- two processes -------------------------------------------------------------------------------


class Two:
    """Two processes on one store."""

    def __init__(self) -> None:
        self.changes = Heartbeats()
        self.away = Away(Store().tries)
        self.worlds = World(self.away, self.changes), World(self.away, self.changes)

    def close(self) -> None:
        for world in self.worlds:
            world.passwords.close()


@pytest.fixture
def two():
    two = Two()
    yield two
    two.close()


async def test_wrong_passwords_spread_over_two_processes_lock_once(two: Two):
    one, other = two.worlds
    for number in range(TRIES_MAX):
        await (one, other)[number % 2].refused("aNN" if number % 3 else "ann", address=f"192.0.2.{number}")
    for world in two.worlds:
        with pytest.raises(TooManyTries) as told:
            await world.load("ann", address="198.51.100.1")
        assert told.value.retry_after_s == WINDOW_S
        assert len(world.tried) == TRIES_MAX / 2
    for world in two.worlds:
        world.clock.move(WINDOW_S)
        await world.load("ann", address="198.51.100.1")


async def test_who_is_refused_because_of_others_has_not_tried(two: Two):
    one, other = two.worlds
    for number in range(TRIES_MAX):
        await one.refused(address=f"192.0.2.{number}")
    for _ in range(2 * TRIES_MAX):
        with pytest.raises(TooManyTries):
            await other.load("ann", "wrong", address="198.51.100.1")
    other.clock.move(WINDOW_S)
    assert other.tried == []
    await other.load("ann", address="198.51.100.1")


async def test_many_tries_at_a_time_at_two_processes_are_many_tries(two: Two):
    for world in two.worlds:
        world.gate.clear()
    tries = [
        asyncio.create_task(world.load("ann", f"wrong{number}", address=f"192.0.2.{number}"))
        for number in range(2 * TRIES_MAX)
        for world in two.worlds
    ]
    for _ in range(10):
        await asyncio.sleep(0)
    for world in two.worlds:
        world.gate.set()
    await asyncio.gather(*tries, return_exceptions=True)
    tried = sum(len(world.tried) for world in two.worlds)
    assert TRIES_MAX <= tried < TRIES_MAX + 2 * THREADS


async def test_who_is_known_at_one_process_goes_on_at_the_other_while_somebody_tries_their_name(two: Two):
    one, other = two.worlds
    await one.load(address="192.0.2.1")
    for number in range(TRIES_MAX):
        await one.refused(password=f"wrong{number}", address="198.51.100.1")
    await other.load(address="192.0.2.1")
    with pytest.raises(TooManyTries):
        await other.load("ann", "wrong", address="192.0.2.2")


async def test_a_store_that_is_away_keeps_nobody_out_and_gives_nobody_more_tries(two: Two):
    one, other = two.worlds
    two.away.is_away = True
    for number in range(TRIES_MAX):
        await one.refused(address=f"203.0.113.{number}")
    with pytest.raises(TooManyTries):
        await one.load(address="198.51.100.1")
    await other.load(address="198.51.100.1")


async def test_only_what_fails_is_written(two: Two):
    one, _ = two.worlds
    await one.load()
    assert set(two.away.calls) <= {"count"}
    await one.refused("bob")
    assert two.away.calls.count("add") == 2
