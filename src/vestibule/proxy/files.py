"""What a directory has to say to a GET or HEAD: which file, whether it may be seen, which part of it.

Blocks on the file system, so it is for threads; but for `File.is_same`, which costs one look at a name that was
looked at a moment ago.
"""

from __future__ import annotations

import errno
import os
import stat
from urllib.parse import unquote_to_bytes

import msgspec

from vestibule.errors import BadRequest
from vestibule.protocol.conditional import Version, http_date, precondition, span_of
from vestibule.protocol.h1 import RequestHead

PIECE_BYTES = 256 * 1024
SMALL_BYTES = 64 * 1024
"""Files up to this size are read whole, and may be kept in memory for a moment."""
INDEX = b"index.html"
WELL_KNOWN = b".well-known"

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


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A regular file as it was when it was looked at."""

    real: bytes
    """Its name without links."""
    facts: tuple[int, ...]
    """What changes when the file does."""
    version: Version
    size: int
    lines: tuple[bytes, ...]
    """Header lines that tell its version."""
    content: bytes | None = None
    """All of it, when it is small and was read."""

    def is_same(self) -> bool:
        """True while the file system says that nothing changed. Blocks for one look at a name."""
        try:
            return _facts(os.lstat(self.real)) == self.facts
        except OSError:
            return False


class Reply(msgspec.Struct, kw_only=True):
    """An answer, prepared; whoever has it closes its descriptor."""

    status: int
    """From 400 on a page of the gateway's is the body."""
    lines: list[bytes]
    length: int = 0
    """Of the body that is still to be sent."""
    body: bytes = b""
    """Its first piece."""
    at: int = 0
    """Where in the file it begins."""
    descriptor: int = -1
    """Of the file when more of it is to be read; else -1."""
    file: File | None = None

    def close(self) -> None:
        """Close the file; may be called again."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def prepare(directory: str, head: RequestHead, path: bytes, *, is_public: bool) -> Reply:
    """The answer to a GET or HEAD for a path in the directory, its first piece read.

    `path` is canonical as the one asked for is, and is that one unless a route makes another of it.
    Raises OSError when the file system fails.
    """
    try:
        found = _find(directory, path)
        if found is None:
            return Reply(status=404, lines=[])
        real, is_directory = found
        return _moved(head, is_public=is_public) if is_directory else _read(real, head, is_public=is_public)
    except OSError as error:
        if error.errno in _ABSENT:
            return Reply(status=404, lines=[])
        raise


def reply_of(file: File, head: RequestHead, *, is_public: bool) -> Reply:
    """The answer this file gives to a GET or HEAD; without its body when that is not in memory."""
    caching = _PUBLIC if is_public else _PRIVATE
    status = precondition(head.value, file.version)
    if status == 412:
        return Reply(status=412, lines=[])
    if status == 304:
        return Reply(status=304, lines=[*file.lines, *caching])
    lines = [*file.lines, *caching, content_type(file.real), _NOSNIFF, b"Accept-Ranges: bytes"]
    at, length = 0, file.size
    is_get = head.method == b"GET"
    if is_get:
        try:
            span = span_of(head.value, file.version, file.size)
        except BadRequest:
            return Reply(status=416, lines=[b"Content-Range: bytes */%d" % file.size])
        if span is not None:
            status, at, length = 206, span.at, span.length
            lines.append(b"Content-Range: bytes %d-%d/%d" % (at, at + length - 1, file.size))
    body = file.content[at : at + length] if is_get and file.content is not None else b""
    return Reply(status=status, lines=lines, at=at, length=length, body=body)


def content_type(name: bytes) -> bytes:
    """The Content-Type line for a file of this name; what is not known is bytes, which no browser runs."""
    _, dot, suffix = name.rpartition(b".")
    return _CONTENT_TYPES.get(suffix.lower(), _UNKNOWN_TYPE) if dot else _UNKNOWN_TYPE


def _find(directory: str, path: bytes) -> tuple[bytes, bool] | None:
    """The real name behind a canonical path, and whether it is a directory that lacks its slash; None for nothing.

    Threat: path traversal, symbolic links that lead out, hidden files (`.git`, `.env`), devices and pipes.
    What it does NOT check: who may change the directory between this look and the opening, and whether the
    file system folds case, so that a rule for `/admin/` does not cover `/Admin/`.
    """
    names = unquote_to_bytes(path).split(b"/")[1:]
    if not names or any(_is_hidden(name, depth) for depth, name in enumerate(names)):
        return None
    root = os.path.realpath(os.fsencode(directory), strict=True)
    real = os.path.realpath(b"/".join((root, *names)), strict=True)
    has_slash = not names[-1]
    if has_slash:
        if not stat.S_ISDIR(os.lstat(real).st_mode):
            return None
        real = os.path.realpath(real + b"/" + INDEX, strict=True)
    if not real.startswith(root.rstrip(b"/") + b"/"):
        return None
    mode = os.lstat(real).st_mode
    if stat.S_ISREG(mode):
        return real, False
    return (real, True) if stat.S_ISDIR(mode) and not has_slash else None


def _is_hidden(name: bytes, depth: int) -> bool:
    """Names that begin with a dot, `..` too, and what no name can hold; `/.well-known/` is for all."""
    return (name[:1] == b"." and not (depth == 0 and name == WELL_KNOWN)) or b"\0" in name


def _moved(head: RequestHead, *, is_public: bool) -> Reply:
    """To the directory's name with its slash; a canonical path begins with one, so it names no other host."""
    target = head.target
    location = target.path + b"/" + (b"?" + target.query if target.query else b"")
    return Reply(status=301, lines=[b"Location: " + location, *(_PUBLIC if is_public else _PRIVATE)])


def _read(real: bytes, head: RequestHead, *, is_public: bool) -> Reply:
    """Open the file, and read what the answer needs of it first."""
    descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return Reply(status=404, lines=[])
        file = _file(real, found)
        if head.method == b"GET" and file.size <= SMALL_BYTES:
            content = os.pread(descriptor, file.size, 0)
            file = msgspec.structs.replace(file, content=content, size=len(content))
        reply = reply_of(file, head, is_public=is_public)
        reply.file = file
        if head.method == b"GET" and file.content is None and reply.length and reply.status < 300:
            reply.body = os.pread(descriptor, min(reply.length, PIECE_BYTES), reply.at)
            if len(reply.body) < reply.length:
                reply.descriptor, descriptor = descriptor, -1
        return reply
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _file(real: bytes, found: os.stat_result) -> File:
    etag = b'"%x-%x"' % (found.st_mtime_ns, found.st_size)
    modified_at = max(0, int(found.st_mtime))
    return File(
        real=real,
        facts=_facts(found),
        version=Version(etag, modified_at),
        size=found.st_size,
        lines=(b"ETag: " + etag, b"Last-Modified: " + http_date(modified_at)),
    )


def _facts(found: os.stat_result) -> tuple[int, ...]:
    return (
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
