"""Attacks on one sign-in for a domain: copied handles, on every process of the gateway (attacks.md S6)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.openid import OpenId
from tests.real.postgres import Database
from tests.real.realm import COOKIE, HANDOFF, HOSTS, Realm, open_realm
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

STORE = 'store {\n  url = "${env("DATABASE_URL")}"\n}\n'
KEY = "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="


@pytest.fixture
async def thief() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_visitor() as session:
        yield session


@pytest.fixture(params=[HANDOFF, COOKIE], ids=["handoff", "cookie"])
async def two(
    *,
    request: pytest.FixtureRequest,
    postgres: Database,
    ports: Ports,
    openid: Callable[..., OpenId],
    gateway: Callable[..., Gateway],
) -> AsyncIterator[tuple[Realm, int]]:
    """A domain, and the port of a second gateway with the same configuration and database."""
    start = functools.partial(gateway, env={"VESTIBULE_SESSION_KEY": KEY, "DATABASE_URL": postgres.url})
    async with contextlib.AsyncExitStack() as people:
        realm = open_realm(openid, start, ports, people, request.param, HOSTS, STORE)
        other = ports.take()
        text = realm.gateway.file.read_text("utf-8")
        start(text.replace(f":{realm.gateway.port}", f":{other}"), port=other)
        yield realm, other


async def test_s6_a_copied_handle_of_one_host_is_dead_on_every_node_after_a_sign_out_on_another(
    two: tuple[Realm, int], thief: aiohttp.ClientSession
) -> None:
    realm, other = two
    alice = await realm.person()
    await alice.sign_in("app")
    await alice.sign_in("wiki")
    [(name, value)] = [
        one
        for one in alice.cookies("wiki").items()
        if one[0] in ("X-Hall", f"vestibule-{realm.gateway.port}")
    ]
    name = name.replace(str(realm.gateway.port), str(other))

    async def status(port: int, cookie: str) -> int:
        url = f"http://wiki.vestibule.localhost:{port}/@/session"
        async with thief.get(url, headers={"Cookie": f"{cookie}={value}"}) as answer:
            return answer.status

    assert await status(other, name) == 200
    assert await status(other, name) == 200
    url = realm.url("app", "/@/signout")
    async with alice.visitor.post(url, headers={"Origin": str(url.origin())}) as answer:
        assert answer.status == 200
    assert await alice.who("wiki") is None
    async with asyncio.timeout(30):
        while await status(other, name) != 401:
            await asyncio.sleep(0.05)
