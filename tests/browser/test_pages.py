"""Every page of the gateway in Chromium: nothing in anybody's way, in both schemes, narrow, large, without scripts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import barriers
from tests.browser.demo import Complaints
from tests.browser.gallery import BRANDS, Gallery
from tests.ports import Ports
from tests.real.browser import PATIENCE_MS
from vestibule.config.page import languages
from vestibule.web.rehearsal import SAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.real]

NARROW = {"width": 320, "height": 640}
#: a screen of 1280 px at 200 %
ENLARGED = {"width": 640, "height": 400}
LANGUAGES = sorted(languages())
_TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def gallery(ports: Ports) -> Iterator[Gallery]:
    gallery = Gallery(ports.take())
    yield gallery
    gallery.close()


@contextlib.asynccontextmanager
async def window(browser: Browser, **options: object) -> AsyncIterator[Page]:
    """A page that may complain of nothing."""
    context = await browser.new_context(**{"locale": "en", **options})
    context.set_default_timeout(PATIENCE_MS)
    complaints = Complaints(context)
    try:
        yield await context.new_page()
        # A 404 page is what some of these are.
        assert [line for line in complaints.heard if "Failed to load resource" not in line] == []
    finally:
        await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("brand", BRANDS)
async def test_no_page_is_in_anybodys_way(browser, gallery, brand, scheme):
    found = {}
    async with window(browser, color_scheme=scheme) as page:
        for name in SAMPLES:
            await page.goto(gallery.page(name, brand))
            found[name] = await barriers(page)
            drawn = "Array.from(document.images).every(image => image.naturalWidth > 0)"
            assert await page.evaluate(drawn), name
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_is_in_anybodys_way_with_colours_of_their_own(browser, gallery, scheme):
    async with window(browser, color_scheme=scheme, forced_colors="active") as page:
        for name in SAMPLES:
            await page.goto(gallery.page(name))
            assert await barriers(page) == [], name


@pytest.mark.parametrize("tag", LANGUAGES)
async def test_the_sign_in_page_speaks_the_language_of_the_browser(browser, gallery, tag):
    async with window(browser, locale=tag, viewport=NARROW) as page:
        await page.goto(gallery.page("sign-in"))
        await expect(page.locator("html")).to_have_attribute("lang", tag)
        await expect(page.get_by_role("heading", level=1)).to_have_text(languages()[tag].say("signin.title"))
        assert await barriers(page) == []


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("brand", ["plain", "full"])
async def test_no_page_is_wider_than_the_narrowest_window(browser, gallery, brand, tag):
    async with window(browser, locale=tag, viewport=NARROW) as page:
        for name in SAMPLES:
            await page.goto(gallery.page(name, brand))
            assert not await page.evaluate(_TOO_WIDE), name


@pytest.mark.parametrize("viewport", [NARROW, ENLARGED], ids=["320 px", "200 %"])
async def test_letters_of_twice_the_size_fit(browser, gallery, viewport):
    async with window(browser, viewport=viewport) as page:
        for name in SAMPLES:
            await page.goto(gallery.page(name, "full"))
            await page.evaluate("document.documentElement.style.fontSize = '200%'")
            cut = "Array.from(document.querySelectorAll('main *, footer *')).filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow !== 'visible').length"
            assert await page.evaluate(cut) == 0, name
            assert not await page.evaluate(_TOO_WIDE), name


async def test_pages_are_read_in_order(browser, gallery):
    """One main part, one heading that says what it is, and none of a lower rank that skips one."""
    async with window(browser) as page:
        for name in SAMPLES:
            await page.goto(gallery.page(name, "full"))
            assert await page.get_by_role("main").count() == 1, name
            levels = await page.evaluate(
                "Array.from(document.querySelectorAll('h1, h2, h3')).map(h => +h.tagName[1])"
            )
            assert (levels.count(1), levels[0]) == (1, 1), name
            assert all(below <= above + 1 for above, below in pairwise(levels)), name
            title = await page.get_by_role("heading", level=1).inner_text()
            assert (await page.title()).startswith(title), name
        await page.goto(gallery.page("sign-in", "full"))
        await expect(page.get_by_role("contentinfo").get_by_role("link")).to_have_text(["Privacy", "Help"])


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser, gallery):
    async with window(browser) as page:
        for name in SAMPLES:
            await page.goto(gallery.page(name, "full"))
            wanted = (
                await page.locator("a, button, select, input:not([type=hidden])")
                .locator("visible=true")
                .count()
            )
            for reached in range(wanted):
                await page.keyboard.press("Tab")
                ring = "(e => [Array.from(document.querySelectorAll('a, button, select, input:not([type=hidden])')).filter(e => e.checkVisibility()).indexOf(e), getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth])(document.activeElement)"
                assert await page.evaluate(ring) == [reached, "solid", "3px"], name


async def test_what_is_pressed_is_large_enough_for_a_thumb(browser, gallery):
    async with window(browser, viewport=NARROW) as page:
        for name in SAMPLES:
            await page.goto(gallery.page(name))
            pressed = ".providers a, main > .actions *:is(a, button), .fields button, .field input[type=text]"
            for one in await page.locator(pressed).locator("visible=true").all():
                box = await one.bounding_box()
                assert box["height"] >= 44, name


async def test_who_wants_no_motion_gets_none(browser, gallery):
    async with window(browser, reduced_motion="reduce") as page:
        await page.goto(gallery.page("sign-in"))
        moving = "Array.from(document.querySelectorAll('*')).filter(e => getComputedStyle(e).transitionDuration !== '0s').length"
        assert await page.evaluate(moving) == 0


async def test_written_from_right_to_left_all_is_mirrored(browser, gallery):
    async with window(browser, viewport=NARROW) as page:
        await page.goto(gallery.page("sign-in", "rtl"))
        first = page.locator(".providers li").first
        mark, words = await first.locator("img").bounding_box(), await first.locator(".label").bounding_box()
        assert mark["x"] > words["x"] + words["width"] - 1
        for name in SAMPLES:
            await page.goto(gallery.page(name, "rtl"))
            assert not await page.evaluate(_TOO_WIDE), name
        await page.goto(gallery.page("form", "rtl"))
        check, label = page.locator(".check input"), page.locator(".check label")
        assert (await check.bounding_box())["x"] > (await label.bounding_box())["x"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_hosts_colours_reach_the_page(browser, gallery, scheme):
    async with window(browser, color_scheme=scheme) as page:
        await page.goto(gallery.page("not found", "full"))
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == {"light": "rgb(238, 240, 247)", "dark": "rgb(16, 18, 37)"}[scheme]
        button = page.locator(".actions .first")
        colour = await button.evaluate("e => getComputedStyle(e).backgroundColor")
        assert colour == {"light": "rgb(122, 31, 162)", "dark": "rgb(210, 155, 230)"}[scheme]


# -- without scripts --------------------------------------------------------------------------


async def test_no_page_has_a_script(browser, gallery):
    async with window(browser) as page:
        for name in SAMPLES:
            await page.goto(gallery.page(name, "full"))
            assert await page.locator("script, [onclick], [onload], iframe, object").count() == 0, name


async def test_without_javascript_buttons_and_forms_work(browser, gallery):
    async with window(browser, java_script_enabled=False) as page:
        gallery.asked.clear()
        await page.goto(gallery.page("sign-in"))
        await page.get_by_role("link", name="Continue with GitHub").click()
        await page.goto(gallery.page("web address"))
        await page.get_by_label("Your web address").fill("alice.example")
        await page.keyboard.press("Enter")
        await page.wait_for_url(lambda url: "/@me/signin" in url)
        await page.goto(gallery.page("sign out?"))
        await page.get_by_role("button", name="Sign out").click()
        assert gallery.asked == [
            "GET /@github/signin",
            "GET /@me/signin?rd=%2F&me=alice.example",
            "POST /@/signout",
        ]


async def test_a_form_that_comes_back_says_what_is_wrong_and_where(browser, gallery):
    async with window(browser) as page:
        await page.goto(gallery.page("web address again"))
        field = page.get_by_label("Your web address")
        await expect(field).to_have_value("htp:/")
        await expect(field).to_have_accessible_description(
            "For example https://alice.example That doesn’t look like a web address."
        )
        await expect(page.get_by_role("alert")).to_have_text("Please check what is marked below.")
        await page.goto(gallery.page("list"))
        await expect(page.get_by_role("listitem").first.get_by_role("button")).to_have_accessible_description(
            "Google"
        )
