"""How the demo's two servers start, tell their address, and stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable

from aiohttp import web

from vestibule.demo import sockets
from vestibule.errors import ConfigError

_SHUTDOWN_S = 1.0


def run(make: Callable[[str], web.Application], *, address: str, port: int, child: bool) -> int:
    """Serve `make(url)` until a signal comes, as a child also until standard input closes; the exit code.

    Once it listens, its URL is the one line it prints. A child's standard input is a pipe held by its parent:
    when the parent is gone, however it went, so is the child.
    """
    try:
        listener = sockets.listen(address, port)
    except ConfigError as exc:
        print(exc.message, file=sys.stderr)  # noqa: T201 - the process's own answer, like the line below
        return 1
    with listener:
        asyncio.run(_serve(make(f"http://{sockets.address_of(listener)}"), listener, child=child))
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
    print(f"http://{sockets.address_of(listener)}", flush=True)  # noqa: T201 - whoever started it waits for this line
    try:
        await stop.wait()
    finally:
        await runner.cleanup()


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()
