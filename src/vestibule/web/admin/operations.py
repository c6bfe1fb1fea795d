"""What is turned and looked at while the program runs: log levels, messages nobody took, certificates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from starlette.responses import Response

from vestibule.admin_model import CertificateState, DeadLetter, Levels
from vestibule.errors import Invalid
from vestibule.web.admin.allowed import may
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.api import segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines

LEVELS: Final = ("debug", "info", "warning", "error")
SOON_S: Final = 21 * 86400


async def certificates(desk: Desk, ask: Ask) -> Response:
    """Certificates that are to be had, shown and trusted: those that fail on top, then those that end first."""
    found = await ask.api.get("/certificates", tuple[CertificateState, ...])
    items = sorted((_item(one, ask.now) for one in found), key=lambda item: (item["rank"], item["left_s"]))
    return page(desk, ask, "certificates.html", title="Certificates", items=items, soon_s=SOON_S)


def _item(one: CertificateState, now: float) -> dict[str, Any]:
    left_s = 0.0 if one.expires_at is None else one.expires_at.timestamp() - now
    rank = 0 if one.state == "failing" else 1 if one.expires_at is None else 2
    return {"one": one, "left_s": left_s, "rank": rank}


# -- log ------------------------------------------------------------------------------------------


async def levels(desk: Desk, ask: Ask) -> Response:
    """How much is logged, by component; sent, it is so at once."""
    if not ask.is_post:
        return await _levels(desk, ask, {})
    now = await ask.api.get("/log/levels", Levels)
    changes = _changes(now, ask.form)
    if not changes:
        return see(desk, ask, "/log", "Nothing was changed.")
    try:
        await ask.api.patch("/log/levels", changes)
    except Invalid as error:
        return await _levels(desk, ask, fault_lines(error.faults), filled=ask.form, status=422)
    told = ", ".join(f"{name}: {level or 'as all others'}" for name, level in changes.items())
    return see(desk, ask, "/log", f"Changed until the next start ({told}).")


def _changes(now: Levels, form: Mapping[str, str]) -> dict[str, str]:
    """What the form has otherwise than it is."""
    was = {"level": now.level, **now.components}
    return {
        name: form[f"level.{name}"]
        for name in was
        if f"level.{name}" in form and form[f"level.{name}"] != was[name]
    }


async def _levels(
    desk: Desk,
    ask: Ask,
    faults: Mapping[str, str],
    *,
    filled: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    found = await ask.api.get("/log/levels", Levels)
    given = filled or {}
    rows = [
        {"name": name, "level": given.get(f"level.{name}", level), "fault": faults.get(name, "")}
        for name, level in found.components.items()
    ]
    return page(
        desk,
        ask,
        "levels.html",
        title="Log levels",
        status=status,
        level=given.get("level.level", found.level),
        rows=rows,
        levels=LEVELS,
        fault=faults.get("level", "") or faults.get("", ""),
        may=may(ask),
    )


# -- messages -------------------------------------------------------------------------------------


async def letters(desk: Desk, ask: Ask) -> Response:
    """Messages that webhooks did not take for a day."""
    found = await ask.api.get("/dead-letters", tuple[DeadLetter, ...])
    ordered = sorted(found, key=lambda one: one.died_at, reverse=True)
    return page(desk, ask, "letters.html", title="Dead letters", letters=ordered, may=may(ask))


async def retry(desk: Desk, ask: Ask) -> Response:
    """Try one again."""
    webhook, letter = _places(ask)
    await ask.api.post(f"/dead-letters/{segment(webhook)}/{segment(letter)}/retry")
    return see(desk, ask, "/dead-letters", f"The message to {webhook} is tried again, for another day.")


async def discard(desk: Desk, ask: Ask) -> Response:
    """The question, and its answer."""
    webhook, letter = _places(ask)
    if ask.is_post:
        await ask.api.delete(f"/dead-letters/{segment(webhook)}/{segment(letter)}")
        return see(desk, ask, "/dead-letters", f"The message to {webhook} is thrown away.")
    title = "Throw this message away?"
    return page(desk, ask, "letter_discard.html", title=title, webhook=webhook, letter=letter)


def _places(ask: Ask) -> tuple[str, str]:
    return unquote(ask.places["webhook"]), unquote(ask.places["id"])
