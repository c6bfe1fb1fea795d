"""Whether one process can do all its work, and what is in the way; and its way out, in which it can't any more.

========================  =========================================================================
code                      in the way is
========================  =========================================================================
`draining`                it was told to stop: answers under way end, and no others should come here
`starting`                what requests don't need at once is still being loaded
`not_listening`           not every listener accepts yet
`providers_unread`        the providers of the database were not read yet, and a host takes them
`workers_absent`          no worker is there: the control process alone serves nobody
`store_unavailable`       the store does not answer: that of sessions, or the one beside it
========================  =========================================================================

The first that holds is told. With workers each answers for itself at its own listeners; the control process, whose
admin listeners operators ask, is ready when one worker at least is connected to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from vestibule.errors import VestibuleError
from vestibule.observe import clock
from vestibule.proxy.listener import Listening
from vestibule.store import base
from vestibule.store.split import Store as SplitStore

#: how much longer answers to those who look after the process may take than the others
LAST_S: Final = 1.0
#: how long connections without a request are kept at least
MOMENT_S: Final = 0.5
_LOOK_S: Final = 0.02


class Readiness:
    """Asked at any time."""

    def __init__(
        self, store: base.Store, *, is_loaded: Callable[[], bool], is_whole: Callable[[], bool]
    ) -> None:
        """`is_loaded`: the control plane, or what workers have of it; `is_whole`: all providers are in force."""
        self._store = store
        self._is_loaded = is_loaded
        self._is_whole = is_whole
        self.listens = False
        self.is_draining = False
        self.workers: Callable[[], int] | None = None
        """How many are connected; None: this process carries the traffic itself."""
        self._asking: asyncio.Task[None] | None = None
        """The store, by whoever came first."""

    async def check(self) -> None:
        """Return when all work can be done. Raises VestibuleError, with what is in the way."""
        if self.is_draining:
            raise _unready("draining", "it is being stopped")
        if not self._is_loaded():
            raise _unready("starting", "the control plane is being loaded")
        if not self.listens:
            raise _unready("not_listening", "not every listener accepts yet")
        if not self._is_whole():
            raise _unready("providers_unread", "the identity providers of the database were not read yet")
        if self.workers is not None and not self.workers():
            raise _unready("workers_absent", "no worker is there")
        # Anybody may ask: however many do at once, the store is asked once.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_store(), name="readiness")
        await asyncio.shield(self._asking)

    async def _ask_store(self) -> None:
        now = clock.now()
        await self._store.sessions.by_id("", now)
        if isinstance(self._store, SplitStore):
            await self._store.database.sessions.by_id("", now)


async def drain(
    serving: Collection[Listening], asked: Collection[Listening], readiness: Readiness, drain_s: float
) -> None:
    """Stop accepting, and let answers under way end; `asked` tell that it ends until the others have."""
    readiness.is_draining = True
    loop = asyncio.get_running_loop()
    until_mono = loop.time() + drain_s
    await stopped(serving, until_mono, MOMENT_S)
    await stopped(asked, min(until_mono, loop.time() + LAST_S), 0.0)


async def stopped(listeners: Collection[Listening], until_mono: float, moment_s: float = MOMENT_S) -> None:
    """Accept nothing more there, and return when all that was under way is over, or broken off.

    Connections without a request go last, and not at once: a request that is on its way then still is answered, and
    told of the end. One of a handshake that has just ended, too: what the client asks by it comes after it.
    """
    for listener in listeners:
        listener.stop()
    loop = asyncio.get_running_loop()
    quiet_mono = loop.time() + moment_s
    while loop.time() < until_mono:
        # First of all, too: the loop has yet to hand out what it has just accepted.
        await asyncio.sleep(_LOOK_S)
        if all(listener.is_empty for listener in listeners):
            break
        now = loop.time()
        if any(listener.is_busy for listener in listeners):
            quiet_mono = max(quiet_mono, now + moment_s)
        elif now >= quiet_mono:
            for listener in listeners:
                listener.close_idle()
    for listener in listeners:
        listener.abort()


def _unready(code: str, message: str) -> VestibuleError:
    return VestibuleError(message, code=code, status=503)
