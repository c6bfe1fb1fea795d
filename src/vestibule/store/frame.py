"""What processes say to each other about changes: messages, in frames that only this installation's key ring makes.

A frame is `mac (32) | msgpack [version, node, number, messages]`. A node numbers its frames from 0 on, all of them in
one row: who misses a number has missed a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from vestibule.core.seal import KeyRing
from vestibule.store.base import EVERYTHING

FRAME_MAX_BYTES: Final = 5_900
"""So that it fits, as base64, into the 7,999 bytes of a notification of PostgreSQL."""
VERSION: Final = 1
_MAC_BYTES: Final = 32
_PURPOSE: Final = "changes"
_HEAD_BYTES: Final = 96
"""At most, for everything in a frame that is no message."""
_AROUND_BYTES: Final = 16
"""At most, for everything in a message that is no text."""


class Beat(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """The sender lives; it says when to itself alone: clocks of two processes are never compared."""

    number: int


class Change(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """What was changed; both `EVERYTHING`: nobody knows what."""

    kind: str
    key: str


class Sync(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """The sender wants to know who has taken all it said until here."""

    number: int


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """The sender has taken all that *node* said until its sync of this number, and forgotten what it had to."""

    node: str
    number: int


class Goodbye(msgspec.Struct, frozen=True, array_like=True, tag="q"):
    """The sender ends, and has told all it had to tell."""


Message: TypeAlias = Beat | Change | Sync | Ack | Goodbye


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """What one node says at once."""

    version: int
    node: str
    number: int
    messages: tuple[Message, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def written(frame: Frame, ring: KeyRing) -> bytes:
    """The frame's bytes."""
    body = _encode(frame)
    return ring.mac(_PURPOSE, body) + body


def read(data: bytes, ring: KeyRing) -> Frame | None:
    """The frame; None for what this version, or this key ring, can't read.

    Threat: whoever may speak on the channel without the key (any role of the database may NOTIFY, any user of the
    Redis PUBLISH) and says goodbye, or has heard a change, in another's name. What was said once and is said again
    has an old number; that is for whoever reads the numbers.
    """
    mac, body = data[:_MAC_BYTES], data[_MAC_BYTES:]
    if not ring.check_mac(_PURPOSE, body, mac):
        return None
    try:
        frame = _decode(body)
    except msgspec.MsgspecError:
        return None
    return frame if frame.version == VERSION else None


def packed(messages: Iterable[Message]) -> Iterator[tuple[Message, ...]]:
    """The messages in their order, in groups that fit a frame; one that fits none becomes a change of everything."""
    group: list[Message] = []
    left = FRAME_MAX_BYTES - _HEAD_BYTES
    for message in messages:
        size = _size(message)
        fits = size <= FRAME_MAX_BYTES - _HEAD_BYTES
        if not fits:
            size = _AROUND_BYTES
        if size > left:
            yield tuple(group)
            group, left = [], FRAME_MAX_BYTES - _HEAD_BYTES
        group.append(message if fits else Change(EVERYTHING, EVERYTHING))
        left -= size
    if group:
        yield tuple(group)


def _size(message: Message) -> int:
    """At most so many bytes."""
    match message:
        case Change(kind, key):
            try:
                return _AROUND_BYTES + len(kind.encode()) + len(key.encode())
            except UnicodeEncodeError:  # a lone surrogate: it can't be said
                return FRAME_MAX_BYTES
        case Ack(node, _):
            return _AROUND_BYTES + len(node)
        case _:
            return _AROUND_BYTES
