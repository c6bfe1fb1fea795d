"""What the attacks are run against: two hosts, two providers of which one may mean harm, and calling interfaces."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from yarl import URL

from tests.real.house import Browser, House, Page
from tests.real.rogue import Rogue
from tests.real.visitor import new_visitor

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}
provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "canary-client-secret"
}
provider "evil" {
  type          = "oidc"
  issuer        = "EVIL"
  client_id     = "app"
  client_secret = "canary-evil-secret"
  claims        = { extra = "extra" }
}
host "app.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op", "evil"]
  access {
    allow = ["anyone"]
  }
  oauth "inline" {
    client_id        = "inline"
    client_secret    = "canary-inline-secret"
    authorize_url    = "EVIL/authorize"
    access_token_url = "EVIL/token"
  }
  route "/open/" {
    access {
      allow = ["public"]
    }
  }
  route "/not-eve/" {
    access {
      allow = ["public"]
      deny  = ["email:eve@evil.example"]
    }
  }
  route "/corp/" {
    access {
      allow = ["domain:corp.example", "email:boss@other.example"]
    }
  }
  route "/read/" {
    methods = ["GET"]
    access {
      allow = ["public"]
    }
  }
}
host "other.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op"]
  access {
    allow = ["anyone"]
  }
}
call "api" {
  port     = CALL
  endpoint = "http://127.0.0.1:API"
  hosts    = ["app.example.com"]
  only_operations = true
  auth {
    name       = "authorization"
    location   = "header"
    credential = "session:op"
  }
  operation "me" {
    method = "GET"
    path   = "/v1/me"
  }
  operation "item" {
    method = "GET"
    path   = "/v1/items/{id}"
  }
}
call "keyed" {
  port     = KEYED
  endpoint = "http://127.0.0.1:API"
  hosts    = ["app.example.com"]
  auth {
    name       = "api_key"
    location   = "query"
    credential = "session:op"
  }
}
"""


class Siege(House):
    """A house with enemies."""

    evil: Rogue
    keyed_port: int


@contextlib.asynccontextmanager
async def besieged(ports: Any, api: Any, gateway: Any) -> AsyncIterator[Siege]:
    """All of it, running; `provider` is the one that behaves, `evil` the other."""
    async with Rogue(ports.take()) as op, Rogue(ports.take()) as evil, new_visitor() as client:
        app, target = await api(), await api()
        call, keyed = ports.take(), ports.take()
        text = CONFIGURATION.replace("ISSUER", op.issuer).replace("EVIL", evil.issuer)
        text = text.replace("BACKEND", str(app.port)).replace("API", str(target.port))
        text = text.replace("CALL", str(call)).replace("KEYED", str(keyed))
        siege = Siege(gateway(text), op, app, target, call)  # type: ignore[arg-type] # it stands in for OpenId
        siege.evil, siege.keyed_port, siege.client = evil, keyed, client
        op.claims = {"sub": "alice", "email": "alice@corp.example"}
        op.userinfo = {"sub": "alice"}
        yield siege


async def sign_in(browser: Browser, client: str = "op", rd: str = "/") -> Page:
    """The answer at the end of that client's flow, not followed."""
    page = await browser.get(f"/@{client}/signin?rd={quote(rd, safe='')}", follow=False)
    page = await browser.get(page.location)
    return await browser.get(page.location)


def cookies_of(browser: Browser) -> dict[str, str]:
    """What the browser would send to the host."""
    found = browser.session.cookie_jar.filter_cookies(URL(browser.house.origin))
    return {name: morsel.value for name, morsel in found.items()}


def handle_cookie(siege: Siege, browser: Browser) -> tuple[str, str]:
    """Name and value of the session cookie."""
    name = f"vestibule-{siege.gateway.port}"
    return name, cookies_of(browser)[name]
