"""Everything breaks, again and again: nobody gets what is somebody else's, nobody comes in who is out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.chaos import Chaos, Verdict
from tests.real.nodes import Kept, in_postgres, in_redis, people, running
from tests.real.redis import Server

pytestmark = pytest.mark.real

PEOPLE = people(
    *(f"p{n}" for n in range(50)), groups=lambda name: ["admins"] if name.endswith("0") else ["staff"]
)
GRACE_S = 5


async def survived(kept: Kept, servers: dict[str, Any], *, workers: int = 1, **options: Any) -> Verdict:
    async with running(
        kept, **servers, count=2, workers=workers, grace=f"{GRACE_S}s", people=PEOPLE
    ) as nodes:
        chaos = Chaos(nodes, tuple(PEOPLE), grace_s=GRACE_S, bound_s=1.0, **options)
        verdict = await chaos.run()
    print(verdict)
    assert verdict.wrong == []
    assert verdict.answers["200"] > 0.5 * options["requests"]
    return verdict


@pytest.fixture
def servers_of(ports, api, openid, gateway, fault) -> dict[str, Any]:
    return {"ports": ports, "api": api, "openid": openid, "gateway": gateway, "fault": fault}


@pytest.fixture(params=["postgres", "redis"])
def kept(request, servers, ports, postgres) -> Kept:
    """What sessions are kept in."""
    if request.param == "postgres":
        return in_postgres(postgres)
    server = Server(ports.take())
    servers.callback(server.stop)
    server.wait()
    return in_redis(postgres, server.port)


async def test_ten_thousand_requests_over_two_nodes(kept, servers_of):
    await survived(kept, servers_of, requests=10_000, seconds=30.0, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_million_requests_over_two_nodes(kept, servers_of, workers):
    verdict = await survived(kept, servers_of, requests=1_000_000, seconds=900.0, seed=2, workers=workers)
    assert len(verdict.faults) >= 12
    assert verdict.sign_outs > 100
