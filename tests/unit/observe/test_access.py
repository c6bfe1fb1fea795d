"""The access log: each request's record goes to the sink, where somebody wants them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.observe.access import AccessLog, as_event
from vestibule.observe.log import ACCESS, Levels, Log
from vestibule.observe.traffic import Kind, Record

SPAN = "a" * 32 + "b" * 16
RECORD = Record(at=1.0, kind=Kind.HOST, name=b"a", method=b"GET", path=b"/", status=200, took_s=0.1)


class Sink:
    dropped = 0

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def put(self, event: Any, cost_bytes: int, *, is_urgent: bool) -> None:
        assert cost_bytes > 0
        assert not is_urgent
        self.taken.append(event)


def access_log(level: str, only: Kind | None = None) -> tuple[AccessLog, Sink, Log]:
    sink: Any = Sink()
    log = Log(sink, levels=Levels("info", {ACCESS: level}))
    return AccessLog(log.bind(process="worker 1"), only=only), sink, log


def test_a_record_goes_with_the_fields_of_its_process():
    access, sink, _ = access_log("info")
    access.add(RECORD)
    assert sink.taken == [(RECORD, {"process": "worker 1"})]


@pytest.mark.parametrize("level", ["off", "warning"])
def test_nothing_is_kept_while_it_is_off(level: str):
    access, sink, _ = access_log(level)
    access.add(RECORD)
    assert sink.taken == []


def test_it_can_be_switched_while_running():
    access, sink, log = access_log("off")
    log.levels.set("info", {ACCESS: "info"})
    access.add(RECORD)
    log.levels.set("info", {ACCESS: "off"})
    access.add(RECORD)
    assert len(sink.taken) == 1


def test_of_one_kind_alone_where_others_log_theirs_themselves():
    access, sink, _ = access_log("info", only=Kind.ADMIN)
    access.add(RECORD)
    assert sink.taken == []


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"request_id": "r1", "span": SPAN}, "r1"),
        ({"request_id": "r1"}, "r1"),
        ({"span": SPAN}, "b" * 16),
        ({}, None),
    ],
    ids=["told", "told, and no backend", "only to its backend", "to nobody"],
)
def test_a_request_has_the_id_that_somebody_was_told(known: dict[str, str], expected: str | None):
    assert as_event(replace(RECORD, **known), str, {}).get("id") == expected
