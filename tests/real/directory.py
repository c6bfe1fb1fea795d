"""An organisation with a provider of its own, and its directory, which provisions people by SCIM."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import aiohttp
import msgspec

from tests.real.house import Browser, House
from tests.real.openid import OpenId, client
from vestibule.admin_link import TIMEOUT_S, Link
from vestibule.protocol.scim_patch import PATCH

SLUG = "acme"
PROVIDER = f"{SLUG}.op"


class Directory:
    """The directory of the organisation acme, which asks one gateway."""

    def __init__(self, house: House, program: aiohttp.ClientSession, token: str) -> None:
        self.house, self.program, self.token = house, program, token

    def at(self, house: House) -> Directory:
        """The same one, asking another gateway."""
        return Directory(house, self.program, self.token)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and document of the answer."""
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json"}
        url = f"{self.house.origin}/scim/v2{path}"
        async with self.program.request(method, url, json=body, headers=sent) as answer:
            text = await answer.read()
            return answer.status, msgspec.json.decode(text) if text else None

    async def create(self, path: str, body: dict[str, Any]) -> str:
        """The id of a new resource."""
        status, told = await self.ask("POST", path, body)
        assert status == 201, told
        return str(told["id"])

    async def patch(self, where: str, /, **change: Any) -> None:
        """One operation."""
        status, told = await self.ask("PATCH", where, {"schemas": [PATCH], "Operations": [change]})
        assert status in (200, 204), told


@contextlib.asynccontextmanager
async def connected(
    house: House, openid: Callable[..., OpenId], *, origins: Iterable[str] = (), **options: Any
) -> AsyncIterator[Directory]:
    """The organisation, made at this gateway; its people come by `/@acme.op/signin` of all `origins`.

    `options` are its provider's.
    """
    places = tuple(origins) or (house.origin,)
    provider = openid(client(SLUG, *(f"{origin}/@{PROVIDER}/callback" for origin in places)), **options)
    admin = Link(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}", timeout_s=TIMEOUT_S)
    settings = {
        "client_id": SLUG,
        "client_secret": f"{SLUG}-secret",
        "issuer_url": provider.issuer,
        "scopes": ["openid", "email", "profile"],
    }
    admin.call("POST", "/orgs", {"slug": SLUG, "name": "Acme"})
    document = {
        "id": PROVIDER,
        "provider_type": "oidc",
        "email_domains": ["example.com"],
        "openid_config": settings,
    }
    admin.call("POST", f"/orgs/{SLUG}/identity-providers", document)
    token = msgspec.json.decode(admin.call("POST", f"/orgs/{SLUG}/directory/tokens", {}))["token"]
    admin.close()
    async with house.browser() as browser:
        yield Directory(house, browser.session, token)


async def signed_in(browser: Browser, person: str) -> int:
    """Where a sign-in by the organisation's provider ends."""
    page = await browser.get(f"/@{PROVIDER}/signin?login_hint={person}&rd=/", follow=True)
    return page.status


async def let_in(browser: Browser, person: str) -> int:
    """200 once they are signed in: other processes know a new provider within a second."""
    if await browser.who() is None:
        await signed_in(browser, person)
        return 0
    return 200
