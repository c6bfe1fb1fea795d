"""A gateway with two OpenID providers, and people with browsers who come by either."""

from __future__ import annotations

import contextlib
import html
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.openid import OpenId, client
from tests.real.visitor import new_visitor
from vestibule.model import Invitation
from vestibule.store.records import open_records

HCL = """
gateway {
  http = ["127.0.0.1:{port}"]
}
provider "op" {
  title         = "Office"
  type          = "oidc"
  issuer        = "OFFICE"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "profile", "email", "groups"]
}
provider "club" {
  title         = "Club"
  type          = "oidc"
  issuer        = "CLUB"
  client_id     = "app"
  client_secret = "app-secret"
  MORE
}
host "app.localhost" {
  backend = "BACKEND"
  sign_in = ["op", "club"]
  app_tokens = true
  access {
    allow = ["anyone"]
  }
}
PEOPLE
"""

#: at the club: Alice with her address verified, Eve who says the same without proof, Carol
CLUB: Mapping[str, Mapping[str, Any]] = {
    "alice": {"email": "alice@example.com", "email_verified": True, "name": "Alice A.", "groups": []},
    "eve": {"email": "alice@example.com", "email_verified": False, "name": "Eve", "groups": []},
    "carol": {"email": "carol@club.example", "email_verified": True, "name": "Carol", "groups": []},
}
NAVIGATION = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
JSON = {"Accept": "application/json"}


@dataclass
class Answer:
    """An answer read to its end."""

    status: int
    url: URL
    headers: Any
    text: str

    @property
    def location(self) -> str:
        """Where it leads: the header as it stands."""
        return str(self.headers.get("Location", ""))

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden parameters of the page's forms."""
        found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', self.text)
        return {name: html.unescape(value) for name, value in found}


@dataclass
class Club:
    """All of it, running."""

    gateway: Gateway
    office: OpenId
    club: OpenId
    visitors: list[aiohttp.ClientSession] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://app.localhost:{self.gateway.port}"

    def person(self) -> Person:
        """A new browser."""
        visitor = new_visitor()
        self.visitors.append(visitor)
        return Person(self, visitor)

    async def admin(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A call of the admin API, by the socket of the gateway's own user."""
        socket = self.gateway.directory / "state" / "admin.sock"
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
            session.request(method, f"http://localhost/api/v1{path}", json=body) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def users(self) -> list[Any]:
        """All users, as the admin API lists them."""
        status, found = await self.admin("GET", "/users")
        assert status == 200, found
        return list(found["items"])

    async def invite(self, *, email: str, expires_at: float = 4e9) -> str:
        """An invitation, put where they are kept; its id."""
        invitation = Invitation(
            id=secrets.token_urlsafe(16), email=email, created_at=1_700_000_000.0, expires_at=expires_at
        )
        records = open_records(self.gateway.directory / "state" / "vestibule.db")
        await records.invitations.create(invitation)
        await records.close()
        return invitation.id


@dataclass
class Person:
    """Somebody with a browser of their own."""

    at: Club
    visitor: aiohttp.ClientSession

    async def get(self, url: str | URL, **headers: str) -> Answer:
        """A navigation; nothing is followed."""
        return await self.ask("GET", url, {**NAVIGATION, **headers})

    async def post(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> Answer:
        """A form of the site's own page, sent."""
        own = {**NAVIGATION, "Origin": self.at.base, "Sec-Fetch-Site": "same-origin", **headers}
        body = urlencode(form or {}).encode()
        return await self.ask(
            "POST", path, {"Content-Type": "application/x-www-form-urlencoded", **own}, body
        )

    async def tell(self, path: str, value: Any) -> Answer:
        """JSON of an app on this site, sent."""
        own = {**JSON, "Origin": self.at.base, "Content-Type": "application/json"}
        return await self.ask("POST", path, own, json.dumps(value).encode())

    async def ask(
        self, method: str, url: str | URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        target = URL(self.at.base).join(URL(str(url), encoded=True))
        async with self.visitor.request(
            method, target, headers=headers, data=body, allow_redirects=False
        ) as answer:
            return Answer(answer.status, answer.url, answer.headers, await answer.text())

    async def begin(self, provider: str = "op", rd: str = "/", **hints: str) -> str:
        """Where the gateway sends the person to sign in."""
        answer = await self.get(f"/@{provider}/signin?{urlencode({'rd': rd, **hints})}")
        assert answer.status == 303, answer.text
        return answer.location

    async def authorize(self, to: str, who: str) -> str:
        """The callback that the provider sends the person to; not gone to yet."""
        here = URL(to, encoded=True)
        for _ in range(12):
            if str(here).startswith(self.at.base):
                return str(here)
            answer = await self.get(here)
            if answer.location:
                here = here.join(URL(answer.location, encoded=True))
            else:
                assert f'href="?as={who}"' in answer.text, answer.text
                here = here.join(URL(f"?as={who}"))
        raise AssertionError(f"the provider never leads back: {here}")

    async def come(self, who: str = "alice", provider: str = "op", rd: str = "/", **hints: str) -> Answer:
        """A sign-in to the callback's answer, whatever that is."""
        return await self.get(await self.authorize(await self.begin(provider, rd, **hints), who))

    async def sign_in(self, who: str = "alice", provider: str = "op") -> str:
        """A sign-in that goes well; the person's id here."""
        answer = await self.come(who, provider)
        assert (answer.status, answer.location) == (303, "/"), answer.text
        return await self.id()

    async def id(self) -> str:
        """The id here of who is signed in; empty when nobody is."""
        answer = await self.ask("GET", "/@/session", JSON)
        return str(answer.json["user"]["id"]) if answer.status == 200 else ""

    async def account(self) -> Any:
        """The account page for programs."""
        answer = await self.ask("GET", "/@/account", JSON)
        assert answer.status == 200, answer.text
        return answer.json

    async def prove(self, who: str, provider: str = "club") -> Answer:
        """Goes off to link an account and comes back with it: the callback's answer."""
        begun = await self.post(f"/@/account/link/{provider}")
        assert begun.status == 200, begun.text
        to = html.unescape(begun.headers["Refresh"].partition("url=")[2])
        return await self.get(await self.authorize(to, who))

    async def link(self, who: str, provider: str = "club") -> Answer:
        """Links an account: proves it, reads the question, confirms; the last answer."""
        proven = await self.prove(who, provider)
        assert proven.status == 303, proven.text
        page = await self.get(proven.location)
        assert page.status == 200, page.text
        return await self.post("/@/account/link", page.hidden)

    def cookie(self, ending: str) -> str:
        """The value of one of the gateway's cookies; empty for none."""
        own = self.visitor.cookie_jar.filter_cookies(URL(self.at.base))
        return next((cookie.value for name, cookie in own.items() if name.endswith(ending)), "")


@contextlib.asynccontextmanager
async def open_club(
    openid: Callable[..., OpenId],
    gateway: Callable[..., Gateway],
    ports: Ports,
    *,
    people: str = "",
    more: str = "",
    backend: str = "internal:echo",
) -> AsyncIterator[Club]:
    """The club; `people`: the block's text, `more`: of the provider `club`."""
    port = ports.take()
    base = f"http://app.localhost:{port}"
    office = openid(client("app", f"{base}/@op/callback"))
    club = openid(client("app", f"{base}/@club/callback"), people=CLUB)
    text = HCL.replace("OFFICE", office.issuer).replace("CLUB", club.issuer).replace("MORE", more)
    text = text.replace("PEOPLE", people).replace("BACKEND", backend).replace("{port}", str(port))
    opened = Club(gateway(text, port=port), office, club)
    try:
        yield opened
    finally:
        for visitor in opened.visitors:
            await visitor.close()
