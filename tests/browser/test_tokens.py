"""App tokens as people make and end them: clicks in Chromium, and a script that uses what was shown."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import barriers
from tests.ports import Ports
from tests.real.club import Club, open_club
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.browser


@pytest.fixture
async def club(openid, gateway, ports: Ports) -> AsyncIterator[Club]:
    async with open_club(openid, gateway, ports) as club:
        yield club


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(java_script_enabled=True, locale="en-GB")
    yield await context.new_page()
    await context.close()


async def status(visitor: aiohttp.ClientSession, club: Club, token: str, path: str) -> int:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    async with visitor.get(f"{club.base}{path}", headers=headers) as answer:
        return answer.status


async def test_a_person_makes_a_token_a_script_uses_it_and_the_person_ends_it(club: Club, page: Page) -> None:
    await page.goto(f"{club.base}/@/account")
    await page.get_by_role("link", name="Continue with Office").click()
    await page.get_by_role("link", name="alice").click()
    await page.get_by_role("link", name="Make an app token").click()

    # The form, with something missing first.
    await expect(page.get_by_role("heading", name="Make an app token")).to_be_visible()
    assert await barriers(page) == []
    await page.get_by_label("Name").fill("laptop")
    await page.get_by_label("Path").fill("repo")
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_text("This can’t be used.")).to_be_visible()
    assert await barriers(page) == []
    await page.get_by_label("Path").fill("/alice/repo")
    await page.get_by_label("It may only read").check()
    await page.get_by_label("Good for so many days").select_option("30")
    await page.get_by_role("button", name="Make the token").click()

    # Shown once.
    await expect(page.get_by_role("heading", name="Your app token")).to_be_visible()
    assert await barriers(page) == []
    token = await page.locator("code").first.inner_text()
    assert token.startswith("vst_app_")
    async with new_visitor() as visitor:
        assert await status(visitor, club, token, "/alice/repo/file") == 200
        assert await status(visitor, club, token, "/bob") == 403

        await page.get_by_role("link", name="Go to my account").click()
        await expect(page.get_by_text("laptop")).to_be_visible()
        await expect(page.get_by_text("app.localhost/alice/repo")).to_be_visible()
        await expect(page.get_by_text(token)).to_have_count(0)
        assert await barriers(page) == []

        # And ended.
        await page.get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text("laptop")).to_have_count(0)
        assert await status(visitor, club, token, "/alice/repo/file") == 401
