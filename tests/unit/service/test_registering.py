"""A newcomer between the callback and the form; answers that come by form."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Clock, Heartbeats
from tests.unit.service.test_signin import Browser, Stuck, World
from vestibule.core.registration import Filled, Rules
from vestibule.errors import ClientError, Crowded, FlowError, ProviderRefused, UserDisabled
from vestibule.service.crowd import WAIT_S
from vestibule.service.posted import ANSWER_MAX_CHARS, PARKED, POSTED_MAX, POSTED_S
from vestibule.service.registering import REGISTER_S
from vestibule.store.memory import Store

FORM = Filled(name="Alice Liddell", login="", profile={"company": "ACME"})


@pytest.fixture
def world(clock: Clock, store: Store, changes: Heartbeats) -> World:
    world = World(clock, store, changes)
    world.people.use(Rules(registration="form"))
    return world


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world)


async def come(browser: Browser, who: str = "alice") -> Any:
    return await browser.finish(await browser.begin(rd="/deep"), who)


async def register(browser: Browser, form: Filled = FORM) -> Any:
    finished = await browser.world.signin.register(await browser.visit(), form)
    browser.take(finished.set_cookies)
    return finished


async def fails(call: Any) -> str:
    with pytest.raises(ClientError) as caught:
        await call
    return caught.value.code


async def test_a_newcomer_is_led_to_the_form_and_nothing_is_kept_of_them(
    world: World, browser: Browser
) -> None:
    finished = await come(browser)
    assert (finished.location, finished.session) == ("/@/account/register", None)
    assert browser.flow_cookies == []
    assert not await browser.has_session()
    assert world.store.people.kept == {}
    assert world.store.sessions._kept == {}
    newcomer = await world.signin.registrations.newcomer(await browser.visit())
    assert (newcomer.identity.subject, newcomer.kind) == ("alice", "oidc")


async def test_the_form_makes_account_and_session_at_the_destination(world: World, browser: Browser) -> None:
    await come(browser)
    finished = await register(browser)
    session = await browser.session()
    assert (finished.location, finished.session) == ("/deep", session)
    user = await world.people.user(session.user_id)
    assert (user.name, user.profile["company"]) == ("Alice Liddell", "ACME")
    assert session.identities[0].name == "Alice Liddell"
    assert session.identities[0].login == ""
    assert await world.tokens(session, "google") == "google-alice-1"
    assert set(browser.cookies) == {browser.site.cookie}


async def test_whoever_is_known_sees_no_form(world: World, browser: Browser) -> None:
    await come(browser)
    await register(browser)
    other = Browser(world)
    assert (await come(other)).location == "/deep"
    assert (await other.session()).user_id == (await browser.session()).user_id


async def test_the_form_is_good_once(world: World, browser: Browser) -> None:
    await come(browser)
    kept = dict(browser.cookies)
    await register(browser)
    for cookies in (kept, browser.cookies):
        visit = await browser.visit(cookies)
        assert await fails(world.signin.register(visit, FORM)) == "registration_expired"
    assert len(world.store.people.kept) == 1


async def test_of_forms_that_come_at_once_one_makes_the_account(world: World, browser: Browser) -> None:
    await come(browser)
    visits = [await browser.visit() for _ in range(5)]
    results = await asyncio.gather(
        *(world.signin.register(visit, FORM) for visit in visits), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["ClientError"] * 4 + ["Finished"]
    assert len(world.store.people.kept) == len(world.store.sessions._kept) == 1


async def test_who_has_sent_the_form_is_of_the_crowd_and_who_is_led_to_it_says_nothing_of_it(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat: newcomers, who write nothing until the form is there, hide how long it takes the others."""
    monkeypatch.setattr("vestibule.service.crowd.FEW", 0)
    stuck, other = Stuck(world), Browser(world)
    await come(browser)
    state = await other.begin()
    registering = asyncio.create_task(register(browser))
    await stuck.waiting.acquire()
    stuck.now_mono += 2 * WAIT_S
    assert (await other.finish(state, "bob")).location == "/@/account/register"
    await Browser(world).begin()  # one a second may
    with pytest.raises(Crowded):
        await Browser(world).begin()
    stuck.gate.set()
    assert (await registering).session is not None


async def test_the_form_waits_a_quarter_of_an_hour(world: World, browser: Browser, clock: Clock) -> None:
    await come(browser)
    clock.move(REGISTER_S)
    assert await fails(world.signin.registrations.newcomer(await browser.visit())) == "registration_expired"
    assert await fails(world.signin.register(await browser.visit(), FORM)) == "registration_expired"


async def test_without_its_cookie_nobody_registers(world: World, browser: Browser) -> None:
    await come(browser)
    assert await fails(world.signin.register(await Browser(world).visit(), FORM)) == "registration_expired"


async def test_the_cookie_is_good_on_its_own_host_only(world: World, browser: Browser) -> None:
    await come(browser)
    visit = await browser.visit()
    elsewhere = replace(visit, host=replace(visit.host, name=b"b.example"))
    assert await fails(world.signin.register(elsewhere, FORM)) == "registration_expired"
    await register(browser)


async def test_a_client_that_no_longer_signs_people_in_registers_nobody(
    world: World, browser: Browser
) -> None:
    await come(browser)
    visit = await browser.visit()
    other = replace(visit, host=replace(visit.host, sign_in=("github",)))
    assert await fails(world.signin.register(other, FORM)) == "registration_expired"


async def test_rules_that_changed_meanwhile_hold_and_the_tokens_go_back(
    world: World, browser: Browser
) -> None:
    await come(browser)
    world.people.use(Rules(registration="closed"))
    assert await fails(world.signin.register(await browser.visit(), FORM)) == "registration_closed"
    await world.signin.close()
    assert world.ops["google"].revoked == ["google-alice-1"]
    assert world.store.people.kept == {}


async def test_cancelling_forgets_and_gives_the_tokens_back(world: World, browser: Browser) -> None:
    await come(browser)
    browser.take(await world.signin.cancel_registration(await browser.visit()))
    await world.signin.close()
    assert browser.cookies == {}
    assert world.ops["google"].revoked == ["google-alice-1"]
    assert "registration" not in repr(world.store.parking.__dict__)


async def test_who_is_signed_in_stays_so_until_the_form_is_sent(world: World, browser: Browser) -> None:
    await come(browser)
    await register(browser)
    alice = await browser.session()
    await come(browser, "bob")
    assert await browser.session() == alice
    await register(browser, Filled(name="Bob", login="", profile={}))
    bob = await browser.session()
    assert bob.user_id != alice.user_id
    assert await world.sessions.by_id(alice.id) is None


async def test_somebody_blocked_between_two_forms_stays_out(world: World, browser: Browser) -> None:
    other = Browser(world)
    await come(browser)
    await come(other)
    await register(browser)
    user = (await browser.session()).user_id
    await world.people.set_disabled(user, True, world.clock.now())
    with pytest.raises(UserDisabled):
        await world.signin.register(await other.visit(), FORM)


async def test_no_token_and_no_name_stands_open_in_the_store(world: World, browser: Browser) -> None:
    await come(browser)
    kept = repr(world.store.parking.__dict__)
    assert "google-alice" not in kept
    assert "alice" not in kept


# Answers by form


@pytest.fixture
def open_world(world: World) -> World:
    world.people.use(Rules())
    return world


async def park(world: World, state: str, client: str = "google", **params: str) -> str:
    """An answer posted by the provider: no cookie comes with it. The key it was parked under."""
    sent = {"state": state, "code": "alice", **params}
    location = await world.signin.park_answer(await Browser(world).visit(), client, sent)
    path, _, query = location.partition("?")
    assert path == f"/@{client}/callback"
    key, _, rest = query.removeprefix(f"{PARKED}=").partition("&")
    assert rest == f"state={state}"
    return key


async def take(browser: Browser, state: str, key: str, client: str = "google") -> Any:
    visit = await browser.visit()
    finished = await browser.world.signin.finish(visit, client, {"state": state, PARKED: key})
    browser.take(finished.set_cookies)
    return finished


async def test_an_answer_by_form_is_finished_by_the_browser_that_began(
    open_world: World, browser: Browser
) -> None:
    state = await browser.begin(rd="/deep")
    key = await park(open_world, state, user='{"name": "x"}')
    assert open_world.ops["google"].finished == []
    assert (await take(browser, state, key)).location == "/deep"
    assert open_world.ops["google"].finished[0].params["user"] == '{"name": "x"}'
    assert await browser.has_session()


async def test_a_providers_error_by_form_is_an_error(open_world: World, browser: Browser) -> None:
    state = await browser.begin()
    key = await park(open_world, state, error="access_denied")
    with pytest.raises(ProviderRefused):
        await take(browser, state, key)


@pytest.mark.parametrize("state", ["", "x", "A" * 71])
async def test_without_a_state_of_ours_nothing_is_parked(open_world: World, state: str) -> None:
    before = repr(open_world.store.parking.__dict__)
    assert await fails(park(open_world, state)) == "flow_unknown"
    assert repr(open_world.store.parking.__dict__) == before


async def test_nobody_fills_the_store_with_answers(open_world: World, browser: Browser) -> None:
    """Anybody can get a state, and post to it as often as they like, from any machine."""
    state = await browser.begin()
    assert await fails(park(open_world, state, x="y" * ANSWER_MAX_CHARS)) == "body_too_large"
    for _ in range(POSTED_MAX):
        key = await park(open_world, state)
    before = repr(open_world.store.parking.__dict__)
    assert await fails(park(open_world, state)) == "too_many_tries"
    assert repr(open_world.store.parking.__dict__) == before
    # What came in time is taken, and after a minute there is room again.
    assert (await take(browser, state, key)).location == "/home"
    open_world.clock.move(POSTED_S)
    await park(open_world, await browser.begin())


async def test_many_addresses_of_one_network_are_one_address(open_world: World, browser: Browser) -> None:
    sent, visit = {"state": await browser.begin(), "code": "alice"}, await browser.visit()
    for number in range(POSTED_MAX):
        await open_world.signin.park_answer(replace(visit, address=f"2001:db8::{number:x}"), "google", sent)
    neighbour = replace(visit, address="2001:db8::ffff")
    assert await fails(open_world.signin.park_answer(neighbour, "google", sent)) == "too_many_tries"
    await open_world.signin.park_answer(replace(visit, address="2001:db8:0:1::1"), "google", sent)


async def test_another_clients_state_parks_nothing(open_world: World, browser: Browser) -> None:
    state = await browser.begin()
    assert await fails(park(open_world, state, "github")) == "flow_unknown"


async def test_a_state_that_is_too_old_parks_nothing(
    open_world: World, browser: Browser, clock: Clock
) -> None:
    state = await browser.begin()
    clock.move(601)
    assert await fails(park(open_world, state)) == "flow_expired"


async def test_another_browser_takes_nothing_and_spoils_nothing(open_world: World, browser: Browser) -> None:
    """Threat: login CSRF: somebody's parked answer in the victim's browser, or the victim's in theirs."""
    state = await browser.begin()
    key = await park(open_world, state)
    assert await fails(take(Browser(open_world), state, key)) == "flow_other_browser"
    victim = Browser(open_world)
    victims = await victim.begin()
    assert await fails(take(victim, victims, key)) == "flow_expired"
    assert not await victim.has_session()
    await take(browser, state, key)
    assert await browser.has_session()


async def test_a_parked_answer_is_taken_once_and_soon(
    open_world: World, browser: Browser, clock: Clock
) -> None:
    state, other = await browser.begin(), await browser.begin()
    key = await park(open_world, state)
    late = await park(open_world, other)
    await take(browser, state, key)
    assert (await take(browser, state, key)).location == "/home"  # the same browser: where it led
    stranger = Browser(open_world)
    with pytest.raises(FlowError):
        await take(stranger, state, key)
    clock.move(POSTED_S)
    assert await fails(take(browser, other, late)) == "flow_expired"


@pytest.mark.parametrize("key", ["", "A" * 43, "x"])
async def test_a_key_that_was_guessed_finishes_nothing_and_the_true_one_still_does(
    open_world: World, browser: Browser, key: str
) -> None:
    state = await browser.begin()
    parked = await park(open_world, state)
    assert await fails(take(browser, state, key)) == "flow_expired"
    await take(browser, state, parked)
    assert await browser.has_session()
