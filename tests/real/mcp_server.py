"""An MCP server of the official SDK, by streamable HTTP: `python mcp_server.py PORT`. It knows nothing of tokens."""

from __future__ import annotations

import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings

server = MCPServer("tools of the house")
dropped: list[int] = []


@server.tool()
def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


@server.tool()
def who(ctx: Context) -> str:
    """Whom the gateway told of."""
    return ctx.headers["user-email"] if ctx.headers else ""


@server.tool()
def count(words: str) -> int:
    """How many there are."""
    return len(words.split())


@server.tool()
def drop_all() -> str:
    """What is for few."""
    dropped.append(1)
    return "gone"


@server.tool()
def dropped_so_often() -> int:
    """How often that was called."""
    return len(dropped)


if __name__ == "__main__":
    open_to_all = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    server.run("streamable-http", port=int(sys.argv[1]), transport_security=open_to_all)
