"""Signing in with one's own web address: the real fetcher against stand-ins of people's sites, and the page that asks."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from tests.real.standin_indieauth import IndieWeb
from tests.real.visitor import new_visitor
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused
from vestibule.fetch import AiohttpTransport, Fetcher, Incoming, Request
from vestibule.model import Identity, Secret
from vestibule.protocol.address import Networks
from vestibule.providers.base import Answer, Start
from vestibule.providers.indieauth import IndieAuth, IndieAuthConfig
from vestibule.service.flow import Driver
from vestibule.service.keys import KeySets

pytestmark = pytest.mark.real

REDIRECT = "https://app.example/@indieauth/callback"
VERIFIER = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")


class OnOnePort(AiohttpTransport):
    """Sends everything as plain HTTP to the port of the stand-in; the addresses were checked before."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Incoming]:
        headers = {**request.headers, "host": request.url.host or ""}
        url = request.url.with_scheme("http").with_port(self._port)
        there = msgspec.structs.replace(request, url=url, headers=headers)
        async with super().send(there) as incoming:
            yield incoming


class Story:
    """The provider's client and the web around it."""

    def __init__(self, web: IndieWeb, driver: Driver) -> None:
        self.web = web
        self.driver = driver
        self.client: IndieAuth = IndieAuthConfig(name="indieauth").open()

    async def start(self, me: str) -> tuple[str, dict[str, str]]:
        url = await self.driver.run(
            self.client.start(
                Start(redirect_uri=REDIRECT, state="st", nonce="", verifier=VERIFIER, hints={"me": me})
            )
        )
        return url.partition("?")[0], dict(parse_qsl(urlsplit(url).query))

    async def finish(self, me: str, params: dict[str, str]) -> Identity:
        answer = Answer(params=params, redirect_uri=REDIRECT, verifier=VERIFIER, now=time.time(), kept=me)
        signed_in = await self.driver.run(self.client.finish(answer))
        assert signed_in.identity is not None
        return signed_in.identity

    async def sign_in(self, me: str) -> Identity:
        _, query = await self.start(me)
        return await self.finish(me, self.web.approve(query))


@pytest.fixture
async def story(api) -> AsyncIterator[Story]:
    web = IndieWeb()
    server = await api(answer=web.answer)

    async def resolve(host: str, port: int) -> Any:
        assert host.endswith(".example")
        return (ipaddress.ip_address("127.0.0.1"),)

    fetcher = Fetcher(
        transport=OnOnePort(server.port), resolve=resolve, allow=Networks.parse(("127.0.0.0/8",))
    )
    yield Story(web, Driver(fetcher, KeySets(fetcher.get)))
    await fetcher.close()


@pytest.mark.parametrize(
    ("typed", "me"),
    [
        ("ann.example", "https://ann.example/"),
        ("https://ANN.example", "https://ann.example/"),
        ("old.example", "https://old.example/"),
    ],
)
async def test_a_person_comes_in_by_her_web_address(story, typed, me):
    story.web.iss = "" if "old" in typed else story.web.iss
    found = await story.sign_in(typed)
    assert (found.issuer, found.subject, found.login, found.name) == ("indieauth", me, me, "Ann")
    assert found.email == ""


async def test_an_address_that_redirects_leads_to_the_one_it_leads_to(story):
    story.web.vouches_for = "https://ann.example/"
    assert (await story.sign_in("moved.example")).subject == "https://ann.example/"


async def test_a_code_is_good_once(story):
    _, query = await story.start("ann.example")
    params = story.web.approve(query)
    await story.finish("ann.example", params)
    with pytest.raises(ProviderRefused):
        await story.finish("ann.example", params)


async def test_a_server_that_vouches_for_somebody_elses_address_is_not_believed(story):
    story.web.vouches_for = "https://ann.example/"
    story.web.iss = ""
    _, query = await story.start("mallory.example")
    with pytest.raises(ProviderInvalid) as caught:
        await story.finish("mallory.example", story.web.approve(query))
    assert caught.value.code == "wrong_subject"


async def test_an_answer_under_another_issuers_name_is_refused_before_the_code_goes_out(story):
    story.web.iss = "https://evil.example/"
    _, query = await story.start("ann.example")
    with pytest.raises(ProviderInvalid) as caught:
        await story.finish("ann.example", story.web.approve(query))
    assert caught.value.code == "answer_iss"
    assert story.web.counts["POST auth.example/auth"] == 0


async def test_an_address_where_nothing_is_is_told_as_such(story):
    with pytest.raises(ClientError) as caught:
        await story.start("https://ann.example/nothing")
    assert caught.value.code == "address_unreachable"


CONFIGURATION = """
gateway { http = ["127.0.0.1:{port}"] }
provider "indieauth" {}
host "localhost" {
  backend = "internal:echo"
  sign_in = ["indieauth"]
  access { allow = ["anyone"] }
}
"""


@pytest.mark.parametrize(
    ("me", "status", "says"),
    [
        ("", 200, 'name="me"'),
        ("ann", 422, 'name="me"'),
        ("https://127.0.0.1/", 422, 'name="me"'),
        ("http://localhost/", 422, 'value="http://localhost/"'),
        ("https://localhost/", 422, 'name="me"'),
        ("<script>alert(1)</script>", 422, "&lt;script&gt;"),
    ],
)
async def test_the_gateway_asks_for_the_address_and_calls_nothing_private(gateway, me, status, says):
    running = gateway(CONFIGURATION)
    async with new_visitor() as visitor:
        url = f"http://localhost:{running.port}/@indieauth/signin"
        async with visitor.get(url, params={"me": me, "rd": "/x"} if me else {"rd": "/x"}) as page:
            text = await page.text()
    assert page.status == status, text
    assert says in text
    assert "<script" not in text
    assert 'name="rd" value="/x"' in text
