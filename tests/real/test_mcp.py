"""A client of MCP finds its way in by itself: the official SDK's, through the gateway, to a server of the same SDK.

It is told where tokens come from, registers itself, sends a person's browser there, and calls a tool; another tool, and
another server behind the same gateway, stay closed to it by rules. By today's protocol and by the one before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from mcp.shared.exceptions import MCPError
from yarl import URL

from tests.process import Process
from tests.real.asked import answered, leads_to, sent_to
from tests.real.house import CONFIGURATION, Browser, House, build
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

BACK = "http://localhost:43210/callback"
ROUTES = """
  mcp             = true
  register_apps   = true
  register_scopes = ["tools", "more"]
  route "/mcp" {
    backend = "127.0.0.1:TOOLS"
    access {
      allow = ["token:tools"]
    }
    tool "drop_*" {
      access {
        allow = ["group:root"]
      }
    }
    tool "count" {
      access {
        allow = ["token:more"]
      }
    }
  }
  route "/root/mcp" {
    backend = "127.0.0.1:TOOLS"
    access {
      allow = ["group:root"]
    }
  }
  route "/more/" {
    access {
      allow = ["token:more"]
    }
  }
  route "/open/" {"""


class Loopback(httpx2.AsyncBaseTransport):
    """Every name is this machine."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, str]] = []
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        name = str(request.url)
        request.url = request.url.copy_with(host="127.0.0.1")
        answer = await self._inner.handle_async_request(request)
        self.seen.append((URL(name).path, answer.status_code, answer.headers.get("www-authenticate", "")))
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class Memory:
    """Where the client keeps what it has."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


class Agent:
    """A program with the SDK's client in it; a person with a browser sits before it."""

    def __init__(self, house: House, person: Browser) -> None:
        self.house, self.person = house, person
        self.memory, self.wire = Memory(), Loopback()
        self.pages: list[str] = []
        self._back: URL | None = None

    async def _open(self, url: str) -> None:
        page = await sent_to(self.person, url)
        self.pages.append(page.text)
        self._back = leads_to(await answered(self.person, page, "allow"), BACK)

    async def _came_back(self) -> AuthorizationCodeResult:
        assert self._back is not None
        query = self._back.query
        return AuthorizationCodeResult(code=query["code"], state=query["state"], iss=query["iss"])

    async def run(self, path: str, work: Any, mode: str = "auto") -> Any:
        """What the work comes to, given a connected client."""
        url = f"{self.house.origin}{path}"
        metadata = OAuthClientMetadata(client_name="Agent Smith", redirect_uris=[BACK])  # type: ignore[list-item]
        auth = OAuthClientProvider(url, metadata, self.memory, self._open, self._came_back)
        async with (
            httpx2.AsyncClient(auth=auth, transport=self.wire, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            return await work(client)


@pytest.fixture
async def house(ports, api, openid, gateway, servers) -> House:
    port = ports.take()
    tools = Process("mcp", [sys.executable, Path(__file__).with_name("mcp_server.py"), str(port)])
    servers.callback(tools.stop)
    text = CONFIGURATION.replace('  route "/open/" {', ROUTES.lstrip("\n").replace("TOOLS", str(port)), 1)
    built = await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=text)
    tools.wait_port(port)
    return built


async def test_a_client_of_mcp_signs_in_and_calls_a_tool_and_no_other(house):
    async def called(client: Client) -> tuple[str, str]:
        total, who = await client.call_tool("add", {"a": 2, "b": 3}), await client.call_tool("who", {})
        return total.content[0].text, who.content[0].text  # type: ignore[union-attr]

    async with house.browser() as person:
        agent = Agent(house, person)
        assert await agent.run("/mcp", called) == ("5", "alice@example.com")

        # It was told where to go, and the person what it is and where the answer goes.
        metadata = f"{house.origin}/.well-known/oauth-protected-resource/mcp"
        first = agent.wire.seen[0]
        assert first[:2] == ("/mcp", 401)
        realm = 'Bearer realm="app.example.com"'
        assert first[2] == f'{realm}, scope="tools", resource_metadata="{metadata}"'
        [page] = agent.pages
        for shown in ("Agent Smith", "app.example.com", "localhost"):
            assert shown in page
        assert agent.memory.info is not None
        assert agent.memory.info.client_id.startswith("registered-")
        assert agent.memory.info.client_secret is None
        assert agent.memory.tokens is not None
        assert agent.memory.tokens.scope == "tools"

        # The same tokens are of no use at the other server: its rule asks for what no scope is.
        with pytest.raises(BaseException):  # noqa: B017, PT011 - a group of whatever the SDK makes of a 403
            await agent.run("/root/mcp", called)
        assert ("/root/mcp", 403, "") in agent.wire.seen
        assert len(agent.pages) == 1

    # And what a program does that only reads the headers.
    bearer = {"Authorization": f"Bearer {agent.memory.tokens.access_token}"}
    async with new_visitor() as program:
        async with program.get(f"{house.origin}/more/", headers=bearer) as answer:
            assert answer.status == 403
            asked = answer.headers["WWW-Authenticate"]
            assert 'error="insufficient_scope"' in asked
            assert 'scope="more"' in asked
        async with program.get(f"{house.origin}/mcp", headers={"Authorization": "Bearer vst_at_x"}) as answer:
            assert answer.status == 401
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        async with program.get(metadata) as answer:
            told = json.loads(await answer.text())
            assert (told["resource"], told["authorization_servers"]) == (
                f"{house.origin}/mcp",
                [house.origin],
            )
            assert told["scopes_supported"] == ["tools", "more"]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_another_tool_is_refused_by_its_rule(house, mode):
    async def called(client: Client) -> tuple[MCPError, str, list[str]]:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("drop_all", {})
        often = await client.call_tool("dropped_so_often", {})
        listed = await client.list_tools()
        return refused.value, often.content[0].text, [tool.name for tool in listed.tools]  # type: ignore[union-attr]

    async with house.browser() as person:
        agent = Agent(house, person)
        refused, often, listed = await agent.run("/mcp", called, mode)
    assert (refused.error.code, refused.error.data["code"]) == (403, "not_allowed")
    assert often == "0"
    # Tools that somebody may not call are named to them all the same: it is the server that lists them.
    assert "drop_all" in listed

    # A program that says in its headers another name than in its body gets to nothing.
    assert agent.memory.tokens is not None
    bearer = {"Authorization": f"Bearer {agent.memory.tokens.access_token}", "Mcp-Method": "tools/call"}
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "drop_all", "arguments": {}},
    }
    async with new_visitor() as program:
        for name, status, code in (("add", 400, -32020), ("drop_all", 403, 403)):
            headers = {**bearer, "Mcp-Name": name}
            async with program.post(f"{house.origin}/mcp", json=call, headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (status, code)
        async with program.post(f"{house.origin}/mcp", json=[call], headers=bearer) as answer:
            assert answer.status == 403


async def test_a_tool_that_wants_a_scope_has_the_client_ask_for_it(house):
    async def called(client: Client) -> str:
        return (await client.call_tool("count", {"words": "a b c"})).content[0].text  # type: ignore[union-attr]

    async with house.browser() as person:
        agent = Agent(house, person)
        assert await agent.run("/mcp", called) == "3"
    # The person was asked once to let it in, and once more for this.
    assert len(agent.pages) == 2
    assert agent.memory.tokens is not None
    assert set((agent.memory.tokens.scope or "").split()) == {"tools", "more"}
