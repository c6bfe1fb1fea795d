"""How old a sign-in may be where somebody goes: by the route, by whoever leads them, and never by leaving it out."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Clock, Heartbeats
from tests.unit.service.test_signin import Browser, World
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, routes_of
from vestibule.core.rule import rule
from vestibule.service import freshness
from vestibule.store.memory import Store

HOUR = 3600.0


def asking(host: Host) -> Host:
    """The host with a route that asks for a sign-in of the last hour."""

    def route(prefix: bytes, age_s: float) -> Route:
        policy = policy_of(allow=(rule("anyone"),), sign_in=frozenset(host.sign_in), max_age_s=age_s)
        return Route(prefix=prefix, backend=Backend(internal="echo"), policy=policy)

    routes, depth = routes_of((route(b"", 0.0), route(b"/pay", HOUR)))
    return replace(host, routes=routes, depth=depth, asks_when=True)


@pytest.fixture
def world(clock: Clock, store: Store, changes: Heartbeats) -> World:
    world = World(clock, store, changes)
    world.host = asking(world.host)
    return world


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world)


WANTED = {
    "a route that asks": ("/pay/x?y=1", {}, "3600"),
    "a route that asks, and less": ("/pay", {"max_age": "60"}, "60"),
    "a route that asks, and more": ("/pay", {"max_age": "99999"}, "3600"),
    "another spelling of it": ("/x/../pay", {}, "3600"),
    "another route": ("/", {}, None),
    "another route, and some": ("/", {"max_age": "0"}, "0"),
    "a path of the gateway's own": ("/@/account", {}, None),
    "no number": ("/", {"max_age": "1h"}, None),
    "a negative one": ("/", {"max_age": "-1"}, None),
    "other digits": ("/", {"max_age": "\u0663"}, None),
    "a huge one": ("/", {"max_age": "9" * 20}, None),
    "no path": ("", {}, None),
    "what is no path": ("/%zz", {}, None),
}


@pytest.mark.parametrize(("rd", "hints", "age"), WANTED.values(), ids=list(WANTED))
def test_what_is_asked_for_on_the_way_to_an_address(
    world: World, rd: str, hints: dict[str, str], age: str | None
) -> None:
    found = freshness.wanting(world.host, rd, {**hints, "login_hint": "al"})
    assert found == {"login_hint": "al", **({} if age is None else {"max_age": age})}


async def test_a_host_that_asks_has_every_sign_in_proven(world: World, browser: Browser) -> None:
    """Threat: who leaves the question out of the address, and comes back by a session the provider had."""
    await browser.finish(await browser.begin(rd="/"))
    start, answer = world.ops["google"].started[0], world.ops["google"].finished[0]
    assert start.max_age_s == answer.max_age_s == freshness.ANY_AGE_S
    assert "prompt" not in start.hints


async def test_one_that_does_not_ask_asks_no_provider(world: World, browser: Browser) -> None:
    world.host = replace(world.host, asks_when=False)
    await browser.begin(rd="/pay")
    assert world.ops["google"].started[0].max_age_s is None


async def test_who_is_here_for_too_long_proves_it_anew(world: World, browser: Browser) -> None:
    session = await browser.sign_in()
    world.clock.move(HOUR)
    state = await browser.begin(rd="/pay")
    start = world.ops["google"].started[-1]
    assert (start.max_age_s, start.hints["prompt"]) == (3600, "login")
    finished = await browser.finish(state)
    again = await browser.session()
    assert (finished.location, again.id) == ("/pay", session.id)
    assert again.identities[0].signed_in_at == world.clock.now()


async def test_who_is_nobody_yet_may_come_by_a_fresh_sign_in_of_the_providers(
    world: World, browser: Browser
) -> None:
    await browser.begin(rd="/pay")
    start = world.ops["google"].started[0]
    assert start.max_age_s == 3600
    assert "prompt" not in start.hints


async def test_another_account_at_that_step_ends_the_session(world: World, browser: Browser) -> None:
    session = await browser.sign_in("alice")
    world.clock.move(HOUR)
    await browser.finish(await browser.begin(rd="/pay"), "bob")
    assert (await browser.session()).id != session.id
    assert await world.sessions.by_id(session.id) is None


async def test_an_account_that_only_gives_credentials_makes_nobody_fresh(
    world: World, browser: Browser
) -> None:
    await browser.sign_in("alice")
    world.clock.move(HOUR)
    await browser.finish(await browser.begin("plain"), "alice", "plain")
    session = await browser.session()
    assert not freshness.is_fresh(session, world.host, {"max_age": "3600"}, world.clock.now())


async def test_what_the_provider_proves_counts_not_when_they_came_back(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven_at = world.clock.now() - 600
    _prove(world, monkeypatch, proven_at)
    session = await browser.sign_in()
    assert session.identities[0].signed_in_at == proven_at
    assert session.signed_in_at == world.clock.now()
    # Coming back with an older proof takes nothing away.
    world.clock.move(5.0)
    _prove(world, monkeypatch, proven_at - 600)
    assert (await browser.sign_in()).identities[0].signed_in_at == proven_at


def _prove(world: World, monkeypatch: pytest.MonkeyPatch, at: float) -> None:
    op = world.ops["google"]
    finish = type(op).finish

    def proven(answer):  # type: ignore[no-untyped-def]  # as `Op.finish`
        done = yield from finish(op, answer)
        return replace(done, identity=replace(done.identity, signed_in_at=at))

    monkeypatch.setattr(op, "finish", proven)
