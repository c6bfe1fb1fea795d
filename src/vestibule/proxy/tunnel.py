"""A WebSocket under way: bytes pass as they are, and where their frames end is known, so that it can be closed well.

When the program goes, each side is told so by a Close frame of ours (1001, RFC 6455 section 7.4.1) behind the frame
that is under way. What would follow it in that direction is dropped: nothing may (RFC 6455 section 5.5.1).
"""

from __future__ import annotations

from secrets import token_bytes

from vestibule.protocol.websocket import GOING_AWAY, Frames, close_frame


class Way:
    """One direction."""

    __slots__ = ("_frames", "_goodbye", "is_closed")

    def __init__(self) -> None:
        self._frames = Frames()
        self._goodbye = b""
        """What is sent behind the frame under way."""
        self.is_closed = False
        """Nothing passes any more."""

    def passed(self, data: bytes) -> bytes:
        """What goes on of these bytes."""
        if self.is_closed:
            return b""
        if not self._goodbye:
            self._frames.follow(data)
            return data
        end = self._frames.follow_to_end(data)
        if end is None:
            return data
        self.is_closed = True
        return data[:end] if self._frames.has_closed else data[:end] + self._goodbye

    def leave(self, goodbye: bytes) -> bytes:
        """Close it: what is sent now. A side that has closed by itself is left to do so."""
        if self.is_closed or self._goodbye or self._frames.has_closed:
            return b""
        if not self._frames.is_between:
            self._goodbye = goodbye
            return b""
        self.is_closed = True
        return goodbye


class Tunnel:
    """Both directions."""

    __slots__ = ("is_leaving", "to_backend", "to_client")

    def __init__(self) -> None:
        self.to_client = Way()
        self.to_backend = Way()
        self.is_leaving = False

    def leave(self) -> tuple[bytes, bytes]:
        """Close it: what is sent now to the client, and to the backend."""
        self.is_leaving = True
        return (
            self.to_client.leave(close_frame(GOING_AWAY)),
            self.to_backend.leave(close_frame(GOING_AWAY, token_bytes(4))),
        )
