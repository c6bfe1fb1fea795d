"""A process that the supervisor keeps running: what it has, and the ways to and from it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from socket import socket
from typing import Final

import msgspec
from msgspec.structs import replace

from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError, StoreError
from vestibule.line import Line, Message
from vestibule.observe.log import Log
from vestibule.proxy.binding import Handed, is_stale
from vestibule.role import Role

_OTHER_PAGES: Final = "page2.sock"
"""As long as the usual name."""
_AGAIN_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""How long to wait before a process that died so often in a row without having become ready is started again."""


class Child(msgspec.Struct, kw_only=True):
    """One process to be kept running."""

    name: str
    role: Role
    sockets: dict[ListenAddress, socket]
    also: dict[ListenAddress, tuple[socket, ...]] = {}
    """Further ones of the same addresses."""
    pid: int = 0
    """0: it doesn't run."""
    pipe: int = -1
    """What it says is read here."""
    line: Line | None = None
    """By which it is told of another configuration."""
    is_outdated: bool = False
    """It could not be told of the configuration in force, and ends."""
    is_ready: bool = False
    heard_mono: float = 0.0
    deaths: int = 0
    """How often in a row it died before it was ready."""
    again_mono: float = 0.0
    """When it may be started."""


def forget_signals(noted: Iterable[signal.Signals], later: Iterable[signal.Signals]) -> None:
    """In a process that was forked: its parent notes them no more, and each does what it does by itself.

    None of them may come in before: those of `later` wait on until somebody listens to them.
    """
    signal.set_wakeup_fd(-1)
    for signum in noted:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*noted} - {*later})


def share(sockets: Sequence[socket], index: int, number: int) -> Sequence[socket]:
    """Those of one of so many workers: each socket is somebody's, and each worker has one."""
    return sockets[index::number] or (sockets[index % len(sockets)],)


def let_go(child: Child, but_of: Child | None = None) -> None:
    """Close what is the child's here, but for sockets that the other has, too."""
    kept = set() if but_of is None else {one.fileno() for one in sockets_of(but_of)}
    for one in sockets_of(child):
        if one.fileno() not in kept:
            one.close()
    if but_of is not None:
        close(child)


def sockets_of(child: Child) -> Iterator[socket]:
    """All that it has."""
    yield from child.sockets.values()
    for each in child.also.values():
        yield from each


def close(child: Child) -> None:
    """Listen to it no more."""
    if child.pipe >= 0:
        os.close(child.pipe)
        child.pipe = -1
    hang_up(child)


def bury(child: Child, now_mono: float) -> None:
    """It has ended, and is to be started again."""
    close(child)
    child.deaths = 0 if child.is_ready else child.deaths + 1
    child.pid, child.is_ready = 0, False
    child.again_mono = now_mono + _AGAIN_S[min(child.deaths, len(_AGAIN_S) - 1)]


def hang_up(child: Child) -> None:
    """Say nothing more to it."""
    if child.line is not None:
        child.line.close()
        child.line = None


def tell_failure(log: Log, error: BaseException) -> None:
    """Why a process could not begin, or could not go on."""
    match error:
        case ConfigError():
            log.error("process_failed", faults=list(error.faults))
        case StoreError():
            log.error("process_failed", error=error.message, detail=error.detail)
        case _:
            log.error("process_failed", error=repr(error))


def said_by(child: Child) -> tuple[Message, list[int]] | None:
    """What it says next, with files that are the hearer's to close; None: it says nothing any more."""
    heard = None
    with contextlib.suppress(OSError):
        heard = child.line.hear() if child.line is not None else None
    if heard is None:
        hang_up(child)
    return heard


def unlink(addresses: Iterable[ListenAddress], theirs: Container[str]) -> None:
    """Take away the files of Unix sockets, but for `theirs`."""
    for at in addresses:
        if at.path and at.path not in theirs:
            with contextlib.suppress(OSError):
                os.unlink(at.path)  # noqa: PTH108 - as bound


def kill(child: Child, signum: signal.Signals) -> None:
    """Send it the signal, if it runs."""
    if child.pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signum)


def child_of(name: str, role: Role, sockets: Mapping[ListenAddress, Sequence[socket]]) -> Child:
    """One that has these sockets, and doesn't run yet."""
    return Child(
        name=name,
        role=role,
        sockets={at: each[0] for at, each in sockets.items()},
        also={at: tuple(each[1:]) for at, each in sockets.items()},
    )


def handed(children: Iterable[Child], theirs: Container[str]) -> dict[str, Handed]:
    """Every address with all its sockets, whoever has them; `theirs`: paths of files that are not ours."""
    files: dict[ListenAddress, dict[int, None]] = {}
    for child in children:
        for at, bound in child.sockets.items():
            numbers = (one.fileno() for one in (bound, *child.also.get(at, ())))
            files.setdefault(at, {}).update(dict.fromkeys(numbers))
    return {
        str(at): Handed(tuple(numbers), is_ours=at.path not in theirs)
        for at, numbers in files.items()
        if not at.is_any_port
    }


def free_of(address: ListenAddress) -> ListenAddress:
    """The address, or another where a program that this one replaces still has it; both are as long."""
    path = Path(address.path)
    if not path.is_socket() or is_stale(path):
        return address
    return replace(address, path=str(path.with_name(_OTHER_PAGES)))
