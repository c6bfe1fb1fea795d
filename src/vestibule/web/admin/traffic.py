"""Recent requests, as they come, and what one of them has caused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from vestibule.admin_model import Node, Row, Trace, TrafficPage
from vestibule.errors import Invalid
from vestibule.web.admin.answers import Desk, page
from vestibule.web.admin.api import query_of, segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines
from vestibule.web.admin.live import Live

LIMIT: Final = 200
"""Rows on the page."""
KEPT: Final = 1000
"""Rows that are asked for, where some are left out."""
FILTERS: Final = ("text", "name", "person", "status", "decision", "kind", "session_id")
ANY: Final = "any"
KINDS: Final = {
    "": "all but admin",
    ANY: "all",
    "host": "hosts",
    "call": "calling interfaces",
    "edge": "edges' questions",
    "serving": "servings",
    "admin": "admin",
    "unread": "unreadable",
}


async def traffic(desk: Desk, ask: Ask) -> Response:
    """The page, filtered as its address says."""
    wanted = _wanted(ask)
    faults: dict[str, str] = {}
    found = TrafficPage(items=(), last_seq=0)
    asked = {name: value for name, value in wanted.items() if (name, value) != ("kind", ANY)}
    most = LIMIT if "kind" in wanted else KEPT
    try:
        found = await ask.api.get("/traffic", TrafficPage, limit=str(most), **asked)
    except Invalid as error:
        faults = fault_lines(error.faults)
    return page(
        desk,
        ask,
        "traffic.html",
        title="Traffic",
        status=422 if faults else 200,
        # Who looks at the traffic would mostly see themselves.
        rows=[row for row in found.items if "kind" in wanted or row.kind != "admin"][:LIMIT],
        wanted={name: wanted.get(name, "") for name in FILTERS},
        is_filtered=bool(wanted),
        faults=faults,
        kinds=KINDS,
        here=f"/traffic{query_of(wanted)}",
        live=f"/traffic/live{query_of(wanted)}",
        limit=LIMIT,
    )


async def stream(desk: Desk, ask: Ask) -> Response:
    """The same as it comes."""
    wanted = {name: value for name, value in _wanted(ask).items() if (name, value) != ("kind", ANY)}
    return Live(desk, ask, f"/traffic/stream{query_of(wanted)}")


async def trace(desk: Desk, ask: Ask) -> Response:
    """One request with what it has caused, and when."""
    found: Trace = await ask.api.get(f"/traces/{segment(ask.places['id'])}", Trace)
    began, ended = _span(found)
    whole_ms = max(ended - began, 0.001)
    return page(
        desk,
        ask,
        "trace.html",
        title="One request, and what it caused",
        trace_id=found.trace_id,
        steps=[_step(node, began, whole_ms) for node in found.roots],
        whole_ms=whole_ms,
        count=sum(1 for _ in _rows(found.roots)),
    )


def _wanted(ask: Ask) -> dict[str, str]:
    return {name: ask.params[name].strip() for name in FILTERS if ask.params.get(name, "").strip()}


def _step(node: Node, began_ms: float, whole_ms: float) -> Mapping[str, Any]:
    """A node, with where its span stands in 1000 parts of the whole."""
    start = (_ms(node.row.at) - node.row.took_ms - began_ms) / whole_ms * 1000
    return {
        "row": node.row,
        "start": round(min(max(start, 0), 996), 1),
        "length": round(max(node.row.took_ms / whole_ms * 1000, 4), 1),
        "after_ms": max(_ms(node.row.at) - node.row.took_ms - began_ms, 0.0),
        "children": [_step(child, began_ms, whole_ms) for child in node.children],
    }


def _span(found: Trace) -> tuple[float, float]:
    rows = list(_rows(found.roots))
    return min(_ms(row.at) - row.took_ms for row in rows), max(_ms(row.at) for row in rows)


def _rows(nodes: tuple[Node, ...]) -> list[Row]:
    return [row for node in nodes for row in (node.row, *_rows(node.children))]


def _ms(at: datetime) -> float:
    return at.timestamp() * 1000
