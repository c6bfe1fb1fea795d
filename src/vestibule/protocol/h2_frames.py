"""HTTP/2 frames before anything acts on them (RFC 9113 sections 3.4, 4 and 5): one by one, and what they cost counted.

The engine behind (the h2 library) knows what each frame means. Here stands what it leaves to its user: how many frames
may come that carry nothing, how long a header block may become, what a client's GOAWAY is (no end of the streams under
way), which frames are of no protocol that is spoken here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
FRAME_LIMIT_BYTES = 16 * 1024
BLOCK_LIMIT_BYTES = 64 * 1024
"""Of a header block as it is sent; what becomes of it has a limit of its own."""
BLOCK_FRAMES = 32

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
FLOW_CONTROL_ERROR = 0x3
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
COMPRESSION_ERROR = 0x9
ENHANCE_YOUR_CALM = 0xB

IDLE_FRAMES_MAX = 1000
"""Frames that carry nothing, beyond what the traffic of the connection explains."""
IDLE_FRAMES_PER_S = 100
IDLE_FRAME_BYTES = 64
"""So much of a frame that carries nothing counts as one more."""
WORTH_BYTES = 512
"""So much that was carried explains one frame that carries nothing."""
SETTINGS_LIMIT_BYTES = 600
"""Of one frame: a hundred settings, of which HTTP/2 has a dozen."""
STREAM_COST = 0.1
"""What it costs to look at one stream, in frames."""
RESETS_MAX = 200
RESETS_PER_S = 20
STALL_COST = 20
"""A stream that its client let wait until it was given up, in resets: it was held for as long as that takes."""

_HEAD = struct.Struct(">HBBBI")


class Frame(NamedTuple):
    """One frame, whole."""

    kind: int
    flags: int
    stream_id: int
    data: bytes
    """All of it, head included."""


class Broken(Exception):
    """The connection can't go on; `code` is what the client is told (RFC 9113 section 7)."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Budget:
    """A number of things that may come at once, and how many more each second."""

    __slots__ = ("_at", "_level", "_most", "_per_s")

    def __init__(self, most: int, per_s: int) -> None:
        self._most = most
        self._per_s = per_s
        self._level = 0.0
        self._at = 0.0

    def spend(self, number: float, now: float) -> bool:
        """False once more has come than may."""
        if now > self._at:
            self._level = max(0.0, self._level - (now - self._at) * self._per_s)
            self._at = now
        self._level += number
        return self._level <= self._most

    def earn(self, number: float) -> None:
        """Something worth its frames was done."""
        self._level = max(0.0, self._level - number)


class Gate:
    """Takes the bytes of a connection apart into frames, and refuses what nobody sends who means well.

    Threat: floods of PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA and unknown frames (CVE-2019-9511 to 9518),
    CONTINUATION without end (CVE-2024-27316 and its kin), rapid reset (CVE-2023-44487), and resets that the client
    makes the gateway send (CVE-2025-8671). Not covered here: what a frame means where it stands.

    It stands before servers, too, which send no preface and are let do more: many people share one connection to them.
    """

    __slots__ = (
        "_block_bytes",
        "_block_frames",
        "_block_stream",
        "_buffer",
        "_idle",
        "_preface",
        "_resets",
        "greeted",
    )

    def __init__(
        self,
        preface: bytes = PREFACE,
        idle_max: int = IDLE_FRAMES_MAX,
        idle_per_s: int = IDLE_FRAMES_PER_S,
    ) -> None:
        """`preface`: what stands before the first frame; `idle_…`: how many frames may carry nothing."""
        self._buffer = b""
        self._preface = preface
        self._block_stream = 0
        self._block_bytes = 0
        self._block_frames = 0
        self._idle = Budget(idle_max, idle_per_s)
        self._resets = Budget(RESETS_MAX, RESETS_PER_S)
        self.greeted = False
        """The preface is whole, and the other side's settings have come."""

    @property
    def waits_for_head(self) -> bool:
        """True while part of a header block, or of any frame but DATA, has come and the rest hasn't."""
        return self._block_stream > 0 or (bool(self._buffer) and self._buffer[3:4] != b"\0")

    @property
    def held_bytes(self) -> int:
        """What is kept of a frame that is not whole."""
        return len(self._buffer)

    def feed(self, data: bytes, now: float) -> Iterator[Frame]:
        """The whole frames so far, but those that nobody has to see. Raises Broken.

        Frames are handed out before what follows them is looked at.
        """
        if self._preface:
            data = self._greet(data)
        elif self._buffer:
            data = self._buffer + data
        self._buffer = b""
        at, end = 0, len(data)
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, at)
            length = high << 8 | low
            stream_id &= 0x7FFFFFFF
            if length > FRAME_LIMIT_BYTES:
                raise Broken(FRAME_SIZE_ERROR, "a frame is larger than frames may be")
            stop = at + HEAD_BYTES + length
            if stop > end:
                break
            frame = Frame(kind, flags, stream_id, data[at:stop])
            at = stop
            self._check(frame, length, now)
            if kind <= CONTINUATION:
                yield frame
        self._buffer = data[at:]

    def earn(self, carried_bytes: int) -> None:
        """So much was carried, in either direction."""
        self._idle.earn(carried_bytes / WORTH_BYTES)

    def on_sent(self, length: int) -> None:
        """So long a frame of a body went out: it may be answered by two that open windows, however short it is."""
        self._idle.earn(2 + length / WORTH_BYTES)

    def on_settings(self, streams: int, now: float) -> None:
        """Settings have come, which may change the windows of so many streams. Raises Broken."""
        if not self._idle.spend(streams * STREAM_COST, now):
            raise Broken(ENHANCE_YOUR_CALM, "too many settings")

    def on_late(self, length: int, now: float) -> None:
        """So long a frame of a body has come for nobody: its stream is over. Raises Broken.

        Some of it was on its way, in frames worth sending; who goes on in small ones has each answered by a reset.
        """
        if not self._idle.spend(max(0.0, 1 - length / WORTH_BYTES), now):
            raise Broken(ENHANCE_YOUR_CALM, "too much comes for streams that are over")

    def on_completed(self) -> None:
        """An exchange has come to its end as it should."""
        self._resets.earn(1)
        self._idle.earn(2)

    def on_reset(self, now: float) -> None:
        """A stream was reset: by the client, or by the gateway for what the client did on it. Raises Broken."""
        if not self._resets.spend(1, now):
            raise Broken(ENHANCE_YOUR_CALM, "too many streams were reset")

    def on_stall(self, now: float) -> None:
        """A stream was given up for which its client opened no window in time. Raises Broken."""
        if not self._resets.spend(STALL_COST, now):
            raise Broken(ENHANCE_YOUR_CALM, "too many streams were left to wait")

    def _greet(self, data: bytes) -> bytes:
        """What follows the preface."""
        preface = self._preface
        came = data[: len(preface)]
        if not preface.startswith(came):
            raise Broken(PROTOCOL_ERROR, "the connection doesn't begin as HTTP/2 does")
        self._preface = preface[len(came) :]
        return data[len(came) :]

    def _check(self, frame: Frame, length: int, now: float) -> None:
        kind = frame.kind
        if not self.greeted:
            if kind != SETTINGS or frame.flags & ACK:
                raise Broken(PROTOCOL_ERROR, "the other side doesn't begin with its settings")
            self.greeted = True
        if self._block_stream or kind == HEADERS:
            self._check_block(frame, length)
        if kind == HEADERS:
            return
        if kind == SETTINGS and length > SETTINGS_LIMIT_BYTES:
            raise Broken(ENHANCE_YOUR_CALM, "more settings than there are")
        if kind == SETTINGS and frame.flags & ACK and length:
            raise Broken(FRAME_SIZE_ERROR, "an acknowledgement with settings in it")
        if kind == DATA:
            if length > _PADDING_MAX or frame.flags & END_STREAM:
                return
            padding = 1 + frame.data[HEAD_BYTES] if frame.flags & PADDED and length else 0
            if length > padding:
                return
        # What is left carries nothing.
        if not self._idle.spend(1 + length / IDLE_FRAME_BYTES, now):
            raise Broken(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def _check_block(self, frame: Frame, length: int) -> None:
        """One header block at a time, without anything between its frames (RFC 9113 section 6.10)."""
        if self._block_stream and (frame.kind != CONTINUATION or frame.stream_id != self._block_stream):
            raise Broken(PROTOCOL_ERROR, "a header block is not whole, and something else comes")
        if not self._block_stream:
            self._block_bytes = self._block_frames = 0
        self._block_bytes += length
        self._block_frames += 1
        if self._block_bytes > BLOCK_LIMIT_BYTES or self._block_frames > BLOCK_FRAMES:
            raise Broken(ENHANCE_YOUR_CALM, "a header block has no end")
        self._block_stream = 0 if frame.flags & END_HEADERS else frame.stream_id


_PADDING_MAX = 256


def goaway(last_stream_id: int, code: int = NO_ERROR) -> bytes:
    """A GOAWAY frame; the streams up to that one are served yet (RFC 9113 section 6.8)."""
    return _HEAD.pack(0, 8, GOAWAY, 0, 0) + struct.pack(">II", last_stream_id, code)


def ping(text: bytes) -> bytes:
    """A PING frame of these eight bytes."""
    return _HEAD.pack(0, 8, PING, 0, 0) + text


def reset(stream_id: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return _HEAD.pack(0, 4, RST_STREAM, 0, stream_id) + struct.pack(">I", code)
