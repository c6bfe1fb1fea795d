"""Counters: what is told on isn't lost or counted twice, and no client makes them grow without end."""

from __future__ import annotations

import msgspec
import pytest

from vestibule.observe import meter
from vestibule.observe.meter import FOLDED, Family, Growth, Meter

HITS = Family(name="hits_total", told="Hits.", labels=("host",))
TOOK = Family(name="took_seconds", told="Took.", labels=("host",), kind="histogram", bounds=(0.1, 1.0))


def test_a_value_falls_into_the_bucket_whose_bound_it_does_not_pass():
    counted = Meter()
    for value in (0.05, 0.1, 0.5, 1.5, 3.0):
        counted.observe(TOOK, ("a",), value)
    assert list(counted.series(TOOK)) == [(("a",), [2.0, 1.0, 2.0, pytest.approx(5.15)])]


def test_what_a_worker_has_counted_is_added_once_and_stays_when_it_dies():
    control = Meter()
    for rounds in (1, 2):
        worker = Meter()  # as it begins anew after the last one died
        for _ in range(rounds):
            worker.add(HITS, ("a",), 3.0)
            worker.observe(TOOK, ("a",), 0.5)
            sent = msgspec.msgpack.decode(msgspec.msgpack.encode(worker.take()), type=list[Growth])
            control.merge(sent)
        assert worker.take() == []
    assert list(control.series(HITS)) == [(("a",), [9.0])]
    assert list(control.series(TOOK)) == [(("a",), [0.0, 3.0, 0.0, 1.5])]


def test_growth_of_another_shape_is_not_added_to_what_is_there():
    counted = Meter()
    counted.add(HITS, ("a",))
    counted.merge([Growth(HITS.name, ("a",), [1.0, 2.0])])
    assert list(counted.series(HITS)) == [(("a",), [1.0])]


def test_a_family_that_has_enough_series_counts_all_others_as_one(monkeypatch):
    monkeypatch.setattr(meter, "SERIES_MAX", 3)
    counted = Meter()
    for number in range(10):
        counted.add(HITS, (f"h{number}",))
    found = dict(counted.series(HITS))
    assert set(found) == {("h0",), ("h1",), ("h2",), ("other",)}
    assert found["other",] == [7.0]
    assert dict(counted.series(FOLDED)) == {(HITS.name,): [7.0]}
