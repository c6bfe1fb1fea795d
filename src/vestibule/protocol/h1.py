"""HTTP/1.1 heads of requests (RFC 9112), strict, without I/O; answers are `h1_answer`'s, bodies `chunked`'s.

What any two parsers on the way could read differently is refused here, before anything else sees the request:
the request is written anew from what was parsed, never passed on as it came.
"""

from __future__ import annotations

import re

import httptools
import msgspec

from vestibule.errors import BadRequest
from vestibule.protocol import headers, proxy_protocol, url
from vestibule.protocol.familiar import Familiar
from vestibule.protocol.headers import (
    ALIAS,
    AUTHORIZATION,
    CALLER,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    DROP,
    EXPECT,
    FORWARDED,
    HOST,
    KEEP_ALIVE,
    TE,
    TRACE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    came_before,
    known_request_kind,
    request_kind,
    tokens_of,
    value_of,
)

HEAD_LIMIT_BYTES = 32 * 1024
FIELD_LIMIT = 100
TARGET_LIMIT_BYTES = 8 * 1024

_METHOD = re.compile(rb"[A-Z][A-Z\-]{0,31}\Z")
_DIGITS = re.compile(rb"[0-9]{1,18}\Z")
_KEPT_LINE_BYTES = 512
KEPT_FIELDS_BYTES = 4096
HEAD_BYTES = 1536
"""What a head takes beside its lines, about; a line has less."""
LINES_LIMIT_BYTES = 2 << 20
_HEADS_LIMIT_BYTES = 32 << 20
"""Enough for some 10,000 browsers, each with a cookie of its own."""
_request_lines: tuple[Familiar[RequestLine], Familiar[RequestLine]] = (
    Familiar(LINES_LIMIT_BYTES, each_bytes=HEAD_BYTES),
    Familiar(LINES_LIMIT_BYTES, each_bytes=HEAD_BYTES),
)
"""Request lines that came before; the second with slashes as they are."""
_heads: Familiar[RequestHead] = Familiar(_HEADS_LIMIT_BYTES, each_bytes=HEAD_BYTES)
_authorities: Familiar[tuple[url.Authority, bytes]] = Familiar(LINES_LIMIT_BYTES, each_bytes=HEAD_BYTES)


class RequestHead(msgspec.Struct, kw_only=True):
    """A request's head in canonical form: all that may be decided on, and all that is forwarded."""

    method: bytes = b""
    target: url.Target = url.Target(b"", b"", b"", b"")
    fields: bytes = b""
    """The header lines as they came: the same bytes mean the same head but for method and target."""
    is_familiar: bool = False
    """The same header lines came before, so what follows from them is worth keeping."""
    authority: url.Authority = url.Authority(b"", None)
    host_line: bytes = b""
    """`Host: …` in canonical form, port kept."""
    lines: list[bytes]
    """End-to-end header lines as they came, without every line that has a field of its own here."""
    minor: int = 1
    """HTTP/1.x."""
    content_length: int | None = None
    chunked: bool = False
    keep_alive: bool = True
    upgrade: bytes = b""
    """The one protocol asked for, lower case; empty when none is."""
    expect_continue: bool = False
    takes_trailers: bool = False
    """Whoever asks can be given trailers (`TE: trailers`)."""
    cookies: list[bytes] = []
    authorization: bytes = b""
    caller: bytes = b""
    """Value of `Proxy-Session`; means something on a calling interface only."""
    has_alias: bool = False
    """A line came that is dropped here and that an edge would hand on: `headers.ALIAS`, or an upgrade to another."""
    trace: list[bytes] = []
    """Lines that say which trace it is part of (`traceparent`, `tracestate`)."""
    forwarded: list[bytes] = []
    """Lines that tell of the client, or of a request asked about (X-Original-URL …): for a trusted peer only."""

    @property
    def host(self) -> bytes:
        """Canonical name: lower case, no trailing dot, no port."""
        return self.authority.host

    @property
    def has_body(self) -> bool:
        """True when body bytes follow."""
        return self.chunked or bool(self.content_length)

    def value(self, name: bytes) -> bytes:
        """The value of the first end-to-end line with this lower-case name, or empty."""
        for line in self.lines:
            found, _, value = line.partition(b":")
            if len(found) == len(name) and found.lower() == name:
                return value.strip(b" \t")
        return b""


def check_partial_head(data: bytes) -> None:
    """Raise BadRequest for bytes that can't become the head of a good request any more."""
    if data.count(b"\n") != data.count(b"\r\n"):
        raise BadRequest("a line ends in a bare LF", code="bad_request", detail=_why_odd(data))
    if b"\r\n" not in data[: TARGET_LIMIT_BYTES + 64] and len(data) > TARGET_LIMIT_BYTES + 64:
        raise BadRequest("the address is too long", code="target_too_long", status=414)
    if len(data) > HEAD_LIMIT_BYTES:
        raise BadRequest("the head is too large", code="header_too_large", status=431)


def _why_odd(data: bytes) -> str:
    """More of it than who sent it is told; empty where there isn't."""
    return proxy_protocol.UNTRUSTED if proxy_protocol.begins(data) else ""


def parse_request_head(block: bytes, *, slashes: bool = False) -> RequestHead:
    """The head of a request, from its bytes up to but without the empty line. Raises BadRequest.

    `slashes` as in `url.canonical`. The lists in it are shared with other requests that sent the same lines: they
    are never changed in place.

    Spec: RFC 9112 sections 2 to 6. Threat: request smuggling, header and host confusion.
    """
    # 1. The request line.
    first, _, fields = block.partition(b"\r\n")
    line = _request_lines[slashes].get(first) or _request_line(first, slashes=slashes, block=block)
    # 2. The header lines: a client that stays sends the same block again and again.
    minor = line.minor
    known = _heads.get(fields) if minor else None
    if known is None:
        known = _head_of_fields(fields, minor)
        if minor and len(fields) <= KEPT_FIELDS_BYTES and came_before(fields):
            known.is_familiar = True
            _heads.keep(fields, known)
    # One that is kept is shared: what is this request's own goes into a copy.
    head: RequestHead = known if not known.is_familiar else known.__copy__()  # type: ignore[attr-defined] # msgspec has it, its stubs don't
    head.method = line.method
    head.target = target = line.target
    head.fields = fields
    # 3. What must agree between the two.
    if target.authority and url.authority(target.authority) != known.authority:
        raise BadRequest("the address and Host name different hosts", code="bad_host")
    return head


def head_about(head: RequestHead, *, method: bytes, target: bytes, authority: bytes) -> RequestHead:
    """The head of another request than this, which came with the same header lines: the one an edge asks about.

    Raises BadRequest, also for a target that is not canonical: whoever holds the request forwards it as it came.
    Threat: a decision on one path and a backend that reads another (CVE-2021-32637).
    """
    first = method + b" " + target + b" HTTP/1.1"
    line = _request_lines[False].get(first) or _request_line(first, slashes=False)
    if line.target.came or line.target.path[:1] != b"/":
        raise BadRequest("the address asked about is not in its canonical form", code="bad_target")
    about: RequestHead = head.__copy__()  # type: ignore[attr-defined] # msgspec has it, its stubs don't
    about.method, about.target = line.method, line.target
    about.host_line = b"Host: " + authority
    _check_host(about)
    about.fields, about.is_familiar = b"", False
    about.content_length, about.chunked, about.expect_continue = None, False, False
    about.forwarded = []
    return about


class RequestLine(msgspec.Struct, frozen=True):
    """A request line taken apart."""

    method: bytes
    target: url.Target
    minor: int


def _request_line(line: bytes, *, slashes: bool, block: bytes = b"") -> RequestLine:
    """Method, target, version: exactly three parts, one space between (RFC 9112 section 3)."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise BadRequest("the request line is malformed", code="bad_request_line", detail=_why_odd(block))
    method, raw_target, version = parts
    if len(raw_target) > TARGET_LIMIT_BYTES:
        raise BadRequest("the address is too long", code="target_too_long", status=414)
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest("this version of HTTP is not spoken here", code="bad_version", status=505)
    if not _METHOD.match(method):
        raise BadRequest("the method is malformed", code="bad_method")
    if method in (b"TRACE", b"CONNECT"):
        raise BadRequest("this method is not allowed", code="method_not_allowed", status=405)
    target = url.canonical(raw_target, slashes=slashes)
    if target.path == b"*" and method != b"OPTIONS":
        raise BadRequest("only OPTIONS may ask for *", code="bad_target")
    found = RequestLine(method, target, 1 if version == b"HTTP/1.1" else 0)
    if len(line) <= _KEPT_LINE_BYTES and came_before(line):
        _request_lines[slashes].keep(line, found)
    return found


def _head_of_fields(fields: bytes, minor: int) -> RequestHead:
    """A head with all that the header lines say; method and target are put in by the caller."""
    lines = fields.split(b"\r\n") if fields else []
    if len(lines) > FIELD_LIMIT:
        raise BadRequest("too many header fields", code="too_many_headers", status=431)
    passed: list[bytes] = []
    special: list[tuple[int, bytes]] = []
    for line in lines:
        kind = known_request_kind(line)
        if kind is None:
            kind = request_kind(line)
        if not kind:
            passed.append(line)
        elif kind != DROP:
            special.append((kind, line))
    head = RequestHead(lines=passed, minor=minor)
    connection = _apply(head, special)
    _check_framing(head)
    _check_host(head)
    _check_connection(head, connection)
    return head


def _apply(head: RequestHead, special: list[tuple[int, bytes]]) -> list[bytes]:
    """Put the special lines into their fields; the Connection tokens."""
    connection: list[bytes] = []
    seen_encoding = False
    for kind, line in special:
        if kind == HOST:
            if head.host_line:
                raise BadRequest("more than one Host", code="bad_host")
            head.host_line = line
        elif kind == COOKIE:
            head.cookies = [*head.cookies, line] if head.cookies else [line]
        elif kind == KEEP_ALIVE:
            connection.append(b"keep-alive")
        elif kind == CONNECTION:
            connection += tokens_of(value_of(line))
        elif kind == CONTENT_LENGTH:
            if head.content_length is not None:
                raise BadRequest("more than one Content-Length", code="bad_framing")
            head.content_length = length_of(value_of(line))
        elif kind == TRANSFER_ENCODING:
            # The only coding a gateway may act on is chunked, alone and once (RFC 9112 section 6.1).
            if seen_encoding or value_of(line).lower() != b"chunked":
                raise BadRequest("this Transfer-Encoding is not accepted", code="bad_framing")
            seen_encoding = head.chunked = True
        elif kind == FORWARDED:
            head.forwarded = [*head.forwarded, line]
        elif kind == TRACE:
            head.trace = [*head.trace, line]
        elif kind == AUTHORIZATION:
            if head.authorization:
                raise BadRequest("more than one Authorization", code="bad_header")
            head.authorization = line
            head.lines.append(line)
        elif kind == CALLER:
            head.caller = value_of(line) if not head.caller else b"\0"
        elif kind == UPGRADE:
            head.upgrade = value_of(line).lower() if not head.upgrade else b","
            head.has_alias = head.has_alias or head.upgrade != b"websocket"
        elif kind == EXPECT:
            if value_of(line).lower() != b"100-continue":
                raise BadRequest("this expectation can't be met", code="bad_expect", status=417)
            head.expect_continue = True
        elif kind == ALIAS:
            head.has_alias = True
        elif kind == TE:
            head.takes_trailers = head.takes_trailers or b"trailers" in tokens_of(value_of(line))
        elif kind == TRAILER:
            head.lines.append(line)
    return connection


def length_of(value: bytes) -> int:
    """What a Content-Length says. Raises BadRequest."""
    if not _DIGITS.match(value):
        raise BadRequest("the Content-Length is not a number", code="bad_framing")
    return int(value)


def _check_framing(head: RequestHead) -> None:
    """One way to know where the body ends, or none (RFC 9112 section 6.3)."""
    if head.chunked and head.content_length is not None:
        raise BadRequest("Content-Length together with Transfer-Encoding", code="bad_framing")
    if head.chunked and head.minor == 0:
        raise BadRequest("Transfer-Encoding in HTTP/1.0", code="bad_framing")


def _check_host(head: RequestHead) -> None:
    """Exactly one Host, well-formed (RFC 9112 section 3.2)."""
    if not head.host_line:
        raise BadRequest("no Host", code="bad_host")
    known = _authorities.get(head.host_line)
    if known is None:
        authority = url.authority(value_of(head.host_line))
        port = b"" if authority.port is None else b":%d" % authority.port
        known = authority, b"Host: " + authority.host + port
        _authorities.keep(head.host_line, known)
    head.authority, head.host_line = known


_KEEP_ALIVE = [b"keep-alive"]


def _check_connection(head: RequestHead, tokens: list[bytes]) -> None:
    """What the Connection header says of this hop (RFC 9110 section 7.6.1, RFC 9112 section 9.3)."""
    if not tokens:
        head.keep_alive = head.minor == 1
        head.upgrade = b""
        return
    if tokens == _KEEP_ALIVE:
        head.keep_alive = True
        head.upgrade = b""
        return
    head.keep_alive = b"close" not in tokens and (head.minor == 1 or b"keep-alive" in tokens)
    if b"upgrade" not in tokens or head.minor == 0:
        head.upgrade = b""
    head.lines = headers.without_named(head.lines, tokens)
    head.trace = headers.without_named(head.trace, tokens)


def request_bytes(head: RequestHead, lines: list[bytes], *, target: bytes, host_line: bytes) -> bytes:
    """A request's head written anew, for another target and host than it came for."""
    return head.method + b" " + target + b" HTTP/1.1\r\n" + fields_bytes(head, lines, host_line)


def fields_bytes(head: RequestHead, lines: list[bytes], host_line: bytes = b"") -> bytes:
    """The header lines with Host and framing, up to and with the empty line."""
    parts = [host_line or head.host_line, *lines]
    if head.content_length is not None:
        parts.append(b"Content-Length: %d" % head.content_length)
    elif head.chunked:
        parts.append(b"Transfer-Encoding: chunked")
    if head.expect_continue and head.has_body:
        parts.append(b"Expect: 100-continue")
    if head.upgrade:
        parts.append(b"Connection: Upgrade")
        parts.append(b"Upgrade: websocket")
    parts.append(b"\r\n")
    return b"\r\n".join(parts)


class HeadCheck:
    """A second opinion on every request head: llhttp's. Two parsers that disagree are how smuggling begins.

    Of a method and header lines that it agreed to a moment ago it is not asked again; then only the target is new,
    and what `url.canonical` lets through is less than what llhttp does.
    """

    __slots__ = ("_agreed", "_parser")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._agreed: Familiar[bytes] = Familiar(_HEADS_LIMIT_BYTES, each_bytes=HEAD_BYTES)
        """Method by header lines."""

    def agree(self, head: RequestHead, head_bytes: bytes) -> None:
        """Nothing, when llhttp accepts the head too. Raises BadRequest when it doesn't."""
        if head.is_familiar and self._agreed.get(head.fields) == head.method:
            return
        is_reusable = head.keep_alive and not head.has_body
        try:
            self._parser.feed_data(head_bytes)
        except httptools.HttpParserUpgrade:
            is_reusable = False
        except httptools.HttpParserError as exc:
            self._parser = httptools.HttpRequestParser(self)
            raise BadRequest("the request is malformed", code="bad_request", detail=str(exc)) from exc
        if not is_reusable:
            # It waits for a body, or takes nothing after what says close.
            self._parser = httptools.HttpRequestParser(self)
        if head.is_familiar:
            self._agreed.keep(head.fields, head.method)
