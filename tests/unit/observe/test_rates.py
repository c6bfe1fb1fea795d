"""How many requests, how they ended, how long they took."""

from __future__ import annotations

import pytest

from vestibule.observe import rates
from vestibule.observe.rates import STEP_S, STEPS, Count, Rates, Step, percentiles
from vestibule.observe.traffic import Kind, Record

NOW = 10_000.0


def record(
    at: float = NOW,
    status: int = 200,
    *,
    name: bytes = b"app",
    took_s: float = 0.01,
    backend_s: float = 0.0,
    kind: Kind = Kind.HOST,
    edge: str = "",
) -> Record:
    return Record(at, kind, name, b"GET", b"/", status, took_s, backend_s=backend_s, edge=edge)


def counted(*records: Record) -> Rates:
    found = Rates()
    for one in records:
        found.add(one)
    return found


def test_what_ended_how_is_told_step_by_step():
    found = counted(
        record(NOW - STEP_S), record(status=502), record(status=403), record(status=403, backend_s=0.1)
    )
    found.signed_in(NOW, 1)
    found.signed_in(NOW, 0)
    began_at, steps = found.steps(NOW)
    assert began_at == NOW - (STEPS - 1) * STEP_S
    assert len(steps) == STEPS
    assert [step[:4] for step in steps[-2:]] == [(1, 0, 0, 0), (3, 1, 1, 1)]
    assert set(steps[:-2]) == {Step(0, 0, 0, 0, 0.0, 0.0, 0.0)}


def test_a_clock_that_was_ahead_for_long_and_is_set_back_costs_no_figures():
    ahead = NOW + 86_400
    found = counted(*(record(ahead + number * STEP_S) for number in range(STEPS)))
    found.take_in()
    for number in range(3):
        for _ in range(2):
            found.add(record(NOW + number * STEP_S))
    now = NOW + 2 * STEP_S
    assert [step.requests for step in found.steps(now)[1][-3:]] == [2, 2, 2]
    assert found.per_s(now) == 2 * 2 / 10
    assert found.count(Kind.HOST, "app", now).per_s == 2 * 2 / 10
    assert len(found._all) == STEPS


def test_what_is_older_than_is_told_of_goes():
    found = counted(*(record(number * STEP_S) for number in range(3 * STEPS)))
    assert sum(step.requests for step in found.steps((3 * STEPS - 1) * STEP_S)[1]) == STEPS
    assert len(found._all) == STEPS


def test_a_record_that_comes_late_counts_where_it_belongs():
    found = counted(record(NOW), record(NOW - 3 * STEP_S), record(NOW))
    assert [step.requests for step in found.steps(NOW)[1][-4:]] == [1, 0, 0, 2]


def test_the_rate_is_that_of_the_last_whole_ten_seconds():
    found = counted(*(record(NOW - second) for second in range(1, 11)), record(NOW + 1))
    assert found.per_s(NOW + 2) == pytest.approx(1.0)
    assert found.per_s(NOW + 60) == 0.0


def test_each_name_has_figures_of_its_own():
    found = counted(
        record(name=b"a"),
        record(name=b"a", status=500, took_s=1.0),
        record(name=b"b", status=401),
        record(name=b"a", kind=Kind.CALL),
        record(name=b"a", kind=Kind.EDGE, edge="validate 127.0.0.1"),
    )
    count = found.count(Kind.HOST, "a", NOW)
    assert (count.requests, count.errors, count.denials, count.last_at) == (2, 1, 0, NOW)
    assert count.p95_s == pytest.approx(1.0, rel=0.1)
    assert found.count(Kind.HOST, "b", NOW).denials == 1
    assert found.count(Kind.CALL, "a", NOW).requests == 1
    assert found.count(Kind.EDGE, "validate 127.0.0.1", NOW).requests == 1
    assert found.count(Kind.HOST, "nobody", NOW) == Count()
    assert found.names(Kind.HOST) == ("a", "b")
    assert found.names(Kind.EDGE) == ("validate 127.0.0.1",)


def test_how_long_a_name_takes_is_told_of_the_last_minute_alone():
    found = counted(record(NOW, took_s=1.0), record(NOW + 70, took_s=0.01))
    assert found.count(Kind.HOST, "app", NOW + 70).p95_s == pytest.approx(0.01, rel=0.1)
    assert found.count(Kind.HOST, "app", NOW + 200).p95_s == 0


def test_how_long_a_websocket_was_open_is_no_time_that_somebody_waited():
    found = counted(record(took_s=0.01), record(status=101, took_s=3600.0))
    assert found.steps(NOW)[1][-1].requests == 2
    assert found.steps(NOW)[1][-1].p99_s == pytest.approx(0.01, rel=0.1)
    assert found.count(Kind.HOST, "app", NOW).p95_s == pytest.approx(0.01, rel=0.1)


def test_an_idle_gateway_is_idle_however_many_look_on():
    found = counted(*(record(NOW - 5, kind=Kind.ADMIN, name=b"admin", took_s=3600.0) for _ in range(20)))
    assert found.per_s(NOW) == 0
    assert sum(step.requests for step in found.steps(NOW)[1]) == 0
    assert found.count(Kind.ADMIN, "admin", NOW).requests == 20


def test_names_are_bounded(monkeypatch):
    monkeypatch.setattr(rates, "NAMES_MAX", 3)
    found = counted(*(record(name=b"%d" % number) for number in range(9)))
    assert len(found.names(Kind.HOST)) == 3
    assert found.steps(NOW)[1][-1].requests == 9


def test_what_nobody_looks_at_is_taken_in_all_the_same(monkeypatch):
    monkeypatch.setattr(rates, "WAITING_MAX", 4)
    found = counted(*(record() for _ in range(9)))
    assert len(found._waiting) == 1


@pytest.mark.parametrize("took_s", [0.0, 0.00005, 0.0003, 0.004, 0.25, 7.0])
def test_a_percentile_is_near(took_s):
    found = counted(*(record(took_s=took_s) for _ in range(10)))
    step = found.steps(NOW)[1][-1]
    assert step.p50_s == step.p99_s
    assert took_s <= step.p50_s <= max(took_s * 1.1, 0.0001)


def test_percentiles_tell_the_few_from_the_many():
    took = {10: 90, 50: 9, 90: 1}
    bounds = rates._BOUNDS_S
    assert percentiles(took, (0.5, 0.95, 0.99, 1.0)) == (bounds[10], bounds[50], bounds[50], bounds[90])
    assert percentiles({}, (0.5,)) == (0.0,)
