"""The admin pages as operators use them: clicks in Chromium, at a running gateway with people, traffic and a provider."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser import office as desk
from tests.browser.axe import barriers
from tests.browser.demo import Complaints
from tests.browser.office import Office, open_office
from tests.real.browser import PATIENCE_MS

pytestmark = pytest.mark.browser

PAGES = (
    *(
        "/",
        "/traffic",
        "/sessions",
        "/people",
        "/invitations",
        "/providers",
        "/hosts",
        "/explain",
        "/app-tokens",
    ),
    *("/machine-keys", "/held"),
    *("/tokens", "/certificates", "/audit", "/configuration", "/log", "/dead-letters", "/nothing"),
)
Open = Callable[..., Awaitable[Page]]


@pytest.fixture
async def office(ports, state_dir) -> AsyncIterator[Office]:
    async with open_office(ports, state_dir / "office") as office:
        yield office


@pytest.fixture
async def opened(browser: Browser) -> AsyncIterator[Open]:
    """A new browser, and one page; whatever it complains of fails the test."""
    contexts: list[tuple[BrowserContext, Complaints]] = []

    async def start(**options: Any) -> Page:
        context = await browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append((context, Complaints(context)))
        return await context.new_page()

    yield start
    for context, complaints in contexts:
        await context.close()
        # Chromium names each answer of 400 and above; the pages' own scripts and policy are what counts.
        assert [line for line in complaints.heard if "Failed to load resource" not in line] == []


async def by_provider(page: Page, office: Office, person: str = "ops", path: str = "/") -> None:
    await page.goto(f"{office.url}{path}")
    await page.get_by_role("link", name="Sign in with your account").click()
    await page.get_by_role("link", name=person, exact=True).click()


async def by_token(page: Page, office: Office, token: str, path: str = "/") -> None:
    await page.goto(f"{office.url}{path}")
    await page.get_by_label("Admin token").fill(token)
    await page.get_by_role("button", name="Sign in").click()


async def test_operators_sign_in_by_the_gateways_own_provider(office: Office, opened: Open) -> None:
    page = await opened()
    await by_provider(page, office, path="/people")

    # Back where they wanted to go, under their own name.
    await expect(page).to_have_url(f"{office.url}/people")
    await expect(page.get_by_role("heading", name="People")).to_be_visible()
    await expect(page.get_by_text("Olga Petrova").last).to_be_visible()
    cookies = {cookie["name"]: cookie for cookie in await page.context.cookies(office.url)}
    [session] = [one for name, one in cookies.items() if re.fullmatch(r"vestibule-\d+", name)]
    assert session["httpOnly"]

    # The usual way out.
    await page.get_by_role("link", name="Sign out").last.click()
    await page.goto(f"{office.url}/people")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_who_is_not_allowed_gets_no_further(office: Office, opened: Open) -> None:
    page = await opened()
    await by_provider(page, office, "bob")
    assert (await page.goto(f"{office.url}/people")).status == 403
    await expect(page.get_by_text("Bob").first).to_be_visible()
    await expect(page.get_by_role("link", name="Traffic")).to_have_count(0)


async def test_a_token_lets_in_as_far_as_its_scopes_and_no_longer_than_it_lives(
    office: Office, opened: Open
) -> None:
    page = await opened()
    await by_token(page, office, "vst_admin_" + "A" * 43, "/traffic")
    await expect(page.get_by_role("alert")).to_contain_text("does not exist")
    assert await barriers(page) == []
    await page.get_by_label("Admin token").fill(office.token("reader", "--scope", "users:read"))
    await page.get_by_role("button", name="Sign in").click()

    # It may read people, and nothing else.
    await expect(page).to_have_url(f"{office.url}/traffic")
    await expect(page.get_by_text("lacks the scope traffic:read")).to_be_visible()
    await (await office.visitor("alice")).close()
    await page.goto(f"{office.url}/people")
    await page.get_by_role("link", name="Alice Ängström").click()
    await expect(page.get_by_text("alice@example.com").first).to_be_visible()
    await expect(page.get_by_text("They are not for this token")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete")).to_have_count(0)

    # Revoked, it is out at once: on pages, and on what they show live.
    other = await opened()
    await by_token(other, office, office.token("all"), "/tokens")
    watching = await opened()
    await by_token(watching, office, office.token("watcher"), "/traffic")
    await expect(watching.get_by_text("live", exact=True)).to_be_visible()
    await other.reload()
    for name in ("reader", "watcher"):
        row = other.get_by_role("row").filter(has_text=name)
        await row.get_by_role("link", name="Revoke").click()
        await other.get_by_role("button", name=re.compile("Revoke")).click()
    await page.reload()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(watching.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_traffic_comes_by_itself_and_stands_still_when_it_is_told_to(
    office: Office, opened: Open
) -> None:
    alice = await office.visitor("alice")
    page = await opened()
    await by_provider(page, office, path="/traffic?name=shop")
    await expect(page.get_by_text("live", exact=True)).to_be_visible()

    await office.get(alice, "/orders/4711")
    row = page.get_by_role("row").filter(has_text="/orders/4711")
    await expect(row).to_contain_text("alice@example.com")
    await expect(page.get_by_role("row").filter(has_text="/v1/orders")).to_have_count(0)  # another name
    assert await barriers(page) == []

    await page.get_by_role("button", name="Pause").click()
    await office.get(alice, "/paused")
    await expect(page.get_by_role("button", name="Go on (1 new)")).to_be_visible()
    await expect(page.get_by_text("/paused")).to_have_count(0)
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("row").filter(has_text="/paused")).to_be_visible()

    # Filters stand in the address; a request leads to what it caused.
    await page.get_by_label("Text").fill("4711")
    await page.get_by_role("button", name="Filter").click()
    assert "text=4711" in page.url
    await page.get_by_role("link", name="trace of GET /orders/4711").click()
    tree = page.get_by_role("main")
    await expect(tree.get_by_role("listitem").filter(has_text="/v1/orders/4711/items").last).to_be_visible()
    await expect(page.get_by_text("3 requests of trace")).to_be_visible()


async def test_the_overview_follows_what_happens(office: Office, opened: Open) -> None:
    page = await opened()
    await by_provider(page, office)
    sessions = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="sessions", exact=True))
    await expect(sessions).to_contain_text("1")
    await office.visitor("alice")
    await expect(sessions).to_contain_text("2")  # they are counted once in a while
    for plot in ("Requests a second", "How long they took", "Sign-ins", "Refused"):
        await expect(page.get_by_role("img", name=plot)).to_be_visible()


async def test_people_are_looked_at_changed_and_blocked(office: Office, opened: Open) -> None:
    alice = await office.visitor("alice")
    assert await office.get(alice, "/basket") == 200
    page = await opened()
    await by_provider(page, office, path="/people")
    await page.get_by_label("Name, login or address").fill("ängström")
    await page.get_by_role("button", name="Find").click()
    await page.get_by_role("link", name="Alice Ängström").click()

    await page.get_by_label("Name", exact=True).fill("Alice A.")
    await page.get_by_label("New field").fill("team")
    await page.get_by_label("Its value").fill("till 3")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_have_text("Saved.")
    await expect(page.get_by_role("heading", name="Alice A.")).to_be_visible()
    await expect(page.get_by_label("team")).to_have_value("till 3")

    await page.get_by_text("Block", exact=True).click()
    await page.get_by_role("button", name="Block Alice A.").click()
    await expect(page.get_by_role("status")).to_contain_text("Blocked")
    assert await office.get(alice, "/basket") == 302  # signed out
    await page.get_by_role("button", name="Let in again").click()
    await expect(page.get_by_role("status")).to_have_text("They may sign in again.")

    # Who did it stands in the trail.
    await page.goto(f"{office.url}/audit")
    await expect(page.get_by_text("user.blocked").first).to_be_visible()
    await expect(page.get_by_role("row").filter(has_text="user.blocked").first).to_contain_text("user ")


async def test_a_session_is_looked_at_and_ended_and_its_tokens_are_told_for_a_reason(
    office: Office, opened: Open
) -> None:
    alice = await office.visitor("alice", agent="Tea/1.0 (<b>kettle</b>)")
    page = await opened()
    await by_provider(page, office, path="/sessions?text=alice")
    await page.get_by_role("link", name="session of Alice Ängström").click()
    await expect(page.get_by_text("Tea/1.0 (<b>kettle</b>)")).to_be_visible()
    await expect(page.get_by_text("$PROXY_SESSION")).to_be_visible()
    assert await barriers(page) == []

    await page.get_by_text("Reveal the tokens").click()
    await page.get_by_label("Why you need to see them").fill("ticket 4711")
    await page.get_by_role("button", name="Show them").click()
    await expect(page.get_by_role("heading", name="Access token")).to_be_visible()
    token = await page.locator("pre").first.inner_text()
    assert len(token) > 20
    assert token not in page.url
    assert await barriers(page) == []
    await page.goto(f"{office.url}/audit")
    await expect(page.get_by_text("credential.revealed").first).to_be_visible()
    assert token not in await page.content()
    assert token not in office.gateway.log

    await page.goto(f"{office.url}/sessions?text=alice")
    await page.get_by_role("link", name="session of Alice Ängström").click()
    await page.get_by_role("button", name="End this session").click()
    await expect(page.get_by_role("status")).to_have_text("The session has ended.")
    assert await office.get(alice, "/basket") == 302


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)], ids=str
)
async def test_everybody_can_use_every_page(office: Office, opened: Open, scheme: str, width: int) -> None:
    await office.day()
    evil = await office.visitor("evil", agent='"><script>alert(1)</script>')
    await office.get(evil, "/%3Cimg%20src=x%20onerror=alert(1)%3E")
    page = await opened(color_scheme=scheme, viewport={"width": width, "height": 844})
    await page.goto(f"{office.url}/sign-in")
    assert await _faults(page) == []
    await by_provider(page, office)
    for path in PAGES:
        await page.goto(f"{office.url}{path}")
        assert (path, await _faults(page)) == (path, [])
    menu = page.get_by_text("Menu", exact=True)
    if width < 800:
        await menu.click()
        assert await _faults(page) == []
        await page.get_by_role("link", name="Certificates").click()
        await expect(page).to_have_url(f"{office.url}/certificates")
    else:
        await expect(menu).to_be_hidden()
    for path, link in (
        ("/sessions", "session of Alice"),
        ("/people", "Alice"),
        ("/people", "<script>"),
        ("/traffic?text=orders", "trace of"),
    ):
        await page.goto(f"{office.url}{path}")
        await page.get_by_role("link", name=link).first.click()
        assert (page.url, await _faults(page)) == (page.url, [])


async def _faults(page: Page) -> list[str]:
    """What stands in people's way on this page, and whether it is wider than the window."""
    scrolled, seen = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return await barriers(page) + ([f"{scrolled} wide of {seen}"] if scrolled > seen else [])


@pytest.mark.parametrize(("scheme", "width"), [("dark", 390), ("light", 1280)], ids=str)
async def test_who_signs_in_sees_a_card_in_the_middle_that_keeps_off_the_edges(
    office: Office, opened: Open, scheme: str, width: int
) -> None:
    page = await opened(color_scheme=scheme, viewport={"width": width, "height": 844})
    await page.goto(office.url)
    for part in (page.get_by_role("main"), page.locator(".brand")):
        box = await part.bounding_box()
        assert box is not None
        assert box["x"] >= 12
        assert abs(2 * box["x"] + box["width"] - width) <= 2, box
    assert await _faults(page) == []


ORDERED = """
acme {
  directory = "https://127.0.0.1:1/directory"
}
host "new-customers-of-the-company.example.org" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""


async def failing(page: Page, row: Locator) -> None:
    """Load the page until the order has failed."""
    for _ in range(60):
        if "failing" in await row.inner_text():
            return
        await page.wait_for_timeout(500)
        await page.reload()
    await expect(row).to_contain_text("failing")


async def test_a_host_without_a_certificate_is_told_of_with_why_and_what_to_do(
    ports, state_dir, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = desk.HCL.replace("  workers", f'  https = ["127.0.0.1:{ports.take()}"]\n  workers')
    text = text.replace("  backend = ", '  tls = "off"\n  backend = ')
    monkeypatch.setattr(desk, "HCL", text + ORDERED)
    async with open_office(ports, state_dir / "office") as office:
        for scheme, width in (("dark", 390), ("light", 1280)):
            page = await opened(color_scheme=scheme, viewport={"width": width, "height": 844})
            await by_provider(page, office, path="/certificates")
            row = page.locator("tr").filter(has_text="new-customers")
            await failing(page, row)
            for words in ("none yet", "it can't be reached", "look at DNS and the way out", "Tried again in"):
                await expect(row).to_contain_text(words)
            assert await _faults(page) == []
            about = await row.locator("td.told").bounding_box()
            assert about is not None
            assert about["width"] >= 250
            await page.goto(f"{office.url}/")
            concerns = page.get_by_role("main").get_by_text("nobody can reach it by https")
            await expect(concerns).to_have_count(1)


async def test_all_of_it_works_without_scripts(office: Office, opened: Open) -> None:
    alice = await office.visitor("alice")
    page = await opened(java_script_enabled=False)
    await by_provider(page, office, path="/traffic")
    await expect(page.get_by_role("row").filter(has_text="alice@example.com").first).to_be_visible()
    await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    await office.get(alice, "/later")
    await page.get_by_role("link", name="Load again").click()
    await expect(page.get_by_role("row").filter(has_text="/later")).to_be_visible()
    await page.goto(f"{office.url}/people")
    await page.get_by_role("link", name="Alice Ängström").click()
    await page.get_by_role("button", name="Sign out everywhere").click()
    await expect(page.get_by_role("status")).to_contain_text("sessions ended: 1")
    await page.get_by_text("Delete", exact=True).click()
    await page.get_by_label("I am sure").check()
    await page.get_by_role("button", name="Delete Alice").click()
    await expect(page.get_by_role("status")).to_contain_text("Deleted")
    await expect(page.get_by_role("link", name="Alice Ängström")).to_have_count(0)
