"""TLS between a connection's transport and its protocol, on OpenSSL's buffers in memory.

uvloop has its own, which keeps a quarter of a megabyte of room to read in for each connection. Here all connections
read into one place, and what OpenSSL keeps is cut to records, so that an idle connection holds little more than its
keys.

One object is the protocol of the transport below and the transport of the protocol above.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

PIECE_BYTES: Final = 16 * 1024
"""A record's most: more at once would stay with OpenSSL's buffers as room that nobody uses."""

SHAKING, OPEN, HALF, CLOSED = range(4)
"""HALF: our end of the stream is sent, and what still comes is not looked at."""


class Space:
    """Where everything is decrypted to, for as long as it takes to copy it: one for all connections of a loop."""

    __slots__ = ("room", "view")

    def __init__(self) -> None:
        self.room = bytearray(PIECE_BYTES)
        self.view = memoryview(self.room)


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One connection. `shaken` makes its protocol when the handshake is over, or None to close it."""

    __slots__ = (
        "_incoming",
        "_is_closing",
        "_is_ended",
        "_is_held",
        "_is_paused",
        "_is_reading",
        "_lower",
        "_object",
        "_outgoing",
        "_protocol",
        "_shaken",
        "_space",
        "_state",
        "_unread",
    )

    def __init__(
        self,
        lower: asyncio.Transport,
        context: ssl.SSLContext,
        space: Space,
        shaken: Callable[[TlsTransport, Exception | None], asyncio.Protocol | None],
    ) -> None:
        self._lower = lower
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken: Callable[[TlsTransport, Exception | None], asyncio.Protocol | None] | None = shaken
        self._protocol: asyncio.Protocol = cast("asyncio.Protocol", None)
        self._state = SHAKING
        self._space = space
        self._is_closing = False
        self._is_ended = False
        self._is_held = False
        """The transport below was told to read nothing."""
        self._is_paused = False
        self._is_reading = False
        self._unread = b""
        """What came while nobody wanted to read."""

    # -- the transport below ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._is_paused or self._unread:
            self._unread += data
        elif len(data) <= PIECE_BYTES:
            self._feed(data)
        else:
            self._unread = data
            self._read_unread()

    def eof_received(self) -> bool:
        if self._state == OPEN:
            return self._end_of_stream()
        if self._state == SHAKING:
            self._fail(ConnectionResetError("the client has left during the handshake"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        state, self._state = self._state, CLOSED
        self._unread = b""
        if state == SHAKING:
            self._fail(exc or ConnectionResetError("the client has left during the handshake"))
        elif self._protocol is not None:
            self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    # -- reading ------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        """Hand OpenSSL at most a piece, and pass on what it makes of it."""
        if self._state == HALF or self._is_closing:
            return
        self._incoming.write(data)
        if self._state == SHAKING:
            self._shake()
        elif not self._is_reading:
            self._decrypt()

    def _shake(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # the alert that says why
            self._fail(error)
            return
        self._flush()
        self._state = OPEN
        shaken, self._shaken = self._shaken, None
        protocol = shaken(self, None) if shaken is not None else None
        if protocol is None:
            self.close()
            return
        self._protocol = protocol
        protocol.connection_made(self)
        if not self._is_reading:
            self._decrypt()

    def _fail(self, error: Exception) -> None:
        """There is no connection: tell who waits for it, once."""
        self._state = CLOSED
        self._is_closing = True
        shaken, self._shaken = self._shaken, None
        if shaken is not None:
            shaken(self, error)
        self._lower.close()

    def _decrypt(self) -> None:
        """Pass on what is there, record by record, until nothing is, or nobody wants it."""
        decrypt, incoming = self._object.read, self._incoming
        room, view = self._space.room, self._space.view
        self._is_reading = True
        try:
            while self._state == OPEN and not self._is_paused and not self._is_closing:
                length = cast("int", decrypt(PIECE_BYTES, room))
                if not length:
                    self._end_of_stream()
                    return
                self._protocol.data_received(bytes(view[:length]))
                if not incoming.pending:
                    return  # OpenSSL would say that it wants more, which costs an exception
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            self._break()
        finally:
            self._is_reading = False
            if self._outgoing.pending:  # a key update is answered
                self._flush()

    def _read_unread(self) -> None:
        """Go on with what came while nobody wanted to read, and with more than a piece at once."""
        if self._is_reading:
            return
        if self._state == OPEN:
            self._decrypt()
        data, at = self._unread, 0
        while at < len(data) and not self._is_paused and self._state != CLOSED:
            piece = data[at : at + PIECE_BYTES]
            at += len(piece)
            self._feed(piece)
        self._unread = data[at:] if self._state != CLOSED else b""
        self._let_come()

    def _end_of_stream(self) -> bool:
        """The client sends nothing more. True when we go on sending."""
        if not self._is_ended:
            self._is_ended = True
            if not self._protocol.eof_received():
                self.close()
        return not self._is_closing

    def _break(self) -> None:
        """What comes is no TLS of this connection."""
        self._flush()
        self._is_closing = True
        self._lower.abort()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._lower.write(data)

    # -- the protocol above: writing ------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; one record for what fits into one."""
        if self._state != OPEN or self._is_closing:
            return
        encrypt, outgoing = self._object.write, self._outgoing
        try:
            if len(data) <= PIECE_BYTES:
                if data:
                    encrypt(data)
                    self._lower.write(outgoing.read())
                return
            view = memoryview(data)
            for at in range(0, len(view), PIECE_BYTES):
                encrypt(view[at : at + PIECE_BYTES])
                self._lower.write(outgoing.read())  # its `writelines` is half as fast
        except ssl.SSLError:
            self._break()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """The same for several pieces, as one."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """True: the client is told that nothing more comes, and may still send."""
        return True

    def write_eof(self) -> None:
        """Tell the client that nothing more comes; what it still sends is thrown away."""
        if self._state == OPEN and not self._is_closing:
            self._say_goodbye()
            self._state = HALF
            self._lower.write_eof()

    def _say_goodbye(self) -> None:
        """Send close_notify (RFC 8446 section 6.1): without it an answer may have been cut off."""
        with contextlib.suppress(ssl.SSLError):  # the client's own has not come, or never will
            self._object.unwrap()
        self._flush()

    def close(self) -> None:
        """Close after what was written."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._state == OPEN:
            self._say_goodbye()
        self._lower.close()

    def abort(self) -> None:
        """Close without ceremony."""
        self._is_closing = True
        self._lower.abort()

    def is_closing(self) -> bool:
        """True once it was asked to close."""
        return self._is_closing or self._lower.is_closing()

    def get_write_buffer_size(self) -> int:
        """What waits to be sent, encrypted."""
        return self._lower.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """As of the transport below."""
        return self._lower.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As of the transport below."""
        self._lower.set_write_buffer_limits(high, low)

    # -- the protocol above: reading ------------------------------------------------------------

    def pause_reading(self) -> None:
        """Read nothing more for now."""
        self._is_paused = True
        if not self._is_held and not self._lower.is_closing():
            self._is_held = True
            self._lower.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self._is_paused:
            return
        self._is_paused = False
        if self.is_closing():
            return
        if self._is_reading or not (self._unread or self._incoming.pending):
            self._let_come()
        else:
            asyncio.get_running_loop().call_soon(self._read_unread)

    def _let_come(self) -> None:
        """Have more read, once all that was read is passed on.

        Threat: who reads in small portions has more read with each, and all that a client ever sends waits here.
        """
        if self._is_held and not (self._is_paused or self._unread or self.is_closing()):
            self._is_held = False
            self._lower.resume_reading()

    def is_reading(self) -> bool:
        """True while what comes is passed on."""
        return not self._is_paused and not self.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol takes over."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The one above."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`ssl_object`, else as of the transport below."""
        return self._object if name == "ssl_object" else self._lower.get_extra_info(name, default)
