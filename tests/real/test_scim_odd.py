"""Requests that no directory means: they are that directory's fault, and nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from yarl import URL

from tests.real.visitor import new_visitor
from vestibule.admin_link import TIMEOUT_S, Link
from vestibule.protocol.scim_message import BULK_REQUEST as BULK
from vestibule.protocol.scim_message import SEARCH
from vestibule.protocol.scim_patch import PATCH
from vestibule.protocol.scim_schema import USER

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "auth.example.com" {
  backend = "internal:account"
  access {
    allow = ["public"]
  }
}
"""


def nested() -> Any:
    data: Any = "x"
    for _ in range(400):
        data = [data]
    return data


EMAILS = [{"value": str(number)} for number in range(1000)]
ASKED: list[tuple[str, str, Any, int]] = [
    ("POST", "/Users/.search", {"schemas": [SEARCH], "startIndex": 10**30}, 400),
    ("GET", "/Users/%00", None, 400),
    ("GET", "/Users/%ED%A0%80", None, 400),
    ("GET", "/Users?startIndex=2&filter=userName%20eq%20%22a%5Cu0000%22", None, 200),
    ("GET", "/Users?cursor=" + "9" * 500, None, 400),
    ("GET", "/Users?filter=" + "%20or%20".join(["title%20pr"] * 51), None, 400),
    (
        "POST",
        "/Bulk",
        {
            "schemas": [BULK],
            "Operations": [{"method": "POST", "path": "/Users", "bulkId": "a", "data": nested()}],
        },
        400,
    ),
    (
        "POST",
        "/Users",
        {"schemas": [USER], "userName": "a", "emails": [{"value": f"{n} " + "x" * 1000} for n in range(70)]},
        400,
    ),
]


async def test_odd_requests_are_told_so_and_everything_goes_on(ports: Any, gateway: Any) -> None:
    started = gateway(CONFIGURATION, port=ports.take())
    admin = Link(f"unix:{started.directory / 'state' / 'admin.sock'}", timeout_s=TIMEOUT_S)

    def made() -> str:
        admin.call("POST", "/orgs", {"slug": "acme", "name": "acme"})
        return str(msgspec.json.decode(admin.call("POST", "/orgs/acme/directory/tokens", {}))["token"])

    token = await asyncio.to_thread(made)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
    async with new_visitor(user_agent="directory") as program:

        async def ask(method: str, path: str, body: Any) -> tuple[int, Any]:
            url = URL(f"http://auth.example.com:{started.port}/scim/v2{path}", encoded=True)
            async with program.request(method, url, json=body, headers=headers) as answer:
                is_ours = answer.content_type == "application/scim+json"
                return answer.status, msgspec.json.decode(await answer.read()) if is_ours else None

        for method, path, body, status in ASKED:
            assert (await ask(method, path, body))[0] == status, path[:40]
        status, ann = await ask("POST", "/Users", {"schemas": [USER], "userName": "ann", "emails": EMAILS})
        assert status == 201
        again = [{"op": "add", "path": "emails", "value": [{"value": "1"}]}] * 1000
        status, told = await ask("PATCH", f"/Users/{ann['id']}", {"schemas": [PATCH], "Operations": again})
        assert (status, told["scimType"]) == (400, "tooMany")
        assert (await ask("GET", "/Users", None))[1]["totalResults"] == 1
    assert '"fault"' not in started.process.whole_log
    assert "directory_unanswered" not in started.process.whole_log
