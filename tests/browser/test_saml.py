"""SAML by forms that browsers send on by themselves, with the real SimpleSAMLphp, in Chromium."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.realm_saml import new_pair
from tests.real.simplesaml import SimpleSaml
from tests.real.test_saml_simplesamlphp import HCL

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
MORE = """
  binding     = "post"
  private_key = "${file("FOLDER/saml.key")}"
  certificate = "${file("FOLDER/saml.pem")}"
"""


@pytest.fixture
def provider(ports: Ports, servers: contextlib.ExitStack, tmp_path: Path) -> SimpleSaml:
    """One that takes requests and logouts by form alone."""
    provider = SimpleSaml(ports.take(), tmp_path / "simplesamlphp")
    servers.callback(provider.stop)
    provider.change(sign__logout=True, SingleSignOnServiceBinding=[POST], SingleLogoutServiceBinding=[POST])
    provider.wait()
    return provider


@pytest.fixture
def origin(gateway: Callable[..., Gateway], provider: SimpleSaml, tmp_path: Path) -> str:
    """A site of a gateway that the provider knows."""
    pair = new_pair()
    (tmp_path / "saml.key").write_text(pair.key, "ascii")
    (tmp_path / "saml.pem").write_text(pair.certificate, "ascii")
    more = MORE.replace("FOLDER", str(tmp_path))
    running = gateway(HCL.replace("METADATA", provider.metadata_url).replace("MORE", more))
    origin = f"http://app.localhost:{running.port}"
    provider.register(f"{origin}/@corp/metadata")
    return origin


@contextlib.asynccontextmanager
async def opened(browser: Browser, *, scripts: bool) -> AsyncIterator[Page]:
    """A page of a new profile."""
    context = await browser.new_context(locale="en-GB", java_script_enabled=scripts)
    yield await context.new_page()
    await context.close()


async def filled(page: Page) -> None:
    """The provider's own form."""
    await page.locator('input[name="username"]').fill("alice")
    await page.locator('input[name="password"]').fill("alice")
    await page.locator('input[name="password"]').press("Enter")


async def is_out(page: Page, origin: str) -> None:
    """Nobody is signed in there."""
    answer = await page.goto(f"{origin}/@/session")
    assert answer is not None
    assert answer.status == 401


async def test_forms_go_on_by_themselves(browser: Browser, provider: SimpleSaml, origin: str) -> None:
    async with opened(browser, scripts=True) as page:
        refused: list[str] = []
        page.on("console", lambda said: refused.append(said.text) if "Security Policy" in said.text else None)
        posts: list[str] = []
        page.on("request", lambda sent: posts.append(sent.url) if sent.method == "POST" else None)
        await page.goto(f"{origin}/@corp/signin?rd=/deep")
        await expect(page.locator('input[name="password"]')).to_be_visible()
        await filled(page)
        await expect(page).to_have_url(f"{origin}/deep")
        await expect(page.get_by_text("alice@example.com")).to_be_visible()
        assert posts[0] == f"{provider.url}/saml2/idp/SSOService.php"
        assert posts[-1] == f"{origin}/@corp/callback"

        await page.goto(f"{origin}/@/signout")
        await expect(page).to_have_url(f"{origin}/@/signedout")
        assert any(url.startswith(f"{provider.url}/saml2/idp/SingleLogoutService.php") for url in posts)
        await is_out(page, origin)
        assert refused == []


async def test_without_scripts_they_go_on_by_a_button(
    browser: Browser, provider: SimpleSaml, origin: str
) -> None:
    async with opened(browser, scripts=False) as page:
        await page.goto(f"{origin}/@corp/signin?rd=/deep")
        assert page.url.startswith(origin)
        await page.get_by_role("button", name="Continue").click()
        await expect(page.locator('input[name="password"]')).to_be_visible()
        await filled(page)
        await page.get_by_role("button", name="Submit").click()
        await expect(page).to_have_url(f"{origin}/deep")
        await expect(page.get_by_text("alice@example.com")).to_be_visible()

        await page.goto(f"{origin}/@/signout")
        assert page.url.startswith(origin)
        await page.get_by_role("button", name="Continue").click()
        await expect(page).to_have_url(f"{origin}/@/signedout")
        await is_out(page, origin)
