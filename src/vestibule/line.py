"""What supervisor and processes say to each other, over a pair of sockets that each child is born with.

A message is a few hundred bytes; a configuration goes as a file in memory, listening sockets as what they are
(SCM_RIGHTS). Who sends is this program's own parent or child: nobody else can have an end of the pair, and that is
why a configuration may be a pickle.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from vestibule.config.compile import Compiled
from vestibule.core.listener import ListenAddress

FILES_MAX: Final = 240
"""So many go with one message: the kernel takes 253."""
FAULTS_MAX: Final = 20
FAULT_CHARS: Final = 1000
_MESSAGE_MAX_BYTES: Final = 180_000


class Wanted(msgspec.Struct, frozen=True, tag="wanted"):
    """From the control process: this configuration (the file) is to be in force everywhere."""


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """To each process: have it ready. The first file is the configuration, the others sockets of these addresses."""

    addresses: tuple[ListenAddress, ...]


class Prepared(msgspec.Struct, frozen=True, tag="prepared"):
    """From each: it is, or why not."""

    faults: tuple[str, ...] = ()


class Commit(msgspec.Struct, frozen=True, tag="commit"):
    """To each: it is in force."""


class Abandon(msgspec.Struct, frozen=True, tag="abandon"):
    """To each: another one can't take it, so forget it."""


class Outcome(msgspec.Struct, frozen=True, tag="outcome"):
    """To the control process: it is in force everywhere, or why nowhere."""

    faults: tuple[str, ...] = ()


class Upgrade(msgspec.Struct, frozen=True, tag="upgrade"):
    """From the control process: another program is to take the place of this one."""


class Upgraded(msgspec.Struct, frozen=True, tag="upgraded"):
    """To the control process: it has, or why not."""

    faults: tuple[str, ...] = ()


class Rereading(msgspec.Struct, frozen=True, tag="rereading"):
    """From the control process: a signal has it read the files anew; or it has, whatever came of it."""

    is_over: bool = False


Message: TypeAlias = Wanted | Prepare | Prepared | Commit | Abandon | Outcome | Upgrade | Upgraded | Rereading
_decode: Final = msgspec.json.Decoder(Message).decode
_encode: Final = msgspec.json.Encoder().encode


class Line:
    """One end. Nothing waits: what can't be sent or heard at once raises BlockingIOError."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    def fileno(self) -> int:
        """For who waits until something is said; -1 when it is closed."""
        return self._end.fileno()

    def say(self, message: Message, files: Sequence[int] = ()) -> None:
        """Send it; the files stay open here. Raises OSError."""
        socket.send_fds(self._end, [_encode(message)], files)

    def hear(self) -> tuple[Message, list[int]] | None:
        """What was said, with its files, which are the hearer's to close; None: nobody is there any more.

        Raises OSError.
        """
        data, files, _flags, _address = socket.recv_fds(self._end, _MESSAGE_MAX_BYTES, FILES_MAX)
        return (_decode(data), files) if data else None

    def close(self) -> None:
        """Let go of it."""
        self._end.close()


def line_pair() -> tuple[Line, Line]:
    """The two ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Line(ours), Line(theirs)


def shortened(faults: Iterable[str]) -> tuple[str, ...]:
    """As many faults as a message holds."""
    return tuple(fault[:FAULT_CHARS] for fault in faults)[:FAULTS_MAX]


def written(compiled: Compiled) -> int:
    """The configuration as a file in memory, which has no name; the caller closes it."""
    descriptor = os.memfd_create("configuration", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        pickle.dump(compiled, file, pickle.HIGHEST_PROTOCOL)
    return descriptor


def read(descriptor: int) -> Compiled:
    """The configuration in such a file, however far somebody else has read it."""
    with open(f"/proc/self/fd/{descriptor}", "rb") as file:  # noqa: PTH123 - a place of its own to read from
        found = pickle.load(file)  # noqa: S301 - see the first lines
    if not isinstance(found, Compiled):
        raise TypeError("no configuration")
    return found


def close_all(files: Iterable[int]) -> None:
    """Close these."""
    for descriptor in files:
        with contextlib.suppress(OSError):
            os.close(descriptor)
