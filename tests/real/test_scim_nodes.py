"""A directory that asks one of two gateways on one PostgreSQL: who is out is out at the other at the next request."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.real.directory import Directory, connected, let_in, signed_in
from tests.real.house import CONFIGURATION, Browser, House, build, until
from tests.real.nodes import people
from vestibule.protocol.scim_patch import PATCH
from vestibule.protocol.scim_schema import GROUP, USER

pytestmark = pytest.mark.real

KEY = {"VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="}
STORE = 'store {\n  url = "${env("DATABASE_URL")}"\n}\n'
OPS = """  scim       = true
  app_tokens = true
  route "/ops/" {
    access {
      allow = ["group:@/acme/ops"]
    }
  }
  route "/open/" {"""
TEXT = (
    CONFIGURATION.replace('  route "/open/" {', OPS)
    .replace('sign_in = ["op"]', 'sign_in = ["op", "*"]')
    .replace("gateway {", 'gateway {\n  fetch_allow = ["127.0.0.0/8"]', 1)
    + STORE
)
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
End = Callable[[Directory, str, str], Awaitable[None]]


@pytest.fixture
async def houses(ports, api, openid, gateway, postgres) -> tuple[House, House]:
    """The gateway that the directory asks, and the one where people are."""
    start = functools.partial(gateway, env={**KEY, "DATABASE_URL": postgres.url})
    one = await build(ports=ports, api=api, openid=openid, gateway=start, configuration=TEXT)
    call_port = ports.take()
    text = one.gateway.file.read_text("utf-8").replace(f"= {one.call_port}\n", f"= {call_port}\n")
    other = start(text.replace(f':{one.gateway.port}"', ':{port}"'))
    return one, dataclasses.replace(one, gateway=other, call_port=call_port)


@pytest.fixture
async def directory(houses: tuple[House, House], openid) -> AsyncIterator[Directory]:
    one, other = houses
    origins = (one.origin, other.origin)
    async with connected(one, openid, origins=origins, people=people("bob", *ENDS)) as directory:
        yield directory


async def token_of(browser: Browser) -> str:
    """A new app token of who is signed in."""
    url = f"{browser.house.origin}/@/account/tokens"
    headers = {"Accept": "application/json", "Origin": browser.house.origin}
    async with browser.session.get(url, headers=headers) as answer:
        key = (await answer.json())["key"]
    wish = {"key": key, "name": "laptop", "days": "30"}
    async with browser.session.post(url, json=wish, headers=headers) as answer:
        assert answer.status == 201
        return str((await answer.json())["token"])


async def status_by(program: Browser, token: str, path: str = "/") -> int:
    """What somebody with this token, and no cookie, is answered."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    url = f"{program.house.origin}{path}"
    async with program.session.get(url, headers=headers, allow_redirects=False) as answer:
        return answer.status


async def switched_off(directory: Directory, who: str, _name: str) -> None:
    await directory.patch(f"/Users/{who}", op="Replace", path="active", value="False")


async def replaced(directory: Directory, who: str, name: str) -> None:
    body = {"schemas": [USER], "userName": name, "active": False}
    assert (await directory.ask("PUT", f"/Users/{who}", body))[0] == 200


async def deleted(directory: Directory, who: str, _name: str) -> None:
    assert (await directory.ask("DELETE", f"/Users/{who}"))[0] == 204


async def in_bulk(directory: Directory, who: str, _name: str) -> None:
    off = {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": False}}]}
    operation = {"method": "PATCH", "path": f"/Users/{who}", "data": off}
    status, told = await directory.ask("POST", "/Bulk", {"schemas": [BULK], "Operations": [operation]})
    assert (status, told["Operations"][0]["status"]) == (200, "200"), told


ENDS: dict[str, End] = {"alice": switched_off, "carol": replaced, "dave": in_bulk, "erin": deleted}


async def test_whoever_is_out_at_one_gateway_has_no_session_and_no_token_at_the_other(
    houses: tuple[House, House], directory: Directory
) -> None:
    one, other = houses
    async with other.browser() as bob, other.browser() as program:
        await until(200, functools.partial(let_in, bob, "bob"))
        his = await token_of(bob)
        for name, end in ENDS.items():
            who = await directory.create("/Users", {"schemas": [USER], "userName": name, "active": True})
            async with other.browser() as there, one.browser() as here:
                for browser in (there, here):
                    await until(200, functools.partial(let_in, browser, name))
                hers = await token_of(there)
                # known there, so that what is told next is not what was just read
                assert [(await there.get("/")).status for _ in range(3)] == [200] * 3
                assert [await status_by(program, hers) for _ in range(3)] == [200] * 3

                await end(directory, who, name)
                assert await status_by(program, hers) == 401, name
                assert await there.who() is None, name
                assert await here.who() is None, name
                assert ((await bob.get("/")).status, await status_by(program, his)) == (200, 200)
                if end is deleted:
                    continue
                assert await signed_in(there, name) == 403
                assert await there.who() is None
                if end is switched_off:
                    await directory.patch(f"/Users/{who}", op="replace", value={"active": True})
                    await until(200, functools.partial(let_in, there, name))
                    assert await status_by(program, hers) == 401  # what has ended stays so


async def test_a_group_holds_at_the_other_gateway_whichever_is_told(
    houses: tuple[House, House], directory: Directory
) -> None:
    other = houses[1]
    who = await directory.create("/Users", {"schemas": [USER], "userName": "alice"})
    ops = await directory.create("/Groups", {"schemas": [GROUP], "displayName": "ops"})
    async with other.browser() as alice, other.browser() as program:
        await until(200, functools.partial(let_in, alice, "alice"))
        hers = await token_of(alice)
        for told in (directory, directory.at(other), directory):
            assert ((await alice.get("/ops/")).status, await status_by(program, hers, "/ops/")) == (403, 403)
            await told.patch(f"/Groups/{ops}", op="Add", path="members", value=[{"value": who}])
            assert ((await alice.get("/ops/")).status, await status_by(program, hers, "/ops/")) == (200, 200)
            await told.patch(f"/Groups/{ops}", op="Remove", path="members", value=[{"value": who}])
        assert (await alice.get("/ops/")).status == 403
