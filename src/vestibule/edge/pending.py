"""The connections that have not come to a request's protocol yet: how long they may take, and how many there may be.

Where there are too many, the one that has waited for longest makes room, of all or of its address: who stalls
connections loses them first, and who is quick gets through meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

DEADLINE_S: Final = 10.0
"""From the first packet to the end of the handshake (Threat: CVE-2026-22045, stalled handshakes that nobody ends)."""
MOST: Final = 4096
MOST_OF_ADDRESS: Final = 512
LOOK_EVERY_S: Final = 0.5
_LEAST: Final = 64


def most_within(files: int) -> int:
    """How many so many open files allow: where a system gives few, who stalls must not have them all."""
    return max(_LEAST, min(MOST, files // 4))


class Waiting(Protocol):
    """A connection that isn't there yet."""

    def give_up(self, why: str) -> None:
        """Close it."""


class Pending:
    """All of one listener, in the order they came in."""

    def __init__(self, most: int = MOST, most_of_address: int = MOST_OF_ADDRESS) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._deadlines: dict[Waiting, float] = {}
        self._by_address: dict[str, dict[Waiting, None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(tuple(self._deadlines))

    def add(self, one: Waiting, address: str) -> None:
        """One more, from this address; empty: one that isn't counted alone."""
        loop = asyncio.get_running_loop()
        if len(self._deadlines) >= self._most:
            next(iter(self._deadlines)).give_up("too many handshakes at once")
        if address:
            others = self._by_address.setdefault(address, {})
            if len(others) >= self._most_of_address:
                next(iter(others)).give_up("too many handshakes of one address at once")
                others = self._by_address.setdefault(address, {})
            others[one] = None
        self._deadlines[one] = loop.time() + DEADLINE_S
        if self._timer is None:
            self._timer = loop.call_later(LOOK_EVERY_S, self._look)

    def discard(self, one: Waiting, address: str) -> None:
        """It has come through, or has ended."""
        self._deadlines.pop(one, None)
        others = self._by_address.get(address)
        if others is not None:
            others.pop(one, None)
            if not others:
                del self._by_address[address]

    def _look(self) -> None:
        """Give up those whose time is over; all have the same, so the first are the oldest."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._deadlines:
            one, deadline = next(iter(self._deadlines.items()))
            if deadline > now:
                break
            one.give_up("it took too long")
        self._timer = loop.call_later(LOOK_EVERY_S, self._look) if self._deadlines else None
