"""Listening on loopback and nowhere else: how the demo's two servers start, tell their address, and stop."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable

from aiohttp import web

from vestibule.errors import ConfigError

_SHUTDOWN_S = 1.0


def require_loopback(address: str) -> str:
    """The address, when it is a loopback one. Raises ConfigError.

    Threat: whoever reaches the demo provider can sign in as anybody, so nobody else's machine may.
    """
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError((f"the demo listens on loopback only: 127.0.0.1 or ::1, not {address}",))
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
        raise ConfigError((f"port {port} on {address}: {os.strerror(exc.errno or 0)}",)) from exc
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket, as `http://127.0.0.1:PORT`."""
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def run(make: Callable[[str], web.Application], *, address: str, port: int, child: bool) -> int:
    """Serve `make(url)` until a signal comes, as a child also until standard input closes; the exit code.

    Once it listens, its URL is the one line it prints. A child's standard input is a pipe held by its parent:
    when the parent is gone, however it went, so is the child.
    """
    try:
        listener = listen(address, port)
    except ConfigError as exc:
        print(exc.message, file=sys.stderr)  # noqa: T201 - the process's own answer, like the line below
        return 1
    with listener:
        asyncio.run(_serve(make(url_of(listener)), listener, child=child))
    return 0


async def _serve(app: web.Application, listener: socket.socket, *, child: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    if child:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    print(url_of(listener), flush=True)  # noqa: T201 - whoever started it waits for this line
    try:
        await stop.wait()
    finally:
        await runner.cleanup()


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()
