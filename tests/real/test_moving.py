"""Moving over, to the end: a configuration of oauth2-proxy's and one of Vouch's, imported, running, with people in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
from click.testing import CliRunner

from tests.real.openid import client
from tests.real.visitor import new_visitor
from vestibule.cli.import_ import import_

pytestmark = pytest.mark.real

OAUTH2_PROXY = """
http_address = "127.0.0.1:PORT"
upstreams = [ "http://127.0.0.1:BACKEND/" ]
provider = "oidc"
oidc_issuer_url = "ISSUER"
client_id = "app"
client_secret = "app-secret"
scope = "openid email profile groups"
redirect_url = "http://app.example.com:PORT/oauth2/callback"
email_domains = [ "example.com" ]
allowed_groups = [ "admins" ]
skip_auth_routes = [ "^/public(/|$)" ]
cookie_secret = "OQINaROshtE9TcZkNAm-5Zs2Pv3xaWytBmc5W7sPX7w="
cookie_secure = false
"""
VOUCH = """
vouch:
  listen: 127.0.0.1
  port: PORT
  domains: [example.com]
  cookie: {secure: false}
  headers:
    claims: [groups]
oauth:
  provider: oidc
  client_id: app
  client_secret: app-secret
  auth_url: ISSUER/auth
  token_url: ISSUER/token
  user_info_url: ISSUER/me
  scopes: [openid, email, profile, groups]
  callback_url: http://vouch.example.com:PORT/auth
"""


def imported(product: str, text: str, *options: str) -> str:
    """What the command prints, with the secret that it doesn't print."""
    result = CliRunner().invoke(import_, [product, "-", *options], input=text)
    assert result.exit_code == 0, result.output
    assert "app-secret" not in result.output
    return str(result.stdout)


@pytest.fixture
async def visitor() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_visitor() as browser:
        yield browser


async def ask(
    browser: aiohttp.ClientSession, url: str, **headers: str
) -> tuple[int, aiohttp.typedefs.LooseHeaders]:
    async with browser.get(url, headers=headers, allow_redirects=False) as answer:
        await answer.read()
        return answer.status, answer.headers


async def follow(browser: aiohttp.ClientSession, url: str) -> int:
    async with browser.get(url, headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}) as answer:
        await answer.read()
        return answer.status


async def test_oauth2_proxy_s_app_goes_on_with_the_people_it_had(ports, api, openid, gateway, visitor):
    port = ports.take()
    root = f"http://app.example.com:{port}"
    provider = openid(client("app", f"{root}/oauth2/callback"))
    app = await api()
    text = OAUTH2_PROXY.replace("PORT", str(port)).replace("ISSUER", provider.issuer)
    text = imported("oauth2-proxy", text.replace("BACKEND", str(app.port)))
    gateway(text, port=port, env={"OAUTH2_PROXY_CLIENT_SECRET": "app-secret"})
    # Nobody is let in, but where oauth2-proxy asked for nobody either.
    assert (await ask(visitor, f"{root}/"))[0] == 401
    assert (await ask(visitor, f"{root}/public/a"))[0] == 200
    assert app.seen.pop().all("X-Forwarded-Email") in ([], [""])
    # Who isn't in the group is told so, and comes no further.
    assert await follow(visitor, f"{root}/@/signin?login_hint=bob") == 403
    assert app.seen == []
    # Who is comes back by the redirect URL that was registered, and the app is told as before.
    assert await follow(visitor, f"{root}/@/signin?login_hint=alice&rd=/report") == 200
    seen = app.seen.pop()
    assert (seen.target, seen.one("X-Forwarded-Email")) == ("/report", "alice@example.com")
    assert seen.one("X-Forwarded-User")
    # Paths of oauth2-proxy are where they were.
    assert (await ask(visitor, f"{root}/oauth2/userinfo"))[0] == 200
    assert (await ask(visitor, f"{root}/ping"))[0] == 200


async def test_vouch_s_nginx_is_answered_as_before(ports, openid, gateway, visitor):
    port = ports.take()
    auth, app = f"http://vouch.example.com:{port}", f"app.example.com:{port}"
    provider = openid(client("app", f"{auth}/auth"))
    text = VOUCH.replace("PORT", str(port)).replace("ISSUER", provider.issuer)
    text = imported("vouch", text, "--host", "app.example.com")
    text = re.sub(r'(forward_auth\s+= )"[^"]+"', rf'\1"127.0.0.1:{ports.take()}"', text)
    gateway(text, port=port, env={"OAUTH_CLIENT_SECRET": "app-secret"})
    asked = f"http://{app}/validate"
    assert (await ask(visitor, asked))[0] == 401
    assert await follow(visitor, f"{auth}/@/signin?login_hint=alice") == 200
    status, headers = await ask(visitor, asked)
    assert (status, headers["X-Vouch-User"]) == (200, "alice@example.com")
    assert "admins" in headers["X-Vouch-IdP-Claims-Groups"]
