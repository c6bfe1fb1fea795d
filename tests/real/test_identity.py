"""What the app hears of a person the real provider vouches for, and what nobody hears."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.real


async def test_the_app_is_told_who_it_is_and_never_a_token(house, browser_of_alice):
    seen = await browser_of_alice.seen_by_app("/a%20b?c=d")
    assert seen.target == "/a%20b?c=d"
    assert seen.one("user-email") == "alice@example.com"
    assert seen.one("user-login") == "alice"
    assert seen.one("user-name") == "Alice%20%C3%84ngstr%C3%B6m"
    assert seen.one("user-groups") == "admins,staff%2C%20all"
    assert seen.one("proxy-provider") == "op"
    assert not any("vestibule" in value for value in seen.all("cookie"))
    async with house.call(seen.one("proxy-session")) as answer:
        assert answer.status == 200
    (token,) = house.secrets_told()
    everywhere = str(house.app.seen) + house.gateway.log
    for secret in (token, "app-secret", seen.one("proxy-session")):
        assert secret not in house.gateway.log
    assert token not in everywhere


async def test_what_the_client_claims_to_be_never_reaches_the_app(house, browser_of_alice, visitor):
    forged = {
        "User-Email": "eve@example.com",
        "user_id": "1",
        "PROXY-SESSION": "x",
        "X.Forwarded.For": "1.2.3.4",
    }
    await browser_of_alice.get("/", **forged)
    seen = house.app.seen[-1]
    assert seen.one("user-email") == "alice@example.com"
    assert "eve@example.com" not in str(seen)
    await visitor.get("/open/", **forged)
    names = {name.casefold().replace("_", "-").replace(".", "-") for name, _ in house.app.seen[-1].headers}
    assert not names & {"user-email", "user-id", "proxy-session"}
    assert house.app.seen[-1].one("x-forwarded-for") == "127.0.0.1"


async def test_an_unverified_address_is_no_address(visitor):
    await visitor.sign_in("mallory")
    seen = await visitor.seen_by_app()
    assert seen.all("user-email") == []
    assert seen.one("user-name") == "Mallory"


async def test_two_people_are_two_people(house, browser_of_alice):
    async with house.browser() as other:
        await other.sign_in("bob")
        alice, bob = await browser_of_alice.seen_by_app(), await other.seen_by_app()
        assert (alice.one("user-email"), bob.one("user-email")) == ("alice@example.com", "bob@example.com")
        assert alice.one("user-id") != bob.one("user-id")
    async with house.browser() as again:
        await again.sign_in("alice")
        assert (await again.seen_by_app()).one("user-id") == alice.one("user-id")


@pytest.mark.parametrize("provider_options", [{"claims_in_id_token": True}], ids=["claims in the id token"])
async def test_claims_may_come_in_the_id_token(browser_of_alice):
    assert (await browser_of_alice.seen_by_app()).one("user-email") == "alice@example.com"


async def test_who_is_signed_in_is_said_as_json_without_a_token(house, visitor):
    assert await visitor.who() is None
    await visitor.sign_in("bob")
    who = await visitor.who()
    assert who["user"]["email"] == "bob@example.com"
    assert who["providers"] == ["op"]
    handle = (await visitor.seen_by_app()).one("proxy-session")
    async with house.call(handle) as answer:
        assert answer.status == 200
    assert house.secrets_told()[0] not in str(who)
    assert handle not in str(who)
