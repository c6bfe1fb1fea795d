"""Other people's libraries as apps of the gateway: Authlib in Python, oauth4webapi in Node. Neither is told anything special."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from requests.adapters import HTTPAdapter

from tests.real.asked import answered, leads_to, sent_to, typed
from tests.real.house import CONFIGURATION, Browser, House, build
from tests.real.node_home import node_binary
from tests.real.openid import NODE
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

BACK, LINK = "http://127.0.0.1:43210/callback", "https://partner.example/back"
SECRET = "a-secret-of-at-least-32-characters-0"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
WITHIN_S = 120
ROUTES = """
  mcp             = true
  register_apps   = true
  register_scopes = ["tools"]
  route "/reads/" {
    access {
      allow = ["token:read"]
    }
  }
  route "/mcp" {
    access {
      allow = ["token:tools"]
    }
  }
  route "/open/" {"""
APPS = f"""
app "partner" {{
  hosts     = ["app.example.com"]
  redirects = ["{LINK}"]
  secret    = "{SECRET}"
  scopes    = ["read", "write", "tools"]
  grants    = ["code", "refresh", "exchange"]
}}

app "phone" {{
  hosts     = ["app.example.com"]
  redirects = ["https://app.example.com/app/callback"]
  scopes    = ["read", "write"]
  grants    = ["code", "refresh", "exchange"]
}}

app "cli" {{
  name   = "Forum on a terminal"
  hosts  = ["app.example.com"]
  grants = ["device", "refresh"]
  scopes = ["read"]
}}
"""


@pytest.fixture
async def house(ports, api, openid, gateway) -> House:
    text = CONFIGURATION.replace('  route "/open/" {', ROUTES.lstrip("\n"), 1) + APPS
    return await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=text)


class Loopback(HTTPAdapter):
    """Every name is this machine."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        request.headers["Host"] = parts.netloc
        request.url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{parts.port}"))
        return super().send(request, *args, **kwargs)


async def status(house: House, path: str, token: str) -> int:
    """What a request with this access token is answered with."""
    bearer = {"Authorization": f"Bearer {token}"}
    async with new_visitor() as program, program.get(f"{house.origin}{path}", headers=bearer) as answer:
        return answer.status


# -- Authlib ----------------------------------------------------------------------------------


class Authlib:
    """An app by Authlib, which knows requests: each step in a thread."""

    def __init__(self, house: House, app: str, back: str, secret: str | None = None) -> None:
        self.house, self.back = house, back
        self.client = OAuth2Session(
            app,
            secret,
            scope="read write",
            redirect_uri=back,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
        )
        self.client.mount("http://", Loopback())

    async def sign_in(self, person: Browser) -> dict[str, Any]:
        verifier = secrets.token_urlsafe(48)
        url, _ = self.client.create_authorization_url(
            f"{self.house.origin}/@/authorize", code_verifier=verifier
        )
        page = await sent_to(person, url, back=self.back)
        back = page.headers["Location"]
        return await self.do("fetch_token", "token", authorization_response=back, code_verifier=verifier)

    async def exchange(self, token: str, **more: str) -> tuple[int, dict[str, Any]]:
        """What a token is exchanged for, or why not."""
        form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS, **more}
        answer = await asyncio.to_thread(
            self.client.request,
            "POST",
            f"{self.house.origin}/@/token",
            data=form,
            auth=self.client.client_auth(self.client.token_endpoint_auth_method),
            withhold_token=True,
        )
        return answer.status_code, answer.json()

    async def do(self, what: str, path: str, **more: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, what), f"{self.house.origin}/@/{path}", **more)


async def test_authlib_signs_in_refreshes_asks_exchanges_and_revokes(house, monkeypatch):
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    async with house.browser() as person:
        partner = Authlib(house, "partner", LINK, SECRET)
        first = await partner.sign_in(person)
        assert first["scope"] == "read write"
        assert await status(house, "/reads/x", first["access_token"]) == 200
        second = await partner.do("refresh_token", "token", refresh_token=first["refresh_token"])
        assert second["refresh_token"] != first["refresh_token"]

        phone = Authlib(house, "phone", "https://app.example.com/app/callback")
        theirs = (await phone.sign_in(person))["access_token"]

    # A narrower one, for one of another app's that is for a host of the partner's; no wider one, and not for anybody.
    found, told = await partner.exchange(theirs, scope="write")
    assert (found, told["issued_token_type"], told["scope"]) == (200, ACCESS, "write")
    assert 0 < told["expires_in"] <= 600
    assert "refresh_token" not in told
    narrow = told["access_token"]
    assert (await status(house, "/", narrow), await status(house, "/reads/x", narrow)) == (200, 403)
    assert (await phone.exchange(theirs, scope="read"))[0] == 200
    for app, token, more, error in (
        (partner, narrow, {"scope": "read"}, "invalid_scope"),
        (partner, theirs, {"scope": "tools"}, "invalid_scope"),
        (partner, theirs, {"resource": "https://other.example"}, "invalid_target"),
        (partner, theirs, {"actor_token": theirs, "actor_token_type": ACCESS}, "invalid_request"),
        (partner, "vst_at_x", {}, "invalid_request"),
        (phone, second["access_token"], {}, "invalid_request"),
    ):
        found, told = await app.exchange(token, **more)
        assert (found, told["error"]) == (400, error)

    asked = await partner.do("introspect_token", "introspect", token=narrow)
    told = asked.json()
    assert (told["active"], told["client_id"], told["scope"]) == (True, "partner", "write")
    # It ends with the session that it is of, and its holder can't end that.
    await partner.do("revoke_token", "revoke", token=narrow)
    assert await status(house, "/", narrow) == 200
    await phone.do("revoke_token", "revoke", token=theirs)
    assert await status(house, "/", narrow) == 401
    assert (await partner.do("introspect_token", "introspect", token=narrow)).json() == {"active": False}


# -- oauth4webapi -----------------------------------------------------------------------------


async def test_oauth4webapi_does_all_there_is(house):
    settings = json.dumps({"origin": house.origin, "back": BACK, "secret": SECRET})
    app = await asyncio.create_subprocess_exec(
        str(node_binary()),
        str(NODE / "app.mjs"),
        settings,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert app.stdin is not None
    assert app.stdout is not None
    try:
        async with asyncio.timeout(WITHIN_S), house.browser() as person:
            done: dict[str, Any] = {}
            while not done:
                line = await app.stdout.readline()
                assert line, "it ended"
                told = json.loads(line)
                done = told.get("done", {})
                reply = await did(person, told)
                app.stdin.write(json.dumps(reply).encode() + b"\n")
            assert await app.wait() == 0
    finally:
        if app.returncode is None:
            app.kill()
            await app.wait()
    assert done["own"]["token_endpoint_auth_method"] == "none"
    assert done["first"]["scope"] == "tools"
    assert done["second"]["refresh_token"] != done["first"]["refresh_token"]
    assert await status(house, "/mcp", done["second"]["access_token"]) == 200
    assert done["narrow"]["issued_token_type"] == ACCESS
    assert (done["before"]["active"], done["before"]["scope"]) == (True, "read")
    assert done["after"] == {"active": False}
    assert await status(house, "/reads/x", done["third"]["access_token"]) == 200


async def did(person: Browser, told: dict[str, Any]) -> dict[str, str]:
    """What somebody does that the app can't."""
    if "open" in told:
        page = await sent_to(person, told["open"], back=LINK)
        if page.status == 200:
            return {"callback": str(leads_to(await answered(person, page, "allow"), BACK))}
        return {"callback": page.headers["Location"]}
    if "device" in told:
        page = await typed(person, "/@/device", user_code=told["device"]["user_code"])
        assert (await answered(person, page, "allow", "/@/device")).status == 200
    return {}
