"""Chunked bodies (RFC 9112 section 7.1), taken apart strictly and without I/O."""

from __future__ import annotations

import re

from vestibule.errors import BadRequest
from vestibule.protocol.headers import LINE_LIMIT_BYTES, request_kind

CHUNK_LINE_LIMIT_BYTES = 256
TRAILERS_LIMIT_BYTES = 8 * 1024
TRAILER_LIMIT = 100


class Chunked:
    """Takes a chunked body apart (RFC 9112 section 7.1); strict, whatever way the bytes are split.

    Chunk extensions are read past and dropped. Trailer lines are kept for the caller, checked as header lines.
    """

    __slots__ = ("_left", "_line", "_state", "_trailer_bytes", "done", "rest", "trailers")

    def __init__(self) -> None:
        self._state = "size"
        self._left = 0
        self._line = b""
        self._trailer_bytes = 0
        self.done = False
        self.rest = b""
        """Bytes after the end of the body, once done."""
        self.trailers: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of body in *data*. Raises BadRequest for broken framing."""
        out: list[bytes] = []
        at = 0
        while at < len(data) and not self.done:
            if self._state == "data":
                piece = data[at : at + self._left]
                out.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = "end"
                continue
            at = self._take_line(data, at)
        if self.done:
            self.rest = data[at:]
        return out

    def _take_line(self, data: bytes, at: int) -> int:
        """Read on in a line that ends in CRLF; act on it when it is whole."""
        end = data.find(b"\n", at)
        piece = data[at:] if end < 0 else data[at : end + 1]
        self._line += piece
        limit = LINE_LIMIT_BYTES if self._state == "trailer" else CHUNK_LINE_LIMIT_BYTES
        if len(self._line) > limit:
            raise BadRequest("a line of the chunked body is too long", code="bad_chunk")
        if end >= 0:
            line, self._line = self._line, b""
            if line[-2:-1] != b"\r":
                raise BadRequest("a line of the chunked body ends in a bare LF", code="bad_chunk")
            self._on_line(line[:-2])
        return at + len(piece)

    def _on_line(self, line: bytes) -> None:
        if self._state == "size":
            self._left = _chunk_size(line)
            self._state = "data" if self._left else "trailer"
        elif self._state == "end":
            if line:
                raise BadRequest("a chunk is longer than it said", code="bad_chunk")
            self._state = "size"
        elif not line:
            self.done = True
        else:
            self._on_trailer(line)

    def _on_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > TRAILERS_LIMIT_BYTES or len(self.trailers) >= TRAILER_LIMIT:
            raise BadRequest("the trailers are too large", code="header_too_large", status=431)
        # What decides framing, routing or identity may not come late (RFC 9110 section 6.5.1).
        if request_kind(line) == 0:
            self.trailers.append(line)


_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\Z")


def _chunk_size(line: bytes) -> int:
    found = _CHUNK.match(line)
    if found is None:
        raise BadRequest("a chunk size is malformed", code="bad_chunk")
    return int(found[1], 16)
