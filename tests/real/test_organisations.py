"""Organisations through the whole gateway: what somebody is in decides at the next request, on every worker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.real.house import CONFIGURATION, Browser, House, build
from vestibule.admin_client import AdminClient

pytestmark = pytest.mark.real

ROUTES = """  route "/acme/" {
    access {
      allow = ["org:acme"]
    }
  }
  route "/ops/" {
    access {
      allow = ["group:@/acme/ops"]
    }
  }
  route "/others/" {
    access {
      allow = ["anyone"]
      deny  = ["org:@/acme"]
    }
  }
  route "/open/" {"""


@pytest.fixture(params=[1, 2])
async def house(request, ports, api, openid, gateway) -> House:
    text = CONFIGURATION.replace('  route "/open/" {', ROUTES)
    workers = f"gateway {{\n  workers = {request.param}\n  http ="
    return await build(
        ports=ports,
        api=api,
        openid=openid,
        gateway=gateway,
        configuration=text.replace("gateway {\n  http =", workers, 1),
    )


@pytest.fixture
async def alice(house: House) -> AsyncIterator[Browser]:
    async with house.browser() as browser:
        await browser.sign_in("alice")
        yield browser


async def statuses(browser: Browser) -> list[int]:
    """What is answered at `/acme/`, `/ops/` and `/others/`."""
    return [(await browser.get(path)).status for path in ("/acme/", "/ops/", "/others/")]


async def test_what_is_given_and_taken_holds_at_the_next_request(house, alice):
    admin = AdminClient(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}")
    who = await alice.who()
    assert who is not None
    user = who["user"]["id"]
    assert await statuses(alice) == [403, 403, 200]
    admin.create_org("acme", "Acme")
    group = admin.create_org_group("acme", "ops")
    assert await statuses(alice) == [403, 403, 200]
    for _ in range(3):
        admin.put_org_member("acme", user, ["admin"])
        assert await statuses(alice) == [200, 403, 403]
        admin.put_in_org_group("acme", group.id, user)
        assert await statuses(alice) == [200, 200, 403]
        seen = await alice.seen_by_app("/acme/")
        assert seen.one("User-Orgs") == "acme"
        assert "acme/ops" in seen.one("User-Groups").split(",")
        admin.take_from_org_group("acme", group.id, user)
        assert await statuses(alice) == [200, 403, 403]
        admin.remove_org_member("acme", user)
        assert await statuses(alice) == [403, 403, 200]
    admin.put_org_member("acme", user)
    assert await statuses(alice) == [200, 403, 403]
    admin.delete_org("acme")
    assert await statuses(alice) == [403, 403, 200]
