"""The access log: an event for each request, made of its record by the thread that writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

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
        self._fields = log.fields
        self._sink = log.sink
        self._levels = log.levels

    def add(self, record: Record) -> None:
        """Write it, a little later, where the access log is on."""
        if self._levels.least[ACCESS] <= LEVELS[LEVEL] and self._only in (None, record.kind):
            self._sink.put((record, self._fields), _COST_BYTES + len(record.path), is_urgent=False)


def as_event(record: Record, shown: Callable[[Any], Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The record as an event, with these fields too: what isn't known of a request isn't there."""
    known = {
        "id": record.id,
        "kind": record.kind.value,
        "name": record.name,
        "method": record.method,
        "path": record.path,
        "route": record.route,
        "address": record.address,
        "session": record.session_id,
        "user": record.user_id,
        "person": record.person,
        "provider": record.provider,
        "decision": record.decision,
        "edge": record.edge,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "parent_id": record.parent_id,
    }
    event = {
        "at": record.at,
        "level": LEVEL,
        "component": ACCESS,
        "event": "access",
        **fields,
        **{name: shown(value) for name, value in known.items() if value},
        "status": record.status,
        "took_ms": round(record.took_s * 1000, 1),
        "bytes_out": record.bytes_out,
    }
    if record.backend_s:
        event["backend_ms"] = round(record.backend_s * 1000, 1)
    return event
