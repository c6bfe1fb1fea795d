"""HTTP/1.1 heads of answers (RFC 9112), as they come from backends and APIs: strict, without I/O."""

from __future__ import annotations

import re

import msgspec

from vestibule.errors import BackendError, BadRequest
from vestibule.protocol import caching
from vestibule.protocol.familiar import Familiar
from vestibule.protocol.h1 import FIELD_LIMIT, HEAD_BYTES, KEPT_FIELDS_BYTES, LINES_LIMIT_BYTES, length_of
from vestibule.protocol.headers import (
    CACHING,
    CONNECTION,
    CONTENT_LENGTH,
    DROP,
    KEEP_ALIVE,
    SET_COOKIE,
    TRANSFER_ENCODING,
    UPGRADE,
    answer_kind,
    known_answer_kind,
    less,
    tokens_of,
    value_of,
)


class AnswerHead(msgspec.Struct, kw_only=True):
    """An answer's head: what came from a backend, less what belongs to that hop only."""

    status: int
    status_line: bytes
    """`HTTP/1.1 200 OK`, whatever minor version the backend spoke."""
    lines: list[bytes]
    """End-to-end lines, without Content-Length and Transfer-Encoding."""
    content_length: int | None = None
    chunked: bool = False
    keep_alive: bool = True
    upgrade: bytes = b""
    """What a 101 switches to, lower case; empty unless Connection says upgrade too."""
    switches: bool = False
    hop: list[bytes] = []
    """What Connection names: fields of that hop only."""
    set_cookies: bool = False
    caching: list[bytes] = []
    """Those of its lines that say what caches may do with it."""
    is_private: bool = False
    """They keep it from every cache that serves several people."""
    is_verbatim: bool = False
    """Nothing in it has to change for a client of HTTP/1.1 whose connection stays open."""


_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\Z")
_statuses: dict[bytes, tuple[int, int, bytes]] = {}
_lengths: dict[bytes, int] = {}
_answer_heads: Familiar[AnswerHead] = Familiar(LINES_LIMIT_BYTES, each_bytes=HEAD_BYTES)


def parse_answer_head(block: bytes) -> AnswerHead:
    """The head of an answer, from its bytes up to but without the empty line. Raises BackendError.

    It is shared with other answers of the same bytes: it is never changed in place.
    """
    head = _answer_heads.get(block)
    if head is None:
        head = _answer_head(block)
        if not head.set_cookies and len(block) <= KEPT_FIELDS_BYTES:
            _answer_heads.keep(block, head)
    return head


def _answer_head(block: bytes) -> AnswerHead:
    lines = block.split(b"\r\n")
    try:
        minor, status, status_line = _status(lines[0])
        if len(lines) > FIELD_LIMIT + 1:
            raise BackendError("the backend's answer has too many header fields", code="bad_answer")
        passed: list[bytes] = []
        head = AnswerHead(status=status, status_line=status_line, lines=passed, keep_alive=minor == 1)
        append = passed.append
        is_verbatim = minor == 1 and status_line == lines[0]
        del lines[0]
        for line in lines:
            kind = known_answer_kind(line)
            if kind is None:
                kind = answer_kind(line)
            if not kind:
                append(line)
            elif kind == KEEP_ALIVE:
                head.keep_alive = True
            elif kind == CONTENT_LENGTH:
                is_verbatim = is_verbatim and head.content_length is None
                _apply_answer(head, kind, line)
            elif kind == CACHING:
                append(line)
                head.caching = [*head.caching, line]
            else:
                is_verbatim = False
                if kind != DROP:
                    _apply_answer(head, kind, line)
        head.is_verbatim = is_verbatim and head.content_length is not None
    except BadRequest as exc:
        raise BackendError(
            "the backend's answer is malformed", code="bad_answer", detail=exc.message
        ) from exc
    if head.hop:
        head.lines, head.caching = (less(lines, head.hop) for lines in (head.lines, head.caching))
    head.is_private = bool(head.caching) and caching.is_private(head.caching)
    if not head.switches:
        head.upgrade = b""
    if head.chunked and head.content_length is not None:
        raise BackendError("the backend's answer has two lengths", code="bad_answer")
    return head


def _status(line: bytes) -> tuple[int, int, bytes]:
    known = _statuses.get(line)
    if known is None:
        found = _STATUS.match(line)
        if found is None:
            raise BadRequest("status line")
        status_line = b"HTTP/1.1 " + found[2] + b" " + (found[3] or b"")
        known = int(found[1]), int(found[2]), status_line
        if len(_statuses) < 256:
            _statuses[line] = known
    return known


def _apply_answer(head: AnswerHead, kind: int, line: bytes) -> None:
    if kind == CONTENT_LENGTH:
        length = _lengths.get(line)
        if length is None:
            length = length_of(value_of(line))
            if len(_lengths) < 4096:
                _lengths[line] = length
        if head.content_length not in (None, length):
            raise BadRequest("two lengths")
        head.content_length = length
        return
    value = value_of(line)
    if kind == TRANSFER_ENCODING:
        if head.chunked or value.lower() != b"chunked":
            raise BadRequest("transfer encoding")
        head.chunked = True
    elif kind == CONNECTION:
        tokens = tokens_of(value)
        if b"close" in tokens:
            head.keep_alive = False
        elif b"keep-alive" in tokens:
            head.keep_alive = True
        head.switches = head.switches or b"upgrade" in tokens
        head.hop += tokens
    elif kind == UPGRADE:
        head.upgrade = value.lower()
    elif kind == SET_COOKIE:
        head.set_cookies = True
        head.lines.append(line)
