"""`internal:echo`: the request as a backend gets it, as JSON. For trying out a configuration, and for tests.

What it answers with::

    {"method": "POST", "path": "/a%20b", "query": "x=1",
     "headers": [["Host", "app.example"], ["User-Id", "…"], …], in their order, repeated ones too
     "length": 5, bytes of the body that came
     "body": "hello"} its first 64 KiB as text, or "body_base64" when it is not UTF-8; "truncated": more came
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from vestibule.core.route import Backend
from vestibule.protocol.caching import NOT_KEPT
from vestibule.protocol.headers import class_of
from vestibule.protocol.url import Target
from vestibule.proxy.exchange import Exchange, Responder
from vestibule.proxy.passing import Way

BODY_LIMIT_BYTES = 64 * 1024
SHOWN_CHARS = 6

_LINES = (b"Content-Type: application/json", *NOT_KEPT, b"X-Content-Type-Options: nosniff")
_MASKED = frozenset(("proxy-session", "proxy-assertion", "x-pomerium-jwt-assertion"))


class Echo:
    """Answers exchanges with themselves."""

    def begin(self, exchange: Exchange, backend: Backend, lines: list[bytes], way: Way | None = None) -> None:
        """Answer the exchange once its body is whole; `lines` are the headers a backend would have got.

        `way` is what its route makes of it.
        """
        head = exchange.head
        host_line = (way.passage.host_line if way is not None else b"") or head.host_line
        target = way.target if way is not None else head.target
        answer = Repetition(exchange, [host_line, *lines], target)
        exchange.responder = answer
        if not head.has_body:
            answer.on_body_end(())
            return
        if head.expect_continue:
            exchange.inform(b"HTTP/1.1 100 Continue", ())
        exchange.want_body()


class Repetition(Responder):
    """One exchange's answer: counts the body and keeps its beginning."""

    __slots__ = ("_exchange", "_kept", "_length", "_lines", "_target")

    def __init__(self, exchange: Exchange, lines: list[bytes], target: Target) -> None:
        self._exchange = exchange
        self._target = target
        self._lines = lines
        self._kept = bytearray()
        self._length = 0

    def on_body(self, data: bytes) -> None:
        self._length += len(data)
        room = BODY_LIMIT_BYTES - len(self._kept)
        if room > 0:
            self._kept += data[:room]

    def on_body_end(self, trailers: Sequence[bytes]) -> None:
        head = self._exchange.head
        shown: dict[str, Any] = {
            "method": head.method.decode("latin-1"),
            "path": self._target.path.decode("latin-1"),
            "query": self._target.query.decode("latin-1"),
            "headers": _headers([*self._lines, *_framing(self._exchange)]),
            "length": self._length,
            **_body(bytes(self._kept), is_whole=self._length <= BODY_LIMIT_BYTES),
        }
        if trailers:
            shown["trailers"] = _headers(trailers)
        body = msgspec.json.format(msgspec.json.encode(shown)) + b"\n"
        self._exchange.answer(b"HTTP/1.1 200 OK", _LINES, body)


def _headers(lines: Iterable[bytes]) -> list[tuple[str, str]]:
    pairs = []
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        shown = value.strip(" \t")
        pairs.append((name, _masked(shown) if class_of(name) in _MASKED else shown))
    return pairs


def _masked(secret: str) -> str:
    """Enough to see that it is there and whether it changed. Threat: a page that reads a handle from here."""
    return f"{secret[:SHOWN_CHARS]}… ({len(secret)} characters)"


def _framing(exchange: Exchange) -> list[bytes]:
    head = exchange.head
    if head.content_length is not None:
        return [b"Content-Length: %d" % head.content_length]
    return [b"Transfer-Encoding: chunked"] if head.chunked else []


def _body(kept: bytes, *, is_whole: bool) -> dict[str, Any]:
    try:
        # A character cut in two at the limit is no reason to call the text binary.
        shown = {"body": codecs.getincrementaldecoder("utf-8")().decode(kept, final=is_whole)}
    except UnicodeDecodeError:
        shown = {"body_base64": base64.b64encode(kept).decode("ascii")}
    return shown if is_whole else {**shown, "truncated": True}
