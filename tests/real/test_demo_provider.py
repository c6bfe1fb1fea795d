"""The demo's provider and app over real sockets, without a gateway between them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import html
import re
import socket
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from vestibule import demo
from vestibule.demo import provider, stage
from vestibule.demo.app import App
from vestibule.demo.issuer import Client
from vestibule.demo.people import PEOPLE
from vestibule.errors import ConfigError
from vestibule.model import Secret

pytestmark = pytest.mark.real

CALLBACK = "http://localhost:8000/@demo/callback"
SIGNED_OUT = "http://localhost:8000/@/signedout"
VERIFIER = "a-verifier-of-forty-three-characters-or-more"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
# A secret that must be form-encoded before it goes into Basic (RFC 6749 section 2.3.1).
SECRET = "per cent%:plus+"
GOOD = {
    "client_id": "demo-app",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid profile email groups",
    "state": "the state",
    "nonce": "the nonce",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
FORM = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
POST_SECRET = {"client_id": "demo-app", "client_secret": SECRET}
PROXY_SESSION = "a-sealed-handle-from-the-gateway"


@pytest.fixture
async def browser():
    """A browser with its cookies, at a provider of its own."""
    server = TestServer(web.Application(), host="127.0.0.1")
    client = Client(
        id="demo-app",
        secret=Secret(SECRET),
        redirect_uris=frozenset({CALLBACK}),
        sign_out_uris=frozenset({SIGNED_OUT}),
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = TestServer(provider.build(url, client), socket_factory=lambda *_: listener)
        jar = aiohttp.CookieJar(unsafe=True)
        async with TestClient(server, cookie_jar=jar) as client:
            yield client


async def authorize(browser, **changes):
    """The answer to an authorization request, not followed."""
    return await browser.get("/authorize", params={**GOOD, **changes}, allow_redirects=False)


async def choose(browser, page, **form):
    """The answer to a button of the page with the people."""
    [ticket] = re.findall('name="ticket" value="([^"]+)"', await page.text())
    return await browser.post("/choose", data={"ticket": ticket, **form}, allow_redirects=False)


def told(response):
    """The parameters the app is told by a redirect."""
    assert response.status == 303
    assert response.headers["Location"].startswith(CALLBACK + "?")
    return {
        name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()
    }


async def tokens(browser, **changes):
    """The token answer for a sign-in without a click."""
    code = told(await authorize(browser, login_hint="alice", **changes))["code"]
    response = await browser.post("/token", data={**FORM, **POST_SECRET, "code": code})
    assert response.status == 200
    return await response.json()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class TestPeople:
    async def test_somebody_chosen_signs_in_and_is_known_the_next_time(self, browser):
        page = await authorize(browser)
        assert page.status == 200
        shown = html.unescape(await page.text())
        assert all(person.name in shown for person in PEOPLE)
        first = told(await choose(browser, page, person="bob"))
        second = told(await authorize(browser))
        assert first["code"] != second["code"]
        assert (first["state"], first["iss"]) == ("the state", str(browser.make_url("")).rstrip("/"))

    async def test_a_login_hint_signs_in_without_a_click(self, browser):
        assert "code" in told(await authorize(browser, login_hint="alice"))

    async def test_a_hint_for_somebody_else_signs_in_as_them(self, browser):
        await authorize(browser, login_hint="bob")
        token = (await tokens(browser))["access_token"]
        userinfo = await browser.get("/userinfo", headers=bearer(token))
        assert (await userinfo.json())["preferred_username"] == "alice"

    @pytest.mark.parametrize("prompt", ["login", "select_account"])
    async def test_a_prompt_shows_the_page_whoever_is_there(self, browser, prompt):
        await authorize(browser, login_hint="alice")
        page = await authorize(browser, prompt=prompt, login_hint="bob")
        assert page.status == 200
        assert "signed in here" in await page.text()

    async def test_prompt_none_never_shows_a_page(self, browser):
        assert told(await authorize(browser, prompt="none"))["error"] == "login_required"
        await authorize(browser, login_hint="alice")
        assert "code" in told(await authorize(browser, prompt="none"))

    async def test_a_refusal_is_told_to_the_app(self, browser):
        answer = told(await choose(browser, await authorize(browser), refuse="yes"))
        assert (answer["error"], answer["state"]) == ("access_denied", "the state")

    async def test_a_stale_page_leads_to_a_page_not_to_the_app(self, browser):
        response = await browser.post("/choose", data={"ticket": "x", "person": "bob"}, allow_redirects=False)
        assert response.status == 400
        assert "sign in again" in await response.text()

    @pytest.mark.parametrize("wrong", [{"redirect_uri": CALLBACK + "x"}, {"client_id": "x"}], ids=str)
    async def test_an_unregistered_app_gets_no_redirect(self, browser, wrong):
        assert (await authorize(browser, **wrong)).status == 400

    async def test_a_parameter_sent_twice_is_refused(self, browser):
        response = await browser.get("/authorize", params=[*GOOD.items(), ("state", "again")])
        assert response.status == 400

    async def test_missing_pkce_is_told_to_the_app(self, browser):
        assert told(await authorize(browser, code_challenge=""))["error"] == "invalid_request"

    async def test_its_pages_may_lead_to_the_app_and_where_that_leads_and_run_nothing(self, browser):
        policy = (await authorize(browser)).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self' http: https:;" in policy

    @pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.login)
    async def test_a_portrait(self, browser, person):
        response = await browser.get(f"/people/{person.login}.svg")
        assert response.content_type == "image/svg+xml"


class TestTokenEndpoint:
    async def test_both_ways_of_showing_the_secret_work(self, browser):
        answer = await tokens(browser)
        basic = aiohttp.encode_basic_auth("demo-app", "per+cent%25%3Aplus%2B")
        form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
        response = await browser.post("/token", data=form, headers={"Authorization": basic})
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        ("headers", "form", "status", "error"),
        [
            ({}, {}, 401, "invalid_client"),
            ({}, {"client_id": "demo-app", "client_secret": "x"}, 401, "invalid_client"),
            ({"Authorization": "Basic !"}, {}, 401, "invalid_client"),
            ({"Authorization": "Bearer eDp5"}, {}, 401, "invalid_client"),
            ({"Authorization": "Basic eDp5"}, POST_SECRET, 400, "invalid_request"),
            ({}, {**POST_SECRET, "grant_type": "password"}, 400, "unsupported_grant_type"),
            ({}, {**POST_SECRET, **FORM, "code": "x"}, 400, "invalid_grant"),
            ({}, {**POST_SECRET, "grant_type": "refresh_token"}, 400, "invalid_grant"),
        ],
        ids=[
            "nothing",
            "other secret",
            "not base64",
            "not Basic",
            "both",
            "other grant",
            "no code",
            "no token",
        ],
    )
    async def test_a_refusal_is_json_with_its_code(self, browser, headers, form, status, error):
        response = await browser.post("/token", data=form, headers=headers)
        assert (response.status, (await response.json())["error"]) == (status, error)
        assert ("WWW-Authenticate" in response.headers) is (status == 401)

    async def test_a_replayed_code_ends_what_it_gave(self, browser):
        code = told(await authorize(browser, login_hint="alice"))["code"]
        form = {**FORM, **POST_SECRET, "code": code}
        answer = await (await browser.post("/token", data=form)).json()
        assert (await browser.post("/token", data=form)).status == 400
        assert (await browser.get("/userinfo", headers=bearer(answer["access_token"]))).status == 401

    async def test_revocation_ends_the_grant(self, browser):
        answer = await tokens(browser)
        form = {**POST_SECRET, "token": answer["refresh_token"]}
        assert (await browser.post("/revoke", data=form)).status == 200
        assert (await browser.get("/userinfo", headers=bearer(answer["access_token"]))).status == 401


class TestApi:
    async def test_userinfo_is_the_persons(self, browser):
        response = await browser.get("/userinfo", headers=bearer((await tokens(browser))["access_token"]))
        profile = await response.json()
        assert (profile["sub"], profile["email"]) == ("u-4f1c8a20", "alice@example.com")
        assert profile["picture"] == str(browser.make_url("/people/alice.svg"))

    @pytest.mark.parametrize("path", ["/userinfo", "/api/token", "/api/notes"])
    @pytest.mark.parametrize("headers", [{}, bearer("x"), {"Authorization": "Basic eDp5"}], ids=str)
    async def test_without_a_good_token_it_is_401_with_a_challenge(self, browser, path, headers):
        response = await browser.get(path, headers=headers)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")

    async def test_a_token_can_be_made_to_expire_and_the_next_has_the_next_number(self, browser):
        first = await tokens(browser)
        facts = await (await browser.get("/api/token", headers=bearer(first["access_token"]))).json()
        assert facts["serial"] == 1
        expired = await browser.post("/api/token/expire", headers=bearer(first["access_token"]))
        assert expired.status == 200
        assert (await browser.get("/api/token", headers=bearer(first["access_token"]))).status == 401
        form = {**POST_SECRET, "grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        second = await (await browser.post("/token", data=form)).json()
        facts = await (await browser.get("/api/token", headers=bearer(second["access_token"]))).json()
        assert facts["serial"] == 2

    async def test_notes_are_kept_newest_first_and_a_bad_one_is_refused(self, browser):
        headers = bearer((await tokens(browser))["access_token"])
        for text in ("one", "two"):
            await browser.post("/api/notes", headers=headers, json={"text": text})
        assert (await (await browser.get("/api/notes", headers=headers)).json()) == {"notes": ["two", "one"]}
        assert (await browser.post("/api/notes", headers=headers, data=b"{")).status == 400
        assert (await browser.post("/api/notes", headers=headers, json=["x"])).status == 400


class TestSignOut:
    async def leave(self, browser, **params):
        return await browser.get("/end-session", params=params, allow_redirects=False)

    async def test_vouched_for_by_the_id_token_it_leads_straight_back(self, browser):
        answer = await tokens(browser)
        response = await self.leave(
            browser, id_token_hint=answer["id_token"], post_logout_redirect_uri=SIGNED_OUT, state="s"
        )
        assert response.headers["Location"] == f"{SIGNED_OUT}?state=s"
        assert (await authorize(browser)).status == 200
        assert (await browser.get("/userinfo", headers=bearer(answer["access_token"]))).status == 401

    async def test_without_one_the_person_is_asked(self, browser):
        await authorize(browser, login_hint="alice")
        page = await self.leave(browser, post_logout_redirect_uri=SIGNED_OUT)
        assert (page.status, "Alice Adeyemi" in await page.text()) == (200, True)
        assert "code" in told(await authorize(browser))
        form = {"post_logout_redirect_uri": SIGNED_OUT, "yes": "yes"}
        response = await browser.post("/end-session", data=form, allow_redirects=False)
        assert response.headers["Location"] == SIGNED_OUT
        assert (await authorize(browser)).status == 200

    async def test_somebody_elses_id_token_vouches_for_nothing(self, browser):
        hint = (await tokens(browser))["id_token"]
        await authorize(browser, login_hint="bob")
        assert (await self.leave(browser, id_token_hint=hint)).status == 200
        assert "code" in told(await authorize(browser))

    async def test_an_unregistered_address_is_never_led_to(self, browser):
        response = await self.leave(browser, post_logout_redirect_uri="https://elsewhere.example/")
        assert response.status == 400


@pytest.mark.parametrize("host", ["localhost", "rebound.example", "127.0.0.1"])
async def test_under_another_name_the_provider_answers_nothing(browser, host):
    response = await browser.get("/.well-known/openid-configuration", headers={"Host": host})
    assert response.status == 421


async def test_discovery_and_keys(browser):
    metadata = await (await browser.get("/.well-known/openid-configuration")).json()
    assert metadata["issuer"] == str(browser.make_url("")).rstrip("/")
    keys = await (await browser.get(urlsplit(metadata["jwks_uri"]).path)).json()
    assert [(key["kty"], key["alg"], "d" in key) for key in keys["keys"]] == [("RSA", "RS256", False)]


@contextlib.asynccontextmanager
async def running_app(api):
    """A browser at the app, whose calling interface is `api`."""
    async with (
        TestServer(api) as calls,
        TestClient(TestServer(App(str(calls.make_url("")), "").app())) as client,
    ):
        yield client


def api_that(answers, seen):
    """A calling interface that answers by path and keeps what it was sent."""

    async def handle(request):
        seen.append((request.method, request.path, request.headers.get("Proxy-Session")))
        status, body = answers.get(request.path, (404, {"error": "not_found"}))
        return web.json_response(body, status=status)

    api = web.Application()
    api.router.add_route("*", "/{path:.*}", handle)
    return api


SIGNED_IN = {"Proxy-Session": PROXY_SESSION, "Proxy-Provider": "demo", "User-Name": "Alice%20Adeyemi"}
ANSWERS = {
    "/userinfo": (200, {"name": "Alice Adeyemi", "email": "alice@example.com", "email_verified": True}),
    "/api/token": (200, {"serial": 3, "age_s": 1.2, "left_s": 58.8}),
    "/api/notes": (200, {"notes": ["<b>water</b>"]}),
    "/api/token/expire": (200, {"expired": True}),
}


class TestApp:
    async def test_nobody_signed_in_gets_the_link_and_nothing_is_called(self):
        seen = []
        async with running_app(api_that(ANSWERS, seen)) as browser:
            text = await (await browser.get("/")).text()
        assert 'href="/@/signin"' in text
        assert seen == []

    async def test_somebody_signed_in_sees_what_the_api_says_of_them(self):
        seen = []
        async with running_app(api_that(ANSWERS, seen)) as browser:
            text = await (await browser.get("/", headers=SIGNED_IN)).text()
        assert "alice@example.com" in text
        assert "&lt;b&gt;water&lt;" in text
        assert PROXY_SESSION not in text
        assert {session for _, _, session in seen} == {PROXY_SESSION}

    async def test_a_refusing_calling_interface_is_told_on_the_page(self):
        refusal = (401, {"error": "no_credential", "message": "sign in again"})
        async with running_app(api_that(dict.fromkeys(ANSWERS, refusal), [])) as browser:
            page = await browser.get("/", headers=SIGNED_IN)
            assert page.status == 200
            assert "401: sign in again" in await page.text()

    async def test_a_calling_interface_that_is_away_is_told_on_the_page(self, free_port):
        client = TestClient(TestServer(App(f"http://127.0.0.1:{free_port}", "").app()))
        async with client as browser:
            page = await browser.get("/", headers=SIGNED_IN)
            assert "The API was not reached" in await page.text()

    async def test_a_note_goes_through_the_calling_interface(self):
        seen = []
        async with running_app(api_that(ANSWERS, seen)) as browser:
            answer = await browser.post(
                "/notes", data={"text": "x"}, headers=SIGNED_IN, allow_redirects=False
            )
        assert answer.headers["Location"] == "/#notes"
        assert seen == [("POST", "/api/notes", PROXY_SESSION)]

    @pytest.mark.parametrize("path", ["/notes", "/token/expire"])
    @pytest.mark.parametrize("origin", ["https://elsewhere.example", "null"])
    async def test_a_post_from_another_site_is_refused(self, path, origin):
        seen = []
        async with running_app(api_that(ANSWERS, seen)) as browser:
            answer = await browser.post(path, data={"text": "x"}, headers={**SIGNED_IN, "Origin": origin})
        assert (answer.status, seen) == (403, [])

    async def test_the_event_stream_ticks_with_who_is_here_and_ends_with_the_app(self):
        async with running_app(api_that({}, [])) as browser:
            stream = await browser.get("/events", headers=SIGNED_IN)
            assert stream.content_type == "text/event-stream"
            assert await stream.content.readline() == b"event: tick\n"
            assert b'"here": ["Alice Adeyemi"]' in await stream.content.readline()

    async def test_the_echo_says_back_what_it_hears(self):
        async with (
            running_app(api_that({}, [])) as browser,
            browser.ws_connect("/echo", headers=SIGNED_IN) as echo,
        ):
            await echo.send_str("hello")
            assert await echo.receive_json() == {"you": "Alice Adeyemi", "said": "hello"}

    async def test_the_echo_is_not_opened_from_another_site(self):
        async with running_app(api_that({}, [])) as browser:
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await browser.ws_connect("/echo", origin="https://elsewhere.example")

    async def test_what_it_does_not_have_is_404(self):
        async with running_app(api_that({}, [])) as browser:
            assert (await browser.get("/nowhere")).status == 404
            assert (await browser.get("/static/nothing.js")).status == 404
            assert (await browser.get("/static/app.js")).content_type == "text/javascript"


class TestStage:
    async def test_provider_and_app_are_up_and_gone_with_everything_afterwards(self):
        with stage.stage(port=0) as on:
            async with aiohttp.ClientSession() as calls:
                for url in (f"{on.provider_url}/.well-known/openid-configuration", on.app_url):
                    async with calls.get(url) as response:
                        assert response.status == 200
            assert on.config.stat().st_mode & 0o777 == 0o600
        assert not on.directory.exists()
        for url in (on.provider_url, on.app_url):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", urlsplit(url).port))

    def test_a_taken_port_is_one_clear_line(self):
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            pytest.raises(
                ConfigError, match=r"^port \d+ is taken on 127.0.0.1; choose another one with --port$"
            ),
            stage.stage(port=taken.getsockname()[1]),
        ):
            pass

    async def test_a_child_does_not_outlive_a_killed_parent(self):
        code = (
            "import os, signal\n"
            "from vestibule.demo.stage import child\n"
            "with child('app', ['--calls', 'http://127.0.0.1:9'], {}) as url:\n"
            "    print(url, flush=True)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        port = urlsplit(done.stdout.strip()).port
        for _ in range(3000):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                return
            await asyncio.sleep(0.02)
        pytest.fail("the app is still there")

    @pytest.mark.parametrize(
        ("argv", "said"),
        [
            (["provider", "--address", "0.0.0.0"], "loopback only"),
            (["app", "--calls", "http://127.0.0.1:9", "--address", "0.0.0.0"], "loopback only"),
        ],
        ids=["provider", "app"],
    )
    def test_neither_listens_off_loopback(self, argv, said, monkeypatch):
        monkeypatch.setenv(demo.SECRET_VARIABLE, "x")
        done = subprocess.run(
            [sys.executable, "-m", f"vestibule.demo.{argv[0]}", *argv[1:]],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
