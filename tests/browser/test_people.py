"""Registering, linking, one's own page and the way out, as people do it: clicks in Chromium, without JavaScript."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import barriers
from tests.ports import Ports
from tests.real.club import Club, open_club

pytestmark = pytest.mark.browser

FORM = """
people {
  registration = "form"
  terms_url    = "/terms"
  field "company" {
    label    = "Your company"
    required = true
  }
}
"""


@pytest.fixture
async def club(openid, gateway, ports: Ports) -> AsyncIterator[Club]:
    async with open_club(openid, gateway, ports, people=FORM, more="form_post = true") as club:
        yield club


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(java_script_enabled=True, locale="en-GB")
    yield await context.new_page()
    await context.close()


async def test_a_person_registers_links_an_account_and_leaves(club: Club, page: Page) -> None:
    await page.goto(f"{club.base}/@/account")
    await page.get_by_role("link", name="Continue with Office").click()
    await page.get_by_role("link", name="alice").click()

    # The form: it says where one comes from, and what is missing.
    await expect(page.get_by_role("heading", name="Create your account")).to_be_visible()
    assert await barriers(page) == []
    await expect(page.get_by_label("Your name")).to_have_value("Alice Ängström")
    await page.get_by_label("Your company").fill("Wonderland")
    await page.get_by_label("User name").fill("not a name")
    await page.get_by_label("I accept the terms").check()
    await page.get_by_role("button", name="Create my account").click()
    await expect(page.get_by_text("This can’t be used.")).to_be_visible()
    await expect(page.get_by_label("Your company")).to_have_value("Wonderland")
    assert await barriers(page) == []
    await page.get_by_label("User name").fill("alice")
    await page.get_by_role("button", name="Create my account").click()

    # One's own page, at which one was headed.
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    await expect(page.get_by_text("alice@example.com").first).to_be_visible()
    assert await barriers(page) == []

    # Another account: off to the provider, which answers by form, and a question.
    await page.get_by_role("button", name="Link").click()
    await page.get_by_role("link", name="carol").click()
    await expect(page.get_by_role("heading", name="Link this account?")).to_be_visible()
    await expect(page.get_by_text("carol@club.example at Club")).to_be_visible()
    assert await barriers(page) == []
    await page.get_by_role("button", name="Link").click()
    await expect(page).to_have_url(re.compile(r"/@/account$"))
    await expect(page.get_by_role("button", name="Remove")).to_have_count(1)
    await page.get_by_role("button", name="Remove").click()
    await expect(page.get_by_role("button", name="Remove")).to_have_count(0)

    # And out.
    await page.get_by_role("link", name="Delete my account").click()
    await expect(page.get_by_text("This can’t be undone.")).to_be_visible()
    assert await barriers(page) == []
    await page.get_by_role("button", name="Delete my account").click()
    await expect(page.get_by_role("heading", name="Your account is deleted")).to_be_visible()
    assert await club.users() == []


async def test_an_answer_by_form_finds_the_browser_that_began(club: Club, page: Page) -> None:
    await page.goto(f"{club.base}/@club/signin?rd=/deep")
    await page.get_by_role("link", name="carol").click()
    await page.get_by_label("Your company").fill("Wonderland")
    await page.get_by_label("I accept the terms").check()
    await page.get_by_role("button", name="Create my account").click()
    await expect(page).to_have_url(f"{club.base}/deep")
    assert [user["email"] for user in await club.users()] == ["carol@club.example"]
