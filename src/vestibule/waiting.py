"""What is built before something it needs is there: it waits for it when it is used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from vestibule.model import Identity, User
from vestibule.providers.kit import Flow
from vestibule.service.app_tokens import Found

if TYPE_CHECKING:
    from vestibule.back_office import BackOffice

T = TypeVar("T")


class Late:
    """The back office, for those who are built before it."""

    def __init__(self, back_office: asyncio.Future[BackOffice]) -> None:
        self._back_office = back_office

    async def run(self, flow: Flow[T], *, trusted: bool = True, about: str = "") -> T:
        """Run the flow, once the back office is there."""
        driver = (await asyncio.shield(self._back_office)).driver
        return await driver.run(flow, trusted=trusted, about=about)

    async def find_token(self, token_hash: bytes, now: float) -> Found | None:
        """The app token with this hash, if it is good. Raises StoreError."""
        return await (await asyncio.shield(self._back_office)).app_tokens.find(token_hash, now)

    async def sweep(self, now: float, limit: int) -> int:
        """Delete old records; how many went. Raises StoreError."""
        return await (await asyncio.shield(self._back_office)).sweep(now, limit)

    async def reseal(self, _now: float, _fence: int) -> None:
        """Have the active key seal what lasts. Raises StoreError."""
        await (await asyncio.shield(self._back_office)).reseal()

    async def owner_of(self, identity: Identity) -> User | None:
        """The user this account belongs to. Raises StoreError."""
        return await (await asyncio.shield(self._back_office)).people.owner_of(identity)


def result_of(future: asyncio.Future[T]) -> T | None:
    """What it ended in, if it has and that is good."""
    is_good = future.done() and not future.cancelled() and not future.exception()
    return future.result() if is_good else None
