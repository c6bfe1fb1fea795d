"""Files of a directory as answers: `static:DIR`.

The file system is looked at in threads, because a disk may be slow and the loop may not. A small file costs one
trip there and back and goes out with its head in one write; for a second after that it is answered from memory,
as long as the file system says that it has not changed. A large one is read in pieces, each when the client has
taken the one before.
"""

from __future__ import annotations

import asyncio
import http
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

from vestibule.core.route import Backend
from vestibule.observe.log import Log
from vestibule.proxy.exchange import Exchange, Responder
from vestibule.proxy.files import PIECE_BYTES, File, Reply, prepare, reply_of
from vestibule.proxy.passing import Way
from vestibule.proxy.refusal import Answers, id_of

THREADS = 8
KEPT_S = 1.0
"""How long a link that was followed, or a name that was found, is believed."""
KEPT_BYTES = 8 << 20
KEPT_FILES = 1024

_T = TypeVar("_T")
_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    412: "precondition_failed",
    416: "range_not_satisfiable",
}
_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}".encode() for status in (200, 206, 301, 304)
}


class Kept(NamedTuple):
    """A small file in memory."""

    file: File
    content: bytes
    until_mono: float


class Memory:
    """The small files of the last second, within bounds."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, bytes], Kept] = OrderedDict()
        self._bytes = 0

    def get(self, directory: str, path: bytes, now: float) -> File | None:
        """The file behind this path if it was found within the last second and is still the same."""
        kept = self._kept.get((directory, path))
        if kept is None:
            return None
        if now < kept.until_mono and kept.file.is_same():
            return kept.file
        self._drop((directory, path))
        return None

    def keep(self, directory: str, path: bytes, file: File, now: float) -> None:
        """Remember it, when it is small; the oldest go."""
        if file.content is None:
            return
        key = directory, path
        self._drop(key)
        self._kept[key] = Kept(file, file.content, now + KEPT_S)
        self._bytes += len(file.content)
        while self._bytes > KEPT_BYTES or len(self._kept) > KEPT_FILES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, bytes]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.content)


class Directory:
    """Answers exchanges from the directory their backend names."""

    def __init__(self, answers: Answers, log: Log, *, threads: Executor | None = None) -> None:
        self._answers = answers
        self._log = log.of("proxy")
        self._threads = threads or ThreadPoolExecutor(THREADS, thread_name_prefix="static")
        self._memory = Memory()

    def begin(self, exchange: Exchange, backend: Backend, lines: list[bytes], way: Way | None = None) -> None:
        """Answer the exchange, now or later; the path in the directory is the whole path asked for.

        `way` is what its route makes of it: another path, and other header lines.
        """
        head = exchange.head
        if head.method not in (b"GET", b"HEAD"):
            self._refuse(exchange, 405, [b"Allow: GET, HEAD"])
            return
        directory, is_public = backend.static_dir, exchange.decision == "public"
        now = asyncio.get_running_loop().time()
        transfer = Transfer(exchange, self, way)
        exchange.responder = transfer
        file = self._memory.get(directory, transfer.path, now)
        if file is not None:
            self._answer(transfer, reply_of(file, head, is_public=is_public))
        else:
            work = partial(prepare, directory, head, transfer.path, is_public=is_public)
            self.run(work, partial(self._on_prepared, transfer, directory))

    def close(self) -> None:
        """Read nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def run(self, work: Callable[[], _T], then: Callable[[asyncio.Future[_T]], None]) -> None:
        """Have it done by a thread; what is cancelled by `close` nobody hears of."""

        def done(future: asyncio.Future[_T]) -> None:
            if not future.cancelled():
                then(future)

        asyncio.get_running_loop().run_in_executor(self._threads, work).add_done_callback(done)

    def _on_prepared(self, transfer: Transfer, directory: str, future: asyncio.Future[Reply]) -> None:
        exchange = transfer.exchange
        try:
            reply = future.result()
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: whatever it was, the client waits
            self.fault(exchange, error)
            if not transfer.is_gone:
                self._refuse(exchange, 500, [])
            return
        if reply.file is not None:
            now = asyncio.get_running_loop().time()
            self._memory.keep(directory, transfer.path, reply.file, now)
        if transfer.is_gone:
            reply.close()
        else:
            self._answer(transfer, reply)

    def _answer(self, transfer: Transfer, reply: Reply) -> None:
        if reply.status >= 400:
            self._refuse(transfer.exchange, reply.status, reply.lines)
        else:
            transfer.answer(reply)

    def _refuse(self, exchange: Exchange, status: int, lines: list[bytes]) -> None:
        code = _CODES.get(status, "internal_error")
        request_id = id_of(exchange)
        path = exchange.head.target.path
        self._log.info("refused", id=request_id, status=status, code=code, path=path, host=exchange.head.host)
        status_line, made, body = self._answers.make(
            exchange.head, status=status, code=code, request_id=request_id, host=exchange.host
        )
        exchange.answer(status_line, [*made, *lines], body)

    def fault(self, exchange: Exchange, error: Exception) -> None:
        """Tell the log that the file system failed, or that nobody meant what happened."""
        path = exchange.head.target.path
        detail = getattr(error, "strerror", None) or repr(error)
        self._log.error("static_failed", id=id_of(exchange), path=path, detail=detail)


class Transfer(Responder):
    """One file on its way to one client."""

    __slots__ = ("_directory", "_paused", "_reading", "_reply", "_way", "exchange", "is_gone", "path")

    def __init__(self, exchange: Exchange, directory: Directory, way: Way | None) -> None:
        self.exchange = exchange
        self.path = exchange.head.target.path if way is None else way.target.path
        """In the directory."""
        self._way = way
        self.is_gone = False
        self._directory = directory
        self._reply: Reply | None = None
        self._reading = False
        self._paused = False

    # -- the downstream's calls ---------------------------------------------------------------

    def on_gone(self) -> None:
        self.is_gone = True
        if self._reply is not None and not self._reading:
            self._reply.close()

    def on_pause(self) -> None:
        self._paused = True

    def on_resume(self) -> None:
        self._paused = False
        self._read()

    # -- the answer -----------------------------------------------------------------------------

    def answer(self, reply: Reply) -> None:
        """Send it: at once where all of it is there, else in pieces."""
        exchange = self.exchange
        lines = reply.lines if self._way is None else self._way.answer_lines(reply.lines)
        if len(reply.body) == reply.length:
            exchange.answer(_STATUS_LINES[reply.status], lines, reply.body)
            return
        self._reply = reply
        exchange.start(_STATUS_LINES[reply.status], lines, reply.length)
        if exchange.head.method == b"HEAD":
            exchange.finish()
        else:
            self._send(reply, reply.body)

    def _send(self, reply: Reply, data: bytes) -> None:
        reply.at += len(data)
        reply.length -= len(data)
        self.exchange.write(data)
        if reply.length:
            self._read()
        else:
            reply.close()
            self.exchange.finish()

    def _read(self) -> None:
        """Read the next piece, unless one is being read, the client is slow, or there is none."""
        reply = self._reply
        if reply is None or reply.descriptor < 0 or self._reading or self._paused or self.is_gone:
            return
        self._reading = True
        work = partial(os.pread, reply.descriptor, min(reply.length, PIECE_BYTES), reply.at)
        self._directory.run(work, self._on_piece)

    def _on_piece(self, future: asyncio.Future[bytes]) -> None:
        self._reading = False
        reply = self._reply
        assert reply is not None
        if self.is_gone:
            reply.close()
            return
        try:
            data = future.result()
        except OSError as error:
            self._directory.fault(self.exchange, error)
            data = b""
        if data:
            self._send(reply, data)
        else:  # the file is shorter than it was: the client must not take this for the whole
            reply.close()
            self.exchange.abort()
