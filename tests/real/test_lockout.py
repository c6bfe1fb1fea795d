"""Wrong passwords at two nodes on one database are one count; a database that is away lets nobody try more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.postgres import Cluster
from vestibule.core.app_token import written
from vestibule.core.lockout import TRIES_MAX, WINDOW_S
from vestibule.service.app_tokens import FAILURES_MAX

pytestmark = pytest.mark.real

KEY = {"VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="}
HASH = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="  # correct horse
HCL = """
gateway {
  http            = ["127.0.0.1:{port}"]
  trusted_proxies = ["127.0.0.1"]
}
store {
  url = "${env("DATABASE_URL")}"
}
host "app.example.com" {
  backend    = "internal:echo"
  app_tokens = true
  htpasswd   = "FILE"
  access { allow = ["anyone"] }
}
"""


class Node(NamedTuple):
    """One of two."""

    gateway: Gateway
    client: aiohttp.ClientSession

    async def status(self, user: str, password: str, address: str = "192.0.2.1") -> int:
        """What the page is answered with for these credentials, from there."""
        return await self._status(address, aiohttp.encode_basic_auth(user, password))

    async def status_of_token(self, token: str, address: str = "192.0.2.1") -> int:
        return await self._status(address, f"Bearer {token}")

    async def _status(self, address: str, authorization: str) -> int:
        headers = {
            "Host": f"app.example.com:{self.gateway.port}",
            "X-Forwarded-For": address,
            "Authorization": authorization,
        }
        async with self.client.get(self.gateway.url, headers=headers) as answer:
            if answer.status == 429:
                assert 0 < int(answer.headers["Retry-After"]) <= WINDOW_S
            return answer.status


@pytest.fixture
def cluster(ports: Ports, ca) -> Cluster:
    """A server of the test's own, to be hurt."""
    cluster = Cluster(ports.take(), ca)
    yield cluster
    cluster.stop()


@pytest.fixture
async def nodes_on(
    gateway: Callable[..., Gateway], tmp_path: Path
) -> AsyncIterator[Callable[[str], tuple[Node, Node]]]:
    """Starts two gateways on this database."""
    users = tmp_path / "users"
    users.write_text(f"ann:{HASH}\nbob:{HASH}\n")
    text = HCL.replace("FILE", str(users))
    async with aiohttp.ClientSession() as client:

        def start(url: str) -> tuple[Node, Node]:
            env = {**KEY, "DATABASE_URL": url}
            return Node(gateway(text, env=env), client), Node(gateway(text, env=env), client)

        yield start


async def test_wrong_passwords_spread_over_two_nodes_lock_the_account_once(postgres, nodes_on):
    one, two = nodes_on(postgres.url)
    for number in range(TRIES_MAX):
        spelled = ("ann", "Ann", "ANN", " ann")[number % 4]
        assert await (one, two)[number % 2].status(spelled, "wrong", f"192.0.2.{number}") == 401
    for node in (one, two):
        assert await node.status("ann", "correct horse", "198.51.100.1") == 429
        assert await node.status("bob", "correct horse", "198.51.100.1") == 200


async def test_who_is_known_at_one_node_is_known_at_the_other(postgres, nodes_on):
    one, two = nodes_on(postgres.url)
    assert await one.status("ann", "correct horse", "203.0.113.7") == 200
    for number in range(TRIES_MAX):
        assert await one.status("ann", f"wrong{number}", "198.51.100.1") == 401
    assert await two.status("ann", "wrong", "198.51.100.2") == 429
    async with asyncio.timeout(60):  # once what the one published is heard
        while await two.status("ann", "correct horse", "203.0.113.7") != 200:
            await asyncio.sleep(0.05)


async def test_wrong_app_tokens_at_two_nodes_are_one_count(postgres, nodes_on):
    one, two = nodes_on(postgres.url)
    for number in range(FAILURES_MAX):
        node = (one, two)[number % 2]
        assert await node.status_of_token(written(bytes([number]) * 32)) == 401
    statuses = [await node.status_of_token(written(b"\xff" * 32)) for node in (two, one)]
    assert statuses.count(429) >= 1
    assert await one.status_of_token(written(b"\xfe" * 32), "198.51.100.1") == 401


async def test_a_database_that_is_away_lets_nobody_try_more_at_one_node(cluster: Cluster, nodes_on):
    database = await asyncio.to_thread(cluster.database)
    one, two = nodes_on(database.url)
    for number in range(TRIES_MAX):
        assert await one.status("ann", "wrong", f"192.0.2.{number}") == 401
    assert await two.status("ann", "wrong", "198.51.100.1") == 429  # so it is known there, too
    await asyncio.to_thread(cluster.kill)
    for node in (one, two):
        assert await node.status("ann", "correct horse", "198.51.100.2") == 429
    for number in range(TRIES_MAX):
        assert await one.status("bob", "wrong", f"192.0.2.{number}") == 401
    assert await one.status("bob", "correct horse", "198.51.100.2") == 429
