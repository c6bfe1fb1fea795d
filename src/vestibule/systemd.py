"""What systemd hands over to a service, and what a service tells it; nothing happens where it isn't there.

Sockets come as open files behind the three standard ones (sd_listen_fds(3)), words go as datagrams (sd_notify(3)).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, MutableMapping
from typing import Final

import msgspec

_FIRST: Final = 3
_LISTEN: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_NOTIFY: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_UNNAMED: Final = "unknown"


class Given(msgspec.Struct, frozen=True):
    """A socket that systemd listens on for this program."""

    name: str
    """Its `FileDescriptorName`; without one the name of its unit."""
    socket: socket.socket


def given_sockets(environ: MutableMapping[str, str], pid: int) -> tuple[Given, ...]:
    """The sockets that are meant for this process; what tells of them is taken out of `environ`.

    Raises: ValueError, when that can't be read, or one of them is no listening stream.
    """
    number, whose, names = (environ.pop(name, "") for name in _LISTEN)
    if not number or whose != str(pid):
        return ()
    called = names.split(":") if names else []
    return tuple(
        Given(called[at] if at < len(called) else _UNNAMED, _listening(_FIRST + at))
        for at in range(int(number))
    )


def _listening(number: int) -> socket.socket:
    """The socket of this number, for this program alone from now on."""
    try:
        found = socket.socket(fileno=number)
        is_stream = found.type == socket.SOCK_STREAM
        if not is_stream or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(f"file {number} that systemd handed over is no listening stream socket")
    except OSError as exc:
        raise ValueError(f"file {number} that systemd handed over is no socket: {exc.strerror}") from exc
    found.set_inheritable(False)
    found.setblocking(False)
    return found


class Unit:
    """The service that this program is to systemd; tells nobody where there is none."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        """`address`: where datagrams go to, `@` for the abstract ones; empty: nowhere."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = watchdog_s
        """How often it must be heard of; 0: it need not."""
        self._is_awaited = True
        """`READY=1` is to be said: it wasn't yet, or not since the last `RELOADING=1`."""

    @classmethod
    def of(cls, environ: MutableMapping[str, str], pid: int) -> Unit:
        """That of this process; what tells of it is taken out of `environ`: no program we start speaks for it."""
        address, usec, whose = (environ.pop(name, "") for name in _NOTIFY)
        if not address.startswith(("/", "@")):
            return cls()
        is_watched = usec.isdecimal() and whose in ("", str(pid))
        return cls(address, int(usec) / 1e6 if is_watched else 0.0)

    def __bool__(self) -> bool:
        return bool(self._address)

    def ready(self, status: str) -> None:
        """It listens, or it goes on after a reload; where both were said already, only what it does is."""
        self._tell(*(("READY=1",) if self._is_awaited else ()), f"STATUS={status}")
        self._is_awaited = False

    def reloading(self) -> None:
        """It reads its configuration anew; `ready` follows, whatever comes of it."""
        self._is_awaited = True
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={usec}", "STATUS=reading the configuration")

    def stopping(self) -> None:
        """It lets answers under way end."""
        self._tell("STOPPING=1", "STATUS=answers under way end")

    def alive(self) -> None:
        """It goes on."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line on what it does."""
        self._tell(f"STATUS={text}")

    def succeeded_by(self, pid: int) -> None:
        """Another process is the service from now on; this one only lets its answers end."""
        self._tell(f"MAINPID={pid}", "READY=1", "STATUS=replaced; the last answers of the old program end")
        self._address = ""

    def _tell(self, *words: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),  # whoever asked for words may be gone
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
        ):
            told.setblocking(False)
            told.sendto("\n".join(_lines(words)).encode(), self._address)


def _lines(words: tuple[str, ...]) -> Iterator[str]:
    """Threat: a text of ours with a line break in it would be a word of its own."""
    return (word.replace("\n", " ") for word in words)
