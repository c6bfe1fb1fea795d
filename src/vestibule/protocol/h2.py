"""Requests and answers of HTTP/2 (RFC 9113 section 8) as those of HTTP/1.1, and the other way: pure, without frames.

A request that came over HTTP/2 is written as the bytes of the same request over HTTP/1.1 and read by the one parser
there is (`h1.parse_request_head`), so that whatever is refused, dropped or brought to one form there is so here. What
those bytes could not say, or would say differently, is refused before: a name or value that is a line of its own, a
field that belongs to the other protocol, a pseudo-header field twice or too late.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hpack import Encoder, NeverIndexedHeaderTuple

from vestibule.errors import BadRequest
from vestibule.protocol import url
from vestibule.protocol.chunked import TRAILER_LIMIT, TRAILERS_LIMIT_BYTES
from vestibule.protocol.h1 import FIELD_LIMIT, HEAD_LIMIT_BYTES, TARGET_LIMIT_BYTES
from vestibule.protocol.headers import request_kind

Field = tuple[bytes, bytes]

FIELD_OVERHEAD_BYTES = 32
"""What a field counts beside its name and value (RFC 9113 section 6.5.2)."""
LIST_LIMIT_BYTES = HEAD_LIMIT_BYTES + FIELD_LIMIT * FIELD_OVERHEAD_BYTES
"""What clients are told of the size of a header list."""
LIST_READ_BYTES = 2 * LIST_LIMIT_BYTES
"""What is read at all; beyond it the connection ends, below it the request is answered 431."""

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]|\A[ \t]|[ \t]\Z")
_BAD_PSEUDO = re.compile(rb"[^\x21-\x7e]")
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority", b":protocol"))
_CONNECTION = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
"""Fields that say something of an HTTP/1.1 connection (RFC 9113 section 8.2.2)."""
_WEBSOCKET_DROPS = frozenset((b"sec-websocket-key", b"sec-websocket-accept"))
_SECRET = frozenset((b"set-cookie", b"cookie", b"authorization", b"proxy-session", b"location"))
"""Never kept: their values are secret, or new each time."""
_LINES_MAX = 4096
_LINE_BYTES = 512
_SHORT_BYTES = 8
_blocks: dict[bytes, bytes] = {}
"""Lines of answers as they are sent."""
_short: dict[Field, bytes] = {}
_lines: dict[Field, bytes] = {}
"""Fields of requests that were found to be good, as lines."""


class Malformed(BadRequest):
    """What no client of HTTP/2 sends; the stream is reset, without an answer (RFC 9113 section 8.1.1)."""


def request_block(fields: Sequence[Field], *, scheme: bytes, has_body: bool, key: bytes) -> bytes:
    """The same request as the bytes of an HTTP/1.1 head, up to but without the empty line.

    `has_body`: the stream goes on behind the header block. `key`: the Sec-WebSocket-Key for a request that opens a
    WebSocket, which has none of its own (RFC 8441 section 5). Raises BadRequest; Malformed.

    Spec: RFC 9113 sections 8.2 and 8.3. Threat: HTTP/2 to HTTP/1.1 downgrade: fields that become two, a body whose
    length is said twice, a host beside the authority.
    """
    # 1. Pseudo-header fields first, each once.
    pseudo, rest = _pseudo_of(fields)
    # 2. Sizes, as those of the same head over HTTP/1.1.
    if len(fields) > FIELD_LIMIT:
        raise BadRequest("too many header fields", code="too_many_headers", status=431)
    if len(pseudo.get(b":path", b"")) > TARGET_LIMIT_BYTES:
        raise BadRequest("the address is too long", code="target_too_long", status=414)
    # 3. The request line.
    is_websocket = b":protocol" in pseudo
    line = _websocket_line(pseudo) if is_websocket else _request_line(pseudo)
    # 4. Every other field as a line; cookies, which may come in crumbs, as one (RFC 9113 section 8.2.3).
    lines, hosts, cookies, has_length = _lines_of(rest, is_websocket=is_websocket)
    host = _host_of(pseudo.get(b":authority"), hosts)
    block = [line, b"Host: " + host, *lines]
    if cookies:
        block.append(b"cookie: " + b"; ".join(cookies))
    # 5. How its body is framed.
    if is_websocket:
        if has_length:
            raise Malformed("a WebSocket begins without a body", code="bad_framing")
        block += (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: " + key)
    elif has_body and not has_length:
        block.append(b"Transfer-Encoding: chunked")
    # 6. Whose protocol it is, as far as the connection shows.
    if pseudo.get(b":scheme", scheme) != scheme:
        raise BadRequest("the address is of another scheme than the connection", code="bad_target")
    whole = b"\r\n".join(block)
    if len(whole) > HEAD_LIMIT_BYTES:
        raise BadRequest("the head is too large", code="header_too_large", status=431)
    return whole


def trailer_lines(fields: Sequence[Field]) -> list[bytes]:
    """The lines behind a body, less those that may not come late (RFC 9110 section 6.5.1). Raises Malformed."""
    if len(fields) > TRAILER_LIMIT:
        raise Malformed("too many trailers", code="too_many_headers")
    if sum(len(name) + len(value) for name, value in fields) > TRAILERS_LIMIT_BYTES:
        raise Malformed("the trailers are too large", code="header_too_large")
    lines = []
    for name, value in fields:
        _check_field(name, value)
        line = name + b": " + value
        if name != b"te" and request_kind(line) == 0:
            lines.append(line)
    return lines


def answer_block(status_line: bytes, lines: Iterable[bytes], length: int | None) -> bytes:
    """The header block of an answer; `lines` are header lines, `status_line` that of HTTP/1.1.

    It leaves no trace in the client's table (RFC 7541 section 6.2.2), so a line's bytes are the same in every block.
    """
    block = _encoded(b":status", status_line[9:12]) + block_of(lines)
    return block if length is None else block + _encoded(b"content-length", b"%d" % length)


def block_of(lines: Iterable[bytes]) -> bytes:
    """Header lines as a block: names in lower case, without those that are of HTTP/1.1 alone."""
    return b"".join(
        [_block_of_line(line) if (known := _blocks.get(line)) is None else known for line in lines]
    )


def _block_of_line(line: bytes) -> bytes:
    raw_name, _, raw_value = line.partition(b":")
    name, value = raw_name.lower(), raw_value.strip(b" \t")
    block = b"" if name in _CONNECTION else _encoded(name, value)
    if len(line) <= _LINE_BYTES and name not in _SECRET:
        if len(_blocks) >= _LINES_MAX:
            _blocks.clear()
        _blocks[line] = block
    return block


def _encoded(name: bytes, value: bytes) -> bytes:
    """One field by itself: by its place in the static table, or literally."""
    known = _short.get((name, value))
    if known is None:
        known = Encoder().encode([NeverIndexedHeaderTuple(name, value)])
        if len(value) <= _SHORT_BYTES and len(_short) < _LINES_MAX and name not in _SECRET:
            _short[name, value] = known
    return known


def _pseudo_of(fields: Sequence[Field]) -> tuple[dict[bytes, bytes], Sequence[Field]]:
    """The pseudo-header fields, and the fields behind them."""
    pseudo: dict[bytes, bytes] = {}
    at = 0
    for name, value in fields:
        if name[:1] != b":":
            break
        if name not in _PSEUDO or name in pseudo:
            raise Malformed("a pseudo-header field that is unknown, or there twice", code="bad_header")
        if _BAD_PSEUDO.search(value):
            raise Malformed("a pseudo-header field is malformed", code="bad_header")
        pseudo[name] = value
        at += 1
    return pseudo, fields[at:]


def _request_line(pseudo: dict[bytes, bytes]) -> bytes:
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    if not method:
        raise Malformed("no method", code="bad_method")
    if method == b"CONNECT":
        raise BadRequest("this method is not allowed", code="method_not_allowed", status=405)
    if not pseudo.get(b":scheme") or not path:
        raise Malformed("no address", code="bad_target")
    if path[:1] != b"/" and path != b"*":
        raise Malformed("the address is no path", code="bad_target")
    return method + b" " + path + b" HTTP/1.1"


def _websocket_line(pseudo: dict[bytes, bytes]) -> bytes:
    """Of a request that opens a WebSocket: over HTTP/1.1 that is a GET (RFC 8441 section 4)."""
    if pseudo.get(b":method") != b"CONNECT" or not pseudo.get(b":scheme") or not pseudo.get(b":authority"):
        raise Malformed("a protocol is asked for, and no tunnel", code="bad_header")
    if pseudo.get(b":path", b"")[:1] != b"/":
        raise Malformed("the address is no path", code="bad_target")
    if pseudo[b":protocol"] != b"websocket":
        raise BadRequest("this protocol is not spoken here", code="method_not_allowed", status=405)
    return b"GET " + pseudo[b":path"] + b" HTTP/1.1"


def _lines_of(
    fields: Sequence[Field], *, is_websocket: bool
) -> tuple[list[bytes], list[bytes], list[bytes], bool]:
    """Lines; what Host, and what Cookie say; whether a length is said."""
    lines: list[bytes] = []
    hosts: list[bytes] = []
    cookies: list[bytes] = []
    has_length = False
    for field in fields:
        known = _lines.get(field)
        if known is not None:
            lines.append(known)
            continue
        name, value = field
        _check_field(name, value)
        if name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            has_length = True
            lines.append(name + b": " + value)
        elif not (is_websocket and name in _WEBSOCKET_DROPS):
            lines.append(name + b": " + value)
            _keep(name, value)
    return lines, hosts, cookies, has_length


def _keep(name: bytes, value: bytes) -> None:
    """It was found to be good: the same field needs no second look."""
    if len(value) > _LINE_BYTES or name in _SECRET or name in _WEBSOCKET_DROPS:
        return
    if len(_lines) >= _LINES_MAX:
        _lines.clear()
    _lines[name, value] = name + b": " + value


def _check_field(name: bytes, value: bytes) -> None:
    """Nothing, for a field that may stand behind the pseudo-header fields. Raises Malformed."""
    if not _NAME.match(name) or _BAD_VALUE.search(value):
        raise Malformed("a header field is malformed", code="bad_header")
    if name in _CONNECTION or (name == b"te" and value.lower() != b"trailers"):
        raise Malformed("a header field of HTTP/1.1", code="bad_header")


def _host_of(authority: bytes | None, hosts: list[bytes]) -> bytes:
    """What the request is for; where it is said twice, it is the same (RFC 9113 section 8.3.1)."""
    if len(hosts) > 1:
        raise Malformed("more than one Host", code="bad_host")
    if authority is None:
        if not hosts:
            raise BadRequest("no Host", code="bad_host")
        return hosts[0]
    if hosts and hosts[0] != authority and url.authority(hosts[0]) != url.authority(authority):
        raise Malformed("authority and Host name different hosts", code="bad_host")
    return authority
