"""Keycloak ends sessions: by its admin, by its own sign-out page, by the browser's frame. So do we."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Browser as Chromium
from yarl import URL

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.keycloak import Keycloak, Realm, form_of
from tests.real.test_logout import Somebody, echo, is_closed
from tests.real.visitor import new_visitor
from vestibule.service.logout import SAME_S

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("keycloak"), pytest.mark.timeout(360)]

HCL = """
gateway {
  http = ["127.0.0.1:{port}"]
}
provider "kc" {
  type          = "keycloak"
  base_url      = "SERVER"
  realm         = "REALM"
  client_id     = "app"
  client_secret = "app-secret"
}
host "app.localhost" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["kc"]
  access { allow = ["anyone"] }
}
host "localhost" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["kc"]
  access { allow = ["anyone"] }
}
"""


_WAYS = ("back", "front")


class Somebodys(Somebody):
    """A browser profile that fills in Keycloak's form."""

    async def sign_in(self, who: str = "alice", host: str = "app.localhost") -> None:
        async with self.session.get(self.url("/@kc/signin", host)) as page:
            text = await page.text()
        if "<form" not in text:  # signed in there already, so straight back
            return
        form = {"username": who, "password": who}
        async with self.session.post(URL(form_of(text), encoded=True), data=form) as answer:
            assert answer.status == 200, await answer.text()

    async def is_in(self, host: str = "app.localhost", port: int = 0) -> bool:
        return await super().is_in(host, port)

    @contextlib.asynccontextmanager
    async def socket(self, host: str = "app.localhost") -> AsyncIterator[Any]:
        async with super().socket(host) as socket:
            yield socket


class Stage(NamedTuple):
    """A gateway before an app, and a realm that tells it of sessions that end."""

    gateway: Gateway
    realm: Realm
    visitors: contextlib.AsyncExitStack

    async def person(self) -> Somebodys:
        """Somebody with a new browser."""
        visitor = await self.visitors.enter_async_context(new_visitor(secure=self.realm.server.url))
        return Somebodys(visitor, self.gateway.port)


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest,
    keycloak: Keycloak,
    gateway: Callable[..., Gateway],
    api: Callable[..., Any],
    ports: Ports,
) -> AsyncIterator[Stage]:
    port, app = ports.take(), await api(answer=echo)
    way = getattr(request, "param", "back")
    # Nobody but a browser finds app.localhost; whichever host is told, all of them hear.
    back = {"backchannel.logout.url": f"http://localhost:{port}/@kc/backchannel"}
    front = {"frontchannel.logout.url": f"http://app.localhost:{port}/@kc/frontchannel"}
    required = {f"{name}channel.logout.session.required": str(way != "subject").lower() for name in _WAYS}
    hosts = [f"http://{host}:{port}" for host in ("app.localhost", "localhost")]
    realm = await asyncio.to_thread(
        keycloak.realm,
        *(f"{host}/@kc/callback" for host in hosts),
        *(f"{host}/@/signedout" for host in hosts),
        logout=way,
        attributes={**(front if way == "front" else back), **required},
    )
    text = HCL.replace("SERVER", keycloak.url).replace("REALM", realm.name).replace("BACKEND", str(app.port))
    async with contextlib.AsyncExitStack() as visitors:
        yield Stage(gateway(text, port=port), realm, visitors)


async def test_a_session_that_an_admin_ends_is_over_here_with_its_sockets_and_no_other(stage: Stage) -> None:
    laptop, phone, bob = await stage.person(), await stage.person(), await stage.person()
    await phone.sign_in("alice")
    await bob.sign_in("bob")
    await asyncio.sleep(1.1)  # Keycloak tells of sessions to the second, and the newest is meant
    await laptop.sign_in("alice")
    async with laptop.socket() as socket, phone.socket() as other:
        await asyncio.to_thread(stage.realm.end_session, "alice")
        assert await is_closed(socket)
        await other.send_str("still here")
        assert await other.receive_str() == "still here"
    assert not await laptop.is_in()
    assert await phone.is_in()
    assert await bob.is_in()


@pytest.mark.parametrize("stage", ["subject"], indirect=True, ids=[""])
async def test_who_is_signed_out_of_everything_there_is_out_on_every_host_here(stage: Stage) -> None:
    """With *session required* off: with it on, Keycloak tells of one session alone."""
    laptop, phone, bob = await stage.person(), await stage.person(), await stage.person()
    await laptop.sign_in("alice")
    await laptop.sign_in("alice", "localhost")
    await phone.sign_in("alice")
    await bob.sign_in("bob")
    await asyncio.to_thread(stage.realm.end_sessions, "alice")
    for person, host in ((laptop, "app.localhost"), (laptop, "localhost"), (phone, "app.localhost")):
        assert not await person.is_in(host)
    assert await bob.is_in()
    await asyncio.sleep(SAME_S + 1.1)  # until then it might be a sign-in that was under way
    await laptop.sign_in("alice")
    assert await laptop.is_in()


async def test_who_leaves_by_one_host_is_out_of_the_other(stage: Stage) -> None:
    """Each host has a session of its own; that they rest on one there, Keycloak says."""
    alice = await stage.person()
    await alice.sign_in("alice")
    await alice.sign_in("alice", "localhost")
    headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
    async with alice.session.get(alice.url("/@/signout", "app.localhost"), headers=headers) as answer:
        assert answer.url.path == "/@/signedout"
    assert not await alice.is_in()
    assert not await alice.is_in("localhost")


async def test_who_signs_out_on_one_device_stays_signed_in_there_on_another(stage: Stage) -> None:
    """Keycloak revokes, with one token, those of all devices: it is not asked to."""
    laptop, phone = await stage.person(), await stage.person()
    await phone.sign_in("alice")
    await laptop.sign_in("alice")
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
    target = laptop.url("/@/signout", "app.localhost")
    async with laptop.session.get(target, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 303  # and not a step further: the browser is closed
    async with asyncio.timeout(60):
        while await asyncio.to_thread(stage.realm.sessions, "alice") != 1:
            await asyncio.sleep(0.1)
    assert not await laptop.is_in()
    assert await phone.is_in()
    await asyncio.sleep(1.0)
    assert await asyncio.to_thread(stage.realm.sessions, "alice") == 1


@pytest.mark.parametrize("stage", ["front"], indirect=True, ids=[""])
async def test_a_frame_on_keycloaks_sign_out_page_ends_the_session_here(
    stage: Stage, browser: Chromium
) -> None:
    """In Chromium, which sends no cookie of ours into the frame of another site."""
    page = await browser.new_page()
    await page.goto(f"http://app.localhost:{stage.gateway.port}/@kc/signin?rd=/")
    await page.fill("#username", "alice")
    await page.fill("#password", "alice")
    await page.click("#kc-login")
    await page.wait_for_url(f"http://app.localhost:{stage.gateway.port}/")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    await page.goto(f"{stage.realm.issuer}/protocol/openid-connect/logout")
    async with page.expect_response(lambda answer: "/@kc/frontchannel" in answer.url) as framed:
        await page.click("#kc-logout")
    assert (await framed.value).status == 200
    assert refused == []
    await page.goto(f"http://app.localhost:{stage.gateway.port}/")
    assert page.url.startswith(stage.realm.issuer)  # its form again
