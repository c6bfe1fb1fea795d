"""The gateway with sessions in Redis and people in SQLite or PostgreSQL: away and back, failed over, several at once."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.real.house import CONFIGURATION, House, build, handle_of, status_of, status_with, until
from tests.real.redis import PASSWORD, Single, Watched, stopped

pytestmark = pytest.mark.real

KEY = {"VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="}
STORE = 'store {\n  sessions = "${env("REDIS_URL")}"\n}\n'
OF_OPERATORS = STORE.replace("\n}", '\n  timeout = "250ms"\n}')
WITH_SERVER = 'store {\n  url = "${env("DATABASE_URL")}"\n}\n'


@pytest.fixture
async def house_on(ports, api, openid, gateway) -> AsyncIterator[Callable[..., Any]]:
    """Builds the whole house on a Redis."""

    async def start(url: str, *, database: str = "", store: str = STORE) -> House:
        environ = {**KEY, "REDIS_URL": url, "DATABASE_URL": database}
        text = CONFIGURATION + store + (WITH_SERVER if database else "")
        with_url = functools.partial(gateway, env=environ)
        return await build(ports=ports, api=api, openid=openid, gateway=with_url, configuration=text)

    return start


async def test_known_sessions_are_served_while_redis_is_away_others_wait_and_all_is_well_after(
    ports, house_on
):
    with stopped(Single(ports, "appendonly yes", "appendfsync always")) as (own,):
        house = await house_on(own.url, store=OF_OPERATORS)
        async with house.browser() as alice, house.browser() as bob:
            await alice.sign_in("alice")
            await bob.sign_in("bob")
            unknown = "A" * 43
            assert await status_with(house, unknown) == 302
            await asyncio.to_thread(own.server.kill)
            for _ in range(15):
                assert await status_of(alice) == 200
                assert await status_with(house, unknown) == 503
                await asyncio.sleep(0.1)
            await asyncio.to_thread(own.server.start_again)
            await until(302, lambda: status_with(house, unknown))
            assert await status_of(alice) == 200
            own.server.pause()
            await until(503, lambda: status_with(house, unknown))
            assert [await status_of(bob) for _ in range(30)] == [200] * 30
            own.server.resume()
            await until(302, lambda: status_with(house, unknown))
        events = [json.loads(line)["event"] for line in house.gateway.log.splitlines()]
        assert events.count("store_away") == events.count("store_back") >= 2


async def test_what_a_redis_forgot_when_it_restarted_nobody_remembers(ports, house_on):
    with stopped(Single(ports, "appendonly no")) as (own,):
        house = await house_on(own.url)
        async with house.browser() as alice:
            await alice.sign_in("alice")
            assert await status_of(alice) == 200
            await asyncio.to_thread(own.server.kill)
            await asyncio.to_thread(own.server.start_again)
            await until(302, lambda: status_of(alice))
            assert (await alice.sign_in("alice")).status == 200
            assert await status_of(alice) == 200


async def test_a_sign_out_holds_though_the_redis_that_takes_over_never_heard_of_it(ports, house_on):
    with stopped(Watched(ports)) as (watched,):
        house = await house_on(watched.url)
        async with house.browser() as alice, house.browser() as bob:
            await alice.sign_in("alice")
            await bob.sign_in("bob")
            handle, before = handle_of(alice), watched.primary
            before.wait_until(lambda: before.say("WAIT", 1, 1000, password=PASSWORD) == 1, "has a replica")
            replica = next(one for one in watched.servers if one is not before)
            replica.pause()
            before.say("CLIENT", "KILL", "TYPE", "replica", password=PASSWORD)
            await alice.post("/@/signout")
            assert await status_with(house, handle) == 302
            await asyncio.to_thread(before.kill)
            replica.resume()
            await asyncio.to_thread(watched.failed_over, before)
            await until(302, lambda: status_with(house, "A" * 43))
            assert await status_with(house, handle) == 302
            assert await status_of(bob) == 200
            assert (await alice.sign_in("alice")).status == 200


async def test_of_two_gateways_on_a_cluster_and_postgresql_each_ends_what_the_other_began(
    redis_cluster, postgres, house_on, gateway, ports
):
    house = await house_on(redis_cluster.url, database=postgres.url)
    first_call, second_call = f"= {house.call_port}\n", f"= {ports.take()}\n"
    text = house.gateway.file.read_text().replace(first_call, second_call)
    text = text.replace(f':{house.gateway.port}"', ':{port}"')
    other = gateway(text, env={**KEY, "DATABASE_URL": postgres.url, "REDIS_URL": redis_cluster.url})
    async with house.browser() as alice:
        await alice.sign_in("alice")
        handle = handle_of(alice)
        assert await status_with(house, handle, other.port) == 200
        await alice.post("/@/signout")
        assert await status_with(house, handle, other.port) == 302
    stored = b"".join(
        value
        for server in redis_cluster.servers
        for key in server.say("KEYS", "*")
        if server.say("TYPE", key) == b"string" and (value := server.say("GET", key))
    )
    assert b"alice" not in stored
