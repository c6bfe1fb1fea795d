"""`/`: the program at a glance."""

from __future__ import annotations

from starlette.responses import Response

from vestibule.web.admin.answers import Desk, page
from vestibule.web.admin.asking import Ask


async def overview(desk: Desk, ask: Ask) -> Response:
    """The page."""
    return page(desk, ask, "overview.html", title="Overview")
