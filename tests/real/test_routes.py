"""What routes say of how requests pass, against real servers: nginx that wants a certificate, WebSockets, static files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import websockets
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from tests.real import raw
from tests.real.house import House, build
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

# -- a backend that proves who it is, and asks for proof ------------------------------------------

WANTS_PROOF = """
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {dir}/server.pem;
        ssl_certificate_key {dir}/server.key;
        ssl_client_certificate {dir}/clients.pem;
        ssl_verify_client on;
        location / { return 200 "$ssl_client_s_dn|$ssl_server_name|$http_host|$request_uri"; }
"""
TLS = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "app.example.com" {
  backend             = "https://127.0.0.1:TLS"
  backend_ca          = "DIR/servers.pem"
  backend_certificate = "DIR/gateway.pem"
  backend_key         = "DIR/gateway.key"
  backend_name        = "app.internal"
  host_header         = "app.internal"
  access {
    allow = ["public"]
  }
  route "/other-certificate/" {
    backend_certificate = "DIR/stranger.pem"
    backend_key         = "DIR/stranger.key"
  }
  route "/other-name/" {
    backend_name = "elsewhere.internal"
  }
  route "/other-authority/" {
    backend_ca = "DIR/clients.pem"
  }
  route "/its-own-name/" {
    backend     = "https://127.0.0.1:TLS"
    host_header = "backend"
  }
}
"""


def write(folder: Path) -> None:
    """A server's certificate, the gateway's and a stranger's, each of an authority of its own."""
    servers, clients, strangers = trustme.CA(), trustme.CA(), trustme.CA()
    servers.cert_pem.write_to_path(str(folder / "servers.pem"))
    clients.cert_pem.write_to_path(str(folder / "clients.pem"))
    named = {
        "server": servers.issue_cert("app.internal"),
        "gateway": clients.issue_cert("gateway.internal", common_name="the gateway"),
        "stranger": strangers.issue_cert("gateway.internal", common_name="a stranger"),
    }
    for name, issued in named.items():
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        (folder / f"{name}.key").chmod(0o600)
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))


async def test_a_backend_is_known_by_its_authority_and_name_and_knows_the_gateway(
    ports, nginx, gateway, tmp_path
):
    write(tmp_path)
    tls = ports.take()
    nginx(WANTS_PROOF.replace("{tls}", str(tls)).replace("{dir}", str(tmp_path)))
    running = gateway(TLS.replace("TLS", str(tls)).replace("DIR", str(tmp_path)))

    async def ask(path: str) -> raw.Answer:
        async with raw.connect(running.port) as connection:
            return await connection.ask(f"GET {path} HTTP/1.1\r\nHost: app.example.com\r\n\r\n".encode())

    for _ in range(2):  # on a connection of its own, then on one that is there
        answer = await ask("/a?b=c")
        assert answer.status == 200
        subject, asked_for, host, target = answer.body.decode().split("|")
        assert "the gateway" in subject
        assert (asked_for, host, target) == ("app.internal", "app.internal", "/a?b=c")
    refused = await ask("/other-certificate/")
    assert refused.status == 400  # nginx's own word for a certificate it can't trace
    assert b"gateway.internal" not in refused.body
    for path in ("/other-name/", "/other-authority/", "/its-own-name/"):
        assert (await ask(path)).status == 502, path
    assert "certificate" in running.log
    assert "PRIVATE KEY" not in running.log
    assert (await ask("/a")).status == 200


# -- people, paths and headers ----------------------------------------------------------------------

PEOPLE = """
gateway {
  http = ["127.0.0.1:{port}"]
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile", "groups"]
  claims        = { who = "email" }
}

host "app.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op"]
  access {
    allow = ["anyone"]
  }
  header "X-Who" { value = "{claim.who} by {method}" }
  answer_header "X-Frame-Options" { value = "DENY" }
  answer_header "X-Powered-By" { remove = true }

  route "/teams/" {
    rewrite = "/v2/{user.id}"
    header "X-Forwarded-Prefix" { value = "{prefix}" }
    header "Cookie" { remove = true }
  }
  route "/files/" {
    backend      = "static:FILES"
    strip_prefix = true
  }
  route "/slow/" {
    timeout = "1s"
  }
  route "/api/" {
    preflight = true
  }
  route "/ws/" {
    backend = "127.0.0.1:SOCKETS"
    origins = ["https://spa.example"]
  }
  route "/echo/" {
    backend      = "internal:echo"
    strip_prefix = true
    host_header  = "echo.internal"
  }
}

call "api" {
  port     = CALL
  endpoint = "https://127.0.0.1:API"
  auth {
    name       = "authorization"
    location   = "header"
    credential = "session:op"
  }
}
"""


class Sockets:
    """A WebSocket server that says what it was asked by."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origins: list[str | None] = []

    async def __call__(self, connection: websockets.ServerConnection) -> None:
        assert connection.request is not None
        self.origins.append(connection.request.headers.get("Origin"))
        async for message in connection:
            await connection.send(message)


@pytest.fixture
async def sockets(ports) -> AsyncIterator[Sockets]:
    sockets = Sockets(ports.take())
    async with serve(sockets, "127.0.0.1", sockets.port):
        yield sockets


@pytest.fixture
async def house(ports, api, openid, gateway, sockets, tmp_path) -> AsyncIterator[House]:  # noqa: PLR0917 - fixtures
    files = tmp_path / "files"
    (files / "sub").mkdir(parents=True)
    (files / "a.txt").write_text("a file")
    (files / "sub" / "index.html").write_text("an index")
    text = PEOPLE.replace("FILES", str(files)).replace("SOCKETS", str(sockets.port))
    house = await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=text)
    async with new_visitor() as house.client:
        yield house


def cookie_of(session: Any) -> str:
    return "; ".join(f"{one.key}={one.value}" for one in session.cookie_jar)


async def test_paths_headers_and_files_are_what_the_routes_say(house: House, browser_of_alice: Any):
    browser = browser_of_alice
    me = (await browser.who())["user"]["id"]
    # Headers both ways, and what the client sends of their names is not passed on.
    page = await browser.get("/x", **{"x_who": "mallory", "X-Who": "mallory"})
    seen = house.app.seen[-1]
    assert seen.one("X-Who") == "alice@example.com by GET"
    assert [value for _, value in seen.headers if "mallory" in value] == []
    assert page.headers.getall("X-Frame-Options") == ["DENY"]
    # Another path, made of who asks; the cookie stays here.
    page = await browser.get("/teams/a%20b/?q=/teams/", Cookie="theme=dark")
    seen = house.app.seen[-1]
    assert seen.target == f"/v2/{me}/a%20b/?q=/teams/"
    assert seen.one("X-Forwarded-Prefix") == "/teams"
    assert seen.all("Cookie") == []
    # A directory without the prefix; what leads to a directory's slash leads there with it.
    assert (await browser.get("/files/a.txt")).text == "a file"
    moved = await browser.get("/files/sub")
    assert (moved.status, moved.headers["Location"]) == (301, "/files/sub/")
    assert moved.headers["X-Frame-Options"] == "DENY"
    assert (await browser.get("/files/sub/")).text == "an index"
    assert (await browser.get("/files/../../../etc/passwd")).status in (200, 404)  # the app's, or nobody's
    # What a backend would get.
    shown = json.loads((await browser.get("/echo/y?z=1")).text)
    assert (shown["path"], shown["query"]) == ("/y", "z=1")
    assert ["Host", "echo.internal"] in shown["headers"]


async def test_h8_a_backend_takes_over_no_session_and_leads_no_edge_inside(
    house: House, browser_of_alice: Any
):
    async def hostile(_: Any) -> web.Response:
        answer = web.Response(text="hello", headers={"X-Accel-Redirect": "/internal/", "X-Powered-By": "x"})
        for name in (f"vestibule-{house.gateway.port}", "__Host-vestibule", "app"):
            answer.set_cookie(name, "evil")
        return answer

    house.app.answer = hostile
    page = await browser_of_alice.get("/x")
    assert (page.status, page.text) == (200, "hello")
    assert [line.partition("=")[0] for line in page.headers.getall("Set-Cookie")] == ["app"]
    assert "X-Accel-Redirect" not in page.headers
    assert "X-Powered-By" not in page.headers
    assert page.headers["Cache-Control"] == "private"
    assert await browser_of_alice.email() == "alice@example.com"


async def test_a_backend_that_does_not_answer_in_the_routes_time_is_504(house: House, browser_of_alice: Any):
    async def sleep(_: Any) -> Any:
        await asyncio.sleep(60)

    house.app.answer = sleep
    page = await browser_of_alice.get("/slow/")
    assert page.status == 504
    assert page.headers["Cache-Control"] == "no-store"
    assert page.id in house.gateway.log


ASKS = "Origin: https://spa.example\r\nAccess-Control-Request-Method: PUT\r\n"


async def test_p2_a_preflight_passes_without_sign_in_and_nothing_else_does(
    house: House, browser_of_alice: Any
):
    cookie = f"Cookie: {cookie_of(browser_of_alice.session)}\r\n"

    async def ask(method: str, path: str, lines: str) -> int:
        start = f"{method} {path} HTTP/1.1\r\nHost: app.example.com:{house.gateway.port}\r\n"
        async with raw.connect(house.gateway.port) as connection:
            return (await connection.ask(f"{start}{lines}\r\n".encode())).status

    assert await ask("OPTIONS", "/api/x", ASKS) == 200
    assert await ask("OPTIONS", "/api/x", ASKS + cookie + "Authorization: Bearer mine\r\n") == 200
    for seen in house.app.seen[-2:]:
        assert seen.method == "OPTIONS"
        for name in ("Cookie", "Authorization", "User-Id", "User-Email", "Proxy-Session"):
            assert seen.all(name) == []
    count = len(house.app.seen)
    for method, path, lines in (
        ("OPTIONS", "/api/x", ""),
        ("OPTIONS", "/api/x", "Origin: https://spa.example\r\n"),
        ("OPTIONS", "/other", ASKS),
        ("PUT", "/api/x", ASKS),
        ("GET", "/api/x", ASKS),
    ):
        assert await ask(method, path, lines) == 401, (method, path, lines)
    assert len(house.app.seen) == count


async def test_p7_a_websocket_opens_from_the_hosts_own_page_or_a_listed_one_and_ends_with_the_session(
    house: House, browser_of_alice: Any, sockets: Sockets
):
    url = f"ws://app.example.com:{house.gateway.port}/ws/chat"
    headers = {"Cookie": cookie_of(browser_of_alice.session)}

    def opened(origin: str | None) -> Any:
        return connect(url, origin=origin, additional_headers=headers, host="127.0.0.1")

    for origin in (house.origin, "https://spa.example", None):
        async with opened(origin) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
    assert sockets.origins == [house.origin, "https://spa.example", None]
    for origin in (
        *("https://evil.example", "http://spa.example", "https://spa.example.evil.example", "null"),
        *("http://app.example.com", "https://app.example.com", "http://other.example.com"),
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with opened(origin):
                pass
        assert refused.value.response.status_code == 403, origin
    assert len(sockets.origins) == 3
    async with opened(house.origin) as client:
        assert (await browser_of_alice.post("/@/signout")).status == 200
        async with asyncio.timeout(60):
            with pytest.raises(websockets.ConnectionClosed):
                await client.recv()
