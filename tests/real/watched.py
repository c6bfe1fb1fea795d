"""An app behind the gateway that checks each request it gets: is it who the address says, may they, in which session."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from types import TracebackType
from typing import Self, cast

from vestibule.core.handle import Handle, open_handle
from vestibule.core.seal import KeyRing


class Watched:
    """Answers `/p/PERSON/SEQ`, `/admins/PERSON/SEQ` and `/open/SEQ` with `PERSON SESSION SEQ`, as it saw them.

    `wrong` are the requests that should never have come here.
    """

    def __init__(self, port: int, ring: KeyRing, *, admins: Collection[str] = ()) -> None:
        self.port = port
        self.ring = ring
        self.admins = frozenset(admins)
        self.wrong: list[str] = []
        self.count = 0
        self._server: asyncio.Server | None = None
        self._handles: dict[bytes, str] = {}
        self.open: set[asyncio.Transport] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for transport in tuple(self.open):
            transport.abort()
        while self.open:  # until the loop has let go of them
            await asyncio.sleep(0)

    def answer(self, head: bytes) -> bytes:
        """What is said to this request."""
        self.count += 1
        first, *lines = head.split(b"\r\n")
        path = first.split(b" ")[1]
        told = {
            name.lower(): value.strip()
            for line in lines
            if line
            for name, _, value in (line.partition(b":"),)
            if name[:5].lower() in {b"user-", b"proxy"}
        }
        who = told.get(b"user-login", b"").decode()
        session = self._session_of(told.get(b"proxy-session", b""))
        if problem := self._problem(path, who, session):
            self.wrong.append(f"{problem}: {path!r} came for {who!r} in session {session!r}")
        return f"{who or '-'} {session or '-'} {path.rpartition(b'/')[2].decode()}".encode()

    def _problem(self, path: bytes, who: str, session: str) -> str:
        kind, _, rest = path[1:].partition(b"/")
        if kind == b"open":
            return ""
        if not who or not session:
            return "nobody was let in"
        if rest.partition(b"/")[0].decode() != who:
            return "somebody else's"
        if kind == b"admins" and who not in self.admins:
            return "a decision that was never made"
        return ""

    def _session_of(self, sealed: bytes) -> str:
        """The session's permanent id, which the gateway alone can write."""
        if not sealed:
            return ""
        if sealed not in self._handles:
            found = open_handle(self.ring, sealed, time.time())
            if not isinstance(found, Handle):
                self.wrong.append(f"a handle that nobody sealed: {found}")
                return ""
            self._handles[sealed] = found.session_id
        return self._handles[sealed]


class _Connection(asyncio.Protocol):
    def __init__(self, app: Watched) -> None:
        self._app = app
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._app.open.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._app.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            body = self._app.answer(head)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
