"""App tokens through the whole gateway: made by a person in a browser, used by programs, ended at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import functools
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import bcrypt
import pytest
from aiohttp import web
from yarl import URL

from tests.real.house import CONFIGURATION, Browser, House, build
from tests.real.openid import client
from tests.real.realm import Realm
from tests.real.visitor import new_visitor
from vestibule.admin_client import AdminClient

pytestmark = pytest.mark.real

PASSWORDS = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "app.example.com" {
  backend    = "127.0.0.1:BACKEND"
  htpasswd   = "USERS"
  app_tokens = true
  access {
    allow = ["anyone"]
  }
}
"""
DOMAIN = """
gateway {
  http         = ["127.0.0.1:{port}"]
  forward_auth = "127.0.0.1:EDGE"
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "profile", "email"]
}

domain "vestibule.localhost" {
  auth_host = "auth.vestibule.localhost"
}

host "git.vestibule.localhost" {
  backend    = "internal:echo"
  sign_in    = ["op"]
  app_tokens = true
  access {
    allow = ["anyone"]
  }
}

host "www.vestibule.localhost" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""
SECOND = """
host "files.example.com" {
  backend    = "127.0.0.1:BACKEND"
  sign_in    = ["op"]
  app_tokens = true
  access {
    allow = ["anyone"]
  }
}
"""
TAKES = CONFIGURATION.replace('sign_in = ["op"]', 'sign_in = ["op"]\n  app_tokens = true', 1).replace(
    'route "/open/" {',
    'route "/admins/" {\n    access {\n      allow = ["group:admins"]\n    }\n  }\n  route "/open/" {',
)


@pytest.fixture
async def house(ports, api, openid, gateway) -> House:
    return await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=TAKES + SECOND)


@dataclasses.dataclass
class Program:
    """A script of Alice's: no browser, no cookies unless it is given some."""

    house: House
    session: aiohttp.ClientSession
    headers: dict[str, str]

    async def ask(
        self, path: str = "/", method: str = "GET", *, host: str = "app.example.com", **headers: str
    ) -> tuple[int, Any, str]:
        """Status, headers and text of the answer."""
        url = f"http://{host}:{self.house.gateway.port}{path}"
        sent = {**self.headers, "Accept": "application/json", **headers}
        async with self.session.request(method, url, headers=sent, allow_redirects=False) as answer:
            return answer.status, answer.headers, await answer.text()

    async def status(self, path: str = "/", method: str = "GET", **more: str) -> int:
        return (await self.ask(path, method, **more))[0]


@pytest.fixture
async def alice(house: House) -> AsyncIterator[Browser]:
    async with house.browser() as browser:
        await browser.sign_in("alice")
        yield browser


@pytest.fixture
async def visitor() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_visitor(user_agent="script/1") as session:
        yield session


async def listed(browser: Browser) -> dict[str, Any]:
    url = f"{browser.house.origin}/@/account/tokens"
    async with browser.session.get(url, headers={"Accept": "application/json"}) as answer:
        assert answer.status == 200
        return dict(await answer.json())


async def sent(browser: Browser, path: str, value: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    headers = {"Accept": "application/json", "Origin": browser.house.origin}
    url = f"{browser.house.origin}{path}"
    async with browser.session.post(url, json=value, headers=headers) as answer:
        return answer.status, dict(await answer.json())


async def made(browser: Browser, **wish: Any) -> dict[str, Any]:
    """A new token, as programs are told of it."""
    key = (await listed(browser))["key"]
    status, token = await sent(
        browser, "/@/account/tokens", {"key": key, "name": "laptop", "days": "30", **wish}
    )
    assert status == 201, token
    return token


def program(house: House, session: aiohttp.ClientSession, token: str) -> Program:
    return Program(house, session, {"Authorization": f"Bearer {token}"})


def database(house: House) -> sqlite3.Connection:
    return sqlite3.connect(house.gateway.directory / "state" / "vestibule.db", timeout=10)


def changed(house: House, sql: str, *values: Any) -> None:
    with contextlib.closing(database(house)) as connection, connection:
        assert connection.execute(sql, values).rowcount == 1


# -- what it is good for ----------------------------------------------------------------------


async def test_a_program_with_a_token_is_its_person_and_the_app_never_sees_the_token(house, alice, visitor):
    token = (await made(alice))["token"]
    who = await alice.who()
    script = program(house, visitor, token)
    assert await script.status("/data?x=1") == 200
    seen = house.app.seen[-1]
    assert seen.target == "/data?x=1"
    assert seen.one("User-Id") == who["user"]["id"]
    assert seen.one("User-Email") == "alice@example.com"
    assert seen.all("Authorization") == []
    assert seen.all("Proxy-Session") == []
    assert token not in repr(seen)


@pytest.mark.parametrize("user", ["alice", "", "whoever"])
async def test_it_is_the_password_of_whoever_can_only_send_one(house, alice, visitor, user):
    token = (await made(alice))["token"]
    basic = base64.b64encode(f"{user}:{token}".encode()).decode()
    script = Program(house, visitor, {"Authorization": f"Basic {basic}"})
    assert await script.status("/dav/", "PROPFIND") == 200
    seen = house.app.seen[-1]
    assert (seen.method, seen.one("User-Email")) == ("PROPFIND", "alice@example.com")
    assert seen.all("Authorization") == []


async def test_out_of_its_bounds_it_is_good_for_nothing(house, alice, visitor):
    token = (await made(alice, path="/alice/repo", reads=True))["token"]
    script = program(house, visitor, token)
    assert await script.status("/alice/repo") == 200
    assert await script.status("/alice/repo/info?service=x") == 200
    before = len(house.app.seen)
    for path, method, host in (
        ("/", "GET", "app.example.com"),
        ("/alice/repository", "GET", "app.example.com"),
        ("/alice/repo/../other", "GET", "app.example.com"),
        ("/alice/repo/x", "POST", "app.example.com"),
        ("/alice/repo", "GET", "files.example.com"),
    ):
        assert await script.status(path, method, host=host) in (400, 403), (path, method, host)
    assert len(house.app.seen) == before


async def test_rules_hold_for_it_as_for_its_person_and_groups_only_while_they_are_known(
    house, alice, visitor
):
    token = (await made(alice))["token"]
    script = program(house, visitor, token)
    assert await script.status("/admins/") == 200
    async with house.browser() as bob:
        await bob.sign_in("bob")
        bobs = program(house, visitor, (await made(bob))["token"])
        assert await bobs.status("/") == 200
        assert await bobs.status("/admins/") == 403
    house.gateway.stop()
    changed(
        house, "UPDATE vouched SET told_at = told_at - 8 * 86400 WHERE identity LIKE ?", "%alice@example.com%"
    )
    house.gateway.start_again()
    assert await script.status("/") == 200
    assert await script.status("/admins/") == 403
    await alice.get("/@op/signin?login_hint=alice", follow=True)
    assert await script.status("/admins/") == 200


async def test_a_token_outlives_a_crash_and_signing_out_everywhere(house, alice, visitor):
    token = (await made(alice))["token"]
    script = program(house, visitor, token)
    house.gateway.kill()
    house.gateway.start_again()
    assert await script.status() == 200
    assert (await sent(alice, "/@/account/signout", {}))[0] == 200
    assert await alice.who() is None
    assert await script.status() == 200


# -- what it is not ---------------------------------------------------------------------------


async def test_it_opens_nothing_of_the_persons_own(house, alice, visitor):
    script = program(house, visitor, (await made(alice))["token"])
    assert await script.status("/@/session") == 401
    assert await script.status("/@/account") == 401
    assert await script.status("/@/account/tokens") == 401
    assert await script.status("/@/account/export") == 401


async def test_a_wrong_one_is_refused_even_beside_a_good_cookie(house, alice):
    await made(alice)
    wrong = "vst_app_" + "0" * 49
    before = len(house.app.seen)
    script = Program(house, alice.session, {"Authorization": f"Bearer {wrong}"})
    for path in ("/", "/open/"):
        status, headers, text = await script.ask(path)
        assert status == 401
        assert headers["WWW-Authenticate"]
        assert json.loads(text)["code"] == "invalid_token"
        assert wrong not in text
    assert len(house.app.seen) == before
    assert (await alice.get("/")).status == 200


async def test_somebody_elses_token_is_left_to_the_app(house, visitor):
    script = Program(house, visitor, {"Authorization": "Bearer ghp_of_the_apps_own"})
    assert await script.status("/open/") == 200
    assert house.app.seen[-1].one("Authorization") == "Bearer ghp_of_the_apps_own"


# -- its end ----------------------------------------------------------------------------------


async def test_a_revoked_one_is_refused_at_once(house, alice, visitor):
    token = await made(alice)
    script = program(house, visitor, token["token"])
    assert await script.status() == 200
    assert (await sent(alice, "/@/account/tokens/revoke", {"id": token["id"]}))[0] == 200
    assert await script.status() == 401
    assert (await listed(alice))["items"] == []


async def test_an_operator_sees_and_revokes_it(house, alice, visitor):
    token = await made(alice)
    script = program(house, visitor, token["token"])
    assert await script.status() == 200
    admin = AdminClient(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}")
    (user,) = admin.users()
    (found,) = admin.user_tokens(user.id)
    assert (found.id, found.name, found.host) == (token["id"], "laptop", "app.example.com")
    admin.revoke_user_token(user.id, found.id)
    assert await script.status() == 401


@pytest.mark.parametrize("what", ["block", "delete"])
async def test_it_ends_with_its_person(house, alice, visitor, what):
    script = program(house, visitor, (await made(alice))["token"])
    assert await script.status() == 200
    admin = AdminClient(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}")
    (user,) = admin.users()
    admin.block_user(user.id) if what == "block" else admin.delete_user(user.id)
    assert await script.status() == 401
    if what == "block":
        admin.unblock_user(user.id)
        assert await script.status() == 401


async def test_an_expired_one_is_refused(house, alice, visitor):
    token = await made(alice)
    changed(house, "UPDATE app_tokens SET expires_at = ? WHERE id = ?", time.time() - 1, token["id"])
    assert await program(house, visitor, token["token"]).status() == 401


async def test_a_stream_that_came_by_it_is_broken_off_when_it_is_revoked(house, alice, visitor):
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        with contextlib.suppress(aiohttp.ClientError):
            while True:
                await answer.write(b"data: x\n\n")
                await asyncio.sleep(0.05)
        return answer

    token = await made(alice)
    house.app.answer = stream
    headers = {"Authorization": f"Bearer {token['token']}"}
    async with asyncio.timeout(60), visitor.get(f"{house.origin}/stream", headers=headers) as answer:
        await answer.content.readany()
        assert (await sent(alice, "/@/account/tokens/revoke", {"id": token["id"]}))[0] == 200
        with contextlib.suppress(aiohttp.ClientError):
            while await answer.content.readany():
                pass


async def test_one_that_is_revoked_at_one_gateway_is_refused_by_another_on_the_same_database(
    *, postgres, ports, api, openid, gateway, visitor
):
    env = {
        "VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU=",
        "DATABASE_URL": postgres.url,
    }
    start = functools.partial(gateway, env=env)
    text = TAKES + 'store {\n  url = "${env("DATABASE_URL")}"\n}\n'
    house = await build(ports=ports, api=api, openid=openid, gateway=start, configuration=text)
    text = house.gateway.file.read_text().replace(f"= {house.call_port}\n", f"= {ports.take()}\n")
    other = start(text.replace(f':{house.gateway.port}"', ':{port}"'))
    async with house.browser() as browser:
        await browser.sign_in("alice")
        token = await made(browser)
        here = program(house, visitor, token["token"])
        there = program(dataclasses.replace(house, gateway=other), visitor, token["token"])
        assert await here.status() == await there.status() == 200
        assert (await sent(browser, "/@/account/tokens/revoke", {"id": token["id"]}))[0] == 200
        assert await here.status() == 401
        async with asyncio.timeout(30):
            while await there.status() != 401:
                await asyncio.sleep(0.05)


# -- who makes them, and asks about them, elsewhere -------------------------------------------


@pytest.fixture
async def realm(ports, openid, gateway) -> AsyncIterator[Realm]:
    """A domain: people sign in, and make tokens, at `auth`; edges ask about `git` and `www`."""
    port, edge = ports.take(), ports.take()
    base = f"http://auth.vestibule.localhost:{port}"
    provider = openid(client("app", f"{base}/@op/callback"))
    text = DOMAIN.replace("ISSUER", provider.issuer).replace("EDGE", str(edge))
    async with contextlib.AsyncExitStack() as people:
        yield Realm(gateway(text, port=port), provider, people)


async def test_they_are_made_at_the_auth_host_for_a_host_of_the_domain(realm, visitor):
    alice = await realm.person()
    await alice.sign_in("git")
    led = await alice.get(realm.url("git", "/@/account/tokens"), follow=True)
    assert led.url.host == "auth.vestibule.localhost"
    origin = str(realm.url("auth", ""))
    asked = {"Accept": "application/json", "Origin": origin}
    async with alice.visitor.get(realm.url("auth", "/@/account/tokens"), headers=asked) as answer:
        told = await answer.json()
    assert told["hosts"] == ["git.vestibule.localhost"]
    wish = {"key": told["key"], "name": "ci", "days": "7", "host": "git.vestibule.localhost"}
    async with alice.visitor.post(
        realm.url("auth", "/@/account/tokens"),
        json={**wish, "host": "www.vestibule.localhost"},
        headers=asked,
    ) as answer:
        assert answer.status == 422
    async with alice.visitor.post(
        realm.url("auth", "/@/account/tokens"), json={**wish, "path": "/repo"}, headers=asked
    ) as answer:
        token = (await answer.json())["token"]

    async def status(url: str | URL, **headers: str) -> tuple[int, Mapping[str, str]]:
        sent = {"Authorization": f"Bearer {token}", "Accept": "application/json", **headers}
        async with visitor.get(url, headers=sent, allow_redirects=False) as answer:
            return answer.status, answer.headers

    assert (await status(realm.url("git", "/repo/x")))[0] == 200
    assert (await status(realm.url("git", "/other")))[0] == 403
    # No other host takes it, nor passes it on, though it is public.
    assert (await status(realm.url("www", "/")))[0] == 401
    # An edge that asks is told the same.
    edge = re.search(r'forward_auth = "([0-9.:]+)"', realm.gateway.file.read_text())
    assert edge
    for path, wanted in (("/repo/x", 200), ("/other", 403)):
        url = f"http://git.vestibule.localhost:{realm.gateway.port}{path}"
        found, headers = await status(
            f"http://{edge[1]}/@/validate", **{"X-Original-URL": url, "X-Original-Method": "GET"}
        )
        assert found == wanted
        assert headers.get("User-Email", "") == ("alice@example.com" if wanted == 200 else "")


async def test_who_signs_in_with_a_password_makes_them_too_until_the_file_has_them_no_more(
    ports, api, gateway, visitor, tmp_path
):
    app, port = await api(), ports.take()
    line = "ann:" + bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode() + "\n"
    users = tmp_path / "users"
    users.write_text(line)
    users.chmod(0o600)
    running = gateway(PASSWORDS.replace("BACKEND", str(app.port)).replace("USERS", str(users)), port=port)
    origin = f"http://app.example.com:{port}"
    async with new_visitor() as ann:
        form = {"user": "ann", "password": "correct horse", "rd": "/"}
        async with ann.post(f"{origin}/@/signin", data=form, headers={"Origin": origin}) as answer:
            assert answer.status == 200
        asked = {"Accept": "application/json", "Origin": origin}
        async with ann.get(f"{origin}/@/account/tokens", headers=asked) as answer:
            key = (await answer.json())["key"]
        wish = {"key": key, "name": "script", "days": "7"}
        async with ann.post(f"{origin}/@/account/tokens", json=wish, headers=asked) as answer:
            token = (await answer.json())["token"]
    asked = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    async def status() -> int:
        async with visitor.get(f"{origin}/", headers=asked) as answer:
            return answer.status

    assert await status() == 200
    assert app.seen[-1].one("User-Login") == "ann"
    users.write_text("bob:" + line.partition(":")[2])
    async with asyncio.timeout(60):
        while await status() == 200:
            await asyncio.sleep(0.1)
    assert await status() == 403
    assert token not in running.log


# -- what is shown ----------------------------------------------------------------------------


async def test_when_it_was_last_used_is_shown(house, alice, visitor):
    token = await made(alice)
    assert (await listed(alice))["items"][0]["seen_at"] is None
    assert await program(house, visitor, token["token"]).status() == 200
    async with asyncio.timeout(60):
        while (await listed(alice))["items"][0]["seen_at"] is None:
            await asyncio.sleep(0.2)
    assert "last used" in (await alice.get("/@/account")).text


async def test_the_token_stands_nowhere_but_on_the_page_that_showed_it(house, alice, visitor):
    token = (await made(alice, name="canary"))["token"]
    script = program(house, visitor, token)
    assert await script.status() == 200
    assert await script.status("/admins/x") == 200
    await script.ask("/@/account")
    for page in ("/@/account", "/@/account/export", "/@/account/tokens"):
        assert token not in (await alice.get(page)).text
    user_id = (await alice.who())["user"]["id"]
    admin = AdminClient(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}")
    assert token not in repr(list(admin.user_tokens(user_id)))
    admin.block_user(user_id)
    assert token not in (await script.ask())[2]
    house.gateway.stop()
    state = house.gateway.directory / "state"
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert b"canary" in kept
    assert token.encode() not in kept
    assert token not in house.gateway.log
    assert token.removeprefix("vst_app_") not in house.gateway.log
    assert token not in repr(house.app.seen)
