"""Attacks on the calling interfaces: nothing goes out with a person's credential that must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import web

from tests.real.siege import Siege, besieged, handle_cookie, sign_in

pytestmark = pytest.mark.real


@pytest.fixture
async def siege(ports, api, gateway) -> AsyncIterator[Siege]:
    async with besieged(ports, api, gateway) as siege:
        yield siege


async def raw(port: int, lines: list[str]) -> tuple[int, str]:
    """Status and text of the answer to a request written byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
    answer = (await reader.read()).decode("latin-1")
    writer.close()
    return int(answer.split(" ")[1]), answer


async def status_of(siege: Siege, handle: str, target: str = "/v1/me") -> int:
    async with siege.call(handle, target) as answer:
        await answer.read()
        return int(answer.status)


async def test_no_handle_but_the_one_that_was_given_calls(siege: Siege) -> None:
    async with siege.browser() as browser:
        await sign_in(browser)
        handle = (await browser.seen_by_app("/")).one("proxy-session")
        _, cookie = handle_cookie(siege, browser)
        assert await status_of(siege, handle) == 200
        other = await browser.get(f"http://other.example.com:{siege.gateway.port}/@op/signin")
        await browser.get((await browser.get(other.location)).location)
        await browser.get(f"http://other.example.com:{siege.gateway.port}/")
        foreign = siege.app.seen[-1].one("proxy-session")
        assert foreign != handle
        bad = [
            foreign,
            cookie,
            "",
            "A",
            "A" * 1025,
            handle * 2,
            handle + "=",
            handle[:-4],
            handle[4:],
            "\xff" * 80,
        ]
        bad = [text for text in bad if text != handle + "="]
        for at in range(0, len(handle) - 1, 5):
            bad.append(handle[:at] + ("A" if handle[at] != "A" else "B") + handle[at + 1 :])
        before = len(siege.api.seen)
        for text in bad:
            status, _ = await raw(
                siege.call_port,
                ["GET /v1/me HTTP/1.1", f"Host: 127.0.0.1:{siege.call_port}", f"Proxy-Session: {text}"],
            )
            assert status in (400, 401), text
        status, _ = await raw(
            siege.call_port,
            [
                "GET /v1/me HTTP/1.1",
                "Host: localhost",
                f"Proxy-Session: {handle}",
                f"Proxy-Session: {handle}",
            ],
        )
        assert status == 401
        assert len(siege.api.seen) == before


BROWSERS = [
    ["Host: evil.example"],
    ["Host: 127.0.0.1.evil.example"],
    ["Host: localhost.evil.example"],
    ["Host: 127.1"],
    ["Host: 0.0.0.0"],
    ["Host: [::ffff:127.0.0.1]"],
    ["Host: app.example.com"],
    ["Host: localhost", "Origin: http://localhost"],
    ["Host: localhost", "Origin: null"],
    ["Host: localhost", "origin:"],
    ["Host: localhost", "ORIGIN: x"],
    ["Host: localhost", "Sec-Fetch-Site: none"],
    ["Host: localhost", "sec-fetch-mode: navigate"],
    ["Host: localhost", "Origin: https://evil.example", "Connection: origin"],
    ["Host: localhost", "Sec-Fetch-Site: cross-site", "Connection: Sec-Fetch-Site"],
    ["Host: localhost", "Host: evil.example"],
]


async def test_no_web_page_calls(siege: Siege) -> None:
    async with siege.browser() as browser:
        await sign_in(browser)
        handle = (await browser.seen_by_app("/")).one("proxy-session")
        for lines in BROWSERS:
            status, _ = await raw(
                siege.call_port, ["GET /v1/me HTTP/1.1", f"Proxy-Session: {handle}", *lines]
            )
            assert status in (400, 403), lines
        status, answer = await raw(
            siege.call_port,
            [
                "OPTIONS /v1/me HTTP/1.1",
                "Host: localhost",
                "Origin: https://evil.example",
                "Access-Control-Request-Headers: proxy-session",
            ],
        )
        assert status == 403
        assert "access-control" not in answer.lower()
        assert siege.api.seen == []


TARGETS = [
    ("GET", "/v1/admin"),
    ("POST", "/v1/me"),
    ("HEAD", "/v1/me"),
    ("OPTIONS", "/v1/me"),
    ("OPTIONS", "*"),
    ("get", "/v1/me"),
    ("GET", "/v1/ME"),
    ("GET", "/v1/me/"),
    ("GET", "//v1/me"),
    ("GET", "/v1//me"),
    ("GET", "/v1/me/../admin"),
    ("GET", "/v1/me/%2e%2e/admin"),
    ("GET", "/v1/items/..%2fadmin"),
    ("GET", "/v1/items/..%5cadmin"),
    ("GET", "/v1/items/%2e%2e%2fadmin"),
    ("GET", "/v1/items/%252e%252e%252fadmin"),
    ("GET", "/v1/items/..;/admin"),
    ("GET", "/v1/items/1/delete"),
    ("GET", "/v1/items/"),
    ("GET", "/v1/items/%00"),
    ("GET", "http://127.0.0.1/v1/admin"),
    ("GET", "http://evil.example/v1/me"),
    ("GET", "v1/me"),
    ("CONNECT", "127.0.0.1:80"),
    ("TRACE", "/v1/me"),
]


async def test_only_operations_means_only_operations(siege: Siege) -> None:
    async with siege.browser() as browser:
        await sign_in(browser)
        handle = (await browser.seen_by_app("/")).one("proxy-session")
        wrong: list[object] = []
        for method, target in TARGETS:
            lines = [
                f"{method} {target} HTTP/1.1",
                "Host: 127.0.0.1",
                f"Proxy-Session: {handle}",
                "Content-Length: 0",
            ]
            status, _ = await raw(siege.call_port, lines)
            wrong += [] if 400 <= status < 500 else [(method, target, status)]
        assert wrong == []
        assert siege.api.seen == []
        override = [
            "X-HTTP-Method-Override: DELETE",
            "X_HTTP_Method_Override: DELETE",
            "X-Method-Override: DELETE",
        ]
        lines = ["GET /v1/items/1 HTTP/1.1", "Host: 127.0.0.1", f"Proxy-Session: {handle}", *override]
        assert (await raw(siege.call_port, lines))[0] == 200
        assert "DELETE" not in str(siege.api.seen)


async def test_the_credential_stands_in_its_place_once_and_the_callers_own_nowhere(siege: Siege) -> None:
    async with siege.browser() as browser:
        await sign_in(browser)
        handle = (await browser.seen_by_app("/")).one("proxy-session")
        for query in (
            "api_key=mine",
            "api_key=mine&api_key=mine",
            "%61pi_key=mine",
            "api%5Fkey=mine",
            "x=1&api_key=mine&y=2",
            "api_key",
            "&&api_key=mine&",
            "x=1;api_key=mine",
        ):
            lines = [f"GET /v1/x?{query} HTTP/1.1", "Host: localhost", f"Proxy-Session: {handle}"]
            assert (await raw(siege.keyed_port, lines))[0] == 200
            sent = parse_qsl(urlsplit(siege.api.seen[-1].target).query, keep_blank_values=True)
            assert [value for name, value in sent if name == "api_key"] == ["rogue-access"], query
            assert handle not in str(siege.api.seen[-1])
        for own in ("Authorization: Bearer mine", "authorization: Basic mine", "AUTHORIZATION: x"):
            lines = ["GET /v1/me HTTP/1.1", "Host: localhost", f"Proxy-Session: {handle}", own]
            assert (await raw(siege.call_port, lines))[0] == 200
            assert siege.api.seen[-1].one("authorization") == "Bearer rogue-access"
        # Two of them are nobody's to choose from.
        count = len(siege.api.seen)
        assert (await raw(siege.call_port, [*lines, "Authorization: Bearer mine"]))[0] == 400
        assert len(siege.api.seen) == count


async def test_a_sign_out_during_a_refresh_wins(siege: Siege) -> None:
    """The refresh was sent, the person signs out, the answer comes: nothing of it is used, kept, or left good."""
    siege.provider.tokens = {"expires_in": 1}
    siege.provider.metadata = {"revocation_endpoint": f"{siege.provider.issuer}/revoke"}
    async with siege.browser() as browser:
        await sign_in(browser)
        handle = (await browser.seen_by_app("/")).one("proxy-session")
        go_on = asyncio.Event()
        siege.provider.instead["/token"] = _fresh_token(go_on)
        await asyncio.sleep(1.1)
        tokens = siege.provider.counts["/token"]
        calls = [asyncio.create_task(status_of(siege, handle)) for _ in range(50)]
        async with asyncio.timeout(30):
            while siege.provider.counts["/token"] == tokens:
                await asyncio.sleep(0.02)
        assert (await browser.get("/@/signout")).status == 303
        go_on.set()
        assert set(await asyncio.gather(*calls)) == {401}
        assert siege.provider.counts["/token"] == tokens + 1
        assert siege.api.seen == []
        assert await status_of(siege, handle) == 401
        async with asyncio.timeout(30):
            while "token=fresh-access" not in str(siege.provider.seen):
                await asyncio.sleep(0.02)
        revoked = [body for _, path, body in siege.provider.seen if path == "/revoke"]
        assert sum("rogue-refresh" in body for body in revoked) >= 1


def _fresh_token(go_on: asyncio.Event) -> Any:
    async def answer(_request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.json_response({"access_token": "fresh-access", "token_type": "bearer", "expires_in": 3600})

    return answer


async def test_an_apis_answer_sets_no_cookie_of_ours_and_shows_no_handle(siege: Siege) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.Response(text="x", headers={"Proxy-Session": "x", "Proxy-Assertion": "x"})
        for line in ("__Host-vestibule=x", f"vestibule-{siege.gateway.port}=x", "=vestibule-1=x", "own=1"):
            response.headers.add("Set-Cookie", f"{line}; Path=/")
        return response

    siege.app.answer = answer
    async with siege.browser() as browser:
        page = await browser.get("/open/")
        assert page.headers.getall("Set-Cookie") == ["own=1; Path=/"]
        assert "Proxy-Session" not in page.headers
