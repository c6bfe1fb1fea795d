"""The harness itself: each server of the tests does what the tests take it to do."""

from __future__ import annotations

import base64
import hashlib
import secrets
import signal
import socket
import ssl
import sys

import aiohttp
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from yarl import URL

from tests.ports import Ports
from tests.real import raw
from tests.real.openid import client
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

CALLBACK = "http://app.example.com:9/@op/callback"


class Dance:
    """One code flow by hand against the provider, as a relying party does it."""

    def __init__(self, provider, visitor):
        self.provider = provider
        self.visitor = visitor
        self.verifier = secrets.token_urlsafe(48)
        self.nonce = secrets.token_urlsafe(8)

    async def authorize(self, *, choose="", **extra):
        """The query of the callback the provider sends the person to; `choose` is the link taken on its page."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        query = {
            "client_id": "app",
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid email profile groups",
            "state": "s",
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **extra,
        }
        url, params = f"{self.provider.issuer}/auth", query
        for _ in range(10):
            async with self.visitor.get(url, params=params, allow_redirects=False) as answer:
                if answer.status == 200:
                    assert f'href="{choose}"' in await answer.text()
                url, params = answer.url.join(URL(answer.headers.get("Location", choose))), None
            if str(url).startswith(CALLBACK):
                return dict(url.query)
        raise AssertionError(url)

    async def token(self, **form):
        """(status, answer) of the token endpoint."""
        headers = {"Authorization": aiohttp.encode_basic_auth("app", "app-secret")}
        async with self.visitor.post(f"{self.provider.issuer}/token", data=form, headers=headers) as answer:
            return answer.status, await answer.json()

    async def redeem(self, code):
        return await self.token(
            grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=self.verifier
        )

    async def keys(self):
        async with self.visitor.get(f"{self.provider.issuer}/jwks") as answer:
            return KeySet.import_key_set(await answer.json())


@pytest.fixture
def provider(openid):
    return openid(client("app", CALLBACK), access_token_ttl_s=120)


@pytest.fixture
async def visitor():
    async with new_visitor() as visitor:
        yield visitor


@pytest.fixture
def dance(provider, visitor):
    return Dance(provider, visitor)


async def test_the_provider_signs_alice_in_and_says_who_she_is(dance, provider, visitor):
    callback = await dance.authorize(login_hint="alice")
    assert callback["state"] == "s"
    assert callback["iss"] == provider.issuer
    status, tokens = await dance.redeem(callback["code"])
    assert status == 200
    assert tokens["expires_in"] == 120
    claims = jwt.decode(tokens["id_token"], await dance.keys(), algorithms=["RS256"]).claims
    assert (claims["sub"], claims["nonce"], claims["aud"]) == ("alice", dance.nonce, "app")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with visitor.get(f"{provider.issuer}/me", headers=bearer) as answer:
        person = await answer.json()
    assert person["email"] == "alice@example.com"
    assert person["email_verified"] is True
    assert person["groups"] == ["admins", "staff, all"]


async def test_a_refresh_rotates_and_the_old_token_ends_the_grant(dance, provider):
    _, first = await dance.redeem((await dance.authorize(login_hint="alice"))["code"])
    status, second = await dance.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert status == 200
    assert second["refresh_token"] != first["refresh_token"]
    status, refusal = await dance.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (status, refusal["error"]) == (400, "invalid_grant")
    status, _ = await dance.token(grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert status == 400
    counts = provider.counts()
    assert counts["POST /token"] == 4
    assert (counts["grant refresh_token 200"], counts["grant refresh_token 400"]) == (1, 2)


async def test_a_code_is_good_once_and_only_with_its_verifier(dance):
    code = (await dance.authorize(login_hint="alice"))["code"]
    verifier, dance.verifier = dance.verifier, "w" * 64
    assert (await dance.redeem(code))[0] == 400
    dance.verifier = verifier
    code = (await dance.authorize())["code"]
    assert (await dance.redeem(code))[0] == 200
    assert (await dance.redeem(code))[0] == 400


async def test_the_provider_remembers_a_person_until_another_is_hinted_at(dance):
    for hint, person in (("alice", "alice"), (None, "alice"), ("bob", "bob")):
        extra = {"login_hint": hint} if hint else {}
        _, tokens = await dance.redeem((await dance.authorize(**extra))["code"])
        claims = jwt.decode(tokens["id_token"], await dance.keys(), algorithms=["RS256"]).claims
        assert claims["sub"] == person


async def test_a_person_may_choose_or_refuse_on_the_page(dance):
    refused = await dance.authorize(choose="?deny")
    assert (refused["error"], refused["state"]) == ("access_denied", "s")
    _, tokens = await dance.redeem((await dance.authorize(choose="?as=bob"))["code"])
    assert jwt.decode(tokens["id_token"], await dance.keys(), algorithms=["RS256"]).claims["sub"] == "bob"


async def test_rotated_keys_replace_the_old_ones_and_the_grants_stay(dance, provider):
    _, first = await dance.redeem((await dance.authorize(login_hint="alice"))["code"])
    provider.rotate_keys()
    with pytest.raises(JoseError):
        jwt.decode(first["id_token"], await dance.keys(), algorithms=["RS256"])
    status, second = await dance.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert status == 200
    assert jwt.decode(second["id_token"], await dance.keys(), algorithms=["RS256"]).claims["sub"] == "alice"


async def test_revoked_grants_are_refused_and_others_are_not(dance, provider, visitor):
    _, alice = await dance.redeem((await dance.authorize(login_hint="alice"))["code"])
    _, bob = await dance.redeem((await dance.authorize(login_hint="bob"))["code"])
    provider.revoke("alice")
    assert (await dance.token(grant_type="refresh_token", refresh_token=alice["refresh_token"]))[0] == 400
    for tokens, expected in ((alice, 401), (bob, 200)):
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        async with visitor.get(f"{provider.issuer}/me", headers=bearer) as answer:
            assert answer.status == expected
    assert (await dance.token(grant_type="refresh_token", refresh_token=bob["refresh_token"]))[0] == 200


async def test_trouble_comes_as_often_as_asked_for(dance, provider):
    code = (await dance.authorize(login_hint="alice"))["code"]
    provider.trouble("/token", status=503, body={"error": "temporarily_unavailable"})
    provider.trouble("/token", drop=True)
    provider.trouble("/token", omit=["expires_in"])
    assert (await dance.redeem(code))[0] == 503
    with pytest.raises(aiohttp.ClientError):
        await dance.redeem(code)
    status, tokens = await dance.redeem(code)
    assert status == 200
    assert "expires_in" not in tokens
    provider.trouble("*", times=100, status=500)
    provider.calm()
    assert (await dance.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"]))[0] == 200


async def test_a_provider_that_was_down_still_knows_its_grants(dance, provider):
    _, tokens = await dance.redeem((await dance.authorize(login_hint="alice"))["code"])
    provider.go_down()
    with pytest.raises(aiohttp.ClientConnectorError):
        await dance.keys()
    provider.come_back()
    assert (await dance.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"]))[0] == 200


async def test_nginx_serves_files_and_what_it_is_told(nginx):
    server = nginx("location = /made { return 201 'made\\n'; }")
    (server.root / "file.txt").write_text("from a file")
    async with raw.connect(server.port) as connection:
        made = await connection.ask(b"GET /made HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (made.status, made.body) == (201, b"made\n")
        file = await connection.ask(b"GET /file", b".txt HTTP/1.1\r\nHo", b"st: x\r\n", b"\r\n")
        assert (file.status, file.body, file.get(b"content-type")) == (200, b"from a file", b"text/plain")
        assert await connection.is_open()
    server.process.wait_until(lambda: "/file.txt" in server.access_log, "logs the request")


async def test_the_api_keeps_what_it_was_sent_over_verified_tls(api, ca_file):
    server = await api(https=True)
    trust = ssl.create_default_context(cafile=str(ca_file))
    async with new_visitor() as visitor:
        async with visitor.post(
            f"{server.url}/a%2Fb?c=d", data=b"body", headers={"X-Odd": "1"}, ssl=trust
        ) as answer:
            assert (await answer.json())["body"] == "body"
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await visitor.get(server.url)
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body, seen.one("x-odd")) == ("POST", "/a%2Fb?c=d", b"body", "1")


async def test_raw_reads_chunks_trailers_interim_answers_and_breaks(api):
    async def answer(request):
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"one")
        await response.write(b"two")
        if request.path == "/broken":
            request.transport.abort()
        return response

    server = await api(answer=answer)
    async with raw.connect(server.port) as connection:
        chunked = await connection.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert chunked.body == b"onetwo"
        assert chunked.raw_body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        await connection.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await connection.answer()).status == 100
        assert (await connection.ask(b"x")).status == 200
        assert (await connection.ask(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")).body == b""
        with pytest.raises(raw.BrokenAnswerError) as broken:
            await connection.ask(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"one" in broken.value.received


async def test_the_browser_opens_a_page_under_any_name(browser, nginx):
    server = nginx("location / { default_type text/html; return 200 '<title>$http_host</title>'; }")
    page = await browser.new_page()
    await page.goto(f"http://app.example.com:{server.port}/")
    assert await page.title() == f"app.example.com:{server.port}"


def test_a_process_that_ends_early_fails_with_its_log(process, free_port):
    quitter = process("quitter", [sys.executable, "-c", "raise SystemExit('no such thing')"])
    with pytest.raises(pytest.fail.Exception, match="no such thing"):
        quitter.wait_port(free_port)


def test_stopping_takes_the_children_too(process, free_port):
    listener = f"import socket,time; s=socket.create_server(('127.0.0.1',{free_port})); time.sleep(600)"
    parent = f"import subprocess,sys; subprocess.run([sys.executable, '-c', {listener!r}])"
    started = process("parent", [sys.executable, "-c", parent])
    started.wait_port(free_port)
    started.stop()
    assert started.returncode == -signal.SIGTERM
    started_again = Ports()
    with started_again, socket.create_server(("127.0.0.1", free_port)):
        assert started_again.take() != free_port
