"""The demo's story in Chromium: signed out, people, profile, headers, events, echo, signed out again."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.demo import Demo, visit

pytestmark = [pytest.mark.browser, pytest.mark.real]

PEOPLE = "Who would you like to be?"


@pytest.fixture(scope="module")
def running(ports):
    """One demo for all these tests: each brings a browser of its own."""
    demo = Demo(ports.take())
    try:
        demo.wait()
        yield demo
    finally:
        demo.stop()


@pytest.fixture
def demo(running):
    """The demo, and how many sessions it held before the test (`sessions_before`)."""
    running.sessions_before = running.live_sessions()
    return running


async def sign_in_as_alice(page, demo, path="/"):
    await page.goto(f"{demo.url}/@/signin?login_hint=alice&rd={path}")


async def test_the_whole_story(demo):
    async with visit() as (_, page, complaints):
        await page.goto(demo.url)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Nobody is signed in")

        await page.get_by_role("link", name="Sign in", exact=True).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(PEOPLE)
        await page.get_by_role("button", name="Bob Lindqvist").click()

        await expect(page).to_have_url(f"{demo.url}/")
        await expect(page.locator("#profile-name")).to_have_text("Bob Lindqvist")
        await expect(page.locator("#profile-email")).to_have_text("bob@example.com")
        assert await page.locator("#profile img").evaluate("image => image.naturalWidth > 0")

        headers = page.locator("#headers table")
        await expect(headers.get_by_role("row", name="User-Email bob@example.com")).to_be_visible()
        await expect(headers.get_by_role("row", name="Proxy-Provider demo")).to_be_visible()
        assert "characters)" in await headers.get_by_role("row", name="Proxy-Session").inner_text()
        assert f"vestibule-{demo.port}" not in await headers.inner_text()

        clock = page.locator("#clock")
        await expect(clock).not_to_have_text("--:--:--")
        await expect(clock).not_to_have_text(await clock.inner_text())
        await expect(page.locator("#here")).to_have_text("Bob Lindqvist")

        await page.get_by_label("Something to say").fill("hello there")
        await page.keyboard.press("Enter")
        await expect(page.locator("#echo-log")).to_contain_text("Bob Lindqvist: hello there")

        await page.get_by_role("link", name="Sign out").click()
        await expect(page).to_have_url(f"{demo.url}/@/signedout")
        await page.goto(demo.url)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Nobody is signed in")
        assert complaints.heard == []
    assert demo.new_sessions() == 0


async def test_an_expired_token_is_refreshed_and_the_app_only_sees_its_number_grow(demo):
    async with visit() as (_, page, complaints):
        await sign_in_as_alice(page, demo)
        number = page.locator("#token-serial")
        await expect(number).to_have_text("1")
        await page.get_by_role("button", name="Let it expire now").click()
        await expect(page.locator("#token-left")).to_have_text("0")
        await page.get_by_role("button", name="Call the API").click()
        await expect(number).to_have_text("2")
        await page.get_by_label("A note").fill("water the plants")
        await page.keyboard.press("Enter")
        await expect(page.locator("#notes li")).to_have_text(["water the plants"])
        await expect(number).to_have_text("2")
        assert complaints.heard == []


async def test_a_login_hint_signs_in_without_a_click_and_leads_back(demo):
    async with visit() as (_, page, complaints):
        await sign_in_as_alice(page, demo, "/members/")
        await expect(page).to_have_url(f"{demo.url}/members/")
        await expect(page.locator("main")).to_contain_text("You are here as Alice Adeyemi.")
        assert complaints.heard == []


async def test_ten_tabs_in_the_flow_at_once_end_signed_in_as_one_session(demo):
    async with visit() as (context, first, complaints):
        tabs = [first, *[await context.new_page() for _ in range(9)]]
        await asyncio.gather(*(tab.goto(f"{demo.url}/@/signin") for tab in tabs))
        for tab in tabs:
            await expect(tab.get_by_role("heading", level=1)).to_have_text(PEOPLE)
        await asyncio.gather(*(tab.get_by_role("button", name="Alice Adeyemi").click() for tab in tabs))
        for tab in tabs:
            await expect(tab).to_have_url(f"{demo.url}/")
            await expect(tab.locator("#profile-name")).to_have_text("Alice Adeyemi")
        told = [await (await tab.goto(f"{demo.url}/@/session")).json() for tab in tabs]
        assert {(one["user"]["login"], one["signed_in_at"]) for one in told} == {
            ("alice", told[0]["signed_in_at"])
        }
        cookies = {cookie["name"] for cookie in await context.cookies(demo.url)}
        assert cookies == {f"vestibule-{demo.port}", f"vestibule-{demo.port}-device"}
        assert complaints.heard == []
    assert demo.new_sessions() == 1


async def test_who_refuses_at_the_provider_gets_a_clear_page_and_a_way_back(demo):
    async with visit() as (_, page, _):
        await page.goto(f"{demo.url}/@/signin")
        await page.get_by_role("button", name="Refuse, and go back").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign-in was cancelled")
        assert (await page.request.get(f"{demo.url}/@/session")).status == 401
        await page.get_by_role("link", name="Try again").click()
        await page.get_by_role("button", name="Alice Adeyemi").click()
        await expect(page.locator("#profile-name")).to_have_text("Alice Adeyemi")
    assert demo.new_sessions() == 1


async def test_the_keyboard_is_enough(demo):
    async with visit() as (_, page, complaints):
        await page.goto(demo.url)
        await focus(page, "Sign in")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text(PEOPLE)
        # The first person has the focus already.
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#profile-name")).to_have_text("Bob Lindqvist")
        await focus(page, "Sign out")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{demo.url}/@/signedout")
        assert complaints.heard == []


async def focus(page, text):
    """Press Tab until what says `text` has the focus."""
    for _ in range(20):
        await page.keyboard.press("Tab")
        if (await page.evaluate("document.activeElement.textContent")).strip() == text:
            return
    pytest.fail(f"Tab never came to {text!r}")


async def test_without_javascript_the_page_shows_the_profile_and_keeps_notes(demo):
    async with visit(java_script_enabled=False) as (_, page, _):
        await page.goto(demo.url)
        await page.get_by_role("link", name="Sign in", exact=True).click()
        await page.get_by_role("button", name="Chiara Muñoz").click()
        await expect(page.locator("#profile-name")).to_have_text("Chiara Muñoz")
        await expect(page.locator("#token-serial")).to_have_text("1")
        await page.get_by_role("button", name="Let it expire now").click()
        await expect(page.locator("#token-serial")).to_have_text("2")
        await page.get_by_label("A note").fill("a note")
        await page.get_by_role("button", name="Keep").click()
        await expect(page.locator("#notes li")).to_have_text(["a note"])
        await page.get_by_role("link", name="Sign out").click()
        await expect(page).to_have_url(f"{demo.url}/@/signedout")


async def test_the_rules_let_alice_into_admin_and_nobody_else(demo):
    async with visit() as (_, page, _):
        await page.goto(f"{demo.url}/admin/")
        await page.get_by_role("button", name="Bob Lindqvist").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("You can’t open this page")
        await page.get_by_role("link", name="Use another account").click()
        await page.get_by_role("button", name="Alice Adeyemi").click()
        await expect(page).to_have_url(f"{demo.url}/admin/")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Admin")
    assert demo.new_sessions() == 1


async def test_an_address_that_is_not_verified_is_not_told_to_the_app(demo):
    async with visit() as (_, page, _):
        await page.goto(f"{demo.url}/@/signin?login_hint=erin")
        await expect(page.locator("#profile-name")).to_have_text("Erin Park")
        await expect(page.locator("#headers table")).not_to_contain_text("User-Email")
        await expect(page.locator("#headers table")).to_contain_text("User-Login")


async def test_the_other_name_of_this_machine_has_a_session_of_its_own(demo):
    other = f"http://127.0.0.1:{demo.port}"
    async with visit() as (_, page, complaints):
        await sign_in_as_alice(page, demo)
        await page.goto(other)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Nobody is signed in")
        await page.get_by_role("link", name="Sign in", exact=True).click()
        await expect(page).to_have_url(f"{other}/")
        await expect(page.locator("#profile-name")).to_have_text("Alice Adeyemi")
        assert complaints.heard == []
    assert demo.new_sessions() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
async def test_no_page_is_wider_than_its_window(demo, scheme, width):
    async with visit(color_scheme=scheme, viewport={"width": width, "height": 800}) as (_, page, complaints):
        for path in ("/", "/@/signin", "/@/signin?login_hint=alice", "/public/", "/nowhere"):
            await page.goto(demo.url + path)
            assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
        assert [text for text in complaints.heard if "404" not in text] == []
