"""Loopback addresses and ports: which may be listened on, and which are free."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from vestibule.errors import ConfigError


def require_loopback(address: str) -> str:
    """The address, when it is a loopback one. Raises ConfigError.

    Threat: whoever reaches the demo provider can sign in as anybody, so nobody else's machine may.
    """
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError((f"the demo listens on loopback only (127.0.0.1 or ::1), not on {address}",))
    return address


def listen(address: str, port: int) -> socket.socket:
    """A listening socket on that loopback address; port 0 takes a free one. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in require_loopback(address) else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise ConfigError((_trouble(address, port, exc),)) from exc
    return listener


def reserve(address: str, port: int) -> list[socket.socket]:
    """Listening sockets that keep a port for the gateway until they are closed. Raises ConfigError.

    127.0.0.1 brings ::1 along where there is one: browsers try both for `localhost`, and whatever else stood
    on the other would be taken for the demo.
    """
    first = listen(address, port)
    if address != "127.0.0.1" or not _has_ipv6():
        return [first]
    try:
        return [first, listen("::1", port_of(first))]
    except ConfigError:
        first.close()
        raise


def port_of(listener: socket.socket) -> int:
    """The port it listens on."""
    return int(listener.getsockname()[1])


def address_of(listener: socket.socket) -> str:
    """`127.0.0.1:8000` or `[::1]:8000`."""
    address, port = listener.getsockname()[:2]
    return f"{in_url(address)}:{port}"


def in_url(address: str) -> str:
    """The address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _trouble(address: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} is taken on {address}; choose another one with --port"
    return f"can't listen on port {port} of {address}: {os.strerror(exc.errno or 0)}"


def _has_ipv6() -> bool:
    try:
        listen("::1", 0).close()
    except ConfigError:
        return False
    return True
