"""A provider that lies, in every way there is a row for: nobody comes in by it, and the log says which lie it was."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.house.source import ROOT
from tests.real.house import House
from tests.real.lies import LIES, OTHER_KEY, REFRESHES, by_another_key
from tests.real.rogue import Liar, Speaker, encoded, jwk_of
from tests.real.visitor import new_visitor
from vestibule.errors import ProviderError
from vestibule.fetch import BODY_MAX_BYTES, Fetcher
from vestibule.model import Secret, Tokens
from vestibule.protocol.address import Networks
from vestibule.providers.base import Answer, SignedIn, Start
from vestibule.providers.oidc import Oidc, OidcConfig
from vestibule.service.flow import Driver
from vestibule.service.keys import KeySets

pytestmark = pytest.mark.real

DEADLINE_S = 5.0
"""In place of the operator's 10 s: half a minute is more than both."""
REDIRECT = "https://app.example.com/@op/callback"
#: what the kernel and both ends hold of an answer that nobody reads on
IN_TRANSIT_BYTES = 8 * 1024 * 1024


@pytest.fixture
async def liar(ports: Any) -> AsyncIterator[Liar]:
    async with Liar(ports.take(), {name: lie.changes for name, lie in LIES.items()}) as liar:
        yield liar


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    fetcher = Fetcher(deadline_s=DEADLINE_S)
    yield Driver(fetcher, KeySets(fetcher.get))
    await fetcher.close()


def client_of(speaker: Speaker) -> Oidc:
    config = OidcConfig(name="op", issuer=speaker.issuer, client_id="app", client_secret=Secret("s"))
    return config.open()


async def signed_in(driver: Driver, provider: Oidc, *, trusted: bool) -> SignedIn:
    """What the provider's flow ends in, with nothing of the gateway around it."""
    nonce, verifier = secrets.token_urlsafe(32), Secret(secrets.token_urlsafe(32))
    start = Start(redirect_uri=REDIRECT, state=secrets.token_urlsafe(32), nonce=nonce, verifier=verifier)
    url = await driver.run(provider.start(start), trusted=trusted)
    async with (
        aiohttp.ClientSession() as browser,
        browser.get(URL(url, encoded=True), allow_redirects=False) as page,
    ):
        params = dict(URL(page.headers["Location"]).query)
    answer = Answer(params=params, redirect_uri=REDIRECT, nonce=nonce, verifier=verifier, now=time.time())
    return await driver.run(provider.finish(answer), trusted=trusted)


async def told(driver: Driver, speaker: Speaker, *, trusted: bool = True) -> str:
    """The code by which a sign-in there, with a refresh behind it, is refused; empty when all is well."""
    provider = client_of(speaker)
    try:
        result = await signed_in(driver, provider, trusted=trusted)
        assert result.identity is not None
        assert result.identity.subject == "eve"
        assert result.tokens is not None
        if speaker.refreshed:
            await driver.run(provider.refresh(result.tokens, time.time()))
    except ProviderError as error:
        return error.code
    return ""


@pytest.mark.parametrize("name", LIES)
async def test_each_lie_is_refused_with_its_own_code(liar: Liar, driver: Driver, name: str) -> None:
    assert await told(driver, liar.speakers[name]) == LIES[name].code


@pytest.mark.parametrize("place", ["metadata", "keys", "token", "userinfo"])
async def test_of_half_a_gigabyte_a_mebibyte_is_read(liar: Liar, driver: Driver, place: str) -> None:
    """Threat: an answer that fills the memory."""
    speaker = liar.speakers[f"{place}-large"]
    assert await told(driver, speaker) == "answer_too_large"
    assert BODY_MAX_BYTES <= speaker.sent_bytes < BODY_MAX_BYTES + IN_TRANSIT_BYTES


async def test_ten_thousand_made_up_key_ids_cost_two_fetches_of_the_keys(liar: Liar, driver: Driver) -> None:
    speaker = liar.speakers["truth"]
    provider = client_of(speaker)
    at = await driver.run(provider.endpoints())
    answer = Answer(now=time.time())
    signed = by_another_key({"alg": "RS256"}, speaker.claims_now({})).partition(".")[2]
    for _ in range(10_000):
        header = encoded(json.dumps({"alg": "RS256", "kid": secrets.token_hex(8)}).encode())
        tokens = Tokens(access_token=Secret("a"), id_token=Secret(f"{header}.{signed}"))
        with pytest.raises(ProviderError) as caught:
            await driver.run(provider.identify(at, tokens, answer))
        assert caught.value.code == "id_token_key"
    assert speaker.counts["/jwks"] <= 2
    assert speaker.counts["/.well-known/openid-configuration"] == 1


async def test_keys_that_were_changed_are_found_though_the_token_names_none(
    liar: Liar, driver: Driver
) -> None:
    """The twin of the flood: a provider that means well and names no keys."""
    speaker = liar.speakers["one-key-without-kid"]
    assert await told(driver, speaker) == ""
    speaker.keys, speaker.sign = [jwk_of(OTHER_KEY)], by_another_key
    assert await told(driver, speaker) == ""
    assert speaker.counts["/jwks"] == 2


async def test_a_provider_nobody_wrote_is_reached_in_the_networks_that_are_allowed_only(liar: Liar) -> None:
    """The same flow as ever, of a provider that stands in the database."""
    speaker = liar.speakers["truth"]
    for allow, expected in ((), "http_refused"), (("127.0.0.0/8",), ""):
        fetcher = Fetcher(deadline_s=DEADLINE_S, allow=Networks.parse(allow))
        driver = Driver(fetcher, KeySets(fetcher.get))
        assert await told(driver, speaker, trusted=False) == expected
        assert bool(speaker.counts) is not bool(expected)
        await fetcher.close()


def test_each_code_is_explained() -> None:
    manual = (ROOT / "docs" / "providers.md").read_text("utf-8")
    assert [lie.code for lie in LIES.values() if lie.code and f"`{lie.code}`" not in manual] == []


CONFIGURATION = """
gateway {
  http          = ["127.0.0.1:{port}"]
  fetch_timeout = "TIMEOUT"
}
host "app.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = [NAMES]
  access {
    allow = ["anyone"]
  }
  route "/open/" {
    access {
      allow = ["public"]
    }
  }
}
"""
PROVIDER = """
provider "NAME" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "canary-client-secret"
}
"""
CALL = """
call "NAME" {
  port     = PORT
  endpoint = "http://127.0.0.1:API"
  auth {
    name       = "authorization"
    location   = "header"
    credential = "session:NAME"
  }
}
"""


@contextlib.asynccontextmanager
async def lied_to(
    ports: Any, api: Any, gateway: Any, liar: Liar
) -> AsyncIterator[tuple[House, dict[str, int]]]:
    """A gateway that has each liar for a provider, and for those who lie at a refresh a port to call."""
    async with new_visitor() as client:
        app, target = await api(), await api()
        calls = {name: ports.take() for name in REFRESHES}
        text = CONFIGURATION.replace("BACKEND", str(app.port)).replace("TIMEOUT", f"{DEADLINE_S:g}s")
        text = text.replace("NAMES", ", ".join(f'"{name}"' for name in liar.speakers))
        for name, speaker in liar.speakers.items():
            text += PROVIDER.replace("NAME", name).replace("ISSUER", speaker.issuer)
        for name, port in calls.items():
            text += CALL.replace("NAME", name).replace("PORT", str(port)).replace("API", str(target.port))
        house = House(gateway(text), None, app, target, 0)  # type: ignore[arg-type] # nobody asks it
        house.client = client
        yield house, calls


async def _takes_fresh_tokens_only(request: web.Request) -> web.StreamResponse:
    is_fresh = request.headers["Authorization"] == "Bearer rogue-access-2"
    return web.json_response({}, status=200 if is_fresh else 401)


def refusals(house: House) -> list[dict[str, Any]]:
    """The log's lines on what was refused."""
    lines = [json.loads(line) for line in house.gateway.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "refused"]


async def outcome(house: House, name: str) -> tuple[str, bool]:
    """The code in the log after a new visitor's sign-in at that provider, and whether somebody is signed in."""
    before = len(refusals(house))
    async with house.browser() as browser:
        page = await browser.get(f"/@{name}/signin?rd=/open/", follow=True)
        new = refusals(house)[before:]
        if page.status == 200:
            assert new == []
            return "", await browser.who() is not None
        assert 400 <= page.status < 600
        assert page.status != 500
        assert "<h1" in page.text
        assert await browser.who() is None
        [line] = [line for line in new if line["id"] == page.id]
        assert line["detail"] or line["message"]
        return line["code"], False


async def test_no_lie_makes_a_session_and_each_is_in_the_log_by_its_name(
    ports: Any, api: Any, gateway: Any, liar: Liar
) -> None:
    async with lied_to(ports, api, gateway, liar) as (house, _):
        wrong: list[object] = []
        for name, lie in LIES.items():
            expected = ("", True) if name in REFRESHES or not lie.code else (lie.code, False)
            got = await outcome(house, name)
            wrong += [(name, got, expected)] if got != expected else []
        assert wrong == []
        assert house.sessions() == sum(not lie.code or name in REFRESHES for name, lie in LIES.items())
        assert '"fault"' not in house.gateway.log
        assert "canary" not in house.gateway.log


async def test_tokens_refreshed_for_somebody_else_are_used_for_nobody(
    ports: Any, api: Any, gateway: Any, liar: Liar
) -> None:
    async with lied_to(ports, api, gateway, liar) as (house, calls):
        house.api.answer = _takes_fresh_tokens_only
        wrong: list[object] = []
        for name, port in calls.items():
            async with house.browser() as browser:
                assert (await browser.get(f"/@{name}/signin?rd=/open/", follow=True)).status == 200
                handle = house.app.seen[-1].one("proxy-session")
                house.call_port, before = port, len(house.api.seen)
                async with house.call(handle) as answer:
                    status = answer.status
                used = [one.one("authorization") for one in house.api.seen[before:]]
                codes = [line["code"] for line in refusals(house) if line.get("path") == "/v1/me"]
                expected = LIES[name].code
                if expected:
                    is_well = status == 502 and used == ["Bearer rogue-access"] and codes[-1:] == [expected]
                else:
                    is_well = status == 200 and used == ["Bearer rogue-access", "Bearer rogue-access-2"]
                wrong += [] if is_well else [(name, status, used, codes)]
        assert wrong == []
