"""Loopback ports for test servers that nothing else on the machine takes in between."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import Self

# Below the range the kernel takes ports of outgoing connections from (32768 on Linux): a port that was free
# a moment ago can't turn into the near end of somebody's connection before the server binds it.
FIRST, LAST = 20_000, 29_999


class Ports:
    """Takes ports one by one; a lock file a port keeps the other test processes of this machine off it."""

    def __init__(self) -> None:
        self._locks: list[int] = []
        self._next = FIRST + os.getpid() * 37 % (LAST - FIRST)
        self._directory = Path(tempfile.gettempdir()) / f"vestibule-test-ports-{os.getuid()}"
        self._directory.mkdir(mode=0o700, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lock in self._locks:
            os.close(lock)

    def take(self) -> int:
        """A port nobody listens on, kept for this process until the end of the run."""
        for _ in range(LAST - FIRST + 1):
            port, self._next = self._next, FIRST + (self._next + 1 - FIRST) % (LAST - FIRST + 1)
            if self._lock(port) and _is_free(port):
                return port
        raise RuntimeError(f"no free port between {FIRST} and {LAST}")

    def _lock(self, port: int) -> bool:
        lock = os.open(self._directory / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._locks.append(lock)
        return True


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
