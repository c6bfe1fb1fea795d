"""A listening socket: accepts connections, watches their deadlines, drains them when the program goes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import msgspec

from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError
from vestibule.protocol.h1 import HeadCheck
from vestibule.proxy.downstream_h1 import H1Connection, Handler

BACKLOG = 1024
_ADVICE = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "this user may not; below 1024 that takes root or CAP_NET_BIND_SERVICE, so choose a higher port",
}
_SOCKET_ADVICE = {
    0: "the path is longer than a Unix socket's may be; choose a shorter directory",  # Python's own, without a number
    errno.EADDRINUSE: "another program listens there, perhaps another vestibule on this state directory; stop it, "
    "or choose another directory",
    errno.EACCES: "this user may not write there",
    errno.ENOENT: "there is no such directory",
}


class Listening(Protocol):
    """A listener, of whatever protocol."""

    port: int
    address: ListenAddress
    bound: socket.socket | None
    """The socket, where somebody else has bound it, and will unlink it."""

    @property
    def open(self) -> Collection[object]:
        """Its connections."""

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address can't be had."""

    def sweep(self, now: float) -> None:
        """End what has waited past its deadline."""

    def stop(self) -> None:
        """Accept nothing more."""

    def abort(self) -> None:
        """Close what is still open."""


class Listener:
    """One address, one handler."""

    def __init__(
        self,
        address: ListenAddress,
        handler: Handler,
        *,
        clock: Callable[[], float],
        slashes: bool = False,
    ) -> None:
        self.address = address
        self.handler = handler
        self.scheme = address.scheme
        self.slashes = slashes
        self.port = address.port
        self.check = HeadCheck()
        self.draining = False
        self.bound: socket.socket | None = None
        self.open: set[H1Connection] = set()
        self.tick = clock()
        self._server: asyncio.Server | None = None
        self._is_bound = False

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address can't be had."""
        loop = asyncio.get_running_loop()
        bound = self.bound or bound_socket(self.address)
        self._is_bound = self.bound is None
        if not self.address.path:
            self.port = bound.getsockname()[1]
        self._server = await loop.create_server(lambda: H1Connection(self), sock=bound, backlog=BACKLOG)

    def sweep(self, now: float) -> None:
        """End what has waited past its deadline."""
        self.tick = now
        for connection in [c for c in self.open if c.deadline and c.deadline < now]:
            connection.expire()

    def stop(self) -> None:
        """Accept nothing more; idle connections close, busy ones after their answer."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.open):
            connection.drain()
        # What stands there without having been bound here is another program's, or no socket at all.
        if self.address.path and self._is_bound:
            with contextlib.suppress(OSError):
                Path(self.address.path).unlink()

    def abort(self) -> None:
        """Close what is still open."""
        for connection in list(self.open):
            connection.abort()


def bound_socket(address: ListenAddress, *, is_shared: bool = False) -> socket.socket:
    """The bound socket; `is_shared`: others may be bound to the same port. Raises ConfigError, with what to do."""
    try:
        return open_socket(address, is_shared=is_shared)
    except OSError as exc:
        advice = _SOCKET_ADVICE if address.path else _ADVICE
        why = advice.get(exc.errno or 0) or exc.strerror or str(exc)
        raise ConfigError((f"can't listen on {address}: {why}",)) from exc


def bound_sockets(address: ListenAddress, number: int) -> tuple[socket.socket, ...]:
    """So many sockets for one address, over which the system spreads connections; of a Unix socket one for all.

    Raises ConfigError where another program listens there, which SO_REUSEPORT alone would not tell.
    """
    first = bound_socket(address)
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
        _bind(bound, address)
    except BaseException:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _bind(bound: socket.socket, address: ListenAddress) -> None:
    if address.path:
        path = Path(address.path)
        if path.is_socket():
            if not _is_stale(path):
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            path.unlink()
        bound.bind(address.path)
        path.chmod(0o660 if address.group else 0o600)
        return
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if bound.family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.bind((address.host, address.port))


def _is_stale(path: Path) -> bool:
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
