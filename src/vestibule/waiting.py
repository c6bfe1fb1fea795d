"""What is built before something it needs is there: it waits for it when it is used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from vestibule.core.access import token_id_in
from vestibule.core.organisation import Affiliation
from vestibule.model import Identity, User
from vestibule.providers.kit import Flow
from vestibule.service.affiliated import all_of
from vestibule.service.app_tokens import Found

if TYPE_CHECKING:
    from vestibule.back_office import BackOffice
    from vestibule.service.acme_shown import Showing

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

    async def is_live_key(self, name: str, now: float) -> bool:
        """Whether there is this key of a machine, or this token of one was not revoked. Raises StoreError."""
        back_office = await asyncio.shield(self._back_office)
        if token_id_in(name):
            return not await back_office.ended_tokens.is_ended(name, now)
        return await back_office.machine_keys.is_live(name, now)

    async def affiliations_of(self, user_id: str) -> tuple[Affiliation, ...]:
        """What this user is affiliated with. Raises StoreError."""
        return await all_of((await asyncio.shield(self._back_office)).affiliations, user_id)

    async def sweep(self, now: float, limit: int) -> int:
        """Delete old records; how many went. Raises StoreError."""
        return await (await asyncio.shield(self._back_office)).sweep(now, limit)

    async def reseal(self, _now: float, _fence: int) -> None:
        """Have the active key seal what lasts. Raises StoreError."""
        await (await asyncio.shield(self._back_office)).reseal()

    async def order(self, now: float, fence: int) -> None:
        """Order the certificates that are due. Raises StoreError."""
        await (await asyncio.shield(self._back_office)).certifying.turn(now, fence)

    async def owner_of(self, identity: Identity) -> User | None:
        """The user this account belongs to. Raises StoreError."""
        return await (await asyncio.shield(self._back_office)).people.owner_of(identity)


class Proofs:
    """What authorities are shown by http: known once it was read, and at once where nothing is ordered so."""

    def __init__(self, *, are_ordered: bool) -> None:
        self._showing: asyncio.Future[Showing] = asyncio.get_running_loop().create_future()
        self._are_ordered = are_ordered

    def come_from(self, showing: Showing) -> None:
        """Who reads them."""
        self._showing.set_result(showing)

    @property
    def are_known(self) -> bool:
        """False until it was read which tokens are ours."""
        return not self._are_ordered or (self._showing.done() and self._showing.result().is_read.is_set())

    def answer(self, token: bytes) -> bytes | None:
        """What is to be seen by who asks for this token; None: it isn't ours."""
        return self._showing.result().answer(token) if self._showing.done() else None

    async def known(self) -> None:
        """Return once they are known."""
        await (await asyncio.shield(self._showing)).is_read.wait()


def result_of(future: asyncio.Future[T]) -> T | None:
    """What it ended in, if it has and that is good."""
    is_good = future.done() and not future.cancelled() and not future.exception()
    return future.result() if is_good else None
