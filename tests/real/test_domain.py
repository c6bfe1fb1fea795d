"""One sign-in for all hosts of a domain, through the whole gateway with the real oidc-provider."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.openid import OpenId
from tests.real.realm import COOKIE, HANDOFF, HOSTS, Realm, open_realm

pytestmark = pytest.mark.real


@pytest.fixture
async def realm_of(
    openid: Callable[..., OpenId], gateway: Callable[..., Gateway], ports: Ports
) -> AsyncIterator[Callable[..., Realm]]:
    """`realm_of(text, …)`: the gateway with this domain."""
    async with contextlib.AsyncExitStack() as people:
        yield functools.partial(open_realm, openid, gateway, ports, people)


@pytest.fixture(params=[HANDOFF, COOKIE], ids=["handoff", "cookie"])
def realm(request: pytest.FixtureRequest, realm_of: Callable[..., Realm]) -> Realm:
    """Either way to share a sign-in."""
    return realm_of(HOSTS, request.param)


@pytest.fixture
def handing(realm_of: Callable[..., Realm]) -> Realm:
    return realm_of(HOSTS, HANDOFF)


async def test_who_signed_in_once_is_signed_in_on_every_host(realm: Realm) -> None:
    alice = await realm.person()
    there = await alice.sign_in("app")
    assert (there.url, there.told["user-email"]) == (realm.url("app", "/deep?x=1"), "alice@example.com")
    wiki = await alice.get(realm.url("wiki", "/page"), follow=True)
    assert (wiki.url.path, wiki.told["user-email"]) == ("/page", "alice@example.com")
    assert not [place for place in wiki.way if place.startswith("127.0.0.1")]
    assert realm.provider.counts()["POST /token"] == 1
    assert await alice.who("auth") == "alice@example.com"


async def test_no_host_but_the_auth_host_is_led_back_to_by_the_provider(realm: Realm) -> None:
    alice = await realm.person()
    there = await alice.sign_in("app")
    assert [place for place in there.way if "callback" in place] == ["auth.vestibule.localhost/@op/callback"]


async def test_signing_out_on_one_host_is_signing_out_on_all(realm: Realm) -> None:
    alice, thief = await realm.person(), await realm.person()
    await alice.sign_in("app")
    await alice.get(realm.url("wiki"), follow=True)
    for name in ("app", "wiki", "auth"):
        thief.take(alice.cookies(name), name)
    assert [await thief.who(name) for name in ("app", "wiki", "auth")] == ["alice@example.com"] * 3
    out = await alice.get(realm.url("wiki", "/@/signout"), **{"Sec-Fetch-Site": "same-origin"})
    assert str(out.location).startswith(f"{realm.provider.issuer}/session/end?")
    assert [await thief.who(name) for name in ("app", "wiki", "auth")] == [None] * 3
    assert realm.sql("SELECT count(*) FROM sessions") == [(0,)]
    assert realm.sql("SELECT count(*) FROM grants") == [(0,)]
    # Nobody is signed in by what is left.
    again = await alice.get(realm.url("app"))
    assert again.location.path == "/@/signin"


async def test_each_host_has_a_handle_of_its_own_that_is_good_there_alone(handing: Realm) -> None:
    alice, thief = await handing.person(), await handing.person()
    await alice.sign_in("app")
    await alice.get(handing.url("wiki"), follow=True)
    handles = {
        name: [value for cookie, value in alice.cookies(name).items() if not cookie.endswith("-device")]
        for name in ("app", "wiki", "auth")
    }
    assert len({handle for [handle] in handles.values()}) == 3
    thief.take(alice.cookies("app"), "wiki")
    thief.take(alice.cookies("app"), "auth")
    assert [await thief.who(name) for name in ("wiki", "auth")] == [None, None]


async def test_somebody_elses_handoff_link_signs_nobody_in(handing: Realm) -> None:
    mallory, victim = await handing.person(), await handing.person()
    link = await mallory.lead_to_code("app", "bob")
    page = await victim.get(link)
    assert (page.status, await victim.who("app"), victim.cookies("app")) == (400, None, {})
    assert "/@/signin" in page.text
    # It was opened, so it is over, for whom it was made, too.
    assert (await mallory.get(link)).status == 400
    assert await mallory.who("app") is None


async def test_somebody_elses_link_to_the_auth_host_gives_them_nothing(handing: Realm) -> None:
    """Mallory has Alice, who is signed in, ask for a code for the sign-in that Mallory began."""
    alice, mallory = await handing.person(), await handing.person()
    await alice.sign_in("app")
    begun = await mallory.get(handing.url("wiki", "/@/signin"))
    given = await alice.get(begun.location)
    assert given.location.path == "/@/enter"
    assert (await alice.get(given.location)).status == 400
    assert (await mallory.get(given.location)).status == 400
    assert [await mallory.who("wiki"), await alice.who("wiki")] == [None, None]


async def test_a_code_is_good_once(handing: Realm) -> None:
    alice, thief = await handing.person(), await handing.person()
    link = await alice.lead_to_code("app", path="/home")
    thief.take(alice.cookies("app"), "app")
    assert (await alice.get(link)).location.path == "/home"
    assert ((await thief.get(link)).status, await thief.who("app")) == (400, None)
    # Her own reload starts anew, and ends where it did, for she is signed in.
    page = await alice.get(link)
    assert page.status == 400
    assert await alice.who("app") == "alice@example.com"


async def test_a_code_is_good_for_its_own_host(handing: Realm) -> None:
    alice = await handing.person()
    link = await alice.lead_to_code("app")
    wrong = link.with_host("wiki.vestibule.localhost")
    alice.take(alice.cookies("app"), "wiki")
    assert ((await alice.get(wrong)).status, await alice.who("wiki")) == (400, None)
    assert (await alice.get(link)).status == 303


async def test_a_code_is_good_for_a_minute(handing: Realm) -> None:
    alice = await handing.person()
    link = await alice.lead_to_code("app")
    handing.sql("UPDATE parked SET expires_at = expires_at - 61")
    page = await alice.get(link)
    assert (page.status, await alice.who("app")) == (400, None)


async def test_what_no_host_has_asked_for_is_refused(handing: Realm) -> None:
    alice = await handing.person()
    await alice.sign_in("app")
    begun = await alice.get(handing.url("app", "/@/signin?prompt=login"))
    for name, value in (
        ("for", "wiki.vestibule.localhost"),
        ("for", "evil.example"),
        ("for", "auth.vestibule.localhost"),
        ("state", "A" * 71),
        ("bind", "short"),
    ):
        page = await alice.get(begun.location.update_query({name: value}))
        assert (name, page.status) == (name, 400)


async def test_a_return_address_of_somebody_elses_leads_nowhere(realm: Realm) -> None:
    alice = await realm.person()
    there = await alice.sign_in("app", path="https://evil.example/x")
    assert there.url == realm.url("app", "/")
    there = await alice.get(realm.url("auth", "/@/signin?rd=https://evil.example/x"))
    assert there.location == realm.url("auth", "/")


async def test_account_pages_are_at_the_auth_host_alone(handing: Realm) -> None:
    alice = await handing.person()
    await alice.sign_in("app")
    led = await alice.get(handing.url("app", "/@/account/export"))
    assert (led.status, led.location) == (303, handing.url("auth", "/@/account/export"))
    page = await alice.get(handing.url("app", "/@/account"), follow=True)
    assert (page.status, page.url) == (200, handing.url("auth", "/@/account"))
    led = await alice.get(handing.url("app", "/@op/callback?code=x&state=y"))
    assert led.location == handing.url("auth", "/@op/callback?code=x&state=y")
    led = await alice.get(handing.url("auth", "/"), follow=True)
    assert led.url.path == "/@/account"


async def test_ten_tabs_end_in_one_session(handing: Realm) -> None:
    alice = await handing.person()
    await alice.sign_in("wiki")
    links = [await alice.lead_to_code("app", path=f"/{number}") for number in range(10)]
    answers = await asyncio.gather(*(alice.get(link) for link in links))
    assert [answer.location.path for answer in answers] == [f"/{number}" for number in range(10)]
    assert await alice.who("app") == "alice@example.com"
    assert handing.sql("SELECT count(*) FROM sessions") == [(3,)]


async def test_switching_to_another_person_on_one_host_is_switching_on_all(handing: Realm) -> None:
    browser, thief = await handing.person(), await handing.person()
    await browser.sign_in("app")
    await browser.get(handing.url("wiki"), follow=True)
    thief.take(browser.cookies("wiki"), "wiki")
    there = await browser.get(handing.url("app", "/@/signin?prompt=login&login_hint=bob"), follow=True)
    assert there.told["user-email"] == "bob@example.com"
    assert await thief.who("wiki") is None
    # Bob is none of the admins: he is told so, and not led round in a circle.
    assert (await browser.get(handing.url("wiki"), follow=True)).status == 403


async def test_sessions_that_were_handed_on_survive_a_kill(handing: Realm) -> None:
    alice = await handing.person()
    await alice.sign_in("app")
    handing.gateway.kill()
    handing.gateway.start_again()
    assert await alice.who("app") == "alice@example.com"
    assert (await alice.get(handing.url("wiki"), follow=True)).told["user-email"] == "alice@example.com"


# -- one cookie -------------------------------------------------------------------------------


async def test_the_one_cookie_is_a_token_that_ends_with_the_session(realm_of: Callable[..., Realm]) -> None:
    realm = realm_of(HOSTS, COOKIE)
    alice, thief = await realm.person(), await realm.person()
    there = await alice.sign_in("app")
    assert "x-hall" not in there.text.lower()  # no backend gets to see it
    [name] = alice.cookies("app")
    assert (name, alice.cookies("wiki")) == ("X-Hall", alice.cookies("app"))
    token = alice.cookies("app")[name]
    assert token.count(".") == 2
    thief.take({name: token}, "wiki")
    assert await thief.who("wiki") == "alice@example.com"
    await alice.get(realm.url("app", "/@/signout"), **{"Sec-Fetch-Site": "same-origin"})
    assert (alice.cookies("app"), await thief.who("wiki")) == ({}, None)


async def test_a_token_that_was_tampered_with_is_none(realm_of: Callable[..., Realm]) -> None:
    realm = realm_of(HOSTS, COOKIE)
    alice, thief = await realm.person(), await realm.person()
    await alice.sign_in("app")
    header, claims, mac = alice.cookies("app")["X-Hall"].split(".")
    for forged in (f"{header}.{claims}.{mac[:-4]}AAAA", f"{header}.{claims}.", claims, f".{claims}.{mac}"):
        thief.take({"X-Hall": forged}, "app")
        assert await thief.who("app") is None


async def test_s4_two_cookies_of_the_name_count_as_none_and_are_cleared(
    realm_of: Callable[..., Realm],
) -> None:
    """S4: a host next door plants one of its own beside it."""
    realm = realm_of(HOSTS, COOKIE)
    alice = await realm.person()
    await alice.sign_in("app")
    token = alice.cookies("app")["X-Hall"]
    stranger = await realm.person()
    page = await stranger.get(realm.url("app"), Cookie=f"X-Hall={token}; X-Hall=planted")
    assert page.status == 302
    cleared = page.headers.getall("Set-Cookie")
    assert [one for one in cleared if "Domain=vestibule.localhost" in one]
    assert [one for one in cleared if "Domain" not in one]
    assert all(one.startswith("X-Hall=;") for one in cleared)


# -- several domains, several providers -------------------------------------------------------

OTHER = """
host "shop.vestibule2.localhost" {
  backend = "internal:echo"
  sign_in = ["op"]
  access { allow = ["anyone"] }
}
domain "vestibule2.localhost" {
  auth_host = "login.vestibule2.localhost"
}
"""


async def test_two_domains_in_one_gateway_know_nothing_of_each_other(realm_of: Callable[..., Realm]) -> None:
    realm = realm_of(HOSTS, HANDOFF, OTHER, auths=("auth.vestibule.localhost", "login.vestibule2.localhost"))
    alice = await realm.person()
    await alice.sign_in("app")
    realm.domain = "vestibule2.localhost"
    assert await alice.who("shop") is None
    begun = await alice.get(realm.url("shop", "/@/signin"))
    assert begun.location.host == "login.vestibule2.localhost"
    # What one domain's host has begun is nothing at the other's auth host.
    wrong = begun.location.with_host("auth.vestibule.localhost")
    assert (await alice.get(wrong)).status == 400
    there = await alice.sign_in("shop", "bob")
    assert there.told["user-email"] == "bob@example.com"
    await alice.get(realm.url("shop", "/@/signout"), **{"Sec-Fetch-Site": "same-origin"})
    assert await alice.who("shop") is None
    realm.domain = "vestibule.localhost"
    assert await alice.who("app") == "alice@example.com"


CLUB = """
provider "club" {
  type          = "oidc"
  issuer        = "CLUB"
  client_id     = "app"
  client_secret = "app-secret"
}
host "club.vestibule.localhost" {
  backend = "internal:echo"
  sign_in = ["club"]
  access { allow = ["anyone"] }
}
host "both.vestibule.localhost" {
  backend = "internal:echo"
  sign_in = ["op", "club"]
  access { allow = ["anyone"] }
}
"""


@pytest.mark.parametrize("domain", [HANDOFF, COOKIE], ids=["handoff", "cookie"])
async def test_who_is_nobody_on_a_host_is_asked_for_its_own_provider(
    realm_of: Callable[..., Realm], domain: str
) -> None:
    realm = realm_of(HOSTS, domain, CLUB)
    alice = await realm.person()
    await alice.sign_in("app")
    # 1. A host that takes both takes her as she is.
    there = await alice.get(realm.url("both"), follow=True)
    assert there.told["user-email"] == "alice@example.com"
    # 2. One that takes the other one only asks for that, which alone is offered, and nobody has signed out by it.
    led = await alice.get((await alice.get(realm.url("club", "/@/signin"))).location)
    assert led.location.port != realm.provider.port
    assert led.location.host == "127.0.0.1"
    assert await alice.who("app") == "alice@example.com"
    # 3. Whoever comes by that is somebody else, so Alice has left.
    there = await alice.sign_in("club", "carol")
    assert there.told["user-email"] == "carol@club.example"
    assert await alice.who("app") is None
    there = await alice.get(realm.url("both"), follow=True)
    assert there.told["user-email"] == "carol@club.example"


# -- calls ------------------------------------------------------------------------------------

CALL = """
call "api" {
  port     = CALLPORT
  endpoint = "https://127.0.0.1:APIPORT"
  auth {
    name       = "authorization"
    location   = "header"
    credential = "session:op"
  }
}
"""


@pytest.mark.parametrize("domain", [HANDOFF, COOKIE], ids=["handoff", "cookie"])
async def test_an_app_calls_with_the_credentials_of_the_person_at_the_auth_host(
    api: Any, realm_of: Callable[..., Realm], ports: Ports, domain: str
) -> None:
    app, target, call_port = await api(), await api(https=True), ports.take()
    hosts = HOSTS.replace("internal:echo", f"127.0.0.1:{app.port}")
    realm = realm_of(hosts, domain, CALL, CALLPORT=str(call_port), APIPORT=str(target.port))
    alice = await realm.person()
    await alice.sign_in("app")
    assert app.seen[-1].all("proxy-provider") == ["op"]
    [handle] = app.seen[-1].all("proxy-session")
    caller = await realm.person()

    async def call() -> int:
        headers = {"Proxy-Session": handle}
        async with caller.visitor.get(f"http://127.0.0.1:{call_port}/v1/me", headers=headers) as answer:
            return answer.status

    assert await call() == 200
    assert target.seen[-1].all("authorization")[0].startswith("Bearer ")
    # They are gone with the sign-out on another host.
    await alice.get(realm.url("wiki"), follow=True)
    await alice.get(realm.url("wiki", "/@/signout"), **{"Sec-Fetch-Site": "same-origin"})
    assert await call() == 401
