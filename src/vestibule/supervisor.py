"""The program's processes: one, or several under a supervisor that holds the listening sockets.

With `workers = N` the supervisor binds every address, then forks a control process (pages, admin API, jobs) and N
workers that carry the traffic. It runs no event loop, opens no store and takes no request, so little can go wrong in
it; it starts anew whatever dies or hangs. Each worker has a socket of its own for each address (SO_REUSEPORT): the
system spreads connections over them, and since the supervisor has them too, those that wait for a dead worker are
taken by the next one. A process that outlives its supervisor stops by itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from socket import socket, socketpair
from types import FrameType
from typing import Final

import msgspec

from vestibule.app import DRAIN_S
from vestibule.config.compile import Compiled
from vestibule.config.facts import facts_of, fields_of
from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError, StoreError
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.process import ALONE, READY, Place, run
from vestibule.proxy.listener import bound_sockets
from vestibule.role import Role

HANG_S: Final = 10.0
"""A process that says nothing for so long is ended and started anew."""
START_S: Final = 60.0
"""How long one may take until it is ready."""
_AGAIN_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""How long to wait before a process that died so often in a row without having become ready is started again."""
FLUSH_S: Final = 2.0
"""How long an ending process waits for the log."""
_LOOK_S: Final = 0.5
_LAST_S: Final = 5.0
"""How much longer than its drain a process may take to end."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


def serve(
    compiled: Compiled, log: Log, *, ready: Callable[[], None] | None = None, drain_s: float = DRAIN_S
) -> int:
    """Run until a signal says stop; the exit code.

    `ready` is called once all listeners accept; at the end, answers under way have `drain_s`. Raises
    ConfigError, StoreError when the program can't start.
    """
    try:
        if compiled.workers == 1:
            return run(compiled, log, place=ALONE, ready=ready, drain_s=drain_s)
        return Supervisor(compiled, log, ready=ready, drain_s=drain_s).run()
    finally:
        log.flush(FLUSH_S)


class Child(msgspec.Struct, kw_only=True):
    """One process to be kept running."""

    name: str
    role: Role
    sockets: dict[ListenAddress, socket]
    pid: int = 0
    """0: it doesn't run."""
    pipe: int = -1
    """What it says is read here."""
    is_ready: bool = False
    heard_mono: float = 0.0
    deaths: int = 0
    """How often in a row it died before it was ready."""
    again_mono: float = 0.0
    """When it may be started."""


class Supervisor:
    """Starts the processes, keeps them running, ends them in order."""

    def __init__(
        self, compiled: Compiled, log: Log, *, ready: Callable[[], None] | None, drain_s: float
    ) -> None:
        self._compiled = compiled
        self._log = log
        self._ready = ready
        self._drain_s = drain_s
        self._lifeline, self._life = os.pipe()
        self._woken, self._wakes = socketpair()
        self._control = Child(name="control", role=Role.CONTROL, sockets={})
        self._workers: list[Child] = []
        self._was_ready = False

    @property
    def _children(self) -> list[Child]:
        return [self._control, *self._workers]

    def run(self) -> int:
        """Run until a signal says stop; the exit code. Raises ConfigError when an address can't be had."""
        os.umask(0o077)
        self._listen()
        self._take_signals()
        try:
            return self._keep_running()
        finally:
            self._end()

    # -- start --------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Bind every address, once for each worker."""
        number = self._compiled.workers
        shares = {at: bound_sockets(at, number) for at in addresses_of(self._compiled)}
        self._workers = [
            Child(
                name=f"worker {index + 1}",
                role=Role.WORKER,
                sockets={at: sockets[index] for at, sockets in shares.items()},
            )
            for index in range(number)
        ]

    def _take_signals(self) -> None:
        """A signal is a byte in a socket, so that waiting for one misses none."""
        for end in (self._woken, self._wakes):
            end.setblocking(False)
        for signum in _SIGNALS:
            signal.signal(signum, _take_note)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)

    def _start(self, child: Child) -> None:
        """Fork it."""
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        gc.freeze()
        sys.stdout.flush()
        sys.stderr.flush()
        self._log.sink.before_fork()
        pid = os.fork()
        if pid == 0:
            self._log.sink.after_fork()
            os.close(read_end)
            os._exit(self._be(child, write_end))
        os.close(write_end)
        child.pid, child.pipe, child.is_ready = pid, read_end, False
        child.heard_mono = time.monotonic()
        self._log.info("process_started", process=child.name, pid=pid)

    def _be(self, child: Child, report: int) -> int:
        """In the child: let go of what is the others', then run; the exit code."""
        signal.set_wakeup_fd(-1)
        for signum in _SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        os.close(self._life)
        self._woken.close()
        self._wakes.close()
        for other in self._children:
            if other is not child:
                _let_go(other, child)
        place = Place(
            role=child.role, name=child.name, sockets=child.sockets, lifeline=self._lifeline, report=report
        )
        log = self._log.bind(process=child.name)
        try:
            return run(self._compiled, log, place=place, drain_s=self._drain_s)
        except BaseException as error:  # noqa: BLE001 - the boundary of a process: it must not go on as a supervisor
            _tell_failure(log, error)
        finally:
            log.flush(FLUSH_S)
        return 1

    # -- what goes on -------------------------------------------------------------------------

    def _keep_running(self) -> int:
        while True:
            clock.now()  # a jump of the system's clock is seen here, and who is forked knows of it
            self._start_what_is_due()
            self._wait(_LOOK_S)
            for signum in self._signals():
                if signum in {signal.SIGINT, signal.SIGTERM}:
                    return self._stop()
                if signum == signal.SIGHUP:
                    hint = "restart to apply changed files; reload comes later"
                    self._log.warning("hangup_ignored", detail=hint)
            for child in self._died():
                if not self._was_ready:
                    self._log.error("start_failed", process=child.name)
                    self._stop()
                    return 1
            self._end_what_hangs()
            self._tell_ready()

    def _start_what_is_due(self) -> None:
        """The control process first: it brings the store's tables up to date."""
        now = time.monotonic()
        for child in self._children:
            if not child.pid and now >= child.again_mono:
                if child is not self._control and not self._was_ready and not self._control.is_ready:
                    return
                self._start(child)

    def _tell_ready(self) -> None:
        if self._was_ready or not all(child.is_ready for child in self._children):
            return
        self._was_ready = True
        listening = [str(at) for at in addresses_of(self._compiled)]
        facts = (
            fields_of(facts_of(self._compiled)) if self._ready is None else {"workers": len(self._workers)}
        )
        self._log.info("ready", listening=listening, **facts)
        if self._ready is not None:
            self._ready()
        # A process that is started anew then has it at once, and all share its pages.
        importlib.import_module("vestibule.control")

    def _wait(self, timeout_s: float) -> None:
        """Until something is said, or a signal comes, or a due start."""
        now = time.monotonic()
        due = [child.again_mono - now for child in self._children if not child.pid and child.again_mono > now]
        pipes = {child.pipe: child for child in self._children if child.pipe >= 0}
        poll = select.poll()
        for end in (self._woken.fileno(), *pipes):
            poll.register(end, select.POLLIN)
        for end, _ in poll.poll(min([timeout_s, *due]) * 1000):
            if end in pipes:
                self._hear(pipes[end])

    def _hear(self, child: Child) -> None:
        with contextlib.suppress(BlockingIOError):
            said = os.read(child.pipe, 4096)
            if not said:
                _close(child)
                return
            child.heard_mono = time.monotonic()
            child.is_ready = child.is_ready or READY in said

    def _signals(self) -> Iterator[int]:
        with contextlib.suppress(BlockingIOError):
            yield from self._woken.recv(4096)

    def _died(self) -> Iterator[Child]:
        """Those that have ended, each put down to be started again."""
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._log.warning("process_died", process=child.name, pid=pid, code=code)
                self._bury(child)
                yield child

    def _bury(self, child: Child) -> None:
        now = time.monotonic()
        _close(child)
        child.deaths = 0 if child.is_ready else child.deaths + 1
        child.pid, child.is_ready = 0, False
        child.again_mono = now + _AGAIN_S[min(child.deaths, len(_AGAIN_S) - 1)]

    def _end_what_hangs(self) -> None:
        now = time.monotonic()
        for child in self._children:
            limit_s = HANG_S if child.is_ready else START_S
            if child.pid and now - child.heard_mono > limit_s:
                self._log.error("process_hangs", process=child.name, pid=child.pid, silent_s=limit_s)
                _kill(child, signal.SIGKILL)
                child.heard_mono = now

    # -- end ----------------------------------------------------------------------------------

    def _stop(self) -> int:
        """The workers first, which still need the control process; the exit code."""
        self._log.info("stopping")
        for child in self._workers:
            _let_go(child)
        clean = self._ended(self._workers) and self._ended([self._control])
        self._log.info("stopped")
        return 0 if clean else 1

    def _ended(self, children: list[Child]) -> bool:
        """True when all end by themselves, in time; a second signal means now."""
        for child in children:
            _kill(child, signal.SIGTERM)
        end_mono, is_clean = time.monotonic() + self._drain_s + _LAST_S, True
        while any(child.pid for child in children):
            self._wait(0.05)
            if {signal.SIGINT, signal.SIGTERM} & set(self._signals()) or time.monotonic() > end_mono:
                is_clean = False
                for child in children:
                    _kill(child, signal.SIGKILL)
            for child in children:
                if child.pid and os.waitpid(child.pid, os.WNOHANG)[0]:
                    self._bury(child)
        return is_clean

    def _end(self) -> None:
        """Nothing is left behind, however it came to this."""
        for child in self._children:
            _kill(child, signal.SIGKILL)
        for at in addresses_of(self._compiled):
            if at.path:
                with contextlib.suppress(OSError):
                    os.unlink(at.path)  # noqa: PTH108 - as bound
        signal.set_wakeup_fd(-1)


def addresses_of(compiled: Compiled) -> tuple[ListenAddress, ...]:
    """Where workers listen."""
    return (
        *compiled.listeners,
        *compiled.forward_auth,
        *compiled.forward_auth_grpc,
        *(call.listen for call in compiled.calls),
        *compiled.servings.values(),
    )


def _let_go(child: Child, but_of: Child | None = None) -> None:
    """Close what is the child's here, but for sockets that the other has, too."""
    kept = set() if but_of is None else {bound.fileno() for bound in but_of.sockets.values()}
    for bound in child.sockets.values():
        if bound.fileno() not in kept:
            bound.close()
    if but_of is not None:
        _close(child)


def _close(child: Child) -> None:
    if child.pipe >= 0:
        os.close(child.pipe)
        child.pipe = -1


def _kill(child: Child, signum: signal.Signals) -> None:
    if child.pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signum)


def _tell_failure(log: Log, error: BaseException) -> None:
    match error:
        case ConfigError():
            log.error("process_failed", faults=list(error.faults))
        case StoreError():
            log.error("process_failed", error=error.message, detail=error.detail)
        case _:
            log.error("process_failed", error=repr(error))


def _take_note(_signum: int, _frame: FrameType | None) -> None:
    """The signal's number is in the wake-up socket."""
