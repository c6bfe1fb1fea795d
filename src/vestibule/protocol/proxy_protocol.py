"""The PROXY protocol: what a proxy of connections tells of the client in front of it, before anything else.

Spec: HAProxy's `proxy-protocol.txt`, versions 1 (text) and 2 (binary). Threat: whoever may send the header says who
they are, so it is read from peers of a list only, and they must send it: a connection of theirs without one is refused,
and nobody else's first bytes are read as one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

import msgspec

from vestibule.protocol.address import normalise

LIMIT_BYTES: Final = 4096
"""Of a version 2 header with all that it tells beside addresses; the specification's own advice is less."""
V1_LIMIT_BYTES: Final = 107
SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
UNTRUSTED: Final = "a PROXY header, from a peer that is not in `proxy_protocol`"
"""For logs: who meets one where none is read is told why."""
_V1 = b"PROXY "
_LOCAL, _PROXY = 0, 1
_INET_BYTES, _INET6_BYTES, _UNIX_BYTES = 12, 36, 216
_CRC32C = 0x03


class Told(msgspec.Struct, frozen=True):
    """What the header tells, and how many bytes of the connection it was."""

    client: str | None
    """Address of the client; None: the proxy speaks for itself, or can't tell."""
    length: int


class HeaderRefused(ValueError):
    """The connection doesn't begin with a header, or with a broken one."""


def read(data: bytes) -> Told | None:
    """The header that these first bytes of a connection hold; None: not yet whole. Raises HeaderRefused."""
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _read_v2(data) if len(data) >= 16 else None
    if data[: len(_V1)] == _V1[: len(data)]:
        return _read_v1(data)
    raise HeaderRefused("no PROXY header")


def begins(data: bytes) -> bool:
    """True for the first bytes of a connection where they are those of a header; too few to tell are none.

    So it is with empty lines before a request passed over, as HTTP does.
    """
    return data.startswith((_V1, SIGNATURE, SIGNATURE.lstrip(b"\r\n")))


# -- version 1 -------------------------------------------------------------------------------------


def _read_v1(data: bytes) -> Told | None:
    end = data.find(b"\r\n", 0, V1_LIMIT_BYTES)
    if end < 0:
        if len(data) >= V1_LIMIT_BYTES or b"\n" in data:
            raise HeaderRefused("a PROXY line without an end")
        return None
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise HeaderRefused("a PROXY line that is no text") from None
    length = end + 2
    if words[1:2] == ["UNKNOWN"]:  # what else stands in the line is to be ignored
        return Told(None, length)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise HeaderRefused("a PROXY line with other words")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    try:
        client = normalise(str(kind(words[2])))
        kind(words[3])
    except ValueError:
        raise HeaderRefused("a PROXY line with no such addresses") from None
    if not all(_is_port(word) for word in words[4:]):
        raise HeaderRefused("a PROXY line with no such ports")
    return Told(client, length)


def _is_port(word: str) -> bool:
    return word.isdigit() and len(word) <= 5 and str(int(word)) == word and int(word) <= 0xFFFF


# -- version 2 -------------------------------------------------------------------------------------


def _read_v2(data: bytes) -> Told | None:
    version, command = data[12] >> 4, data[12] & 15
    family, length = data[13] >> 4, 16 + int.from_bytes(data[14:16])
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise HeaderRefused("a PROXY header of another version")
    if length > LIMIT_BYTES:
        raise HeaderRefused("a PROXY header that is too long")
    if len(data) < length:
        return None
    told = data[16:length]
    size = {1: _INET_BYTES, 2: _INET6_BYTES, 3: _UNIX_BYTES}.get(family, 0)
    if command == _LOCAL:  # a health check of the proxy's own; what it says of addresses must be ignored
        return Told(None, length)
    if len(told) < size:
        raise HeaderRefused("a PROXY header without its addresses")
    _check_more(data[:length], 16 + size)
    if data[13] & 15 != 1 or family not in (1, 2):  # AF_UNSPEC, AF_UNIX, datagrams: nobody we could name
        return Told(None, length)
    raw = told[:4] if family == 1 else told[:16]
    client = IPv4Address(raw) if family == 1 else IPv6Address(raw)
    return Told(normalise(str(client)), length)


def _check_more(header: bytes, at: int) -> None:
    """What it tells beside addresses is skipped, but must fit; a checksum that is there must be right."""
    while at < len(header):
        if len(header) < at + 3:
            raise HeaderRefused("a PROXY header with half a field")
        kind, length = header[at], int.from_bytes(header[at + 1 : at + 3])
        value_at = at + 3
        at = value_at + length
        if at > len(header):
            raise HeaderRefused("a PROXY header with half a field")
        if kind == _CRC32C:
            zeroed = header[:value_at] + bytes(length) + header[at:]
            if length != 4 or crc32c(zeroed) != int.from_bytes(header[value_at:at]):
                raise HeaderRefused("a PROXY header with a wrong checksum")


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum (RFC 3720 appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE = tuple(map(_crc_of, range(256)))
