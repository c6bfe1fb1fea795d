"""Stands in for GitHub, as the documentation of its REST API (2022-11-28) says it answers."""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from tests.real.standin import CLIENT, SECRET, StandIn

ACME = {"id": 999999999, "login": "acme"}
FURTHER = [{"id": number, "login": f"org{number}"} for number in range(1, 4)]


class GitHub(StandIn):
    """GitHub Enterprise, whose API is at `/api/v3`. What may be changed is what an account has."""

    authorize_path: ClassVar[str] = "/login/oauth/authorize"
    token_path: ClassVar[str] = "/login/oauth/access_token"

    def __init__(self) -> None:
        super().__init__()
        self.user: dict[str, Any] = {"id": 583231, "login": "octocat", "name": "The Octocat"}
        self.emails: list[Any] = [
            {"email": "old@evil.example", "primary": False, "verified": True},
            {"email": "spare@evil.example", "primary": False, "verified": True},
            {"email": "octocat@example.com", "primary": True, "verified": True},
        ]
        #: the one that counts is on the second page
        self.memberships: list[Any] = [membership(org) for org in (*FURTHER[:2], ACME)]
        self.teams: list[Any] = [
            {"id": 50 + number, "slug": f"team{number}", "organization": FURTHER[0]} for number in range(2)
        ] + [{"id": 1111111, "slug": "core", "organization": ACME}]
        self.repos: dict[str, Any] = {
            "acme/app": {
                "full_name": "acme/app",
                "private": True,
                "permissions": {"pull": True, "push": False, "admin": False},
            }
        }
        self.sso: dict[str, str] = {}
        """Headers of the list of memberships."""

    async def api(self, request: web.Request) -> Any:
        path = request.path.removeprefix("/api/v3")
        if request.headers.get("X-GitHub-Api-Version") != "2022-11-28":
            self.wrong.append("no version of the API")
        match path:
            case "/user":
                return self.user
            case "/user/emails":
                return self.paged(request, self.emails)
            case "/user/memberships/orgs":
                wanted = request.query.get("state", "active")
                found = [entry for entry in self.memberships if entry["state"] == wanted]
                answer = self.paged(request, found)
                answer.headers.update(self.sso)
                return answer
            case "/user/teams":
                return self.paged(request, self.teams)
        return self.repos.get(path.removeprefix("/repos/").lower())

    def is_admitted(self, request: web.Request) -> bool:
        if request.method == "DELETE":
            return self.form({}, request) == (CLIENT, SECRET)
        return super().is_admitted(request)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE" and self.is_admitted(request):
            self.deleted.append((request.path, await request.json()))
            return web.Response(status=204)
        return await super().answer(request)


def membership(org: dict[str, Any], state: str = "active") -> dict[str, Any]:
    """An entry of `/user/memberships/orgs`."""
    return {"state": state, "role": "member", "organization": org}
