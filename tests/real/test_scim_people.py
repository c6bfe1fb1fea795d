"""People of a directory through the whole gateway: who is in which group, and who is out, holds at the next request."""

from __future__ import annotations

from functools import partial
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from tests.real.house import CONFIGURATION, Browser, House, build, until
from tests.real.openid import client
from vestibule.admin_link import TIMEOUT_S, Link
from vestibule.protocol.scim_patch import PATCH
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


class Directory:
    """The directory of the organisation acme, whose people come by a provider of its own."""

    def __init__(self, house: House, program: aiohttp.ClientSession, token: str) -> None:
        self.house, self.program, self.token = house, program, token

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json"}
        url = f"{self.house.origin}/scim/v2{path}"
        async with self.program.request(method, url, json=body, headers=sent) as answer:
            text = await answer.read()
            return answer.status, msgspec.json.decode(text) if text else None

    async def create(self, path: str, body: dict[str, Any]) -> str:
        status, told = await self.ask("POST", path, body)
        assert status == 201, told
        return str(told["id"])

    async def patch(self, where: str, /, **change: Any) -> None:
        status, told = await self.ask("PATCH", where, {"schemas": [PATCH], "Operations": [change]})
        assert status == 200, told


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
async def directory(house: House, openid) -> Any:
    provider = openid(client("acme", f"{house.origin}/@acme/callback"))
    admin = Link(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}", timeout_s=TIMEOUT_S)
    settings = {
        "client_id": "acme",
        "client_secret": "acme-secret",
        "issuer_url": provider.issuer,
        "scopes": ["openid", "email", "profile"],
    }
    admin.call("POST", "/orgs", {"slug": "acme", "name": "Acme"})
    document = {
        "id": "acme",
        "provider_type": "oidc",
        "email_domains": ["example.com"],
        "openid_config": settings,
    }
    admin.call("POST", "/orgs/acme/identity-providers", document)
    token = msgspec.json.decode(admin.call("POST", "/orgs/acme/directory/tokens", {}))["token"]
    async with house.browser() as browser:
        yield Directory(house, browser.session, token)


async def signed_in(browser: Browser, person: str) -> int:
    """Where a sign-in by the organisation's provider ends."""
    page = await browser.get(f"/@acme/signin?login_hint={person}&rd=/", follow=True)
    return page.status


async def let_in(browser: Browser, person: str) -> int:
    """200 once they are signed in: other workers know a new provider within a second."""
    if await browser.who() is None:
        await signed_in(browser, person)
        return 0
    return 200


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
