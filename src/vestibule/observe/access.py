"""The access log: an event for each request, made of its record by the thread that writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from vestibule.observe.log import ACCESS, LEVELS, Log
from vestibule.observe.traffic import Kind, Record

LEVEL: Final = "info"
_COST_BYTES: Final = 700
"""About so much a record takes, beside its path."""


class AccessLog:
    """Takes the records of this process's requests."""

    def __init__(self, log: Log, *, only: Kind | None = None) -> None:
        """`only`: of this kind."""
        self._only = only
        self._sink = log.sink
        self._levels = log.levels

    def add(self, record: Record) -> None:
        """Write it, a little later, where the access log is on."""
        if self._levels.least[ACCESS] <= LEVELS[LEVEL] and self._only in (None, record.kind):
            self._sink.put(record, _COST_BYTES + len(record.path), is_urgent=False)


def as_event(record: Record, shown: Callable[[Any], Any]) -> dict[str, Any]:
    """The record as an event: what isn't known of a request isn't there."""
    told = msgspec.structs.asdict(record)
    told["kind"] = record.kind.value
    at, took_s, request_id = told.pop("at"), told.pop("took_s"), told.pop("request_id")
    event: dict[str, Any] = {"at": at, "level": LEVEL, "component": ACCESS, "event": "access"}
    if request_id:
        event["id"] = request_id
    backend_s = told.pop("backend_s", 0.0)
    for name, value in told.items():
        if value or name in {"status", "bytes_out"}:
            event[name.removesuffix("_id") if name in {"session_id", "user_id"} else name] = shown(value)
    event["took_ms"] = round(took_s * 1000, 1)
    if backend_s:
        event["backend_ms"] = round(backend_s * 1000, 1)
    return event
