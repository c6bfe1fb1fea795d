"""Several processes' buses in one: made on a channel, waited for, closed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.helpers.vault import RING
from vestibule.observe.log import Log
from vestibule.store.bus import Bus, StampLike, Transport

KIND = "session"


class Heard(Bus):
    """A bus with one listener, which keeps what it hears, and a log that is kept."""

    def __init__(self, transport: Transport, **options: Any) -> None:
        self.text = io.StringIO()
        super().__init__(transport, options.pop("ring", RING), Log(self.text, level="debug"), **options)
        self.heard: list[str] = []
        self.subscribe(KIND, self.heard.append)

    @property
    def is_good(self) -> bool:
        """Whether a cache of this process may be trusted now."""
        return self.is_current(time.monotonic())

    @property
    def peers(self) -> int:
        """How many others are heard."""
        return len(self._hearing.peers)

    def knows_all(self) -> None:
        """Whoever is there was heard: so nobody need be waited for who wasn't."""
        self._hearing._since_mono = -math.inf


async def until(is_so: Callable[[], object], what: str = "") -> None:
    """Returns once it is so; fails the test when it never is."""
    for _ in range(2_000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"never: {what}")


@contextlib.asynccontextmanager
async def together(
    open_transport: Callable[[], Transport], count: int, *, stamp: StampLike | None = None
) -> AsyncIterator[list[Heard]]:
    """So many, each current and heard by all others, with nothing heard yet."""
    buses = [Heard(open_transport(), stamp=stamp) for _ in range(count)]
    try:
        for bus in buses:
            bus.start()
        for bus in buses:
            await until(lambda bus=bus: bus.is_good and bus.peers == count - 1, "current, and heard by all")
            bus.knows_all()
        for bus in buses:  # whatever was still to be said of those who came has been
            bus.publish("nothing", "")
            await bus.settle()
        for bus in buses:
            bus.heard.clear()
        yield buses
    finally:
        for bus in buses:
            await bus.close()
