"""A gateway as an operator sees it: people of a real provider, an app that calls an API, traffic, and the admin pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import trustme

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.openid import OpenId, client
from tests.real.visitor import new_visitor

HCL = """
gateway {
  http    = ["127.0.0.1:PORT"]
  workers = WORKERS
}
admin {
  listen = "127.0.0.1:ADMIN"
  allow  = ["email:ops@example.com"]
}
provider "op" {
  title         = "Example accounts"
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "profile", "email", "groups", "offline_access"]
}
host "shop.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op"]
  access {
    allow = ["anyone"]
  }
  route "/open/" {
    access {
      allow = ["public"]
    }
  }
  route "/accounting/" {
    access {
      allow = ["group:accounting"]
    }
  }
}
host "wiki.example.com" {
  backend = "internal:echo"
  sign_in = ["op"]
  access {
    allow = ["domain:example.com"]
  }
}
host "ops.example.com" {
  backend = "internal:admin"
  sign_in = ["op"]
  access {
    allow = ["email:ops@example.com"]
  }
}
call "orders" {
  port     = CALL
  endpoint = "http://127.0.0.1:API"
  auth {
    name       = "authorization"
    location   = "header"
    credential = "session:op"
  }
}
"""


def _person(name: str, login: str, *groups: str) -> dict[str, Any]:
    email = f"{login}@example.com"
    return {
        "email": email,
        "email_verified": True,
        "name": name,
        "preferred_username": login,
        "groups": list(groups),
    }


PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "ops": _person("Olga Petrova", "ops", "operators"),
    "alice": _person("Alice Ängström", "alice", "accounting"),
    "bob": _person("Bob Marsh", "bob"),
    "chidi": _person("Chidi Okafor", "chidi", "accounting"),
    "mei": _person("李梅", "mei"),
    "evil": {
        "email": "evil@elsewhere.example",
        "email_verified": True,
        "name": "<script>alert(1)</script>",
        "preferred_username": '"><img src=x onerror=alert(1)>',
        "groups": ["<b>"],
    },
}
NAVIGATION = {
    "Accept": "text/html,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}


class Office:
    """All of it, running."""

    def __init__(self, gateway: Gateway, provider: OpenId, admin_port: int) -> None:
        self.gateway = gateway
        self.provider = provider
        self.url = f"http://localhost:{admin_port}"
        self.shop = f"http://shop.example.com:{gateway.port}"
        self.wiki = f"http://wiki.example.com:{gateway.port}"
        self._visitors = contextlib.AsyncExitStack()

    def token(self, name: str = "deploy", *options: str) -> str:
        """A new admin token, as an operator makes one."""
        argv = [sys.executable, "-m", "vestibule", "tokens", "create", name, *options]
        made = subprocess.run(argv, cwd=self.gateway.directory, capture_output=True, text=True, check=True)
        return next(word for word in made.stdout.split() if word.startswith("vst_admin_"))

    async def visitor(
        self, person: str = "", *, agent: str = "Mozilla/5.0 Firefox/131.0"
    ) -> aiohttp.ClientSession:
        """A browser; of this person, signed in at the shop."""
        session = await self._visitors.enter_async_context(new_visitor(user_agent=agent))
        if person:
            await self.sign_in(session, person)
        return session

    async def sign_in(self, session: aiohttp.ClientSession, person: str, at: str = "") -> None:
        """Sign this browser in there."""
        url = f"{at or self.shop}/@/signin?login_hint={person}&rd=/"
        async with session.get(url, headers=NAVIGATION) as answer:
            assert answer.status == 200, await answer.text()

    async def get(self, session: aiohttp.ClientSession, target: str, at: str = "") -> int:
        """One request for a page; its status."""
        async with session.get(
            f"{at or self.shop}{target}", headers=NAVIGATION, allow_redirects=False
        ) as answer:
            await answer.read()
            return answer.status

    async def day(self) -> None:
        """What happens on a day: people come, read, order, are refused."""
        agents = {
            "alice": "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 Version/17.6 Safari/605.1.15",
            "bob": "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
            "chidi": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/129.0 Mobile Safari/537.36",
            "mei": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
        }
        visitors = {person: await self.visitor(person, agent=agent) for person, agent in agents.items()}
        await self.sign_in(visitors["alice"], "alice", self.wiki)
        nobody = await self.visitor()
        for number in range(6):
            await asyncio.gather(
                self.get(visitors["alice"], f"/orders/{4700 + number}"),
                self.get(visitors["chidi"], "/accounting/ledger"),
                self.get(visitors["bob"], "/basket"),
                self.get(visitors["mei"], f"/products/tea-{number}"),
                self.get(nobody, "/open/prices"),
            )
        await self.get(visitors["bob"], "/accounting/ledger")
        await self.get(visitors["alice"], "/page/Onboarding", self.wiki)
        await self.get(visitors["mei"], "/missing")
        await self.get(visitors["chidi"], "/broken")
        await self.get(nobody, "/basket")

    async def close(self) -> None:
        """Let all browsers go."""
        await self._visitors.aclose()


@contextlib.asynccontextmanager
async def open_office(ports: Ports, directory: Path, *, workers: int = 1) -> AsyncIterator[Office]:
    """Start everything; stop it at the end."""
    port, admin, call = ports.take(), ports.take(), ports.take()
    directory.mkdir(parents=True, exist_ok=True)
    ca_file = directory / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca_file))
    callbacks = [
        f"http://{host}/@op/callback"
        for host in (
            f"shop.example.com:{port}",
            f"wiki.example.com:{port}",
            f"ops.example.com:{port}",
            f"localhost:{admin}",
        )
    ]
    with _served(_Api) as api, _served(_app_of(call)) as app:
        provider = OpenId(ports.take(), [client("app", *callbacks)], people=PEOPLE)
        gateway = None
        try:
            provider.wait()
            text = HCL.replace("ISSUER", provider.issuer).replace("WORKERS", str(workers))
            for name, value in (
                ("BACKEND", app),
                ("PORT", port),
                ("ADMIN", admin),
                ("CALL", call),
                ("API", api),
            ):
                text = text.replace(name, str(value))
            gateway = Gateway(text, directory, port=port, ca_file=ca_file)
            gateway.wait()
            office = Office(gateway, provider, admin)
            try:
                yield office
            finally:
                await office.close()
        finally:
            if gateway is not None:
                print(f"--- gateway\n{gateway.process.shown}")
                gateway.stop()
            provider.process.stop()


@contextlib.contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Nothing."""

    def say(self, status: int, value: Any) -> None:
        """Answer with this as JSON."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Api(_Quiet):
    """The API that the app calls."""

    def do_GET(self) -> None:
        """Answer."""
        self.say(200, {"order": self.path.rpartition("/")[2], "nonce": secrets.token_hex(4)})


def _app_of(call_port: int) -> type[BaseHTTPRequestHandler]:
    """The app: for an order it asks the API twice, as whoever is signed in."""

    class App(_Quiet):
        def do_GET(self) -> None:
            if self.path.startswith("/orders/"):
                for part in ("", "/items"):
                    self._ask(f"/v1{self.path}{part}")
            self.say({"/missing": 404, "/broken": 500}.get(self.path, 200), {"path": self.path})

        def _ask(self, target: str) -> None:
            names = ("Proxy-Session", "traceparent", "tracestate")
            headers = {name: self.headers[name] for name in names if self.headers[name]}
            url = f"http://127.0.0.1:{call_port}{target}"
            with contextlib.suppress(urllib.error.URLError, socket.timeout):
                urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60).read()

    return App
