"""The configuration in force with the file line of each part, what the files say by now, and putting that in force."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from vestibule.admin_model import Configuration, Difference, Reloaded
from vestibule.errors import Invalid
from vestibule.web.admin.allowed import may
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.api import Refused
from vestibule.web.admin.asking import Ask

OTHER: Final = 412
"""The files say something else by now."""
_KINDS: Final = {"+": "added", "-": "removed", "@": "place"}


async def shown(desk: Desk, ask: Ask) -> Response:
    """What is in force, block by block."""
    found = await ask.api.get("/configuration", Configuration)
    return page(desk, ask, "configuration.html", title="Configuration", found=found)


async def difference(desk: Desk, ask: Ask) -> Response:
    """What would change if the files were read now; sent, that is put in force, and nothing else."""
    if not ask.is_post:
        return await _difference(desk, ask)
    try:
        done = await ask.api.post(
            "/configuration/reload", of=Reloaded, if_match=f'"{ask.form.get("fingerprint", "")}"'
        )
    except Invalid as error:
        return await _difference(desk, ask, faults=tuple(message for _, message in error.faults), status=422)
    except Refused as error:
        if error.status != OTHER:
            raise
        return await _difference(desk, ask, said=error.message, status=OTHER)
    told = "; ".join(
        f"{what}: {', '.join(names)}"
        for what, names in (("added", done.added), ("changed", done.changed), ("removed", done.removed))
        if names
    )
    return see(desk, ask, "/configuration", f"In force ({told})." if told else "In force.")


async def _difference(
    desk: Desk, ask: Ask, *, faults: tuple[str, ...] = (), said: str = "", status: int = 200
) -> Response:
    found = await ask.api.get("/configuration/difference", Difference)
    return page(
        desk,
        ask,
        "difference.html",
        title="What would change",
        status=status,
        found=found,
        faults=faults or (*found.faults, *found.restart),
        refusal=said,
        may=may(ask),
        lines=lines_of(found.diff),
    )


def lines_of(diff: str) -> list[dict[str, Any]]:
    """The lines of a unified diff, each with what it is."""
    lines = []
    for text in diff.splitlines():
        is_head = text.startswith(("--- ", "+++ "))
        lines.append({"text": text, "kind": "head" if is_head else _KINDS.get(text[:1], "same")})
    return lines
