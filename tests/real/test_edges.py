"""Edges as people run them: nginx, Caddy, HAProxy and Envoy with what `vestibule export` printed."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.real.edges import EDGES, EdgeHouse, build
from tests.real.house import NAVIGATION

OWNED = ("User-Id", "User-Email", "User-Groups", "Proxy-Session", "X-Forwarded-User", "X-Auth-Request-Email")
OTHERS = ("Remote-User", "X-Vouch-User", "X-Pomerium-Claim-Email")
"""Of families that this host has not switched on."""


def spelled(name: str) -> list[str]:
    """The name as clients may write it: some backends take all of these for the same."""
    return [name, name.upper(), name.replace("-", "_"), name.replace("-", "_", 1), name.replace("-", ".")]


@pytest.fixture(params=EDGES)
async def house(request, ports, api, openid, gateway, servers, tmp_path) -> EdgeHouse:  # noqa: PLR0917 - fixtures
    """The edge in question, with everything behind it."""
    return await build(
        request.param,
        ports=ports,
        api=api,
        openid=openid,
        gateway=gateway,
        servers=servers,
        directory=tmp_path / "edge",
    )


async def test_people_sign_in_and_the_app_knows_who_they_are(house):
    async with house.browser() as browser:
        turned_away = await browser.get("/notes?a=b&c=%20d")
        assert turned_away.status == 302
        assert turned_away.location.path == "/@/signin"
        assert turned_away.location.query["rd"] == "/notes?a=b&c=%20d"
        page = await browser.sign_in("alice", rd="/notes")
        assert page.status == 200, page.text
        seen = house.app.seen[-1]
        assert seen.target == "/notes"
        assert seen.one("user-email") == "alice@example.com"
        assert seen.one("x-forwarded-email") == "alice@example.com"
        assert seen.one("user-groups") == "admins,staff%2C%20all"
        assert seen.one("proxy-session")
        assert "vestibule" not in "".join(seen.all("cookie"))


async def test_programs_get_401_with_the_way_in_and_never_a_redirect(house):
    async with house.browser() as browser:
        for method, headers in (
            ("GET", {"Sec-Fetch-Mode": "cors", "Accept": "*/*"}),
            ("POST", {"Accept": "application/json"}),
            ("GET", {"X-Requested-With": "XMLHttpRequest", "Accept": "text/html"}),
        ):
            async with browser.session.request(
                method, f"{house.origin}/api", headers=headers, allow_redirects=False
            ) as answer:
                assert answer.status == 401, (method, headers)
                assert "WWW-Authenticate" in answer.headers
                said = await answer.json()
                assert said["sign_in"] == f"{house.origin}/@/signin"
                assert "no-store" in answer.headers["Cache-Control"]
        assert house.app.seen == []


async def test_who_is_not_allowed_gets_a_page_that_says_so(house):
    async with house.browser() as browser:
        await browser.sign_in("bob")
        page = await browser.get("/admin/x")
        assert page.status == 403
        assert page.id in house.gateway.log
        assert house.admin.seen == []
    async with house.browser() as browser:
        await browser.sign_in("alice")
        for target in ("/admin/x", "/admin"):
            page = await browser.get(target)
            assert page.status == 200
            assert house.admin.seen[-1].target == target
        page = await browser.get("/administrator")
        assert house.app.seen[-1].target == "/administrator"


async def test_what_is_posted_arrives_whole_and_by_the_rules_of_its_own_method(house):
    async with house.browser() as browser:
        await browser.sign_in("alice")
        body = b"x" * 200_000
        async with browser.session.post(f"{house.origin}/form", data=body) as answer:
            assert answer.status == 200
        seen = house.app.seen[-1]
        assert (seen.method, seen.body) == ("POST", body)
        async with browser.session.post(f"{house.origin}/read/x", data=b"x") as answer:
            assert answer.status in (403, 405)
        async with browser.session.get(f"{house.origin}/read/x") as answer:
            assert answer.status == 200
        assert [one.method for one in house.app.seen if one.target == "/read/x"] == ["GET"]


async def test_h1_h2_h3_identity_headers_of_a_client_never_arrive(house):
    async with house.browser() as browser:
        await browser.sign_in("bob")
        for name in (*OWNED, *OTHERS):
            for spelling in spelled(name):
                for target in ("/open/x", "/x"):
                    count = len(house.app.seen)
                    headers = {**NAVIGATION, spelling: "root"}
                    async with browser.session.get(f"{house.origin}{target}", headers=headers) as answer:
                        await answer.read()
                    for seen in house.app.seen[count:]:
                        values = [value for _, value in seen.headers]
                        assert "root" not in values, (spelling, target)
                    if spelling == name:
                        assert answer.status == 200, (spelling, target)


async def test_nobody_is_told_of_where_nobody_is_signed_in(house):
    async with house.browser() as browser:
        page = await browser.get("/open/x")
        assert page.status == 200
        seen = house.app.seen[-1]
        assert not any("".join(seen.all(name)) for name in OWNED)


async def test_other_cookies_and_credentials_of_the_app_pass(house):
    async with house.browser() as browser:
        await browser.sign_in("alice")
        browser.session.cookie_jar.update_cookies({"theme": "dark"})
        async with browser.session.get(
            f"{house.origin}/x", headers={"Authorization": "Digest abc"}
        ) as answer:
            assert answer.status == 200
        seen = house.app.seen[-1]
        assert seen.one("cookie") == "theme=dark"
        assert seen.one("authorization") == "Digest abc"


async def test_signing_out_is_at_once(house):
    async with house.browser() as browser:
        await browser.sign_in("alice")
        assert (await browser.get("/x")).status == 200
        page = await browser.post("/@/signout")
        assert page.status == 200
        assert (await browser.get("/x")).status == 302


async def test_a_cookie_that_came_twice_is_cleared_through_the_edge(house):
    async with house.browser() as browser:
        name = f"vestibule-{house.edge_port}"
        headers = {**NAVIGATION, "Cookie": f"{name}=a; {name}=b"}
        async with browser.session.get(f"{house.origin}/x", headers=headers, allow_redirects=False) as answer:
            assert answer.status == 302
            assert f"{name}=;" in answer.headers["Set-Cookie"]


async def test_the_client_s_own_address_is_the_one_that_counts(house):
    async with house.browser() as browser:
        headers = {**NAVIGATION, "X-Forwarded-For": "192.0.2.66"}
        async with browser.session.get(f"{house.origin}/open/x", headers=headers) as answer:
            assert answer.status == 200
        assert "192.0.2.66" not in house.app.seen[-1].one("x-forwarded-for")
        async with browser.session.get(f"{house.origin}/x", headers=headers, allow_redirects=False) as answer:
            assert answer.status == 302


async def test_p1_p3_no_spelling_of_an_address_or_host_gets_past_its_route(house):
    """Raw, as no browser sends it; without a session, so that all it may reach is /open/ itself."""
    targets = (
        *(
            "/open/../x",
            "/open/%2e%2e/x",
            "//x",
            "/open/..;/x",
            "/open/%2f../x",
            "/open/..%5cx",
            "/open/./../x",
        ),
        *(
            "/open%2f..%2fadmin/x",
            "/%2561dmin",
            "/open/x#/../admin",
            "/open/%00/../x",
            "*",
            "/x?/open/",
            "/OPEN/x",
        ),
    )
    for target in targets:
        answer = await raw(house, target)
        for seen in house.app.seen:
            assert seen.target.startswith("/open/"), (target, answer)
            assert ".." not in seen.target, (target, answer)
        assert house.admin.seen == [], (target, answer)
    count = len(house.app.seen)
    for host in ("other.example", "app.localhost.other.example", "app.localhost:1", "127.0.0.1"):
        answer = await raw(house, "/admin/x", host=host)
        assert (len(house.app.seen), house.admin.seen) == (count, []), (host, answer)


async def test_a_websocket_opens_for_who_is_signed_in_and_for_the_own_origin_only(house):
    async def socket(request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.send_str("hello " + request.headers.get("User-Email", "nobody"))
        await answer.close()
        return answer

    house.app.answer = socket
    async with house.browser() as browser:
        for origin, status in ((house.origin, 401), ("https://evil.example", 401)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.session.ws_connect(f"{house.origin}/ws", origin=origin)
            assert refused.value.status == status
        house.app.answer = _plain
        await browser.sign_in("alice")
        house.app.answer = socket
        async with browser.session.ws_connect(f"{house.origin}/ws", origin=house.origin) as opened:
            assert await opened.receive_str() == "hello alice@example.com"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await browser.session.ws_connect(f"{house.origin}/ws", origin="https://evil.example")
        assert refused.value.status == 403


async def _plain(_request: web.Request) -> web.Response:
    return web.Response(text="plain")


async def test_nobody_asks_in_the_edges_name(house):
    """What an edge is told is for backends: the sealed handle, the assertion."""
    asked = {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": f"app.localhost:{house.edge_port}",
        "X-Forwarded-Uri": "/x",
        "X-Original-Method": "GET",
        "X-Original-URL": f"http://app.localhost:{house.edge_port}/x",
    }
    originals = {name: value for name, value in asked.items() if name.startswith("X-O")}
    others = {name: value for name, value in asked.items() if name not in originals}
    paths = ("/@/validate", "/@/forward", "/@/forward?x", "/@/ext_authz/x", "/@/ext_authz/", "/@/./forward")
    async with house.browser() as browser:
        await browser.sign_in("alice")
        for path in paths:
            for headers in ({}, originals, others):
                async with browser.session.get(
                    URL(house.origin + path, encoded=True), headers=headers, allow_redirects=False
                ) as answer:
                    assert answer.status in (400, 403, 404), (path, headers)
                    assert "Proxy-Session" not in answer.headers
                    assert "User-Id" not in answer.headers


async def test_a_gateway_that_is_down_lets_nothing_pass(house):
    async with house.browser() as browser:
        await browser.sign_in("alice")
        assert (await browser.get("/x")).status == 200
        count = len(house.app.seen)
        house.gateway.kill()
        for target in ("/x", "/open/x"):
            page = await browser.get(target)
            assert page.status >= 500, (target, page.status)
        assert len(house.app.seen) == count


async def raw(house: EdgeHouse, target: str, *, host: str = "") -> bytes:
    """The first bytes of the answer to a request that is sent as it is written."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.edge_port)
    name = host or f"app.localhost:{house.edge_port}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    try:
        return await asyncio.wait_for(reader.read(65536), 60)
    finally:
        writer.close()
