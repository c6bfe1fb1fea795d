"""Stands in for Microsoft Entra ID and Microsoft Graph, as their documentation says they answer."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from tests.real.standin_openid import OpenIdStandIn

CORP: Final = "11111111-aaaa-bbbb-cccc-222222222222"
OTHER: Final = "66666666-aaaa-bbbb-cccc-666666666666"
DOMAIN: Final = "corp.example"
_GRAPH: Final = "/v1.0/me/transitiveMemberOf/microsoft.graph.group"
IN_TOKEN_MAX: Final = 3
"""Groups that a token holds; Microsoft's holds 200."""


class Microsoft(OpenIdStandIn):
    """Two tenants. Whoever is in more than a few groups is told that there are too many."""

    def __init__(self) -> None:
        super().__init__()
        self.people = {
            "alice": _person(1, CORP, "alice@corp.example"),
            "bob": _person(2, CORP, "bob@corp.example"),
            "mallory": _person(3, OTHER, "alice@corp.example"),
        }
        self.groups = {"sub-1": [f"g{number}" for number in range(1, 6)], "sub-2": ["g1"]}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever is asked for."""
        if request.path == _GRAPH:
            return await self._graph(request)
        tenant, _, path = request.path.removeprefix("/").partition("/")
        base = f"{self.url}/{tenant}/oauth2/v2.0"
        match path:
            case "v2.0/.well-known/openid-configuration":
                named = {DOMAIN: CORP, "organizations": "{tenantid}"}.get(tenant, tenant)
                return self.metadata(f"{self.url}/{named}/v2.0", base)
            case "oauth2/v2.0/authorize":
                return self.authorize(request.query)
            case "oauth2/v2.0/token":
                return await self.token(request)
            case "oauth2/v2.0/keys":
                return self.keys()
        return web.Response(status=404)

    def claims_of(self, login: str) -> dict[str, Any]:
        """Groups, or in their place that they are too many."""
        person = self.people[login]
        groups = self.groups.get(person["sub"], [])
        told: dict[str, Any] = {"groups": groups}
        if len(groups) > IN_TOKEN_MAX:
            source = {
                "endpoint": f"https://graph.windows.net/{person['tid']}/users/{person['oid']}/getMemberObjects"
            }
            told = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": source}}
        return {"iss": f"{self.url}/{person['tid']}/v2.0", **person, **told}

    async def _graph(self, request: web.Request) -> web.Response:
        """`/me/transitiveMemberOf`, cast to groups."""
        person = self.people[self.bearer(request)]
        assert request.headers["ConsistencyLevel"] == "eventual"
        assert request.query["$count"] == "true"

        def shape(items: list[Any], following: str) -> dict[str, Any]:
            groups = [
                {"@odata.type": "#microsoft.graph.group", "id": name, "displayName": f"Group {name}"}
                for name in items
            ]
            link = f"{self.url}{_GRAPH}?$count=true&page={following}"
            return {"value": groups, **({"@odata.nextLink": link} if following else {})}

        return await self.page(request, self.groups[person["sub"]], shape)


def _person(number: int, tenant: str, email: str) -> dict[str, Any]:
    return {
        "sub": f"sub-{number}",
        "oid": f"0a0a0a0a-1111-2222-3333-{number:012}",
        "tid": tenant,
        "ver": "2.0",
        "name": f"Person {number}",
        "preferred_username": email,
        "email": email,
    }
