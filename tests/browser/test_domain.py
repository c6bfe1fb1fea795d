"""One sign-in for the hosts of a domain, in Chromium: its cookies, its redirects, its policies."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.ports import Ports
from tests.real.realm import COOKIE, HANDOFF, HOSTS, Realm, open_realm

pytestmark = pytest.mark.browser

FORM = """
people {
  registration = "form"
}
"""


@pytest.fixture(params=[HANDOFF, COOKIE], ids=["handoff", "cookie"])
async def realm(request, openid, gateway, ports: Ports) -> AsyncIterator[Realm]:
    """Either way to share a sign-in; newcomers fill in a form."""
    async with contextlib.AsyncExitStack() as people:
        yield open_realm(openid, gateway, ports, people, HOSTS, request.param, FORM)


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="en-GB")
    yield await context.new_page()
    await context.close()


async def test_a_newcomer_registers_once_and_signs_out_of_everything(realm: Realm, page: Page) -> None:
    # 1. To the app: by the auth host, the provider, and the form, whose answer leads on to another origin.
    await page.goto(str(realm.url("app", "/deep")))
    await page.get_by_role("link", name="alice").click()
    await expect(page.get_by_role("heading", name="Create your account")).to_be_visible()
    assert page.url.startswith(str(realm.url("auth")))
    await page.get_by_role("button", name="Create my account").click()
    await expect(page).to_have_url(str(realm.url("app", "/deep")))
    await expect(page.get_by_text("alice@example.com")).to_be_visible()

    # 2. To the other host: nothing is asked.
    await page.goto(str(realm.url("wiki", "/page")))
    await expect(page).to_have_url(str(realm.url("wiki", "/page")))
    await expect(page.get_by_text("alice@example.com")).to_be_visible()

    # 3. Their own page is at the auth host.
    await page.goto(str(realm.url("wiki", "/@/account")))
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    assert page.url == str(realm.url("auth", "/@/account"))

    # 4. Out by a button on one host, and out on the other.
    await page.goto(str(realm.url("wiki", "/@/signout")))
    await expect(page).to_have_url(re.compile("/session/end|/@/signedout"))
    for name in ("app", "wiki", "auth"):
        await page.goto(str(realm.url(name, "/@/session")))
        await expect(page.get_by_text("sign_in_required")).to_be_visible()
