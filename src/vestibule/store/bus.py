"""What was revoked or changed, told among processes: `store.base.Changes` over a channel.

A channel (`Transport`) repeats each frame to all who listen, its sender too, all in one order; it may break, and then
says so. Four times a second each process sends a beat. What is promised, of a change that was written to the store
before it was published:

(a) Once `settle()` has returned, no process that hears the channel serves what was cached before. Each of them has said
    that it has forgotten it, or a second has passed since the change itself came back here. Who has not heard it by
    then has had no beat come back that entered the channel after it: their last one was sent more than a second ago,
    so they trust no entry that is older than a second, and one that is younger was read after the change.
(b) Who doesn't hear the channel serves it for a second at most: beats go the same way in the same order, so a way that
    is cut brings none. Whose change nobody hears, as it does not come back to them, raises the stamp: a row of the
    store that all read twice a second; without having read it nobody believes themselves current, either.
(c) Who is killed between its write and its publish falls silent without a goodbye. All others then forget everything,
    within two seconds; and once more when the store has surely ended what it was asked before.
(d) Who loses the connection, or stood still for a second (SIGSTOP, a machine that was paused), is not current, and
    forgets everything before it is again: a beat makes current only by when it was sent, and only after everything
    that came before it was taken.

What a process reads while it says that a second passed is CLOCK_MONOTONIC of its own; it is told to nobody.
An entry counts from when its read was begun; that is for whoever caches.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from vestibule.core.seal import KeyRing
from vestibule.errors import StoreError
from vestibule.observe.log import Log
from vestibule.store.base import EVERYTHING, ChangeListener
from vestibule.store.changes import without
from vestibule.store.frame import Change, Goodbye, Message, packed, read, written
from vestibule.store.hearing import Hearing

BEAT_S: Final = 0.25
TRUST_S: Final = 1.0
"""How long a beat that came back is good for, from when it was sent."""
ECHO_S: Final = 0.5
"""How long a change may take to come back before it counts as unheard."""
AGAIN_S: Final = 0.5
"""Between two tries to connect."""
STAMP_S: Final = 0.5
"""Between two looks at the stamp."""
_SEND_S: Final = 3.0
_CLOSE_S: Final = 1.0
_BEATS_LOST: Final = 12
"""So many that don't come back, and the connection is taken for dead."""
_QUEUE_MAX: Final = 20_000
_MARGIN_S: Final = 0.05
_UNREADABLE_EVERY_S: Final = 60.0


class Link(Protocol):
    """One connection to a channel."""

    async def send(self, frames: Sequence[bytes]) -> None:
        """Hand them over in this order. Raises StoreError."""

    async def close(self) -> None:
        """Let go of it; what was handed over may still arrive."""


class Transport(Protocol):
    """A channel that can be connected to; one, that can't fall in two: two who hear themselves hear each other."""

    async def connect(self, take: Callable[[bytes], None], lost: Callable[[], None]) -> Link:
        """Listen, then be ready to send: every frame that enters the channel from now on is taken, in one order.

        `lost` is called when that ends. Raises StoreError, within some seconds.
        """


class StampLike(Protocol):
    """What `store.stamp.Stamp` does."""

    async def read(self) -> int:
        """A number that changes when somebody raised it. Raises StoreError."""

    async def raise_(self) -> None:
        """Have all forget everything. Raises StoreError."""


class _Settling(NamedTuple):
    """What all wait for together who have published nothing since."""

    covers: int
    """How many changes."""
    task: asyncio.Task[None]


class _Waited:
    """A sync under way."""

    def __init__(self) -> None:
        self.echoed = asyncio.Event()
        self.settled = asyncio.Event()

    def give_up(self) -> None:
        """Let all go on who wait."""
        self.echoed.set()
        self.settled.set()


class Bus:
    """`store.base.Changes` of one of several processes. To be made after a fork: its name is random."""

    def __init__(
        self,
        transport: Transport,
        ring: KeyRing,
        log: Log,
        *,
        stamp: StampLike | None = None,
        only_here: frozenset[str] = frozenset(),
        mono: Callable[[], float] = time.monotonic,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`stamp`: without one, (b) does not hold for who isn't heard. `only_here`: kinds that stay in this process."""
        self._transport = transport
        self._ring = ring
        self._log = log.of("store")
        self._stamp = stamp
        self._only_here = only_here
        self._mono = mono
        self._hearing = Hearing(random(16).hex())
        self._listeners: dict[str, list[ChangeListener]] = {}
        self._is_telling = False
        self._queue: list[Message] = []
        self._wake = asyncio.Event()
        self._is_connected = False
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._connection: _Connection | None = None
        # How many changes were published, left in a frame, came back, or were told by the stamp.
        self._published = 0
        self._in_frames: deque[tuple[int, int]] = deque()
        """Frames with changes that did not come back yet, and how many had been published by then."""
        self._heard = 0
        self._stamped = 0
        self._unheard_mono = math.inf
        self._settling: _Settling | None = None
        self._syncs: dict[int, _Waited] = {}
        self._settlings: set[asyncio.Task[None]] = set()
        self._stamp_mono = math.inf if stamp is None else -math.inf
        self._stamp_number = -1
        self._unreadable_mono = -math.inf
        self._current_until = -math.inf
        self._was_current = False

    def start(self) -> None:
        """Connect, and stay connected, in the background."""
        self._tasks = [asyncio.create_task(self._stay_connected(), name="changes")]
        if self._stamp is not None:
            self._tasks.append(asyncio.create_task(self._watch_stamp(), name="changes stamp"))

    # store.base.Changes

    def publish(self, kind: str, key: str) -> None:
        """Tell all listeners, this process's own at once.

        What these publish meanwhile stays in this process: the others' own do the same.
        """
        if not self._is_telling and kind not in self._only_here and not self._is_closing:
            self._enqueue(Change(kind, key))
            if self._published == max(self._heard, self._stamped):
                self._unheard_mono = self._mono()
            self._published += 1
        was_telling, self._is_telling = self._is_telling, True
        try:
            for listener in self._listeners.get(kind, ()):
                listener(key)
        finally:
            self._is_telling = was_telling

    async def settle(self) -> None:
        """As `store.base.Changes` says; within two seconds, and a few milliseconds where all is well."""
        settling = self._settling
        if settling is None or settling.covers != self._published:
            if not self._published or not self._tasks or self._is_closing:
                return
            settling = self._settling = self._begin_settling()
        await asyncio.shield(settling.task)

    def subscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call `listener(key)` for every change of this kind, from now on."""
        self._listeners.setdefault(kind, []).append(listener)

    def unsubscribe(self, kind: str, listener: ChangeListener) -> None:
        """Call it no more."""
        without(self._listeners, kind, listener)

    def is_current(self, now_mono: float) -> bool:
        """True while a beat was sent less than a second ago that came back, and the stamp was read so lately."""
        return now_mono < self._current_until

    async def close(self) -> None:
        """Say what is still to be said, and goodbye."""
        if self._is_closing:
            return
        self._is_closing = True
        self._current_until = -math.inf
        self._enqueue(Goodbye())
        if self._tasks and self._is_connected:
            await asyncio.wait(self._tasks[:1], timeout=_CLOSE_S)
        for waited in self._syncs.values():
            waited.give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._settlings, return_exceptions=True)

    # Saying

    def _enqueue(self, message: Message) -> None:
        if len(self._queue) >= _QUEUE_MAX:
            # Who can't be told what, is told that it was something.
            kept = [one for one in self._queue if not isinstance(one, Change)][-_QUEUE_MAX // 2 :]
            self._queue = [Change(EVERYTHING, EVERYTHING), *kept]
        self._queue.append(message)
        self._wake.set()

    async def _stay_connected(self) -> None:
        is_told = False
        while not self._is_closing:
            try:
                await self._talk()
                is_told = False
            except StoreError as exc:
                if not is_told:
                    self._log.warning("changes_unheard", detail=exc.detail or exc.message)
                is_told = not self._is_connected
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is tried anew; nobody is current until it works
                self._log.error("changes_failed", detail=f"{type(exc).__name__}: {exc}")
            finally:
                self._is_connected = False
                self._current_until = -math.inf
            if not self._is_closing:
                await asyncio.sleep(AGAIN_S)

    async def _talk(self) -> None:
        """Be connected until that is lost (StoreError), or until the goodbye."""
        self._hearing.connected()
        connection = self._connection = _Connection(self._take, self._wake)
        try:
            async with asyncio.timeout(_SEND_S):
                link = await self._transport.connect(connection.take, connection.lost)
        except TimeoutError as exc:
            raise StoreError(
                "The channel of changes can't be reached.", detail="connecting took too long"
            ) from exc
        try:
            self._is_connected = True
            self._say_what_was_lost()
            await self._say(link, connection)
        finally:
            connection.is_over = True
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await link.close()

    def _say_what_was_lost(self) -> None:
        """What went into the connection before this one and did not come back, may have reached nobody."""
        if self._in_frames:
            self._in_frames.clear()
            self._queue.insert(0, Change(EVERYTHING, EVERYTHING))

    async def _say(self, link: Link, connection: _Connection) -> None:
        beat_mono = -math.inf
        while True:
            now = self._mono()
            if connection.is_over:
                raise StoreError("The channel of changes was lost.", detail="the connection was closed")
            if self._hearing.unreturned >= _BEATS_LOST:
                raise StoreError("The channel of changes was lost.", detail="nothing comes back")
            is_goodbye = self._is_closing
            if now - beat_mono >= BEAT_S:
                beat_mono = now
                self._queue.append(self._hearing.beat(now))
            await self._send(link)
            if is_goodbye:
                return
            await self._woken(beat_mono + BEAT_S - self._mono())

    async def _woken(self, within_s: float) -> None:
        if not self._queue and within_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._wake.wait()
        self._wake.clear()

    async def _send(self, link: Link) -> None:
        messages, self._queue = self._queue, []
        if not messages:
            return
        frames = [self._hearing.frame(group) for group in packed(messages)]
        if any(isinstance(message, Change) for message in messages):
            self._in_frames.append((frames[-1].number, self._published))
        try:
            async with asyncio.timeout(_SEND_S):
                await link.send([written(frame, self._ring) for frame in frames])
        except TimeoutError as exc:
            raise StoreError("The channel of changes was lost.", detail="nothing more can be sent") from exc

    # Hearing

    def _take(self, data: bytes) -> None:
        frame = read(data, self._ring)
        if frame is None:
            self._take_unreadable(len(data))
            return
        now = self._mono()
        heard = self._hearing.take(frame, now)
        if heard.came:
            self._log.debug("changes_heard", node=heard.came)
        for node in heard.vanished:
            self._log.warning("changes_silent", node=node)
        if heard.missed:
            self._forget_everything(heard.missed)
        for change in heard.changes:
            self._tell(change)
        for ack in heard.acks:
            self._enqueue(ack)
        for number in heard.echoed:
            self._syncs[number].echoed.set()
        for number in heard.settled:
            self._syncs[number].settled.set()
        if frame.node == self._hearing.node:
            self._came_back()

    def _take_unreadable(self, length_bytes: int) -> None:
        """Of another version, or by a key that is not known here yet: it may say anything."""
        now = self._mono()
        if now - self._unreadable_mono >= _UNREADABLE_EVERY_S:
            self._unreadable_mono = now
            self._log.warning("changes_unreadable", bytes=length_bytes)
        self._tell_all_everything()

    def _came_back(self) -> None:
        while self._in_frames and self._in_frames[0][0] <= self._hearing.heard_number:
            _, self._heard = self._in_frames.popleft()
            self._unheard_mono = self._mono()
        self._reckon()

    def _reckon(self) -> None:
        """Until when this process is current."""
        if self._is_connected and not self._is_closing:
            self._current_until = min(self._hearing.beat_mono, self._stamp_mono) + TRUST_S
            self._was_current = self._was_current or self._current_until > -math.inf

    def _tell(self, change: Change) -> None:
        if EVERYTHING in {change.kind, change.key}:
            self._forget_everything("told")
            return
        self._tell_each(self._listeners.get(change.kind, ()), change.key)

    def _forget_everything(self, why: str) -> None:
        # While a process begins there is nothing to forget; who comes later is no news.
        is_news = self._was_current and why != "heard_late"
        (self._log.info if is_news else self._log.debug)("changes_missed", why=why)
        self._tell_all_everything()

    def _tell_all_everything(self) -> None:
        everybody = [
            one for kind, each in self._listeners.items() if kind not in self._only_here for one in each
        ]
        self._tell_each(everybody, EVERYTHING)

    def _tell_each(self, listeners: Sequence[ChangeListener], key: str) -> None:
        was_telling, self._is_telling = self._is_telling, True
        for listener in listeners:
            try:
                listener(key)
            except Exception as exc:  # noqa: BLE001 - it may have kept what it should forget, so it all begins anew
                self._log.error("changes_listener", detail=f"{type(exc).__name__}: {exc}")
                self._current_until = -math.inf
                if self._connection is not None:
                    self._connection.lost()
        self._is_telling = was_telling

    # Settling, and what isn't heard

    def _begin_settling(self) -> _Settling:
        sync = self._hearing.sync()
        waited = _Waited()
        self._syncs[sync.number] = waited
        self._enqueue(sync)
        task = asyncio.create_task(self._settle(sync.number, waited), name="changes settle")
        self._settlings.add(task)
        task.add_done_callback(self._settlings.discard)
        return _Settling(self._published, task)

    async def _settle(self, number: int, waited: _Waited) -> None:
        try:
            is_heard = await _within(ECHO_S if self._is_connected else 0.0, waited.echoed)
            if not is_heard:
                await self._raise_stamp()
            await _within(TRUST_S + _MARGIN_S, waited.settled)
        finally:
            self._hearing.give_up(number)
            self._syncs.pop(number, None)

    async def _raise_stamp(self) -> None:
        if self._stamp is None:
            return
        published = self._published
        try:
            await self._stamp.raise_()
            self._stamped = max(self._stamped, published)
        except StoreError as exc:
            self._log.warning("changes_stamp", detail=exc.detail or exc.message)

    async def _watch_stamp(self) -> None:
        """Keeps reading the stamp, and raises it for what was published and not settled."""
        assert self._stamp is not None
        while True:
            told = max(self._heard, self._stamped)
            try:
                if self._published > told and self._mono() - self._unheard_mono >= ECHO_S:
                    await self._raise_stamp()
                await self._read_stamp(self._stamp)
            except Exception as exc:  # noqa: BLE001 - nobody is current until it works
                self._log.error("changes_failed", detail=f"{type(exc).__name__}: {exc}")
            await asyncio.sleep(STAMP_S)

    async def _read_stamp(self, stamp: StampLike) -> None:
        begun_mono = self._mono()
        try:
            number = await stamp.read()
        except StoreError:
            return  # who can't read it isn't current, soon
        if number != self._stamp_number:
            self._stamp_number = number
            self._forget_everything("stamp")
        self._stamp_mono = begun_mono
        self._reckon()


class _Connection:
    """What a transport tells of one connection; nothing any more once that is over."""

    __slots__ = ("_take", "_wake", "is_over")

    def __init__(self, take: Callable[[bytes], None], wake: asyncio.Event) -> None:
        self._take = take
        self._wake = wake
        self.is_over = False

    def take(self, frame: bytes) -> None:
        if not self.is_over:
            self._take(frame)

    def lost(self) -> None:
        self.is_over = True
        self._wake.set()


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
