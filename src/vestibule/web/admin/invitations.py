"""Invitations: who may become a user, and who has."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from vestibule.errors import Invalid
from vestibule.web.admin.allowed import may
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.api import segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines, number_of

STATES: Final = ("open", "used", "expired")
DAY_S: Final = 86400
_LIMIT: Final = "50"


async def listed(desk: Desk, ask: Ask) -> Response:
    """Invitations of one state, or all; for an address, or anybody."""
    state = ask.params.get("state", "open")
    state = state if state in STATES else ""
    email = ask.params.get("email", "").strip()
    found = await ask.api.get(
        "/invitations", state=state, email=email, cursor=ask.params.get("cursor", ""), limit=_LIMIT
    )
    return page(
        desk,
        ask,
        "invitations.html",
        title="Invitations",
        items=found["items"],
        next=found["next"] or "",
        state=state,
        states=STATES,
        email=email,
        is_first="cursor" not in ask.params,
        may=may(ask),
    )


async def new(desk: Desk, ask: Ask) -> Response:
    """The form; sent, somebody is invited."""
    if not ask.is_post:
        return _form(desk, ask, {"by": ask.params.get("by", "email")})
    try:
        made = await ask.api.post("/invitations", _asked(ask.form))
    except Invalid as error:
        return _form(desk, ask, ask.form, fault_lines(error.faults), status=422)
    who = made["email"] or f"{made['subject']} at {made['issuer']}"
    return see(desk, ask, "/invitations", f"{who} is invited. Nothing was sent: tell them to sign in.")


async def withdraw(desk: Desk, ask: Ask) -> Response:
    """The question, and its answer."""
    path = f"/invitations/{segment(ask.places['id'])}"
    if ask.is_post:
        await ask.api.delete(path)
        return see(desk, ask, "/invitations", "The invitation is withdrawn.")
    found = await ask.api.get(path)
    return page(desk, ask, "invitation_withdraw.html", title="Withdraw this invitation?", one=found)


def _asked(form: Any) -> dict[str, Any]:
    """What the API is sent. Raises Invalid for what it would not put at a field."""
    by_account = form.get("by") == "account"
    asked: dict[str, Any] = {"note": form.get("note", "").strip()}
    names = ("issuer", "subject") if by_account else ("email",)
    missing = [(name, "is missing") for name in names if not form.get(name, "").strip()]
    asked |= {name: form.get(name, "").strip() for name in names}
    if form.get("days", "").strip():
        days = number_of(form["days"])
        if days is None or not 1 <= days <= 366:
            missing.append(("days", "is a number of days, from 1 to 366"))
        else:
            asked["expires_in"] = days * DAY_S
    if missing:
        raise Invalid(tuple(missing))
    return asked


def _form(
    desk: Desk, ask: Ask, filled: Any, faults: dict[str, str] | None = None, *, status: int = 200
) -> Response:
    return page(
        desk,
        ask,
        "invitation_new.html",
        title="Invite somebody",
        status=status,
        filled={name: filled.get(name, "") for name in ("email", "issuer", "subject", "note", "days")},
        by="account" if filled.get("by") == "account" else "email",
        faults=faults or {},
    )
