"""Stands in for people's web sites and the servers that sign them in, as the IndieAuth specification has them.

One server answers for many hosts: `ann.example` (metadata), `old.example` (an endpoint alone), `moved.example`
(redirects to Ann), `mallory.example` (vouches for Ann's address), `auth.example` (the server of the good ones).
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from typing import Any

from aiohttp import web

SERVER = "https://auth.example"


class IndieWeb:
    """One answer function for `tests.real.api.Api`, told apart by Host."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.profile: dict[str, Any] = {"name": "Ann", "email": "ann@ann.example"}
        self.vouches_for = ""
        """Whose address the server says it is; empty: the one it was asked about."""
        self.iss = f"{SERVER}/"
        self._flows: dict[str, dict[str, str]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever is asked for, of whatever host."""
        host = request.host.partition(":")[0]
        self.counts[f"{request.method} {host}{request.path}"] += 1
        match host, request.path:
            case "ann.example", "/":
                page = f'<link rel="indieauth-metadata" href="{SERVER}/metadata">'
                return web.Response(text=page, content_type="text/html")
            case "old.example", "/":
                link = f'<{SERVER}/auth>; rel="authorization_endpoint"'
                return web.Response(text="Old", content_type="text/html", headers={"Link": link})
            case "moved.example", "/":
                raise web.HTTPFound("https://ann.example/")
            case "mallory.example", "/":
                page = '<link rel="authorization_endpoint" href="/auth">'
                return web.Response(text=page, content_type="text/html")
            case "auth.example", "/metadata":
                return web.json_response(
                    {
                        "issuer": f"{SERVER}/",
                        "authorization_endpoint": f"{SERVER}/auth",
                        "token_endpoint": f"{SERVER}/token",
                        "code_challenge_methods_supported": ["S256"],
                        "authorization_response_iss_parameter_supported": True,
                    }
                )
            case (("auth.example" | "mallory.example"), "/auth"):
                if request.method == "POST":
                    return self._redeem({n: str(v) for n, v in (await request.post()).items()})
        return web.Response(status=404)

    def approve(self, query: dict[str, str]) -> dict[str, str]:
        """What the person's browser brings back when she says yes to an authorization request."""
        code = f"c{len(self._flows)}"
        self._flows[code] = query
        return {"code": code, "state": query["state"], **({"iss": self.iss} if self.iss else {})}

    def _redeem(self, form: dict[str, str]) -> web.Response:
        """The profile answer, once for each code. Section 5.3."""
        flow = self._flows.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        same = ("client_id", "redirect_uri")
        if (
            flow is None
            or form.get("grant_type") != "authorization_code"
            or flow["code_challenge"] != challenge
            or any(flow[name] != form.get(name) for name in same)
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"me": self.vouches_for or flow["me"], "profile": self.profile})
