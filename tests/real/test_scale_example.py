"""`examples/scale`: two nodes, PostgreSQL, Redis and HAProxy by one command, and a node that dies is missed by nobody."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys

import pytest

from tests.house.source import ROOT
from tests.process import Process
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

RUN = ROOT / "examples" / "scale" / "run.py"
NODE = re.compile(r"(node\d) (\d+)")


@pytest.fixture
async def site(ports):
    """The example, running: its address and its nodes' process ids."""
    port = ports.take()
    env = {"PYTHONUNBUFFERED": "1"}
    process = Process("example", [sys.executable, RUN, "--port", str(port)], env=env)
    try:
        await asyncio.to_thread(process.wait_log, "Ctrl-C stops")
        yield f"http://localhost:{port}", {name: int(pid) for name, pid in NODE.findall(process.log)}
    finally:
        await asyncio.to_thread(process.stop)


async def test_who_signed_in_stays_so_while_nodes_die(site):
    url, nodes = site
    assert set(nodes) == {"node1", "node2"}
    async with new_visitor() as alice, new_visitor() as bob:
        for name, visitor in (("alice", alice), ("bob", bob)):
            async with visitor.get(f"{url}/@/signin?login_hint={name}&rd=/") as answer:
                assert answer.status == 200, await answer.text()
        os.kill(nodes["node1"], signal.SIGKILL)
        for _ in range(20):
            for name, visitor in (("alice", alice), ("bob", bob)):
                async with visitor.get(f"{url}/") as answer:
                    assert answer.status == 200
                    assert f"{name}@" in await answer.text()
        async with alice.post(
            f"{url}/@/signout", headers={"Origin": url, "Sec-Fetch-Site": "same-origin"}
        ) as answer:
            assert answer.status == 200
        async with alice.get(f"{url}/", headers={"Accept": "application/json"}) as answer:
            assert answer.status == 401
        async with bob.get(f"{url}/", headers={"Accept": "application/json"}) as answer:
            assert answer.status == 200
