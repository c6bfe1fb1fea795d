# ruff: noqa: PLR0917 - fixtures are asked for by name
"""The provider is away, slow, broken, and two gateways want the same token at once."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.real.house import Browser
from tests.real.nodes import Node, Nodes, handle_of, in_postgres, running
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

TTL_S = 8
"""A token is replaced at half its life: many calls are to be answered in that time, on a busy machine too."""


@pytest.fixture
async def build(
    postgres, ports, api, openid, gateway, fault
) -> AsyncIterator[Callable[..., Awaitable[Nodes]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(count: int = 1, **options: Any) -> Nodes:
            nodes = await stack.enter_async_context(
                running(
                    in_postgres(postgres),
                    ports=ports,
                    api=api,
                    openid=openid,
                    gateway=gateway,
                    fault=fault,
                    count=count,
                    store_timeout="5s",
                    fetch_timeout="5s",
                    **options,
                )
            )
            client = await stack.enter_async_context(new_visitor(user_agent="app/1"))
            for node in nodes.nodes:
                node.client = client
            return nodes

        yield start


async def proxy_session(node: Node, browser: Browser, seen: dict[str, str]) -> str:
    """The handle that the app is given for calls."""
    page = await browser.get("/p/alice/1")
    assert page.status == 200, page.text
    return seen["proxy-session"]


@pytest.fixture
def told(monkeypatch) -> dict[str, str]:
    """The last `Proxy-Session` that the app was told."""
    from tests.real.watched import Watched  # noqa: PLC0415 - here alone what it opens is looked at closed

    found: dict[str, str] = {}
    plain = Watched._session_of

    def session_of(self: Watched, sealed: bytes) -> str:
        if sealed:
            found["proxy-session"] = sealed.decode()
        return plain(self, sealed)

    monkeypatch.setattr(Watched, "_session_of", session_of)
    return found


async def called(node: Node, handle: str, target: str = "/v1/me") -> tuple[int, str]:
    """Status and text of a call of the app's to the API."""
    async with node.call(handle, target) as answer:
        return answer.status, await answer.text()


TROUBLE = {
    "down": None,
    "500": {"status": 500, "body": "oh"},
    "html": {"html": "<html>We are down for maintenance</html>"},
    "hanging up": {"drop": True},
    "hanging": {"delay_ms": 60_000},
}


@pytest.mark.parametrize("what", TROUBLE.values(), ids=list(TROUBLE))
async def test_who_is_signed_in_notices_nothing_and_who_wants_in_is_asked_to_try_again(build, told, what):
    nodes = await build()
    [node] = nodes
    async with node.browser() as alice, node.browser() as bob:
        assert (await alice.sign_in("alice", "/p/alice/0")).status == 200
        handle = await proxy_session(node, alice, told)
        begun = await bob.authorize(await bob.begin("bob", "/p/bob/0"))
        if what is None:
            await asyncio.to_thread(nodes.provider.go_down)
        else:
            await asyncio.to_thread(nodes.provider.trouble, "*", times=1000, **what)
        for _ in range(5):
            assert (await alice.get("/p/alice/2")).status == 200
            assert (await called(node, handle))[0] == 200
        page = await asyncio.wait_for(bob.get(begun), 60)
        assert page.status in {502, 503, 504}
        assert re.search(r'href="[^"]*/@(op)?/?signin', page.text), page.text
        assert await bob.who() is None
        if what is None:
            await asyncio.to_thread(nodes.provider.come_back)
        else:
            await asyncio.to_thread(nodes.provider.calm)
        assert (await bob.sign_in("bob", "/p/bob/0")).status == 200
        assert await bob.email() == "bob@example.com"
        assert await alice.email() == "alice@example.com"


class Shown:
    """An API that says which token it was shown."""

    def __init__(self, api: Any) -> None:
        self.tokens: collections.Counter[str] = collections.Counter()
        api.answer = self.answer

    async def answer(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.tokens[token] += 1
        return web.json_response({"seq": request.path.rpartition("/")[2], "token": token})


def refreshes(nodes: Nodes, status: int = 200) -> int:
    return nodes.provider.counts().get(f"grant refresh_token {status}", 0)


async def expired() -> None:
    """Returns once a token that was got before is good no more."""
    await asyncio.sleep(TTL_S + 0.5)


@pytest.mark.parametrize("delay_ms", [0, 700], ids=["quick", "slow"])
async def test_fifty_calls_at_two_nodes_when_the_token_runs_out_make_one_refresh(build, told, delay_ms):
    nodes = await build(2, access_token_ttl_s=TTL_S)
    shown = Shown(nodes.api)
    async with nodes[0].browser() as alice:
        assert (await alice.sign_in("alice", "/p/alice/0")).status == 200
        handle = await proxy_session(nodes[0], alice, told)
        for turn in range(1, 4):
            if delay_ms:
                nodes.provider.trouble("/token", delay_ms=delay_ms)
            await expired()
            before = set(shown.tokens)
            answers = await asyncio.gather(
                *(called(nodes[n % 2], handle, f"/v1/{turn}-{n}") for n in range(50))
            )
            assert [status for status, _ in answers] == [200] * 50
            assert all(f'"{turn}-{n}"' in text for n, (_, text) in enumerate(answers))
            assert len(set(shown.tokens) - before) == 1
            assert refreshes(nodes) == turn
        assert refreshes(nodes, 400) == 0


async def test_a_sign_out_during_a_refresh_wins(build, told):
    nodes = await build(2, access_token_ttl_s=TTL_S)
    shown = Shown(nodes.api)
    async with nodes[0].browser() as alice:
        assert (await alice.sign_in("alice", "/p/alice/0")).status == 200
        cookie = handle_of(alice)
        handle = await proxy_session(nodes[0], alice, told)
        await expired()
        before = nodes.provider.counts().get("POST /token", 0)
        nodes.provider.trouble("/token", late_ms=1700)
        waiting = [asyncio.create_task(called(nodes[n % 2], handle)) for n in range(10)]
        async with asyncio.timeout(60):  # what is asked is under way
            while nodes.provider.counts().get("POST /token", 0) == before:
                await asyncio.sleep(0.02)
        await alice.post("/@/signout")
        answers = await asyncio.gather(*waiting)
        assert {status for status, _ in answers} == {401}
        assert (await called(nodes[0], handle))[0] == (await called(nodes[1], handle))[0] == 401
        for node in nodes.nodes:
            async with node.browser() as thief:
                page = await thief.get("/p/alice/3", Cookie=f"vestibule-{node.gateway.port}={cookie}")
                assert page.status == 302
        assert not shown.tokens
        async with asyncio.timeout(60):  # what came too late is given back
            while not nodes.provider.counts().get("POST /token/revocation", 0):
                await asyncio.sleep(0.1)


@pytest.mark.soak
async def test_killed_between_sending_and_saving_the_person_is_asked_to_sign_in_again(build, told):
    """The refresh token was used up by who died: tried once more, refused, and that is that."""
    nodes = await build(2, access_token_ttl_s=TTL_S)
    async with nodes[0].browser() as alice, nodes[1].browser() as again:
        assert (await alice.sign_in("alice", "/p/alice/0")).status == 200
        handle = await proxy_session(nodes[0], alice, told)
        await expired()
        nodes.provider.trouble("/token", late_ms=1500)
        lost = asyncio.create_task(called(nodes[0], handle))
        async with asyncio.timeout(60):
            while not refreshes(nodes):
                await asyncio.sleep(0.02)
        nodes[0].gateway.kill()
        await asyncio.gather(lost, return_exceptions=True)
        async with asyncio.timeout(60):
            while (answer := await called(nodes[1], handle))[0] == 503:
                await asyncio.sleep(0.5)
        assert answer[0] == 401
        assert refreshes(nodes, 400) == 1
        assert (await called(nodes[1], handle))[0] == 401
        assert refreshes(nodes, 400) == 1
        assert (await again.sign_in("alice", "/p/alice/0")).status == 200
        assert (await called(nodes[1], await proxy_session(nodes[1], again, told)))[0] == 200
