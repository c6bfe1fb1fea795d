"""gRPC over HTTP/2 as far as a gateway needs it: which requests are calls, their deadline, how one is refused.

Spec: gRPC over HTTP/2 (PROTOCOL-HTTP2.md), gRPC status codes, HTTP to gRPC status code mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from urllib.parse import quote

from vestibule.protocol.h1 import RequestHead

MESSAGE_LIMIT_CHARS = 300
PAST_DEADLINE = "past_deadline"
"""Code of the error that says that a call took longer than its client waits."""
STATUS_LINE = b"HTTP/1.1 200 OK"
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])\Z")
_STATUS = re.compile(rb"[0-9]{1,3}\Z")
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
#: visible ASCII and the space but `%`
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class Status(IntEnum):
    """The statuses that the gateway itself answers with."""

    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_OF_HTTP = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    405: Status.UNIMPLEMENTED,
    413: Status.RESOURCE_EXHAUSTED,
    429: Status.RESOURCE_EXHAUSTED,
    431: Status.RESOURCE_EXHAUSTED,
    500: Status.INTERNAL,
    501: Status.UNIMPLEMENTED,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}


def is_call(head: RequestHead) -> bool:
    """True for a call of gRPC, whose client reads the status behind the answer; False for gRPC-Web, which is HTTP."""
    return is_grpc(head.value(b"content-type"))


def is_grpc(content_type: bytes) -> bool:
    """True for `application/grpc`, with whatever form its messages have (`+proto`, `;…`)."""
    kind = content_type[:17].lower()
    return kind[:16] == b"application/grpc" and kind[16:] in (b"", b"+", b";", b" ")


def status_of(http_status: int, code: str = "") -> Status:
    """The gRPC status of an answer of the gateway's own, by its HTTP status and the code of its error."""
    if code == PAST_DEADLINE:
        return Status.DEADLINE_EXCEEDED
    return _OF_HTTP.get(http_status, Status.UNKNOWN)


def timeout_of(value: bytes) -> float | None:
    """Seconds in a `grpc-timeout`; None where there is none, or nothing that could be one."""
    found = _TIMEOUT.match(value)
    return int(found[1]) * _UNITS_S[found[2]] if found else None


def status_in(lines: Iterable[bytes]) -> int | None:
    """The status that these lines tell: trailers, or the head of an answer that is nothing else; None: they don't."""
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"grpc-status":
            told = value.strip()
            return int(told) if _STATUS.match(told) else None
    return None


def refusal_lines(status: Status, message: str) -> list[bytes]:
    """The header lines of an answer that is nothing but a status (Trailers-Only)."""
    told = quote(message[:MESSAGE_LIMIT_CHARS], safe=_PLAIN)
    return [
        b"Content-Type: application/grpc",
        b"grpc-status: %d" % status,
        b"grpc-message: " + told.encode("ascii"),
    ]
