"""The configuration in force with the file line of each part, and what the files say now that isn't."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from vestibule.admin_model import Configuration, Difference
from vestibule.web.admin.answers import Desk, page
from vestibule.web.admin.asking import Ask

_KINDS: Final = {"+": "added", "-": "removed", "@": "place"}


async def shown(desk: Desk, ask: Ask) -> Response:
    """What is in force, block by block."""
    found = await ask.api.get("/configuration", Configuration)
    return page(desk, ask, "configuration.html", title="Configuration", found=found)


async def difference(desk: Desk, ask: Ask) -> Response:
    """What would change if the files were read now."""
    found = await ask.api.get("/configuration/difference", Difference)
    return page(
        desk,
        ask,
        "difference.html",
        title="What would change",
        found=found,
        lines=lines_of(found.diff),
    )


def lines_of(diff: str) -> list[dict[str, Any]]:
    """The lines of a unified diff, each with what it is."""
    lines = []
    for text in diff.splitlines():
        is_head = text.startswith(("--- ", "+++ "))
        lines.append({"text": text, "kind": "head" if is_head else _KINDS.get(text[:1], "same")})
    return lines
