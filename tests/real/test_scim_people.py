"""People of a directory through the whole gateway: who is in which group, and who is out, holds at the next request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
from yarl import URL

from tests.real.directory import Directory, connected, let_in, signed_in
from tests.real.house import CONFIGURATION, Browser, House, build, until
from vestibule.protocol.scim_schema import GROUP, USER

pytestmark = pytest.mark.real

ROUTES = """  scim    = true
  route "/acme/" {
    access {
      allow = ["org:@/acme"]
    }
  }
  route "/ops/" {
    access {
      allow = ["group:@/acme/ops"]
    }
  }
  route "/open/" {"""


@pytest.fixture(params=[1, 2])
async def house(request, ports, api, openid, gateway) -> House:
    text = CONFIGURATION.replace('  route "/open/" {', ROUTES)
    text = text.replace('sign_in = ["op"]', 'sign_in = ["op", "*"]')
    workers = f'gateway {{\n  fetch_allow = ["127.0.0.0/8"]\n  workers = {request.param}\n  http ='
    return await build(
        ports=ports,
        api=api,
        openid=openid,
        gateway=gateway,
        configuration=text.replace("gateway {\n  http =", workers, 1),
    )


@pytest.fixture
async def directory(house: House, openid) -> AsyncIterator[Directory]:
    async with connected(house, openid) as directory:
        yield directory


async def statuses(browser: Browser) -> list[int]:
    """What is answered at `/acme/`, `/ops/` and `/`."""
    return [(await browser.get(path)).status for path in ("/acme/", "/ops/", "/")]


async def test_groups_and_the_end_hold_at_the_next_request(house: House, directory: Directory) -> None:
    who = await directory.create("/Users", {"schemas": [USER], "userName": "Alice", "active": True})
    ops = await directory.create("/Groups", {"schemas": [GROUP], "displayName": "ops"})
    async with house.browser() as alice, house.browser() as bob:
        for browser, person in ((alice, "alice"), (bob, "bob")):
            await until(200, partial(let_in, browser, person))
        assert await statuses(alice) == [200, 403, 200]
        for _ in range(3):
            await directory.patch(f"/Groups/{ops}", op="Add", path="members", value=[{"value": who}])
            assert await statuses(alice) == [200, 200, 200]
            seen = await alice.seen_by_app("/ops/")
            assert "acme/ops" in seen.one("User-Groups").split(",")
            await directory.patch(f"/Groups/{ops}", op="remove", path=f'members[value eq "{who}"]')
            assert await statuses(alice) == [200, 403, 200]
        assert (await bob.get("/ops/")).status == 403

        await directory.patch(f"/Users/{who}", op="Replace", path="active", value="False")
        # each worker, whichever a new connection leads to
        for _ in range(6):
            async with house.browser() as again:
                place = URL(house.origin)
                again.session.cookie_jar.update_cookies(alice.session.cookie_jar.filter_cookies(place), place)
                assert await again.who() is None
        assert await alice.who() is None
        assert (await bob.get("/")).status == 200
        assert await signed_in(alice, "alice") == 403
        assert await alice.who() is None

        await directory.patch(f"/Users/{who}", op="replace", value={"active": True})
        await until(200, partial(let_in, alice, "alice"))
        assert await statuses(alice) == [200, 403, 200]
        assert (await directory.ask("DELETE", f"/Users/{who}"))[0] == 204
        assert await alice.who() is None
