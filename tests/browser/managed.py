"""A gateway that is managed by its admin pages, with a real provider that nobody has told it of yet."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.demo import Complaints
from tests.ports import Ports
from tests.real.browser import PATIENCE_MS
from tests.real.gateway import Gateway
from tests.real.openid import OpenId, client
from vestibule.admin_client import AdminClient

HCL = """
gateway {
  http        = ["127.0.0.1:{port}"]
  fetch_allow = ["127.0.0.0/8"]
}
admin {
  listen = "127.0.0.1:ADMIN"
}
provider "files" {
  title         = "Office of the files"
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "files"
  client_secret = "files-secret"
}
host "app.localhost" {
  backend    = "internal:echo"
  sign_in    = ["files", "*"]
  app_tokens = true
  access {
    allow = ["domain:example.com"]
    deny  = ["email:mallory@example.com"]
  }
  route "/admin/" {
    access {
      allow = ["group:admins"]
    }
  }
  route "/health/" {
    methods = ["GET"]
    access {
      allow = ["public"]
    }
  }
}
people {
  registration = "invite"
}
webhook "ops" {
  url    = "http://127.0.0.1:NOBODY/hook"
  secret = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
  events = ["keys.rotated"]
}
"""
NARROW = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 900}
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@dataclass
class Managed:
    """What runs, and by whom it is asked."""

    gateway: Gateway
    provider: OpenId
    app: str
    """Where people go."""
    admin: str
    """Where the pages are."""
    client: AdminClient

    def bury(self, *ids: str) -> None:
        """Messages that the webhook has not taken for a day."""
        database = self.gateway.directory / "state" / "vestibule.db"
        now = time.time()
        rows = [
            ("ops", one, "keys.rotated", b"{}", now - 90_000, now - 60, 12, "answered 503") for one in ids
        ]
        with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection, connection:
            connection.executemany("INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def token(self, *scopes: str) -> str:
        """An admin token."""
        return self.client.create_token("operator", scopes=scopes).token or ""


def manage(openid: Callable[..., OpenId], gateway: Callable[..., Gateway], ports: Ports) -> Managed:
    """Start all of it."""
    port, admin = ports.take(), ports.take()
    app = f"http://app.localhost:{port}"
    callbacks = [f"{app}/@{name}/callback" for name in ("files", "desk", "other")]
    provider = openid(client("files", callbacks[0]), client("desk", *callbacks), client("other", *callbacks))
    text = HCL.replace("ADMIN", str(admin)).replace("ISSUER", provider.issuer)
    text = text.replace("NOBODY", str(ports.take()))
    running = gateway(text, port=port)
    socket = running.directory / "state" / "admin.sock"
    return Managed(running, provider, app, f"http://127.0.0.1:{admin}", AdminClient(f"unix:{socket}"))


async def operator(browser: Browser, managed: Managed, *scopes: str, **options: Any) -> Desk:
    """Somebody at the pages, signed in by a token of their own."""
    context = await browser.new_context(**{"locale": "en-GB", "viewport": WIDE, **options})
    context.set_default_timeout(PATIENCE_MS)
    desk = Desk(context, Complaints(context), await context.new_page(), managed)
    await desk.sign_in(managed.token(*scopes))
    return desk


@dataclass
class Desk:
    """A browser at the admin pages."""

    context: BrowserContext
    complaints: Complaints
    page: Page
    managed: Managed

    async def sign_in(self, token: str) -> None:
        """By the form."""
        await self.page.goto(f"{self.managed.admin}/sign-in")
        await self.page.get_by_label("Admin token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()

    async def open(self, path: str) -> Page:
        """A page, by its address."""
        await self.page.goto(self.managed.admin + path)
        return self.page
