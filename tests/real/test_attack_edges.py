"""Attacks through edges as `vestibule export` configures them (attacks.md 1.5, H and P) that must fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.real import raw
from tests.real.edges import EDGES, EdgeHouse, build
from tests.real.siege import cookies_of

pytestmark = pytest.mark.real

EXPLAINED = ("proxy-session", "user-id", "user-email", "x-forwarded-email", "cookie", "authorization")
"""What edges are told, and nobody else."""
UNHEARD = (
    *("X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Original-Host", "X-Rewrite-URL"),
    *("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Forwarded", "X-Forwarded"),
    *("X-Real-IP", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-Uri", "X-Forwarded-Method"),
    *("X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Forwarded-Access-Token", "Proxy"),
    *("X-Auth-Request-Access-Token", "X-Auth-Request-Redirect"),
)
"""What backends take for the address, method or client that was meant, whoever wrote it."""


@pytest.fixture(params=EDGES)
async def house(request, ports, api, openid, gateway, servers, tmp_path):  # noqa: PLR0917 - fixtures
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


async def ask(house: EdgeHouse, target: str, lines: Sequence[str] = (), *, method: str = "GET") -> raw.Answer:
    """The answer of the edge to these very lines."""
    own = [] if any(line.startswith("Connection:") for line in lines) else ["Connection: close"]
    head = [f"{method} {target} HTTP/1.1", f"Host: app.localhost:{house.edge_port}", *lines, *own, "", ""]
    async with raw.connect(house.edge_port) as connection:
        return await connection.ask("\r\n".join(head).encode("latin-1"))


async def test_h6_a_client_asks_no_question_in_the_edges_name(house: EdgeHouse) -> None:
    """What the gateway answers to edges (handles, assertions) is not for pages to read."""
    async with house.browser() as browser:
        await browser.sign_in("alice")
        cookie = "; ".join(f"{name}={value}" for name, value in cookies_of(browser).items())
        questions: tuple[list[str], ...] = (
            [f"X-Original-URL: http://app.localhost:{house.edge_port}/x", "X-Original-Method: GET"],
            ["X-Forwarded-Method: GET", "X-Forwarded-Uri: /x"],
            [
                *("X-Forwarded-Method: GET", "X-Forwarded-Uri: /x", "X-Forwarded-Proto: http"),
                f"X-Forwarded-Host: app.localhost:{house.edge_port}",
            ],
            [],
        )
        spelled = ("/@//forward", "/x/..//@/forward", "/@/%66orward", "/@/%2e/validate", "/@/./ext_authz/x")
        for target in ("/@/forward", "/@/validate", "/@/ext_authz/x", *spelled):
            for lines in questions:
                answer = await ask(house, target, [*lines, f"Cookie: {cookie}"])
                assert answer.status in (400, 403, 404), (target, lines, answer.head)
                names = [name.decode().lower() for name, _ in answer.fields]
                assert [name for name in EXPLAINED if name in names] == [], (target, lines)


async def test_p5_no_edge_opens_a_tunnel_of_another_kind_than_a_websocket(house: EdgeHouse) -> None:
    """h2csmuggler: what is asked in such a tunnel, nobody is asked about (CVE-2026-88008)."""
    for lines in (
        ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Connection: Upgrade, HTTP2-Settings"],
        ["Upgrade: h2c", "Connection: upgrade"],
        ["Upgrade: websocket, h2c", "Connection: upgrade"],
        ["Upgrade: h2c", "Upgrade: websocket", "Connection: upgrade"],
        ["Upgrade: tls/1.0", "Connection: Upgrade"],
    ):
        for target in ("/open/x", "/@/session", "/x"):
            async with asyncio.timeout(30):
                await ask(house, target, lines)
    seen = [
        value.lower() for one in house.app.seen for value in (*one.all("upgrade"), *one.all("http2-settings"))
    ]
    assert [value for value in seen if value != "websocket"] == []


async def test_p1_the_edge_and_the_gateway_mean_the_same_route(house: EdgeHouse) -> None:
    """An edge that folds case sends to another backend than was decided on."""
    async with house.browser() as browser:
        await browser.sign_in("bob")
        cookie = "; ".join(f"{name}={value}" for name, value in cookies_of(browser).items())
        for target in ("/ADMIN/x", "/Admin", "/aDmin/x?/admin/", "/%61dmin/x", "/admin%2Fx", "/admin;/x"):
            await ask(house, target, [f"Cookie: {cookie}"])
    assert [seen.target for seen in house.admin.seen] == []


async def test_h6_no_client_says_which_address_method_or_client_is_meant(house: EdgeHouse) -> None:
    for target in ("/open/x", "/open/y"):
        for name in UNHEARD:
            for spelling in (name, name.lower()):
                await ask(house, target, [f"{spelling}: SPOOFED"])
    heard = {
        name.lower() for seen in house.app.seen for name, value in seen.headers if "SPOOFED" in value.upper()
    }
    assert heard == set()


async def test_h4_a_connection_header_takes_no_identity_away(house: EdgeHouse) -> None:
    """CVE-2024-45410, CVE-2026-29054: the edge itself obeys it, or hands it on to a backend that does."""
    async with house.browser() as browser:
        await browser.sign_in("alice")
        cookie = "; ".join(f"{name}={value}" for name, value in cookies_of(browser).items())
        for named in (
            "User-Email",
            "user-email",
            "close, User-Email",
            "User-Email, Proxy-Session, keep-alive",
        ):
            await ask(house, "/x", [f"Cookie: {cookie}", f"Connection: {named}"])
            await ask(house, "/x", [f"Cookie: {cookie}", "Connection: close", f"Connection: {named}"])
    for seen in house.app.seen[1:]:
        assert seen.all("user-email") == ["alice@example.com"], seen.headers
        assert "user-email" not in "".join(seen.all("connection")).lower()
