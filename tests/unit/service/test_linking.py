"""Linking an account: proven, confirmed once, by the session that began it, and never moved."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Clock, Heartbeats
from tests.unit.service.test_signin import Browser, World
from vestibule.core.flow import parse_cookie
from vestibule.errors import ClientError
from vestibule.model import Session
from vestibule.service.linking import CONFIRM_S, FRESH_S, is_fresh
from vestibule.store.memory import Store


@pytest.fixture
def world(clock: Clock, store: Store, changes: Heartbeats) -> World:
    return World(clock, store, changes)


@pytest.fixture
async def alice(world: World) -> Browser:
    browser = Browser(world)
    await browser.sign_in("alice")
    return browser


async def begin(browser: Browser, client: str = "github") -> str:
    begun = await browser.world.signin.begin_link(await browser.visit(), client)
    browser.take(begun.set_cookies)
    return dict(parse_qsl(urlsplit(begun.url).query))["state"]


async def prove(browser: Browser, who: str = "octocat") -> str:
    """The key of what is to be confirmed."""
    finished = await browser.finish(await begin(browser), who, "github")
    assert finished.location.startswith("/@/account/link?key=")
    assert finished.session is None
    return str(finished.location.partition("=")[2])


async def confirm(browser: Browser, key: str) -> Any:
    return await browser.world.signin.links.confirm(await browser.visit(), key)


async def fails(call: Any) -> str:
    with pytest.raises(ClientError) as caught:
        await call
    return caught.value.code


async def accounts(browser: Browser) -> list[str]:
    found = await browser.world.people.accounts_of((await browser.session()).user_id)
    return sorted(account.subject for account in found)


async def test_the_callback_links_nothing_and_keeps_no_tokens(world: World, alice: Browser) -> None:
    before = await alice.session()
    key = await prove(alice)
    assert await accounts(alice) == ["alice"]
    assert await alice.session() == before
    assert await world.tokens(before, "github") is None
    assert alice.flow_cookies == []
    found = await world.signin.links.found(await alice.visit(), key)
    assert (found.identity.subject, found.kind) == ("octocat", "oidc")


async def test_the_confirmation_links(world: World, alice: Browser) -> None:
    await confirm(alice, await prove(alice))
    assert await accounts(alice) == ["alice", "octocat"]
    other = Browser(world)
    await other.sign_in("octocat", "github")
    assert (await other.session()).user_id == (await alice.session()).user_id


async def test_a_confirmation_is_good_once(alice: Browser) -> None:
    key = await prove(alice)
    results = await asyncio.gather(*(confirm(alice, key) for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ClientError"] * 4 + ["Proven"]
    assert await fails(confirm(alice, key)) == "link_expired"


async def test_a_confirmation_waits_ten_minutes(alice: Browser, clock: Clock) -> None:
    key = await prove(alice)
    clock.move(CONFIRM_S)
    assert await fails(confirm(alice, key)) == "link_expired"
    assert await accounts(alice) == ["alice"]


@pytest.mark.parametrize("key", ["", "x", "A" * 43])
async def test_a_key_that_was_guessed_links_nothing(alice: Browser, key: str) -> None:
    await prove(alice)
    assert await fails(confirm(alice, key)) == "link_expired"


async def test_another_session_confirms_nothing_not_even_the_same_persons(
    world: World, alice: Browser
) -> None:
    key = await prove(alice)
    for who in ("bob", "alice"):
        other = Browser(world)
        await other.sign_in(who)
        assert await fails(confirm(other, key)) == "link_expired"
        assert await fails(world.signin.links.found(await other.visit(), key)) == "link_expired"
    assert await fails(confirm(Browser(world), key)) == "link_expired"
    await confirm(alice, key)


async def test_a_flow_begun_in_one_browser_is_not_finished_in_another(world: World, alice: Browser) -> None:
    """Threat: the attacker's account linked to the victim, or the victim's to the attacker."""
    state = await begin(alice)
    victim = Browser(world)
    await victim.sign_in("bob")
    assert await fails(victim.finish(state, "octocat", "github")) == "flow_other_browser"
    assert await accounts(victim) == ["bob"]


async def test_a_planted_flow_cookie_links_nothing_to_the_victim(world: World, alice: Browser) -> None:
    state = await begin(alice)
    victim = Browser(world)
    await victim.sign_in("bob")
    victim.cookies |= {name: alice.cookies[name] for name in alice.flow_cookies}
    assert await fails(victim.finish(state, "octocat", "github")) == "link_expired"
    assert await accounts(victim) == ["bob"]


async def test_whoever_signs_in_as_somebody_else_meanwhile_links_nothing(
    world: World, alice: Browser
) -> None:
    state = await begin(alice)
    await alice.sign_in("bob")
    assert await fails(alice.finish(state, "octocat", "github")) == "link_expired"
    key = await prove(alice, "second")
    await alice.sign_in("alice")
    assert await fails(confirm(alice, key)) == "link_expired"


async def test_signed_out_meanwhile_links_nothing_and_signs_nobody_in(world: World, alice: Browser) -> None:
    state = await begin(alice)
    alice.take((await world.signin.sign_out(await alice.visit())).set_cookies)
    assert await fails(alice.finish(state, "octocat", "github")) == "link_expired"
    assert not await alice.has_session()
    assert await world.store.people.user_of("https://github.com", "octocat") is None


async def test_somebody_elses_account_is_not_moved(world: World, alice: Browser) -> None:
    other = Browser(world)
    await other.sign_in("octocat", "github")
    owner = (await other.session()).user_id
    assert await fails(alice.finish(await begin(alice), "octocat", "github")) == "account_taken"
    key = await prove(alice, "second")
    late = Browser(world)
    await late.sign_in("second", "github")
    assert await fails(confirm(alice, key)) == "account_taken"
    user = await world.store.people.user_of("https://github.com", "octocat")
    assert user is not None
    assert user.id == owner
    assert await accounts(alice) == ["alice"]


async def test_an_account_that_is_linked_already_leads_back(alice: Browser) -> None:
    await confirm(alice, await prove(alice))
    assert (await alice.finish(await begin(alice), "octocat", "github")).location == "/@/account"


async def test_two_who_link_one_account_at_once_one_wins(world: World, alice: Browser) -> None:
    bob = Browser(world)
    await bob.sign_in("bob")
    keys = [await prove(alice), await prove(bob)]
    results = await asyncio.gather(confirm(alice, keys[0]), confirm(bob, keys[1]), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ClientError", "Proven"]
    assert sorted([await accounts(alice), await accounts(bob)], key=len) in (
        [["bob"], ["alice", "octocat"]],
        [["alice"], ["bob", "octocat"]],
    )


@pytest.mark.parametrize("client", ["plain", "drive", "nowhere"])
async def test_only_a_client_that_signs_people_in_here_is_linked(alice: Browser, client: str) -> None:
    assert await fails(begin(alice, client)) == "client_unknown"


async def test_nobody_links_without_being_signed_in(world: World) -> None:
    assert await fails(begin(Browser(world))) == "client_unknown"


async def test_a_failed_linking_leads_back_to_the_account(world: World, alice: Browser) -> None:
    state = await begin(alice)
    failed = world.signin.failed(await alice.visit(), "github", {"state": state})
    assert failed.again_url == "/@/account"
    alice.take(failed.set_cookies)
    assert alice.flow_cookies == []


async def test_the_flows_cookie_says_nothing_of_the_sessions_id(world: World, alice: Browser) -> None:
    await begin(alice)
    [name] = alice.flow_cookies
    flow = parse_cookie(world.signin._keys, name, alice.cookies[name])
    assert flow is not None
    assert flow.purpose == "link"
    assert flow.bound
    assert (await alice.session()).id not in repr(flow)


def test_fresh_is_a_person_who_came_within_ten_minutes() -> None:
    session = Session(
        id="s", host="h", created_at=0, seen_at=0, expires_at=9, idle_s=9, user_id="u", signed_in_at=1000.0
    )
    assert is_fresh(session, 1000.0 + FRESH_S - 1)
    assert not is_fresh(session, 1000.0 + FRESH_S)
    assert not is_fresh(replace(session, user_id=""), 1000.0)
    assert not is_fresh(replace(session, signed_in_at=0.0), 1000.0)
