"""What pages of other sites may read, and where."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.web.asgi import Desk, visit

ORIGIN = {"origin": "https://inspector.example"}
SERVER = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource"
OPEN = {
    SERVER: "GET",
    f"{SERVER}/mcp": "GET",
    RESOURCE: "GET",
    f"{RESOURCE}/mcp": "GET",
    "/@/token": "POST",
    "/@/revoke": "POST",
    "/@/register": "POST",
}
CLOSED = {
    "/@/introspect": "POST",
    "/@/session": "GET",
    "/@/device": "GET",
    "/@/authorize": "GET",
    "/@/account": "GET",
}


def at(*, mcp: bool) -> Any:
    came = visit()
    return replace(came, host=replace(came.host, mcp=mcp))


def asked(path: str, method: str, *, mcp: bool) -> Any:
    return Desk().call(path, method, ORIGIN, at(mcp=mcp), b"grant_type=x")


@pytest.mark.parametrize(("path", "method"), OPEN.items())
def test_clients_of_mcp_in_browsers_read_what_leads_to_a_token(path: str, method: str) -> None:
    reply = asked(path, method, mcp=True)
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in reply.headers
    first = asked(path, "OPTIONS", mcp=True)
    assert (first.status, first.body) == (204, b"")
    assert method in first.headers["access-control-allow-methods"]
    allowed = first.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "mcp-protocol-version"} <= set(allowed)


@pytest.mark.parametrize(("path", "method"), OPEN.items())
def test_no_other_hosts_do(path: str, method: str) -> None:
    assert "access-control-allow-origin" not in asked(path, method, mcp=False).headers
    assert asked(path, "OPTIONS", mcp=False).status == 405


@pytest.mark.parametrize(("path", "method"), CLOSED.items())
def test_nothing_that_goes_by_a_cookie_is_read(path: str, method: str) -> None:
    assert "access-control-allow-origin" not in asked(path, method, mcp=True).headers
    assert asked(path, "OPTIONS", mcp=True).status == 405
