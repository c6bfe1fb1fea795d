"""Hosts with their routes, and why a request at one of their addresses is let in or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from vestibule.admin_model import HostState
from vestibule.errors import Invalid
from vestibule.web.admin.allowed import may
from vestibule.web.admin.answers import Desk, page
from vestibule.web.admin.api import Refused
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ANSWERS: Final[Mapping[str, str]] = {
    "in": "It is let in.",
    "own": "The path is the gateway's own: no rule holds there.",
    "sign_in": "It is led to sign in.",
}


async def listed(desk: Desk, ask: Ask) -> Response:
    """All hosts with their routes."""
    found = await ask.api.get("/hosts", tuple[HostState, ...])
    return page(desk, ask, "hosts.html", title="Hosts and routes", hosts=found, may=may(ask))


async def explain(desk: Desk, ask: Ask) -> Response:
    """The form; filled in, the decision with every condition."""
    filled = {name: ask.params.get(name, "").strip() for name in ("url", "as", "method", "address")}
    filled["method"] = filled["method"].upper() or "GET"
    if not filled["url"]:
        return _page(desk, ask, filled)
    try:
        found = await ask.api.get("/explain", **filled)
    except Invalid as error:
        return _page(desk, ask, filled, faults=fault_lines(error.faults), status=422)
    except Refused as error:
        if error.status not in {404, 409}:
            raise
        # Which of the two is not there, the message says; whose it is, the words in it.
        field = "as" if filled["as"] and filled["as"] in error.message else "url"
        return _page(desk, ask, filled, faults={field: error.message}, status=error.status)
    return _page(desk, ask, filled, found=found)


def _page(
    desk: Desk,
    ask: Ask,
    filled: Mapping[str, str],
    *,
    found: Any = None,
    faults: Mapping[str, str] = {},
    status: int = 200,
) -> Response:
    return page(
        desk,
        ask,
        "explain.html",
        title="Explain a decision",
        status=status,
        filled=filled,
        methods=METHODS,
        found=found,
        answer=_ANSWERS.get(found["answer"], "It is refused.") if found else "",
        is_in=bool(found) and found["status"] is None,
        faults=faults,
    )
