"""An app on a phone, as AppAuth does it, in Chromium: from the system's browser to the app's own link and its tokens.

Everything the browser sends and gets is kept, and so is what the provider is asked: no verifier stands in it, the app's
or the gateway's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect
from yarl import URL

from tests.browser.axe import barriers
from tests.ports import Ports
from tests.real.rogue import SPEAKER, Rogue
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.browser

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

provider "google" {
  client_id     = "web.example"
  client_secret = "canary-web-secret"
  issuer        = "ISSUER"
}

app "ios" {
  name      = "Forum for iPhone"
  hosts     = ["app.localhost"]
  redirects = ["LINK"]
  scopes    = ["read", "write"]
}

app "desk" {
  name      = "Forum for desktops"
  hosts     = ["app.localhost"]
  redirects = ["http://127.0.0.1/callback"]
  scopes    = ["read", "write"]
}

app "evil" {
  hosts     = ["app.localhost"]
  redirects = ["EVIL"]
}

host "app.localhost" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["google"]
  access {
    allow = ["anyone"]
  }
}
"""
ALICE = {"sub": "alice", "email": "alice@example.com", "email_verified": True, "aud": "web.example"}
IPHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "locale": "en-GB"}


async def sign_in_page(request: web.Request) -> web.StreamResponse:
    """The provider's page: whoever presses the link is Alice."""
    speaker, back = request[SPEAKER], request.query
    speaker.nonces.append(back["nonce"])
    to = URL(back["redirect_uri"]).update_query(code="rogue-code", state=back["state"])
    text = f'<!doctype html><title>Sign in</title><a href="{to}">Continue as Alice</a>'
    return web.Response(text=text, content_type="text/html")


async def landed(_request: web.Request) -> web.StreamResponse:
    """What the app shows that has got its link."""
    return web.Response(text="<!doctype html><title>Forum</title>Back in the app", content_type="text/html")


class App:
    """What AppAuth keeps of a request, and an HTTP client without cookies."""

    def __init__(self, base: str, program: aiohttp.ClientSession, client_id: str, link: str) -> None:
        self.base, self.program, self.client_id, self.link = base, program, client_id, link
        self.verifier, self.state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)

    def request(self, **more: str) -> str:
        """The address that the system's browser is sent to."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "client_id": self.client_id,
            "redirect_uri": self.link,
            "response_type": "code",
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            **more,
        }
        return f"{self.base}/@/authorize?{urlencode(asked)}"

    def code_at(self, url: str) -> str:
        """The code at its link, which is for it and of this gateway."""
        assert url.startswith(self.link), url
        told = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
        assert (told["state"], told["iss"]) == (self.state, self.base)
        return told["code"]

    async def exchange(self, code: str, **more: str) -> tuple[int, dict[str, Any]]:
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "code": code,
            "redirect_uri": self.link,
            "code_verifier": self.verifier,
            **more,
        }
        async with self.program.post(f"{self.base}/@/token", data=form) as answer:
            return answer.status, json.loads(await answer.text())

    async def status(self, tokens: dict[str, Any]) -> int:
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        async with self.program.get(f"{self.base}/posts", headers=bearer) as answer:
            return answer.status


@pytest.fixture
async def context(browser: Browser, tmp_path: Path) -> AsyncIterator[BrowserContext]:
    """Of a phone; all that it sends and gets, bodies too, stands in `traffic.har` when it has been closed."""
    context = await browser.new_context(
        **IPHONE,
        ignore_https_errors=True,
        record_har_path=tmp_path / "traffic.har",
        record_har_content="embed",
    )
    yield context
    await context.close()


async def arrived(page: Page, app: App) -> str:
    """The code, when the browser has come to the app's link."""
    await expect(page.get_by_text("Back in the app")).to_be_visible()
    return app.code_at(page.url)


async def test_the_browser_ends_at_the_apps_own_link_and_no_verifier_is_ever_seen(
    context: BrowserContext, ports: Ports, api, gateway, tmp_path: Path
) -> None:
    async with (
        Rogue(ports.take()) as provider,
        new_visitor(user_agent="Forum/1 CFNetwork") as program,
    ):
        backend, desktop = await api(), await api(answer=landed)
        links = await api(https=True, answer=landed)
        link = f"https://forum.localhost:{links.port}/app/callback"
        evil_link = f"https://evil.localhost:{links.port}/back"
        provider.claims, provider.userinfo = ALICE, ALICE
        provider.instead["/authorize"] = sign_in_page
        text = CONFIGURATION.replace("ISSUER", provider.issuer).replace("BACKEND", str(backend.port))
        port = ports.take()
        running = gateway(text.replace("LINK", link).replace("EVIL", evil_link), port=port)
        base = f"http://app.localhost:{port}"
        page = await context.new_page()
        ios = App(base, program, "ios", link)
        evil = App(base, program, "evil", evil_link)
        desk = App(base, program, "desk", f"http://127.0.0.1:{desktop.port}/callback")

        # 1. Signed in at the provider, the browser ends at the link that the system opens in the app alone.
        await page.goto(ios.request())
        await page.get_by_role("link", name="Continue as Alice").click()
        code = await arrived(page, ios)

        # 2. Another app that got hold of the code, and one without the verifier, have nothing by it.
        for more in ({"client_id": "evil"}, {"client_id": "evil", "redirect_uri": evil_link}):
            status, told = await evil.exchange(code, **{"redirect_uri": link, **more})
            assert (status, told["error"]) == (400, "invalid_grant")
        status, told = await ios.exchange(code, code_verifier=evil.verifier)
        assert (status, told["error"]) == (400, "invalid_grant")
        assert (await ios.exchange(code))[0] == 400  # and now it is used up

        # 3. Signed in already, the next is there at once; its code is good once, and again ends what it gave.
        await page.goto(ios.request())
        code = await arrived(page, ios)
        status, tokens = await ios.exchange(code)
        assert (status, await ios.status(tokens)) == (200, 200)
        assert backend.seen[-1].all("user-email") == ["alice@example.com"]
        assert (await ios.exchange(code))[0] == 400
        assert await ios.status(tokens) == 401

        # 4. Another app's link is no place of this one's: the browser stays, and is told so.
        answer = await page.goto(ios.request(redirect_uri=evil_link))
        assert answer is not None
        assert (answer.status, page.url.startswith(base)) == (400, True)
        assert await barriers(page) == []
        assert [one.target for one in links.seen if one.target.startswith("/back")] == []

        # 5. Where any program could be waiting, the person is asked.
        await page.goto(desk.request())
        await expect(page.get_by_role("heading", name="Let Forum for desktops in?")).to_be_visible()
        await expect(page.get_by_text("read write")).to_be_visible()
        assert await barriers(page) == []
        assert [one.target for one in desktop.seen if one.target.startswith("/callback")] == []
        await page.get_by_role("button", name="Allow").click()
        code = await arrived(page, desk)
        status, tokens = await desk.exchange(code)
        assert (status, await desk.status(tokens)) == (200, 200)

        # 6. The verifiers: the apps' went to the gateway, the gateway's to the provider, and nowhere else.
        handles = [one["value"] for one in await context.cookies(base) if one["name"].startswith("vestibule")]
        await context.close()
        sent = (tmp_path / "traffic.har").read_text("utf-8")
        addresses = [entry["request"]["url"] for entry in json.loads(sent)["log"]["entries"]]
        assert f"{base}/@/authorize" in addresses  # the form of the question was kept
        assert "Let Forum for desktops in?" in sent  # and so was what pages said
        asked = "\n".join(repr(one) for one in provider.seen)
        [form] = [parse_qs(body) for _, path, body in provider.seen if path == "/token"]
        [own] = form["code_verifier"]
        digest = hashlib.sha256(own.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        assert challenge in sent
        got = "\n".join(repr(one) for one in (*links.seen, *desktop.seen, *backend.seen))
        for name, secret in {"own": own, "ios": ios.verifier, "desk": desk.verifier}.items():
            assert secret not in sent, name
            assert secret not in got, name
            assert name == "own" or secret not in asked, name
            assert secret not in running.log, name
        # Nor are the provider's code and tokens at the app, or the session's handle in any address.
        assert handles
        assert [secret for secret in ("rogue-code", "rogue-access", *handles) if secret in got] == []
        assert [handle for handle in handles if handle in "\n".join(addresses)] == []
        led = [url for one in (*links.seen, *desktop.seen) for url in one.all("referer")]
        assert [url for url in led if url.startswith(base)] == []
