"""A branded host of the whole gateway, in Chromium: its pages, and the way people came in last."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.axe import barriers
from tests.browser.demo import Complaints
from tests.real.openid import client

pytestmark = [pytest.mark.browser, pytest.mark.real]

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><style>.a{fill:#7a1fa2}</style>
<rect class="a" width="40" height="40"/><script>document.documentElement.remove()</script></svg>"""

HCL = """
gateway {{ http = ["127.0.0.1:{{port}}"] }}
provider "corp" {{
  type          = "oidc"
  title         = "Acme account"
  issuer        = "{issuer}"
  client_id     = "corp"
  client_secret = "corp-secret"
}}
provider "partner" {{
  type          = "oidc"
  title         = "Partner"
  issuer        = "{issuer}"
  client_id     = "partner"
  client_secret = "partner-secret"
}}
host "wiki.localhost" {{
  backend = "internal:echo"
  sign_in = ["corp", "partner"]
  access {{ allow = ["anyone"] }}
  route "/down/" {{
    backend = "127.0.0.1:1"
    access {{ allow = ["public"] }}
  }}
  branding {{
    title        = "Acme Wiki"
    text         = "Please use the account of your work."
    banner       = "Authorised use only"
    logo         = "{folder}/logo.svg"
    accent       = "#7a1fa2"
    footer       = "© Acme Ltd"
    footer_links = {{ "Privacy" = "https://acme.example/privacy" }}
    languages    = "{folder}/words"
  }}
}}
"""


@pytest.fixture
def wiki(gateway, openid, ports, tmp_path):
    """The address of a running, branded site."""
    port = ports.take()
    site = f"http://wiki.localhost:{port}"
    provider = openid(*(client(name, f"{site}/@{name}/callback") for name in ("corp", "partner")))
    (tmp_path / "logo.svg").write_text(LOGO, "utf-8")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "de.json").write_text('{"signin": {"title": "Herein"}}', "utf-8")
    gateway(HCL.format(issuer=provider.issuer, folder=tmp_path), port=port)
    return site


async def test_the_page_is_the_operators_and_the_last_way_in_comes_first(browser, wiki):
    context = await browser.new_context(locale="en")
    complaints = Complaints(context)
    page = await context.new_page()
    await page.goto(f"{wiki}/a")
    await expect(page).to_have_title("Sign in · Acme Wiki")
    await expect(page.get_by_role("main")).to_contain_text("Please use the account of your work.")
    await expect(page.get_by_role("main")).to_contain_text("Authorised use only")
    await expect(page.get_by_role("contentinfo").get_by_role("link")).to_have_attribute(
        "href", "https://acme.example/privacy"
    )
    assert await page.locator(".logo img").evaluate("image => image.naturalWidth > 0")
    buttons = page.locator(".providers .words")
    await expect(buttons).to_have_text(["Continue with Acme account", "Continue with Partner"])
    colour = await page.locator(".letter").first.evaluate("e => getComputedStyle(e).backgroundColor")
    assert colour == "rgb(122, 31, 162)"
    assert await barriers(page) == []

    await sign_in_as_alice(page, buttons.nth(1))
    await expect(page).to_have_url(f"{wiki}/a")
    assert "-last" not in await page.content(), "the app is not told"
    cookies = {one["name"]: one for one in await context.cookies(wiki)}
    [last] = [one for name, one in cookies.items() if name.endswith("-last")]
    assert (last["value"], last["httpOnly"], last["sameSite"]) == ("partner", True, "Lax")

    await page.goto(f"{wiki}/@/signin?prompt=login")
    await expect(buttons).to_have_text(["Continue with Partner Last used", "Continue with Acme account"])
    await expect(page.get_by_role("main")).to_contain_text("Signed in as Alice Ängström")
    # The provider has no icon.
    assert [line for line in complaints.heard if "404" not in line] == []
    await context.close()


async def test_the_operators_words_are_spoken_by_the_data_plane_too(browser, wiki):
    context = await browser.new_context(locale="de-AT")
    page = await context.new_page()
    await page.goto(f"{wiki}/@/signin")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Herein")
    await page.goto(f"{wiki}/@/nothing")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Hier ist nichts")
    await expect(page).to_have_title("Hier ist nichts · Acme Wiki")
    answer = await page.goto(f"{wiki}/down/")
    assert (answer.status, answer.headers["content-language"]) == (502, "de")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Die Website antwortet nicht")
    assert await barriers(page) == []
    await context.close()


async def test_a_logo_opened_by_itself_runs_nothing(browser, wiki):
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{wiki}/@/signin")
    logo = await page.locator(".logo img").get_attribute("src")
    answer = await page.goto(wiki + logo)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert await page.evaluate("document.documentElement && document.documentElement.tagName") == "svg"
    await context.close()


async def sign_in_as_alice(page, button):
    """The provider asks who it is, and no password."""
    await button.click()
    await page.locator("a[href='?as=alice']").click()
