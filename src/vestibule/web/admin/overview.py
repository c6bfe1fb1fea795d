"""`/`: the program at a glance, and what an operator should see to."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from vestibule.admin_model import Overview
from vestibule.web.admin.allowed import may
from vestibule.web.admin.answers import Desk, fragment, page
from vestibule.web.admin.api import Refused
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.live import Live
from vestibule.web.admin.plots import Line, Plot, plot

EVERY_S = 2.0
"""How often the page is told anew."""


async def overview(desk: Desk, ask: Ask) -> Response:
    """The page; for a token that may not read it, what it may do."""
    try:
        values = await _values(ask)
    except Refused as error:
        if error.code != "scope_missing":
            raise
        return page(desk, ask, "overview_less.html", title="Overview", may=may(ask), message=error.message)
    return page(desk, ask, "overview.html", title="Overview", may=may(ask), **values)


async def stream(desk: Desk, ask: Ask) -> Response:
    """Its figures as they change."""

    async def part(now: Ask) -> str:
        return fragment(desk, now, "overview_live.html", **await _values(now))

    return Live.of_parts(desk, ask, part, every_s=EVERY_S)


async def _values(ask: Ask) -> dict[str, Any]:
    found: Overview = await ask.api.get("/overview", Overview)
    return {"it": found, "plots": _plots(found)}


def _plots(found: Overview) -> tuple[Plot, ...]:
    series = found.series

    def drawn(title: str, *lines: Line, unit: str = "") -> Plot:
        return plot(title, lines, began_at=series.began_at, every_s=series.every_s, unit=unit)

    a_second = [round(count / series.every_s, 2) for count in series.requests]
    return (
        drawn("Requests a second", Line("a second", a_second)),
        drawn(
            "How long they took",
            Line("half of them", series.p50_ms),
            Line("95 of 100", series.p95_ms),
            Line("99 of 100", series.p99_ms),
            unit="ms",
        ),
        drawn(f"Sign-ins every {series.every_s:g} s", Line("sign-ins", series.sign_ins)),
        drawn(
            f"Refused every {series.every_s:g} s",
            Line("denied by the gateway", series.denials),
            Line("errors (500 and above)", series.errors),
        ),
    )
