"""One program takes the place of another: sockets handed on, open as they are, and word sent back when it is ready.

The old program starts the new one as its child (`Successor`), with the files of its sockets and two pipes, which are
told of in `VESTIBULE_HANDOVER`. The new one takes them (`Inheritance`), and accepts beside the old one as soon as it
can do all its work. Only when it says so does the old one stop accepting, and lets its answers end. Whatever goes
wrong before leaves the old one as it was. systemd's sockets come in the same way, so that both are one thing to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Final, Protocol

import msgspec

from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError
from vestibule.observe.log import Log
from vestibule.protocol.address import normalise
from vestibule.proxy.binding import Handed, Taken
from vestibule.systemd import Given, Unit, given_sockets

VARIABLE: Final = "VESTIBULE_HANDOVER"
START_S: Final = 50.0
"""How long a new program may take until it is ready."""
SETTLE_S: Final = 1.0
"""How long it must have served beside the old one before that goes: one that crashes at once takes nobody's place."""
_READY: Final = b"ready\n"
_SAID_LIMIT_BYTES: Final = 64 * 1024


class _Told(msgspec.Struct, frozen=True):
    """What `VESTIBULE_HANDOVER` holds."""

    report: int
    life: int
    sockets: dict[str, Handed]


class Inheritance:
    """What a process was given when it was started; nothing, mostly."""

    def __init__(self, unit: Unit, given: Iterable[Given] = (), told: _Told | None = None) -> None:
        self.unit = unit
        self._given = list(given)
        self._report = told.report if told is not None else -1
        self.life = told.life if told is not None else -1
        """A pipe's end that is at its end when the old program is gone; -1: there was none."""
        self._by_address = {
            key: Taken(tuple(_adopted(number) for number in handed.files), handed.is_ours)
            for key, handed in (told.sockets.items() if told is not None else ())
        }

    @classmethod
    def of(cls, environ: MutableMapping[str, str], pid: int) -> Inheritance:
        """That of this process; what tells of it is taken out of `environ`. Raises ConfigError."""
        try:
            given = given_sockets(environ, pid)
            text = environ.pop(VARIABLE, "")
            told = msgspec.json.decode(text, type=_Told) if text else None
            unit = Unit.of(environ, pid)
            if told is not None:
                for number in (told.report, told.life):
                    os.set_inheritable(number, False)
            return cls(unit, given, told)
        except (ValueError, OSError, msgspec.MsgspecError) as exc:
            raise ConfigError((f"what this program was started with can't be used: {exc}",)) from exc

    @property
    def is_handover(self) -> bool:
        """True when another program waits for this one to be ready."""
        return self._report >= 0

    def take(self, addresses: Iterable[ListenAddress]) -> dict[ListenAddress, Taken]:
        """The sockets that are there for these addresses, each given once."""
        found = {}
        for address in addresses:
            taken = self._by_address.pop(str(address), None) or self._taken_of_systemd(address)
            if taken is not None:
                found[address] = taken
        return found

    def _taken_of_systemd(self, address: ListenAddress) -> Taken | None:
        sockets = tuple(one.socket for one in self._given if _is_for(one, address))
        self._given = [one for one in self._given if one.socket not in sockets]
        return Taken(sockets, is_ours=False) if sockets else None

    def drop(self) -> tuple[str, ...]:
        """Close what nobody has taken; the names of those that systemd gave."""
        for taken in self._by_address.values():
            for one in taken.sockets:
                one.close()
        names = tuple(given.name for given in self._given)
        for given in self._given:
            given.socket.close()
        self._by_address, self._given = {}, []
        return names

    def tell_ready(self) -> None:
        """The old program may go."""
        self._say(_READY)

    def tell_faults(self, faults: Iterable[str]) -> None:
        """The old program goes on, and can tell why."""
        self._say("".join(f"{fault}\n" for fault in faults).encode())

    def forget(self) -> None:
        """In a process that was forked: the word is its parent's."""
        for number in (self._report, self.life):
            if number >= 0:
                os.close(number)
        self._report = self.life = -1

    def _say(self, said: bytes) -> None:
        if self._report >= 0:
            with contextlib.suppress(OSError):
                os.write(self._report, said[:_SAID_LIMIT_BYTES])
            os.close(self._report)
            self._report = -1


_NOT_HANDED_ON: Final = frozenset(("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID", VARIABLE))


class Command(msgspec.Struct, frozen=True):
    """How this program was started, for another one in its place."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    """As it was when the program began."""

    @classmethod
    def of(cls, python: str, arguments: Sequence[str], environ: Mapping[str, str]) -> Command:
        """The same command by the same name of Python, which may be another one by then.

        `-P`: what lies in the working directory stands for no module of ours.
        """
        kept = {name: value for name, value in environ.items() if name not in _NOT_HANDED_ON}
        return cls((python, "-P", "-m", "vestibule", *arguments), kept)


class Successor:
    """The new program, while it starts."""

    def __init__(self, process: subprocess.Popen[bytes], said: int, life: int) -> None:
        self._process = process
        self._said = said
        self._life = life
        """Held open until this process ends, which the new one then knows."""
        self._text = b""
        self._until_mono = time.monotonic() + START_S
        self._settled_mono = 0.0
        """When the old program may go; 0: it is not ready yet."""
        self.faults: tuple[str, ...] = ()
        """What went wrong."""

    @classmethod
    def start(cls, command: Command, handed: Mapping[str, Handed]) -> Successor:
        """Started, with these sockets. Raises OSError."""
        said, report = os.pipe()
        lives, life = os.pipe()
        try:
            told = _Told(report, lives, dict(handed))
            files = (report, lives, *(number for one in handed.values() for number in one.files))
            process = subprocess.Popen(  # noqa: S603 - what the operator started, once more
                command.arguments,
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                env={**command.environ, VARIABLE: msgspec.json.encode(told).decode()},
            )
        except BaseException:
            os.close(said)
            os.close(life)
            raise
        finally:
            os.close(report)
            os.close(lives)
        os.set_blocking(said, False)
        return cls(process, said, life)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def fileno(self) -> int:
        """What can be read when there is something to look at; -1: nothing more will be said."""
        return self._said

    def wait(self) -> bool:
        """Whether it is ready, once that is known: blocks until then."""
        while (is_ready := self.look()) is None:
            poll = select.poll()
            if self._said >= 0:
                poll.register(self._said, select.POLLIN)
            poll.poll(_LOOK_MS)
        return is_ready

    def forget(self) -> None:
        """In a process that was forked: it is its parent's."""
        self._close()

    def _close(self) -> None:
        for number in (self._said, self._life):
            if number >= 0:
                os.close(number)
        self._said = self._life = -1

    def give_up(self) -> None:
        """It has no time any more: the next look ends it. May be called from another thread."""
        self._until_mono = 0.0

    def look(self) -> bool | None:
        """True: it is ready. False: it won't be, and `faults` say why. None: not yet."""
        if self._settled_mono:
            return self._settled()
        with contextlib.suppress(BlockingIOError):
            while self._text != _READY and (piece := os.read(self._said, 4096)):
                self._text = (self._text + piece)[-_SAID_LIMIT_BYTES:]
            return self._ended()
        if time.monotonic() < self._until_mono:
            return None
        why = f"the new program was not ready within {START_S:.0f} s"
        return self._is_not_to_be(why if self._until_mono else _TOLD_TO_END)

    def _is_not_to_be(self, *faults: str) -> bool:
        self.faults = faults
        self.end()
        return False

    def _settled(self) -> bool | None:
        """It serves. Threat: the old program goes for one that has ended again by then, and nobody serves."""
        code = self._process.poll()
        if code is not None:
            return self._is_not_to_be(f"the new program ended with {code} as soon as it served; see its log")
        if not self._until_mono:
            return self._is_not_to_be(_TOLD_TO_END)
        return True if time.monotonic() >= self._settled_mono else None

    def _ended(self) -> bool | None:
        """It has said all it will."""
        if self._text == _READY:
            os.close(self._said)
            self._said = -1
            self._settled_mono = time.monotonic() + SETTLE_S
            return self._settled()
        lines = self._text.decode("utf-8", "replace").splitlines()
        self.end()
        code = self._process.returncode
        self.faults = tuple(lines) or (f"the new program ended with {code} before it was ready; see its log",)
        return False

    def end(self) -> None:
        """It is not to be: ended, and forgotten."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()


_TOLD_TO_END: Final = "this program was told to end meanwhile"
_ENDS_S: Final = 5.0
_LOOK_MS: Final = 100


class UpgradeError(Exception):
    """No program takes the place of this one; `faults` say why."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults


def begun(
    under_way: Successor | None,
    command: Command | None,
    holder: Callable[[], Mapping[str, Handed]],
    log: Log,
    *,
    is_ending: bool,
) -> Successor:
    """The program that is to take the place of this one, started with what the holder has. Raises UpgradeError."""
    if is_ending:  # its sockets are closed, or will be at once
        raise UpgradeError("this program is being stopped, or replaced, already")
    if under_way is not None:
        raise UpgradeError("another program is being started already")
    if command is None:
        raise UpgradeError("this one was not started by `vestibule serve`")
    if why := why_not(os.getpid()):
        raise UpgradeError(why)
    log.info("upgrade_begun", command=list(command.arguments))
    try:
        return Successor.start(command, holder())
    except OSError as exc:
        raise UpgradeError(f"the new program can't be started: {exc.strerror}") from exc


class Holder(Protocol):
    """Has the sockets."""

    def handed(self) -> Mapping[str, Handed]:
        """By address, what another program needs to go on with them."""

    def stand_beside(self) -> asyncio.Task[None] | None:
        """Another program is about to change what this one may have cached; cancelled when there is none."""

    def hand_over(self) -> None:
        """Another program has them now, and serves beside this one."""


class Replacement:
    """Has another program take the place of this one, once."""

    def __init__(self, holder: Holder, command: Command | None, unit: Unit, log: Log) -> None:
        """`command`: without it this program can't be started again."""
        self._holder = holder
        self._command = command
        self._unit = unit
        self._log = log
        self._successor: Successor | None = None
        self._is_over = False
        """This program ends, or another has its place."""
        self.is_done = asyncio.Event()
        """Set when the other one serves: this one may go."""

    async def run(self) -> tuple[str, ...]:
        """Start the other one and wait until it serves; what went wrong, nothing when it does."""
        try:
            await self._run()
        except UpgradeError as error:
            self._log.error("upgrade_failed", faults=list(error.faults))
            return error.faults
        return ()

    async def _run(self) -> None:
        successor = begun(
            self._successor, self._command, self._holder.handed, self._log, is_ending=self._is_over
        )
        self._successor = successor
        beside = self._holder.stand_beside()
        is_ready = False
        try:
            is_ready = await asyncio.to_thread(successor.wait)
        except asyncio.CancelledError:
            successor.give_up()
            raise
        finally:
            self._successor = None
            if not is_ready and beside is not None:
                beside.cancel()
        if not is_ready:
            raise UpgradeError(*successor.faults)
        self._is_over = True
        self._holder.hand_over()
        self._unit.succeeded_by(successor.pid)
        self._log.info("upgraded", pid=successor.pid)
        self.is_done.set()

    def give_up(self) -> None:
        """This program ends: the other one, if one is being started, is not to be, nor is any from now on."""
        self._is_over = True
        if self._successor is not None:
            self._successor.give_up()


def why_not(pid: int) -> str:
    """Why this process can't be replaced by another; empty where it can."""
    if pid == 1:
        return (
            "this program is process 1 of its container, which ends with it: start a container of the new version, "
            "wait until it is ready, and stop this one"
        )
    return ""


def _adopted(number: int) -> socket.socket:
    found = socket.socket(fileno=number)
    found.set_inheritable(False)
    found.setblocking(False)
    return found


def _is_for(given: Given, address: ListenAddress) -> bool:
    """True for the socket of this name, or one that is bound to this very address."""
    if address.systemd:
        return given.name == address.systemd
    if given.socket.family == socket.AF_UNIX:
        return bool(address.path) and given.socket.getsockname() == address.path
    if address.path:
        return False
    host, port = given.socket.getsockname()[:2]
    return port == address.port and _same(host, address.host)


def _same(host: str, other: str) -> bool:
    with contextlib.suppress(ValueError):
        return normalise(host) == normalise(other)
    return False
