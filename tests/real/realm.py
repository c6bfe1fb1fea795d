"""A gateway with a domain: two sites, their auth host, the real provider; and people with browsers."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.openid import OpenId, client
from tests.real.visitor import new_visitor

PROVIDER = """
gateway {
  http = ["127.0.0.1:{port}"]
}
provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "profile", "email", "groups"]
}
"""
HOSTS = """
host "app.vestibule.localhost" {
  backend = "internal:echo"
  sign_in = ["op"]
  access { allow = ["anyone"] }
}
host "wiki.vestibule.localhost" {
  backend = "internal:echo"
  sign_in = ["op"]
  access { allow = ["group:admins"] }
}
"""
HANDOFF = """
domain "vestibule.localhost" {
  auth_host = "auth.vestibule.localhost"
}
"""
COOKIE = """
domain "vestibule.localhost" {
  auth_host     = "auth.vestibule.localhost"
  sso           = "cookie"
  cookie        = "X-Hall"
  session_token = "jwt"
}
"""
CAROL = {"carol": {"email": "carol@club.example", "email_verified": True, "name": "Carol", "groups": []}}
NAVIGATION = {
    "Accept": "text/html,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}


def open_realm(
    openid: Callable[..., OpenId],
    gateway: Callable[..., Gateway],
    ports: Ports,
    people: contextlib.AsyncExitStack,
    *texts: str,
    auths: tuple[str, ...] = ("auth.vestibule.localhost",),
    **more: str,
) -> Realm:
    """The gateway with these blocks; providers know the callbacks of the auth hosts alone.

    `CLUB` in a text stands for a second provider's address, and each of `more` for its value.
    """
    port = ports.take()
    bases = [f"http://{auth}:{port}" for auth in auths]
    ends = [f"{base}/@/signedout" for base in bases]
    provider = openid(
        client("app", *(f"{base}/@op/callback" for base in bases), post_logout_redirect_uris=ends)
    )
    text = "".join((PROVIDER, *texts)).replace("ISSUER", provider.issuer)
    if "CLUB" in text:
        club = client("app", *(f"{base}/@club/callback" for base in bases))
        text = text.replace("CLUB", openid(club, people=CAROL).issuer)
    for name, value in more.items():
        text = text.replace(name, value)
    return Realm(gateway(text, port=port), provider, people)


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
