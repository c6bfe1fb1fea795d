"""What whoever may write identity providers, and nothing else, does with that: each attack as rows, and people who came."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from tests.ports import Ports
from tests.real.api import Api
from tests.real.openid import OpenId, client
from tests.real.served import Person, Served

pytestmark = pytest.mark.real


class Stage:
    """A gateway whose own provider is the real one, and a server of Mallory's, which answers whatever helps her."""

    def __init__(self, gateway: Served, provider: OpenId, mallory: Api) -> None:
        self.gateway = gateway
        self.provider = provider
        self.mallory = mallory
        self.subject = "alice"
        mallory.answer = self._answer

    @property
    def evil(self) -> str:
        return self.mallory.url

    async def create(self, kind: str, **settings: Any) -> tuple[int, Any]:
        """A row of this kind, as the admin API takes it: status and answer."""
        section = "openid_config" if kind == "oidc" else f"{kind}_config"
        row = {"id": "evil", "provider_type": kind, "email_domains": ["example.com"], section: settings}
        return await self.gateway.api("POST", "/identity-providers", row)

    def plain(self, **more: Any) -> dict[str, Any]:
        """Settings of a plain OAuth 2.0 client at Mallory's."""
        return {
            "client_id": "evil",
            "client_secret": "evil-secret",
            "authorize_url": f"{self.evil}/authorize",
            "access_token_url": f"{self.evil}/token",
            "userinfo_url": f"{self.evil}/me",
            **more,
        }

    async def come(self, person: Person) -> tuple[int, str]:
        """Signs in at Mallory's: status and destination of the callback."""
        status, to = await person.leads(f"{self.gateway.base}/@evil/signin")
        assert status == 303, to
        state = parse_qs(urlsplit(to).query)["state"][0]
        return await person.leads(f"{self.gateway.base}/@evil/callback?code=c&state={state}")

    async def id_of(self, person: Person) -> str:
        """Who the gateway says this is."""
        _, _, text = await person.get(f"{self.gateway.base}/@/session")
        found = json.loads(text)
        return str(found["user"]["id"]) if "user" in found else ""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            told = {"access_token": "at-of-mallory", "token_type": "Bearer", "refresh_token": "rt-of-mallory"}
            return web.json_response(told)
        told = {"sub": self.subject, "id": 1, "email": "alice@example.com", "email_verified": True}
        return web.json_response({**told, "groups": ["admins"]})


@pytest.fixture
async def stage(served, openid, ports: Ports, state_dir: Path) -> AsyncIterator[Stage]:
    port = ports.take()
    base = f"http://localhost:{port}"
    provider = openid(
        client("first", f"{base}/@oidc/callback"),
        client("second", f"{base}/@second/callback", scope="openid profile email offline_access groups"),
    )
    environ = {
        "VESTIBULE_ROOT_DOMAIN": "localhost",
        "VESTIBULE_SESSION_KEY": "0123456789abcdefghijklmnopqrstuvwxyz",
        "VESTIBULE_ALLOWED_DOMAINS": "example.com",
        "VESTIBULE_ALLOW_ALL_USERS": "true",
        "VESTIBULE_PROVIDER_TYPE": "oidc",
        "VESTIBULE_CLIENT_ID": "first",
        "VESTIBULE_CLIENT_SECRET": "first-secret",
        "VESTIBULE_ISSUER_URL": provider.issuer,
        "VESTIBULE_STORE_URL": f"sqlite:{state_dir}/one.db",
        "VESTIBULE_GATEWAY_FETCH_ALLOW": "127.0.0.0/8",
    }
    async with Api(ports.take()) as mallory:
        yield Stage(served(port, environ), provider, mallory)


async def test_a_row_makes_nobody_another_providers_person(stage: Stage, people) -> None:
    """O1: who vouches is part of who somebody is, and no row may name another as that."""
    alice = people()
    assert (await alice.sign_in(stage.gateway.base, by="oidc"))[0] == 200
    known = await stage.id_of(alice)
    # Whose accounts these are can't be written...
    status, problem = await stage.create("oauth2", **stage.plain(issuer=stage.provider.issuer))
    assert (status, "oauth2_config.issuer" in str(problem)) == (422, True), problem
    led = f"{stage.evil}/.well-known/openid-configuration"
    settings = {"client_id": "evil", "client_secret": "s", "issuer_url": stage.provider.issuer}
    status, problem = await stage.create("oidc", **settings, discovery_url=led)
    assert (status, "openid_config.discovery_url" in str(problem)) == (422, True), problem
    # ... and where it isn't, Mallory's own word makes another person.
    status, made = await stage.create("oauth2", **stage.plain())
    assert status == 201, made
    mallory = people()
    status, to = await stage.come(mallory)
    assert (status, to) == (303, "/"), to
    assert await stage.id_of(mallory) not in {"", known}


@pytest.mark.parametrize("way", ["delete and create", "patch"])
async def test_a_row_that_takes_anothers_place_is_shown_no_token_of_its_people(
    stage: Stage, people, way
) -> None:
    """H9: Alice's tokens are of the provider she came by; a client of the same name elsewhere never sees them."""
    row = {
        "id": "second",
        "provider_type": "oidc",
        "email_domains": ["example.com"],
        "openid_config": {
            "client_id": "second",
            "client_secret": "second-secret",
            "issuer_url": stage.provider.issuer,
            "scopes": ["openid", "email", "groups", "offline_access"],
        },
    }
    status, made = await stage.gateway.api("POST", "/identity-providers", row)
    assert status == 201, made
    alice = people()
    assert (await alice.sign_in(stage.gateway.base, by="second"))[0] == 200
    if way == "patch":
        moved = {"issuer_url": stage.evil, "client_secret": "evil-secret", "allowed_groups": ["admins"]}
        status, told = await stage.gateway.api(
            "PATCH", "/identity-providers/second", {"openid_config": moved}
        )
        assert status == 200, told
    else:
        assert (await stage.gateway.api("DELETE", "/identity-providers/second"))[0] == 204
        evil = {**stage.plain(), "allowed_groups": ["admins"]}
        row = {
            "id": "second",
            "provider_type": "oauth2",
            "email_domains": ["example.com"],
            "oauth2_config": evil,
        }
        status, told = await stage.gateway.api("POST", "/identity-providers", row)
        assert status == 201, told
    # Asked at once whether she is one of the admins, by whoever is called "second" now.
    await alice.leads(f"{stage.gateway.base}/")
    await alice.leads(f"{stage.gateway.base}/@/signout")
    assert [seen.target for seen in stage.mallory.seen if seen.all("Authorization") or seen.body] == []
