"""The opening handshake of WebSocket over HTTP/1.1 (RFC 6455 section 4), and where its frames end.

What is in frames is no business of a gateway. Where they end is, since it may say goodbye between two of them only.

A connection becomes a tunnel only when both sides really speak WebSocket: the request is checked before it is
forwarded, and the backend's 101 before the client sees it. A backend that answers 101 to anything else would
turn the connection into one nobody decides on any more (Threat: request smuggling through a false upgrade).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final

from vestibule.errors import BackendError, BadRequest

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_RE = re.compile(rb"[A-Za-z0-9+/]{22}==")
_WATCHED = frozenset(
    (
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-accept",
        b"sec-websocket-protocol",
        b"upgrade",
        b"connection",
    )
)


GOING_AWAY: Final = 1001
"""The server goes, and the page may come again (RFC 6455 section 7.4.1)."""
_CLOSE: Final = 8
_MASK_BYTES: Final = 4


def accept_of(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers this key. Spec: RFC 6455 section 4.2.2."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def key_of(method: bytes, lines: Iterable[bytes]) -> bytes:
    """The key of a request that asks for `Upgrade: websocket`, having checked that it may.

    `lines` are the request's header lines (`b"Name: value"`). That Upgrade and Connection ask for it over
    HTTP/1.1, and that no body comes along, is for the caller to know.

    Raises: BadRequest, 426 for a version that isn't spoken (the answer then names 13 in
    Sec-WebSocket-Version).
    """
    fields = _fields(lines)
    if method != b"GET":
        raise BadRequest("a WebSocket begins with GET", code="bad_websocket")
    if fields.get(b"sec-websocket-version") != [b"13"]:
        raise BadRequest("this version of WebSocket is not spoken here", code="bad_websocket", status=426)
    match fields.get(b"sec-websocket-key"):
        case [key] if _is_key(key):
            return key
        case _:
            raise BadRequest("the WebSocket key is malformed", code="bad_websocket")


def check_answer(key: bytes, asked: Iterable[bytes], answered: Iterable[bytes]) -> None:
    """Raise BackendError unless the backend's 101 is the answer to the request with this key.

    `asked` and `answered` are the header lines of the two heads, `answered` with its Upgrade and Connection.
    Spec: RFC 6455 section 4.1, the client's six checks, less extensions, which pass end to end.
    """
    fields = _fields(answered)
    accept = fields.get(b"sec-websocket-accept", [])
    is_upgrade = (
        [value.lower() for value in fields.get(b"upgrade", [])] == [b"websocket"]
        and b"upgrade" in _tokens(fields.get(b"connection", []))
        and len(accept) == 1
        and hmac.compare_digest(accept[0], accept_of(key))
    )
    if not is_upgrade:
        raise BackendError("the backend's upgrade is not to WebSocket")
    chosen = fields.get(b"sec-websocket-protocol", [])
    offered = b",".join(_fields(asked).get(b"sec-websocket-protocol", [])).split(b",")
    if chosen and (len(chosen) > 1 or chosen[0] not in [name.strip(b" \t") for name in offered]):
        raise BackendError("the backend chose a WebSocket protocol nobody offered")


def is_own_origin(origin: bytes, base_url: str, allowed: frozenset[str] = frozenset()) -> bool:
    """True when this Origin value is that of `base_url` ("https://app.example") or one of `allowed`.

    False for `null` and for an absent (empty) one: whether a program that sends none is served is decided
    before. Spec: RFC 6454 section 7. Threat: cross-site WebSocket hijacking, in which cookies come along
    unasked.
    """
    try:
        text = origin.decode("ascii").lower()
    except UnicodeDecodeError:
        return False
    return bool(text) and (text == _origin_of(base_url) or text in allowed)


def _origin_of(base_url: str) -> str:
    """As browsers write it: lower case, no default port, no slash."""
    scheme, _, rest = base_url.lower().rstrip("/").partition("://")
    default = ":443" if scheme == "https" else ":80"
    return f"{scheme}://{rest.removesuffix(default)}"


def _is_key(key: bytes) -> bool:
    """16 bytes in base64, in the one spelling they have."""
    return _KEY_RE.fullmatch(key) is not None and base64.b64encode(base64.b64decode(key)) == key


def _fields(lines: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """The values of the header fields the handshake is made of, by lower-case name."""
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        raw_name, _, value = line.partition(b":")
        name = raw_name.lower()
        if name in _WATCHED:
            fields.setdefault(name, []).append(value.strip(b" \t"))
    return fields


def _tokens(values: list[bytes]) -> list[bytes]:
    return [token.strip(b" \t").lower() for value in values for token in value.split(b",")]


def close_frame(code: int, mask: bytes = b"") -> bytes:
    """A Close frame with this code. Spec: RFC 6455 section 5.5.1; `mask`: four random bytes, towards a server."""
    payload = code.to_bytes(2, "big")
    if not mask:
        return bytes((0x80 | _CLOSE, len(payload))) + payload
    masked = bytes(byte ^ mask[at % _MASK_BYTES] for at, byte in enumerate(payload))
    return bytes((0x80 | _CLOSE, 0x80 | len(payload))) + mask + masked


class Frames:
    """Where the frames of one direction end, known from their heads alone (RFC 6455 section 5.2)."""

    __slots__ = ("_head", "_left", "has_closed")

    def __init__(self) -> None:
        self._head = b""
        """The beginning of a head that is not whole yet."""
        self._left = 0
        """Bytes of the payload under way that have not come."""
        self.has_closed = False
        """A Close frame has begun: nothing may follow it."""

    @property
    def is_between(self) -> bool:
        """True when the last frame is whole and none has begun."""
        return not self._left and not self._head

    def follow(self, data: bytes) -> None:
        """These bytes have passed."""
        size = len(data)
        if self._left > size:
            self._left -= size
            return
        at = 0
        while at < size:
            at = self._after(data, at)

    def follow_to_end(self, data: bytes) -> int | None:
        """These bytes have passed as far as the frame under way goes: how many; None when it goes on behind them."""
        at = 0
        while at < len(data):
            at = self._after(data, at)
            if self.is_between:
                return at
        return None

    def _after(self, data: bytes, at: int) -> int:
        """Where the head, or what there is of the payload, ends that stands at *at*."""
        if self._left:
            taken = min(self._left, len(data) - at)
            self._left -= taken
            return at + taken
        known = len(self._head)
        head = self._head + data[at : at + _LONGEST_HEAD_BYTES - known]
        size = _head_bytes(head)
        if len(head) < size:
            self._head = head
            return len(data)
        short = head[1] & 0x7F
        self._left = (
            short
            if short < _IN_2_BYTES
            else int.from_bytes(head[2 : 4 if short == _IN_2_BYTES else 10], "big")
        )
        self._head = b""
        if head[0] & 0x0F == _CLOSE:
            self.has_closed = True
        return at + size - known


_LONGEST_HEAD_BYTES: Final = 14
_IN_2_BYTES: Final = 126
_IN_8_BYTES: Final = 127


def _head_bytes(head: bytes) -> int:
    """How long the frame head is that begins so; of one whose second byte is missing, two at least."""
    if len(head) < 2:
        return 2
    short = head[1] & 0x7F
    length = 2 if short == _IN_2_BYTES else 8 if short == _IN_8_BYTES else 0
    return 2 + length + (_MASK_BYTES if head[1] & 0x80 else 0)
