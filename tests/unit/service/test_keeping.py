"""Sessions as long as those who have a say in them want: kept where the person asks, and no more than one may have."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Clock, Heartbeats
from tests.unit.service.test_signin import Browser, World
from vestibule.core.lifetimes import Lifetimes, bound, shortest
from vestibule.model import Identity
from vestibule.service.arrival import Arrivals
from vestibule.service.sessions import Sessions
from vestibule.store.memory import Store

DAY = 86400.0
TOP = Lifetimes(remember_s=30 * DAY, sessions_max=3)
SHORT = bound(idle_s=None, absolute_s=3600.0, remember_s=None)


@pytest.fixture
def world(clock: Clock, store: Store, changes: Heartbeats) -> World:
    world = World(clock, store, changes)
    world.sessions = Sessions(
        store.sessions, changes, now=clock.now, mono=clock.mono, random=world.dice.randbytes, lifetimes=TOP
    )
    world.signin = world.process()
    world.host = replace(
        world.host, span=TOP.span, spans={"github": shortest(TOP.span, SHORT)}, kept_claims=()
    )
    return world


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world)


async def cookie_of(browser: Browser, client: str = "google", who: str = "alice", **hints: str) -> str:
    finished = await browser.finish(await browser.begin(client, **hints), who, client)
    return next(line for line in finished.set_cookies if line.startswith("__Host-vestibule="))


@pytest.mark.parametrize("said", ["1", "yes", "true", "on", "ON"])
async def test_who_asks_is_kept_signed_in(world: World, browser: Browser, said: str) -> None:
    assert f"Max-Age={30 * 86400};" in await cookie_of(browser, remember=said)
    session = await browser.session()
    assert (session.is_remembered, session.expires_at - world.clock.now(), session.idle_s) == (
        True,
        30 * DAY,
        30 * DAY,
    )
    world.clock.move(20 * DAY)
    assert await browser.has_session()


@pytest.mark.parametrize("hints", [{}, {"remember": ""}, {"remember": "no"}, {"remember": "0"}])
async def test_who_does_not_ask_loses_it_with_the_browser(browser: Browser, hints: dict[str, str]) -> None:
    assert "Max-Age" not in await cookie_of(browser, **hints)
    session = await browser.session()
    assert (session.is_remembered, session.idle_s) == (False, DAY)


async def test_where_nobody_is_asked_it_is_as_it_was(clock: Clock, store: Store, changes: Heartbeats) -> None:
    browser = Browser(World(clock, store, changes))
    assert f"Max-Age={7 * 86400};" in await cookie_of(browser, remember="1")
    assert not (await browser.session()).is_remembered


async def test_a_provider_that_wants_short_sessions_gets_them(world: World, browser: Browser) -> None:
    await cookie_of(browser, "github")
    assert (await browser.session()).expires_at == world.clock.now() + 3600.0
    # It says nothing of kept ones, so what it says holds for those, too.
    other = Browser(world)
    assert "Max-Age=3600;" in await cookie_of(other, "github", remember="1")


async def test_the_wish_comes_with_a_later_sign_in_and_stays(world: World, browser: Browser) -> None:
    await cookie_of(browser)
    world.clock.move(3600.0)
    assert "Max-Age" in await cookie_of(browser, remember="1")
    ends = (await browser.session()).expires_at
    world.clock.move(3600.0)
    assert "Max-Age" in await cookie_of(browser)
    assert (await browser.session()).expires_at == ends


async def test_by_one_provider_nobody_is_kept_for_longer_than_another_one_said(
    world: World, browser: Browser
) -> None:
    await cookie_of(browser, "github", remember="1")
    session = await browser.session()
    # The same person, by Google, too: as when an account was linked.
    google = Identity(client="google", issuer="https://op.example", subject="alice")
    await world.people.link(session.user_id, google, world.clock.now())
    both = (*session.identities, google)
    await world.sessions.update(session.id, lambda one: replace(one, identities=both))
    for _ in range(3):
        world.clock.move(1000.0)
        await cookie_of(browser, "google", remember="1")
        again = await browser.session()
        assert (again.id, len(again.identities), again.expires_at) == (session.id, 2, session.expires_at)
    await cookie_of(browser, "github", remember="1")
    assert (await browser.session()).expires_at == world.clock.now() + 3600.0


async def test_no_wish_can_be_written_into_the_flows_cookie(world: World, browser: Browser) -> None:
    state = await browser.begin()
    (name,) = browser.flow_cookies
    payload, _, mac = browser.cookies[name].partition(".")
    browser.cookies[name] = f"{payload[:-8]}dHJ1ZV0.{mac}"
    with pytest.raises(Exception, match="another browser"):
        await browser.finish(state)


# -- no more than a person may have -----------------------------------------------------------


async def signed_in(world: World, count: int, who: str = "alice") -> list[Browser]:
    browsers = []
    for _ in range(count):
        browser = Browser(world)
        await browser.sign_in(who)
        browsers.append(browser)
        world.clock.move(60.0)
    return browsers


async def live(browsers: list[Browser]) -> list[bool]:
    return [await one.has_session() for one in browsers]


async def test_one_too_many_ends_the_one_that_was_unused_for_longest(world: World) -> None:
    browsers = await signed_in(world, 3)
    bob = (await signed_in(world, 1, "bob"))[0]
    world.sessions.touch(await browsers[0].session(), world.clock.now())  # it stands in the store later
    browsers += await signed_in(world, 1)
    assert await live(browsers) == [True, False, True, True]
    assert await bob.has_session()
    assert world.ops["google"].revoked == ["google-alice-2"]


async def test_what_is_handed_on_is_not_counted_and_goes_with_its_parent(world: World) -> None:
    (first,) = await signed_in(world, 1)
    parent, now = await first.session(), world.clock.now()
    for name in ("a.test", "b.test", "c.test", "d.test"):
        handed = await world.sessions.hand_on(parent, host=name, device=parent.device, now=now)
        assert handed is not None
    assert len(await world.sessions.of_user(parent.user_id)) == 5
    browsers = [first, *await signed_in(world, 2)]
    assert await live(browsers) == [True, True, True]
    await signed_in(world, 1)
    assert not await first.has_session()
    assert len(await world.sessions.of_user(parent.user_id)) == 3


async def test_signing_in_again_in_one_browser_ends_nothing(world: World) -> None:
    browsers = await signed_in(world, 3)
    for _ in range(3):
        await browsers[0].sign_in()
    assert await live(browsers) == [True, True, True]


async def test_of_two_at_once_the_next_sign_in_leaves_what_may_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose count was taken before another was stored is one over, until the next."""
    browsers = await signed_in(world, 3)

    async def nothing(*_: object) -> None:
        return None

    with monkeypatch.context() as at_once:
        at_once.setattr(Arrivals, "_end_surplus", nothing)
        browsers += await signed_in(world, 2)
    assert sum(await live(browsers)) == 5
    browsers += await signed_in(world, 1)
    assert await live(browsers) == [False, False, False, True, True, True]


async def test_without_a_bound_there_is_any_number(clock: Clock, store: Store, changes: Heartbeats) -> None:
    world = World(clock, store, changes)
    assert all(await live(await signed_in(world, 20)))
