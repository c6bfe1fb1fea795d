"""Caches in front of the gateway that were set up without a thought for people: Varnish and nginx.

attacks.md P8: nobody gets what was made for somebody else, and who is signed out gets nothing at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.real import raw
from tests.real.house import CONFIGURATION, House, build
from tests.real.varnish import Varnish
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

NGINX_HTTP = "proxy_cache_path {prefix}/cache keys_zone=all:1m;"
NGINX = """
        location / {
            proxy_pass http://127.0.0.1:PORT;
            proxy_set_header Host $http_host;
            proxy_http_version 1.1;
            proxy_cache all;
            proxy_cache_key $scheme$host$request_uri;
            proxy_cache_methods GET HEAD;
            proxy_cache_valid any 10m;
            add_header X-Cache $upstream_cache_status always;
        }
"""
#: what a backend that knows of no gate may say of its answers, by the path that asks for it
SAID: dict[str, dict[str, str]] = {
    "nothing": {},
    "public": {"Cache-Control": "public, max-age=600"},
    "some-time": {"Cache-Control": "max-age=600"},
    "caches": {"Cache-Control": "s-maxage=600"},
    "expires": {"Expires": "Thu, 01 Jan 2037 00:00:00 GMT"},
    "accel": {"Cache-Control": "private", "X-Accel-Expires": "600"},
    "surrogate": {"Cache-Control": "max-age=0", "Surrogate-Control": "max-age=600"},
    "immutable.css": {"Cache-Control": "public, max-age=31536000, immutable", "Content-Type": "text/css"},
    "missing": {},
}


async def personal(request: web.Request) -> web.Response:
    """A page that greets whoever is there, and says of itself what its address asks for."""
    name = request.path.rpartition("/")[2]
    who = request.headers.get("User-Email", "nobody")
    status = 404 if name == "missing" else 200
    return web.Response(text=f"for {who}", headers=SAID.get(name, {}), status=status)


class Front:
    """A cache, and people who come through it."""

    def __init__(self, house: House, port: int, cookies: dict[str, str]) -> None:
        self.house = house
        self.port = port
        self._cookies = cookies

    async def get(self, target: str, who: str = "", *, method: str = "GET") -> raw.Answer:
        """The answer to alice, to bob, or to nobody."""
        cookie = f"Cookie: {self._cookies[who]}\r\n" if who else ""
        asked = f"{method} {target} HTTP/1.1\r\nHost: app.example.com:{self.house.gateway.port}\r\n{cookie}"
        async with raw.connect(self.port) as connection:
            return await connection.ask(
                f"{asked}Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n\r\n".encode()
            )


@pytest.fixture
async def house(ports, api, openid, gateway, tmp_path) -> AsyncIterator[House]:
    """As ever, with an app that greets whoever is there, and a directory."""

    async def greeting(*, https: bool = False) -> Any:
        return await api(https=https, answer=personal)

    files = tmp_path / "public" / "files"
    files.mkdir(parents=True)
    (files / "a.txt").write_text("a file")
    route = f'route "/files/" {{\n    backend = "static:{files.parent}"\n  }}\n  route "/open/"'
    configuration = CONFIGURATION.replace('route "/open/"', route)
    house = await build(
        ports=ports, api=greeting, openid=openid, gateway=gateway, configuration=configuration
    )
    async with new_visitor() as house.client:
        yield house


@pytest.fixture
async def cookies(house: House) -> AsyncIterator[dict[str, str]]:
    """Of alice and bob, who are signed in."""
    found = {}
    async with contextlib.AsyncExitStack() as stack:
        for person in ("alice", "bob"):
            browser = await stack.enter_async_context(house.browser())
            assert (await browser.sign_in(person)).status == 200
            found[person] = "; ".join(f"{one.key}={one.value}" for one in browser.session.cookie_jar)
        house.app.seen.clear()
        yield found


@pytest.fixture
def fronts(house, cookies, ports, nginx, process, state_dir) -> list[Front]:  # noqa: PLR0917 - fixtures
    varnish = Varnish(ports.take(), house.gateway.port, state_dir / "varnish", process)
    edge = nginx(NGINX.replace("PORT", str(house.gateway.port)), http=NGINX_HTTP)
    return [Front(house, port, cookies) for port in (varnish.port, edge.port)]


async def test_p8_nobody_gets_what_was_made_for_somebody_else(fronts: list[Front]):
    for front in fronts:
        # They do keep what all may see: else what follows would show nothing.
        front.house.app.seen.clear()
        for _ in range(3):
            assert (await front.get("/open/public")).body == b"for nobody"
        assert len(front.house.app.seen) == 1
        for said in SAID:
            status = 404 if said == "missing" else 200
            for who in ("alice", "bob", "", "alice", "", "bob"):
                answer = await front.get(f"/private/{said}", who)
                if who:
                    assert (answer.status, answer.body) == (status, f"for {who}@example.com".encode()), said
                else:
                    assert (answer.status, answer.body) == (302, b""), said


async def test_p8_being_led_to_sign_in_is_kept_for_nobody_and_head_is_gated_as_get_is(fronts: list[Front]):
    for front in fronts:
        for said in SAID:
            status = 404 if said == "missing" else 200
            for _ in range(2):
                answer = await front.get(f"/private/{said}")
                assert (answer.status, answer.get(b"cache-control")) == (302, b"no-store")
            assert (await front.get(f"/private/{said}", "alice")).status == status
            assert (await front.get(f"/private/{said}", "alice", method="HEAD")).status == status
            assert (await front.get(f"/private/{said}", method="HEAD")).status == 302
            assert (await front.get(f"/private/{said}")).status == 302


async def test_p8_a_public_page_that_greets_people_and_says_nothing_greets_the_right_ones(
    fronts: list[Front],
):
    for front in fronts:
        for who in ("alice", "bob", "alice"):
            assert (await front.get("/open/nothing", who)).body == f"for {who}@example.com".encode()
        for target in ("/open/nothing", "/open/missing"):
            assert (await front.get(target, "alice")).body == b"for alice@example.com"
            assert (await front.get(target)).body == b"for nobody"


async def test_p8_answers_of_the_gateways_own_are_asked_for_each_time(fronts: list[Front]):
    """Who is signed in, pages, files behind a rule, refusals: each person's own, after anybody else's."""
    for front in fronts:
        for target in OWN:
            straight = Front(front.house, front.house.gateway.port, front._cookies)
            for who in ("alice", "bob", "", "alice", "", "bob"):
                expected, answer = await straight.get(target, who), await front.get(target, who)
                assert answer.status == expected.status, (target, who)
                if not target.startswith("/files") or expected.status not in (200, 301):
                    assert expected.get(b"cache-control") == b"no-store", (target, who)
                    assert (expected.get(b"vary") or b"").startswith(b"Cookie, Authorization"), (target, who)
                assert (answer.get(b"location") is None) == (expected.get(b"location") is None), (target, who)
                for person in ("alice", "bob"):
                    mail = f"{person}@example.com".encode()
                    assert (mail in answer.body) == (mail in expected.body), (target, who)
                if not who:
                    assert b"a file" not in answer.body


OWN = (
    *("/@/session", "/@/account", "/@/signin", "/@/nothing", "/@/signedout", "/@op/signin"),
    *("/files/a.txt", "/files/none.txt", "/files", "/private/x%2Fy", "/@/healthz"),
)
