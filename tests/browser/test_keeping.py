"""The box that keeps people signed in: ticked in Chromium, and seen in when the cookie ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import barriers
from tests.ports import Ports
from tests.real.club import Club, open_club

pytestmark = pytest.mark.browser

DAY = 86400
PEOPLE = """
lifetimes { remember_me = "30d" }
"""


@pytest.fixture
async def club(openid, gateway, ports: Ports) -> AsyncIterator[Club]:
    async with open_club(openid, gateway, ports, people=PEOPLE) as club:
        yield club


@pytest.fixture(params=[True, False], ids=["with scripts", "without"])
async def page(request, browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(java_script_enabled=request.param, locale="en-GB")
    yield await context.new_page()
    await context.close()


async def ends(page: Page, club: Club) -> float:
    """When the session's cookie ends; -1: with the browser."""
    cookies = await page.context.cookies(club.base)
    return next(one["expires"] for one in cookies if one["name"] == f"vestibule-{club.gateway.port}")


async def test_who_ticks_the_box_stays_signed_in(club: Club, page: Page) -> None:
    await page.goto(f"{club.base}/@/signin?rd=/deep")
    box = page.get_by_label("Keep me signed in")
    await expect(box).not_to_be_checked()
    ways = page.get_by_role("link", name="Continue with Office")
    await expect(ways).to_have_count(1)
    await box.check()
    await expect(ways).to_have_count(1)
    await ways.click()
    await page.get_by_role("link", name="alice").click()
    await page.wait_for_url("**/deep")
    assert 29 * DAY < await ends(page, club) - time.time() <= 30 * DAY


async def test_who_does_not_leaves_with_the_browser(club: Club, page: Page) -> None:
    await page.goto(f"{club.base}/@/signin?rd=/deep")
    box = page.get_by_label("Keep me signed in")
    await box.check()
    await box.uncheck()
    await page.get_by_role("link", name="Continue with Office").click()
    await page.get_by_role("link", name="alice").click()
    await page.wait_for_url("**/deep")
    assert await ends(page, club) == -1


async def test_the_box_has_a_label_and_the_keyboard_reaches_it_first(club: Club, browser: Browser) -> None:
    context = await browser.new_context(locale="de-DE")
    page = await context.new_page()
    await page.goto(f"{club.base}/@/signin?remember=1")
    box = page.get_by_label("Angemeldet bleiben")
    await expect(box).to_be_checked()
    assert await barriers(page) == []
    await page.keyboard.press("Tab")
    await expect(box).to_be_focused()
    await page.keyboard.press("Space")
    await expect(box).not_to_be_checked()
    assert await barriers(page) == []
    await context.close()
