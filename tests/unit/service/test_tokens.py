"""Access tokens of the app's own."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.core.grant import EARLY_S
from vestibule.errors import ProviderUnavailable
from vestibule.model import Secret, Tokens
from vestibule.service.tokens import OwnTokens


class Source:
    """Gives flows that the driver below runs."""

    def __init__(self, name: str = "own") -> None:
        self.name = name

    def token(self, now: float):
        return self


class Driver:
    """Fetches tokens by number."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.fetched: list[str] = []
        self.life_s: float | None = 3600
        self.error: Exception | None = None

    async def run(self, flow):
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.fetched.append(flow.name)
        expires_at = None if self.life_s is None else self.clock.now() + self.life_s
        return Tokens(access_token=Secret(f"token-{len(self.fetched)}"), expires_at=expires_at)


@pytest.fixture
def driver(clock) -> Driver:
    return Driver(clock)


@pytest.fixture
def tokens(driver, clock) -> OwnTokens:
    return OwnTokens({"own": Source(), "other": Source("other")}, driver, now=clock.now)


async def test_a_token_is_fetched_once_and_kept(tokens, driver):
    for _ in range(3):
        assert (await tokens.token("own")).access_token.reveal() == "token-1"
    assert driver.fetched == ["own"]


async def test_fifty_calls_at_once_are_one_fetch(tokens, driver):
    found = await asyncio.gather(*(tokens.token("own") for _ in range(50)))
    assert {token.access_token.reveal() for token in found} == {"token-1"}
    assert driver.fetched == ["own"]


async def test_sources_are_apart(tokens, driver):
    assert await tokens.token("own") != await tokens.token("other")
    assert driver.fetched == ["own", "other"]


async def test_a_token_close_to_its_end_is_replaced(tokens, driver, clock):
    await tokens.token("own")
    clock.move(3600 - EARLY_S - 1)
    assert (await tokens.token("own")).access_token.reveal() == "token-1"
    clock.move(1)
    assert (await tokens.token("own")).access_token.reveal() == "token-2"


async def test_a_short_lived_token_is_given_out_for_half_its_life(tokens, driver, clock):
    driver.life_s = 20
    for expected, wait_s in (("token-1", 9), ("token-1", 1), ("token-2", 0)):
        assert (await tokens.token("own")).access_token.reveal() == expected
        clock.move(wait_s)


async def test_a_token_without_end_is_kept_until_it_is_rejected(tokens, driver, clock):
    driver.life_s = None
    first = await tokens.token("own")
    clock.move(10**7)
    assert await tokens.token("own") == first
    assert (await tokens.token("own", rejected=first.access_token)).access_token.reveal() == "token-2"


async def test_fifty_rejections_of_one_token_are_one_fetch(tokens, driver):
    first = await tokens.token("own")
    found = await asyncio.gather(*(tokens.token("own", rejected=first.access_token) for _ in range(50)))
    assert {token.access_token.reveal() for token in found} == {"token-2"}
    assert len(driver.fetched) == 2


async def test_an_api_that_rejects_everything_has_one_token_fetched_in_ten_seconds(tokens, driver):
    first = await tokens.token("own")
    second = await tokens.token("own", rejected=first.access_token)
    for _ in range(20):
        assert await tokens.token("own", rejected=second.access_token) == second
    assert len(driver.fetched) == 2


async def test_a_provider_that_is_down_is_said_and_tried_again(tokens, driver):
    driver.error = ProviderUnavailable("down")
    with pytest.raises(ProviderUnavailable):
        await tokens.token("own")
    driver.error = None
    assert (await tokens.token("own")).access_token.reveal() == "token-1"
