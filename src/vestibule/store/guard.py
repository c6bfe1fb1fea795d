"""A store that keeps nobody waiting: each call has its time, and while the store is away nobody waits at all.

A call that isn't done in its time is a `StoreError`, and is left behind: cancelled, not waited for, and what it may
still come to is given to nobody. A backend drops the connection of a call that was cancelled.

After one look-up that came too late, or some faults in a row, the store is *away*: every call ends in a `StoreError` at
once. One probe at a time asks it in the background, twice a second, so no request is held up by trying; when it
answers as fast as it should, all is as before. So it is in use again within two seconds of being back.

How long a call may take goes by who waits for it:

- what a request waits for, and is read by a key: the budget (250 ms by default);
- what writes for good, or reads much: `PATIENT_S`. A commit waits for a disk, or for another machine; and of a write
  that is given up nobody knows whether it was done, so giving up early costs more than waiting;
- what a job does, a few hundred rows at once or all: `LONG_S`. That it is late says nothing of the store.

So many calls are under way at a time as a store has connections for, about; the others wait for their turn, as long as
a call may take. That the line is long says nothing of the store: else whoever sends a thousand handles of nobody's at
once would have it found away, and people would neither get in nor be signed out.

SQLite needs none of this: it is read in the event loop in microseconds, and has its own times (`store.database`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from vestibule.errors import StoreError
from vestibule.observe.log import Log
from vestibule.store import base

T = TypeVar("T")

BUDGET_S: Final = 0.25
PATIENT_S: Final = 2.0
LONG_S: Final = 6.0
AT_ONCE: Final = 12
FAULTS: Final = 3
"""So many in a row, and the store is away."""
AGAIN_S: Final = 0.5
PROBE_S: Final = 1.0
"""How long a probe may take to connect; asked once more, the store has to answer within the budget."""
_STEP_S: Final = 0.05
"""In such steps time is counted. One that took longer, because this process had no processor or a long turn of the
loop, is no fault of the store and isn't counted; but no more than `_EXCUSED` of them."""
_LAG_S: Final = 0.02
_EXCUSED: Final = 10

_QUICK: Final = frozenset(("by_handle", "by_id", "get", "of", "parked", "count", "living", "organisations"))
_LONG: Final = frozenset(("sweep", "touch", "delete_by", "tally"))
_TOLD: Final = "The store can't be reached just now."


class Breaker:
    """Whether a store is asked, and how long for an answer; belongs to the event loop it is used on."""

    def __init__(
        self,
        probe: Callable[[], Coroutine[Any, Any, object]],
        *,
        log: Log,
        name: str = "store",
        budget_s: float = BUDGET_S,
    ) -> None:
        """`probe` asks for next to nothing; `name` is what the log calls the store."""
        self.budget_s = budget_s
        self.patient_s = max(PATIENT_S, budget_s)
        self._probe = probe
        self._log = log.of("store")
        self._name = name
        self._faults = 0
        self._since_mono = 0.0
        self._why = ""
        self._probing: asyncio.Task[None] | None = None
        self._left: set[asyncio.Task[Any]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def is_away(self) -> bool:
        """True while nobody is asked to wait."""
        return self._probing is not None

    def check(self) -> None:
        """Nothing, where the store may be asked. Raises StoreError while it is away."""
        if self._probing is not None:
            raise StoreError(_TOLD, detail=f"it was found away: {self._why}")

    async def ask(
        self,
        begin: Callable[[], Coroutine[Any, Any, T]],
        within_s: float | None = None,
        *,
        is_told: bool = True,
    ) -> T:
        """What the call comes to, within this time (the budget, where none is given). Raises StoreError.

        `is_told`: that it is late says that the store is.
        """
        limit_s = self.budget_s if within_s is None else within_s
        await self._take_turn(limit_s)
        try:
            self.check()
            task = await self._done(begin, limit_s)
        finally:
            self._turns.release()
        if task is None:
            why = f"no answer within {limit_s:g} s"
            if is_told:
                self.fault(why, is_late=limit_s <= self.budget_s)
            raise StoreError(_TOLD, detail=why)
        try:
            answer = task.result()
        except StoreError as error:
            self.fault(error.detail or error.message)
            raise
        self._faults = 0
        return answer

    def fault(self, why: str, *, is_late: bool = False) -> None:
        """The store failed somebody; `is_late`: who waited no longer than they should."""
        self._faults += 1
        if self._probing is None and (is_late or self._faults >= FAULTS):
            loop = asyncio.get_running_loop()
            self._why, self._since_mono = why, loop.time()
            self._probing = loop.create_task(self._probe_on(), name=f"probe {self._name}")
            self._log.warning("store_away", store=self._name, detail=why)

    async def measure(self) -> float | None:
        """Seconds that asking for next to nothing takes now; None: there was no answer within the budget.

        Whatever it comes to, it says nothing to anybody else of whether the store is away.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        return loop.time() - began if await self._is_there(self.budget_s) else None

    async def close(self) -> None:
        """Stop asking."""
        tasks = [*self._left, *([self._probing] if self._probing is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_turn(self, within_s: float) -> None:
        """Wait until fewer are under way; who comes while the store is away doesn't. Raises StoreError."""
        self.check()
        try:
            async with asyncio.timeout(within_s if self._turns.locked() else None):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreError(_TOLD, detail=f"too many ask it at once, for {within_s:g} s") from None

    async def _done(
        self, begin: Callable[[], Coroutine[Any, Any, T]], within_s: float
    ) -> asyncio.Task[T] | None:
        """The call, ended; None when it was late, and is left behind."""
        loop = asyncio.get_running_loop()
        left_s, excused = within_s, 0
        task = loop.create_task(begin())
        try:
            while not task.done() and left_s > 0:
                step_s, began = min(left_s, _STEP_S), loop.time()
                await asyncio.wait((task,), timeout=step_s)
                if excused < _EXCUSED and loop.time() - began > step_s + _LAG_S:
                    excused += 1
                else:
                    left_s -= step_s
        except asyncio.CancelledError:
            self._leave(task)
            raise
        if task.done() and not task.cancelled():
            return task
        self._leave(task)
        return None

    def _leave(self, task: asyncio.Task[Any]) -> None:
        """Nobody waits for it any more."""
        task.cancel()
        self._left.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # seen: nobody else will

    async def _probe_on(self) -> None:
        """Ask now and then until there is an answer, and after it another in time."""
        while True:
            await asyncio.sleep(AGAIN_S)
            if await self._is_there(PROBE_S) and await self._is_there(self.budget_s):
                break
        self._probing = None
        self._faults = 0
        away_s = asyncio.get_running_loop().time() - self._since_mono
        self._log.warning("store_back", store=self._name, away_s=round(away_s, 1))

    async def _is_there(self, within_s: float) -> bool:
        task = await self._done(self._probe, within_s)
        return task is not None and task.exception() is None


class Guarded:
    """`store.base.Store`: another one, each of whose calls has its time."""

    sessions: base.Sessions
    grants: base.Grants
    marks: base.Marks
    leases: base.Leases
    parking: base.Parking
    signing_keys: base.SigningKeys
    tries: base.Tries
    revocations: base.Revocations
    presence: base.Presence

    def __init__(
        self,
        store: base.Store,
        *,
        log: Log,
        name: str = "store",
        budget_s: float = BUDGET_S,
    ) -> None:
        self._store = store
        self.breaker = Breaker(self._ask_for_nothing, log=log, name=name, budget_s=budget_s)
        for part, protocol in PARTS.items():
            setattr(self, part, _guarded(getattr(store, part), protocol, self.breaker))

    async def close(self) -> None:
        """Stop asking, and close what is guarded."""
        await self.breaker.close()
        await self._store.close()

    async def _ask_for_nothing(self) -> None:
        await self._store.sessions.by_id("", 0.0)


PARTS: Final[dict[str, type]] = {
    "sessions": base.Sessions,
    "grants": base.Grants,
    "marks": base.Marks,
    "leases": base.Leases,
    "parking": base.Parking,
    "signing_keys": base.SigningKeys,
    "tries": base.Tries,
    "revocations": base.Revocations,
    "presence": base.Presence,
}
"""The parts of a store, by name."""


def _guarded(part: object, protocol: type, breaker: Breaker) -> Any:
    """The part, with every method of its Protocol guarded."""
    names = [name for name in vars(protocol) if not name.startswith("_")]
    return SimpleNamespace(**{name: _method(breaker, getattr(part, name), name) for name in names})


def _method(
    breaker: Breaker, call: Callable[..., Coroutine[Any, Any, T]], name: str
) -> Callable[..., Awaitable[T]]:
    if name in _QUICK:
        within_s, is_told = breaker.budget_s, True
    elif name in _LONG:
        within_s, is_told = LONG_S, False
    else:
        within_s, is_told = breaker.patient_s, True

    async def guarded(*arguments: Any, **options: Any) -> T:
        return await breaker.ask(lambda: call(*arguments, **options), within_s, is_told=is_told)

    return guarded
