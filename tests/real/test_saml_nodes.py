"""SAML where several processes are one gateway: a request of one is answered at another, and an answer is good once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.nodes import SESSION_KEY
from tests.real.postgres import Database
from tests.real.realm_saml import Form, Page, Person, form_in, new_pair
from tests.real.simplesaml import SimpleSaml, Somebody, told

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

NAME = "app.localhost"
HCL = """
gateway {
  http = ["ADDRESS:PORT"]
  WORKERS
}

STORE

provider "corp" {
  type          = "saml"
  metadata_url  = "METADATA"
  email_domains = ["example.com"]
  private_key   = "${file("FOLDER/saml.key")}"
  certificate   = "${file("FOLDER/saml.pem")}"
}

host "app.localhost" {
  backend = "internal:echo"
  sign_in = ["corp"]
  access {
    allow = ["anyone"]
  }
}
"""
NODES = ("127.0.0.1", "127.0.0.2")
"""Two machines, which a browser takes for one: the name and the port are the same."""


class Balanced(AbstractResolver):
    """What balances load by DNS: each connection goes to the next node."""

    def __init__(self, nodes: Iterator[str]) -> None:
        self._nodes = nodes

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        where = next(self._nodes)
        return [ResolveResult(hostname=host, host=where, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return None


def browser_at(nodes: Iterator[str]) -> aiohttp.ClientSession:
    """A browser profile; each of its requests is a connection of its own, to the next of the nodes."""
    connector = aiohttp.TCPConnector(
        resolver=Balanced(nodes), force_close=True, use_dns_cache=False, family=socket.AF_INET
    )
    jar = aiohttp.CookieJar(unsafe=True)
    timeout = aiohttp.ClientTimeout(total=60)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=jar, timeout=timeout, requote_redirect_url=False
    )


class Waiting(Somebody):
    """One whose browser does not send the provider's answer on."""

    async def _on(self, page: Page) -> Page:
        if page.status == 200 and "SAMLResponse" in page.text:
            self.sent.append(form_in(page.text))
        return page


class Stage:
    """The gateways, in front of them nothing, and the provider that knows them as one service."""

    def __init__(
        self, gateways: list[Gateway], provider: SimpleSaml, people: contextlib.AsyncExitStack
    ) -> None:
        self.gateways = gateways
        self.provider = provider
        self.base = f"http://{NAME}:{gateways[0].port}"
        self._people = people

    async def person(self, *nodes: str, like: type[Somebody] = Somebody) -> Somebody:
        """Somebody with a new browser, whose requests go to these nodes in turn."""
        visitor = await self._people.enter_async_context(browser_at(itertools.cycle(nodes)))
        return like(self.base, visitor)

    async def copied(self, person: Person, node: str) -> Somebody:
        """Somebody who has all cookies of this person's."""
        other = await self.person(node)
        cookies = person.visitor.cookie_jar.filter_cookies(URL(f"{self.base}/@corp/callback"))
        other.visitor.cookie_jar.update_cookies(
            {key: one.value for key, one in cookies.items()}, URL(self.base)
        )
        return other

    async def answer_of(self, person: Somebody) -> Form:
        """The provider's answer to their sign-in, which has not been sent on."""
        page = await person.sign_in(path="/@corp/signin?rd=/deep")
        assert page.url.port == self.provider.port
        return person.sent[-1]


@pytest.fixture
def provider(ports: Ports, servers: contextlib.ExitStack, tmp_path: Path) -> SimpleSaml:
    provider = SimpleSaml(ports.take(), tmp_path / "simplesamlphp")
    servers.callback(provider.stop)
    provider.change(sign__logout=True, validate__logout=True)
    provider.wait()
    return provider


@pytest.fixture
async def people() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as people:
        yield people


Start = Callable[..., Gateway]


@pytest.fixture
def start(
    provider: SimpleSaml, ports: Ports, servers: contextlib.ExitStack, tmp_path: Path, ca_file: Path
) -> Start:
    """Starts a gateway at an address; all of them have one port."""
    pair, port = new_pair(), ports.take()
    (tmp_path / "saml.key").write_text(pair.key, "ascii")
    (tmp_path / "saml.pem").write_text(pair.certificate, "ascii")

    def start(address: str, *, store: str = "", workers: str = "") -> Gateway:
        text = HCL
        for name, value in {
            "ADDRESS:PORT": f"{address}:{port}",
            "WORKERS": workers,
            "STORE": store,
            "METADATA": provider.metadata_url,
            "FOLDER": str(tmp_path),
        }.items():
            text = text.replace(name, value)
        folder = tmp_path / f"gateway-{address}"
        folder.mkdir(mode=0o700)
        env = {"VESTIBULE_SESSION_KEY": SESSION_KEY}
        gateway = Gateway(text, folder, port=port, ca_file=ca_file, env=env)
        servers.callback(
            lambda: (gateway.stop(), print(f"--- gateway at {address}\n{gateway.process.shown}"))
        )
        gateway.process.wait_port(port, host=address)
        gateway.process.wait_log('"ready"')
        return gateway

    return start


@pytest.fixture
async def nodes(
    start: Start, provider: SimpleSaml, postgres: Database, people: contextlib.AsyncExitStack
) -> Stage:
    """Two gateways on one PostgreSQL."""
    store = f'store {{\n  url = "{postgres.url}"\n}}'
    gateways = [await asyncio.to_thread(start, address, store=store) for address in NODES]
    stage = Stage(gateways, provider, people)
    await asyncio.to_thread(provider.register, f"{stage.base}/@corp/metadata")
    return stage


@pytest.mark.parametrize("first", [0, 1])
async def test_every_step_of_a_sign_in_may_be_another_node_s(nodes: Stage, first: int) -> None:
    """The request, the answer's POST and the GET that completes it; then they are known to both, until they leave."""
    alice = await nodes.person(NODES[first], NODES[1 - first], like=Somebody)
    page = await alice.sign_in(path="/@corp/signin?rd=/deep")
    assert told(page)["user-email"] == "alice@example.com"
    assert page.url.path == "/deep"
    for _ in NODES:
        assert (await alice.who()) is not None
    await alice.get("/@/signout")
    for _ in NODES:
        assert await alice.who() is None


async def test_an_answer_is_good_once_on_all_nodes(nodes: Stage) -> None:
    one, other = NODES
    alice = await nodes.person(one, like=Waiting)
    answer = await nodes.answer_of(alice)
    same, thief = await nodes.copied(alice, one), await nodes.copied(alice, other)
    assert told(await same.post(answer))["user-email"] == "alice@example.com"
    page = await thief.post(answer)
    assert page.status == 400, page.text
    await asyncio.to_thread(nodes.gateways[1].process.wait_log, '"code":"flow_replayed"')
    for node in NODES:
        again = await nodes.copied(thief, node)
        assert await again.who() is None


async def test_one_of_many_that_come_at_once_is_taken(nodes: Stage) -> None:
    alice = await nodes.person(NODES[0], like=Waiting)
    answer = await nodes.answer_of(alice)
    rivals = [await nodes.copied(alice, node) for node in NODES * 4]
    pages = await asyncio.gather(*(rival.post(answer) for rival in rivals))
    assert sorted(page.status for page in pages) == [200] + [400] * 7
    known = [await rival.who() for rival in rivals]
    assert sum(who is not None for who in known) == 1


async def test_a_logout_of_the_provider_at_one_node_is_one_at_the_other(nodes: Stage) -> None:
    one, other = NODES
    alice = await nodes.person(one)
    await alice.sign_in()
    there = await nodes.copied(alice, other)
    for _ in range(3):  # known there, so that what is told next is not what was just read
        assert await there.who() is not None
    end = f"{nodes.provider.url}/saml2/idp/initSLO.php?RelayState=/resources/default.css"
    page = await alice.get(end)
    assert page.status == 200, page.text
    assert await there.who() is None


async def test_workers_are_one_gateway(
    start: Start, provider: SimpleSaml, people: contextlib.AsyncExitStack
) -> None:
    gateway = await asyncio.to_thread(start, NODES[0], workers="workers = 2")
    stage = Stage([gateway], provider, people)
    await asyncio.to_thread(provider.register, f"{stage.base}/@corp/metadata")
    for login in ("alice", "bob") * 3:
        person = await stage.person(NODES[0], like=Waiting)
        await person.sign_in(login, "/@corp/signin?rd=/deep")
        answer = person.sent[-1]
        rivals = [await stage.copied(person, NODES[0]) for _ in range(6)]
        pages = await asyncio.gather(*(rival.post(answer) for rival in rivals))
        assert sorted(page.status for page in pages) == [200] + [400] * 5
        [taken] = [rival for rival, page in zip(rivals, pages, strict=True) if page.status == 200]
        for _ in range(8):  # so many connections that each worker gets some
            assert told(await taken.get("/"))["user-email"] == f"{login}@example.com"
        await taken.get("/@/signout")
        for _ in range(8):
            assert await taken.who() is None
