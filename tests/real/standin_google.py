"""Stands in for Google's sign-in, its Directory API and Cloud Identity, as their documentation says they answer."""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.real.standin_openid import OpenIdStandIn

ADMIN: Final = "admin@corp.example"
ROBOT: Final = "robot@project.iam.example"
_ROBOT_KEY: Final = RSAKey.generate_key(2048, {"kid": "robot-1"})
_SCOPES: Final = {
    "/admin/directory/v1/groups": "https://www.googleapis.com/auth/admin.directory.group.readonly",
    "/v1/groups/-/memberships:searchTransitiveGroups": (
        "https://www.googleapis.com/auth/cloud-identity.groups.readonly"
    ),
}


class Google(OpenIdStandIn):
    """One Workspace, another one, and a personal account."""

    def __init__(self) -> None:
        super().__init__()
        self.people = {
            "alice": _person(1, "alice@corp.example", hd="corp.example"),
            "bob": _person(2, "bob@corp.example", hd="corp.example"),
            "carol": _person(3, "carol@other.example", hd="other.example"),
            "dave": _person(4, "dave@mail.example"),
        }
        self.groups = {
            "1001": [f"{name}@corp.example" for name in ("staff", "berlin", "chess", "ops", "all")],
            "1002": ["all@corp.example"],
        }
        self.nested = {"alice@corp.example": ["everyone@corp.example"]}
        self.delegates = True
        """Whether the Workspace lets the service account act for its admin."""
        self._robots: dict[str, str] = {}

    @property
    def key_file(self) -> str:
        """The service account's key file."""
        return json.dumps(
            {
                "type": "service_account",
                "private_key_id": "robot-1",
                "private_key": _ROBOT_KEY.as_pem(private=True).decode(),
                "client_email": ROBOT,
                "token_uri": f"{self.url}/robot-token",
            }
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever is asked for."""
        match request.path:
            case "/.well-known/openid-configuration":
                return self.metadata(self.url, self.url)
            case "/authorize":
                return self.authorize(request.query)
            case "/token":
                return await self.token(request)
            case "/keys":
                return self.keys()
            case "/robot-token":
                return await self._robot_token(request)
            case "/admin/directory/v1/groups":
                return await self._directory(request)
            case "/v1/groups/-/memberships:searchTransitiveGroups":
                return await self._cloud_identity(request)
        return web.Response(status=404)

    def claims_of(self, login: str) -> dict[str, Any]:
        """Google's token names no groups."""
        return {"iss": self.url, **self.people[login]}

    async def _robot_token(self, request: web.Request) -> web.Response:
        """An access token for a signed assertion that acts for the admin."""
        form = await request.post()
        claims = jwt.decode(str(form["assertion"]), _ROBOT_KEY, algorithms=["RS256"]).claims
        assert (claims["iss"], claims["aud"]) == (ROBOT, f"{self.url}/robot-token")
        if claims.get("sub") != ADMIN or not self.delegates:
            return web.json_response({"error": "unauthorized_client"}, status=401)
        token = f"robot-at-{len(self._robots)}"
        self._robots[token] = claims["scope"]
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 3599})

    async def _directory(self, request: web.Request) -> web.Response:
        self._check_robot(request)
        groups = self.groups.get(request.query["userKey"])
        if groups is None:
            return web.json_response(
                {"error": {"code": 404, "message": "Resource Not Found: userKey"}}, status=404
            )

        def shape(items: list[Any], following: str) -> dict[str, Any]:
            found = [{"kind": "admin#directory#group", "email": name} for name in items]
            return _with_token(
                {"kind": "admin#directory#groups", **({"groups": found} if found else {})}, following
            )

        return await self._paged(request, groups, shape)

    async def _cloud_identity(self, request: web.Request) -> web.Response:
        self._check_robot(request)
        address = request.query["query"].split("'")[1]

        def shape(items: list[Any], following: str) -> dict[str, Any]:
            return _with_token({"memberships": [{"groupKey": {"id": name}} for name in items]}, following)

        return await self._paged(request, self.nested.get(address, []), shape)

    async def _paged(self, request: web.Request, items: list[str], shape: Any) -> web.Response:
        """Google's token of a page is anything but a number."""
        number = request.query.get("pageToken", "page/1").removeprefix("page/")
        asked = request.clone(rel_url=request.rel_url.update_query(page=number))
        return await self.page(asked, items, shape)

    def _check_robot(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._robots.get(token) != _SCOPES[request.path]:
            raise web.HTTPForbidden


def _with_token(page: dict[str, Any], following: str) -> dict[str, Any]:
    return {**page, **({"nextPageToken": f"page/{following}"} if following else {})}


def _person(number: int, email: str, **more: str) -> dict[str, Any]:
    return {
        "sub": str(1000 + number),
        "email": email,
        "email_verified": True,
        "name": f"Person {number}",
        **more,
    }
