"""Stands in for Bitbucket Cloud, as the documentation of its API 2.0 says after the removals of 2026."""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from tests.real.standin import PAGE, StandIn


class Bitbucket(StandIn):
    """Bitbucket with one account; where and API have one address."""

    authorize_path: ClassVar[str] = "/site/oauth2/authorize"
    token_path: ClassVar[str] = "/site/oauth2/access_token"

    def __init__(self) -> None:
        super().__init__()
        self.workspaces = ["one", "two", "acme"]
        self.emails: list[Any] = [
            {"email": "old@evil.example", "is_primary": False, "is_confirmed": True},
            {"email": "ann@example.com", "is_primary": True, "is_confirmed": True},
        ]
        self.roles: dict[str, list[str]] = {"member": ["acme/app"], "contributor": [], "admin": []}
        """What the account was given, by role."""

    async def api(self, request: web.Request) -> Any:
        match request.path.removeprefix("/2.0").split("/"):
            case ["", "user"]:
                return {"type": "user", "uuid": "{a1}", "nickname": "ann", "display_name": "Ann"}
            case ["", "user", "emails"]:
                return self.values(request, self.emails)
            case ["", "user", "workspaces"]:
                spaces = [{"slug": slug, "uuid": f"{{{slug}-id}}"} for slug in self.workspaces]
                return self.values(request, [{"type": "workspace_access", "workspace": w} for w in spaces])
            case ["", "repositories", "acme"]:
                slug = request.query["q"].removeprefix('slug="').removesuffix('"')
                found = [name for name in self.roles[request.query["role"]] if name.endswith(f"/{slug}")]
                return self.values(request, [{"full_name": name} for name in found])
        return None

    def values(self, request: web.Request, entries: list[Any]) -> dict[str, Any]:
        """One page of a list, with the URL of the next."""
        number = int(request.query.get("page", "1"))
        following = {"next": f"{self.url}{request.path}?page={number + 1}"}
        more = following if entries[number * PAGE :] else {}
        return {"pagelen": PAGE, "values": entries[(number - 1) * PAGE : number * PAGE], **more}
