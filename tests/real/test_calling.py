"""Calls of the app to an API as the person who is signed in: real tokens of a real provider, over verified TLS."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

pytestmark = pytest.mark.real


@pytest.fixture
async def handle(browser_of_alice):
    """The `Proxy-Session` the app got with Alice's last request."""
    return (await browser_of_alice.seen_by_app()).one("proxy-session")


def token_of(request):
    return request.headers["Authorization"].removeprefix("Bearer ")


class Bouncer:
    """An API that answers 401 to the tokens it has had enough of."""

    def __init__(self, api):
        self.shown = []
        self.rejected = set()
        api.answer = self.answer

    async def answer(self, request):
        self.shown.append(token_of(request))
        return web.json_response(
            {"token": self.shown[-1]}, status=401 if self.shown[-1] in self.rejected else 200
        )


async def statuses(house, handle, count):
    """The statuses of so many calls at once."""

    async def call(number):
        async with house.call(handle, f"/v1/{number}") as answer:
            await answer.read()
            return answer.status

    return await asyncio.gather(*(call(number) for number in range(count)))


def refreshes(house, status=200):
    return house.provider.counts().get(f"grant refresh_token {status}", 0)


# -- what the API gets ------------------------------------------------------------------------------


async def test_the_api_is_called_as_the_person(house, handle):
    async with house.call(handle, "/v1/a%20b?c=d", "POST", data=b"body", headers={"X-Own": "1"}) as answer:
        assert answer.status == 200
    (seen,) = house.api.seen
    assert (seen.method, seen.target, seen.body, seen.one("x-own")) == ("POST", "/v1/a%20b?c=d", b"body", "1")
    assert seen.one("host") == f"127.0.0.1:{house.api.port}"
    bearer = {"Authorization": seen.one("authorization")}
    async with house.client.get(f"{house.provider.issuer}/me", headers=bearer) as answer:
        assert (await answer.json())["sub"] == "alice"


async def test_nothing_of_the_gateway_s_own_goes_out(house, handle):
    own = {
        "Proxy-Session": handle,
        "proxy_session": "x",
        "User-Id": "x",
        "X-Forwarded-For": "1.2.3.4",
        "Forwarded": "for=1.2.3.4",
        "Authorization": "Bearer of-the-app",
    }
    async with house.call(None, headers=own) as answer:
        assert answer.status == 200
    (seen,) = house.api.seen
    assert handle not in str(seen)
    names = {name.casefold().replace("_", "-") for name, _ in seen.headers}
    assert not names & {"proxy-session", "proxy-provider", "user-id", "x-forwarded-for", "forwarded"}
    assert len(seen.all("authorization")) == 1
    assert "of-the-app" not in str(seen)


async def test_one_connection_to_the_api_carries_many_calls(house, handle):
    for _ in range(20):
        async with house.call(handle) as answer:
            await answer.read()
    assert len({seen.peer_port for seen in house.api.seen}) == 1


async def test_an_answer_streams_before_it_is_whole(house, handle):
    go_on = asyncio.Event()

    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await go_on.wait()
        await response.write(b"second")
        return response

    house.api.answer = drip
    async with house.call(handle) as answer:
        assert await answer.content.readexactly(5) == b"first"
        go_on.set()
        assert await answer.content.read() == b"second"


async def test_a_big_body_reaches_the_api_whole(house, handle):
    body = bytes(range(256)) * 16_384

    async def pieces():
        for at in range(0, len(body), 70_001):
            yield body[at : at + 70_001]

    async with house.call(handle, method="POST", data=pieces()) as answer:
        assert answer.status == 200
    assert house.api.seen[-1].body == body


# -- who may call -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param({}, 401, "handle_missing", id="no handle"),
        pytest.param({"Proxy-Session": "x" * 80}, 401, "handle_invalid", id="a handle nobody made"),
        pytest.param(
            {"Proxy-Session": "HANDLE", "Origin": "http://app.example.com"},
            403,
            "browser_call",
            id="a page: Origin",
        ),
        pytest.param(
            {"Proxy-Session": "HANDLE", "Sec-Fetch-Site": "none"}, 403, "browser_call", id="a page: Sec-Fetch"
        ),
        pytest.param(
            {"Proxy-Session": "HANDLE", "Host": "evil.example.com"}, 403, "foreign_host", id="DNS rebinding"
        ),
    ],
)
async def test_who_may_not_call_is_told_in_json_and_nothing_goes_out(house, handle, headers, status, code):
    headers = {name: handle if value == "HANDLE" else value for name, value in headers.items()}
    async with house.call(None, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert house.api.seen == []


async def test_a_handle_with_one_character_changed_is_nobody_s(house, handle):
    for at in (0, len(handle) // 2, len(handle) - 2):
        changed = handle[:at] + ("A" if handle[at] != "A" else "B") + handle[at + 1 :]
        async with house.call(changed) as answer:
            assert answer.status == 401
    assert house.api.seen == []


async def test_two_people_s_handles_bring_two_people_s_tokens(house, handle):
    async with house.browser() as bob:
        await bob.sign_in("bob")
        other = (await bob.seen_by_app()).one("proxy-session")
    for known in (handle, other, handle):
        async with house.call(known) as answer:
            assert answer.status == 200
    alice, bob_s, alice_again = house.secrets_told()
    assert alice == alice_again != bob_s


# -- refresh ----------------------------------------------------------------------------------------


# A token is replaced early: at half its life, when that is short.
@pytest.mark.parametrize("provider_options", [{"access_token_ttl_s": 14}], ids=["tokens of 14 s"])
async def test_fifty_calls_with_a_token_that_is_due_make_one_refresh(house, handle):
    for round_ in (1, 2):  # the second time with the refresh token that came from the first
        await asyncio.sleep(7.2)
        house.provider.trouble("/token", delay_ms=200)
        assert await statuses(house, handle, 50) == [200] * 50
        assert len(set(house.secrets_told())) == round_
        assert (refreshes(house), refreshes(house, 400)) == (round_, 0)
    assert house.provider.counts()["POST /token"] == 3


async def test_fifty_calls_whose_token_the_api_rejects_make_one_refresh(house, handle):
    bouncer = Bouncer(house.api)
    assert await statuses(house, handle, 1) == [200]
    bouncer.rejected.add(bouncer.shown[-1])
    house.provider.trouble("/token", delay_ms=200)
    assert await statuses(house, handle, 50) == [200] * 50
    assert (refreshes(house), refreshes(house, 400)) == (1, 0)
    assert len(set(bouncer.shown)) == 2


async def test_an_api_that_rejects_every_token_does_not_make_the_gateway_hammer_the_provider(house, handle):
    bouncer = Bouncer(house.api)
    for _ in range(3):
        await statuses(house, handle, 1)
        bouncer.rejected.update(bouncer.shown)
    assert set(await statuses(house, handle, 10)) == {401}
    assert refreshes(house) == 1


async def test_a_token_rejected_again_after_the_refresh_is_the_api_s_answer(house, handle):
    async def never(request):
        return web.json_response({"no": token_of(request)}, status=401)

    house.api.answer = never
    async with house.call(handle) as answer:
        assert answer.status == 401
        assert "no" in await answer.json()
    assert refreshes(house) == 1


async def test_a_body_that_was_sent_is_not_sent_twice(house, handle):
    bouncer = Bouncer(house.api)
    assert await statuses(house, handle, 1) == [200]
    bouncer.rejected.add(bouncer.shown[-1])
    async with house.call(handle, "/v1/pay", "POST", data=b"1 EUR") as answer:
        assert answer.status == 401
    assert [seen.target for seen in house.api.seen].count("/v1/pay") == 1
    async with asyncio.timeout(60):  # it is refreshed all the same, so that the app's own next try succeeds
        while refreshes(house) == 0:
            await asyncio.sleep(0.02)
    async with house.call(handle, "/v1/pay", "POST", data=b"1 EUR") as answer:
        assert answer.status == 200


async def test_an_answer_without_expires_in_is_used_until_the_api_says_no(house, visitor):
    house.provider.trouble("/token", omit=["expires_in"])
    await visitor.sign_in("alice")
    handle = (await visitor.seen_by_app()).one("proxy-session")
    bouncer = Bouncer(house.api)
    assert await statuses(house, handle, 5) == [200] * 5
    assert refreshes(house) == 0
    bouncer.rejected.add(bouncer.shown[-1])
    assert await statuses(house, handle, 5) == [200] * 5
    assert refreshes(house) == 1


async def test_a_refused_refresh_takes_the_credential_away_and_says_so(house, browser_of_alice, handle):
    bouncer = Bouncer(house.api)
    assert await statuses(house, handle, 1) == [200]
    bouncer.rejected.add(bouncer.shown[-1])
    house.provider.revoke("alice")
    async with house.call(handle) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "credential_gone")
    seen = await browser_of_alice.seen_by_app()
    assert seen.one("user-email") == "alice@example.com"
    assert seen.all("proxy-provider") in ([], [""])
    shown = len(bouncer.shown)
    assert set(await statuses(house, handle, 5)) == {401}
    assert len(bouncer.shown) == shown
    assert refreshes(house, 400) == 1


async def test_a_provider_that_is_down_takes_nothing_away(house, browser_of_alice, handle):
    bouncer = Bouncer(house.api)
    assert await statuses(house, handle, 1) == [200]
    bouncer.rejected.add(bouncer.shown[-1])
    house.provider.go_down()
    async with house.call(handle) as answer:
        assert answer.status in (502, 503)
        json.loads(await answer.text())
    assert (await browser_of_alice.seen_by_app()).one("proxy-provider") == "op"
    house.provider.come_back()
    async with asyncio.timeout(60):
        while (await statuses(house, handle, 1)) != [200]:
            await asyncio.sleep(0.2)
    assert refreshes(house) == 1


async def test_a_refresh_survives_kill_9_right_after_it(house, handle):
    bouncer = Bouncer(house.api)
    assert await statuses(house, handle, 1) == [200]
    bouncer.rejected.add(bouncer.shown[-1])
    assert await statuses(house, handle, 1) == [200]
    house.gateway.kill()
    house.gateway.start_again()
    assert await statuses(house, handle, 1) == [200]
    assert len(set(bouncer.shown)) == 2
    assert refreshes(house) == 1


# -- an API that is not there -----------------------------------------------------------------------


async def test_an_api_whose_certificate_nobody_vouches_for_is_not_called(house, handle, ports, tmp_path):
    """A new gateway on the same state that trusts another authority: the call is refused before a token leaves."""
    other = tmp_path / "empty.pem"
    other.write_text("")
    house.gateway.stop()
    house.gateway._env["SSL_CERT_FILE"] = str(other)
    house.gateway.start_again()
    async with house.call(handle) as answer:
        assert answer.status == 502
    assert house.api.seen == []


async def test_an_api_that_dies_in_the_middle_is_not_taken_for_finished(house, handle):
    async def die(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"part")
        request.transport.abort()
        return response

    house.api.answer = die
    with pytest.raises(aiohttp.ClientPayloadError):
        async with house.call(handle) as answer:
            await answer.read()
