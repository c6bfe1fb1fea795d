"""Spans for an OpenTelemetry collector, made of records when all is over, by a thread of its own.

A request costs one look at its trace id and a place in a line. Whatever the collector does (it is slow, away, full),
the line ends at so many, and what finds no place is counted and forgotten.

What asked a backend is two spans: the server's, and within it the client's, whose id is the one that was passed on. So
what the backend asks for stands below the request that the backend got:

    GET app.example            server   a hash of the id that was passed on
      GET app.example/…        client   the id that was passed on
        GET drive list         server   a call of the backend's, by the trace context that it passed on
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from random import getrandbits
from typing import Any, Final, NamedTuple, Protocol

from vestibule import __version__
from vestibule.core.tracing import Tracing
from vestibule.observe.log import Log
from vestibule.observe.meter import Meter
from vestibule.observe.metrics import SPANS
from vestibule.observe.traffic import Kind, Record, Traffic

WAITING_MAX: Final = 4096
"""How many requests wait for the thread."""
BATCH: Final = 512
EVERY_S: Final = 2.0
TIMEOUT_S: Final = 5.0
"""How long the collector has for one batch, tries included."""
LAST_S: Final = 2.0
"""How long the end of the program waits for what is still to be sent."""
_NS: Final = 1_000_000_000
_METHOD: Final = "http.request.method"
_STATUS: Final = "http.response.status_code"
_SKIPPED: Final = frozenset((Kind.ADMIN, Kind.UNREAD))


class _Ids(NamedTuple):
    """Whose span it is, in hex; `parent` is empty where it has none."""

    trace: str
    span: str
    parent: str


class Sender(Protocol):
    """Sends spans, in a thread that may wait."""

    def send(self, records: Iterable[Record], word: Callable[[str], str]) -> tuple[int, bool]:
        """How many spans these came to, and whether they were taken. Never raises."""

    def close(self) -> None:
        """Send nothing more."""


class Tracer:
    """Takes records in the event loop, has them sent elsewhere."""

    def __init__(
        self,
        tracing: Tracing,
        traffic: Traffic,
        meter: Meter,
        log: Log,
        *,
        word: Callable[[str], str],
        open_sender: Callable[[Tracing], Sender] | None = None,
    ) -> None:
        """`word`: what a decision is without whom it is about."""
        self._tracing = tracing
        self._meter = meter
        self._log = log
        self._word = word
        self._open_sender = open_sender or Otlp
        self._waiting: deque[Record] = deque()
        self._dropped = 0
        self._done: deque[tuple[int, bool]] = deque()
        """What became of batches: written by the thread, read in the event loop."""
        self._is_away = False
        self._wakes = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()
        self._traffic = traffic
        traffic.subscribe(self._take)

    def _take(self, record: Record) -> None:
        if record.kind in _SKIPPED or not self._is_wanted(record):
            return
        if len(self._waiting) >= WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append(record)
        if len(self._waiting) == BATCH:
            self._wakes.set()

    def _is_wanted(self, record: Record) -> bool:
        return self._tracing.takes(record.trace_id or f"{getrandbits(128):032x}")

    def count(self) -> None:
        """Count what became of spans; a job's turn, in the event loop."""
        if self._dropped:
            self._meter.add(SPANS, ("dropped",), self._dropped)
            self._dropped = 0
        while self._done:
            spans, is_taken = self._done.popleft()
            self._meter.add(SPANS, ("sent" if is_taken else "failed",), spans)
            if is_taken == self._is_away:
                self._tell(is_away=not is_taken)

    def _tell(self, *, is_away: bool) -> None:
        self._is_away = is_away
        if is_away:
            self._log.warning("traces_not_taken", detail="the collector doesn't take spans; they are dropped")
        else:
            self._log.info("traces_taken_again")

    def stop(self) -> None:
        """Take nothing more, and send what waits without being waited for."""
        self._traffic.unsubscribe(self._take)
        self._is_closing = True
        self._wakes.set()

    def close(self) -> None:
        """Send what waits, but don't wait long for that."""
        self._is_closing = True
        self._wakes.set()
        self._thread.join(LAST_S)

    # -- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            sender = self._open_sender(self._tracing)
        except Exception:  # noqa: BLE001 - a setting of the environment that the exporter can't use: it is told once
            self._done.append((0, False))
            return
        is_last = False
        while not is_last:
            self._wakes.wait(EVERY_S)
            self._wakes.clear()
            is_last = self._is_closing  # looked at before the line: what came until then is sent
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._done.append(sender.send(batch, self._word))
        sender.close()


class Otlp:
    """Sends by OTLP over HTTP; what it imports takes half a second, in the thread that makes it."""

    def __init__(self, tracing: Tracing) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra, and slow
            OTLPSpanExporter,
        )

        # Its complaints are ours to tell, once.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False
        self._spans = Spans(tracing.service_name)
        self._exporter: Any = OTLPSpanExporter(
            endpoint=tracing.endpoint,
            headers={name: value.reveal() for name, value in tracing.headers},
            timeout=TIMEOUT_S,
        )

    def send(self, records: Iterable[Record], word: Callable[[str], str]) -> tuple[int, bool]:
        """How many spans these came to, and whether they were taken."""
        made = [span for record in records for span in self._spans.of(record, word)]
        try:
            is_taken = self._exporter.export(made).name == "SUCCESS"
        except Exception:  # noqa: BLE001 - whatever the collector or the exporter do, this thread goes on
            is_taken = False
        return len(made), is_taken

    def close(self) -> None:
        """Let go of its connections."""
        self._exporter.shutdown()


class Spans:
    """Makes spans of records."""

    def __init__(self, service_name: str) -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as in `Otlp`
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        self._make: Any = ReadableSpan
        resource = Resource.create({"service.name": service_name, "service.version": __version__})
        self._shared = {
            "resource": resource,
            "instrumentation_scope": InstrumentationScope("vestibule", __version__),
        }

    def of(self, record: Record, word: Callable[[str], str]) -> list[Any]:
        """The server's span, and the client's where a backend was asked."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - as in `Otlp`

        trace_id = record.trace_id or f"{getrandbits(128) | 1:032x}"
        own_id = record.span_id or f"{getrandbits(64) | 1:016x}"
        server_id = _above(own_id) if record.backend_s else own_id
        ended_ns = int(record.at * _NS)
        began_ns = ended_ns - int(record.took_s * _NS)
        about = _attributes(record, word)
        where = about.get("http.route") or ""
        name = f"{about[_METHOD]} {about['server.address']}{where}"
        ids = _Ids(trace_id, server_id, record.parent_id)
        server = self._span(name, SpanKind.SERVER, ids, (began_ns, ended_ns), about)
        if not record.backend_s:
            return [server]
        answered_ns = min(ended_ns, began_ns + int(record.backend_s * _NS))
        short: dict[str, Any] = {key: about[key] for key in (_METHOD, _STATUS) if key in about}
        ids = _Ids(trace_id, own_id, server_id)
        return [server, self._span(f"{name} backend", SpanKind.CLIENT, ids, (began_ns, answered_ns), short)]

    def _span(
        self, name: str, kind: Any, ids: _Ids, times_ns: tuple[int, int], about: Mapping[str, Any]
    ) -> Any:
        from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags  # noqa: PLC0415 - as in `Otlp`

        def context(span_id: str, *, is_remote: bool) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(ids.trace, 16), int(span_id, 16), is_remote=is_remote, trace_flags=flags)

        return self._make(
            name=name,
            context=context(ids.span, is_remote=False),
            parent=context(ids.parent, is_remote=True) if ids.parent else None,
            kind=kind,
            attributes=about,
            status=Status(StatusCode.ERROR) if about.get(_STATUS, 0) >= 500 else Status(),
            start_time=times_ns[0],
            end_time=times_ns[1],
            **self._shared,
        )


def _attributes(record: Record, word: Callable[[str], str]) -> dict[str, Any]:
    """What is told of a request. Spec: OpenTelemetry semantic conventions, HTTP.

    No e-mail address, no session, no query; of the decision, its kind.
    """
    told = {
        _METHOD: record.method.decode("latin-1"),
        "http.route": record.route.decode("utf-8", "backslashreplace"),
        _STATUS: record.status,
        "http.response.body.size": record.bytes_out,
        "url.path": record.path.decode("utf-8", "backslashreplace"),
        "server.address": record.name.decode("utf-8", "backslashreplace"),
        "client.address": record.address,
        "user.id": record.user_id,
        "vestibule.kind": record.kind.value,
        "vestibule.decision": word(record.decision),
        "vestibule.provider": record.provider,
        "vestibule.request_id": record.id,
    }
    always = (_METHOD, "server.address")
    return {key: value for key, value in told.items() if value or key in always}


def _above(span_id: str) -> str:
    """The id of the span around it, the same whoever works it out."""
    return hashlib.sha256(span_id.encode()).hexdigest()[:16]
