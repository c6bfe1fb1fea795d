"""Programs without a browser: who is let in by a code, for how long a yes is good, and how many guesses there are."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Alone, Clock
from vestibule.core.app import App, Apps
from vestibule.core.route import Host, RouteTable, site_of
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import TooManyTries
from vestibule.model import Account, Device, Identity, Session, User
from vestibule.observe.log import Log
from vestibule.protocol.authorization_server import OAuthError
from vestibule.service import device_flow
from vestibule.service.authorizing import Authorizing
from vestibule.service.device_flow import (
    CHOSEN_MAX,
    CHOSEN_WINDOW_S,
    WINDOW_S,
    WRONG_FROM_MAX,
    WRONG_IN_ALL_MAX,
    WRONG_MAX,
    DeviceFlow,
)
from vestibule.service.issuing import Issuing
from vestibule.service.locker import Locker
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.service.tries import SharedTries
from vestibule.service.visit import Visit

NAME = "app.example.com"
HOST = Host(name=NAME.encode(), title="App", clients={}, sign_in=("op",))
RING = KeyRing((Key("k1", b"1" * 32),))
CLI = App(id="cli", hosts=(NAME,), grants=frozenset({"device", "refresh"}), scopes=("read",))
TERMINAL = Device(user_agent="cli/1", address="192.0.2.9")
CODE = "A1B2-C3D4"
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"


class World:
    """One process, its clock, and whoever signs in there."""

    def __init__(self, store: Any, changes: Any, clock: Clock, tries: Any = None) -> None:
        self.clock = clock
        self.people = store.people
        self.sessions = Sessions(store.sessions, changes, now=clock.now, mono=clock.mono)
        nothing: Any = SimpleNamespace()
        rechecks = Rechecks(self.sessions, nothing, changes, nothing, Log(io.StringIO()), now=clock.now)
        issuing = Issuing(Apps.of((CLI,)), self.sessions, rechecks, RING, nothing)
        locker = Locker(store.parking, RING)
        authorizing = Authorizing(issuing, self.sessions, locker, RING, lambda: RouteTable((HOST,)))
        self.flow = DeviceFlow(authorizing, store.parking, locker, RING, SharedTries(tries or store.tries))

    async def browser(self, user_id: str = "alice") -> Session:
        if await self.people.user(user_id) is None:
            account = Account(issuer="https://op.example", subject=user_id, user_id=user_id, client="op")
            await self.people.register(User(id=user_id, created_at=0.0), account)
        session, _ = await self.sessions.start(
            host=NAME,
            user_id=user_id,
            identities=(Identity(client="op", issuer="https://op.example", subject=user_id),),
            clients=(),
            device=Device(),
            now=self.clock.now(),
        )
        return session

    def visit(self, session: Session | None = None, address: str = HERE) -> Visit:
        return Visit(
            host=HOST,
            site=site_of(HOST, "https", 443),
            session=session,
            address=address,
            user_agent="Browser/1",
            request_id="r",
            now=self.clock.now(),
            cookies={},
        )

    async def begun(self, address: str = HERE) -> device_flow.Begun:
        return await self.flow.begin(
            self.visit(address=address), CLI, scopes=(), resource="", device=TERMINAL
        )

    async def answered(self, session: Session, code: str, *, is_yes: bool = True) -> None:
        found = await self.flow.found(self.visit(session), code)
        assert found is not None
        await self.flow.answer(self.visit(session), found[3], is_yes=is_yes)

    async def polled(self, begun: device_flow.Begun) -> Any:
        return await self.flow.poll(CLI, begun.device_code, device=TERMINAL, now=self.clock.now())

    async def asked(self, code: str = CODE, address: str = HERE) -> Any:
        return await self.flow.poll_chosen(self.visit(address=address), CLI, code, device=TERMINAL)

    async def guess(self, number: int, session: Session, address: str) -> str:
        """`wrong` or `slowed`."""
        text = "".join("BCDFGHJKLMNPQRSTVWXZ"[number // 20**place % 20] for place in range(8))
        try:
            found = await self.flow.found(self.visit(session, address), text)
        except TooManyTries:
            return "slowed"
        assert found is None
        return "wrong"


@pytest.fixture
def world(store, changes, clock) -> World:
    return World(store, changes, clock)


@pytest.fixture
def alone(store, changes, clock) -> World:
    """Where only what this process counts is known, and others come while the store is asked."""
    return World(store, changes, clock, Alone())


async def refused(work: Awaitable[Any]) -> str:
    """The code of the refusal."""
    with pytest.raises(OAuthError) as caught:
        await work
    return caught.value.code


# -- a yes, and for how long it is good -------------------------------------------------------------


async def test_a_yes_lets_the_program_in_as_the_person_is_now(world):
    told, browser = await world.begun(), await world.browser()
    await world.answered(browser, told.user_code)
    issued = await world.polled(told)
    assert (issued.session.user_id, issued.session.app) == ("alice", "cli")
    assert issued.session.signed_in_at == browser.signed_in_at


async def signed_out(world: World, session: Session) -> None:
    await world.sessions.end(session.id)


async def signed_out_everywhere(world: World, session: Session) -> None:
    await world.sessions.end_of(session.user_id)


async def become_another(world: World, session: Session) -> None:
    other = await world.browser("mallory")
    await world.sessions.renew(session, lambda one: replace(one, user_id=other.user_id))


@pytest.mark.parametrize("meanwhile", [signed_out, signed_out_everywhere, become_another])
async def test_a_yes_ends_with_the_session_it_was_said_in(world, meanwhile):
    told, browser = await world.begun(), await world.browser()
    await world.answered(browser, told.user_code)
    await meanwhile(world, browser)
    assert await refused(world.polled(told)) == "access_denied"
    found = [*await world.sessions.of_user("alice"), *await world.sessions.of_user("mallory")]
    assert [one for one in found if one.app] == []


# -- how many codes are begun -----------------------------------------------------------------------


async def test_one_network_begins_so_many_codes_at_once_or_not(alone):
    many = device_flow.BEGUN_FROM_MAX
    done = await asyncio.gather(*(alone.begun() for _ in range(many + 20)), return_exceptions=True)
    assert [type(one).__name__ for one in done] == ["Begun"] * many + ["OAuthError"] * 20
    assert await refused(alone.begun()) == "slow_down"
    await alone.begun(ELSEWHERE)
    alone.clock.move(WINDOW_S)
    await alone.begun()


@pytest.mark.parametrize("is_shared", [False, True], ids=["one process", "another process"])
async def test_so_many_codes_are_begun_in_all(store, changes, clock, monkeypatch, is_shared):
    monkeypatch.setattr(device_flow, "BEGUN_IN_ALL_MAX", 30)
    world = World(store, changes, clock, None if is_shared else Alone())
    for number in range(30):
        await world.begun(f"2001:db8:0:{number:x}::1")
        clock.move(1)
    last = World(store, changes, clock) if is_shared else world
    assert await refused(last.begun("2001:db8:0:ffff::1")) == "slow_down"
    clock.move(WINDOW_S)
    await last.begun("2001:db8:0:ffff::1")


# -- how many guesses there are ---------------------------------------------------------------------


async def test_ten_thousand_guesses_from_a_hundred_addresses_at_once_find_nothing_and_are_slowed(alone):
    _, browser = await alone.begun(), await alone.browser()
    people = [replace(browser, id=f"s{number}", user_id=f"u{number}") for number in range(500)]
    done = await asyncio.gather(
        *(alone.guess(number, people[number % 500], f"203.0.113.{number % 100}") for number in range(10_000))
    )
    assert done.count("wrong") == WRONG_IN_ALL_MAX
    assert done.count("slowed") == 10_000 - WRONG_IN_ALL_MAX
    alone.clock.move(WINDOW_S - 1)
    assert await alone.guess(1, browser, HERE) == "slowed"
    alone.clock.move(2)
    assert await alone.guess(1, browser, HERE) == "wrong"


@pytest.mark.parametrize(
    ("people", "addresses", "most"),
    [(1, 50, WRONG_MAX), (50, 1, WRONG_FROM_MAX)],
    ids=["one person", "one address"],
)
async def test_guesses_at_once_are_as_few_as_one_by_one(alone, people, addresses, most):
    browser = await alone.browser()
    done = await asyncio.gather(
        *(
            alone.guess(
                number, replace(browser, user_id=f"u{number % people}"), f"203.0.113.{number % addresses}"
            )
            for number in range(50)
        )
    )
    assert done.count("wrong") == most


async def test_a_right_code_counts_as_no_guess(world):
    browser = await world.browser()
    for _ in range(WRONG_MAX + 1):
        await world.answered(browser, (await world.begun()).user_code)
    for number in range(WRONG_MAX):
        assert await world.guess(number, browser, HERE) == "wrong"
    assert await world.guess(WRONG_MAX, browser, HERE) == "slowed"


# -- a code that the program chose ------------------------------------------------------------------


@pytest.mark.parametrize("code", ["", "a1b2-c3d4", "A1B2C3D4", "A1B2-C3D", "A1B2-C3D4\n", "Ä1B2-C3D4"])
async def test_what_is_no_chosen_code_begins_nothing(world, code):
    assert await refused(world.asked(code)) == "invalid_grant"


async def test_the_first_question_begins_it_and_its_network_alone_is_answered(world):
    browser = await world.browser()
    assert await refused(world.asked()) == "authorization_pending"
    assert await refused(world.asked(address=ELSEWHERE)) == "authorization_pending"
    await world.answered(browser, CODE)
    assert await refused(world.asked(address=ELSEWHERE)) == "authorization_pending"
    issued = await world.asked()
    assert (issued.session.user_id, issued.session.scopes) == ("alice", ("read",))
    assert await refused(world.asked()) == "access_denied"


async def test_a_no_is_a_no_however_often_it_is_asked(world):
    browser = await world.browser()
    assert await refused(world.asked()) == "authorization_pending"
    await world.answered(browser, CODE, is_yes=False)
    assert await refused(world.asked()) == "access_denied"
    assert await refused(world.asked()) == "access_denied"
    assert await world.flow.found(world.visit(browser), CODE) is None


async def test_who_chose_a_code_and_asks_without_end_is_told_to_wait_and_nothing_is_looked_at(
    world, store, monkeypatch
):
    for _ in range(CHOSEN_MAX):
        assert await refused(world.asked()) == "authorization_pending"
    await world.answered(await world.browser(), CODE)

    async def parked(*_asked: Any) -> None:
        raise AssertionError("the store was asked")

    with monkeypatch.context() as patched:
        patched.setattr(store.parking, "parked", parked)
        for _ in range(1000):
            assert await refused(world.asked()) == "authorization_pending"
    world.clock.move(CHOSEN_WINDOW_S)
    assert (await world.asked()).session.user_id == "alice"
