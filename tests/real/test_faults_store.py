"""The store is away, slow, cut off, or answers half: who is known goes on, nobody else comes in, nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.real.fault import Faults
from tests.real.house import NAVIGATION, Browser, Page
from tests.real.nodes import Node, Nodes, handle_of, in_postgres, in_redis, people, running
from tests.real.redis import Server

pytestmark = pytest.mark.real

UNKNOWN = "A" * 43
# Longer than any test waits: who waits for the store, waits too long.
LATE_S = 60.0
PATIENCE_S = 25.0

FAULTS = {
    "down": Faults.refuse,
    "slow": lambda network: network.slow(LATE_S),
    "hanging": Faults.hang,
    "half a reply": lambda network: network.half(2),
    "half a reply, then cut": lambda network: network.half(2, cut=True),
}


@pytest.fixture(params=["postgres", "redis"])
def kept(request, servers, ports, ca) -> Any:
    """What sessions are kept in."""
    database = request.getfixturevalue("postgres")
    if request.param == "postgres":
        return in_postgres(database)
    server = Server(ports.take())
    servers.callback(server.stop)
    server.wait()
    return in_redis(database, server.port)


@pytest.fixture
async def build(ports, api, openid, gateway, fault) -> AsyncIterator[Callable[..., Awaitable[Nodes]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(kept: Any, **options: Any) -> Nodes:
            made = running(kept, ports=ports, api=api, openid=openid, gateway=gateway, fault=fault, **options)
            return await stack.enter_async_context(made)

        yield start


async def stranger(node: Node, handle: str = UNKNOWN) -> Page:
    """What somebody is told who has this handle and nothing else."""
    async with node.browser() as browser:
        return await browser.get("/p/x/0", Cookie=f"vestibule-{node.gateway.port}={handle}")


async def fine(browser: Browser, person: str) -> None:
    page = await asyncio.wait_for(browser.get(f"/p/{person}/1"), PATIENCE_S)
    assert page.status == 200, page.text
    assert page.text.split()[0] == person


async def signed_in(browser: Browser, person: str) -> None:
    page = await browser.sign_in(person, f"/p/{person}/0")
    assert page.status == 200, page.text
    await fine(browser, person)


async def until(expected: int, ask: Callable[[], Awaitable[Page]]) -> None:
    """Returns once it is answered so: within the three seconds in which all is as before, and some for a busy machine."""
    async with asyncio.timeout(PATIENCE_S):
        while (await ask()).status != expected:
            await asyncio.sleep(0.05)


def is_told_to_come_back(page: Page) -> None:
    assert page.status == 503, page.text
    assert int(page.headers["Retry-After"]) > 0
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("break_", FAULTS.values(), ids=list(FAULTS))
async def test_known_people_go_on_and_others_are_told_to_come_back(build, kept, break_):
    nodes = await build(kept, grace="2m")
    [node] = nodes
    async with node.browser() as alice, node.browser() as bob, node.browser() as newcomer:
        await signed_in(alice, "alice")
        await signed_in(bob, "bob")
        break_(node.network)
        # The cache is good for a moment; then who is first finds out, and nobody after.
        async with asyncio.timeout(PATIENCE_S):
            while (await stranger(node)).status != 503:
                await asyncio.sleep(0.05)
        for _ in range(15):
            await asyncio.gather(
                *(fine(alice, "alice") for _ in range(10)), *(fine(bob, "bob") for _ in range(10))
            )
            is_told_to_come_back(await asyncio.wait_for(stranger(node), PATIENCE_S))
            await asyncio.sleep(0.1)
        assert (await asyncio.wait_for(newcomer.sign_in("carol"), PATIENCE_S)).status == 503
        is_told_to_come_back(await asyncio.wait_for(bob.post("/@/signout"), PATIENCE_S))
        node.network.calm()
        await until(302, lambda: stranger(node))
        await fine(alice, "alice")
        await until(200, lambda: newcomer.sign_in("carol", "/p/carol/0"))
        await until(302, lambda: signed_out(bob))
    assert node.app.wrong == []


async def signed_out(browser: Browser) -> Page:
    await browser.post("/@/signout")
    return await browser.get("/p/bob/2")


async def test_connections_that_are_cut_while_they_are_in_use_hurt_nobody(build, kept):
    nodes = await build(kept)
    [node] = nodes
    async with node.browser() as alice:
        await signed_in(alice, "alice")
        for _ in range(10):
            node.network.cut()
            await fine(alice, "alice")
            assert (await stranger(node)).status in {302, 503}
        await until(302, lambda: stranger(node))
        await fine(alice, "alice")


async def test_without_grace_everybody_is_told_to_come_back_and_nobody_is_signed_out(build, kept):
    nodes = await build(kept, grace="0s")
    [node] = nodes
    async with node.browser() as alice:
        await signed_in(alice, "alice")
        node.network.hang()
        await until(503, lambda: alice.get("/p/alice/1"))
        for _ in range(20):
            is_told_to_come_back(await asyncio.wait_for(alice.get("/p/alice/1"), PATIENCE_S))
        node.network.calm()
        await until(200, lambda: alice.get("/p/alice/1"))


async def test_grace_ends(build, kept):
    nodes = await build(kept, grace="5s")
    [node] = nodes
    async with node.browser() as alice:
        await signed_in(alice, "alice")
        await fine(alice, "alice")
        node.network.refuse()
        await until(503, lambda: stranger(node))
        await fine(alice, "alice")
        await until(503, lambda: alice.get("/p/alice/1"))
        is_told_to_come_back(await alice.get("/p/alice/1"))
        node.network.calm()
        await until(200, lambda: alice.get("/p/alice/1"))


async def test_who_was_signed_out_here_does_not_come_back_by_grace(build, kept):
    nodes = await build(kept)
    [node] = nodes
    async with node.browser() as alice:
        await signed_in(alice, "alice")
        handle = handle_of(alice)
        await fine(alice, "alice")
        await alice.post("/@/signout")
        node.network.refuse()
        for _ in range(30):
            assert (await stranger(node, handle)).status in {302, 503}
            await asyncio.sleep(0.05)
        node.network.calm()
        await until(302, lambda: stranger(node, handle))
    assert node.app.count == 3


async def test_nobody_ever_gets_what_is_somebody_elses(build, kept, openid):
    """Twenty people ask at once while answers of the store come late, in halves, and on connections that break."""
    everybody = people(*(f"p{n}" for n in range(20)))
    nodes = await build(kept, people=everybody, grace="0s")
    [node] = nodes
    async with contextlib.AsyncExitStack() as stack:
        handles = {}
        for person in everybody:
            browser = await stack.enter_async_context(node.browser())
            assert (await browser.sign_in(person, f"/p/{person}/0")).status == 200
            handles[person] = handle_of(browser)
        client = await stack.enter_async_context(
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0)
            )
        )
        seen: dict[int, int] = {}

        async def ask(person: str, seq: int) -> None:
            headers = {
                **NAVIGATION,
                "Host": f"app.example.com:{node.gateway.port}",
                "Cookie": f"vestibule-{node.gateway.port}={handles[person]}",
            }
            url = f"{node.gateway.url}/p/{person}/{seq}"
            async with client.get(url, headers=headers, allow_redirects=False) as answer:
                text = await answer.text()
            seen[answer.status] = seen.get(answer.status, 0) + 1
            if answer.status == 200:
                who, _, number = text.split()
                assert (who, number) == (person, str(seq))
            else:
                assert answer.status == 503

        seq = 0
        network = node.network
        hurts = (network.calm, network.hang, network.cut, lambda: network.slow(0.2))
        for turn in range(24):
            hurts[turn % len(hurts)]()
            for _ in range(4):
                await asyncio.gather(*(ask(person, seq := seq + 1) for person in everybody))
                await asyncio.sleep(0.05)
            if turn % 6 == 5:
                network.half(10 + 60 * turn, cut=bool(turn % 4))
        network.calm()
        await until(302, lambda: stranger(node))
        async with asyncio.timeout(
            60
        ):  # what was asked before may still come to nothing, and count as a fault
            while seen != {200: 20}:
                seen.clear()
                await asyncio.gather(*(ask(person, seq := seq + 1) for person in everybody))
    assert node.app.wrong == []
