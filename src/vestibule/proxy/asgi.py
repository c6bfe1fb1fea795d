"""The thin adapter to the control plane: an exchange to an ASGI call and its messages back to an answer.

The scope is built from the canonical head only, nothing re-parses it; bodies of the control plane are small and
are read whole, with a cap. While the application is still being imported, requests wait for it.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from vestibule.core.compat import unrooted
from vestibule.errors import BadRequest
from vestibule.proxy.exchange import Exchange, Responder
from vestibule.proxy.gateway import OnFault
from vestibule.proxy.task import Tasks
from vestibule.service.asgi import Message, Receive, Send
from vestibule.service.visit import Visit

BODY_LIMIT_BYTES = 1 << 20

Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}


class Call(Responder):
    """One call of the application."""

    __slots__ = ("_body", "_closed", "_drained", "_exchange", "_got", "_started", "_whole", "is_stream")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._body: list[bytes] = []
        self._whole = asyncio.Event()
        self._closed = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._got = False
        self._started: tuple[bytes, list[bytes]] | None = None
        self.is_stream = False
        """The answer is an event stream, which has no end of its own."""

    @property
    def is_closed(self) -> bool:
        """True when the client has left."""
        return self._closed.is_set()

    # -- from the downstream ------------------------------------------------------------------

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_body_end(self, trailers: Sequence[bytes]) -> None:
        self._whole.set()

    def on_gone(self) -> None:
        self._closed.set()
        self._whole.set()
        self._drained.set()

    def on_pause(self) -> None:
        self._drained.clear()

    def on_resume(self) -> None:
        self._drained.set()

    # -- to the application -------------------------------------------------------------------

    async def receive(self) -> Message:
        """ASGI receive: the whole body once, then the disconnect."""
        await self._whole.wait()
        if self._closed.is_set() or self._got:
            await self._closed.wait()
            return {"type": "http.disconnect"}
        self._got = True
        body, self._body = b"".join(self._body), []
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """ASGI send: one write where the body is whole at once, a stream otherwise."""
        exchange = self._exchange
        if message["type"] == "http.response.start":
            status = message["status"]
            line = f"HTTP/1.1 {status} {_PHRASES.get(status, '')}".encode("ascii")
            headers = message.get("headers", ())
            self._started = line, _lines(headers)
            self.is_stream = any(map(_says_event_stream, headers))
            return
        body = bytes(message.get("body", b""))
        more = message.get("more_body", False)
        if self._started is not None:
            status_line, lines = self._started
            self._started = None
            if not more:
                exchange.answer(status_line, lines, body)
                return
            exchange.start(status_line, lines, None)
        if exchange.head.method != b"HEAD":
            exchange.write(body)
        if not more:
            exchange.finish()
            return
        await self._drained.wait()


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [name + b": " + value for name, value in headers if name.lower() not in _OWN]


def _says_event_stream(header: tuple[bytes, bytes]) -> bool:
    return header[0].lower() == b"content-type" and header[1].startswith(b"text/event-stream")


_OWN = frozenset((b"content-length", b"transfer-encoding", b"connection"))


class Control:
    """Answers the gateway's own paths by an ASGI application that may still be on its way."""

    def __init__(self, application: Awaitable[Application]) -> None:
        self._application = asyncio.ensure_future(application)
        self._tasks = Tasks()
        self._calls: dict[Call, Exchange] = {}

    def begin(self, exchange: Exchange, visit: Visit, on_fault: OnFault) -> None:
        """Answer the exchange, now or later; `on_fault` is called when the application can't."""
        self.call(exchange, scope_of(exchange, visit), on_fault)

    def call(
        self,
        exchange: Exchange,
        scope: MutableMapping[str, Any],
        on_fault: OnFault,
        *,
        limit_bytes: int = BODY_LIMIT_BYTES,
    ) -> None:
        """The same with a scope that is made already."""
        length = exchange.head.content_length
        if length is not None and length > limit_bytes:
            raise BadRequest("the body is too large", code="body_too_large", status=413)
        exchange.limit_body(limit_bytes)
        if exchange.head.expect_continue:
            exchange.inform(b"HTTP/1.1 100 Continue", ())
        call = Call(exchange)
        exchange.responder = call
        self._calls[call] = exchange
        self._tasks.spawn(self._run(exchange, scope, call, on_fault), "control plane")
        exchange.want_body()

    def end_streams(self) -> None:
        """End what has no end of its own: this process is about to stop."""
        for call, exchange in tuple(self._calls.items()):
            if call.is_stream and not exchange.is_over:
                exchange.cut()

    async def _run(
        self, exchange: Exchange, scope: MutableMapping[str, Any], call: Call, on_fault: OnFault
    ) -> None:
        try:
            application = await asyncio.shield(self._application)
            await application(scope, call.receive, call.send)
            if not exchange.is_over and not call.is_closed:
                raise RuntimeError("the application ended without a whole answer")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - the boundary of the application
            if not call.is_closed:
                on_fault(exchange, error)
        finally:
            del self._calls[call]


def scope_of(exchange: Exchange, visit: Visit) -> dict[str, Any]:
    """The ASGI scope of an exchange: canonical path, the visit in its state."""
    return bare_scope(exchange) | {
        "scheme": visit.site.base_url.partition(":")[0],
        "path": unrooted(exchange.head.target.path, visit.root.encode("ascii")).decode("ascii"),
        "client": (visit.address, 0),
        "server": (visit.host.name.decode("ascii"), exchange.listener.port),
        "state": {"visit": visit},
    }


def bare_scope(exchange: Exchange) -> dict[str, Any]:
    """What the scope holds whoever asks: the canonical head, the listener, the peer."""
    head = exchange.head
    path = head.target.path
    headers = []
    for line in [head.host_line, *head.lines]:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    if head.content_length is not None:
        headers.append((b"content-length", b"%d" % head.content_length))
    return {
        "type": "http",
        # Not 2.4: by that a stream learns from `send` alone that nobody listens, and ours never says so.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"1.{head.minor}",
        "method": head.method.decode("ascii"),
        "scheme": exchange.listener.scheme,
        "path": path.decode("ascii"),
        "raw_path": path,
        "query_string": head.target.query,
        "root_path": "",
        "headers": headers,
        "client": (exchange.peer, 0),
        "server": (head.host.decode("ascii"), exchange.listener.port),
        "state": {},
    }
