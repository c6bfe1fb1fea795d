"""The channel of the processes of one machine: a Unix socket of one of them, the hub, which repeats each frame to all.

On the wire: length (4 bytes, big-endian), frame. Whoever reads too slowly is cut off, never waited for: it connects
anew and forgets everything it cached. When the hub's process dies, all lose the connection at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, cast

from vestibule.errors import StoreError
from vestibule.store.bus import Link, Transport
from vestibule.store.frame import FRAME_MAX_BYTES

_BEHIND_MAX_BYTES: Final = 8 * 1024 * 1024
"""How far a reader may be behind; what a second of ten thousand changes takes, several times."""
_LENGTH_BYTES: Final = 4
_BACKLOG: Final = 128
_LOOK_S: Final = 0.5
_MODE: Final = 0o600


class _Cutter:
    """Cuts a stream of bytes into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that are whole now. Raises ValueError for one that is too long."""
        rest = self._rest
        rest += data
        at = 0
        try:
            while len(rest) - at >= _LENGTH_BYTES:
                length = int.from_bytes(rest[at : at + _LENGTH_BYTES], "big")
                if length > FRAME_MAX_BYTES:
                    raise ValueError("a frame is too long")
                end = at + _LENGTH_BYTES + length
                if len(rest) < end:
                    return
                frame = bytes(rest[at + _LENGTH_BYTES : end])
                at = end
                yield frame
        finally:
            del rest[:at]


class Hub:
    """The socket that all connect to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._members: set[_Member] = set()
        self._at = (0, 0)
        self._staying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; a socket that stands there is replaced, by another hub later, too. Raises StoreError."""
        await self._listen()
        self._staying = asyncio.create_task(self._stay(), name="hub of changes")

    async def close(self) -> None:
        """Let all go."""
        if self._staying is not None:
            self._staying.cancel()
            await asyncio.gather(self._staying, return_exceptions=True)
        if self._server is None:
            return
        self._let_go(self._server)
        with contextlib.suppress(FileNotFoundError):
            if _which(self._path) == self._at:  # else it is another hub's by now
                _unlink(self._path)

    async def _listen(self) -> None:
        before, loop = self._server, asyncio.get_running_loop()
        try:
            bound = _bound(self._path)
            self._at = _which(self._path)
        except OSError as exc:
            raise _unusable(self._path, exc) from exc
        self._server = await loop.create_unix_server(
            lambda: _Member(self._members), sock=bound, backlog=_BACKLOG
        )
        if before is not None:
            self._let_go(before)

    async def _stay(self) -> None:
        """Take the place again that another hub took, once that one is gone."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if not await self._is_held():
                with contextlib.suppress(StoreError):  # tried again
                    await self._listen()

    async def _is_held(self) -> bool:
        """Whether somebody listens there."""
        try:
            if _which(self._path) != self._at:
                _, writer = await asyncio.open_unix_connection(self._path)
                writer.close()
        except OSError:
            return False
        return True

    def _let_go(self, server: asyncio.Server) -> None:
        server.close()
        for member in list(self._members):
            member.cut()


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()


def _bound(path: str) -> socket.socket:
    """The socket at *path*, nobody else's to use: it gets its name only with its mode."""
    passing = str(
        Path(path).with_suffix(".new")
    )  # no longer than the path, which may be as long as such a path can be
    _unlink(passing)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(passing)
        Path(passing).chmod(_MODE)
        bound.listen(_BACKLOG)
        Path(passing).rename(path)
    except BaseException:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


class _Member(asyncio.Protocol):
    """One connection of the hub's."""

    def __init__(self, members: set[_Member]) -> None:
        self._members = members
        self._cutter = _Cutter()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._members.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._members.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        frames = bytearray()
        try:
            for frame in self._cutter.feed(data):
                frames += len(frame).to_bytes(_LENGTH_BYTES, "big") + frame
        except ValueError:
            self.cut()
        if frames:
            whole = bytes(frames)
            for member in list(self._members):
                member.repeat(whole)

    def repeat(self, frames: bytes) -> None:
        """Send them on, unless this one is too far behind."""
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() > _BEHIND_MAX_BYTES:
            self.cut()
        else:
            self._transport.write(frames)

    def cut(self) -> None:
        """Let it go."""
        self._members.discard(self)
        if self._transport is not None:
            self._transport.abort()


def open_hub(path: str) -> Transport:
    """The channel of the hub that listens, or will listen, at *path*."""
    return _Socket(path)


class _Socket:
    def __init__(self, path: str) -> None:
        self._path = path

    async def connect(self, take: Callable[[bytes], None], lost: Callable[[], None]) -> Link:
        loop = asyncio.get_running_loop()
        try:
            which = _which(self._path)
            _, link = await loop.create_unix_connection(
                lambda: _SocketLink(self._path, which, take, lost), self._path
            )
        except OSError as exc:
            raise _unusable(self._path, exc) from exc
        return link


class _SocketLink(asyncio.Protocol):
    def __init__(
        self, path: str, which: tuple[int, int], take: Callable[[bytes], None], lost: Callable[[], None]
    ) -> None:
        self._path = path
        self._which = which
        self._take = take
        self._lost = lost
        self._cutter = _Cutter()
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._cutter.feed(data):
                self._take(frame)
        except ValueError:
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._transport = None
        self._may_write.set()
        self._lost()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    async def send(self, frames: Sequence[bytes]) -> None:
        await self._may_write.wait()
        try:
            # Threat: a hub that was replaced while it ran, and those who still stand on the old one.
            is_same = _which(self._path) == self._which
        except OSError:
            is_same = False
        if self._transport is None or not is_same:
            raise StoreError("The hub of changes is gone.", detail=self._path)
        self._transport.write(b"".join(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame for frame in frames))

    async def close(self) -> None:
        """Closed once what was sent has left."""
        if self._transport is not None:
            self._transport.close()


def _which(path: str) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - four times a second
    return found.st_dev, found.st_ino


def _unusable(path: str, exc: OSError) -> StoreError:
    return StoreError("The hub of changes can't be used.", detail=f"{path}: {exc.strerror or exc}")
