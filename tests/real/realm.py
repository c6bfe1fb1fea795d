"""A gateway with a domain: two sites, their auth host, the real provider; and people with browsers."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from tests.real.gateway import Gateway
from tests.real.openid import OpenId
from tests.real.visitor import new_visitor

NAVIGATION = {
    "Accept": "text/html,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}


@dataclass
class Answer:
    """An answer read to its end."""

    status: int
    url: URL
    headers: Any
    text: str
    way: tuple[str, ...]
    """Host and path of each address on the way here."""

    @property
    def location(self) -> URL:
        """Where it leads, absolute."""
        return self.url.join(URL(self.headers["Location"], encoded=True))

    @property
    def told(self) -> dict[str, str]:
        """The header fields that the app got, by lower-case name."""
        assert self.status == 200, self.text
        return {name.lower(): value for name, value in json.loads(self.text)["headers"]}


@dataclass
class Realm:
    """All of it, running."""

    gateway: Gateway
    provider: OpenId
    people: contextlib.AsyncExitStack
    domain: str = "vestibule.localhost"
    _visitors: list[aiohttp.ClientSession] = field(default_factory=list)

    def url(self, name: str, path: str = "/") -> URL:
        """The address of a host of the domain: `url("app", "/x")`."""
        return URL(f"http://{name}.{self.domain}:{self.gateway.port}{path}", encoded=True)

    async def person(self) -> Person:
        """Somebody with a new browser."""
        return Person(self, await self.people.enter_async_context(new_visitor()))

    def sql(self, statement: str) -> list[Any]:
        """Asks or changes the gateway's own database."""
        database = self.gateway.directory / "state" / "vestibule.db"
        with contextlib.closing(sqlite3.connect(database, timeout=10)) as connection, connection:
            return connection.execute(statement).fetchall()


@dataclass
class Person:
    """Somebody with a browser of their own."""

    realm: Realm
    visitor: aiohttp.ClientSession

    async def get(self, url: URL | str, *, follow: bool = False, **headers: str) -> Answer:
        """A navigation."""
        target = URL(str(url), encoded=True)
        async with self.visitor.get(
            target, headers={**NAVIGATION, **headers}, allow_redirects=follow
        ) as answer:
            way = tuple(f"{one.url.host}{one.url.path}" for one in (*answer.history, answer))
            return Answer(answer.status, answer.url, answer.headers, await answer.text(), way)

    async def sign_in(self, name: str, who: str = "alice", path: str = "/deep?x=1") -> Answer:
        """Goes to a host, signs in as somebody, and ends there."""
        rd = path.replace("?", "%3F").replace("=", "%3D")
        return await self.get(self.realm.url(name, f"/@/signin?login_hint={who}&rd={rd}"), follow=True)

    async def lead_to_code(self, name: str, who: str = "alice", path: str = "/") -> URL:
        """Signs in, and stops before the address with the code."""
        answer = await self.get(self.realm.url(name, f"/@/signin?login_hint={who}&rd={path}"))
        for _ in range(20):
            there = answer.location
            if there.path == "/@/enter":
                return there
            answer = await self.get(there)
        raise AssertionError(answer.url)

    async def who(self, name: str) -> str | None:
        """Whose address the host says is signed in; None when nobody is."""
        async with self.visitor.get(self.realm.url(name, "/@/session")) as answer:
            return str((await answer.json())["user"]["email"]) if answer.status == 200 else None

    def cookies(self, name: str) -> Mapping[str, str]:
        """What this browser sends to the host."""
        found = self.visitor.cookie_jar.filter_cookies(self.realm.url(name))
        return {key: morsel.value for key, morsel in found.items()}

    def take(self, cookies: Mapping[str, str], name: str) -> None:
        """Gets hold of somebody's cookies of a host."""
        self.visitor.cookie_jar.update_cookies(cookies, self.realm.url(name))
