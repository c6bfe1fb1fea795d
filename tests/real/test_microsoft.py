"""Signing in with Entra ID through the whole gateway, by a stand-in for Entra and Graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.real.gateway import Gateway
from tests.real.standin_microsoft import CORP, DOMAIN, OTHER, Microsoft
from tests.real.standin_openid import TROUBLES
from tests.real.visit import Stage

pytestmark = pytest.mark.real

HCL = """
gateway {
  http          = ["127.0.0.1:{port}"]
  fetch_timeout = "5s"
}
lifetimes {
  restriction = "1s"
}
provider "ms" {
  type          = "entra"
  client_id     = "app"
  client_secret = "app-secret"
  login_url     = "STANDIN"
  graph_url     = "STANDIN"
  MORE
}
host "app.localhost" {
  backend = "internal:echo"
  sign_in = ["ms"]
  access {
    allow = ["anyone"]
  }
  route "/g5/" {
    access {
      allow = ["group:g5"]
    }
  }
}
"""


@pytest.fixture
def more() -> str:
    return f'tenant = "{CORP}"'


@pytest.fixture
async def stage(
    api: Callable[..., Any], gateway: Callable[..., Gateway], more: str
) -> AsyncIterator[Stage[Microsoft]]:
    microsoft = Microsoft()
    microsoft.url = (await api(answer=microsoft.answer)).url
    text = HCL.replace("STANDIN", microsoft.url).replace("MORE", more)
    async with AsyncExitStack() as visitors:
        yield Stage(gateway(text), microsoft, "ms", visitors)


def with_provider(more: str) -> Any:
    return pytest.mark.parametrize("more", [more], ids=[""])


async def test_groups_beyond_the_token_come_from_graph_to_the_last_page(stage):
    alice = await stage.person()
    told = await alice.told(await alice.sign_in("alice"))
    assert told["user-groups"] == "g1,g2,g3,g4,g5"
    assert [stage.provider.counts[f"page {number}"] for number in (1, 2, 3)] == [1, 1, 1]
    assert await alice.status("/g5/") == 200


async def test_groups_in_the_token_need_no_graph(stage):
    bob = await stage.person()
    told = await bob.told(await bob.sign_in("bob"))
    assert told["user-groups"] == "g1"
    assert stage.provider.counts["page 1"] == 0
    assert await bob.status("/g5/") == 403


@pytest.mark.parametrize("trouble", [*TROUBLES, "slow"])
async def test_a_page_that_fails_lets_nobody_in(stage, trouble):
    alice = await stage.person()
    for page in (1, 2):
        stage.provider.trouble = {page: trouble}
        assert (await alice.sign_in("alice"))[0] in {502, 503}
        assert await alice.who() is None
    assert "-at-" not in stage.gateway.log
    stage.provider.trouble = {}
    assert (await alice.sign_in("alice"))[0] == 200


@with_provider(f'tenant = "{CORP}"\n  allowed_groups = ["g5"]')
async def test_an_allowed_group_on_the_last_page_lets_in_and_its_absence_does_not(stage):
    alice, bob = await stage.person(), await stage.person()
    assert (await alice.sign_in("alice"))[0] == 200
    assert (await bob.sign_in("bob"))[0] == 403
    assert await bob.who() is None


@with_provider(f'tenant = "{DOMAIN}"')
async def test_a_tenant_may_be_written_as_its_domain(stage):
    alice, mallory = await stage.person(), await stage.person()
    assert (await alice.sign_in("alice"))[0] == 200
    assert (await mallory.sign_in("mallory"))[0] == 502  # another issuer than the domain's tenant
    assert await mallory.who() is None


@with_provider(f'tenant = "organizations"\n  allowed_tenants = ["{CORP}"]')
async def test_of_many_tenants_those_on_the_list_come_in(stage):
    alice, mallory = await stage.person(), await stage.person()
    assert (await alice.sign_in("alice"))[0] == 200
    assert (await mallory.sign_in("mallory"))[0] == 403
    assert await mallory.who() is None


@with_provider(
    f'tenant = "organizations"\n  allowed_tenants = ["{CORP}", "{OTHER}"]\n  email_domains = ["corp.example"]'
)
async def test_the_same_address_in_two_tenants_is_two_people_and_nobodys_address(stage):
    people = [await stage.person() for _ in range(2)]
    told = [await p.told(await p.sign_in(who)) for p, who in zip(people, ("alice", "mallory"), strict=True)]
    assert told[0]["user-id"] != told[1]["user-id"]
    assert not any("user-email" in one for one in told)


@with_provider(f'tenant = "{CORP}"\n  email_domains = ["corp.example"]')
async def test_the_operator_can_vouch_for_the_addresses_of_one_tenant(stage):
    alice = await stage.person()
    assert (await alice.told(await alice.sign_in("alice")))["user-email"] == "alice@corp.example"


@with_provider(f'tenant = "{CORP}"\n  allowed_groups = ["g5"]')
async def test_who_leaves_the_group_there_is_out_here(stage):
    alice = await stage.person()
    await alice.sign_in("alice")
    assert await alice.status("/g5/") == 200
    stage.provider.groups["sub-1"].remove("g5")
    await alice.gone()


async def test_who_is_signed_out_there_is_out_here(stage):
    alice, bob = await stage.person(), await stage.person()
    await alice.sign_in("alice")
    await bob.sign_in("bob")
    stage.provider.signed_out.add("sub-1")
    await alice.gone()
    assert await bob.status("/") == 200


@pytest.mark.parametrize("trouble", ["a 500", "too many requests", "another content type"])
async def test_while_graph_fails_things_stay_as_they_were(stage, trouble):
    alice = await stage.person()
    await alice.sign_in("alice")
    stage.provider.trouble = {2: trouble}
    before = stage.provider.counts["page 2"]
    for _ in range(600):
        assert await alice.status("/g5/") == 200
        if stage.provider.counts["page 2"] > before:
            break
        await asyncio.sleep(0.1)
    assert stage.provider.counts["page 2"] > before
    assert await alice.status("/g5/") == 200
