"""Signing in with Apple through the whole gateway: its answer comes by POST from its own page."""

from __future__ import annotations

import asyncio
import html
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.real.standin_apple import CLIENT_ID, KEY_ID, PEM, TEAM, Apple
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {{ http = ["127.0.0.1:{{port}}"] }}
provider "apple" {{
  issuer         = "{issuer}"
  client_id      = "{client}"
  team_id        = "{team}"
  private_key    = "${{env("APPLE_KEY")}}"
  private_key_id = "{key}"
}}
host "localhost" {{
  backend = "internal:echo"
  sign_in = ["apple"]
  access {{ allow = ["domain:example.com", "domain:privaterelay.appleid.com"] }}
}}
"""
FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


class Story:
    """The gateway, Apple, and what a browser does between them."""

    def __init__(self, apple: Apple, gateway: Any) -> None:
        self.apple = apple
        self.gateway = gateway
        self.url = f"http://localhost:{gateway.port}"

    async def posted(self, visitor: Any) -> tuple[str, dict[str, str]]:
        """Up to the page of Apple's that posts the answer: where to, and its fields."""
        async with visitor.get(f"{self.url}/@apple/signin?rd=/a", allow_redirects=True) as page:
            text = await page.text()
            assert page.status == 200, text
        action = re.search(r'action="([^"]+)"', text)
        assert action
        return html.unescape(action[1]), {n: html.unescape(v) for n, v in FIELD.findall(text)}

    async def post(self, action: str, fields: dict[str, str]) -> Any:
        """The cross-site POST, which a browser sends without Lax cookies."""
        async with new_visitor() as other:
            headers = {"Origin": "https://appleid.apple.com", "Sec-Fetch-Site": "cross-site"}
            return await other.post(action, data=fields, headers=headers, allow_redirects=False)

    async def sign_in(self, visitor: Any) -> Any:
        """The whole way; what the app was sent, as JSON."""
        action, fields = await self.posted(visitor)
        answer = await self.post(action, fields)
        assert answer.status == 303, await answer.text()
        back = answer.headers["location"]
        assert fields.get("code", "") not in back.replace(fields["state"], "")
        async with visitor.get(f"{self.url}{urlsplit(back).path}?{urlsplit(back).query}") as page:
            assert page.status == 200, await page.text()
            return await page.json()


@pytest.fixture
async def story(api, gateway) -> Story:
    apple = Apple()
    apple.issuer = (await api(answer=apple.answer)).url
    text = CONFIGURATION.format(issuer=apple.issuer, client=CLIENT_ID, team=TEAM, key=KEY_ID)
    return Story(apple, gateway(text, env={"APPLE_KEY": PEM}))


def headers(echo: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in echo["headers"]}


async def test_a_person_comes_in_by_apples_post(story):
    async with new_visitor() as visitor:
        echo = await story.sign_in(visitor)
    told = headers(echo)
    assert echo["path"] == "/a"
    assert told["user-email"] == "zoe@example.com"
    assert told["user-name"] == "Zo%C3%AB%20%C3%85ngstr%C3%B6m"
    assert "victim" not in str(echo)
    assert [claims["iss"] for claims in story.apple.secrets] == [TEAM]
    for secret in ("apple-at", "apple-rt", "BEGIN PRIVATE KEY"):
        assert secret not in story.gateway.log


async def test_the_name_is_kept_though_it_comes_only_once(story):
    async with new_visitor() as visitor:
        first = headers(await story.sign_in(visitor))
    async with new_visitor() as visitor:
        again = headers(await story.sign_in(visitor))
        async with visitor.get(f"{story.url}/@/session") as who:
            session = await who.json()
    assert again["user-id"] == first["user-id"]
    assert again["user-name"] == first["user-name"]
    assert session["user"]["name"] == "Zoë Ångström"


async def test_apples_consent_outlives_a_sign_out_and_not_the_account(story):
    async with new_visitor() as visitor:
        for path, revoked in (("/@/signout", 0), ("/@/account/delete", 2)):
            await story.sign_in(visitor)
            headers = {"Origin": story.url, "Accept": "application/json"}
            async with visitor.post(f"{story.url}{path}", headers=headers) as answer:
                assert answer.status == 200, await answer.text()
            for _ in range(600):  # it is revoked behind the answer
                if story.apple.counts["/auth/revoke"] >= revoked:
                    break
                await asyncio.sleep(0.1)
            assert story.apple.counts["/auth/revoke"] == revoked, path


async def test_a_forwarding_address_comes_in_too(story):
    story.apple.claims = {
        "email": "x1y2@privaterelay.appleid.com",
        "email_verified": "true",
        "is_private_email": "true",
    }
    async with new_visitor() as visitor:
        assert headers(await story.sign_in(visitor))["user-email"] == "x1y2@privaterelay.appleid.com"


async def test_an_unverified_address_is_none_and_meets_no_rule_on_domains(story):
    story.apple.claims = {"email": "zoe@example.com", "email_verified": "false"}
    async with new_visitor() as visitor:
        action, fields = await story.posted(visitor)
        answer = await story.post(action, fields)
        async with visitor.get(f"{story.url}{answer.headers['location']}") as page:
            assert page.status == 403


async def test_another_browsers_answer_signs_nobody_in(story):
    async with new_visitor() as attacker, new_visitor() as victim:
        action, fields = await story.posted(attacker)
        answer = await story.post(action, fields)
        async with victim.get(f"{story.url}{answer.headers['location']}") as page:
            assert page.status == 400, await page.text()
        async with victim.get(f"{story.url}/@/session", headers={"Accept": "application/json"}) as who:
            assert who.status == 401


async def test_an_answer_is_good_for_one_browser_once(story):
    async with new_visitor() as visitor:
        action, fields = await story.posted(visitor)
        back = (await story.post(action, fields)).headers["location"]
        async with visitor.get(f"{story.url}{back}", allow_redirects=False) as first:
            assert first.status == 303
        async with new_visitor() as other, other.get(f"{story.url}{back}", allow_redirects=False) as again:
            assert again.status == 400
    assert story.apple.counts["/auth/token"] == 1


async def test_the_persons_no_at_apple_is_a_page_that_says_so(story):
    story.apple.refuses = "user_cancelled_authorize"
    async with new_visitor() as visitor:
        action, fields = await story.posted(visitor)
        answer = await story.post(action, fields)
        async with visitor.get(f"{story.url}{answer.headers['location']}") as page:
            assert page.status in {400, 403}
            assert "user_cancelled_authorize" in await page.text()
    assert "user_cancelled_authorize" in story.gateway.log
