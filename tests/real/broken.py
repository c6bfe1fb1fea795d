"""A backend that breaks off where a test tells it to, byte by byte; and, asked nicely, one that answers well.

The target of a request says what happens to it (`/answer?body=100&cut=57&reset=1`):

- `answer`: an answer with `body` bytes, of which, head included, only the first `cut` leave before the connection ends
- `read`: reads `cut` bytes of the request's body and ends the connection without an answer
- `early`: reads `cut` bytes of the body, answers in full, and takes what follows for the rest of the body
- `stall`: reads nothing until `release` is set, then the whole body, and says how long it was
- anything else: its own target as the body
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from tests.real.raw import LIMIT_BYTES


class BrokenBackend:
    """Listens in the test's own loop; `connections` counts what was accepted."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0
        self.release = asyncio.Event()
        self.bytes_read = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=1 << 16)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serves one request; true when the connection may carry another."""
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1].decode()
        given = dict(parse_qsl(urlsplit(target).query))
        cut = int(given.get("cut", LIMIT_BYTES))
        match urlsplit(target).path.rpartition("/")[2]:
            case "answer":
                data = whole_answer(b"x" * int(given["body"]), chunked="chunked" in given)
                writer.write(data[:cut])
                await writer.drain()
                if cut >= len(data):
                    return True
            case "read":
                while cut > 0 and (piece := await reader.read(min(cut, 1 << 16))):
                    cut -= len(piece)
            case "early":
                await reader.readexactly(cut)
                writer.write(whole_answer(b"early"))
                await reader.readexactly(int(field(head, b"content-length")) - cut)
                return True
            case "stall":
                await self.release.wait()
                length = int(field(head, b"content-length"))
                while self.bytes_read < length:
                    self.bytes_read += len(await reader.read(1 << 16))
                writer.write(whole_answer(b"%d" % self.bytes_read))
                return True
            case _:
                await reader.readexactly(int(field(head, b"content-length") or 0))
                writer.write(whole_answer(target.encode()))
                return True
        if "reset" in given:
            writer.transport.abort()
        return False


def whole_answer(body: bytes, *, chunked: bool = False) -> bytes:
    """The bytes of a 200 with that body."""
    if not chunked:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    pieces = [body[at : at + 5000] for at in range(0, len(body), 5000)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % chunks


def field(head: bytes, name: bytes) -> bytes:
    """The value of a header field, empty where it is missing."""
    for line in head.split(b"\r\n")[1:]:
        known, _, value = line.partition(b":")
        if known.lower() == name:
            return value.strip()
    return b""
