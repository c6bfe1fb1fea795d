"""Machines at the token endpoint: how many proofs that are none one network may send."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vestibule.core.limit import Limit
from vestibule.protocol.authorization_server import OAuthError
from vestibule.service.machines import REFUSED_MAX, WINDOW_S
from vestibule.web.machine import _counted

NOW = 1_790_000_000.0


class World:
    def __init__(self) -> None:
        self.desk: Any = SimpleNamespace(machines=SimpleNamespace(tries=Limit(REFUSED_MAX, WINDOW_S)))
        self.worked = 0

    async def ask(
        self, error: Exception | None = None, *, address: str = "192.0.2.1", at: float = NOW
    ) -> Any:
        async def work() -> Any:
            self.worked += 1
            if error is not None:
                raise error
            return "given"

        ask: Any = SimpleNamespace(visit=SimpleNamespace(address=address, now=at))
        return await _counted(self.desk, ask, work)


@pytest.fixture
def world() -> World:
    return World()


async def fail(world: World, times: int, error: OAuthError, **more: Any) -> None:
    for _ in range(times):
        with pytest.raises(OAuthError, match=error.code):
            await world.ask(error, **more)


async def test_who_sends_what_proves_nothing_waits(world):
    await fail(world, REFUSED_MAX, OAuthError("invalid_grant"))
    with pytest.raises(OAuthError, match="slow_down") as caught:
        await world.ask()
    assert (caught.value.status, world.worked) == (429, REFUSED_MAX)
    assert await world.ask(address="198.51.100.1") == "given"
    assert await world.ask(at=NOW + WINDOW_S) == "given"


async def test_who_is_given_tokens_never_waits(world):
    for _ in range(REFUSED_MAX + 1):
        assert await world.ask() == "given"


async def test_nobody_waits_for_what_was_not_their_fault(world):
    await fail(world, REFUSED_MAX + 1, OAuthError("temporarily_unavailable", status=503))
    for _ in range(REFUSED_MAX + 1):
        with pytest.raises(RuntimeError):
            await world.ask(RuntimeError())
    assert await world.ask() == "given"
