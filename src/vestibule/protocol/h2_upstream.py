"""HTTP/2 messages as backends get them and answer them (RFC 9113 section 8): header lists, strict, without I/O.

A request's list is made from its head as the gateway wrote it for HTTP/1.1, so that no protocol gets what another
would not. An answer's list becomes such a head again, and passes the same rules (`h1_answer`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from vestibule.errors import BackendError, BadRequest
from vestibule.protocol.h1 import FIELD_LIMIT, HEAD_LIMIT_BYTES
from vestibule.protocol.h1_answer import AnswerHead, parse_answer_head
from vestibule.protocol.headers import answer_kind, request_kind

Field: TypeAlias = tuple[bytes, bytes]

TRAILER_LIMIT = FIELD_LIMIT
TRAILERS_LIMIT_BYTES = HEAD_LIMIT_BYTES
_TE = HeaderTuple(b"te", b"trailers")
_OF_THE_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
        b"te",
        b"http2-settings",
    )
)
"""What HTTP/2 has other means for, or none (RFC 9113 section 8.2.2)."""
_KEPT_SECRET = re.compile(rb"auth|cookie|session|assertion|token|secret|password|credential|key")
"""In names of fields that never stand in a table of HPACK: one connection carries many people's."""
_NOT_BEHIND = frozenset((b"content-type", b"content-encoding", b"content-range", b"set-cookie", b"trailer"))
"""What would change how a body was to be read that is over already, besides what is a gateway's (RFC 9110 6.5.1)."""
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_BAD_VALUE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]|\A[ \t]|[ \t]\Z")
_STATUS = re.compile(rb"[1-5][0-9][0-9]\Z")
_PHRASES = {
    100: "Continue",
    102: "Processing",
    103: "Early Hints",
    200: "OK",
    201: "Created",
    202: "Accepted",
    203: "Non-Authoritative Information",
    204: "No Content",
    205: "Reset Content",
    206: "Partial Content",
    207: "Multi-Status",
    208: "Already Reported",
    226: "IM Used",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    305: "Use Proxy",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Requested Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Entity",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    510: "Not Extended",
    511: "Network Authentication Required",
}
"""RFC 9110 section 15, and the registry; HTTP/2 sends none."""
_STATUS_LINES = {
    b"%d" % code: f"HTTP/1.1 {code} {phrase}".encode("ascii") for code, phrase in _PHRASES.items()
}


def request_fields(head: bytes, scheme: bytes, *, takes_trailers: bool) -> list[Field]:
    """The header list of a request, from its head as the gateway writes it for HTTP/1.1, with the empty line or not.

    `takes_trailers`: whoever asked can be given trailers (`TE: trailers`).
    Spec: RFC 9113 sections 8.2 and 8.3.1.
    """
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    method, path, _ = first.split(b" ")
    authority = b""
    fields: list[Field] = []
    for line in lines:
        raw_name, _, value = line.partition(b":")
        name = raw_name.lower()
        if name == b"host":
            authority = value.strip(b" \t")
        elif name not in _OF_THE_HOP:
            made = NeverIndexedHeaderTuple if _KEPT_SECRET.search(name) else HeaderTuple
            fields.append(made(name, value.strip(b" \t")))
    if takes_trailers:
        fields.append(_TE)
    return [
        HeaderTuple(b":method", method),
        HeaderTuple(b":scheme", scheme),
        HeaderTuple(b":authority", authority),
        NeverIndexedHeaderTuple(b":path", path) if b"?" in path else HeaderTuple(b":path", path),
        *fields,
    ]


def websocket_fields(head: bytes, scheme: bytes) -> tuple[list[Field], bytes]:
    """The header list that opens a WebSocket, from its head as the gateway writes it for HTTP/1.1; and the key in that.

    Spec: RFC 8441 sections 4 and 5: no key goes out, and nothing comes back that answers one.
    """
    key = b""
    fields: list[Field] = []
    for field in request_fields(head, scheme, takes_trailers=False)[1:]:
        if field[0] == b"sec-websocket-key":
            key = field[1]
        elif field[0] != b"content-length":
            fields.append(field)
    return [HeaderTuple(b":method", b"CONNECT"), HeaderTuple(b":protocol", b"websocket"), *fields], key


def switched_head(head: AnswerHead, accept: bytes) -> AnswerHead:
    """The 101 of HTTP/1.1 that says the same as this 2xx to who asked for a WebSocket. Spec: RFC 8441 section 5."""
    lines = [line for line in head.lines if not line.startswith(b"sec-websocket-accept:")]
    return msgspec.structs.replace(
        head,
        status=101,
        status_line=b"HTTP/1.1 101 Switching Protocols",
        lines=[*lines, b"Sec-WebSocket-Accept: " + accept],
        content_length=None,
        upgrade=b"websocket",
        switches=True,
    )


def answer_head(fields: Sequence[Field]) -> AnswerHead:
    """The head of an answer. Raises BackendError.

    Spec: RFC 9113 sections 8.1 to 8.3. Threat: one field that becomes several lines, or says where a body ends in a way
    that the next hop believes.
    """
    # 1. Exactly one pseudo-header field, and in front.
    if not fields or fields[0][0] != b":status" or not _STATUS.match(fields[0][1]):
        raise _malformed("no status")
    status = fields[0][1]
    if status == b"101":
        raise _malformed("status 101")
    # 2. All others are fields of the answer, not of the connection.
    if len(fields) > FIELD_LIMIT + 1:
        raise BackendError("the backend's answer has too many header fields", code="bad_answer")
    lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %b " % status]
    for name, value in fields[1:]:
        _check_field(name, value)
        lines.append(name + b": " + value)
    block = b"\r\n".join(lines)
    if len(block) > HEAD_LIMIT_BYTES:
        raise BackendError("the backend's answer has too large a head", code="bad_answer")
    # 3. What holds for answers over HTTP/1.1.
    return parse_answer_head(block)


def trailer_lines(fields: Sequence[Field]) -> list[bytes]:
    """The trailers of an answer as header lines, without those that may not stand behind a body. Raises BackendError.

    Spec: RFC 9110 section 6.5.1, RFC 9113 section 8.1.
    """
    lines = []
    size = 0
    for name, value in fields:
        _check_field(name, value)
        size += len(name) + len(value) + 4
        lines.append(name + b": " + value)
    if len(lines) > TRAILER_LIMIT or size > TRAILERS_LIMIT_BYTES:
        raise BackendError("the backend's answer has too many trailers", code="bad_answer")
    try:
        return [line for line in lines if _may_follow(line)]
    except BadRequest as exc:
        raise _malformed(exc.message) from exc


def trailer_fields(lines: Iterable[bytes]) -> list[Field]:
    """The header list of a request's trailers, from their lines, which were checked when they came."""
    fields: list[Field] = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() not in _NOT_BEHIND:
            fields.append(HeaderTuple(name.lower(), value.strip(b" \t")))
    return fields


def _may_follow(line: bytes) -> bool:
    """False for what decides framing, routing, caching or identity: none of it may come late."""
    if line.partition(b":")[0] in _NOT_BEHIND:
        return False
    return request_kind(line) == 0 and answer_kind(line) == 0


def _check_field(name: bytes, value: bytes) -> None:
    if not _NAME.match(name):
        raise _malformed("the name of a field")
    if name in _OF_THE_HOP:
        raise _malformed(f"{name.decode('ascii')} in HTTP/2")
    if _BAD_VALUE.search(value):
        raise _malformed(f"the value of {name.decode('ascii')}")


def _malformed(what: str) -> BackendError:
    return BackendError("the backend's answer is malformed", code="bad_answer", detail=what)
