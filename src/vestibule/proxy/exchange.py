"""One request and its answer, as the gateway sees them: a canonical head, body in, answer out.

A downstream (HTTP/1.1 here, HTTP/2 later) makes an `Exchange`; a `Responder` (a relay to a backend, a tunnel, a
directory, an application) answers it. The gateway stands between and never sees a connection.

Rules of the two:

- The downstream calls the responder's `on_…` methods; none is called after `on_gone`.
- The responder answers with `answer`, or `start` then `write`… then `finish`. `abort` ends everything at once and
  the client can't take what it got for a whole answer.
- Body bytes come only after `want_body()`, and pause between `pause_body` and `resume_body`.
- When the client reads slowly the responder gets `on_pause`, later `on_resume`; it must stop its own source between.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from random import getrandbits
from typing import Protocol

from vestibule.core.person import called
from vestibule.core.route import Host, Site
from vestibule.core.tls import Handshake
from vestibule.model import Caller, Session
from vestibule.observe.traffic import PATH_MAX_BYTES, Kind, Record
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.traceparent import MADE_BYTES, begun, span_of

_HSTS = b"strict-transport-security:"


class Listener(Protocol):
    """What an exchange knows of the listener it came by."""

    scheme: str
    port: int


class Responder:
    """Answers one exchange. The base does nothing: a responder overrides what it cares about."""

    __slots__ = ()

    def on_body(self, data: bytes) -> None:
        """A piece of the request's body."""

    def on_body_end(self, trailers: Sequence[bytes]) -> None:
        """The request's body is whole."""

    def on_gone(self) -> None:
        """The client has left or broke the framing of its body; nothing can be answered any more."""

    def on_pause(self) -> None:
        """The client reads more slowly than the answer comes."""

    def on_resume(self) -> None:
        """The client has caught up."""

    def on_drain(self) -> None:
        """The program is going: what has no end of its own ends now, as such things end; all else goes on."""


class Exchange(ABC):
    """One request with its answer to be. `on_end` is called once, when the answer is out or can't be any more."""

    host: Host | None = None
    site: Site | None = None
    session_id = ""
    asker: Session | Caller | None = None
    """Who asks, once that is known."""
    route = b""
    """Prefix of the route that it goes by; of a call its operation."""
    decision = ""
    request_id = ""
    status = 0
    rpc = b""
    """The id (JSON) of the JSON-RPC request that its body is, whose client reads errors of that; empty: none."""
    bytes_out = 0
    backend_s = 0.0
    """How long the backend took to begin its answer."""
    span = ""
    """Its part of a trace, once somebody else is asked for its sake: the ids of trace and span (`traceparent.Span`)."""
    parent_id = ""
    tls: Handshake | None = None
    """None: it came unencrypted."""
    responder: Responder | None = None
    talks = False
    """Each side may be silent as long as it likes, as a call of gRPC may: no rate is asked of the body."""
    lasts = False
    """True once its answer has no known end: a tunnel, a stream."""
    on_last: Callable[[Exchange], None] | None = None
    """Called when it begins to last."""
    on_end: Callable[[Exchange], None] | None = None

    def __init__(self, head: RequestHead, listener: Listener, peer: str, began_at_mono: float) -> None:
        self.head = head
        self.listener = listener
        self.peer = peer
        """Address of the TCP peer; empty for a Unix socket."""
        self.address = peer
        """Address of the client, once the gateway has worked it out."""
        self.began_at_mono = began_at_mono

    def begin_to_last(self) -> None:
        """The answer has no known end: whoever let it begin may want to end it."""
        self.lasts = True
        if self.on_last is not None:
            self.on_last(self)

    def begin_span(self) -> bytes:
        """The header lines that tell whoever is asked next which trace they are part of; its span stays the same."""
        made = bytes.fromhex(self.span) if self.span else _made()
        lines = self.head.trace
        if not lines:
            self.span = made.hex()
            return begun(made)
        self.span, self.parent_id, told = span_of(lines, made.hex())
        return told

    def secured(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """An answer's lines as they go out: over TLS, hosts tell browsers to come by it alone (RFC 6797).

        What a backend says of it itself stays.
        """
        host = self.host
        if self.tls is None or host is None or not host.hsts_s:
            return lines
        if any(line[:26].lower() == _HSTS for line in lines):
            return lines
        return [*lines, b"Strict-Transport-Security: max-age=%d" % host.hsts_s]

    # -- the answer ---------------------------------------------------------------------------

    @abstractmethod
    def answer(self, status_line: bytes, lines: Sequence[bytes], body: bytes = b"", raw: bytes = b"") -> None:
        """The whole answer at once; its Content-Length is made here.

        `raw`: the same answer as HTTP/1.1 bytes, for a downstream that can send them as they are.
        """

    @abstractmethod
    def start(self, status_line: bytes, lines: Sequence[bytes], length: int | None) -> None:
        """The head of an answer whose body follows; `length` None when it is not known."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """A piece of the answer's body."""

    def end_listening(self) -> None:
        """End a stream of events: its page takes it as the end it is, and asks again; what it then gets is decided."""
        responder, self.responder = self.responder, None
        if responder is not None:
            responder.on_gone()
        self.finish()

    @abstractmethod
    def finish(self, trailers: Sequence[bytes] = ()) -> None:
        """The answer is whole."""

    @abstractmethod
    def inform(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        """An interim answer (1xx), where the client's protocol has them."""

    @abstractmethod
    def abort(self) -> None:
        """Break off in a way that no client takes for the end of the answer."""

    @abstractmethod
    def cut(self) -> None:
        """End an answer that lasts: an event stream as streams end, everything else by `abort`."""

    @abstractmethod
    def upgrade(self, status_line: bytes, lines: Sequence[bytes]) -> None:
        """Answer 101; from here `write` and `on_body` carry raw bytes until either side ends."""

    @abstractmethod
    def close_tunnel(self) -> None:
        """End an upgraded exchange after what was written."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """True when the answer is out or can't be any more: whoever has waited meanwhile stops here."""

    # -- the request's body -------------------------------------------------------------------

    @abstractmethod
    def want_body(self) -> None:
        """Let the body come."""

    @abstractmethod
    def limit_body(self, limit_bytes: int) -> None:
        """The most bytes the body may have; more is answered 413, and the responder is told `on_gone`."""

    @abstractmethod
    def pause_body(self) -> None:
        """Stop reading the body for a while; may be called again while paused."""

    @abstractmethod
    def resume_body(self) -> None:
        """Read on; may be called again while reading."""


class Recorded(Protocol):
    """What a record is made of: an exchange, or a question about one that an edge holds."""

    head: RequestHead
    address: str
    session_id: str
    asker: Session | Caller | None
    route: bytes
    decision: str
    request_id: str
    backend_s: float
    span: str
    parent_id: str


def record_of(  # noqa: PLR0917 - made for each request: names would cost more than all the rest of it
    case: Recorded,
    kind: Kind,
    name: bytes,
    at: float,
    status: int,
    took_s: float,
    bytes_out: int,
    edge: str = "",
) -> Record:
    """The one record of what is over; `name` is one of the configuration, never a client's own."""
    head, asker, span, parent_id = case.head, case.asker, case.span, case.parent_id
    if head.trace and not span:
        span, parent_id, _ = span_of(head.trace, _made().hex())
    user_id = person = provider = ""
    if asker is not None:
        user_id = asker.user_id
        if asker.identities:
            identity = asker.identities[0]
            person, provider = called(identity), identity.client
        elif isinstance(asker, Caller):
            person = asker.machine
    return Record(
        at,
        kind,
        name,
        head.method,
        head.target.path[:PATH_MAX_BYTES],
        status,
        took_s,
        case.address,
        case.session_id,
        case.decision,
        case.request_id,
        bytes_out,
        case.route,
        case.backend_s,
        user_id,
        person,
        provider,
        span,
        parent_id,
        edge,
    )


def record_of_exchange(exchange: Exchange, kind: Kind, name: bytes, at: float) -> Record:
    """The one record of an exchange that is over."""
    took_s = time.monotonic() - exchange.began_at_mono
    return record_of(exchange, kind, name, at, exchange.status, took_s, exchange.bytes_out)


def _made() -> bytes:
    """A span's random bytes: they tell one from another, and keep no secret."""
    return getrandbits(8 * MADE_BYTES).to_bytes(MADE_BYTES, "little")
