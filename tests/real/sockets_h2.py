"""A backend that echoes WebSockets over HTTP/2 (RFC 8441), or refuses to know of them, or speaks HTTP/1.1 beside it.

async with Sockets(ports.take(), takes=True) as backend: …
backend.asked     # the header fields of each request, by protocol
backend.ended     # how each WebSocket ended: the code of the client's Close frame, or "reset"
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Self

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol

from vestibule.protocol.websocket import accept_of


class Echo:
    """One WebSocket, as bytes: text comes back in upper case, pings are answered."""

    def __init__(self) -> None:
        self._protocol = Protocol(SERVER, max_size=None)
        self.code: int | None = None
        self.unsent = b""

    def answered(self, data: bytes) -> bytes:
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.TEXT:
                self._protocol.send_text(bytes(frame.data).upper())
            elif frame.opcode is Opcode.BINARY:
                self._protocol.send_binary(bytes(frame.data))
        if self._protocol.close_rcvd is not None:
            self.code = int(self._protocol.close_rcvd.code)
        return b"".join(self._protocol.data_to_send())


class Sockets:
    """The server; `takes`: its HTTP/2 has WebSockets."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, *, takes: bool) -> None:
        self.port = port
        self.context = context
        self.takes = takes
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ended: asyncio.Queue[int | str] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.context)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        shaken = writer.get_extra_info("ssl_object")
        is_old = shaken is not None and shaken.selected_alpn_protocol() == "http/1.1"
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
                await (self._serve_http1(reader, writer) if is_old else self._serve_http2(reader, writer))
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    # -- HTTP/1.1 --------------------------------------------------------------------------------

    async def _serve_http1(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.partition(":") for line in head.split("\r\n")[1:] if line]
        fields = {name.lower(): value.strip() for name, _, value in lines}
        self.asked.append(("http/1.1", fields))
        accept = accept_of(fields["sec-websocket-key"].encode())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        echo = Echo()
        while echo.code is None and (data := await reader.read(1 << 16)):
            writer.write(echo.answered(data))
        self.ended.put_nowait("reset" if echo.code is None else echo.code)
        await writer.drain()

    # -- HTTP/2 ----------------------------------------------------------------------------------

    async def _serve_http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        if self.takes:
            engine.local_settings.update({SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
            engine.local_settings.acknowledge()
        engine.initiate_connection()
        writer.write(engine.data_to_send())
        echoes: dict[int, Echo] = {}
        while data := await reader.read(1 << 16):
            for event in engine.receive_data(data):
                self._on_event(engine, echoes, event)
            for id_, echo in list(echoes.items()):
                self._pump(engine, id_, echo)
                if echo.code is not None and not echo.unsent:
                    engine.end_stream(id_)
                    del echoes[id_]
                    self.ended.put_nowait(echo.code)
            writer.write(engine.data_to_send())

    def _on_event(self, engine: H2Connection, echoes: dict[int, Echo], event: events.Event) -> None:
        id_: Any = getattr(event, "stream_id", None)
        if isinstance(event, events.RequestReceived):
            fields = {str(name): str(value) for name, value in event.headers or []}
            self.asked.append(("h2", fields))
            is_socket = fields.get(":protocol") == "websocket"
            engine.send_headers(id_, [(":status", "200")], end_stream=not is_socket)
            if is_socket:
                echoes[id_] = Echo()
        elif isinstance(event, events.DataReceived) and id_ in echoes:
            engine.acknowledge_received_data(event.flow_controlled_length or 0, id_)
            echoes[id_].unsent += echoes[id_].answered(bytes(event.data or b""))
        elif isinstance(event, events.StreamReset | events.StreamEnded) and id_ in echoes:
            del echoes[id_]
            self.ended.put_nowait("reset")

    def _pump(self, engine: H2Connection, id_: int, echo: Echo) -> None:
        while room := min(
            engine.local_flow_control_window(id_), engine.max_outbound_frame_size, len(echo.unsent)
        ):
            engine.send_data(id_, echo.unsent[:room])
            echo.unsent = echo.unsent[room:]
