"""Sessions that are kept where people ask for it, no more than a person may have, and those that come as bearer."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from tests.ports import Ports
from tests.real.realm import HANDOFF, HOSTS, Answer, Person, Realm, open_realm

pytestmark = pytest.mark.real

KEEPING = """
lifetimes {
  session_idle        = "1h"
  session_absolute    = "8h"
  remember_me         = "30d"
  sessions_per_person = 2
}
"""
PHONE = """
host "phone.vestibule.localhost" {
  backend        = "127.0.0.1:BACKEND"
  sign_in        = ["op"]
  session_bearer = true
  access { allow = ["anyone"] }
}
"""


@pytest.fixture
async def people() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as people:
        yield people


@pytest.fixture
def alone(openid, gateway, ports: Ports, people) -> Realm:
    """Hosts that have each its own sign-in."""
    hosts = [f"{name}.vestibule.localhost" for name in ("app", "phone")]
    backend = str(ports.take())
    return open_realm(
        openid, gateway, ports, people, HOSTS, PHONE, KEEPING, auths=tuple(hosts), BACKEND=backend
    )


async def cookie_of(person: Person, name: str, *hints: str) -> tuple[Answer, dict[str, str]]:
    """Signs in; the answer that set the host's session cookie, and what it says of that."""
    query = "&".join(("login_hint=alice", *hints))
    answer = await person.get(person.realm.url(name, f"/@/signin?{query}"))
    for _ in range(20):
        set_by = SimpleCookie()
        for line in answer.headers.getall("Set-Cookie", ()):
            set_by.load(line)
        own = set_by.get(f"vestibule-{person.realm.gateway.port}")
        if own is not None and own.value and answer.url.host == person.realm.url(name).host:
            return answer, {key: str(value) for key, value in own.items()}
        answer = await person.get(answer.location)
    raise AssertionError(answer.url)


@pytest.mark.parametrize(("hint", "ends"), [("remember=1", 30 * 86400), ("rd=/", None)])
async def test_who_asks_to_be_kept_is_and_who_does_not_leaves_with_the_browser(
    alone: Realm, hint: str, ends: int | None
) -> None:
    alice = await alone.person()
    _, said = await cookie_of(alice, "app", hint)
    if ends is None:
        assert said["max-age"] == ""
    else:
        assert ends - 60 < int(said["max-age"]) <= ends
    assert await alice.who("app") == "alice@example.com"


@pytest.mark.parametrize("hint", ["remember=1", "rd=/"])
async def test_the_wish_goes_through_the_auth_host_to_every_host(
    openid, gateway, ports: Ports, people, hint: str
) -> None:
    realm = open_realm(openid, gateway, ports, people, HOSTS, HANDOFF, KEEPING)
    alice = await realm.person()
    for name in ("app", "wiki"):
        _, said = await cookie_of(alice, name, hint)
        assert bool(said["max-age"]) is (hint == "remember=1")
    assert alice.visitor.cookie_jar.filter_cookies(realm.url("auth"))


async def test_one_too_many_ends_the_one_that_was_unused_for_longest(alone: Realm) -> None:
    browsers = [await alone.person() for _ in range(3)]
    for one in browsers[:2]:
        await one.sign_in("app")
    await asyncio.sleep(1.1)
    bob = await alone.person()
    await bob.sign_in("app", "bob")
    await browsers[2].sign_in("app")
    async with asyncio.timeout(30):
        assert [await one.who("app") for one in browsers] == [None, "alice@example.com", "alice@example.com"]
    assert await bob.who("app") == "bob@example.com"


async def test_two_at_once_leave_no_more_than_may_be_behind(alone: Realm) -> None:
    browsers = [await alone.person() for _ in range(6)]
    # None of them goes on to the app, which would lead those who were ended to the provider, and back in.
    await asyncio.gather(*(cookie_of(one, "app") for one in browsers))
    last = await alone.person()
    await cookie_of(last, "app")
    live = [await one.who("app") is not None for one in (*browsers, last)]
    assert (sum(live), live[-1]) == (2, True)


# -- as bearer ----------------------------------------------------------------------------------


async def handle_of(person: Person, name: str) -> str:
    await person.sign_in(name, path="/")
    return person.cookies(name)[f"vestibule-{person.realm.gateway.port}"]


async def test_a_websocket_by_bearer_is_closed_when_the_session_is_revoked(
    alone: Realm, openid, ports: Ports
) -> None:
    text = alone.gateway.file.read_text("utf-8")
    found = re.search(r'backend\s+= "127.0.0.1:(\d+)"', text)
    assert found is not None
    told: list[str | None] = []

    async def echo(connection) -> None:
        told.append(connection.request.headers.get("Authorization"))
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async with serve(echo, "127.0.0.1", int(found[1])):
        alice = await alone.person()
        handle = await handle_of(alice, "phone")
        url = f"ws://phone.vestibule.localhost:{alone.gateway.port}/live"
        shown = {"Authorization": f"Bearer {handle}"}
        async with connect(url, host="127.0.0.1", additional_headers=shown) as socket:
            await socket.send("ping")
            assert await socket.recv() == "ping"
            assert told == [None]
            headers = {"Origin": str(alone.url("phone")).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
            async with alice.visitor.post(alone.url("phone", "/@/signout"), headers=headers) as answer:
                assert answer.status in (200, 303)
            async with asyncio.timeout(30):
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect(url, host="127.0.0.1", additional_headers=shown):
                pass
        assert refused.value.response.status_code == 401
