"""Frames of HTTP/2 as bytes, right or wrong, and how they are read again."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from hpack import Encoder

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

GET = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"app.example"))
POST = ((b":method", b"POST"), *GET[1:])


def raw(
    kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"", *, length: int | None = None
) -> bytes:
    """A frame; `length`: what it says of itself, where that isn't true."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes((kind, flags)) + struct.pack(">I", stream_id) + payload


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A header block that leaves no trace in the table of whoever reads it."""
    return Encoder().encode([(name, value, True) for name, value in fields])


def headers(
    fields: Iterable[tuple[bytes, bytes]] = GET,
    stream_id: int = 1,
    *,
    ends: bool = True,
    flags: int = END_HEADERS,
) -> bytes:
    """A HEADERS frame."""
    return raw(HEADERS, flags | (END_STREAM if ends else 0), stream_id, block(fields))


def data(body: bytes = b"", stream_id: int = 1, *, ends: bool = False) -> bytes:
    """A DATA frame."""
    return raw(DATA, END_STREAM if ends else 0, stream_id, body)


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame."""
    return raw(SETTINGS, 0, 0, b"".join(struct.pack(">HI", code, value) for code, value in pairs))


def reset(stream_id: int = 1, code: int = 8) -> bytes:
    """A RST_STREAM frame."""
    return raw(RST_STREAM, 0, stream_id, struct.pack(">I", code))


def window(number: int, stream_id: int = 0) -> bytes:
    """A WINDOW_UPDATE frame."""
    return raw(WINDOW_UPDATE, 0, stream_id, struct.pack(">I", number))


def priority(on: int, stream_id: int = 1) -> bytes:
    """A PRIORITY frame."""
    return raw(PRIORITY, 0, stream_id, struct.pack(">IB", on, 15))
