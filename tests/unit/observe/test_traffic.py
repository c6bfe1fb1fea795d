"""The ring of recent requests."""

from __future__ import annotations

from vestibule.observe.traffic import RING_REQUESTS, Record, Traffic


def record(status: int = 200, host: bytes = b"app.example") -> Record:
    return Record(0.0, host, b"GET", b"/", status, 0.1, "192.0.2.7", "s1", "public", "id", 10)


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


def test_counts_go_on_by_host_and_status():
    traffic = Traffic(1)
    for status, host in ((200, b"a"), (200, b"a"), (404, b"a"), (200, b"b")):
        traffic.add(record(status, host))
    assert traffic.counts == {(b"a", 200): 2, (b"a", 404): 1, (b"b", 200): 1}
