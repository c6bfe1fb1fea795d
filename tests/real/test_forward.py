"""Forward auth as people write it by hand: nginx's auth_request, Caddy's forward_auth, Envoy's gRPC, as in the docs."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT
from tests.house.test_docs import blocks
from tests.process import Process
from tests.real.edges import caddy, envoy
from tests.real.house import NAVIGATION, House
from tests.real.nginx import Nginx
from tests.real.openid import client

CONFIGURATION = """
gateway {
  http              = ["127.0.0.1:{port}"]
  forward_auth      = ["127.0.0.1:ASKED", "unix:edge.sock"]
  forward_auth_grpc = "127.0.0.1:GRPC"
  trusted_proxies   = ["127.0.0.1"]
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile", "groups"]
}

host "app.localhost" {
  public_url = "http://app.localhost:EDGE"
  sign_in    = ["op"]
  access {
    allow = ["anyone"]
  }
  route "/open/" {
    access {
      allow = ["public"]
    }
  }
  route "/admin/" {
    access {
      allow = ["group:admins"]
    }
  }
  route "/get/" {
    methods = ["GET"]
    access {
      allow = ["public"]
    }
  }
}

host "open.localhost" {
  access {
    allow = ["public"]
  }
}
"""

NGINX, CADDY = (
    next(block.text for block in blocks(ROOT / "docs" / "forward-auth.md") if block.language == language)
    for language in ("nginx", "caddyfile")
)
CADDY_GLOBAL = "{\n\tadmin off\n\tauto_https off\n}\n"
"""Its admin port would be the same for all Caddys of a machine."""

ENVOY = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: EDGE}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          use_remote_address: true
          upgrade_configs: [{upgrade_type: websocket}]
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service:
                envoy_grpc: {cluster_name: asked}
                timeout: 5s
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {safe_regex: {regex: "/@/(validate|forward|ext_authz).*"}}
                direct_response: {status: 404}
              - match: {prefix: "/@"}
                route: {cluster: gateway}
                typed_per_filter_config:
                  envoy.filters.http.ext_authz:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    disabled: true
              - match: {prefix: "/"}
                route: {cluster: app}
  clusters:
  - name: asked
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: asked, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: GRPC}}}}]}]}
  - name: gateway
    load_assignment: {cluster_name: gateway, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: GATEWAY}}}}]}]}
  - name: app
    load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: BACKEND}}}}]}]}
"""


MISSPELT = (
    "GET http://app.localhost:EDGE/admin/x HTTP/1.1\nHost: open.localhost:EDGE",
    "GET http://app.localhost:EDGE/admin/x HTTP/1.1\nHost: app.localhost:EDGE",
    "GET /admin/x HTTP/1.1\nHost: open.localhost?:EDGE",
    "GET /admin/x HTTP/1.1\nHost: app.localhost:EDGE/open/",
    "GET /admin/x HTTP/1.1\nHost: app.localhost:EDGE?/open/",
    "GET /open/../admin/x HTTP/1.1\nHost: app.localhost:EDGE",
    "GET /open/..;/admin/x HTTP/1.1\nHost: app.localhost:EDGE",
    "GET /open/%2e%2e/admin/x HTTP/1.1\nHost: app.localhost:EDGE",
    "GET /open%2f..%2fadmin/x HTTP/1.1\nHost: app.localhost:EDGE",
    "GET //open/../admin/x HTTP/1.1\nHost: app.localhost:EDGE",
    "GET /@/../admin/x HTTP/1.1\nHost: app.localhost:EDGE",
    "GET /admin/x HTTP/1.0",
)
"""Requests for what is not open, by whoever is not signed in."""


@dataclasses.dataclass
class Front(House):
    """The gateway, which nothing passes through, and an edge in front of the app that asks it."""

    edge: Any = dataclasses.field(kw_only=True)
    edge_port: int = dataclasses.field(kw_only=True)
    asked: int = dataclasses.field(kw_only=True)

    @property
    def origin(self) -> str:
        """How people address the app: by the edge."""
        return f"http://app.localhost:{self.edge_port}"

    async def raw(self, text: str) -> bytes:
        """The whole answer of the edge to what is sent as it is written; `EDGE` stands for its port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.edge_port)
        lines = text.replace("EDGE", str(self.edge_port)).splitlines()
        writer.write("\r\n".join((*lines, "Connection: close", "", "")).encode())
        try:
            return await asyncio.wait_for(reader.read(65536), 60)
        finally:
            writer.close()


def by_nginx(text: str, port: int, directory: Path) -> Process:
    return Nginx(port, directory, text).process


def by_caddy(text: str, _port: int, directory: Path) -> Process:
    return caddy(written(directory / "Caddyfile", CADDY_GLOBAL + text))


def by_envoy(text: str, _port: int, directory: Path) -> Process:
    return envoy(written(directory / "envoy.yaml", text))


def written(file: Path, text: str) -> Path:
    file.write_text(text, "utf-8")
    return file


EDGES = {
    "nginx": (by_nginx, NGINX),
    "nginx by socket": (by_nginx, NGINX),
    "caddy": (by_caddy, CADDY),
    "envoy": (by_envoy, ENVOY),
}


@pytest.fixture(params=["nginx", "caddy", "envoy"])
async def front(request, ports, api, openid, gateway, servers, tmp_path) -> Front:  # noqa: PLR0917 - fixtures
    """The edge in question, with everything behind it."""
    start, text = EDGES[request.param]
    edge_port, asked, grpc = ports.take(), ports.take(), ports.take()
    origin = f"http://app.localhost:{edge_port}"
    provider = openid(client("app", f"{origin}/@op/callback"))
    app = await api()
    configuration = CONFIGURATION
    marks = {"ISSUER": provider.issuer, "ASKED": str(asked), "GRPC": str(grpc), "EDGE": str(edge_port)}
    for mark, value in marks.items():
        configuration = configuration.replace(mark, value)
    running = gateway(configuration)
    by_socket = "socket" in request.param
    marks |= {
        "GATEWAY": str(running.port),
        "BACKEND": str(app.port),
        # as the docs write them
        "127.0.0.1:8000": f"127.0.0.1:{running.port}",
        "127.0.0.1:3000": f"127.0.0.1:{app.port}",
        "127.0.0.1:4181": f"unix:{running.directory}/edge.sock:" if by_socket else f"127.0.0.1:{asked}",
        "http://app.example.com {": f"http://app.localhost:{edge_port}, http://open.localhost:{edge_port} {{",
    }
    for mark, value in marks.items():
        text = text.replace(mark, value)
    directory = tmp_path / "edge"
    directory.mkdir()
    edge = start(text, edge_port, directory)
    process = getattr(edge, "process", edge)
    servers.callback(lambda: (print(f"--- {request.param}\n{process.shown}"), process.stop()))
    process.wait_port(edge_port)
    return Front(running, provider, app, app, 0, edge=edge, edge_port=edge_port, asked=asked)


async def test_people_sign_in_and_come_back_to_where_they_wanted(front):
    async with front.browser() as browser:
        page = await browser.get("/notes?a=b&c=%20d")
        assert (page.status, page.location.path) == (302, "/@/signin")
        assert page.location.query["rd"] == "/notes?a=b&c=%20d"
        assert front.app.seen == []
        page = await browser.sign_in("bob", rd="/notes?a=b")
        assert page.status == 200
        assert front.app.seen[-1].target == "/notes?a=b"
        assert front.app.seen[-1].one("user-email") == "bob@example.com"


async def test_nobody_asks_in_the_edges_name(front):
    headers = {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "app.localhost",
        "X-Forwarded-Uri": "/x",
    }
    async with front.browser() as browser:
        await browser.sign_in("bob")
        for path in ("/@/validate", "/@/forward", "/@/ext_authz/x"):
            async with browser.session.get(f"{front.origin}{path}", headers=headers) as answer:
                assert answer.status in (403, 404), path
                assert "Proxy-Session" not in answer.headers


@pytest.mark.parametrize("front", ["nginx by socket"], indirect=True)
async def test_an_edge_may_ask_by_a_unix_socket(front):
    async with front.browser() as browser:
        await browser.sign_in("bob")
        assert (await browser.get("/x")).status == 200
        assert (await browser.get("/admin/x")).status == 403


async def test_who_may_not_is_refused(front):
    async with front.browser() as browser:
        await browser.sign_in("bob")
        assert (await browser.get("/admin/x")).status == 403
        assert "/admin/x" not in [seen.target for seen in front.app.seen]


async def test_the_edge_asks_by_the_clients_own_method(front):
    async with front.browser() as browser:
        async with browser.session.get(f"{front.origin}/get/x") as answer:
            assert answer.status == 200
        async with browser.session.post(f"{front.origin}/get/x", data=b"x") as answer:
            assert answer.status in (403, 405)
    assert [seen.method for seen in front.app.seen] == ["GET"]


async def test_identity_that_a_client_brings_along_never_arrives(front):
    async with front.browser() as browser:
        for target in ("/open/x", "/x"):
            async with browser.session.get(
                f"{front.origin}{target}", headers={**NAVIGATION, "User-Email": "root@example.com"}
            ) as answer:
                await answer.read()
        await browser.sign_in("bob")
        async with browser.session.get(
            f"{front.origin}/x", headers={"User-Email": "root@example.com"}
        ) as answer:
            assert answer.status == 200
    values = [value for seen in front.app.seen for value in seen.all("user-email")]
    assert set(values) <= {"", "bob@example.com"}


async def test_what_a_client_says_of_its_own_request_is_refused_or_passed_over(front):
    """Attacks CVE-2026-40575, H6."""
    said = {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Uri": "/open/x",
        "X-Forwarded-Host": "open.localhost",
        "X-Forwarded-Proto": "http",
        "X-Original-URL": "http://open.localhost/",
        "X-Original-Method": "GET",
        "X-Original-URI": "/open/x",
    }
    async with front.browser() as browser:
        for headers in (*({name: value} for name, value in said.items()), said):
            async with browser.session.get(
                f"{front.origin}/admin/x", headers={**NAVIGATION, **headers}, allow_redirects=False
            ) as answer:
                assert answer.status in (302, 403), headers
    assert front.app.seen == []


async def test_p1_p3_no_spelling_of_host_and_address_reaches_what_is_not_open(front):
    """The first: nginx serves the host of the address, and `$http_host` is the other one."""
    for lines in MISSPELT:
        answer = await front.raw(lines)
        assert [seen.target for seen in front.app.seen if "admin" in seen.target] == [], (lines, answer)
        assert b"200 OK" not in answer.split(b"\r\n")[0] or b"admin" not in answer, (lines, answer)


async def test_a_gateway_that_is_down_lets_nobody_pass(front):
    front.gateway.kill()
    async with front.browser() as browser:
        for target in ("/open/x", "/x"):
            assert (await browser.get(target)).status >= 403
    assert front.app.seen == []


# -- the gateway itself, without an edge --------------------------------------------------------


@pytest.mark.parametrize("front", ["nginx"], indirect=True)
async def test_whoever_is_no_edge_is_told_the_setting(front):
    """Attack H6, from another address than the one that is trusted."""
    lines = {"X-Original-Method": "GET", "X-Original-URL": "http://app.localhost/open/x"}
    for source, status in (("127.0.0.1", 200), ("127.0.0.2", 403)):
        connection = http.client.HTTPConnection("127.0.0.1", front.gateway.port, source_address=(source, 0))
        connection.request("GET", "/@/validate", headers=lines)
        answer = connection.getresponse()
        assert answer.status == status
        if status == 403:
            assert b"gateway.trusted_proxies, where 127.0.0.2 does not" in answer.read()
        connection.close()


@pytest.mark.parametrize("front", ["nginx"], indirect=True)
async def test_a_host_that_is_only_asked_about_serves_nothing_itself(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.gateway.port)
    connection.request("GET", "/open/x", headers={"Host": "app.localhost", "Accept": "application/json"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (404, "no_backend")
    connection.close()
