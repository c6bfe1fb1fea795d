"""Apps sign people in by the gateway: an app as AppAuth does it, with the real provider behind, and nothing in between.

The app opens the system's browser, gets it back with a code, and has its tokens by proof; the browser is a person's,
the app has no cookie.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from tests.real.house import CONFIGURATION, NAVIGATION, Browser, House, Page, build
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

APPS = """
app "ios" {
  name      = "Forum for iPhone"
  hosts     = ["app.example.com"]
  redirects = ["https://app.example.com/app/callback", "com.example.forum:/callback", "http://127.0.0.1/callback"]
  scopes    = ["read", "write"]
}

app "cli" {
  name   = "Forum on a terminal"
  hosts  = ["app.example.com"]
  grants = ["device", "refresh"]
  scopes = ["read"]
}

app "newsfeed" {
  hosts  = ["app.example.com"]
  grants = ["exchange"]
  secret = "a-secret-of-at-least-32-characters-0"
  scopes = ["read"]
}

app "partner" {
  hosts     = ["app.example.com"]
  redirects = ["https://partner.example/back"]
  secret    = "a-secret-of-at-least-32-characters-0"
  leeway    = "0s"
}
"""
ROUTES = """
  route "/reads/" {
    access {
      allow = ["token:read"]
    }
  }
  route "/writes/" {
    access {
      allow = ["token:write"]
    }
  }
  route "/posts/" {
    access {
      allow = ["anyone", "token:write"]
    }
  }
  route "/signed/" {
    assertion = true
    access {
      allow = ["anyone"]
    }
  }
  route "/open/" {"""
LINK, OWN, LOOPBACK = (
    "https://app.example.com/app/callback",
    "com.example.forum:/callback",
    "http://127.0.0.1:43210/callback",
)
SECRET = "a-secret-of-at-least-32-characters-0"


@pytest.fixture
async def house(ports, api, openid, gateway) -> House:
    text = CONFIGURATION.replace('  route "/open/" {', ROUTES.lstrip("\n"), 1) + APPS
    text = text.replace('host "app.example.com" {', 'host "app.example.com" {\n  compat = ["nuon"]', 1)
    return await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=text)


class App:
    """An app on somebody's phone: what AppAuth keeps of a request, and an HTTP client without cookies."""

    def __init__(self, house: House, program: aiohttp.ClientSession, client_id: str = "ios") -> None:
        self.house, self.program, self.client_id = house, program, client_id
        self.verifier = secrets.token_urlsafe(48)
        self.state = secrets.token_urlsafe(16)
        self.tokens: dict[str, Any] = {}

    def request(self, redirect_uri: str = LINK, **more: str) -> str:
        """The address that the system's browser is sent to."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            **more,
        }
        return f"/@/authorize?{urlencode({name: value for name, value in asked.items() if value})}"

    async def post(self, path: str, **form: str) -> tuple[int, dict[str, Any]]:
        """What the gateway answers an app."""
        sent = {"client_id": self.client_id, **form}
        async with self.program.post(f"{self.house.origin}{path}", data=sent) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, json.loads(await answer.text() or "{}")

    async def exchange(self, code: str, redirect_uri: str = LINK, **more: str) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        status, told = await self.post("/@/token", **{**form, "code_verifier": self.verifier, **more})
        self.tokens = told if status == 200 else self.tokens
        return status, told

    async def refresh(self, token: str = "", **more: str) -> tuple[int, dict[str, Any]]:
        shown = token or self.tokens["refresh_token"]
        status, told = await self.post("/@/token", grant_type="refresh_token", refresh_token=shown, **more)
        self.tokens = told if status == 200 else self.tokens
        return status, told

    async def status(self, path: str = "/", token: str = "") -> int:
        """What a request with its access token is answered with."""
        bearer = {"Authorization": f"Bearer {token or self.tokens['access_token']}"}
        async with self.program.get(f"{self.house.origin}{path}", headers=bearer) as answer:
            return answer.status


@pytest.fixture
async def phone(house: House) -> AsyncIterator[Browser]:
    async with house.browser() as browser:
        yield browser


@pytest.fixture
async def app(house: House) -> AsyncIterator[App]:
    async with new_visitor(user_agent="Forum/1 CFNetwork") as program:
        yield App(house, program)


async def through(phone: Browser, target: str, person: str = "alice") -> URL:
    """Where a browser ends that is sent there: signed in by the provider on its way, stopped where it leaves us."""
    url = URL(phone.house.origin).join(URL(target, encoded=True))
    for _ in range(30):
        async with phone.session.get(url, headers=NAVIGATION, allow_redirects=False) as answer:
            assert answer.status in (302, 303), await answer.text()
            location = answer.headers["Location"]
        if location.startswith(
            ("com.example.forum:", "http://127.0.0.1:43210", LINK, "https://partner.example")
        ):
            return URL(location, encoded=True)
        url = url.join(URL(location, encoded=True))
        if url.path == "/@/signin":
            url = url.update_query(login_hint=person)
    raise AssertionError(url)


async def signed_in(app: App, phone: Browser, **more: str) -> dict[str, Any]:
    """The app's tokens, after all of it."""
    back = await through(phone, app.request(**more))
    status, told = await app.exchange(back.query["code"])
    assert status == 200, told
    return told


async def test_an_app_signs_a_person_in_and_acts_as_them(house, app, phone):
    back = await through(phone, app.request())
    assert str(back).startswith(LINK)
    assert (back.query["state"], back.query["iss"]) == (app.state, house.origin)
    status, told = await app.exchange(back.query["code"])
    assert status == 200
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 600, "read write")

    assert await app.status() == 200
    seen = house.app.seen[-1]
    assert seen.all("user-email") == ["alice@example.com"]
    assert seen.all("proxy-session")
    assert not seen.all("authorization")
    assert not seen.all("cookie")


async def test_no_id_of_a_session_and_no_verifier_stands_in_any_address(house, app, phone):
    told = await signed_in(app, phone)
    await app.status()
    log = house.gateway.process.whole_log
    for secret in (app.verifier, told["access_token"], told["refresh_token"]):
        assert secret not in log


async def test_a_token_is_good_for_what_it_was_asked_for(house, app, phone):
    await signed_in(app, phone, scope="read")
    assert await app.status("/reads/x") == 200
    assert await app.status("/writes/x") == 403
    status, told = await app.refresh(scope="read write")
    assert (status, told["error"]) == (400, "invalid_scope")


async def test_where_rules_ask_for_a_scope_an_app_needs_it_and_a_person_does_not(house, app, phone):
    await signed_in(app, phone, scope="read")
    assert await app.status("/") == 200
    assert await app.status("/posts/1") == 403, "whom the person is doesn't help"
    status, told = await app.refresh(scope="read")
    assert (status, told["scope"]) == (200, "read")
    assert await app.status("/posts/1") == 403
    assert (await phone.get("/posts/1")).status == 200
    await signed_in(app, phone, scope="read write")
    assert await app.status("/posts/1") == 200


async def test_a_backend_exchanges_what_it_was_sent_for_a_token_that_can_do_less(house, app, phone):
    await through(phone, app.request())
    assert (await phone.get("/signed/")).status == 200
    assertion = house.app.seen[-1].one("proxy-assertion")
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": assertion,
        "client_id": "newsfeed",
    }
    assert (await app.post("/@/token", **form))[0] == 401
    status, told = await app.post("/@/token", **form, client_secret=SECRET)
    assert (status, told["scope"]) == (200, "read"), told
    assert told["expires_in"] <= 300
    assert "refresh_token" not in told
    token = told["access_token"]
    assert [await app.status(path, token) for path in ("/reads/x", "/writes/x", "/posts/1")] == [
        200,
        403,
        403,
    ]
    assert house.app.seen[-1].all("user-email") == ["alice@example.com"]
    status, told = await app.post("/@/token", **form, client_secret=SECRET, scope="write")
    assert (status, told["error"]) == (400, "invalid_scope")
    assert assertion not in house.gateway.process.whole_log


async def test_any_app_could_have_the_scheme_so_the_person_is_asked(house, app, phone):
    await phone.sign_in("alice")
    for redirect_uri in (OWN, LOOPBACK):
        page = await phone.get(app.request(redirect_uri))
        assert page.status == 200
        assert "Forum for iPhone" in page.text
        given = await answered(phone, page, "allow")
        code = leads_to(given, redirect_uri).query["code"]
        status, _ = await app.exchange(code, redirect_uri)
        assert status == 200
        again = await answered(phone, page, "allow")
        assert again.status == 400

        page = await phone.get(app.request(redirect_uri))
        refused = leads_to(await answered(phone, page, "refuse"), redirect_uri)
        assert refused.query["error"] == "access_denied"
        assert "code" not in refused.query


async def run(script: str, home: Path, typed: str = "") -> list[str]:
    """The lines that bash prints for it; `typed`: what it is given to read."""
    environment = {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    printed, _ = await process.communicate(typed.encode())
    assert process.returncode == 0
    return printed.decode().splitlines()


async def test_all_of_it_by_hand_as_the_page_has_it(house, app, phone, tmp_path):
    """Both scripts of docs/apps.md, with curl and openssl; `{}` at the end: it is signed out."""
    page = (Path(__file__).parents[2] / "docs" / "apps.md").read_text("utf-8")
    begin, rest = (part.partition("```")[0] for part in page.split("```bash\n")[1:3])
    for old, new in (
        ("https://forum.example.com", house.origin),
        ("forum-ios", "ios"),
        (":8400/", ":43210/"),
    ):
        begin, rest = begin.replace(old, new), rest.replace(old, new)
    # Names of tests are known to no resolver.
    (tmp_path / ".curlrc").write_text(f'connect-to = "::127.0.0.1:{house.gateway.port}"\n')
    url, verifier = await run(f'{begin}echo "$VERIFIER"', tmp_path)
    await phone.sign_in("alice")
    asked = await phone.get(url.removeprefix(house.origin))
    back = leads_to(await answered(phone, asked, "allow"), "http://127.0.0.1:43210/callback")
    known = f"GATEWAY={house.origin}\nVERIFIER={verifier}\n"
    *told, token = await run(f'{known}{rest}echo; echo "$TOKEN"', tmp_path, back.query["code"] + "\n")
    assert token.startswith("vst_at_")
    assert house.app.seen[-1].all("user-email") == ["alice@example.com"]
    refreshed, _, revoked = "".join(told).rpartition("}")[0].rpartition("{")
    assert ('"refresh_token"' in refreshed, revoked) == (True, "")
    assert await app.status(token=token) == 401


async def answered(phone: Browser, page: Page, answer: str) -> Page:
    """The button of the page, pressed."""
    [key] = {part.partition(chr(34))[0] for part in page.text.split('name="key" value="')[1:]}
    headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": phone.house.origin}
    url = f"{phone.house.origin}/@/authorize"
    async with phone.session.post(url, data={"key": key, "answer": answer}, headers=headers) as told:
        return Page(told.status, told.url, told.headers, await told.text())


def leads_to(page: Page, redirect_uri: str) -> URL:
    """Where the page sends the browser by itself."""
    assert page.status == 200, page.text
    location = page.headers["Refresh"].partition("url=")[2]
    assert location.startswith(redirect_uri)
    return URL(location, encoded=True)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"client_id": "nobody"}, "app_unknown"),
        ({"redirect_uri": "https://evil.example/"}, "redirect_unknown"),
        ({"redirect_uri": LINK + "/more"}, "redirect_unknown"),
        ({"redirect_uri": "http://127.0.0.2/callback"}, "redirect_unknown"),
    ],
)
async def test_nobody_is_sent_where_no_app_is(app, phone, more, says):
    page = await phone.get(app.request(**more), Accept="application/json")
    assert page.status == 400
    assert says in page.text
    assert "Location" not in page.headers


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_an_app_is_told_what_is_wrong_at_its_own_address(house, app, phone, more, error):
    back = await through(phone, app.request(**more))
    assert (back.query["error"], back.query["state"], back.query["iss"]) == (error, app.state, house.origin)


async def test_a_code_is_good_once_and_shown_again_ends_what_it_gave(app, phone):
    back = await through(phone, app.request())
    assert (await app.exchange(back.query["code"]))[0] == 200
    assert await app.status() == 200
    status, told = await app.exchange(back.query["code"])
    assert (status, told["error"]) == (400, "invalid_grant")
    assert await app.status() == 401
    assert (await app.refresh())[0] == 400


@pytest.mark.parametrize(
    "more",
    [
        {"code_verifier": "x" * 64},
        {"code_verifier": ""},
        {"redirect_uri": OWN},
        {"client_id": "partner", "client_secret": SECRET},
    ],
    ids=["another verifier", "no verifier", "another redirect", "another app"],
)
async def test_a_code_is_of_no_use_to_who_did_not_ask_for_it(app, phone, more):
    back = await through(phone, app.request())
    status, told = await app.exchange(back.query["code"], **more)
    assert (status, told["error"]) == (400, "invalid_grant")


async def test_a_stolen_refresh_token_ends_the_session_for_both(house, app, phone):
    first = await signed_in(app, phone)
    status, second = await app.refresh()
    assert status == 200
    status, again = await app.refresh(first["refresh_token"])  # an answer that got lost: the same once more
    assert status == 200
    status, third = await app.refresh(second["refresh_token"])
    assert status == 200
    assert await app.status(token=third["access_token"]) == 200
    status, told = await app.refresh(first["refresh_token"])
    assert (status, told["error"]) == (400, "invalid_grant")
    assert await app.status(token=third["access_token"]) == 401
    assert (await app.refresh(third["refresh_token"]))[0] == 400
    house.gateway.process.wait_log("refresh_token.reused")
    assert again["refresh_token"] != first["refresh_token"]


async def test_many_refreshes_at_once_are_one(app, phone):
    await signed_in(app, phone)
    shown = app.tokens["refresh_token"]
    answers = await asyncio.gather(*(app.refresh(shown) for _ in range(8)))
    assert {status for status, _ in answers} == {200}
    assert await app.status(token=answers[0][1]["access_token"]) == 200


async def test_signing_out_on_the_account_page_ends_the_app_and_not_the_other_way_round(house, app, phone):
    await signed_in(app, phone)
    assert await phone.email() == "alice@example.com"
    status, _ = await app.post("/@/revoke", token=app.tokens["refresh_token"])
    assert status == 200
    assert await app.status() == 401
    assert await phone.email() == "alice@example.com"

    await signed_in(app, phone)
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": house.origin}
    url = f"{house.origin}/@/account/devices/signout_others"
    async with phone.session.post(url, headers=headers) as answer:
        assert answer.status == 200
    assert await app.status() == 401
    assert await phone.email() == "alice@example.com"


async def test_two_devices_out_on_one(house, app, phone):
    await signed_in(app, phone)
    async with house.browser() as other, new_visitor(user_agent="Forum/1 Android") as program:
        tablet = App(house, program)
        await signed_in(tablet, other)
        await app.post("/@/revoke", token=app.tokens["access_token"])
        assert await app.status() == 401
        assert await tablet.status() == 200


async def test_an_app_with_a_secret_proves_who_it_is_and_may_ask_about_tokens(house, app, phone):
    await signed_in(app, phone)
    async with new_visitor() as program:
        partner = App(house, program, "partner")
        back = await through(phone, partner.request("https://partner.example/back"))
        code = back.query["code"]
        for wrong in ({}, {"client_secret": "x" * 32}, {"client_secret": ""}):
            status, told = await partner.exchange(code, "https://partner.example/back", **wrong)
            assert (status, told["error"]) == (401, "invalid_client")
        status, told = await partner.exchange(code, "https://partner.example/back", client_secret=SECRET)
        assert status == 200
        asked = {"token": app.tokens["access_token"], "client_secret": SECRET}
        status, told = await partner.post("/@/introspect", **asked)
        assert (status, told["active"], told["client_id"], told["aud"]) == (
            200,
            True,
            "ios",
            "app.example.com",
        )
        status, told = await partner.post("/@/introspect", **{**asked, "token": "nonsense"})
        assert (status, told) == (200, {"active": False})
        assert (await app.post("/@/introspect", token=app.tokens["access_token"]))[0] == 400


async def test_the_metadata_says_where_everything_is(house, app):
    url = f"{house.origin}/.well-known/oauth-authorization-server"
    async with app.program.get(url) as answer:
        assert answer.status == 200
        told = json.loads(await answer.text())
    assert told["issuer"] == house.origin
    assert told["code_challenge_methods_supported"] == ["S256"]
    for name in ("authorization", "token", "revocation", "introspection"):
        assert told[f"{name}_endpoint"].startswith(f"{house.origin}/@/")


# -- a program without a browser --------------------------------------------------------------


DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
async def terminal(house: House) -> AsyncIterator[App]:
    async with new_visitor(user_agent="forum-cli/1") as program:
        yield App(house, program, "cli")


async def asked(terminal: App) -> dict[str, Any]:
    """Two codes."""
    status, told = await terminal.post("/@/device/code", scope="read")
    assert status == 200, told
    return told


async def polled(terminal: App, told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What the program is answered when it asks once more."""
    status, found = await terminal.post("/@/token", grant_type=DEVICE, device_code=told["device_code"])
    terminal.tokens = found if status == 200 else terminal.tokens
    return status, found


async def typed(phone: Browser, **form: str) -> Page:
    """A form of the page, sent."""
    headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": phone.house.origin}
    async with phone.session.post(f"{phone.house.origin}/@/device", data=form, headers=headers) as told:
        return Page(told.status, told.url, told.headers, await told.text())


def key_in(page: Page) -> str:
    [key] = {part.partition(chr(34))[0] for part in page.text.split('name="key" value="')[1:]}
    return key


async def test_a_program_without_a_browser_is_let_in_by_a_code(house, terminal, phone):
    told = await asked(terminal)
    assert told["verification_uri_complete"] == f"{house.origin}/@/device?user_code={told['user_code']}"
    assert (told["expires_in"], told["interval"]) == (600, 5)

    page = await phone.get(f"/@/device?user_code={told['user_code']}")
    assert page.location.path == "/@/signin"
    await phone.sign_in("alice")
    page = await phone.get(f"/@/device?user_code={told['user_code']}")
    assert told["user_code"] in page.text
    page = await typed(phone, user_code=told["user_code"].lower().replace("-", " "))
    for shown in ("Forum on a terminal", "127.0.0.1", "read"):
        assert shown in page.text
    assert (await typed(phone, key=key_in(page), answer="allow")).status == 200
    assert (await typed(phone, key=key_in(page), answer="allow")).status == 400

    status, found = await polled(terminal, told)
    assert (status, found["scope"]) == (200, "read")
    assert await terminal.status("/reads/x") == 200
    assert house.app.seen[-1].all("user-email") == ["alice@example.com"]
    assert (await terminal.refresh())[0] == 200


async def test_a_program_waits_as_long_as_it_is_told(terminal):
    told = await asked(terminal)
    answers = [(await polled(terminal, told))[1]["error"] for _ in range(3)]
    assert answers == ["authorization_pending", "slow_down", "slow_down"]
    assert (await terminal.post("/@/token", grant_type=DEVICE, device_code="x" * 43))[1][
        "error"
    ] == "expired_token"
    assert (await terminal.post("/@/token", grant_type=DEVICE, device_code="x"))[1][
        "error"
    ] == "invalid_grant"


async def test_who_says_no_gives_nothing(terminal, phone):
    told = await asked(terminal)
    await phone.sign_in("alice")
    page = await typed(phone, user_code=told["user_code"])
    await typed(phone, key=key_in(page), answer="refuse")
    assert (await polled(terminal, told))[1] == {"error": "access_denied"}
    assert (await typed(phone, user_code=told["user_code"])).status == 422


async def test_a_command_line_of_nuons_is_let_in_by_the_code_it_chose(house, terminal, phone):
    async def token(code: str, source: str = "127.0.0.1") -> tuple[int, dict[str, Any]]:
        async with (
            new_visitor(user_agent="nuon-cli/1", source=source) as program,
            program.get(f"{house.origin}/device/token?code={code}") as answer,
        ):
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, json.loads(await answer.text())

    assert await token("") == (400, {"error": "missing_code"})
    assert await token("a1b2-c3d4") == (400, {"error": "invalid_code"})
    assert await token("A1B2-C3D4") == (200, {"error": "authorization_pending"})
    await phone.sign_in("alice")
    page = await phone.get("/device/code?code=A1B2-C3D4")
    assert page.location.path_qs == "/@/device?user_code=A1B2-C3D4"
    page = await typed(phone, user_code="A1B2-C3D4")
    assert "Forum on a terminal" in page.text
    await typed(phone, key=key_in(page), answer="allow")
    # Somebody else who has seen the code gets nothing for it.
    assert (await token("A1B2-C3D4", "127.77.0.1"))[1] == {"error": "authorization_pending"}
    status, found = await token("A1B2-C3D4")
    assert (status, found["token_type"], found["email"]) == (200, "Bearer", "alice@example.com")
    terminal.tokens = found
    assert await terminal.status("/reads/x") == 200
    assert (await token("A1B2-C3D4"))[1]["error"] == "access_denied"


async def test_a_link_alone_lets_nobody_in(house, terminal, phone):
    told = await asked(terminal)
    await phone.sign_in("alice")
    page = await phone.get(told["verification_uri_complete"])
    assert page.status == 200
    assert (await polled(terminal, told))[1] == {"error": "authorization_pending"}
    async with phone.session.post(
        f"{house.origin}/@/device",
        data={"user_code": told["user_code"]},
        headers={"Origin": "https://evil.example"},
    ) as answer:
        assert answer.status == 403


async def test_codes_can_not_be_guessed(terminal, phone):
    told = await asked(terminal)
    await phone.sign_in("alice")
    for number in range(5):
        assert (await typed(phone, user_code=f"BBBB-BBB{'CDFGH'[number]}")).status == 422
    late = await typed(phone, user_code=told["user_code"])
    assert late.status == 429
    assert int(late.headers["Retry-After"]) > 60


async def test_only_an_app_that_is_configured_for_it_has_codes(app):
    status, told = await app.post("/@/device/code")
    assert (status, told["error"]) == (400, "unauthorized_client")
    status, told = await app.post("/@/token", grant_type=DEVICE, device_code="x" * 43)
    assert (status, told["error"]) == (400, "unauthorized_client")
