"""People: who they are, by which accounts, what is theirs; blocked, changed, deleted."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from vestibule.errors import Invalid
from vestibule.web.admin.allowed import may
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.api import Refused, segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines
from vestibule.web.admin.sessions import named

STATES: Final = {"": "all", "false": "not blocked", "true": "blocked"}


async def listed(desk: Desk, ask: Ask) -> Response:
    """People, found by name, login or address."""
    text, disabled, cursor = (ask.params.get(name, "").strip() for name in ("text", "disabled", "cursor"))
    found = await ask.api.get("/users", text=text, disabled=disabled, cursor=cursor, limit="50")
    return page(
        desk,
        ask,
        "people.html",
        title="People",
        people=found["items"],
        next=found["next"] or "",
        text=text,
        disabled=disabled,
        states=STATES,
        is_first=not cursor,
    )


async def shown(desk: Desk, ask: Ask) -> Response:
    """One person."""
    return await _page(desk, ask)


async def change(desk: Desk, ask: Ask) -> Response:
    """POST: another name, login or profile."""
    profile = {
        name.removeprefix("profile."): value.strip() or None
        for name, value in ask.form.items()
        if name.startswith("profile.")
    }
    if name := ask.form.get("new_name", "").strip():
        profile[name] = ask.form.get("new_value", "").strip() or None
    changes: dict[str, Any] = {one: ask.form[one].strip() for one in ("name", "login") if one in ask.form}
    if profile:
        changes["profile"] = profile
    try:
        await ask.api.patch(f"/users/{segment(ask.places['id'])}", changes)
    except Invalid as error:
        return await _page(desk, ask, status=422, faults=fault_lines(error.faults))
    return _back(desk, ask, "Saved.")


async def block(desk: Desk, ask: Ask) -> Response:
    """POST: all that is theirs ends at once."""
    await ask.api.post(f"/users/{segment(ask.places['id'])}/block")
    return _back(desk, ask, "Blocked; all their sessions and app tokens have ended.")


async def unblock(desk: Desk, ask: Ask) -> Response:
    """POST: they may come again."""
    await ask.api.post(f"/users/{segment(ask.places['id'])}/unblock")
    return _back(desk, ask, "They may sign in again.")


async def end_sessions(desk: Desk, ask: Ask) -> Response:
    """POST: they are signed out everywhere."""
    ended = (await ask.api.delete("/sessions", user_id=ask.places["id"]))["ended"]
    return _back(desk, ask, f"Signed out everywhere; sessions ended: {ended}.")


async def delete(desk: Desk, ask: Ask) -> Response:
    """POST: they are gone, with all that is theirs."""
    if ask.form.get("sure") != "yes":
        return await _page(desk, ask, status=422, faults={"sure": "tick it: this can't be taken back"})
    await ask.api.delete(f"/users/{segment(ask.places['id'])}")
    return see(desk, ask, "/people", "Deleted, with all that was theirs.")


async def unlink(desk: Desk, ask: Ask) -> Response:
    """POST: one of their accounts is theirs no more."""
    place = f"/users/{segment(ask.places['id'])}/identities/{segment(ask.places['identity'])}"
    await ask.api.delete(place)
    return _back(desk, ask, "The account is unlinked.")


def _back(desk: Desk, ask: Ask, said: str) -> Response:
    return see(desk, ask, f"/people/{segment(ask.places['id'])}", said)


async def _page(desk: Desk, ask: Ask, *, status: int = 200, faults: dict[str, str] | None = None) -> Response:
    one = await ask.api.get(f"/users/{segment(ask.places['id'])}")
    sent = ask.form if faults else {}
    return page(
        desk,
        ask,
        "person.html",
        title=named(one),
        status=status,
        one=one,
        shown={name: sent.get(name, one[name]) for name in ("name", "login")},
        sessions=await _theirs(ask, "/sessions", user_id=one["id"]),
        tokens=await _theirs(ask, f"/users/{segment(one['id'])}/tokens"),
        may=may(ask),
        faults=faults or {},
        is_oneself=ask.guest is not None and ask.guest.actor.name == f"user {one['id']}",
    )


async def _theirs(ask: Ask, path: str, **query: str) -> list[Any] | None:
    """A list; None where who asks may not read it."""
    try:
        return list((await ask.api.get(path, **query))["items"])
    except Refused as error:
        if error.code != "scope_missing":
            raise
        return None
