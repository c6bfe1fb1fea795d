"""A client of MCP that is a page of another site, in Chromium: what it reads of the gateway, and what it doesn't."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.ports import Ports
from tests.real.openid import client

pytestmark = pytest.mark.browser

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile"]
}

host "tools.localhost" {
  backend       = "internal:echo"
  mcp           = true
  register_apps = true
  sign_in       = ["op"]
  access {
    allow = ["anyone"]
  }
}

host "inspector.localhost" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""
ASK = """async ([url, how]) => {
  const answer = await fetch(url, how);
  return [answer.status, answer.headers.get('www-authenticate'), await answer.text()];
}"""


@pytest.fixture
def origin(gateway, openid, ports: Ports) -> str:
    port = ports.take()
    provider = openid(client("app", f"http://tools.localhost:{port}/@op/callback"))
    gateway(CONFIGURATION.replace("ISSUER", provider.issuer), port=port)
    return f"http://tools.localhost:{port}"


@pytest.fixture
async def page(browser: Browser, origin: str) -> AsyncIterator[Page]:
    """Of another site, in a browser that is signed in here."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{origin}/@/signin?login_hint=alice&rd=/@/account")
    await page.goto(f"{origin.replace('tools.', 'inspector.')}/")
    yield page
    await context.close()


async def test_a_page_reads_the_way_in_and_nothing_of_who_is_signed_in(origin: str, page: Page) -> None:
    async def asked(path: str, **how: Any) -> Any:
        return await page.evaluate(ASK, [f"{origin}{path}", how])

    status, told, _ = await asked("/mcp", method="POST", body="{}")
    assert status == 401
    assert "/.well-known/oauth-protected-resource/mcp" in told
    version = {"MCP-Protocol-Version": "2026-07-28"}
    for path in ("/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server"):
        status, _, text = await asked(path, headers=version)
        assert (status, origin in text) == (200, True)
    json = {"Content-Type": "application/json"}
    said = '{"redirect_uris": ["http://localhost:6274/back"], "client_name": "Inspector"}'
    status, _, text = await asked("/@/register", method="POST", headers=json, body=said)
    assert (status, "registered-" in text) == (201, True)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, text = await asked("/@/token", method="POST", headers=form, body="grant_type=x")
    assert (status, "invalid_client" in text) == (401, True)

    # What goes by the cookie it gets to read nowhere, and with the cookie not even a refusal.
    for path, how in (("/@/session", {}), ("/@/account", {}), ("/mcp", {"credentials": "include"})):
        with pytest.raises(Exception, match="Failed to fetch"):
            await asked(path, **how)
