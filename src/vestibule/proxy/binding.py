"""Sockets bound to the addresses that are listened on: what is replaced, what never is, what to do about a refusal."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
from pathlib import Path
from typing import TypeAlias

import msgspec

from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError

_ADVICE = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "this user may not; below 1024 that takes root or CAP_NET_BIND_SERVICE, so choose a higher port",
    errno.EAFNOSUPPORT: "this machine has no addresses of this family",
}
_SOCKET_ADVICE = {
    0: "the path is longer than a Unix socket's may be; choose a shorter directory",  # Python's own, without a number
    errno.EADDRINUSE: "another program listens there, perhaps another vestibule on this state directory; stop it, "
    "or choose another directory",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may give its file to no group that it isn't in itself",
    errno.ENOENT: "there is no such directory",
}

_GONE_AFTER = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""A silent peer is asked after so many seconds whether it is there, again after so many, and so often."""

Which: TypeAlias = tuple[int, int]
"""Device and number of a socket's file: another one of the same path has others."""


class Taken(msgspec.Struct, frozen=True):
    """The sockets of one address that somebody else has bound."""

    sockets: tuple[socket.socket, ...]
    """Several, where a name of systemd's stands for them, or where there were more processes before."""
    is_ours: bool = False
    """True: the file of a Unix socket is ours to take away in the end."""


class Handed(msgspec.Struct, frozen=True):
    """The same, by the numbers of their files, as another program is given them."""

    files: tuple[int, ...]
    is_ours: bool = True


def bound_socket(address: ListenAddress, *, is_shared: bool = False) -> socket.socket:
    """The bound socket; `is_shared`: others may be bound to the same port. Raises ConfigError, with what to do."""
    if address.systemd:
        why = (
            "systemd handed over no socket of this name; start the program by its socket unit, with "
            f"FileDescriptorName={address.systemd}"
        )
        raise ConfigError((f"can't listen on {address}: {why}",))
    try:
        return open_socket(address, is_shared=is_shared)
    except OSError as exc:
        advice = _SOCKET_ADVICE if address.path else _ADVICE
        why = advice.get(exc.errno or 0) or exc.strerror or str(exc)
        raise ConfigError((f"can't listen on {address}: {why}",)) from exc


def bound_sockets(
    address: ListenAddress, number: int, *, is_shared: bool = False
) -> tuple[socket.socket, ...]:
    """So many sockets for one address, over which the system spreads connections; of a Unix socket one for all.

    `is_shared`: the port is this program's already, at an address that is about to go. Raises ConfigError where another
    program listens there, which SO_REUSEPORT alone would not tell.
    """
    first = bound_socket(address, is_shared=is_shared)
    if address.path:
        return (first,) * number
    host, port = first.getsockname()[:2]
    first.close()
    exact = msgspec.structs.replace(address, host=host, port=port)
    return tuple(bound_socket(exact, is_shared=True) for _ in range(number))


def open_socket(address: ListenAddress, *, is_shared: bool = False) -> socket.socket:
    """The bound socket. Raises OSError. A stale Unix socket of the same path is replaced, another file never."""
    family = socket.AF_UNIX if address.path else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.path:
            _bind_file(bound, address)
        else:
            _bind_port(bound, address)
    except BaseException:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _bind_port(bound: socket.socket, address: ListenAddress) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if bound.family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.bind((address.host, address.port))


def _notice_who_is_gone(bound: socket.socket) -> None:
    """Have the system end the connections of peers that have vanished; what is accepted takes it from the listener.

    Threat: a WebSocket or a stream of a machine that was switched off is open, and silent, for ever.
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _GONE_AFTER:
        if hasattr(socket, name):
            bound.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _bind_file(bound: socket.socket, address: ListenAddress) -> None:
    path = Path(address.path)
    group = -1 if not address.owner_group else _group(address.owner_group)
    if path.is_socket():
        if not is_stale(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        path.unlink()
    bound.bind(address.path)
    if group >= 0:
        os.chown(path, -1, group)
    path.chmod(address.file_mode)


def _group(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise OSError(errno.EINVAL, f"this machine has no group `{name}`") from None


def is_stale(path: Path) -> bool:
    """True for a Unix socket that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False


def which(path: str) -> Which | None:
    """Which file stands there; None: none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a path as text
    except OSError:
        return None
    return found.st_dev, found.st_ino


def unlink(path: str, ours: Which | None) -> None:
    """Take the socket's file away, unless it is somebody else's by now."""
    if ours is not None and which(path) == ours:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - a path as text


class Bound:
    """An address, and the sockets that it has: one, unless it was given several."""

    def __init__(self, address: ListenAddress) -> None:
        self.address = address
        self.port = address.shown_port
        self.taken: Taken | None = None
        """Its sockets, where somebody else has bound them."""
        self.sockets: tuple[socket.socket, ...] = ()
        self._file: Which | None = None

    def bind(self, *, is_shared: bool = False) -> tuple[socket.socket, ...]:
        """Its sockets, bound now where nobody has yet; `is_shared` as in `bound_socket`. Raises ConfigError."""
        if not self.sockets:
            taken = self.taken
            self.sockets = (
                taken.sockets if taken is not None else (bound_socket(self.address, is_shared=is_shared),)
            )
            if self.address.path and (taken is None or taken.is_ours):
                self._file = which(self.address.path)
        if self.sockets[0].family != socket.AF_UNIX:
            self.port = self.sockets[0].getsockname()[1]
            for one in self.sockets:
                _notice_who_is_gone(one)
        return self.sockets

    def succeed(self, other: Bound) -> None:
        """Go on with the sockets of another that is about to stop: what waits there to be accepted waits on."""
        self.sockets = tuple(one.dup() for one in other.bind())
        self._file, other._file = other._file, None

    def give_back(self, other: Bound) -> None:
        """The other goes on after all: the file of its socket is its own again."""
        if self._file is not None:
            self._file, other._file = None, self._file

    def share_port(self) -> None:
        """Let another bind the same port beside this one: an address of its own, or all of them."""
        for one in self.bind():
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def handed(self) -> Handed:
        """What another program needs to go on with its sockets."""
        is_ours = not self.address.path or self._file is not None
        return Handed(tuple(one.fileno() for one in self.bind()), is_ours)

    def hand_over(self) -> None:
        """Another program has its sockets, and sees to their file."""
        self._file = None

    def let_go(self) -> None:
        """Take away the file of its socket; what stands there without having been bound here is somebody else's."""
        unlink(self.address.path, self._file)
        self._file = None

    def drop(self) -> None:
        """Close sockets that nobody has listened on."""
        if self.sockets:
            self.let_go()
            for one in self.sockets:
                one.close()
            self.sockets = ()
