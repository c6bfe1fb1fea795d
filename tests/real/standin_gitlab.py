"""Stands in for GitLab, as its documentation says of OpenID Connect, projects and members."""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from tests.real.standin import StandIn


class GitLab(StandIn):
    """GitLab with one account, whose groups are told by userinfo alone."""

    authorize_path: ClassVar[str] = "/oauth/authorize"
    token_path: ClassVar[str] = "/oauth/token"

    def __init__(self) -> None:
        super().__init__()
        self.groups: Any = ["acme", "acme/platform"]
        self.projects: dict[str, Any] = {
            "acme%2Fapp": {"id": 5, "path_with_namespace": "acme/app", "archived": False}
        }
        self.level = 30

    def public(self, request: web.Request) -> Any:
        match request.path:
            case "/.well-known/openid-configuration":
                return self.metadata(userinfo_endpoint=f"{self.url}/oauth/userinfo")
            case "/keys":
                return self.keys

    def id_claims(self, flow: dict[str, str]) -> dict[str, Any] | None:
        return {"sub": "17", "email": "ann@example.com", "email_verified": True, "groups_direct": ["acme"]}

    async def api(self, request: web.Request) -> Any:
        path = request.raw_path
        if path == "/oauth/userinfo":
            return {"sub": "17", "name": "Ann", "preferred_username": "ann", "groups": self.groups}
        project, _, member = path.removeprefix("/api/v4/projects/").partition("/members/all/")
        if project not in self.projects or not member:
            return self.projects.get(project)
        return {"id": 17, "state": "active", "access_level": self.level} if self.level else None
