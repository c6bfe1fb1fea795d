"""Signing in through the whole gateway with the real oidc-provider: as it should go, and as it should fail."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
from yarl import URL

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.openid import OpenId, client
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

HCL = """
gateway {{
  http = ["127.0.0.1:{port}"]
}}
provider "op" {{
  type          = "oidc"
  issuer        = "{issuer}"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "profile", "email", "groups"]
}}
host "app.localhost" {{
  backend = "internal:echo"
  sign_in = ["op"]
  access {{
    allow = ["anyone"]
  }}
}}
"""


class Stage:
    """A gateway, its provider, and people with browsers."""

    def __init__(self, gateway: Gateway, provider: OpenId) -> None:
        self.gateway = gateway
        self.provider = provider
        self.base = f"http://app.localhost:{gateway.port}"
        self.visitors: list[aiohttp.ClientSession] = []

    def person(self) -> Person:
        visitor = new_visitor()
        self.visitors.append(visitor)
        return Person(self, visitor)


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, stage: Stage, visitor: aiohttp.ClientSession) -> None:
        self.stage = stage
        self.visitor = visitor

    async def get(self, url: str | URL, **headers: str) -> tuple[int, URL | None, str]:
        """Status, where it leads, and the text; nothing is followed."""
        target = URL(self.stage.base).join(URL(str(url), encoded=True))
        async with self.visitor.get(target, headers=headers, allow_redirects=False) as answer:
            to = answer.headers.get("Location")
            return answer.status, answer.url.join(URL(to, encoded=True)) if to else None, await answer.text()

    async def begin(self, rd: str = "/", **hints: str) -> URL:
        """Where the gateway sends the person to sign in."""
        query = urlencode({"rd": rd, **hints})
        status, to, _ = await self.get(f"/@op/signin?{query}")
        assert (status, str(to).startswith(self.stage.provider.issuer)) == (303, True)
        assert to is not None
        return to

    async def authorize(self, to: URL, who: str = "alice") -> URL:
        """The callback the provider sends the person to."""
        here: URL = to
        for _ in range(10):
            _, there, text = await self.get(here)
            here = there or here.join(URL(f"?as={who}" if f'href="?as={who}"' in text else "?deny"))
            if str(here).startswith(self.stage.base):
                return here
        raise AssertionError(f"the provider never leads back: {here}")

    async def sign_in(self, who: str = "alice", rd: str = "/") -> URL:
        """Where the person is led in the end."""
        status, to, text = await self.get(await self.authorize(await self.begin(rd, login_hint=who), who))
        assert status == 303, text
        assert to is not None
        return to

    async def who(self) -> str | None:
        """Who the gateway says is signed in."""
        async with self.visitor.get(f"{self.stage.base}/@/session") as answer:
            if answer.status == 401:
                return None
            return str(await answer.json())

    def cookies(self) -> dict[str, str]:
        own = self.visitor.cookie_jar.filter_cookies(URL(self.stage.base))
        return {name: cookie.value for name, cookie in own.items()}


@pytest.fixture
async def stage(
    openid: Callable[..., OpenId], gateway: Callable[..., Gateway], ports: Ports
) -> AsyncIterator[Stage]:
    port = ports.take()
    base = f"http://app.localhost:{port}"
    app = client("app", f"{base}/@op/callback", post_logout_redirect_uris=[f"{base}/@/signedout"])
    provider = openid(app)
    stage = Stage(gateway(HCL.format(port=port, issuer=provider.issuer), port=port), provider)
    yield stage
    for visitor in stage.visitors:
        await visitor.close()


async def test_a_person_signs_in_and_the_backend_hears_who_it_is(stage: Stage) -> None:
    alice = stage.person()
    assert await alice.who() is None
    to = await alice.sign_in("alice", "/deep/page?x=1")
    assert to.path_qs == "/deep/page?x=1"
    status, _, text = await alice.get(to)
    assert status == 200
    headers = text.lower()
    assert "alice@example.com" in headers
    assert "proxy-provider" in headers
    assert "flow" not in str(alice.cookies())


async def test_state_and_challenge_are_new_each_time_and_no_secret_is_in_the_address(stage: Stage) -> None:
    alice = stage.person()
    seen: list[dict[str, str]] = [dict(parse_qsl((await alice.begin()).query_string)) for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({query[name] for query in seen}) == 3
    assert all(query["code_challenge_method"] == "S256" for query in seen)
    assert "app-secret" not in str(seen)


async def test_another_browsers_callback_signs_nobody_in(stage: Stage) -> None:
    mallory, victim = stage.person(), stage.person()
    callback = await mallory.authorize(await mallory.begin(), "mallory")
    status, _, text = await victim.get(callback)
    assert status == 400
    assert "signin" in text
    assert await victim.who() is None
    assert stage.provider.counts().get("POST /token", 0) == 0


async def test_a_replayed_callback_is_refused_and_leads_back_to_sign_in(stage: Stage) -> None:
    alice, thief = stage.person(), stage.person()
    callback = await alice.authorize(await alice.begin("/home"))
    flow = alice.cookies()
    assert (await alice.get(callback))[0] == 303
    thief.visitor.cookie_jar.update_cookies(flow, URL(stage.base))
    status, _, text = await thief.get(callback)
    assert (status, await thief.who()) == (400, None)
    assert "/@op/signin" in text
    status, to, _ = await alice.get(callback)  # her own reload just leads home
    assert (status, to and to.path) == (303, "/home")
    assert stage.provider.counts()["POST /token"] == 1


async def test_a_code_of_another_sign_in_is_worth_nothing(stage: Stage) -> None:
    """Code injection: the verifier of this flow doesn't fit the challenge the code was made for."""
    mallory, victim = stage.person(), stage.person()
    stolen = (await victim.authorize(await victim.begin())).query["code"]
    own = await mallory.authorize(await mallory.begin(), "mallory")
    status, _, _ = await mallory.get(own.update_query(code=stolen))
    assert status >= 400
    assert await mallory.who() is None


async def test_an_id_token_with_another_nonce_is_not_believed(stage: Stage) -> None:
    alice = stage.person()
    callback = await alice.authorize((await alice.begin()).update_query(nonce="another"))
    status, _, text = await alice.get(callback)
    assert (status, "/@op/signin" in text) == (502, True)
    assert await alice.who() is None


async def test_an_answer_of_another_issuer_is_not_exchanged(stage: Stage) -> None:
    alice = stage.person()
    callback = await alice.authorize(await alice.begin())
    assert callback.query["iss"] == stage.provider.issuer
    status, _, _ = await alice.get(callback.update_query(iss="https://evil.example"))
    assert status == 502
    assert await alice.who() is None
    assert stage.provider.counts().get("POST /token", 0) == 0


async def test_who_says_no_at_the_provider_comes_to_a_page_with_a_way_back(stage: Stage) -> None:
    alice = stage.person()
    status, _, text = await alice.get(
        await alice.authorize(await alice.begin("/deep"), "nobody-of-this-name")
    )
    assert status == 403
    assert re.search(r"/@op/signin\?rd=(%2F|/)deep", text)
    assert await alice.who() is None


async def test_ten_tabs_end_in_one_session(stage: Stage) -> None:
    alice = stage.person()
    callbacks = [await alice.authorize(await alice.begin(f"/{n}")) for n in range(10)]
    answers = await asyncio.gather(*(alice.get(callback) for callback in callbacks))
    assert [(status, to and to.path) for status, to, _ in answers] == [(303, f"/{n}") for n in range(10)]
    assert "alice" in str(await alice.who())
    own = f"vestibule-{stage.gateway.port}"
    assert set(alice.cookies()) == {own, f"{own}-device"}


async def test_another_person_gets_another_session_and_the_same_one_a_new_handle(stage: Stage) -> None:
    browser = stage.person()
    await browser.sign_in("alice")
    first = browser.cookies()
    await browser.sign_in("alice")
    second = browser.cookies()
    assert first != second
    await browser.sign_in("bob")
    assert "bob" in str(await browser.who())
    old = stage.person()
    old.visitor.cookie_jar.update_cookies(second, URL(stage.base))
    assert await old.who() is None


async def test_signing_out_leads_over_the_provider_and_the_old_cookie_is_dead(stage: Stage) -> None:
    alice, thief = stage.person(), stage.person()
    await alice.sign_in("alice")
    thief.visitor.cookie_jar.update_cookies(alice.cookies(), URL(stage.base))
    assert await thief.who() is not None
    status, to, _ = await alice.get("/@/signout", **{"Sec-Fetch-Site": "same-origin"})
    assert status == 303
    assert str(to).startswith(f"{stage.provider.issuer}/session/end?")
    assert await alice.who() is None
    assert await thief.who() is None


async def test_a_provider_that_is_down_gets_a_page_and_is_used_as_soon_as_it_is_back(stage: Stage) -> None:
    alice = stage.person()
    stage.provider.go_down()
    status, _, text = await alice.get("/@op/signin")
    assert status == 503
    assert "<html" in text.lower()
    stage.provider.come_back()
    await alice.sign_in("alice")
    assert "alice" in str(await alice.who())
    stage.provider.go_down()
    assert (await alice.get("/"))[0] == 200  # who is signed in stays so
    stage.provider.come_back()


async def test_a_provider_that_goes_down_in_the_middle_costs_a_page_not_the_gateway(stage: Stage) -> None:
    alice = stage.person()
    callback = await alice.authorize(await alice.begin())
    stage.provider.trouble("/token", drop=True)
    status, _, text = await alice.get(callback)
    assert status == 503
    assert "/@op/signin" in text
    assert stage.provider.counts()["POST /token"] == 1
    await alice.sign_in("alice")


@pytest.mark.parametrize("status", [500, 503])
async def test_a_provider_that_fails_or_talks_html_is_said_to(stage: Stage, status: int) -> None:
    alice = stage.person()
    callback = await alice.authorize(await alice.begin())
    stage.provider.trouble("/token", status=status, body="<html>oops</html>")
    assert (await alice.get(callback))[0] == 503
    callback = await alice.authorize(await alice.begin())
    stage.provider.trouble("/token", status=200, body="<html>oops</html>")
    assert (await alice.get(callback))[0] == 502
    assert await alice.who() is None


async def test_keys_that_were_rotated_are_fetched_at_once(stage: Stage) -> None:
    await stage.person().sign_in("alice")
    stage.provider.rotate_keys()
    bob = stage.person()
    await bob.sign_in("bob")
    assert "bob" in str(await bob.who())


async def test_a_session_survives_a_kill_and_a_flow_does_too(stage: Stage) -> None:
    alice, bob = stage.person(), stage.person()
    await alice.sign_in("alice")
    callback = await bob.authorize(await bob.begin("/later"), "bob")
    stage.gateway.kill()
    stage.gateway.start_again()
    assert "alice" in str(await alice.who())
    status, to, _ = await bob.get(callback)
    assert (status, to and to.path) == (303, "/later")
    assert (await stage.person().get(callback))[0] == 400


async def test_no_secret_is_in_the_log(stage: Stage) -> None:
    alice = stage.person()
    begun = await alice.begin()
    callback = await alice.authorize(begun)
    await alice.get(callback)
    secrets: list[Any] = [callback.query["code"], "app-secret", *alice.cookies().values()]
    await alice.get(callback.update_query(code="replayed-canary"))
    log = stage.gateway.log
    assert not [secret for secret in (*secrets, "replayed-canary") if secret in log]
