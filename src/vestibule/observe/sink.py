"""Where lines go: a stream that is written to at once, or a queue with a thread behind it.

Nobody waits for a sink that is slow. An event goes into a queue, which is bounded, and a thread writes. Who put it
there waits for a moment (`WAIT_S`) until it is out, so that a line stands in the log before the answer that it is
about; but where that was not enough, nobody waits any more until the queue is empty again, and all that wait take no
more than a small share of the time (`WAIT_SHARE`). What finds the queue full is dropped, and counted; the log says so
itself as soon as it can.

A full disk, a closed pipe: the thread tries again, and what waits meanwhile stays.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

PROGRAM: Final = "program"
"""The component that tells of the log itself."""
WAIT_S: Final = 0.002
"""How long whoever writes an urgent event waits for it."""
WAIT_SHARE: Final = 0.02
"""How much of a process's time may be waited for lines: many lines, or a disk that is a little slow, add up."""
WAIT_AHEAD_S: Final = 0.1
"""So much of it at once, after a time without."""
GATHER_S: Final = 0.05
"""How long an event that isn't urgent waits for others."""
LINES_MAX: Final = 10_000
BYTES_MAX: Final = 8 << 20
FORK_S: Final = 0.5
_BATCH_LINES: Final = 64
"""So few that who answers requests meanwhile is not kept from it for long."""
_AGAIN_S: Final = 0.25
"""After a write that failed."""
_LOOK_S: Final = 1.0
"""How often a file is looked for under its name."""

Render = Callable[[Any], bytes]
MakeRender = Callable[[], Render]


def lines(name: str = "json", *, has_colours: bool = False) -> Render:
    """What makes lines in this format; imported now, since structlog takes a tenth of a second."""
    make: Callable[..., Render] = importlib.import_module("vestibule.observe.render").renderer
    return make(name, has_colours=has_colours)


class Sink(Protocol):
    """Where events go."""

    dropped: int
    """Lines that nobody took: the disk is full, the pipe closed, or too many wait."""

    def put(self, event: Any, cost_bytes: int, *, is_urgent: bool) -> None:
        """Write it. What is urgent is out on return, unless that takes too long."""

    def flush(self, within_s: float) -> None:
        """Have what waits written, if that can be done in so long."""

    def before_fork(self) -> None:
        """Have it written, and be without a thread."""

    def after_fork(self) -> None:
        """In the child: forget what waits, which the parent writes."""


class Stream:
    """A text stream, written to at once: of commands and tests."""

    def __init__(self, out: io.TextIOBase | None, make_render: MakeRender = lines) -> None:
        """`out` None: what `sys.stderr` is at the time."""
        self._out = out
        self._make_render = make_render
        self._render: Render | None = None
        self.dropped = 0

    def put(self, event: Any, _cost_bytes: int, *, is_urgent: bool) -> None:
        """Write it."""
        del is_urgent
        self._render = self._render or self._make_render()
        try:
            print(self._render(event).decode(), file=self._out or sys.stderr, end="", flush=True)
        except (OSError, ValueError):
            self.dropped += 1

    def flush(self, _within_s: float) -> None:
        """It is written."""

    def before_fork(self) -> None:
        """Nothing waits."""

    def after_fork(self) -> None:
        """Nothing waits."""


class Target:
    """The file that bytes go to: a descriptor, or one by its name, which is opened anew when it was moved away."""

    def __init__(self, fd: int = 2, path: Path | None = None) -> None:
        """`path`: appended to, and made where it is not there. Raises OSError."""
        self._path = path
        self._fd = fd if path is None else _open(path)
        self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._looked_mono = time.monotonic()

    def write(self, data: memoryview) -> int:
        """How many of the bytes were taken: maybe none, after a while. Raises OSError."""
        self._look()
        try:
            return os.write(self._fd, data if self._is_file else _piece(data))
        except BlockingIOError:  # somebody made it non-blocking, as shells do with terminals
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll(_AGAIN_S * 1000)
            return 0

    def _look(self) -> None:
        """Whether the file is still the one of its name: what moves logs away needs to tell nobody."""
        now = time.monotonic()
        if self._path is None or now - self._looked_mono < _LOOK_S:
            return
        self._looked_mono = now
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._fd), self._path.stat()):
                return
        with contextlib.suppress(OSError):
            fresh = _open(self._path)
            os.close(self._fd)
            self._fd = fresh
            self._is_file = stat.S_ISREG(os.fstat(fresh).st_mode)


def _open(path: Path) -> int:
    # A named pipe that nobody reads is an error, and nothing to wait for. Addresses and names of people stand in it.
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    return os.open(path, how, 0o640)


def _piece(data: memoryview) -> memoryview:
    """As many whole lines as a pipe takes in one piece: what other processes write can't come in between.

    Spec: POSIX, write(), PIPE_BUF. One line that is longer goes alone, and may be torn.
    """
    if len(data) <= select.PIPE_BUF:
        return data
    end = bytes(data[: select.PIPE_BUF]).rfind(b"\n") + 1
    return data[: end or bytes(data).find(b"\n") + 1 or len(data)]


class Queue:
    """A sink that nobody waits for, or hardly; its thread begins with the first event."""

    def __init__(
        self,
        target: Target,
        make_render: MakeRender = lines,
        *,
        now: Callable[[], float],
        mono: Callable[[], float] = time.monotonic,
        lines_max: int = LINES_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self._target = target
        self._make_render = make_render
        self._render: Render | None = None
        self._now = now
        self._mono = mono
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self.dropped = 0
        self._begin()

    def _begin(self) -> None:
        # Taken again by the same thread: an object that is collected meanwhile may have something to say.
        self._lock = threading.RLock()
        self._ready = threading.Condition(self._lock)
        """There is something to write, or an end."""
        self._written = threading.Condition(self._lock)
        self._waiting: deque[tuple[int, Any]] = deque()
        self._bytes = 0
        """Of all that is not written."""
        self._put_count = self._written_count = 0
        self._untold = 0
        """How many were dropped of which the log doesn't say so yet."""
        self._is_late = self._is_urgent = self._is_ending = self._is_idle = False
        self._thread: threading.Thread | None = None
        self._spare_s, self._spare_mono = WAIT_AHEAD_S, self._mono()
        """How long may still be waited for lines, and since when that was so."""

    def put(self, event: Any, cost_bytes: int, *, is_urgent: bool) -> None:
        """Have it written. What is urgent is out on return, unless that takes too long."""
        with self._lock:
            count = self._put_count - self._written_count
            if count >= self._lines_max or self._bytes + cost_bytes > self._bytes_max:
                self.dropped += 1
                self._untold += 1
                return
            self._waiting.append((cost_bytes, event))
            self._bytes += cost_bytes
            self._put_count += 1
            number = self._put_count
            if self._thread is None:
                self._start()
            if is_urgent:
                self._is_urgent = True
            if is_urgent or self._is_idle:
                self._ready.notify()
            if is_urgent and not self._is_late:
                self._wait_briefly(number)

    def flush(self, within_s: float) -> None:
        """Have what waits written, if that can be done in so long."""
        with self._lock:
            if self._thread is None and self._waiting:
                self._start()
            self._is_urgent = True
            self._ready.notify()
            if self._thread is not None:
                self._wait(self._put_count, within_s)

    def before_fork(self) -> None:
        """Have it written, and be without a thread: a child has a copy of what waits, and no thread."""
        self.flush(FORK_S)
        with self._lock:
            thread, self._is_ending = self._thread, True
            self._ready.notify()
        if thread is not None:
            thread.join(FORK_S)
        with self._lock:
            self._is_ending = False

    def after_fork(self) -> None:
        """In the child: forget what waits, which the parent writes."""
        self.dropped = 0
        self._begin()

    def _wait_briefly(self, number: int) -> None:
        """Until this one is written, unless that takes too long, or too much was waited lately."""
        began = self._mono()
        self._spare_s = min(WAIT_AHEAD_S, self._spare_s + (began - self._spare_mono) * WAIT_SHARE)
        self._spare_mono = began
        if self._spare_s > 0:
            self._wait(number, WAIT_S)
            self._spare_s -= self._mono() - began
            self._is_late = self._written_count < number

    def _wait(self, number: int, within_s: float) -> None:
        self._written.wait_for(lambda: self._written_count >= number, within_s)

    def _start(self) -> None:
        """Begin the thread. Where the system has no room for one, what waits waits on, for the next try."""
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            self._is_late = True  # nobody need wait for it

    # -- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._taken():
            data = b"".join(map(self._line, batch))
            self._write(data)
            with self._lock:
                self._written_count += len(batch)
                self._bytes -= sum(cost for cost, _ in batch)
                if self._written_count == self._put_count:
                    self._is_late = False
                self._written.notify_all()
                told, self._untold = self._untold, 0
            if told:
                self._write(self._line((0, self._dropped(told))))

    def _taken(self) -> list[tuple[int, Any]]:
        """What is to be written next; nothing at the end."""
        with self._lock:
            while not self._waiting:
                if self._is_ending:
                    self._thread = None  # whoever comes now begins another
                    return []
                self._is_idle, self._is_urgent = True, False
                self._ready.wait()
                self._is_idle = False
            if not self._is_urgent and len(self._waiting) < _BATCH_LINES:
                self._ready.wait_for(lambda: self._is_urgent or self._is_ending, GATHER_S)
            return [self._waiting.popleft() for _ in range(min(_BATCH_LINES, len(self._waiting)))]

    def _line(self, taken: tuple[int, Any]) -> bytes:
        self._render = self._render or self._make_render()
        try:
            return self._render(taken[1])
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one event, the others are to be written
            broken = {"at": self._now(), "level": "error", "component": PROGRAM, "event": "log_event_broken"}
            return self._render({**broken, "error": type(error).__name__})

    def _dropped(self, count: int) -> dict[str, Any]:
        return {
            "at": self._now(),
            "level": "warning",
            "component": PROGRAM,
            "event": "log_dropped",
            "count": count,
        }

    def _write(self, data: bytes) -> None:
        """All of it, however long that takes."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._target.write(left) :]
            except OSError:
                time.sleep(_AGAIN_S)
