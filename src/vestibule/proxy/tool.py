"""What requests to an MCP server call, and whether whoever the route lets in may call that, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from vestibule.core.policy import asker_of, decide
from vestibule.errors import ClientError
from vestibule.model import Allow
from vestibule.protocol.mcp import BODY_LIMIT_BYTES, NO_ID, messages_of
from vestibule.proxy.exchange import Exchange, Responder
from vestibule.proxy.judge import Judged
from vestibule.proxy.secured import names_on


class Held(NamedTuple):
    """A request's body, whole."""

    body: bytes
    trailers: Sequence[bytes]


class Then(NamedTuple):
    """Who goes on with it: exactly one of these is called, unless the client leaves."""

    act: Callable[[Exchange, Judged, Held], None]
    failed: Callable[[Exchange, Exception], None]


def read_calls(
    exchange: Exchange,
    judged: Judged,
    act: Callable[[Exchange, Judged, Held], None],
    failed: Callable[[Exchange, Exception], None],
) -> None:
    """Have the body come, as far as it may be read, then `act`. Raises ClientError.

    Threat: a body too large to be looked at, or a WebSocket, in which calls go by unseen.
    """
    head = exchange.head
    exchange.rpc = NO_ID
    if head.upgrade:
        raise ClientError("no WebSocket is opened to an MCP server", code="bad_websocket", status=403)
    most = judged.ask.route.body_limit_bytes
    limit = BODY_LIMIT_BYTES if most is None else min(most, BODY_LIMIT_BYTES)
    if head.content_length is not None and head.content_length > limit:
        raise ClientError("the body is too large", code="body_too_large", status=413)
    exchange.limit_body(limit)
    exchange.responder = _Reading(exchange, judged, Then(act, failed))
    if head.expect_continue:
        exchange.inform(b"HTTP/1.1 100 Continue", ())
    exchange.want_body()


class _Reading(Responder):
    """Keeps the body until it is whole."""

    __slots__ = ("_exchange", "_judged", "_pieces", "_then")

    def __init__(self, exchange: Exchange, judged: Judged, then: Then) -> None:
        self._exchange = exchange
        self._judged = judged
        self._then = then
        self._pieces: list[bytes] = []

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_body_end(self, trailers: Sequence[bytes]) -> None:
        exchange, held = self._exchange, Held(b"".join(self._pieces), trailers)
        exchange.responder = None
        try:
            self._then.act(exchange, self._judged, held)
        except Exception as error:  # noqa: BLE001 - the boundary: an unforeseen fault must not let anyone through
            self._then.failed(exchange, error)

    def on_gone(self) -> None:
        self._pieces.clear()


def judged_calls(exchange: Exchange, judged: Judged, body: bytes, now: float) -> Judged | None:
    """How the request is judged by the first of its calls that is refused; None: all may be called. Raises ClientError.

    The exchange is told which request of JSON-RPC a refusal is for.
    """
    ask = judged.ask
    tools, who = ask.route.tools, judged.caller or judged.session
    messages = messages_of(body, exchange.head.lines)
    exchange.rpc = messages[0].id if len(messages) == 1 else NO_ID
    found = (tools.of(one.tool) for one in messages if one.tool) if tools is not None else ()
    called = [tool for tool in found if tool is not None]
    for tool in called:
        policy = tool.policy
        asker = asker_of(who, policy, exchange.address, now, names_on(exchange), scopes=judged.scopes)
        decision = decide(policy, exchange.head.method, asker)
        if not isinstance(decision, Allow):
            route = replace(ask.route, policy=policy, place=tool.place)
            besides = (ask.route.policy, *(one.policy for one in called))
            return replace(judged, ask=replace(ask, route=route), decision=decision, besides=besides)
    exchange.rpc = b""
    return None
