"""Spans: what a backend asked for stands below the request that it got; a collector that takes nothing costs nothing."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest

from vestibule.core.tracing import Tracing
from vestibule.observe import trace
from vestibule.observe.log import Log
from vestibule.observe.meter import Meter
from vestibule.observe.metrics import SPANS
from vestibule.observe.trace import Spans, Tracer
from vestibule.observe.traffic import Kind, Record, Traffic

NOW = 1_800_000_000.0
TRACE = "a" * 32
PASSED_ON = "b" * 16


def record(**fields: Any) -> Record:
    given = {
        "at": NOW,
        "kind": Kind.HOST,
        "name": b"app.example",
        "method": b"GET",
        "path": b"/reports",
        "status": 200,
        "took_s": 2.0,
        "person": "ann@example.com",
        "session_id": "s1-secret",
        "decision": "email:ann@example.com",
        "span": TRACE + PASSED_ON,
        "backend_s": 0.5,
    }
    return Record(**(given | fields))


def spans(*records: Record) -> list[Any]:
    make = Spans("vestibule")
    return [span for one in records for span in make.of(one, lambda decision: decision.partition(":")[0])]


def test_a_call_of_the_backend_stands_below_what_the_backend_was_asked():
    call = record(kind=Kind.CALL, name=b"drive", span=TRACE + "c" * 16, parent_id=PASSED_ON)
    server, client, call_server, call_client = spans(record(), call)
    assert server.parent is None
    assert client.parent.span_id == server.context.span_id
    assert client.context.span_id == int(PASSED_ON, 16)
    assert call_server.parent.span_id == client.context.span_id
    assert call_client.parent.span_id == call_server.context.span_id
    assert len({span.context.trace_id for span in (server, client, call_server, call_client)}) == 1
    assert [span.kind.name for span in (server, client)] == ["SERVER", "CLIENT"]


def test_its_times_are_those_of_the_request_and_of_the_backends_answer():
    server, client = spans(record())
    assert (server.start_time, server.end_time) == (int((NOW - 2) * 1e9), int(NOW * 1e9))
    assert (client.start_time, client.end_time) == (int((NOW - 2) * 1e9), int((NOW - 1.5) * 1e9))


def test_who_asked_no_backend_is_one_span_and_has_a_trace_of_its_own_where_nobody_named_one():
    (one,) = spans(record(backend_s=0.0, span="", path=b"/@google/callback", decision="own"))
    assert one.context.is_valid
    assert one.parent is None


@pytest.mark.parametrize(
    ("status", "expected"), [(200, "UNSET"), (404, "UNSET"), (503, "ERROR"), (0, "UNSET")]
)
def test_an_answer_of_500_and_above_is_an_error(status: int, expected: str):
    assert {span.status.status_code.name for span in spans(record(status=status))} == {expected}


def test_nobody_is_named_in_it():
    told = " ".join(span.to_json() for span in spans(record()))
    assert "ann@" not in told
    assert "s1-secret" not in told


class Collector:
    """A sender whose collector does as the test says."""

    def __init__(self, *, is_taken: bool = True) -> None:
        self.sent: list[Record] = []
        self.is_taken = is_taken
        self.lets = threading.Event()
        self.asked = threading.Semaphore(0)

    def send(self, records: Any, word: Any) -> tuple[int, bool]:
        self.asked.release()
        self.lets.wait()
        self.sent += records
        return len(records), self.is_taken

    def close(self) -> None: ...


class Stand:
    """A tracer with this collector."""

    def __init__(self, collector: Collector, sample: float = 1.0, open_sender: Any = None) -> None:
        self.traffic, self.meter, self.written = Traffic(), Meter(), io.StringIO()
        self.tracer = Tracer(
            Tracing(endpoint="http://127.0.0.1:9", sample=sample),
            self.traffic,
            self.meter,
            Log(self.written),
            word=str,
            open_sender=open_sender or (lambda tracing: collector),
        )

    def spans(self) -> dict[tuple[str, ...], float]:
        self.tracer.count()
        return {labels: values[0] for labels, values in self.meter.series(SPANS)}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(trace, "EVERY_S", 0.001)


def test_a_collector_that_hangs_keeps_nobody_waiting_and_what_is_too_much_is_counted(monkeypatch):
    monkeypatch.setattr(trace, "WAITING_MAX", 5)
    collector = Collector()
    stand = Stand(collector)
    stand.traffic.add(record())
    collector.asked.acquire()  # it hangs now, with that one
    for _ in range(8):
        stand.traffic.add(record())
    assert stand.spans() == {("dropped",): 3.0}
    collector.lets.set()
    stand.tracer.close()
    assert stand.spans() == {("dropped",): 3.0, ("sent",): 6.0}


def test_a_collector_that_takes_nothing_is_told_of_once():
    collector = Collector(is_taken=False)
    collector.lets.set()
    stand = Stand(collector)
    for number in range(3):
        stand.traffic.add(record())
        collector.asked.acquire()
        assert number < 3
    stand.tracer.close()
    assert stand.spans() == {("failed",): 3.0}
    assert stand.written.getvalue().count("traces_not_taken") == 1


def test_an_exporter_that_can_not_be_had_is_told_of_and_costs_nobody_anything(monkeypatch):
    monkeypatch.setattr(trace, "WAITING_MAX", 1)

    def refuse(_tracing: Tracing) -> Any:
        raise ValueError("no such certificate")

    stand = Stand(Collector(), open_sender=refuse)
    stand.tracer.close()
    stand.traffic.add(record())
    stand.traffic.add(record())
    assert stand.spans() == {("dropped",): 1.0, ("failed",): 0.0}
    assert stand.written.getvalue().count("traces_not_taken") == 1


def test_what_is_not_in_the_sample_and_what_the_operator_asks_is_not_sent():
    collector = Collector()
    collector.lets.set()
    stand = Stand(collector, sample=0.5)
    taken = record(span="0" * 31 + "1" + PASSED_ON)
    for one in (record(span="f" * 32 + PASSED_ON), record(kind=Kind.ADMIN), record(kind=Kind.UNREAD), taken):
        stand.traffic.add(one)
    stand.tracer.close()
    assert collector.sent == [taken]
