"""A program without a browser, and the person who types its code into theirs, in Chromium."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import barriers
from tests.ports import Ports
from tests.real.openid import client
from tests.real.terminal import Terminal
from tests.real.test_login_command import CONFIGURATION

pytestmark = pytest.mark.browser


@pytest.fixture
def terminal(gateway, openid, ports: Ports, tmp_path) -> Terminal:
    port = ports.take()
    provider = openid(client("app", f"http://127.0.0.1:{port}/@op/callback"))
    gateway(CONFIGURATION.replace("ISSUER", provider.issuer), port=port)
    return Terminal(f"http://127.0.0.1:{port}", tmp_path / "home")


@pytest.fixture
async def page(browser: Browser, terminal: Terminal) -> AsyncIterator[Page]:
    """Alice's, who is signed in."""
    context = await browser.new_context(locale="en-GB", viewport={"width": 400, "height": 800})
    page = await context.new_page()
    await page.goto(f"{terminal.origin}/@/signin?login_hint=alice&rd=/@/account")
    yield page
    await context.close()


async def begun(terminal: Terminal) -> tuple[asyncio.subprocess.Process, str]:
    """A command that waits, and its code."""
    login = await terminal.begin("login", terminal.origin)
    assert login.stderr is not None
    said = (await asyncio.wait_for(login.stderr.readline(), 60)).decode()
    [code] = re.findall(r"type ([A-Z]{4}-[A-Z]{4})", said)
    return login, code


async def ended(login: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    out, err = await asyncio.wait_for(login.communicate(), 60)
    return login.returncode, out.decode(), (err or b"").decode()


async def test_a_code_that_is_typed_lets_the_program_in(terminal: Terminal, page: Page) -> None:
    login, code = await begun(terminal)
    await page.goto(f"{terminal.origin}/@/device")
    assert await barriers(page) == []
    field = page.get_by_label("Code")
    await field.fill("BBBB-BBBB")
    await page.get_by_role("button", name="Continue").click()
    await expect(field).to_have_attribute("aria-invalid", "true")
    assert await barriers(page) == []

    # People type it as they like; who asks for what, from where and since when is shown before anything is given.
    await field.fill(code.lower().replace("-", " "))
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("heading", name="Let A terminal in?")).to_be_visible()
    facts = page.locator("dl.facts")
    for shown in ("127.0.0.1", "Asked", "a moment ago", "Program"):
        await expect(facts).to_contain_text(shown)
    assert await barriers(page) == []
    await page.get_by_role("button", name="Allow").click()
    await expect(page.get_by_role("heading")).to_contain_text("A terminal")
    assert await ended(login) == (0, f"Signed in at {terminal.origin}.\n", "or open " + link(terminal, code))


async def test_somebody_at_a_terminal_types_what_it_shows_into_the_page(
    terminal: Terminal, page: Page
) -> None:
    """The command in a pseudo-terminal, the page in Chromium, and then the command again."""
    login, screen = await terminal.begin_on_screen("login", terminal.origin)
    [(address, code)] = re.findall(r"Open (\S+) and type ([A-Z]{4}-[A-Z]{4})", await screen.line())
    await page.goto(address)
    await page.get_by_label("Code").fill(code)
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("heading", name="Let A terminal in?")).to_be_visible()
    assert login.returncode is None
    await page.get_by_role("button", name="Allow").click()
    assert (await ended(login))[:2] == (0, f"Signed in at {terminal.origin}.\n")
    screen.close()
    whoami = await terminal.run("whoami")
    assert (whoami[0], whoami[1].split()[0]) == (0, "alice@example.com")


async def test_a_link_fills_the_code_in_and_gives_nothing(terminal: Terminal, page: Page) -> None:
    login, code = await begun(terminal)
    await page.goto(link(terminal, code).strip())
    await expect(page.get_by_label("Code")).to_have_value(code)
    await expect(page.get_by_text("A terminal")).to_have_count(0)
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name="Refuse").click()
    status, out, err = await ended(login)
    assert (status, out) == (1, "")
    assert "access_denied" in err


def link(terminal: Terminal, code: str) -> str:
    return f"{terminal.origin}/@/device?user_code={code}\n"
