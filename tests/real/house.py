"""The whole thing for one test: the gateway, the real provider, an app behind it, an API that the app calls."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from yarl import URL

from tests.real.api import Api, Seen
from tests.real.gateway import Gateway
from tests.real.openid import OpenId, client
from tests.real.visitor import new_visitor

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile", "groups"]
}

host "app.example.com" {
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
}

call "api" {
  port     = CALL
  endpoint = "https://127.0.0.1:API"
  auth {
    name       = "authorization"
    location   = "header"
    credential = "session:op"
  }
}
"""

NAVIGATION = {
    "Accept": "text/html,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}


@dataclasses.dataclass(frozen=True)
class Page:
    """An answer read to its end."""

    status: int
    url: URL
    headers: Any
    text: str

    @property
    def location(self) -> URL:
        """Where it leads, absolute."""
        return self.url.join(URL(self.headers["Location"]))

    @property
    def id(self) -> str:
        """The id an error page shows, which is in the log."""
        found = re.search(r"<code[^>]*>([\w-]{8,})</code>", self.text)
        assert found, self.text
        return found[1]


class Browser:
    """One browser profile at one house."""

    def __init__(self, house: House, session: aiohttp.ClientSession) -> None:
        self.house = house
        self.session = session

    async def get(self, target: str | URL, *, follow: bool = False, **headers: str) -> Page:
        """A navigation; `follow` goes where it leads, as far as that is."""
        return await self._ask("GET", target, follow=follow, headers={**NAVIGATION, **headers})

    async def post(self, target: str) -> Page:
        """A form of the house's own page, sent."""
        headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": self.house.origin}
        return await self._ask("POST", target, follow=True, headers=headers)

    async def sign_in(self, person: str = "alice", rd: str = "/") -> Page:
        """Signs in by the hint the provider takes, and ends at `rd`."""
        return await self.get(f"/@/signin?login_hint={person}&rd={rd}", follow=True)

    async def begin(self, person: str = "alice", rd: str = "/") -> URL:
        """Begins a flow; where the browser is sent to: the provider's authorization URL."""
        page = await self.get(f"/@op/signin?login_hint={person}&rd={rd}")
        assert page.status in (302, 303), page.text
        return page.location

    async def authorize(self, url: URL) -> URL:
        """Goes through the provider's pages; the callback it leads to, not yet gone to."""
        for _ in range(10):
            page = await self.get(url)
            assert page.status in (302, 303), page.text
            url = page.location
            if url.path.startswith("/@"):
                return url
        raise AssertionError(url)

    async def who(self) -> dict[str, Any] | None:
        """What `/@/session` says; None when nobody is signed in."""
        async with self.session.get(f"{self.house.origin}/@/session") as answer:
            if answer.status == 401:
                return None
            assert answer.status == 200
            return dict(await answer.json())

    async def email(self) -> str | None:
        """The address of who is signed in, None when nobody is."""
        who = await self.who()
        return who and who["user"]["email"]

    async def seen_by_app(self, target: str = "/") -> Seen:
        """What the app got of a request that passed."""
        page = await self.get(target)
        assert page.status == 200, page.text
        return self.house.app.seen[-1]

    async def _ask(self, method: str, target: str | URL, *, follow: bool, headers: dict[str, str]) -> Page:
        url = URL(self.house.origin).join(URL(str(target), encoded=True))
        async with self.session.request(method, url, headers=headers, allow_redirects=follow) as answer:
            return Page(answer.status, answer.url, answer.headers, await answer.text())


@dataclasses.dataclass
class House:
    """All of it, running."""

    gateway: Gateway
    provider: OpenId
    app: Api
    api: Api
    call_port: int

    @property
    def origin(self) -> str:
        """How people address the app."""
        return f"http://app.example.com:{self.gateway.port}"

    @contextlib.asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        """A new browser."""
        async with new_visitor() as session:
            yield Browser(self, session)

    def call(self, handle: str | None, target: str = "/v1/me", method: str = "GET", **options: Any) -> Any:
        """A call of the app's to the API, as a context manager with the answer."""
        headers = {"Proxy-Session": handle} if handle is not None else {}
        headers.update(options.pop("headers", {}))
        return self.client.request(
            method, f"http://127.0.0.1:{self.call_port}{target}", headers=headers, **options
        )

    client: aiohttp.ClientSession = dataclasses.field(init=False)

    def sessions(self) -> int:
        """How many sessions the store holds."""
        database = self.gateway.directory / "state" / "vestibule.db"
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            [count] = connection.execute("SELECT count(*) FROM sessions").fetchone()
        return int(count)

    def secrets_told(self) -> list[str]:
        """Every token the API was shown: none of them may be found where it doesn't belong."""
        return [value.partition(" ")[2] for seen in self.api.seen for value in seen.all("authorization")]


async def build(
    *,
    ports: Any,
    api: Callable[..., Any],
    openid: Callable[..., OpenId],
    gateway: Callable[..., Gateway],
    configuration: str = CONFIGURATION,
    **options: Any,
) -> House:
    """Starts everything; `options` are the provider's."""
    port, call_port = ports.take(), ports.take()
    callback = f"http://app.example.com:{port}/@op/callback"
    signed_out = f"http://app.example.com:{port}/@/signedout"
    provider = openid(client("app", callback, post_logout_redirect_uris=[signed_out]), **options)
    app, target = await api(), await api(https=True)
    text = configuration.replace("ISSUER", provider.issuer).replace("BACKEND", str(app.port))
    text = text.replace("CALL", str(call_port)).replace("API", str(target.port))
    return House(gateway(text, port=port), provider, app, target, call_port)


def handle_of(browser: Browser) -> str:
    """What the browser's cookie for the gateway of its house holds."""
    name = f"vestibule-{browser.house.gateway.port}"
    [handle] = [cookie.value for cookie in browser.session.cookie_jar if cookie.key == name]
    return str(handle)


async def status_of(browser: Browser) -> int:
    """What a page says to this browser."""
    return (await browser.get("/")).status


async def status_with(house: House, handle: str, port: int = 0) -> int:
    """What a page of the gateway on this port (0: the house's) says to somebody who has this handle and nothing else."""
    port = port or house.gateway.port
    async with house.browser() as stranger:
        page = await stranger.get(f"http://app.example.com:{port}/", Cookie=f"vestibule-{port}={handle}")
        return page.status


async def until(status: int, ask: Callable[[], Awaitable[int]]) -> None:
    """Returns once it is answered so."""
    async with asyncio.timeout(60):
        while await ask() != status:
            await asyncio.sleep(0.05)
