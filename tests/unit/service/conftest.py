"""What the tests of services stand on: a clock that is moved, a store that can be away."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.errors import StoreError
from vestibule.store.changes import Changes
from vestibule.store.memory import Store


class Clock:
    """Wall clock and monotonic clock, moved together by hand."""

    def __init__(self) -> None:
        self.now_at = 1_800_000_000.0
        self.start_at = self.now_at

    def now(self) -> float:
        return self.now_at

    def mono(self) -> float:
        return 5000.0 + self.now_at - self.start_at

    def move(self, seconds: float) -> None:
        self.now_at += seconds

    async def sleep(self, seconds: float) -> None:
        """Time passes as soon as somebody waits for it."""
        self.move(seconds)


class Away:
    """A store's part whose methods raise StoreError while it is away, and are counted while it is not."""

    def __init__(self, part: object) -> None:
        self._part = part
        self.is_away = False
        self.calls: list[str] = []

    def __getattr__(self, name: str):
        method = getattr(self._part, name)

        async def call(*args, **kwargs):
            if self.is_away:
                raise StoreError("The store is away.")
            self.calls.append(name)
            return await method(*args, **kwargs)

        return call


class Alone:
    """Tries of a store that takes its time, and knows nothing of what was tried: this process counts alone."""

    async def add(self, *_: object) -> int:
        await asyncio.sleep(0)
        return 1

    async def count(self, *_: object) -> tuple[int, float]:
        await asyncio.sleep(0)
        return 0, 0.0


class Heartbeats(Changes):
    """The in-process bus, whose heartbeats can stop, and which counts how often somebody waited for all to have heard."""

    is_beating = True
    settled = 0

    async def settle(self) -> None:
        self.settled += 1

    def is_current(self, now_mono: float) -> bool:
        return self.is_beating


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def changes() -> Heartbeats:
    return Heartbeats()


@pytest.fixture
def away(store) -> Away:
    """The store's sessions, which can be away."""
    return Away(store.sessions)
