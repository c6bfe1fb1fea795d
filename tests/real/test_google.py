"""Signing in with Google through the whole gateway, by a stand-in for its sign-in and its directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.real.gateway import Gateway
from tests.real.standin_google import ADMIN, Google
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
provider "google" {
  client_id          = "app"
  client_secret      = "app-secret"
  issuer             = "STANDIN"
  directory_url      = "STANDIN"
  cloud_identity_url = "STANDIN"
  groups_key         = "${env("GROUPS_KEY")}"
  groups_admin       = "WHO"
  MORE
}
host "app.localhost" {
  backend = "internal:echo"
  sign_in = ["google"]
  access {
    allow = ["anyone"]
  }
  route "/staff/" {
    access {
      allow = ["group:staff@corp.example"]
    }
  }
  route "/not-staff/" {
    access {
      allow = ["anyone"]
      deny  = ["group:staff@corp.example"]
    }
  }
}
"""


@pytest.fixture
def more() -> str:
    return ""


@pytest.fixture
async def stage(
    api: Callable[..., Any], gateway: Callable[..., Gateway], more: str
) -> AsyncIterator[Stage[Google]]:
    google = Google()
    google.url = (await api(answer=google.answer)).url
    text = HCL.replace("STANDIN", google.url).replace("WHO", ADMIN).replace("MORE", more)
    async with AsyncExitStack() as visitors:
        yield Stage(gateway(text, env={"GROUPS_KEY": google.key_file}), google, "google", visitors)


def with_provider(more: str) -> Any:
    return pytest.mark.parametrize("more", [more], ids=[""])


async def test_groups_come_from_the_directory_to_the_last_page(stage):
    alice, bob = await stage.person(), await stage.person()
    told = await alice.told(await alice.sign_in("alice"))
    names = ("staff", "berlin", "chess", "ops", "all")
    assert told["user-groups"] == ",".join(f"{name}@corp.example" for name in names)
    assert stage.provider.counts["page 3"] == 1
    await bob.sign_in("bob")
    assert [await p.status("/staff/") for p in (alice, bob)] == [200, 403]
    assert [await p.status("/not-staff/") for p in (alice, bob)] == [403, 200]
    assert "robot-at" not in stage.gateway.log
    assert "PRIVATE KEY" not in stage.gateway.log


async def test_a_personal_account_has_groups_that_nobody_knows(stage):
    dave = await stage.person()
    told = await dave.told(await dave.sign_in("dave"))
    assert "user-groups" not in told
    assert await dave.status("/staff/") == 403
    assert await dave.status("/not-staff/") == 403  # whether a deny rule is about them can't be said


async def test_an_account_that_the_directory_does_not_know_is_not_let_in(stage):
    carol = await stage.person()
    assert (await carol.sign_in("carol"))[0] == 502
    assert await carol.who() is None


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


async def test_a_service_account_without_delegation_lets_nobody_in_and_is_in_the_log(stage):
    stage.provider.delegates = False
    alice = await stage.person()
    assert (await alice.sign_in("alice"))[0] == 502
    assert "unauthorized_client" in stage.gateway.log


@with_provider('allowed_groups = ["staff@corp.example"]')
async def test_an_allowed_group_lets_in_and_its_absence_does_not(stage):
    alice, bob, dave = [await stage.person() for _ in range(3)]
    assert (await alice.sign_in("alice"))[0] == 200
    for person, login in ((bob, "bob"), (dave, "dave")):
        assert (await person.sign_in(login))[0] == 403
        assert await person.who() is None


@with_provider('hosted_domains = ["corp.example", "corp.test"]')
async def test_accounts_of_other_domains_are_refused(stage):
    alice, carol, dave = [await stage.person() for _ in range(3)]
    assert (await alice.sign_in("alice"))[0] == 200
    assert (await carol.sign_in("carol"))[0] == 403
    assert (await dave.sign_in("dave"))[0] == 403


@with_provider("nested_groups = true")
async def test_nested_groups_come_from_cloud_identity(stage):
    alice = await stage.person()
    assert "everyone" in (await alice.told(await alice.sign_in("alice")))["user-groups"]


@with_provider('allowed_groups = ["staff@corp.example"]\n  offline_access = false')
async def test_who_leaves_the_group_is_out_without_any_token_of_theirs(stage):
    alice = await stage.person()
    await alice.sign_in("alice")
    stage.provider.groups["1001"].remove("staff@corp.example")
    await alice.gone()
    assert stage.provider.counts["grant refresh_token"] == 0


async def test_who_leaves_the_group_stays_without_it(stage):
    alice = await stage.person()
    await alice.sign_in("alice")
    assert await alice.status("/staff/") == 200
    stage.provider.groups["1001"].remove("staff@corp.example")
    await alice.until("/staff/", 403)
    assert await alice.status("/") == 200


@with_provider('hosted_domain = "corp.example"')
async def test_an_account_that_is_suspended_there_is_out_here(stage):
    alice = await stage.person()
    await alice.sign_in("alice")
    stage.provider.signed_out.add("1001")
    await alice.gone()
