"""Everything at `debug`, the access log on, in each format: a secret stands in nothing that the gateway tells of itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.real.api import Api
from tests.real.rogue import signed_by_key
from tests.real.siege import Siege, besieged, cookies_of, handle_cookie, sign_in
from vestibule.admin_client import AdminClient

pytestmark = pytest.mark.real

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"canary-of-the-webhook-secret").decode()
SESSION_KEY = "canary-session-key-0123456789-abcdefghij"
PASSWORD, WRONG_PASSWORD = "canary-password", "canary-wrong-password"
KEY = "canary-api-key"
MORE = """
log {
  format = "<format>"
  level  = "debug"
  access = true
}
admin {
  listen = "127.0.0.1:<admin>"
}
webhook "ops" {
  url    = "http://127.0.0.1:<hook>/hook"
  secret = "<webhook>"
}
secret "key" {
  value = "<key>"
}
call "with a key" {
  port     = <port>
  endpoint = "http://127.0.0.1:<api>"
  auth {
    name       = "x-key"
    location   = "header"
    credential = "secret:key"
  }
}
host "people.example.com" {
  backend    = "127.0.0.1:<backend>"
  sign_in    = ["op"]
  htpasswd   = "<htpasswd>"
  app_tokens = true
  access {
    allow = ["anyone"]
  }
}
"""
ASKED = (
    *("overview", "hosts", "calls", "edges", "provider-states", "certificates", "configuration", "traffic"),
    *("configuration/difference", "log/levels", "audit", "users", "identities", "tokens"),
    *("identity-providers", "invitations", "dead-letters", "metrics", "openapi.json"),
)


class Place:
    """What is told by the gateway, and all that must not be among it."""

    def __init__(self, siege: Siege, admin: int, with_key: int) -> None:
        self.siege = siege
        self.admin = admin
        self.with_key = with_key
        self.id_tokens: list[str] = []
        self.told: dict[str, str] = {}

    async def ask(self, path: str, bearer: str = "") -> Any:
        """What the API says on its port, kept as told."""
        base = "/" if path == "metrics" else "/api/v1/"
        async with (
            aiohttp.ClientSession() as client,
            client.get(
                f"http://127.0.0.1:{self.admin}{base}{path}", headers={"Authorization": f"Bearer {bearer}"}
            ) as answer,
        ):
            text = await answer.text()
            self.told[f"/{path} {answer.status}"] = text
            return text


@pytest.fixture(params=["json", "logfmt", "console"])
async def place(request: Any, ports: Any, api: Any, gateway: Any, tmp_path: Path) -> AsyncIterator[Place]:
    htpasswd = tmp_path / "users.htpasswd"
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).digest()).decode()
    htpasswd.write_text(f"ann:{{SHA}}{digest}\n", "utf-8")
    admin, hook, with_key = ports.take(), ports.take(), ports.take()

    def start(text: str) -> Any:
        def of(name: str) -> str:
            return text.partition(name)[2].split('"')[0].split("/")[0]

        more = MORE
        for name, value in {
            "format": request.param,
            "admin": admin,
            "hook": hook,
            "webhook": WEBHOOK_SECRET,
            "port": with_key,
            "key": KEY,
            "htpasswd": htpasswd,
            "backend": of('backend = "127.0.0.1:'),
            "api": of('endpoint = "http://127.0.0.1:'),
        }.items():
            more = more.replace(f"<{name}>", str(value))
        return gateway(text + more, env={"VESTIBULE_SESSION_KEY": SESSION_KEY})

    async def refuses(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async with Api(hook, answer=refuses), besieged(ports, api, start) as siege:
        yield Place(siege, admin, with_key)


async def plain(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="fine")


async def rejected(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=401)


def provide(place: Place) -> None:
    """Tokens that can be told from all others, also those that are made."""

    def sign(header: dict[str, Any], claims: dict[str, Any]) -> str:
        place.id_tokens.append(signed_by_key(header, claims))
        return place.id_tokens[-1]

    provider = place.siege.provider
    provider.tokens = {"access_token": "canary-access", "refresh_token": "canary-refresh"}
    provider.callback = {"code": "canary-code"}
    provider.refreshed = {"sub": "alice"}
    provider.sign = sign
    place.siege.app.answer = place.siege.api.answer = plain


async def as_people(place: Place) -> dict[str, str]:
    """Whatever people and programs do; the secrets that this has made."""
    siege = place.siege
    async with siege.browser() as browser:
        page = await browser.get("/@op/signin?rd=/open/%3Fcanary-rd")
        asked = page.location
        callback = (await browser.get(asked)).location
        flows = [morsel.value for morsel in browser.session.cookie_jar]
        for target in (callback, callback, "/open/?token=canary-query", "/corp/x?token=canary-query"):
            await browser.get(target)
        _, handle = handle_cookie(siege, browser)
        caller = (await browser.seen_by_app("/?token=canary-query")).one("proxy-session")
        for target in (
            "/@/session",
            "/@/signin?rd=/%3Fcanary-rd",
            "/@nobody/signin",
            "/@op/callback?code=canary-bad",
        ):
            await browser.get(target)
        for answer in (plain, rejected):
            siege.api.answer = answer
            for path in ("/v1/me?token=canary-query", "/none"):
                async with siege.call(caller, path) as reply:
                    await reply.read()
        async with siege.call("canary-handle") as reply:
            assert reply.status == 401
        async with siege.client.get(f"http://127.0.0.1:{place.with_key}/x") as reply:
            assert reply.status == 401
        cookies = cookies_of(browser)
        forms = [body for _, path, body in siege.provider.seen if path == "/token"]
        verifier = dict(part.split("=") for part in forms[0].split("&"))["code_verifier"]
        siege.provider.tokens |= {"expires_in": 1}
        siege.api.answer = plain
        async with siege.browser() as other:
            await sign_in(other)
            one = (await other.seen_by_app("/")).one("proxy-session")
            asked_before = siege.provider.counts["/token"]
            async with asyncio.timeout(20):
                while siege.provider.counts["/token"] == asked_before:
                    async with siege.call(one) as reply:
                        assert reply.status == 200
        await go_wrong(siege)
        await with_credentials(siege)
        await browser.post("/@/signout")
    return {
        "handle": handle,
        "proxy-session": caller,
        "verifier": verifier,
        "nonce": asked.query["nonce"],
        "state": callback.query["state"],
        **{f"flow cookie {number}": value for number, value in enumerate(flows)},
        # The others say nothing: which provider it was.
        **{f"cookie {name}": value for name, value in cookies.items() if len(value) > 16},
    }


async def go_wrong(siege: Siege) -> None:
    """Every way in which what a provider gives can't be used, said aloud."""
    for tokens in (
        {"access_token": "canary-\u00e9"},
        {"access_token": "canary-access", "id_token": "canary-id"},
        {"access_token": "canary-access", "expires_in": 1, "id_token": "canary-id.x.y"},
        {"access_token": ["canary-access"], "token_type": "canary-access"},
    ):
        siege.provider.tokens = tokens
        async with siege.browser() as browser:
            await sign_in(browser)
    siege.provider.tokens = {"access_token": "canary-access", "refresh_token": "canary-refresh"}


async def with_credentials(siege: Siege) -> None:
    """Programs that show something in Authorization."""
    url = f"http://127.0.0.1:{siege.gateway.port}/x?access_token=canary-query"
    for value in (
        basic("ann", PASSWORD),
        basic("ann", WRONG_PASSWORD),
        "Bearer canary-bearer",
        "Bearer vst_app_canary-app-token",
        "Canary canary-scheme",
    ):
        headers = {"Host": "people.example.com", "Authorization": value, "Accept": "application/json"}
        async with siege.client.get(url, headers=headers) as answer:
            await answer.read()


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


async def as_admin(place: Place) -> dict[str, str]:
    """Everything an admin can look at; the secrets that this has made."""
    client = AdminClient(f"unix:{place.siege.gateway.directory / 'state' / 'admin.sock'}")
    token = client.create_token("watcher").token or ""
    client.create_provider(
        {
            "id": "okta",
            "provider_type": "oidc",
            "email_domains": ["example.com"],
            "openid_config": {
                "client_id": "0oa1",
                "client_secret": "canary-okta-secret",
                "issuer_url": "https://example.okta.com",
            },
        }
    )
    await place.ask("overview", "vst_admin_canary-wrong-token")
    for path in ASKED:
        await place.ask(path, token)
    assert {told for told in place.told if not told.endswith(" 200")} == {"/overview 401"}
    people = json.loads(place.told["/users 200"])["items"]
    sessions = [
        session
        for person in people
        for session in json.loads(await place.ask(f"sessions?user_id={person['id']}", token))["items"]
    ]
    assert sessions
    for session in sessions:
        for path in (f"sessions/{session['id']}", f"sessions/{session['id']}/credentials"):
            await place.ask(path, token)
    return {"admin token": token, **await revealed(client, sessions)}


async def revealed(client: AdminClient, sessions: list[dict[str, Any]]) -> dict[str, str]:
    """What is revealed is told to who asked, and to nobody else."""
    found = {}
    for session in sessions:
        for one in client.credentials(session["id"]):
            shown = client.reveal(session["id"], one.client, "canaries are counted")
            found[f"revealed {session['id']}"] = shown.access_token.reveal()
    assert found
    return found


def forms_of(secret: str) -> set[str]:
    """The secret, and what it looks like where somebody has encoded it."""
    raw = secret.encode()
    return {
        secret,
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        raw.hex(),
    }


async def test_no_secret_is_told_by_log_api_or_metrics(place: Place) -> None:
    provide(place)
    secrets = await as_people(place)
    provide(place)
    async with place.siege.browser() as browser:
        await sign_in(browser)
        secrets |= await as_admin(place)
        secrets["handle of another"] = handle_cookie(place.siege, browser)[1]
    secrets |= {f"ID token {number}": token for number, token in enumerate(place.id_tokens)}
    secrets |= {
        one: one
        for one in (
            *("canary-access", "canary-refresh", "canary-id", "canary-\u00e9", "canary-code", "canary-bad"),
            *("canary-client-secret", "canary-evil-secret", "canary-inline-secret", "canary-okta-secret"),
            *("canary-query", "canary-rd", "canary-handle", "canary-bearer", "canary-app-token"),
            *(
                "canary-scheme",
                "canary-wrong-token",
                PASSWORD,
                WRONG_PASSWORD,
                KEY,
                SESSION_KEY,
                WEBHOOK_SECRET,
            ),
            *(basic("ann", password).partition(" ")[2] for password in (PASSWORD, WRONG_PASSWORD)),
        )
    }
    with contextlib.suppress(ProcessLookupError):
        place.siege.gateway.stop()
    place.told["log"] = log = place.siege.gateway.log
    for event in ("access", "allowed", "refused", "signed_in", "credential_used", "credential_refreshed"):
        assert event in log, event
    assert "webhook_failed" in log
    found = {
        (name, where)
        for name, secret in secrets.items()
        for where, text in place.told.items()
        if any(form in text for form in forms_of(secret))
    }
    assert found == set()
