"""The messages of Envoy's `envoy.service.auth.v3.Authorization/Check`, in Protocol Buffers, without a generator.

Few fields of a large schema mean something to a gateway: the request's line, its headers, where it comes from. They
are read here by number; every other field is skipped by its wire type, as the encoding wants it. What the encoding
leaves to its readers, though (two values of one field: the last one counts), is refused: Envoy never sends it, and
two readers could see two requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from vestibule.errors import BadRequest

CHECK_METHOD = "/envoy.service.auth.v3.Authorization/Check"
MESSAGE_LIMIT_BYTES = 128 * 1024
"""Of a request for a decision: a head of the largest size there may be, and what Envoy says around it."""
FIELD_LIMIT = 512
"""Of one message: more is nobody's request."""

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_VARINT_LIMIT_BYTES = 10

# Field numbers, by message.
_ATTRIBUTES = 1  # CheckRequest
_SOURCE, _REQUEST = 1, 4  # AttributeContext
_ADDRESS = 1  # AttributeContext.Peer
_SOCKET_ADDRESS = 1  # core.v3.Address
_SOCKET_HOST = 2  # core.v3.SocketAddress
_HTTP = 2  # AttributeContext.Request
_METHOD, _HEADERS, _PATH, _HOST, _SCHEME, _HEADER_MAP = 2, 3, 4, 5, 6, 13  # AttributeContext.HttpRequest
_KEY, _VALUE, _RAW_VALUE = 1, 2, 3  # an entry of a map; core.v3.HeaderValue
_STATUS, _DENIED, _OK = 1, 2, 3  # CheckResponse
_OK_HEADERS, _OK_REMOVED, _OK_FOR_CLIENT = 2, 5, 6  # OkHttpResponse
_DENIED_STATUS, _DENIED_HEADERS, _DENIED_BODY = 1, 2, 3  # DeniedHttpResponse
_OPTION_HEADER, _OPTION_ACTION, _OPTION_KEEP_EMPTY = 1, 3, 4  # core.v3.HeaderValueOption
_APPEND, _OVERWRITE = 0, 2  # core.v3.HeaderValueOption.HeaderAppendAction
_PERMISSION_DENIED = 7  # google.rpc.Code

Header = tuple[bytes, bytes]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A request that Envoy holds, and asks about; nothing in it is checked yet but the encoding."""

    method: bytes
    path: bytes
    """With the query, as it came."""
    host: bytes
    """Host or `:authority`, with its port."""
    scheme: bytes = b""
    headers: tuple[Header, ...] = ()
    """Names in lower case, each once; without pseudo headers."""
    source: str = ""
    """The address of Envoy's own peer; empty for a Unix socket, or when it was not told."""


def read_check(message: bytes) -> Check:
    """The question in a CheckRequest. Raises BadRequest when it is not one, whole and in one meaning."""
    if len(message) > MESSAGE_LIMIT_BYTES:
        raise _malformed("the message is too long")
    attributes = _message(_one(_read(message), _ATTRIBUTES))
    source = _message(_one(attributes, _SOURCE))
    address = _message(_one(_message(_one(source, _ADDRESS)), _SOCKET_ADDRESS))
    http = _message(_one(_message(_one(attributes, _REQUEST)), _HTTP))
    return Check(
        method=_bytes(_one(http, _METHOD)),
        path=_bytes(_one(http, _PATH)),
        host=_bytes(_one(http, _HOST)),
        scheme=_bytes(_one(http, _SCHEME)),
        headers=_headers(http),
        source=_text(_one(address, _SOCKET_HOST)),
    )


def _headers(http: _Fields) -> tuple[Header, ...]:
    """Of the map, or where Envoy is told to send raw headers, of the list in its place.

    Threat: one that stands in both, or twice, of which this reader and the backend see different ones.
    """
    entries = [_message(value) for value in http.get(_HEADERS, ())]
    entries += [_message(value) for value in _message(_one(http, _HEADER_MAP)).get(1, ())]
    found: dict[bytes, bytes] = {}
    for entry in entries:
        name = _bytes(_one(entry, _KEY)).lower()
        if name in found:
            raise _malformed("a header stands there twice")
        value, raw = _bytes(_one(entry, _VALUE)), _bytes(_one(entry, _RAW_VALUE))
        if value and raw:
            raise _malformed("a header has two values")
        found[name] = value or raw
    return tuple((name, value) for name, value in found.items() if name[:1] != b":")


# -- answers ----------------------------------------------------------------------------------


def allowed(headers: Iterable[Header], remove: Iterable[bytes], for_client: Iterable[Header] = ()) -> bytes:
    """A CheckResponse that lets the request pass.

    `headers` stand in place of the request's own of these names, empty ones too; `remove` are taken from it;
    `for_client` are added to the answer.
    """
    ok = b"".join(
        (
            *(_field(_OK_HEADERS, _option(header, _OVERWRITE)) for header in headers),
            *(_field(_OK_REMOVED, name) for name in remove),
            *(_field(_OK_FOR_CLIENT, _option(header, _APPEND)) for header in for_client),
        )
    )
    return _field(_STATUS, b"") + _field(_OK, ok)


def denied(status: int, headers: Iterable[Header], body: bytes) -> bytes:
    """A CheckResponse that answers in the backend's place, with this HTTP status."""
    answer = b"".join(
        (
            _field(_DENIED_STATUS, _number(1, status)),
            *(_field(_DENIED_HEADERS, _option(header, _APPEND)) for header in headers),
            _field(_DENIED_BODY, body),
        )
    )
    return _field(_STATUS, _number(1, _PERMISSION_DENIED)) + _field(_DENIED, answer)


def _option(header: Header, action: int) -> bytes:
    name, value = header
    pair = _field(_KEY, name.lower()) + _field(_VALUE, value)
    return _field(_OPTION_HEADER, pair) + _number(_OPTION_ACTION, action) + _number(_OPTION_KEEP_EMPTY, 1)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# -- the encoding -----------------------------------------------------------------------------

_Fields = dict[int, list[bytes | int]]
"""What stands in a message, by field number, in the order it came."""


def _read(message: bytes) -> _Fields:
    found: _Fields = {}
    for count, (number, value) in enumerate(_walk(message)):
        if count >= FIELD_LIMIT:
            raise _malformed("there are too many fields")
        found.setdefault(number, []).append(value)
    return found


def _walk(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    at, end = 0, len(message)
    while at < end:
        key, at = _read_varint(message, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise _malformed("a field has no number")
        value: bytes | int
        if wire == _VARINT:
            value, at = _read_varint(message, at)
        elif wire == _BYTES:
            length, start = _read_varint(message, at)
            value, at = message[start : start + length], start + length
        elif wire in (_FIXED_64, _FIXED_32):
            length = 8 if wire == _FIXED_64 else 4
            value, at = message[at : at + length], at + length
        else:
            raise _malformed("a field is of no known wire type")
        if at > end:
            raise _malformed("a field is cut off")
        yield number, value


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next thing begins."""
    value = 0
    for place, byte in enumerate(message[at : at + _VARINT_LIMIT_BYTES]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise _malformed("a number is cut off or too long")


def _one(fields: _Fields, number: int) -> bytes | int | None:
    values = fields.get(number, ())
    if len(values) > 1:
        raise _malformed("a field stands there twice")
    return values[0] if values else None


def _message(value: bytes | int | None) -> _Fields:
    return _read(_bytes(value))


def _bytes(value: bytes | int | None) -> bytes:
    if isinstance(value, int):
        raise _malformed("a field is of another type")
    return value or b""


def _text(value: bytes | int | None) -> str:
    return _bytes(value).decode("utf-8", "replace")


def _malformed(why: str) -> BadRequest:
    return BadRequest("the question is malformed", code="bad_question", detail=f"CheckRequest: {why}")
