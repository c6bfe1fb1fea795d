"""Another configuration put in force while the program runs: files are read, checked, compared, and taken whole.

What can't be taken is refused with its lines, and what is in force stays. Of what changed the trail and the log have
names alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from vestibule.config.compile import Compiled
from vestibule.config.shown import masked_text
from vestibule.core.event import CONFIGURATION_REFUSED, CONFIGURATION_RELOADED, REFUSED, Event
from vestibule.errors import ConfigError, Conflict, Invalid, StoreError
from vestibule.observe.metrics import RELOAD_OK, RELOADS, Metrics
from vestibule.service.events import Events
from vestibule.service.in_force import InForce, Read

CHANGED: Final = "The files are others than were looked at: look at the difference again."
_TOLD_MAX: Final = 20
"""Faults that the trail keeps of one reload."""


class Refused(Invalid):
    """The files can't be put in force; what was, stays."""

    code = "configuration_refused"


class Reloading:
    """Asked by signal, command, API and page. One at a time."""

    def __init__(
        self,
        in_force: InForce,
        apply: Callable[[Compiled], Awaitable[None]],
        events: Events,
        metrics: Metrics,
    ) -> None:
        """`apply` puts a configuration in force, in all processes or in none, and raises ConfigError or StoreError."""
        self._in_force = in_force
        self._apply = apply
        self._events = events
        self._metrics = metrics
        self._turn = asyncio.Lock()
        self._waiting = 0

    @property
    def is_busy(self) -> bool:
        """True until all who asked are answered."""
        return bool(self._waiting)

    async def reload(self, *, expected: str = "") -> Read:
        """What was read and is in force on return.

        `expected`: the fingerprint of the difference that was looked at, where one was. Raises Refused; Conflict
        (`changed`, 412) where the files say something else by now; StoreError.
        """
        self._waiting += 1
        try:
            async with self._turn:
                return await self._reload(expected)
        finally:
            self._waiting -= 1

    async def _reload(self, expected: str) -> Read:
        read = await self._in_force.read()
        if expected and read.difference.fingerprint != expected:
            raise Conflict(CHANGED, code="changed", status=412)
        faults = (*read.difference.faults, *read.difference.restart)
        if faults or read.compiled is None:
            raise await self._refused(faults)
        try:
            await self._apply(read.compiled)
        except ConfigError as exc:
            raise await self._refused(exc.faults) from None
        except StoreError:
            await self._refused(("the store can't be reached",))
            raise
        self._count("ok")
        changed = {name: list(names) for name, names in read.changed.items()}
        await self._events.tell(Event(id="", at=0.0, action=CONFIGURATION_RELOADED, detail=changed))
        return read

    def _count(self, outcome: str) -> None:
        self._metrics.meter.add(RELOADS, (outcome,))
        self._metrics.show(RELOAD_OK, lambda: {(): float(outcome == "ok")})

    async def _refused(self, faults: tuple[str, ...]) -> Refused:
        """The error to raise; it is told of first."""
        told = tuple(map(masked_text, faults))
        self._count("refused")
        await self._events.tell(
            Event(
                id="",
                at=0.0,
                action=CONFIGURATION_REFUSED,
                outcome=REFUSED,
                detail={"faults": list(told[:_TOLD_MAX])},
            )
        )
        return Refused(tuple(("", fault) for fault in told))
