"""The ring of recent requests."""

from __future__ import annotations

import pytest

from vestibule.observe.traffic import RING_REQUESTS, Kind, Record, Traffic


def record(status: int = 200, name: bytes = b"app.example") -> Record:
    return Record(0.0, Kind.HOST, name, b"GET", b"/", status, 0.1, "192.0.2.7", "s1", "public", "id", 10)


def test_records_are_kept_in_order_and_the_oldest_goes():
    traffic = Traffic(3)
    for status in (200, 201, 202, 203):
        traffic.add(record(status))
    assert [kept.status for kept in traffic.ring] == [201, 202, 203]


def test_the_ring_is_bounded_unless_told_otherwise():
    traffic = Traffic()
    for _ in range(RING_REQUESTS + 5):
        traffic.add(record())
    assert len(traffic.ring) == RING_REQUESTS


def test_each_has_a_number_that_it_keeps():
    traffic = Traffic(3)
    assert traffic.since(0) == []
    for status in (200, 201, 202, 203):
        traffic.add(record(status))
    assert traffic.last_seq == 4
    assert [(seq, kept.status) for seq, kept in traffic.since(0)] == [(2, 201), (3, 202), (4, 203)]
    assert [seq for seq, _ in traffic.since(3)] == [4]
    assert traffic.since(4) == []
    assert traffic.since(9) == []


def test_whoever_wants_to_is_told_of_each_from_then_on():
    traffic, one, other = Traffic(1), [], []
    traffic.subscribe(one.append)
    traffic.add(record(200))
    traffic.subscribe(other.append)
    traffic.add(record(201))
    assert [kept.status for kept in one] == [200, 201]
    assert [kept.status for kept in other] == [201]


@pytest.mark.parametrize(
    ("status", "backend_s", "is_denial"),
    [
        (401, 0.0, True),
        (403, 0.0, True),
        (403, 0.01, False),
        (404, 0.0, False),
        (200, 0.0, False),
        (0, 0.0, False),
    ],
)
def test_a_denial_is_what_the_gateway_itself_refused(status: int, backend_s: float, is_denial: bool):
    record = Record(
        at=1.0,
        kind=Kind.HOST,
        name=b"a",
        method=b"GET",
        path=b"/",
        status=status,
        took_s=0.0,
        backend_s=backend_s,
    )
    assert record.is_denial is is_denial
