"""Callers without a browser, through the whole gateway: tokens of the real oidc-provider, and people with passwords."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import html
import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest

from tests.real.api import Api, Seen
from tests.real.gateway import Gateway
from tests.real.openid import OpenId, client
from tests.real.visitor import new_visitor
from vestibule.protocol import base64url

pytestmark = pytest.mark.real

AUDIENCE = "https://api.example.com"
CONFIGURATION = """
gateway {
  http = ["127.0.0.1:PORT"]
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile", "groups"]
}

issuer "idp" {
  url      = "ISSUER"
  audience = "https://api.example.com"
  claims {
    login = "sub"
  }
}

issuer "asked" {
  url               = "ISSUER"
  introspection_url = "ISSUER/token/introspection"
  client_id         = "gateway"
  client_secret     = "gateway-secret"
}

host "jwt.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op"]
  issuers = ["idp"]
  access {
    allow = ["user:idp/robot", "anyone"]
  }
  route "/read/" {
    access {
      allow = ["token:idp/read"]
    }
  }
  route "/strict/" {
    require_jwt {
      issuer   = "ISSUER"
      audience = "https://strict.example.com"
    }
  }
}

host "opaque.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op"]
  issuers = ["asked"]
  access {
    allow = ["anyone"]
  }
}

host "pass.example.com" {
  backend  = "127.0.0.1:BACKEND"
  htpasswd = "USERS"
  access {
    allow = ["anyone"]
  }
}

host "keys.example.com" {
  backend = "127.0.0.1:BACKEND"
  apikey_auth {
    users = <<END
robot:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=
END
  }
}
"""
ANN, BOB = "correct horse", "battery staple"


def line(user: str, password: str) -> str:
    return f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"


def basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclasses.dataclass
class Site:
    """The gateway with its provider and an app, and a program that asks."""

    gateway: Gateway
    provider: OpenId
    app: Api
    program: aiohttp.ClientSession
    users: Path

    def url(self, host: str, path: str = "/") -> str:
        return f"http://{host}.example.com:{self.gateway.port}{path}"

    async def ask(
        self, host: str, path: str = "/", headers: dict[str, str] | None = None, **options: Any
    ) -> tuple[int, Any, str]:
        """Status, headers and text of the answer to a program."""
        sent = {"Accept": "application/json", **(headers or {})}
        session = options.pop("session", self.program)
        method = options.pop("method", "GET")
        async with session.request(
            method, self.url(host, path), headers=sent, allow_redirects=False, **options
        ) as answer:
            return answer.status, answer.headers, await answer.text()

    async def status(self, host: str, path: str = "/", **headers: str) -> int:
        return (await self.ask(host, path, headers))[0]

    async def seen(self, host: str, path: str = "/", **headers: str) -> Seen:
        """What the app got of a request that passed."""
        status, _, text = await self.ask(host, path, headers)
        assert status == 200, text
        return self.app.seen[-1]

    async def token(self, resource: str = "", scope: str = "", name: str = "robot") -> str:
        """An access token of a client's own: a JWT for a resource, else an opaque one."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
        async with self.program.post(
            f"{self.provider.issuer}/token",
            data={name: value for name, value in form.items() if value},
            headers=basic(name, f"{name}-secret"),
        ) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["access_token"])

    async def sign_in(self, browser: aiohttp.ClientSession, host: str, person: str = "alice") -> None:
        url = self.url(host, f"/@/signin?login_hint={person}")
        async with browser.get(url, headers={"Accept": "text/html"}) as answer:
            assert answer.status == 200, await answer.text()

    async def becomes(
        self, status: int, host: str, session: aiohttp.ClientSession | None = None, **headers: str
    ) -> None:
        """Returns once a request is answered so: what changed on disk is seen within seconds."""
        for _ in range(600):
            if (await self.ask(host, "/", headers, session=session or self.program))[0] == status:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never {status}")


@pytest.fixture
async def site(ports, api, openid, gateway, tmp_path: Path) -> AsyncIterator[Site]:
    port = ports.take()
    callbacks = [f"http://{name}.example.com:{port}/@op/callback" for name in ("jwt", "opaque")]
    provider = openid(
        client("app", *callbacks),
        client("gateway", "http://127.0.0.1/"),
        client("robot", "http://127.0.0.1/"),
    )
    app = await api()
    text = CONFIGURATION.replace("PORT", str(port)).replace("ISSUER", provider.issuer)
    users = tmp_path / "users.htpasswd"
    users.write_text(line("Ann", ANN) + line("bob", BOB), "utf-8")
    users.chmod(0o640)
    text = text.replace("BACKEND", str(app.port)).replace("USERS", str(users))
    started = gateway(text, port=port)
    async with new_visitor(user_agent="script/1") as program:
        yield Site(started, provider, app, program, users)


# -- signed tokens ----------------------------------------------------------------------------------


async def test_a_token_of_the_issuer_lets_its_program_in_and_does_not_reach_the_backend(site):
    token = await site.token(AUDIENCE)
    seen = await site.seen("jwt", "/a", **bearer(token))
    assert seen.all("authorization") == []
    assert (seen.one("user-login"), seen.all("user-id")) == ("robot", [])
    assert token not in str(seen)
    assert token not in site.gateway.log


async def test_what_the_token_is_good_for_counts(site):
    token = await site.token(AUDIENCE, "read")
    assert await site.status("jwt", "/read/", **bearer(token)) == 200
    assert await site.status("jwt", "/read/", **bearer(await site.token(AUDIENCE, "write"))) == 403


async def test_o11_a_token_for_another_audience_is_refused_whatever_cookie_comes_with_it(site):
    token = await site.token("https://other.example.com")
    async with new_visitor() as browser:
        await site.sign_in(browser, "jwt")
        assert (await site.ask("jwt", "/", session=browser))[0] == 200
        status, headers, text = await site.ask("jwt", "/", bearer(token), session=browser)
    assert (status, json.loads(text)["code"]) == (401, "invalid_token")
    assert 'Bearer realm="jwt.example.com", error="invalid_token"' in ", ".join(
        headers.getall("WWW-Authenticate")
    )
    assert "Set-Cookie" not in headers
    assert all(not seen.all("authorization") for seen in site.app.seen)


@pytest.mark.parametrize("cut", [1, 2, 10, 43, 86, 87])
async def test_o11_a_token_that_lost_its_end_is_refused_after_the_whole_one_was_taken(site, cut):
    token = await site.token(AUDIENCE)
    assert await site.status("jwt", "/strict/", **bearer(token)) == 401
    assert await site.status("jwt", "/", **bearer(token)) == 200
    assert await site.status("jwt", "/", **bearer(token[:-cut])) == 401


async def test_an_id_token_is_no_access_token(site):
    async with new_visitor() as browser:
        await site.sign_in(browser, "jwt")
    forged = ".".join(
        base64url.encode(json.dumps(part).encode())
        for part in ({"alg": "none"}, {"iss": site.provider.issuer, "sub": "alice", "aud": AUDIENCE})
    )
    assert await site.status("jwt", "/", **bearer(f"{forged}.")) == 401


async def test_where_a_jwt_is_required_neither_a_session_nor_another_token_will_do(site):
    async with new_visitor() as browser:
        await site.sign_in(browser, "jwt")
        status, headers, text = await site.ask("jwt", "/strict/", session=browser)
    assert (status, json.loads(text)["code"]) == (401, "token_required")
    assert "Location" not in headers
    assert await site.status("jwt", "/strict/", **bearer(await site.token(AUDIENCE))) == 401
    token = await site.token("https://strict.example.com")
    assert await site.status("jwt", "/strict/", **bearer(token)) == 200
    assert await site.status("jwt", "/", **bearer(token)) == 403


async def test_o6_rotated_keys_are_found_and_made_up_ones_cost_the_issuer_nothing(site):
    old = await site.token(AUDIENCE)
    assert await site.status("jwt", "/", **bearer(old)) == 200
    site.provider.rotate_keys()
    assert await site.status("jwt", "/", **bearer(await site.token(AUDIENCE))) == 200
    before = site.provider.counts().get("GET /jwks", 0)
    head, claims, signature = old.split(".")
    header = json.loads(base64url.decode(head) or b"{}")
    for _ in range(50):
        kid = base64url.encode(json.dumps({**header, "kid": secrets.token_hex(8)}).encode())
        assert await site.status("jwt", "/", **bearer(f"{kid}.{claims}.{signature}")) == 401
    assert site.provider.counts().get("GET /jwks", 0) - before <= 1


async def test_signed_tokens_are_good_while_their_issuer_is_away(site):
    first = await site.token(AUDIENCE)
    second = await site.token(AUDIENCE)
    assert await site.status("jwt", "/", **bearer(first)) == 200
    site.provider.go_down()
    assert await site.status("jwt", "/", **bearer(second)) == 200


async def test_a_signed_token_as_a_password_is_a_token(site):
    token = await site.token(AUDIENCE)
    assert await site.status("jwt", "/", **basic("x", token)) == 200
    assert await site.status("jwt", "/", **basic(token, "x-oauth-basic")) == 200
    assert site.app.seen[-1].all("authorization") == []


# -- what is nobody's -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["Digest username=x", "Basic YTpi", "Bearer opaque", "Negotiate abc", "Bearer a.b.c", "x"],
)
async def test_what_nobody_here_knows_goes_on_to_the_backend_as_it_came(site, value):
    async with new_visitor() as browser:
        await site.sign_in(browser, "jwt")
        status, _, _ = await site.ask("jwt", "/", {"Authorization": value}, session=browser)
    assert status == 200
    assert site.app.seen[-1].one("authorization") == value


async def test_a_credential_that_comes_twice_reaches_nobody(site):
    token = await site.token(AUDIENCE)
    async with site.program.get(
        site.url("jwt"), headers=[("Authorization", "Basic YTpi"), ("Authorization", f"Bearer {token}")]
    ) as answer:
        status = answer.status
    assert status in (200, 400)
    assert all(token not in str(seen) and not seen.all("authorization") for seen in site.app.seen)


# -- opaque tokens ----------------------------------------------------------------------------------


async def test_an_opaque_token_is_shown_to_its_issuer_once_in_a_minute(site):
    token = await site.token()
    for _ in range(5):
        assert (await site.seen("opaque", **bearer(token))).all("authorization") == []
    assert site.provider.counts()["POST /token/introspection"] == 1


async def test_o11_another_opaque_token_is_asked_about_however_alike(site):
    token = await site.token()
    assert await site.status("opaque", **bearer(token)) == 200
    for other in (token[:-1], token + "A", token.swapcase()):
        status, _, text = await site.ask("opaque", "/", bearer(other))
        assert (status, json.loads(text)["code"]) == (401, "invalid_token")
    assert site.provider.counts()["POST /token/introspection"] == 4


async def test_a_jwt_of_an_issuer_without_an_audience_is_shown_to_it_too(site):
    """oidc-provider answers 400: it tells nobody anything of a JWT."""
    assert await site.status("opaque", **bearer(await site.token(AUDIENCE))) == 401
    assert site.provider.counts()["POST /token/introspection"] == 1


async def test_an_issuer_that_cannot_be_asked_lets_nobody_new_in(site):
    known, other = await site.token(), await site.token()
    assert await site.status("opaque", **bearer(known)) == 200
    site.provider.go_down()
    assert await site.status("opaque", **bearer(known)) == 200
    status, headers, _ = await site.ask("opaque", "/", bearer(other))
    assert (status, "Retry-After" in headers) == (503, True)
    site.provider.come_back()
    assert await site.status("opaque", **bearer(other)) == 200


async def test_an_issuer_that_refuses_the_gateway_itself_lets_nobody_in(site):
    token = await site.token()
    site.provider.trouble("/token/introspection", status=401, body={"error": "invalid_client"})
    assert await site.status("opaque", **bearer(token)) == 502
    assert await site.status("opaque", **bearer(token)) == 200


# -- passwords --------------------------------------------------------------------------------------


async def test_people_of_the_file_come_in_by_name_and_password(site):
    seen = await site.seen("pass", "/a", **basic("ANN", ANN))
    assert (seen.one("user-login"), seen.one("user-name"), seen.all("authorization")) == ("ann", "Ann", [])
    for user, password in (("ann", BOB), ("nobody", ANN), ("ann", ""), ("", ANN)):
        status, headers, text = await site.ask("pass", "/", basic(user, password))
        assert (status, json.loads(text)["code"]) == (401, "bad_credentials")
        assert 'Basic realm="pass.example.com", charset="UTF-8"' in headers.getall("WWW-Authenticate")
    assert len(site.app.seen) == 1
    assert ANN not in site.gateway.log


async def test_a_program_without_a_credential_is_told_which_and_a_browser_is_sent_to_the_form(site):
    status, headers, text = await site.ask("pass")
    assert status == 401
    assert 'Basic realm="pass.example.com", charset="UTF-8"' in headers.getall("WWW-Authenticate")
    assert json.loads(text)["sign_in"] == site.url("pass", "/@/signin")
    fetch = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    status, headers, _ = await site.ask("pass", "/", fetch)
    assert (status, any(value.startswith("Basic") for value in headers.getall("WWW-Authenticate"))) == (
        401,
        False,
    )
    navigation = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    status, headers, _ = await site.ask("pass", "/deep", navigation)
    assert (status, headers["Location"]) == (302, site.url("pass", "/@/signin?rd=/deep"))


async def filled(site: Site, browser: aiohttp.ClientSession, user: str, password: str, rd: str = "/") -> int:
    headers = {"Accept": "text/html", "Origin": site.url("pass").rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    form = {"user": user, "password": password, "rd": rd}
    url = site.url("pass", "/@/signin")
    async with browser.post(url, data=form, headers=headers, allow_redirects=False) as answer:
        await answer.read()
        return answer.status


async def test_people_of_the_file_sign_in_by_the_form(site):
    async with new_visitor() as browser:
        assert await filled(site, browser, "ann", "wrong") == 403
        assert await filled(site, browser, "Ann", ANN) == 303
        assert (await site.ask("pass", "/a", session=browser))[0] == 200
        seen = site.app.seen[-1]
        assert (seen.one("user-login"), bool(seen.one("user-id"))) == ("ann", True)
        by_request = await site.seen("pass", "/a", **basic("ann", ANN))
    assert by_request.one("user-id") == seen.one("user-id")


async def test_who_is_taken_out_of_the_file_is_out_with_session_and_password(site):
    async with new_visitor() as anns, new_visitor() as bobs:
        assert await filled(site, anns, "ann", ANN) == 303
        assert await filled(site, bobs, "bob", BOB) == 303
        site.users.write_text(line("bob", BOB), "utf-8")
        await site.becomes(401, "pass", session=anns)
        await site.becomes(401, "pass", **basic("ann", ANN))
        assert await filled(site, anns, "ann", ANN) == 403


async def test_who_has_another_password_is_out_with_the_old_one(site):
    async with new_visitor() as browser:
        assert await filled(site, browser, "ann", ANN) == 303
        site.users.write_text(line("ann", "another"), "utf-8")
        await site.becomes(401, "pass", session=browser)
        await site.becomes(200, "pass", **basic("ann", "another"))
        assert await site.status("pass", **basic("ann", ANN)) == 401
        assert await filled(site, browser, "ann", "another") == 303


async def test_a_broken_file_changes_nothing_until_it_is_mended(site):
    site.users.write_text("ann:hunter2\n", "utf-8")
    site.gateway.process.wait_log("htpasswd_unusable")
    assert await site.status("pass", **basic("bob", BOB)) == 200
    assert "hunter2" not in site.gateway.log
    site.users.write_text(line("carol", "x"), "utf-8")
    site.gateway.process.wait_log("htpasswd_loaded")
    assert await site.status("pass", **basic("carol", "x")) == 200
    assert await site.status("pass", **basic("bob", BOB)) == 401


async def test_o12_after_too_many_tries_a_name_waits_wherever_they_come_from(site):
    for number in range(10):
        assert await site.status("pass", **basic("bob", f"wrong{number}")) == 401
    status, headers, text = await site.ask("pass", "/", basic("BOB ", BOB))
    assert (status, json.loads(text)["code"]) == (429, "too_many_tries")
    assert 0 < int(headers["Retry-After"]) <= 300
    assert await site.status("pass", **basic("ann", ANN)) == 200


async def test_users_with_keys_come_in_by_them_and_browsers_are_asked_for_one(site):
    seen = await site.seen("keys", **basic("robot", ANN))
    assert (seen.one("user-login"), seen.all("authorization")) == ("robot", [])
    navigation = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    status, headers, _ = await site.ask("keys", "/", navigation)
    assert (status, "Location" in headers) == (401, False)
    assert 'Basic realm="keys.example.com", charset="UTF-8"' in headers.getall("WWW-Authenticate")


async def test_nothing_secret_is_written_down(site):
    token, opaque = await site.token(AUDIENCE), await site.token()
    async with new_visitor() as browser:
        await filled(site, browser, "ann", ANN)
        await site.status("jwt", **bearer(token))
        await site.status("opaque", **bearer(opaque))
        await site.status("pass", **basic("ann", ANN))
    kept = b"".join(path.read_bytes() for path in site.gateway.directory.rglob("*") if path.is_file())
    for secret in (token, opaque, ANN, basic("ann", ANN)["Authorization"].partition(" ")[2]):
        assert secret.encode() not in kept


# -- in a domain ------------------------------------------------------------------------------------

DOMAIN = """
gateway {
  http = ["127.0.0.1:PORT"]
}

domain "example.com" {
  auth_host = "auth.example.com"
}

host "a.example.com" {
  backend  = "127.0.0.1:BACKEND"
  htpasswd = "USERS"
  access {
    allow = ["user:htpasswd/Ann"]
  }
}

host "b.example.com" {
  backend  = "127.0.0.1:BACKEND"
  htpasswd = "USERS"
  access {
    allow = ["anyone"]
  }
}
"""


async def test_who_fills_in_the_form_at_the_auth_host_is_signed_in_on_all_hosts_that_know_them(
    ports, api, gateway, tmp_path: Path
):
    port, app, users = ports.take(), await api(), tmp_path / "users"
    users.write_text(line("Ann", ANN) + line("bob", BOB), "utf-8")
    users.chmod(0o640)
    text = DOMAIN.replace("PORT", str(port)).replace("BACKEND", str(app.port)).replace("USERS", str(users))
    started = gateway(text, port=port)
    auth = f"http://auth.example.com:{port}"
    page = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with new_visitor() as browser:
        async with browser.get(f"http://a.example.com:{port}/deep", headers=page) as answer:
            assert (answer.status, str(answer.url.origin())) == (200, auth), str(answer.url)
            form = re.search(r'name="rd" value="([^"]+)"', await answer.text())
        assert form is not None
        sent = {"user": "ann", "password": ANN, "rd": html.unescape(form[1])}
        headers = {**page, "Origin": auth, "Sec-Fetch-Site": "same-origin"}
        async with browser.post(f"{auth}/@/signin", data=sent, headers=headers) as answer:
            assert (answer.status, answer.url.path) == (200, "/deep"), str(answer.url)
        assert app.seen[-1].one("user-login") == "ann"
        async with browser.get(f"http://b.example.com:{port}/", headers=page) as answer:
            assert (answer.status, answer.url.host) == (200, "b.example.com")
        users.write_text(line("bob", BOB), "utf-8")
        started.process.wait_log("htpasswd_loaded")
        for name in "ab":
            async with browser.get(
                f"http://{name}.example.com:{port}/", headers={"Accept": "application/json"}
            ) as answer:
                assert answer.status == 401
