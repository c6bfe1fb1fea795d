"""The gateway with everything in PostgreSQL: several at once, the server away and back, a start that can't be."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.real.house import CONFIGURATION, Browser, House, build, handle_of, status_of, status_with, until
from tests.real.postgres import PASSWORD, Cluster, Database

pytestmark = pytest.mark.real

KEY = {"VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="}
STORE = 'store {\n  url = "${env("DATABASE_URL")}"\n}\n'
OF_OPERATORS = STORE.replace("\n}", '\n  timeout = "250ms"\n}')
ALONE = 'gateway {\n  http = ["127.0.0.1:{port}"]\n}\nhost "app.example.com" {\n  backend = "internal:echo"\n  access {\n    allow = ["public"]\n  }\n}\n'


@pytest.fixture
def cluster(ports, ca) -> Iterator[Cluster]:
    """A server of the test's own, to be hurt."""
    cluster = Cluster(ports.take(), ca, is_durable=True)
    yield cluster
    cluster.resume()
    cluster.stop()


@pytest.fixture
async def house_in(ports, api, openid, gateway) -> AsyncIterator[Callable[[Database], Any]]:
    """Builds the whole house on a database."""

    async def start(database: Database, store: str = STORE) -> House:
        with_key = functools.partial(gateway, env={**KEY, "DATABASE_URL": database.url})
        return await build(
            ports=ports, api=api, openid=openid, gateway=with_key, configuration=CONFIGURATION + store
        )

    return start


async def test_known_sessions_are_served_while_the_server_is_away_others_wait_and_all_is_well_after(
    cluster, house_in
):
    house = await house_in(await asyncio.to_thread(cluster.database))
    async with house.browser() as alice, house.browser() as bob:
        await alice.sign_in("alice")
        await bob.sign_in("bob")
        unknown = "A" * 43
        assert await status_with(house, unknown) == 302
        await asyncio.to_thread(cluster.kill)
        for _ in range(20):
            assert await status_of(alice) == 200
            assert await status_with(house, unknown) == 503
            await asyncio.sleep(0.1)  # beyond the second a cache is good for
        async with house.browser() as mallory:
            assert (await mallory.sign_in("mallory")).status == 503
        assert await status_of(bob) == 200
        await asyncio.to_thread(cluster.start_again)
        await until(302, lambda: status_with(house, unknown))
        assert await status_of(alice) == 200
        async with house.browser() as mallory:
            await until(200, lambda: signed_in(mallory))
    for line in house.gateway.log.splitlines():
        assert json.loads(line)["event"]


async def signed_in(browser: Browser) -> int:
    return (await browser.sign_in("mallory")).status


async def test_nobody_waits_for_a_server_that_hangs(cluster, house_in):
    house = await house_in(await asyncio.to_thread(cluster.database), OF_OPERATORS)
    async with house.browser() as alice:
        await alice.sign_in("alice")
        cluster.pause()
        await until(200, lambda: status_of(alice))  # the one who finds out
        for _ in range(50):
            assert await status_of(alice) == 200
        cluster.resume()
        await until(302, lambda: status_with(house, "A" * 43))


async def test_a_sign_out_at_one_gateway_is_one_at_the_other(postgres, house_in, gateway, ports):
    house = await house_in(postgres)
    first_call, second_call = f"= {house.call_port}\n", f"= {ports.take()}\n"
    text = house.gateway.file.read_text().replace(first_call, second_call)
    text = text.replace(f':{house.gateway.port}"', ':{port}"')
    other = gateway(text, env={**KEY, "DATABASE_URL": postgres.url})
    async with house.browser() as alice:
        await alice.sign_in("alice")
        handle = handle_of(alice)
        assert await status_with(house, handle, other.port) == 200
        await alice.post("/@/signout")
        await until(302, lambda: status_with(house, handle, other.port))


def test_two_that_start_at_once_on_an_empty_database_both_come_up(postgres_cluster, ports, tmp_path):
    database = postgres_cluster.database(empty=True)
    programs = [
        serve(tmp_path / f"{n}", ALONE + STORE, database.url, str(ports.take()), KEY) for n in range(2)
    ]
    for program in programs:
        lines = iter(program.stdout.readline, "")
        assert any('"ready"' in line or "ready" in line for line in lines)
    for program in programs:
        program.terminate()
        assert program.wait(60) == 0
        program.stdout.close()
    postgres_cluster.drop(database)


@pytest.mark.parametrize(
    ("url", "key", "why"),
    [
        pytest.param("{url}", {}, "openssl rand -base64 32", id="no key"),
        pytest.param("{wrong}", KEY, "password authentication failed", id="wrong password"),
        pytest.param("{away}", KEY, "can't be opened", id="away"),
    ],
)
def test_a_start_that_cannot_be_says_why_and_no_password(postgres, ports, tmp_path, *, url, key, why):
    away = postgres.url.replace(f":{postgres.place.port}/", f":{ports.take()}/")
    urls = {"url": postgres.url, "wrong": postgres.url.replace("%40", "canary"), "away": away}
    program = serve(tmp_path / "x", ALONE + STORE, url.format(**urls), str(ports.take()), key)
    said, _ = program.communicate(timeout=100)
    assert program.returncode == 1
    assert why in said
    for secret in (PASSWORD, "p%40ss", "canary"):
        assert secret not in said


def serve(directory: Any, text: str, url: str, port: str, key: dict[str, str]) -> subprocess.Popen[str]:
    directory.mkdir(mode=0o700)
    file = directory / "v.hcl"
    file.write_text(text.replace("{port}", port))
    return subprocess.Popen(
        [sys.executable, "-m", "vestibule", "serve", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": "/usr/bin:/bin", "DATABASE_URL": url, **key},
    )
