"""The program's processes: one, or several under a supervisor that holds the listening sockets.

With `workers = N` the supervisor binds every address, then forks a control process (pages, admin API, jobs) and N
workers that carry the traffic. It runs no event loop, opens no store and takes no request, so little can go wrong in
it; it starts anew whatever dies or hangs. Each worker has a socket of its own for each address (SO_REUSEPORT): the
system spreads connections over them, and since the supervisor has them too, those that wait for a dead worker are
taken by the next one. A process that outlives its supervisor stops by itself.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from socket import socketpair
from types import FrameType
from typing import Final

from msgspec.structs import replace

from vestibule.agreeing import Agreement, agreement_on, say
from vestibule.child import (
    Child,
    child_of,
    close,
    forget_signals,
    free_of,
    handed,
    kill,
    let_go,
    said_by,
    share,
    unlink,
)
from vestibule.config.compile import Compiled
from vestibule.config.facts import facts_of, fields_of
from vestibule.errors import ConfigError
from vestibule.handover import Command, Inheritance, Successor, UpgradeError, begun
from vestibule.line import (
    Line,
    Outcome,
    Prepared,
    Rereading,
    Upgrade,
    Upgraded,
    Wanted,
    close_all,
    read,
    shortened,
)
from vestibule.listening import addresses_of, admin_addresses_of
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.offspring import FLUSH_S, NOTED, dead, ended, hanging, start
from vestibule.process import LATER, READY, Place, ignore_later, run
from vestibule.proxy.binding import Taken, bound_sockets
from vestibule.role import Role
from vestibule.state import have_state
from vestibule.systemd import Unit

_LOOK_S: Final = 0.5
_AGAIN_S: Final = 1.0
"""When a process that could not be forked is tried again."""
_LAST_S: Final = 5.0
"""How much longer than its drain a process may take to end."""
AGREE_S: Final = 30.0
"""How long a process may take until it has another configuration ready."""


def serve(
    compiled: Compiled,
    log: Log,
    *,
    ready: Callable[[], None] | None = None,
    drain_s: float | None = None,
    inheritance: Inheritance | None = None,
    command: Command | None = None,
) -> int:
    """Run until a signal says stop; the exit code.

    `ready` is called once all listeners accept; at the end, answers under way have `drain_s` (without it: what the
    configuration says). `inheritance`: what the program was started with; `command`: how it is started again. Raises
    ConfigError, StoreError when the program can't start.
    """
    try:
        if compiled.workers == 1:
            place = Place(inheritance=inheritance, command=command)
            return run(compiled, log, place=place, ready=ready, drain_s=drain_s)
        given = inheritance or Inheritance(Unit())
        return Supervisor(compiled, log, given, command=command, ready=ready, drain_s=drain_s).run()
    finally:
        log.flush(FLUSH_S)


class Supervisor:
    """Starts the processes, keeps them running, ends them in order."""

    def __init__(
        self,
        compiled: Compiled,
        log: Log,
        inheritance: Inheritance,
        *,
        command: Command | None,
        ready: Callable[[], None] | None,
        drain_s: float | None,
    ) -> None:
        self._compiled = replace(compiled, control_socket=free_of(compiled.control_socket))
        self._log = log
        self._inheritance = inheritance
        self._unit = inheritance.unit
        self._command = command
        self._ready = ready
        self._drain_s = compiled.drain_s if drain_s is None else drain_s
        self._theirs: set[str] = set()
        """Paths of Unix sockets whose files are not ours to take away."""
        self._successor: Successor | None = None
        """The program that is to take the place of this one, while it starts."""
        self._lifeline, self._life = os.pipe()
        self._woken, self._wakes = socketpair()
        self._control = Child(name="control", role=Role.CONTROL, sockets={})
        self._workers: list[Child] = []
        self._was_ready = False
        self._agreement: Agreement | None = None
        """A reload that is under way."""
        self._hung_up = False
        """SIGHUP came, and the control process was not told yet."""
        self._is_ending = False
        self._looked_mono = time.monotonic()
        """When it was last looked who hangs."""

    @property
    def _children(self) -> list[Child]:
        return [self._control, *self._workers]

    def run(self) -> int:
        """Run until a signal says stop; the exit code.

        Raises ConfigError when an address can't be had, or the first processes; StoreError.
        """
        os.umask(0o077)
        have_state(self._compiled, self._log)
        self._listen()
        self._take_signals()
        try:
            return self._keep_running()
        finally:
            self._end()

    # -- start --------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Bind every address, once for each worker; those of the admin API are the control process's."""
        number = self._compiled.workers
        public, admin = addresses_of(self._compiled), admin_addresses_of(self._compiled)
        taken = self._inheritance.take((*public, *admin))
        if unused := self._inheritance.drop():
            self._log.warning("sockets_unused", names=list(unused))
        self._theirs = {at.path for at, one in taken.items() if not one.is_ours}
        held = {at: one.sockets for at, one in taken.items()}
        for at in (*public, *admin):
            held[at] = held.get(at) or bound_sockets(at, number if at in public else 1)
        self._control = child_of("control", Role.CONTROL, {at: held[at] for at in admin})
        self._workers = [
            child_of(
                f"worker {index + 1}", Role.WORKER, {at: share(held[at], index, number) for at in public}
            )
            for index in range(number)
        ]

    def _take_signals(self) -> None:
        """A signal is a byte in a socket, so that waiting for one misses none."""
        for end in (self._woken, self._wakes):
            end.setblocking(False)
        for signum in NOTED:
            signal.signal(signum, _take_note)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, LATER)

    def _be(self, child: Child, report: int, line: Line) -> int:
        """In the child: let go of what is the others', then run; the exit code."""
        forget_signals(NOTED, LATER)
        os.close(self._life)
        self._inheritance.forget()
        if self._successor is not None:
            self._successor.forget()
        self._woken.close()
        self._wakes.close()
        for other in self._children:
            if other is not child:
                let_go(other, child)
        place = Place(
            role=child.role,
            name=child.name,
            sockets={at: Taken((bound, *child.also.get(at, ()))) for at, bound in child.sockets.items()},
            lifeline=self._lifeline,
            report=report,
            line=line,
            is_late=self._inheritance.is_handover,
        )
        return run(self._compiled, self._log.bind(process=child.name), place=place, drain_s=self._drain_s)

    # -- what goes on -------------------------------------------------------------------------

    def _keep_running(self) -> int:
        while True:
            clock.now()  # a jump of the system's clock is seen here, and who is forked knows of it
            self._start_what_is_due()
            self._wait(_LOOK_S)
            for signum in self._signals():
                if signum in {signal.SIGINT, signal.SIGTERM}:
                    return self._stop()
                self._hung_up = self._hung_up or signum == signal.SIGHUP
                if signum == signal.SIGUSR2:
                    self._upgrade(is_asked=False)
            for child in self._died():
                if not self._was_ready:
                    self._log.error("start_failed", process=child.name)
                    self._stop()
                    return 1
            self._end_what_hangs()
            self._tell_ready()
            self._reload()
            self._unit.alive()
            if self._is_succeeded():
                return self._stop(signal.SIGUSR2)

    def _start_what_is_due(self) -> None:
        """The control process first: it brings the store's tables up to date."""
        if self._agreement is not None:
            return  # whoever starts now would not know of it
        now = time.monotonic()
        for child in self._children:
            if not child.pid and now >= child.again_mono:
                if child is not self._control and not self._was_ready and not self._control.is_ready:
                    return
                self._start(child, now)

    def _start(self, child: Child, now_mono: float) -> None:
        """Where the system has no room for it, those that run go on, and it is tried again."""
        try:
            start(child, self._log, partial(self._be, child))
        except OSError as error:
            if not self._was_ready:
                fault = f"vestibule: process {child.name!r} can't be started: {error}"
                raise ConfigError((fault,)) from error
            self._log.error("process_not_started", process=child.name, error=repr(error))
            child.again_mono = now_mono + _AGAIN_S

    def _tell_ready(self) -> None:
        if self._was_ready or not all(child.is_ready for child in self._children):
            return
        # A process that is started anew then has it at once, and all share its pages. It takes a second in which no
        # signal is heard, so it is done before anybody is told.
        importlib.import_module("vestibule.control")
        self._was_ready = True
        number = {"workers": len(self._workers)}
        facts = fields_of(facts_of(self._compiled)) if self._ready is None else number
        self._log.info("ready", listening=[str(at) for at in addresses_of(self._compiled)], **facts)
        if self._ready is not None:
            self._ready()
        self._unit.ready("serving")
        self._inheritance.tell_ready()

    def _wait(self, timeout_s: float) -> None:
        """Until something is said, or a signal comes, or a due start."""
        now = time.monotonic()
        due = [child.again_mono - now for child in self._children if not child.pid and child.again_mono > now]
        pipes = {child.pipe: child for child in self._children if child.pipe >= 0}
        lines = {child.line.fileno(): child for child in self._children if child.line is not None}
        said = () if self._successor is None or self._successor.fileno() < 0 else (self._successor.fileno(),)
        poll = select.poll()
        for end in (self._woken.fileno(), *said, *pipes, *lines):
            poll.register(end, select.POLLIN)
        for end, _ in poll.poll(min([timeout_s, *due]) * 1000):
            if end in pipes:
                self._hear(pipes[end])
            elif end in lines:
                self._hear_line(lines[end])

    def _hear(self, child: Child) -> None:
        with contextlib.suppress(BlockingIOError):
            said = os.read(child.pipe, 4096)
            if not said:
                close(child)
                return
            child.heard_mono = time.monotonic()
            if READY in said and child is self._control and self._was_ready:
                self._unit.ready("serving")
            child.is_ready = child.is_ready or READY in said

    # -- another configuration ----------------------------------------------------------------

    def _hear_line(self, child: Child) -> None:
        """What a process says of configurations."""
        if (heard := said_by(child)) is None:
            return
        message, files = heard
        match message:
            case Wanted() if child is self._control and len(files) == 1:
                self._begin_reload(files[0])
            case Prepared() if self._agreement is not None:
                self._agreement.heard(child, message.faults)
            case Upgrade() if child is self._control:
                self._upgrade(is_asked=True)
            case Rereading() if child is self._control and not self._is_ending:
                self._unit.ready("serving") if message.is_over else self._unit.reloading()
        close_all(files)

    def _begin_reload(self, descriptor: int) -> None:
        """Have all processes make it ready; a failure to bind ends it before any is asked."""
        if self._agreement is not None or not all(child.is_ready for child in self._children):
            say(self._control, Outcome(("a process is being started: try again in a moment",)))
            return
        try:
            compiled = read(descriptor)
            self._agreement = agreement_on(
                compiled,
                public=addresses_of(compiled),
                admin=admin_addresses_of(compiled),
                control=self._control,
                workers=self._workers,
                until_mono=time.monotonic() + AGREE_S,
            )
        except ConfigError as error:
            say(self._control, Outcome(shortened(error.faults)))
            return
        self._agreement.begin(self._control, self._workers)

    def _reload(self) -> None:
        """Go on with a reload, and pass on the signal that asks for one."""
        if self._hung_up and self._control.is_ready and self._agreement is None:
            self._hung_up = False
            kill(self._control, signal.SIGHUP)
        agreement = self._agreement
        if agreement is None:
            return
        agreement.expire(time.monotonic())
        if not self._control.pid:
            agreement.faults += ("the control process has ended meanwhile",)
        if not agreement.is_settled:
            return
        self._agreement = None
        if agreement.faults:
            agreement.abandon()
            say(self._control, Outcome(shortened(agreement.faults)))
            return
        self._take(agreement)
        say(self._control, Outcome())

    def _take(self, agreement: Agreement) -> None:
        """It is in force from now on, for whoever is started from now on, too."""
        gone = {at for worker in self._workers for at in worker.sockets}
        self._compiled = replace(agreement.compiled, control_socket=self._compiled.control_socket)
        kept = (*addresses_of(agreement.compiled), *admin_addresses_of(agreement.compiled))
        agreement.commit(self._control, self._workers, kept)
        unlink(gone - set(addresses_of(agreement.compiled)), self._theirs)
        for child in self._children:
            if child in agreement.outdated:
                self._log.warning("process_outdated", process=child.name, pid=child.pid)
                child.is_outdated = True
                kill(child, signal.SIGTERM)

    # -- what is heard and seen ---------------------------------------------------------------

    def _signals(self) -> Iterator[int]:
        with contextlib.suppress(BlockingIOError):
            yield from self._woken.recv(4096)

    def _died(self) -> Iterator[Child]:
        """Those that have ended, each put down to be started again."""
        for child, pid, code in dead(self._children):
            self._log.warning("process_died", process=child.name, pid=pid, code=code)
            if child is self._control and self._was_ready:
                self._unit.ready("pages, admin API and jobs are started anew")  # whatever it was reading
            if self._agreement is not None:
                self._agreement.lost(child)
            yield child

    def _end_what_hangs(self) -> None:
        now = time.monotonic()
        for child, limit_s in hanging(self._children, now, self._looked_mono):
            self._log.error("process_hangs", process=child.name, pid=child.pid, silent_s=limit_s)
            kill(child, signal.SIGKILL)
            child.heard_mono = now
        self._looked_mono = now

    # -- another program in its place ---------------------------------------------------------

    def _upgrade(self, *, is_asked: bool) -> None:
        """Start the program that takes the place of this one; `is_asked`: the control process waits for word of it."""
        try:
            sockets = partial(handed, self._children, self._theirs)
            self._successor = begun(
                self._successor, self._command, sockets, self._log, is_ending=self._is_ending
            )
        except UpgradeError as error:
            self._tell_not_upgraded(error.faults, is_asked=is_asked)

    def _is_succeeded(self) -> bool:
        """True when the other program serves; where it won't, all goes on as it was."""
        successor = self._successor
        if successor is None or (is_ready := successor.look()) is None:
            return False
        self._successor = None
        if not is_ready:
            self._tell_not_upgraded(successor.faults)
            return False
        self._theirs = {at.path for child in self._children for at in child.sockets}
        self._unit.succeeded_by(successor.pid)
        self._log.info("upgraded", pid=successor.pid)
        say(self._control, Upgraded())
        return True

    def _tell_not_upgraded(self, faults: tuple[str, ...], *, is_asked: bool = True) -> None:
        self._log.error("upgrade_failed", faults=list(faults))
        if is_asked:
            say(self._control, Upgraded(shortened(faults)))

    # -- end ----------------------------------------------------------------------------------

    def _stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """The workers first, which still need the control process; the exit code. SIGUSR2: others serve already."""
        self._is_ending = True
        self._log.info("stopping")
        self._unit.stopping()
        if self._successor is not None:
            self._successor.end()
        for child in self._workers:
            let_go(child)
        clean = self._ended(self._workers, signum) and self._ended([self._control], signum)
        self._log.info("stopped")
        return 0 if clean else 1

    def _ended(self, children: list[Child], signum: signal.Signals) -> bool:
        """True when all end by themselves, in time; a second signal means now."""
        until_mono = time.monotonic() + self._drain_s + self._compiled.drain_delay_s + _LAST_S
        return ended(children, signum, until_mono, self._is_told_again)

    def _is_told_again(self) -> bool:
        """Whether somebody says that it has to be now, waited for a moment."""
        self._wait(0.05)
        return not {signal.SIGINT, signal.SIGTERM}.isdisjoint(self._signals())

    def _end(self) -> None:
        """Nothing is left behind, however it came to this."""
        ignore_later()
        for child in self._children:
            kill(child, signal.SIGKILL)
        unlink((at for child in self._children for at in child.sockets), self._theirs)
        unlink([self._compiled.control_socket], self._theirs)
        signal.set_wakeup_fd(-1)


def _take_note(_signum: int, _frame: FrameType | None) -> None:
    """The signal's number is in the wake-up socket."""
