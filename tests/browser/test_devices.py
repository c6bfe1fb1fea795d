"""Two browsers of one person in Chromium: one signs the other out, and it is out at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import barriers
from tests.ports import Ports
from tests.real.club import Club, open_club

pytestmark = pytest.mark.browser

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Mobile/15E148 Safari/604.1"
)


@pytest.fixture
async def club(openid, gateway, ports: Ports) -> AsyncIterator[Club]:
    async with open_club(openid, gateway, ports) as club:
        yield club


@pytest.fixture
async def laptop(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="en-GB")
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def phone(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(
        locale="de-DE",
        user_agent=IPHONE,
        viewport={"width": 400, "height": 800},
        color_scheme="dark",
        java_script_enabled=False,
    )
    yield await context.new_page()
    await context.close()


async def sign_in(page: Page, club: Club, button: str) -> None:
    await page.goto(f"{club.base}/@/account")
    await page.get_by_role("link", name=button).click()
    await page.get_by_role("link", name="alice").click()


async def test_one_signs_the_other_out_and_it_is_out_at_once(club: Club, laptop: Page, phone: Page) -> None:
    await sign_in(laptop, club, "Continue with Office")
    await expect(laptop.get_by_role("heading", name="Devices")).to_be_visible()
    await expect(laptop.get_by_text("Chrome on Linux")).to_be_visible()
    await expect(laptop.get_by_text("This device")).to_be_visible()
    await expect(laptop.get_by_role("button", name="Sign out all other devices")).to_have_count(0)
    assert await barriers(laptop) == []

    await sign_in(phone, club, "Weiter mit Office")
    await expect(phone.get_by_role("heading", name="Geräte")).to_be_visible()
    await expect(phone.get_by_text("Safari auf iPhone")).to_be_visible()
    await expect(phone.get_by_text("Chrome auf Linux")).to_be_visible()

    await laptop.reload()
    theirs = laptop.get_by_role("listitem").filter(has_text="Safari on iPhone")
    await expect(theirs.get_by_text("127.0.0.1")).to_be_visible()
    await expect(theirs.get_by_text("This device")).to_have_count(0)
    assert await barriers(laptop) == []
    button = theirs.get_by_role("button", name="Sign out")
    await expect(button).to_have_accessible_description("Safari on iPhone")
    await button.click()
    await expect(laptop.get_by_text("Safari on iPhone")).to_have_count(0)
    await expect(laptop.get_by_text("Chrome on Linux")).to_be_visible()

    # The phone is out: its page asks to sign in.
    await phone.reload()
    await expect(phone.get_by_role("heading", name="Geräte")).to_have_count(0)
    await expect(phone.get_by_role("link", name="Weiter mit Office")).to_be_visible()


async def test_all_others_are_signed_out_and_this_one_stays(club: Club, laptop: Page, phone: Page) -> None:
    await sign_in(phone, club, "Weiter mit Office")
    await sign_in(laptop, club, "Continue with Office")
    await phone.reload()
    await phone.get_by_role("button", name="Alle anderen Geräte abmelden").click()
    await expect(phone.get_by_text("Dieses Gerät")).to_be_visible()
    await expect(phone.get_by_text("Chrome auf Linux")).to_have_count(0)
    await laptop.reload()
    await expect(laptop.get_by_role("link", name="Continue with Office")).to_be_visible()
