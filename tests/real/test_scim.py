"""Directories through the whole gateway: another implementation's tests, and requests as Entra ID and Okta send them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4 as uuid

import aiohttp
import httpx2
import msgspec
import pytest
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from tests.real.visitor import new_visitor
from vestibule.admin_link import TIMEOUT_S, Link
from vestibule.protocol.scim_message import BULK_REQUEST as BULK
from vestibule.protocol.scim_patch import PATCH
from vestibule.protocol.scim_schema import ENTERPRISE, GROUP, USER

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

host "app.example.com" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""
BASE = "/scim/v2"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


def patch(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH], "Operations": list(changes)}


class Site:
    """The gateway, and programs that know neither cookies nor pages."""

    def __init__(self, gateway: Any, program: aiohttp.ClientSession) -> None:
        self.gateway, self.program = gateway, program
        self.admin = Link(f"unix:{gateway.directory / 'state' / 'admin.sock'}", timeout_s=TIMEOUT_S)

    def url(self, path: str, host: str = "auth.example.com") -> str:
        return f"http://{host}:{self.gateway.port}{path}"

    async def token(self, slug: str) -> str:
        def made() -> str:
            self.admin.call("POST", "/orgs", {"slug": slug, "name": slug})
            told = self.admin.call("POST", f"/orgs/{slug}/directory/tokens", {"name": "test"})
            return str(msgspec.json.decode(told)["token"])

        return await asyncio.to_thread(made)

    def revoke(self, slug: str) -> int:
        """End its tokens; how many there were."""
        path = f"/orgs/{slug}/directory/tokens"
        found = msgspec.json.decode(self.admin.call("GET", path))["items"]
        for one in found:
            self.admin.call("DELETE", f"{path}/{one['id']}")
        return len(found)


class Directory:
    """An organisation's directory."""

    def __init__(self, site: Site, token: str) -> None:
        self.site, self.token = site, token

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json", **headers}
        url = self.site.url(BASE + path)
        async with self.site.program.request(method, url, json=body, headers=sent) as answer:
            text = await answer.text()
            return answer.status, await answer.json(content_type=None) if text else None


@pytest.fixture
async def site(ports, gateway) -> AsyncIterator[Site]:
    started = gateway(CONFIGURATION, port=ports.take())
    async with new_visitor(user_agent="directory") as program:
        yield Site(started, program)


async def test_another_implementations_tests_find_nothing(site: Site) -> None:
    token = await site.token("acme")

    def checked() -> list[Any]:
        url = f"{site.gateway.url}{BASE}"
        headers = {"Authorization": f"Bearer {token}", "Host": f"auth.example.com:{site.gateway.port}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=60) as program:
            return check_server(SyncSCIMClient(program))

    results = await asyncio.to_thread(checked)
    bad = [one for one in results if one.status in (Status.ERROR, Status.CRITICAL)]
    assert not bad, "\n".join(f"{one.title} {one.resource_type}: {one.reason} {one.data}" for one in bad)
    assert len(results) > 30
    assert token not in site.gateway.process.whole_log


async def test_a_directory_is_its_organisations_alone_and_its_token_the_only_way_in(site: Site) -> None:
    acme, beta = Directory(site, await site.token("acme")), Directory(site, await site.token("beta"))
    status, ann = await acme.ask("POST", "/Users", {"schemas": [USER], "userName": "ann@acme.example"})
    assert status == 201
    assert ann["meta"]["location"] == site.url(f"{BASE}/Users/{ann['id']}")
    status, devs = await acme.ask(
        "POST", "/Groups", {"schemas": [GROUP], "displayName": "Devs", "members": [{"value": ann["id"]}]}
    )
    assert status == 201
    for method, path, body in (
        ("GET", f"/Users/{ann['id']}", None),
        ("PUT", f"/Users/{ann['id']}", {"schemas": [USER], "userName": "x"}),
        ("PATCH", f"/Groups/{devs['id']}", patch({"op": "remove", "path": "members"})),
        ("DELETE", f"/Users/{ann['id']}", None),
        ("DELETE", f"/Groups/{devs['id']}", None),
    ):
        assert (await beta.ask(method, path, body))[0] == 404
    status, told = await beta.ask(
        "POST", "/Groups", {"schemas": [GROUP], "displayName": "x", "members": [{"value": ann["id"]}]}
    )
    assert (status, told["scimType"]) == (400, "invalidValue")
    assert (await beta.ask("GET", "/Users"))[1]["totalResults"] == 0
    assert (await beta.ask("POST", "/Users", {"schemas": [USER], "userName": "ANN@acme.example"}))[0] == 201
    status, told = await acme.ask("POST", "/Users", {"schemas": [USER], "userName": "ANN@acme.example"})
    assert (status, told["scimType"]) == (409, "uniqueness")

    for token in ("", "x", "vst_scim_" + "0" * 49, acme.token[:-1] + "0"):
        assert (await Directory(site, token).ask("GET", "/Users"))[0] == 401
    revoked = await asyncio.to_thread(site.revoke, "acme")
    assert revoked == 1
    assert (await acme.ask("GET", "/Users"))[0] == 401
    async with site.program.get(site.url(f"{BASE}/Users", "app.example.com")) as answer:
        assert answer.status == 200  # that host's app has such paths of its own


async def test_what_entra_id_sends_is_done(site: Site) -> None:
    """Forms: learn.microsoft.com, "Develop and plan provisioning for a SCIM endpoint"."""
    entra = Directory(site, await site.token("acme"))
    assert (await entra.ask("GET", f'/Users?filter=userName eq "{uuid()}"'))[1]["totalResults"] == 0
    body = {
        "schemas": [USER, ENTERPRISE],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": "Test_User_ab6490ee-1e48-479e-a20b-2d77186b5dd1",
        "active": True,
        "emails": [{"primary": True, "type": "work", "value": "Test_User_fd0ea19b@testuser.com"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
        "roles": [],
    }
    status, user = await entra.ask("POST", "/Users", body)
    assert status == 201
    [found] = (await entra.ask("GET", f'/Users?filter=userName eq "{body["userName"].upper()}"'))[1][
        "Resources"
    ]
    assert found == user
    changes = (
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "updatedEmail@microsoft.com"},
        {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
        {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "bob"},
    )
    status, user = await entra.ask("PATCH", f"/Users/{user['id']}", patch(*changes))
    assert status == 200
    assert user["emails"][0]["value"] == "updatedEmail@microsoft.com"
    assert (user["name"]["familyName"], user[ENTERPRISE]["department"]) == ("updatedFamilyName", "bob")
    change = {"op": "Replace", "path": "active", "value": "False"}
    status, user = await entra.ask("PATCH", f"/Users/{user['id']}", patch(change))
    assert (status, user["active"]) == (200, False)
    missing = {"op": "Replace", "path": 'emails[type eq "home"].value', "value": "x"}
    status, told = await entra.ask("PATCH", f"/Users/{user['id']}", patch(missing))
    assert (status, told["scimType"]) == (400, "noTarget")

    others = []
    for number in range(3):
        status, other = await entra.ask("POST", "/Users", {"schemas": [USER], "userName": f"p{number}"})
        others.append(other["id"])
    group = {
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        "displayName": "displayName",
        "meta": {"resourceType": "Group"},
    }
    status, group = await entra.ask("POST", "/Groups", group)
    assert status == 201
    path = f"/Groups/{group['id']}"
    members = [{"$ref": None, "value": one} for one in others]
    change = {"op": "Add", "path": "members", "value": members}
    # nobody is read all members for it, unless they ask
    assert await entra.ask("PATCH", path, patch(change)) == (204, None)
    status, shown = await entra.ask("PATCH", f"{path}?attributes=displayName", patch(change))
    assert (status, shown["displayName"], "members" in shown) == (200, "displayName", False)
    query = '/Groups?excludedAttributes=members&filter=displayName eq "displayName"'
    [found] = (await entra.ask("GET", query))[1]["Resources"]
    assert "members" not in found
    query = f'/Groups?filter=id eq "{group["id"]}" and members eq "{others[0]}"&attributes=id'
    assert (await entra.ask("GET", query))[1]["totalResults"] == 1
    change = {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": others[0]}]}
    assert (await entra.ask("PATCH", path, patch(change)))[0] in (200, 204)
    left = (await entra.ask("GET", path))[1]["members"]
    assert {one["value"] for one in left} == set(others[1:])
    assert (await entra.ask("GET", f"/Users/{others[1]}"))[1]["groups"][0]["display"] == "displayName"
    assert (await entra.ask("DELETE", path)) == (204, None)
    assert (await entra.ask("DELETE", f"/Users/{user['id']}")) == (204, None)
    assert (await entra.ask("GET", f"/Users/{user['id']}"))[0] == 404


async def test_what_okta_sends_is_done(site: Site) -> None:
    """Forms: developer.okta.com, "SCIM 2.0 protocol reference"."""
    okta = Directory(site, await site.token("acme"))
    assert (await okta.ask("GET", '/Users?filter=userName eq "a@b.example"&startIndex=1&count=100'))[1] == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 0,
        "startIndex": 1,
        "itemsPerPage": 0,
        "Resources": [],
    }
    body = {
        "schemas": [USER],
        "userName": "test.user@okta.local",
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": True, "value": "test.user@okta.local", "type": "work"}],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": True,
    }
    status, user = await okta.ask("POST", "/Users", body)
    assert status == 201
    assert "password" not in user
    path = f"/Users/{user['id']}"
    status, changed = await okta.ask(
        "PUT", path, {**user, "name": {"givenName": "Another", "familyName": "User"}}
    )
    assert (status, changed["name"]["givenName"]) == (200, "Another")
    status, changed = await okta.ask("PATCH", path, patch({"op": "replace", "value": {"active": False}}))
    assert (status, changed["active"]) == (200, False)
    group = {"schemas": [GROUP], "displayName": "Test SCIMv2", "members": []}
    status, group = await okta.ask("POST", "/Groups", group)
    place = f"/Groups/{group['id']}"
    change = {"op": "replace", "value": {"id": group["id"], "displayName": "Test SCIMv2 2"}}
    status, group = await okta.ask("PATCH", place, patch(change))
    assert group["displayName"] == "Test SCIMv2 2"
    changes = (
        {"op": "remove", "path": f'members[value eq "{user["id"]}"]'},
        {"op": "add", "path": "members", "value": [{"value": user["id"], "display": "test.user@okta.local"}]},
    )
    assert (await okta.ask("PATCH", place, patch(*changes)))[0] in (200, 204)
    assert [one["value"] for one in (await okta.ask("GET", place))[1]["members"]] == [user["id"]]
    assert "1mz050nq" not in site.gateway.process.whole_log


async def test_lists_come_by_page_by_order_and_by_cursor(site: Site) -> None:
    directory = Directory(site, await site.token("acme"))
    for name in ("d", "B", "a", "C", "e"):
        await directory.ask("POST", "/Users", {"schemas": [USER], "userName": name, "title": f"t{name}"})

    async def names(query: str) -> tuple[list[str], dict[str, Any]]:
        status, told = await directory.ask("GET", f"/Users?{query}")
        assert status == 200, told
        return [one["userName"] for one in told["Resources"]], told

    assert (await names(""))[0] == ["d", "B", "a", "C", "e"]
    found, told = await names("startIndex=2&count=2")
    assert (found, told["totalResults"], told["itemsPerPage"], told["startIndex"]) == (["B", "a"], 5, 2, 2)
    assert (await names("count=0"))[1]["totalResults"] == 5
    assert (await names("sortBy=userName"))[0] == ["a", "B", "C", "d", "e"]
    assert (await names("sortBy=title&sortOrder=descending&count=2"))[0] == ["e", "d"]
    for query in ("", "sortBy=userName&", 'filter=title sw "t"&'):
        seen, cursor = [], ""
        for _ in range(3):
            found, told = await names(f"{query}count=2&cursor={cursor}")
            assert told["totalResults"] == 5
            seen += found
            cursor = told.get("nextCursor", "")
        assert sorted(seen, key=str.lower) == ["a", "B", "C", "d", "e"]
        assert not cursor
    for query, code in (
        ("cursor=x", "invalidCursor"),
        ("count=x", "invalidValue"),
        ("count=x&cursor=", "invalidCount"),
        ("filter=nope", "invalidFilter"),
        ("sortBy=nope", "invalidPath"),
    ):
        status, told = await directory.ask("GET", f"/Users?{query}")
        assert (status, told["scimType"]) == (400, code)
    body = {"schemas": [SEARCH], "filter": 'userName eq "a"', "attributes": ["userName"]}
    for path in ("/Users/.search", "/.search"):
        status, told = await directory.ask("POST", path, body)
        assert [one["userName"] for one in told["Resources"]] == ["a"]
        assert "title" not in told["Resources"][0]


async def test_who_was_slower_is_told_and_many_come_at_once(site: Site) -> None:
    directory = Directory(site, await site.token("acme"))
    status, ann = await directory.ask("POST", "/Users", {"schemas": [USER], "userName": "ann"})
    path, tag = f"/Users/{ann['id']}", ann["meta"]["version"]
    assert (await directory.ask("GET", path, **{"If-None-Match": tag}))[0] == 304
    change = patch({"op": "add", "path": "title", "value": "x"})
    assert (await directory.ask("PATCH", path, change, **{"If-Match": tag}))[0] == 200
    assert (await directory.ask("PATCH", path, change, **{"If-Match": tag}))[0] == 412
    assert (await directory.ask("DELETE", path, None, **{"If-Match": tag}))[0] == 412
    assert (await directory.ask("GET", path, **{"If-None-Match": tag}))[0] == 200

    operations = [
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "g",
            "data": {"schemas": [GROUP], "displayName": "Devs", "members": [{"value": "bulkId:u"}]},
        },
        {"method": "POST", "path": "/Users", "bulkId": "u", "data": {"schemas": [USER], "userName": "bob"}},
        {"method": "POST", "path": "/Users", "bulkId": "v", "data": {"schemas": [USER], "userName": "BOB"}},
        {"method": "PATCH", "path": path, "data": change},
        {"method": "DELETE", "path": "/Users/nobody"},
        {"method": "DELETE", "path": "/Me"},
    ]
    status, told = await directory.ask("POST", "/Bulk", {"schemas": [BULK], "Operations": operations})
    assert status == 200
    by_id = {one.get("bulkId", one["method"]): one for one in told["Operations"]}
    assert (by_id["u"]["status"], by_id["g"]["status"], by_id["v"]["status"]) == ("201", "201", "409")
    assert by_id["v"]["response"]["scimType"] == "uniqueness"
    assert by_id["PATCH"]["status"] == "200"
    group = await directory.ask("GET", by_id["g"]["location"].partition(BASE)[2])
    assert [one["value"] for one in group[1]["members"]] == [by_id["u"]["location"].rpartition("/")[2]]
    body = {"schemas": [BULK], "failOnErrors": 1, "Operations": operations[4:]}
    status, told = await directory.ask("POST", "/Bulk", body)
    assert [one["status"] for one in told["Operations"]] == ["404"]


async def test_faults_are_told_by_the_book(site: Site) -> None:
    directory = Directory(site, await site.token("acme"))
    for method, path, body, status in (
        ("GET", "/Me", None, 501),
        ("GET", "/Nothing", None, 404),
        ("GET", "/Users/nobody", None, 404),
        ("GET", "/Users/a/b", None, 404),
        ("PUT", "/Users", {}, 405),
        ("POST", "/Schemas", {}, 405),
        ("GET", "/Schemas?filter=id pr", None, 403),
        ("POST", "/Users", {}, 400),
        ("POST", "/Users", [], 400),
        ("POST", "/Users", None, 400),
        ("GET", "/Users?count=1&count=2", None, 400),
    ):
        found, told = await directory.ask(method, path, body)
        assert (found, told["status"]) == (status, str(status)), path
    assert (await directory.ask("POST", "/Users", {}, **{"Content-Type": "text/plain"}))[0] == 415
    for name in ("User", "Group"):
        assert (await directory.ask("GET", f"/ResourceTypes/{name}"))[1]["id"] == name
    for schema in (USER, GROUP, ENTERPRISE):
        assert (await directory.ask("GET", f"/Schemas/{schema}"))[1]["id"] == schema
