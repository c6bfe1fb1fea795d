"""How requests are counted: by names of the configuration and words of a fixed list, whoever asks for whatever."""

from __future__ import annotations

from typing import Any

import pytest

from vestibule.core.rule import LISTED, rule
from vestibule.observe import metrics
from vestibule.observe.meter import Figures
from vestibule.observe.metrics import (
    BACKEND_SECONDS,
    DENIALS,
    PROCESS_STARTS,
    REQUEST_SECONDS,
    REQUESTS,
    RESPONSE_BYTES,
    Metrics,
)
from vestibule.observe.traffic import Kind, Record, Traffic

NOW = 1_800_000_000.0


def record(**fields: Any) -> Record:
    given = {
        "at": NOW,
        "kind": Kind.HOST,
        "name": b"app.example",
        "method": b"GET",
        "path": b"/secret-path",
        "status": 200,
        "took_s": 0.02,
        "address": "192.0.2.7",
        "person": "ann@example.com",
        "decision": "email:ann@example.com",
        "bytes_out": 10,
        "route": b"/",
    }
    return Record(**(given | fields))


def counted(*records: Record) -> Metrics:
    traffic = Traffic()
    found = Metrics(traffic, now=lambda: NOW)
    for one in records:
        traffic.add(one)
    found.count()
    return found


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        pytest.param({}, ("host", "app.example", "/", "GET", "2xx", "email"), id="a rule is its kind"),
        pytest.param({"status": 0}, ("host", "app.example", "/", "GET", "gone", "email"), id="who left"),
        pytest.param(
            {"method": b"BREW"},
            ("host", "app.example", "/", "other", "2xx", "email"),
            id="a method of nobody's",
        ),
        pytest.param(
            {"status": 999}, ("host", "app.example", "/", "GET", "other", "email"), id="a status of nobody's"
        ),
        pytest.param(
            {"kind": Kind.CALL, "name": b"drive", "route": b"list", "decision": "list"},
            ("call", "drive", "list", "GET", "2xx", "operation"),
            id="a call's operation",
        ),
        pytest.param(
            {"decision": "sign_in", "status": 302},
            ("host", "app.example", "/", "GET", "3xx", "sign_in"),
            id="a code",
        ),
    ],
)
def test_a_request_is_counted_by_what_it_came_to(fields: dict[str, Any], labels: tuple[str, ...]):
    assert dict(counted(record(**fields)).meter.series(REQUESTS)) == {labels: [1.0]}


@pytest.mark.parametrize(
    ("decision", "word"),
    [
        ("", ""),
        ("public", "public"),
        ("anyone", "anyone"),
        ("claim:level=3", "claim"),
        ("google:email:ann@example.com", "email"),
        ("not_allowed", "not_allowed"),
        ("ann@example.com", "other"),
        ("Ann", "other"),
        ("group:staff and network:10.0.0.0/8", "group"),
        ("x" * 60, "other"),
    ],
)
def test_a_decision_becomes_a_word_that_names_nobody(decision: str, word: str):
    assert counted().word(decision) == word


@pytest.mark.parametrize("kind", [*LISTED, "email", "domain", "user", "claim", "network", "token"])
def test_every_kind_of_rule_is_told_apart(kind: str):
    value = "level=3" if kind == "claim" else "x"
    assert counted().word(rule(kind, value, text=f"{kind}:{value}").text) == kind


def test_codes_beyond_so_many_are_one(monkeypatch):
    monkeypatch.setattr(metrics, "WORDS_MAX", 2)
    found = counted()
    assert [found.word(code) for code in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]


def test_no_label_holds_a_path_a_person_or_an_address():
    found = counted(record(), record(status=403, decision="not_allowed"), record(backend_s=0.01))
    told = repr([list(found.meter.series(family)) for family in metrics.COUNTED])
    assert not [secret for secret in ("secret-path", "ann@", "192.0.2.7") if secret in told]


def test_times_bytes_and_denials_are_counted_beside_it():
    found = counted(
        record(backend_s=0.01), record(status=403, decision="not_allowed"), record(status=403, backend_s=0.01)
    ).meter
    short = ("host", "app.example")
    assert sum(dict(found.series(REQUEST_SECONDS))[short][:-1]) == 3.0
    assert sum(dict(found.series(BACKEND_SECONDS))[short][:-1]) == 2.0
    assert dict(found.series(RESPONSE_BYTES)) == {short: [30.0]}
    # What a backend refuses is no denial of ours.
    assert dict(found.series(DENIALS)) == {("app.example", "not_allowed"): [1.0]}


def test_how_long_a_websocket_was_open_is_no_time_that_somebody_waited():
    found = counted(record(status=101, took_s=3600.0), record(took_s=0.02)).meter
    assert sum(values[0] for _, values in found.series(REQUESTS)) == 2.0
    [(_, values)] = found.series(REQUEST_SECONDS)
    assert (sum(values[:-1]), values[-1]) == (1.0, 0.02)


def test_requests_that_nobody_counts_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(metrics, "KEPT_MAX", 3)
    found = counted(*[record()] * 5)
    assert [values for _, values in found.meter.series(REQUESTS)] == [[3.0]]


def figures(name: str, pid: int, heard_at: float = NOW) -> Figures:
    return Figures(name=name, pid=pid, started_at=NOW - 5, heard_at=heard_at)


def test_processes_are_shown_while_they_are_heard_of_and_their_starts_are_counted():
    found = counted()
    found.here = lambda: figures("control", 1)
    for one in (figures("worker 10", 5), figures("worker 2", 3), figures("worker 1", 2, NOW - 60)):
        found.hear(one, [])
    found.hear(figures("worker 2", 4), [])
    assert [(one.name, one.pid) for one in found.processes()] == [
        ("control", 1),
        ("worker 2", 4),
        ("worker 10", 5),
    ]
    assert dict(found.meter.series(PROCESS_STARTS))["worker 2",] == [2.0]


def test_requests_that_others_told_of_are_not_this_ones():
    traffic = Traffic()
    found = Metrics(traffic)
    traffic.add(record())
    traffic.add(record())
    found.hear(None, [], 1)
    assert found.requests == 1
