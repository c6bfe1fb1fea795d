"""The fixtures of the tests that need the whole house."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from tests.ports import Ports
from tests.real.house import Browser, House, build
from tests.real.keycloak import Keycloak
from tests.real.pebble import Authorities
from tests.real.served import Person, Served
from tests.real.visitor import new_visitor


@pytest.fixture
def authorities(servers, ports, ca, tmp_path) -> Authorities:
    return Authorities(servers, ports, ca, tmp_path)


@pytest.fixture
def provider_options() -> dict[str, object]:
    """What a test's provider is told besides its client; a test overrides it by parametrisation."""
    return {}


@pytest.fixture
async def house(ports, api, openid, gateway, provider_options) -> AsyncIterator[House]:
    """The gateway with the real provider, an app behind it, and an API to call."""
    house = await build(ports=ports, api=api, openid=openid, gateway=gateway, **provider_options)
    async with new_visitor(user_agent="app/1") as house.client:
        yield house


@pytest.fixture
async def browser_of_alice(house: House) -> AsyncIterator[Browser]:
    """A browser in which Alice is signed in."""
    async with house.browser() as browser:
        page = await browser.sign_in("alice")
        assert page.status == 200, page.text
        yield browser


@pytest.fixture
async def visitor(house: House) -> AsyncIterator[Browser]:
    """A browser that never was here."""
    async with house.browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def keycloak(ports: Ports) -> Iterator[Keycloak]:
    """Keycloak, running until the end of the run: its tests are one xdist group, so that there is only one."""
    server = Keycloak(ports.take())
    try:
        server.wait()
        yield server
    finally:
        server.process.stop()


@pytest.fixture
async def people() -> AsyncIterator[Callable[[], Person]]:
    """Somebody with a browser of their own, each time."""
    sessions: list[aiohttp.ClientSession] = []

    def somebody() -> Person:
        sessions.append(new_visitor())
        return Person(sessions[-1])

    yield somebody
    for session in sessions:
        await session.close()


@pytest.fixture
def served(servers: contextlib.ExitStack, state_dir: Path) -> Callable[[int, Mapping[str, str]], Served]:
    """Starts `vestibule serve` without a file, waited for: `served(port, {variables})`; each in its own directory."""
    count = itertools.count()

    def start(port: int, environ: Mapping[str, str]) -> Served:
        one = Served(state_dir / str(next(count)), port, environ)
        servers.callback(lambda: (print(f"--- served on {port}\n{one.process.shown}"), one.process.stop()))
        return one.wait()

    return start
