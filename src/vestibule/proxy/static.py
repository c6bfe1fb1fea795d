"""Files of a directory as answers: `static:DIR`.

Every look at the file system happens in a thread, because a disk may be slow and the loop may not. A small
file costs one trip there and back and goes out with its head in one write; a large one is read in pieces,
each when the client has taken the one before.
"""

from __future__ import annotations

import asyncio
import errno
import http
import os
import stat
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from vestibule.core.route import Backend
from vestibule.errors import BadRequest
from vestibule.observe.log import Log
from vestibule.protocol.conditional import Version, http_date, precondition, span_of
from vestibule.protocol.h1 import RequestHead
from vestibule.proxy.exchange import Exchange, Responder
from vestibule.proxy.refusal import Answers, new_id

PIECE_BYTES = 256 * 1024
THREADS = 8
INDEX = b"index.html"
WELL_KNOWN = b".well-known"

_T = TypeVar("_T")

# What a person's browser must not keep for the next person at the machine, nor a cache for anybody: asked for
# again each time, which costs a 304. A public file is asked for again too, but any cache may hold it.
_PRIVATE = (b"Cache-Control: private, no-cache", b"Vary: Cookie, Authorization")
_PUBLIC = (b"Cache-Control: no-cache",)
_NOSNIFF = b"X-Content-Type-Options: nosniff"

_TEXT = frozenset(("css", "csv", "html", "htm", "js", "mjs", "txt", "md", "vtt", "xml"))
_MEDIA_TYPES = {
    "aac": "audio/aac",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "css": "text/css",
    "csv": "text/csv",
    "flac": "audio/flac",
    "gif": "image/gif",
    "gz": "application/gzip",
    "htm": "text/html",
    "html": "text/html",
    "ico": "image/x-icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "m4a": "audio/mp4",
    "map": "application/json",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "otf": "font/otf",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "ttf": "font/ttf",
    "txt": "text/plain",
    "vtt": "text/vtt",
    "wasm": "application/wasm",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xml": "text/xml",
    "zip": "application/zip",
}
_CONTENT_TYPES = {
    suffix.encode(): f"Content-Type: {name}{'; charset=utf-8' if suffix in _TEXT else ''}".encode()
    for suffix, name in _MEDIA_TYPES.items()
}
_UNKNOWN_TYPE = b"Content-Type: application/octet-stream"

# What the file system says when there is nothing to serve under a name.
_ABSENT = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.EPERM, errno.EINVAL)
)


class Reply(msgspec.Struct, kw_only=True):
    """An answer as a thread prepared it; whoever has it closes its file."""

    status: int
    lines: list[bytes]
    length: int = 0
    """Of the body: what was read already, and what is still to be read from the file."""
    body: bytes = b""
    file: int = -1
    """Descriptor of the file when more of the body is to be read; else -1."""
    at: int = 0

    def close(self) -> None:
        """Close the file; may be called again."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)


class Directory:
    """Answers exchanges from the directory their backend names."""

    def __init__(self, answers: Answers, log: Log, *, threads: Executor | None = None) -> None:
        self._answers = answers
        self._log = log
        self._threads = threads or ThreadPoolExecutor(THREADS, thread_name_prefix="static")

    def begin(self, exchange: Exchange, backend: Backend, lines: list[bytes]) -> None:
        """Answer the exchange once a thread has looked; the path there is the whole one asked for."""
        if exchange.head.method not in (b"GET", b"HEAD"):
            self._refuse(exchange, 405, [b"Allow: GET, HEAD"])
            return
        work = partial(prepare, backend.static_dir, exchange.head, is_public=exchange.decision == "public")
        transfer = Transfer(exchange, self._threads, self._refuse, self._on_fault)
        exchange.responder = transfer
        transfer.begin(work)

    def close(self) -> None:
        """Read nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _refuse(self, exchange: Exchange, status: int, lines: list[bytes]) -> None:
        code = _CODES.get(status, "internal_error")
        exchange.request_id = exchange.request_id or new_id()
        status_line, made, body = self._answers.make(
            exchange.head, status=status, code=code, request_id=exchange.request_id, host=exchange.host
        )
        exchange.answer(status_line, [*made, *lines], body)

    def _on_fault(self, exchange: Exchange, error: OSError) -> None:
        exchange.request_id = exchange.request_id or new_id()
        path = exchange.head.target.path
        self._log.error(
            "static_failed", id=exchange.request_id, path=path, detail=error.strerror or repr(error)
        )


_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    412: "precondition_failed",
    416: "range_not_satisfiable",
}


class Transfer(Responder):
    """One file on its way to one client."""

    __slots__ = ("_exchange", "_gone", "_on_fault", "_paused", "_reading", "_refuse", "_reply", "_threads")

    def __init__(
        self,
        exchange: Exchange,
        threads: Executor,
        refuse: Callable[[Exchange, int, list[bytes]], None],
        on_fault: Callable[[Exchange, OSError], None],
    ) -> None:
        self._exchange = exchange
        self._threads = threads
        self._refuse = refuse
        self._on_fault = on_fault
        self._reply: Reply | None = None
        self._reading = False
        self._paused = False
        self._gone = False

    def begin(self, work: Callable[[], Reply]) -> None:
        """Have the answer prepared."""
        self._run(work, self._on_prepared)

    # -- the downstream's calls ---------------------------------------------------------------

    def on_gone(self) -> None:
        self._gone = True
        if self._reply is not None and not self._reading:
            self._reply.close()

    def on_pause(self) -> None:
        self._paused = True

    def on_resume(self) -> None:
        self._paused = False
        self._read()

    # -- the threads' results -----------------------------------------------------------------

    def _on_prepared(self, future: asyncio.Future[Reply]) -> None:
        exchange = self._exchange
        try:
            reply = self._reply = future.result()
        except OSError as error:
            self._on_fault(exchange, error)
            if not self._gone:
                self._refuse(exchange, 500, [])
            return
        if self._gone:
            reply.close()
        elif reply.status >= 400:
            self._refuse(exchange, reply.status, reply.lines)
        elif reply.length == len(reply.body):
            exchange.answer(_STATUS_LINES[reply.status], reply.lines, reply.body)
        else:
            exchange.start(_STATUS_LINES[reply.status], reply.lines, reply.length)
            if exchange.head.method == b"HEAD":
                exchange.finish()
            else:
                self._send(reply, reply.body)

    def _on_piece(self, future: asyncio.Future[bytes]) -> None:
        self._reading = False
        reply = self._reply
        assert reply is not None
        if self._gone:
            reply.close()
            return
        try:
            data = future.result()
        except OSError as error:
            self._on_fault(self._exchange, error)
            data = b""
        if data:
            self._send(reply, data)
        else:  # the file is shorter than it was: the client must not take this for the whole
            reply.close()
            self._exchange.abort()

    def _send(self, reply: Reply, data: bytes) -> None:
        reply.at += len(data)
        reply.length -= len(data)
        self._exchange.write(data)
        if reply.length:
            self._read()
        else:
            reply.close()
            self._exchange.finish()

    def _read(self) -> None:
        """Read the next piece, unless one is being read, the client is slow, or there is none."""
        reply = self._reply
        if reply is None or reply.file < 0 or self._reading or self._paused or self._gone:
            return
        self._reading = True
        self._run(partial(os.pread, reply.file, min(reply.length, PIECE_BYTES), reply.at), self._on_piece)

    def _run(self, work: Callable[[], _T], then: Callable[[asyncio.Future[_T]], None]) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(then)


_STATUS_LINES = {
    status: b"HTTP/1.1 %d %s" % (status, http.HTTPStatus(status).phrase.encode())
    for status in (200, 206, 301, 304)
}


def prepare(directory: str, head: RequestHead, *, is_public: bool) -> Reply:
    """The answer to a GET or HEAD for a path in the directory, its first piece read. Blocks; for threads.

    A status from 400 on is answered by a page. Raises OSError when the file system fails.
    """
    try:
        found = _find(directory, head.target.path)
        if isinstance(found, Reply):
            return found
        if found is None:
            return _moved(head, is_public=is_public)
        return _answer(found, head, is_public=is_public)
    except OSError as error:
        if error.errno in _ABSENT:
            return Reply(status=404, lines=[])
        raise


def _find(directory: str, path: bytes) -> bytes | Reply | None:
    """The real name of the file to send; None for a directory asked for without its last slash.

    Threat: path traversal, symbolic links that lead out, hidden files (`.git`, `.env`), devices and pipes.
    What it does NOT check: who may change the directory between this look and the opening, and whether the
    file system folds case, so that a rule for `/admin/` does not cover `/Admin/`.
    """
    names = unquote_to_bytes(path).split(b"/")[1:]
    if path[:1] != b"/" or any(_is_hidden(name, depth) for depth, name in enumerate(names)):
        return Reply(status=404, lines=[])
    root = os.path.realpath(os.fsencode(directory), strict=True)
    real = os.path.realpath(b"/".join((root, *names)), strict=True)
    asked_as_directory = not names[-1]
    if asked_as_directory and stat.S_ISDIR(os.lstat(real).st_mode):
        real = os.path.realpath(real + b"/" + INDEX, strict=True)
    elif asked_as_directory:
        return Reply(status=404, lines=[])
    if not _is_within(root, real):
        return Reply(status=404, lines=[])
    mode = os.lstat(real).st_mode
    if stat.S_ISREG(mode):
        return real
    return None if stat.S_ISDIR(mode) and not asked_as_directory else Reply(status=404, lines=[])


def _is_hidden(name: bytes, depth: int) -> bool:
    """Names that begin with a dot, `..` too, and what no name can hold; `/.well-known/` is for all."""
    return (name[:1] == b"." and not (depth == 0 and name == WELL_KNOWN)) or b"\0" in name


def _is_within(root: bytes, real: bytes) -> bool:
    return real == root or real.startswith(root.rstrip(b"/") + b"/")


def _moved(head: RequestHead, *, is_public: bool) -> Reply:
    """To the directory's name with its slash; a canonical path begins with one, so it names no other host."""
    target = head.target
    location = target.path + b"/" + (b"?" + target.query if target.query else b"")
    return Reply(status=301, lines=[b"Location: " + location, *_caching(is_public=is_public)])


def _answer(real: bytes, head: RequestHead, *, is_public: bool) -> Reply:
    """The file at this real name, or the part that is asked for, or word that the client has it."""
    file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            os.close(file)
            return Reply(status=404, lines=[])
        reply = _reply(file, facts, real, head, is_public=is_public)
    except BaseException:
        os.close(file)
        raise
    if reply.file < 0:
        os.close(file)
    return reply


def _reply(file: int, facts: os.stat_result, real: bytes, head: RequestHead, *, is_public: bool) -> Reply:
    version = Version(b'"%x-%x"' % (facts.st_mtime_ns, facts.st_size), max(0, int(facts.st_mtime)))
    lines = [
        b"ETag: " + version.etag,
        b"Last-Modified: " + http_date(version.modified_at),
        *_caching(is_public=is_public),
    ]
    status = precondition(head.value, version)
    if status == 304:
        return Reply(status=304, lines=lines)
    if status == 412:
        return Reply(status=412, lines=[])
    lines += [content_type(real), _NOSNIFF, b"Accept-Ranges: bytes"]
    at, length = 0, facts.st_size
    if head.method == b"GET":
        try:
            span = span_of(head.value, version, facts.st_size)
        except BadRequest:
            return Reply(status=416, lines=[b"Content-Range: bytes */%d" % facts.st_size])
        if span is not None:
            status, at, length = 206, span.at, span.length
            lines.append(b"Content-Range: bytes %d-%d/%d" % (at, at + length - 1, facts.st_size))
    if head.method == b"HEAD":
        return Reply(status=status, lines=lines, length=length)
    body = os.pread(file, min(length, PIECE_BYTES), at)
    rest = file if len(body) < length else -1
    return Reply(status=status, lines=lines, length=length, body=body, file=rest, at=at)


def _caching(*, is_public: bool) -> tuple[bytes, ...]:
    return _PUBLIC if is_public else _PRIVATE


def content_type(name: bytes) -> bytes:
    """The Content-Type line for a file of this name; what is not known is bytes, which no browser runs."""
    _, dot, suffix = name.rpartition(b".")
    return _CONTENT_TYPES.get(suffix.lower(), _UNKNOWN_TYPE) if dot else _UNKNOWN_TYPE
