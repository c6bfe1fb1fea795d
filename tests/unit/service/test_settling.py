"""The form of user name and password: who fills it in has a session like any other."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Clock, Heartbeats
from tests.unit.service.test_signin import FILE, Browser, World
from vestibule.core.credential import Accepted
from vestibule.core.lockout import TRIES_MAX
from vestibule.core.registration import Rules
from vestibule.errors import ClientError, CredentialRefused, TooManyTries, UserDisabled
from vestibule.model import Secret
from vestibule.service.outcome import Finished
from vestibule.store.memory import Store


@pytest.fixture
def world(clock: Clock, store: Store, changes: Heartbeats) -> World:
    world = World(clock, store, changes)
    take(world, Accepted(passwords=FILE), (*world.host.sign_in, FILE.name))
    world.rechecks.use({**world.ops, **world.files.providers})
    return world


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world)


def take(world: World, accepted: Accepted, sign_in: tuple[str, ...]) -> None:
    world.host = replace(world.host, accepts=accepted, sign_in=sign_in)


async def fill_in(
    browser: Browser, user: str = "ann", password: str = "correct horse", rd: str = "/deep"
) -> Finished:
    form = browser.world.signin.form
    finished = await form.sign_in(await browser.visit(), user, Secret(password), rd=rd)
    browser.take(finished.set_cookies)
    return finished


async def code(call: Any) -> str:
    with pytest.raises(ClientError) as told:
        await call
    return told.value.code


async def test_who_fills_it_in_has_a_session_at_the_destination(world: World, browser: Browser) -> None:
    finished = await fill_in(browser, " Ann ")
    session = await browser.session()
    (identity,) = session.identities
    assert finished.location == "/deep"
    assert (identity.client, identity.subject, identity.login) == (FILE.name, "ann", "ann")
    assert (session.clients, session.host) == ((), "app.example")
    account = await world.people.account(FILE.name, "ann")
    assert (account.user_id, account.kind) == (session.user_id, "htpasswd")
    assert browser.flow_cookies == []


async def test_it_is_looked_at_again_like_that_of_a_provider_with_restrictions(browser: Browser) -> None:
    await fill_in(browser)
    assert (await browser.session()).check_at > 0


async def test_a_handle_from_before_the_sign_in_dies(world: World, browser: Browser) -> None:
    state = await browser.begin("plain")
    await browser.finish(state, "-", "plain")
    before = browser.handle
    await fill_in(browser)
    assert browser.handle != before
    assert await world.sessions.load(before or "") is None


async def test_another_persons_session_is_replaced(world: World, browser: Browser) -> None:
    await fill_in(browser)
    first = await browser.session()
    await fill_in(browser, "bob")
    second = await browser.session()
    assert [identity.subject for identity in second.identities] == ["bob"]
    assert second.user_id != first.user_id
    assert await world.sessions.by_id(first.id) is None


async def test_signing_in_again_is_the_same_person(browser: Browser) -> None:
    await fill_in(browser)
    first = await browser.session()
    await fill_in(browser, "ANN")
    second = await browser.session()
    assert (second.id, second.user_id) == (first.id, first.user_id)


@pytest.mark.parametrize("user", ["ann", "nobody", "", "a\0"])
async def test_o12_a_wrong_password_and_an_unknown_name_are_refused_alike(
    browser: Browser, user: str
) -> None:
    with pytest.raises(CredentialRefused) as told:
        await fill_in(browser, user, "wrong")
    assert (told.value.code, told.value.message) == (
        "bad_credentials",
        "The user name or the password is wrong.",
    )
    assert not await browser.has_session()


async def test_o12_tries_of_the_form_and_of_requests_are_counted_together(
    world: World, browser: Browser
) -> None:
    for number in range(TRIES_MAX // 2):
        with pytest.raises(CredentialRefused):
            await fill_in(browser, "ann", f"wrong{number}")
        with pytest.raises(CredentialRefused):
            await world.passwords.check(FILE, "ANN", Secret(f"wrong{number}"), "198.51.100.1")
    with pytest.raises(TooManyTries):
        await fill_in(browser)


async def test_where_there_is_no_form_nobody_signs_in_by_it(world: World, browser: Browser) -> None:
    take(world, Accepted(), ("google",))
    assert world.signin.form.file(await browser.visit()) is None
    assert await code(fill_in(browser)) == "no_choices"


async def test_users_with_keys_have_no_form(world: World, browser: Browser) -> None:
    take(world, Accepted(passwords=replace(FILE, has_form=False)), ("google",))
    assert await code(fill_in(browser)) == "no_choices"


async def test_on_a_host_whose_people_sign_in_elsewhere_there_is_no_form(
    world: World, browser: Browser
) -> None:
    browser.site = replace(browser.site, auth_url="https://auth.example")
    assert await code(fill_in(browser)) == "no_choices"


async def test_a_form_for_another_host_is_for_who_is_known_there_too(world: World, browser: Browser) -> None:
    visit = await browser.visit()
    assert world.signin.form.file(visit, world.host) is FILE
    assert world.signin.form.file(visit, replace(world.host, sign_in=("google",))) is None


async def test_a_newcomer_may_have_to_register_first(world: World, browser: Browser) -> None:
    world.people.use(Rules(registration="form"))
    finished = await fill_in(browser)
    assert (finished.location, finished.session) == ("/@/account/register", None)
    newcomer = await world.signin.registrations.newcomer(await browser.visit())
    assert newcomer.identity.subject == "ann"


async def test_where_nobody_new_is_taken_a_password_does_not_help(world: World, browser: Browser) -> None:
    world.people.use(Rules(registration="closed"))
    assert await code(fill_in(browser)) == "registration_closed"


async def test_who_was_blocked_here_is_told_so(world: World, browser: Browser) -> None:
    await fill_in(browser)
    user_id = (await browser.session()).user_id
    await world.people.set_disabled(user_id, True, world.clock.now())
    with pytest.raises(UserDisabled):
        await fill_in(browser)
