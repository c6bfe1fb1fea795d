"""The admin pages over the API in memory: a browser that keeps cookies, and says where its requests come from."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

from tests.unit.web.api.desk import RING, ApiDesk
from tests.unit.web.asgi import Reply
from vestibule.observe.log import Log
from vestibule.service.admin import Asker
from vestibule.service.visit import Visit
from vestibule.web.admin.app import build
from vestibule.web.admin.door import Door

BASE = "http://localhost:9000"
_TOKEN = re.compile(r'name="form_token" value="([^"]*)"')


class Hall:
    """Pages, and the browser in front of them."""

    def __init__(self, desk: ApiDesk | None = None, *, is_owner: bool = True, sign_in: str = "") -> None:
        """`is_owner`: it came by the socket. `sign_in`: where people sign in by the gateway's providers."""
        self.desk = desk or ApiDesk()
        self.is_owner = is_owner
        self.sign_in = sign_in
        self.port = 9000
        """Of the listener."""
        self.visit: Visit | None = None
        """Whom the gateway has let in."""
        self.cookies: dict[str, str] = {}
        door = Door(self.desk.app, self.desk.tokens, RING)
        self.app = build(self.desk.app, door, log=Log(self.desk.written))

    def get(self, path: str, **headers: str) -> Reply:
        """A page, as a person asks for it; `headers` with `_` for `-`."""
        usual = {"sec_fetch_site": "none", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
        return self.send("GET", path, b"", usual | headers)

    def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> Reply:
        """A form that the page at `on` has shown, sent with these fields."""
        shown = self.form_token(headers.pop("on", "/"))
        body = urlencode({"form_token": shown, **(fields or {})}).encode()
        usual = {
            "origin": BASE,
            "sec_fetch_site": "same-origin",
            "content_type": "application/x-www-form-urlencoded",
        }
        return self.send("POST", path, body, {k: v for k, v in (usual | headers).items() if v})

    def form_token(self, path: str) -> str:
        """What the forms on this page are marked with; empty where there is none."""
        found = _TOKEN.search(self.get(path).text)
        return unescape(found[1]) if found else ""

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """One request; cookies that are set are kept."""
        target, _, query = path.partition("?")
        lines = {"host": "localhost:9000"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if self.cookies:
            lines["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        asker = Asker(
            is_owner=self.is_owner,
            address="" if self.is_owner else "127.0.0.1",
            request_id="req-0123",
            now=self.desk.now,
        )
        state: dict[str, Any] = (
            {"visit": self.visit} if self.visit else {"asker": asker, "sign_in": self.sign_in}
        )
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in lines.items()],
            "client": (asker.address, 1),
            "server": ("localhost", self.port),
            "state": state,
        }
        reply = asyncio.run(self._call(scope, body))
        for one in reply.cookies:
            name, _, value = one.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        return reply

    async def _call(self, scope: dict[str, Any], body: bytes) -> Reply:
        sent: list[Any] = []

        bodies = [body]

        async def receive() -> dict[str, Any]:
            if not bodies:
                await asyncio.Event().wait()  # who asked stays
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        headers = [(name.decode(), text.decode("latin-1")) for name, text in sent[0]["headers"]]
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(status=sent[0]["status"], raw_headers=headers, body=content)
