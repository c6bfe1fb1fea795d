"""How providers do, as it is shown: what was seen, and what is asked while somebody looks."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.unit.web.api.desk import OKTA, ApiDesk
from vestibule.errors import ProviderUnavailable, StoreError
from vestibule.fetch import Answer
from vestibule.service.flow import Driver
from vestibule.service.keys import KeySets
from vestibule.service.provider_states import ASK_EVERY_S, ProviderStates

ISSUER = "https://example.okta.com"


@pytest.fixture
def desk() -> ApiDesk:
    return ApiDesk()


class Published:
    """A provider's documents."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_away = False

    async def get(self, url: str, *, via: str = "") -> Answer:
        self.asked.append(url)
        if self.is_away:
            raise ProviderUnavailable("it can't be reached")
        document: dict[str, Any] = {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/keys",
            "keys": [{"kid": "1"}, {"kid": "2"}],
        }
        return Answer(200, {}, msgspec.json.encode(document), url)


def states(desk: ApiDesk, published: Published) -> ProviderStates:
    key_sets = KeySets(published.get, mono=lambda: desk.now)
    driver = Driver(None, key_sets)  # type: ignore[arg-type]  # nothing is fetched but documents
    return ProviderStates(desk.registry, driver, key_sets, {}, now=lambda: desk.now)


async def asked(one: ProviderStates) -> None:
    """Have all that is being asked answered."""
    while one._asking:
        await asyncio.gather(*one._asking)


async def test_a_provider_of_the_database_is_asked_once_while_somebody_looks(desk: ApiDesk) -> None:
    published = Published()
    await desk.registry.create(OKTA)
    one = states(desk, published)
    [first] = await one.all()
    assert (first.id, first.source, first.discovery, first.keys) == ("okta", "database", "unasked", 0)
    assert first.hosts == ("app.example.com",)
    assert first.redirect_urls == ("https://app.example.com/@okta/callback",)
    await asked(one)
    [second] = await one.all()
    assert (second.discovery, second.keys, second.last_error) == ("ok", 2, "")
    assert second.discovery_at is not None
    assert second.last_ok_at is not None
    await asked(one)
    assert published.asked == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys"]


async def test_one_that_is_away_is_asked_once_a_minute(desk: ApiDesk) -> None:
    published = Published()
    published.is_away = True
    await desk.registry.create(OKTA)
    one = states(desk, published)
    for _ in range(5):
        await one.all()
        await asked(one)
    [state] = await one.all()
    assert (state.discovery, state.last_error) == ("failed", "it can't be reached")
    assert len(published.asked) == 1
    published.is_away = False
    desk.now += ASK_EVERY_S
    await one.all()
    await asked(one)
    assert (await one.all())[0].discovery == "ok"


async def test_one_that_is_switched_off_is_shown_and_not_asked(desk: ApiDesk) -> None:
    published = Published()
    await desk.registry.create(OKTA)
    await desk.registry.disable("okta")
    one = states(desk, published)
    [state] = await one.all()
    await asked(one)
    assert (state.enabled, state.hosts) == (False, ())
    assert published.asked == []


async def test_without_the_store_those_of_the_configuration_are_shown(desk: ApiDesk, monkeypatch) -> None:
    async def away() -> tuple[()]:
        raise StoreError("away")

    monkeypatch.setattr(desk.registry._rows, "all", away)
    assert await states(desk, Published()).all() == ()
