"""An HTTP/1.1 client of bytes: sends what no library would, in the pieces given, and shows what came back untouched."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

# Long enough for a receiver on loopback to have read what was sent before, so that a piece arrives as a read of its own.
PIECE_PAUSE_S = 0.005
LIMIT_BYTES = 1 << 26
WITHIN_S = 30.0


class BrokenAnswerError(Exception):
    """The connection ended in the middle of an answer; `received` is what came of it."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"closed after {received[-200:]!r}")
        self.received = received


@dataclasses.dataclass(frozen=True)
class Answer:
    """One answer: `head` is its bytes up to and with the empty line, `body` is decoded, `raw_body` as it came."""

    head: bytes
    raw_body: bytes
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.head.split(b" ", 2)[1])

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Its header fields in order, names as spelt."""
        return [_field(line) for line in self.head.split(b"\r\n")[1:] if line]

    def all(self, name: bytes) -> list[bytes]:
        """Every value of that field, whatever its case."""
        return [value for known, value in self.fields if known.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """The one value of that field, None where it is missing."""
        values = self.all(name)
        assert len(values) <= 1, f"{name!r} is repeated: {values!r}"
        return values[0] if values else None


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Sends each piece in a segment of its own."""
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(PIECE_PAUSE_S)
            self.writer.write(piece)
            await self.writer.drain()

    async def ask(self, *pieces: bytes, within_s: float = WITHIN_S) -> Answer:
        """Sends, and reads the one answer to it."""
        await self.send(*pieces)
        is_head = pieces[0].startswith(b"HEAD ")
        return await self.answer(is_head=is_head, within_s=within_s)

    async def answer(self, *, is_head: bool = False, within_s: float = WITHIN_S) -> Answer:
        """The next answer, an interim one (1xx) too.

        Raises: BrokenAnswerError when the connection closes inside it; TimeoutError when nothing comes.
        """
        async with asyncio.timeout(within_s):
            head = await self._until(b"\r\n\r\n", b"")
            answer = Answer(head, b"", b"")
            if is_head or answer.status in (204, 304) or answer.status < 200:
                return answer
            if (answer.get(b"transfer-encoding") or b"").lower() == b"chunked":
                return await self._chunked(head)
            if (length := answer.get(b"content-length")) is not None:
                body = await self._exactly(int(length), head)
            else:
                body = await self.reader.read(-1)
            return Answer(head, body, body)

    async def until_closed(self, *, within_s: float = WITHIN_S) -> bytes:
        """All that comes until the other side closes; a reset ends it like a close."""
        received = b""
        async with asyncio.timeout(within_s):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(1 << 16):
                    received += piece
        return received

    async def is_open(self, *, for_s: float = 0.2) -> bool:
        """Nothing came and nobody closed in that time."""
        try:
            async with asyncio.timeout(for_s):
                return await self.reader.read(1) != b""
        except TimeoutError:
            return True
        except ConnectionError:
            return False

    def half_close(self) -> None:
        """Says that nothing more is sent, and goes on reading."""
        self.writer.write_eof()

    def abort(self) -> None:
        """Cuts the connection off with a reset."""
        self.writer.transport.abort()

    async def _chunked(self, head: bytes) -> Answer:
        raw, body = b"", b""
        while True:
            line = await self._until(b"\r\n", head + raw)
            size = int(line.split(b";")[0].strip(), 16)
            raw += line
            if size == 0:
                break
            chunk = await self._exactly(size + 2, head + raw)
            raw += chunk
            body += chunk[:-2]
        trailers = []
        while (line := await self._until(b"\r\n", head + raw)) != b"\r\n":
            raw += line
            trailers.append(_field(line[:-2]))
        return Answer(head, raw + b"\r\n", body, tuple(trailers))

    async def _until(self, end: bytes, before: bytes) -> bytes:
        try:
            return await self.reader.readuntil(end)
        except asyncio.IncompleteReadError as error:
            raise BrokenAnswerError(before + error.partial) from error
        except ConnectionError as error:
            raise BrokenAnswerError(before) from error

    async def _exactly(self, size: int, before: bytes) -> bytes:
        try:
            return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise BrokenAnswerError(before + error.partial) from error
        except ConnectionError as error:
            raise BrokenAnswerError(before) from error


@contextlib.asynccontextmanager
async def connect(port: int, *, host: str = "127.0.0.1") -> AsyncIterator[Raw]:
    """A connection, closed at the end whatever state it is in."""
    reader, writer = await asyncio.open_connection(host, port, limit=LIMIT_BYTES)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip(b" \t")
