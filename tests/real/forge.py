"""A gateway with many providers of one stand-in, each with settings of its own, and browsers that come by them."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.real.gateway import Gateway
from tests.real.standin import CLIENT, SECRET, StandIn
from tests.real.visitor import new_visitor

HEAD = """
gateway {
  http          = ["127.0.0.1:{port}"]
  fetch_timeout = "5s"
}
host "localhost" {
  backend = "internal:echo"
  sign_in = [IDS]
  access { allow = ["anyone"] }
}
LIFETIMES
"""
PROVIDER = """
provider "{id}" {{
  type          = "{kind}"
  client_id     = "{client}"
  {secret}
  {settings}
}}
"""


@dataclasses.dataclass(frozen=True)
class Came:
    """How a person's way ended."""

    status: int
    text: str
    headers: Mapping[str, str]
    """That the app was sent, by lower-case name."""
    who: Any
    """What `/@/session` says; None for nobody."""

    @property
    def words(self) -> str:
        """The words of the page."""
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.text)).split())


class Forge:
    """All of it, running."""

    def __init__(self, standin: StandIn, gateway: Gateway) -> None:
        self.standin = standin
        self.gateway = gateway
        self.url = f"http://localhost:{gateway.port}"

    async def come(self, client: str, *, visitor: Any = None) -> Came:
        """A new browser signs in by this provider and wants `/a`."""
        if visitor is None:
            async with new_visitor() as fresh:
                return await self.come(client, visitor=fresh)
        async with visitor.get(f"{self.url}/@{client}/signin?rd=/a") as page:
            text = await page.text()
            is_echo = page.status == 200 and "json" in page.content_type
            told = {name.lower(): value for name, value in json.loads(text)["headers"]} if is_echo else {}
            status = page.status
        async with visitor.get(f"{self.url}/@/session", headers={"Accept": "application/json"}) as session:
            who = await session.json() if session.status == 200 else None
        return Came(status, text, told, who)

    async def is_let_in(self, client: str) -> bool:
        """Whether a new browser gets to the app; else it must be told 403 and be nobody."""
        came = await self.come(client)
        if came.status == 200:
            assert came.who is not None
            return True
        assert (came.status, came.who) == (403, None), came.words
        return False


async def opened(
    standin: StandIn,
    api: Any,
    gateway: Callable[..., Gateway],
    kind: str,
    settings: Mapping[str, str],
    *,
    client: str = CLIENT,
    secret: str = SECRET,
    lifetimes: str = "",
) -> Forge:
    """The gateway with a provider for each of these settings, by ID; `URL` in them is the stand-in's."""
    standin.url = (await api(answer=standin.answer)).url
    shown = f'client_secret = "{secret}"' if secret else ""
    providers = "".join(
        PROVIDER.format(
            id=name, kind=kind, client=client, secret=shown, settings=text.replace("URL", standin.url)
        )
        for name, text in settings.items()
    )
    head = HEAD.replace("IDS", ", ".join(f'"{name}"' for name in settings)).replace("LIFETIMES", lifetimes)
    return Forge(standin, gateway(head + providers))
