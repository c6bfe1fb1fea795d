"""What a client says before anything is agreed on: the ClientHello of TLS (RFC 8446 section 4.1.2, RFC 5246 7.4.1.2).

Read so that certificate and demands can be chosen by it before the handshake begins. Only what the choice needs is
looked at; whether the rest is good, the TLS library says. It comes in records, which may cut it anywhere, and records
come in pieces: a reader that knows only the first record lets a client hide its server name from it
(Threat: CVE-2026-32305, where a fragmented ClientHello got round client certificates).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from vestibule.errors import BadRequest
from vestibule.protocol.url import authority

LIMIT_BYTES: Final = 16 * 1024
"""All that may come before it is whole; a browser's with post-quantum keys has some 1,800."""

# Alerts (RFC 8446 section 6.2).
UNEXPECTED_MESSAGE: Final = 10
RECORD_OVERFLOW: Final = 22
HANDSHAKE_FAILURE: Final = 40
ILLEGAL_PARAMETER: Final = 47
DECODE_ERROR: Final = 50
PROTOCOL_VERSION: Final = 70
INTERNAL_ERROR: Final = 80
UNRECOGNIZED_NAME: Final = 112
CERTIFICATE_REQUIRED: Final = 116
NO_APPLICATION_PROTOCOL: Final = 120

TLS_1_3: Final = 0x0304
"""As it stands in `versions`."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_HEADER_BYTES = 4
_RECORD_MAX_BYTES = 1 << 14
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43


class ClientHello(msgspec.Struct, frozen=True, kw_only=True):
    """What the choice goes by."""

    server_name: bytes = b""
    """In lower case, without a dot at the end; empty where none was named, or what was named is no host's name."""
    alpn: tuple[bytes, ...] = ()
    versions: tuple[int, ...] = ()
    """As in `supported_versions`, in the client's order; else the one of the hello itself."""


class HelloRefused(ValueError):
    """This is no ClientHello, or none that anybody needs; `alert` says so to the client."""

    def __init__(self, alert: int, why: str) -> None:
        super().__init__(why)
        self.alert = alert


def read(data: bytes) -> ClientHello | int:
    """The ClientHello that these first bytes of a connection hold; or how many it takes at least. Raises HelloRefused.

    What follows it is left alone. Who waits for as many as are wanted reads a few times only, in however many records
    and pieces they come.
    """
    message = _message(data)
    if isinstance(message, bytes):
        return _hello(message)
    if message > LIMIT_BYTES:
        raise HelloRefused(RECORD_OVERFLOW, "the ClientHello is too long")
    return message


def alert_record(alert: int) -> bytes:
    """The fatal alert as a record, for a client that has seen nothing else yet."""
    return bytes((21, 3, 3, 0, 2, 2, alert))


def _message(data: bytes) -> bytes | int:
    """The body of the handshake message, put together from its records; or how many bytes it takes at least."""
    message, at, lacks = bytearray(), 0, _HEADER_BYTES
    while len(data) >= at + 5:
        begin, at = at + 5, at + 5 + _record_length(data[at : at + 5])
        message += data[begin:at]
        lacks = _lacking(message)
        if not lacks and len(data) >= at:
            return bytes(message[_HEADER_BYTES:])
    _check_beginning(data[at:])
    return at if len(data) < at else at + 5 + lacks


def _record_length(header: bytes) -> int:
    if header[0] != _HANDSHAKE or header[1] != 3:
        raise HelloRefused(UNEXPECTED_MESSAGE, "this is no TLS handshake")
    length = int.from_bytes(header[3:])
    if not 0 < length <= _RECORD_MAX_BYTES:  # an empty one is forbidden (RFC 8446 section 5.1)
        raise HelloRefused(RECORD_OVERFLOW, "a record of a forbidden length")
    return length


def _lacking(message: bytearray) -> int:
    """How many bytes of the message are to come. Raises HelloRefused, when it is another, or more stands behind it."""
    if message and message[0] != _CLIENT_HELLO:
        raise HelloRefused(UNEXPECTED_MESSAGE, "the handshake doesn't begin with a ClientHello")
    if len(message) < _HEADER_BYTES:
        return _HEADER_BYTES - len(message)
    length = _HEADER_BYTES + int.from_bytes(message[1:_HEADER_BYTES])
    if length > LIMIT_BYTES:
        raise HelloRefused(RECORD_OVERFLOW, "the ClientHello is too long")
    lacks = length - len(message)
    if lacks < 0:
        raise HelloRefused(UNEXPECTED_MESSAGE, "a message after the ClientHello in its record")
    return lacks


def _check_beginning(data: bytes) -> None:
    """Refuse early what can't become a record. Raises HelloRefused."""
    if data and (data[0] != _HANDSHAKE or (len(data) > 1 and data[1] != 3)):
        raise HelloRefused(UNEXPECTED_MESSAGE, "this is no TLS handshake")


def _hello(message: bytes) -> ClientHello:
    reader = _Reader(message)
    version = int.from_bytes(reader.take(2))
    reader.take(32)  # random
    if len(reader.vector(1)) > 32:
        raise HelloRefused(DECODE_ERROR, "the session id is too long")
    ciphers = reader.vector(2)
    if not ciphers or len(ciphers) % 2:
        raise HelloRefused(DECODE_ERROR, "a list of ciphers that is none")
    if 0 not in reader.vector(1):
        raise HelloRefused(ILLEGAL_PARAMETER, "no connection without compression")
    extensions: dict[int, bytes] = {}
    if reader.is_more:
        for kind, value in _extensions(reader.vector(2)):
            if kind in extensions:  # RFC 8446 section 4.2: two of a kind
                raise HelloRefused(ILLEGAL_PARAMETER, "an extension stands twice")
            extensions[kind] = value
    reader.end()
    name, alpn = extensions.get(_SERVER_NAME), extensions.get(_ALPN)
    versions = extensions.get(_SUPPORTED_VERSIONS)
    return ClientHello(
        server_name=b"" if name is None else _server_name(name),
        alpn=() if alpn is None else _protocols(alpn),
        versions=(version,) if versions is None else _versions(versions),
    )


def _extensions(block: bytes) -> Iterator[tuple[int, bytes]]:
    at, end = 0, len(block)  # there are a dozen and more: half of the time that a hello takes
    while at < end:
        begin = at + 4
        after = begin + int.from_bytes(block[at + 2 : begin])
        if begin > end or after > end:
            raise HelloRefused(DECODE_ERROR, "a field reaches past the end")
        yield int.from_bytes(block[at : at + 2]), block[begin:after]
        at = after


def _server_name(value: bytes) -> bytes:
    """RFC 6066 section 3: exactly one name, and it is a host's."""
    reader = _Reader(value)
    listed = _Reader(reader.vector(2))
    reader.end()
    kind, name = listed.take(1), listed.vector(2)
    listed.end()
    if kind != b"\x00" or not name or len(name) > 255 or b"\x00" in name:
        raise HelloRefused(ILLEGAL_PARAMETER, "a server name that is none")
    return canonical_name(name)


def canonical_name(name: bytes) -> bytes:
    """As a Host field would have it; empty where it is no host's name: an IP address, a U-label."""
    if b":" in name:
        return b""
    try:
        host = authority(name).host
    except BadRequest:
        return b""
    return b"" if host[host.rfind(b".") + 1 :].isdigit() else host


def _protocols(value: bytes) -> tuple[bytes, ...]:
    """RFC 7301 section 3.1."""
    reader = _Reader(value)
    listed = _Reader(reader.vector(2))
    reader.end()
    found = []
    while listed.is_more:
        found.append(listed.vector(1))
    if not found or b"" in found:
        raise HelloRefused(DECODE_ERROR, "a list of protocols that is none")
    return tuple(found)


def _versions(value: bytes) -> tuple[int, ...]:
    reader = _Reader(value)
    listed = reader.vector(1)
    reader.end()
    if not listed or len(listed) % 2:
        raise HelloRefused(DECODE_ERROR, "a list of versions that is none")
    return tuple(int.from_bytes(listed[at : at + 2]) for at in range(0, len(listed), 2))


class _Reader:
    """Takes fields off a message; what reaches past its end is refused."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_more(self) -> bool:
        return self._at < len(self._data)

    def take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise HelloRefused(DECODE_ERROR, "a field reaches past the end")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def vector(self, length_bytes: int) -> bytes:
        """What stands behind its own length."""
        return self.take(int.from_bytes(self.take(length_bytes)))

    def end(self) -> None:
        """Nothing follows."""
        if self.is_more:
            raise HelloRefused(DECODE_ERROR, "bytes after the end of a field")
