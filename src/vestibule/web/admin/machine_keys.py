"""Keys of machines, and all that opens anything in one list: who holds what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from vestibule.core.scope import check
from vestibule.errors import Invalid, NotFound
from vestibule.web.admin.allowed import may, scopes_of
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.api import Refused, segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines, number_of
from vestibule.web.admin.tokens import DAY_S, DAYS_MAX

_HELD: Final = "100"


async def listed(desk: Desk, ask: Ask) -> Response:
    """All keys, without themselves."""
    found = await ask.api.get("/machine-keys")
    return page(desk, ask, "machine_keys.html", title="Machine keys", keys=found["items"], may=may(ask))


async def new(desk: Desk, ask: Ask) -> Response:
    """The form; sent, the key is made, and shown on the answer to that alone."""
    check(scopes_of(ask) or (), "createMachineKey")  # before their entries: they may not, whatever they enter
    if not ask.is_post:
        return _form(desk, ask, {"machine": ask.params.get("machine", ""), "days": "90"})
    try:
        made = await ask.api.post("/machine-keys", _asked(ask.form))
    except Invalid as error:
        return _form(desk, ask, ask.form, fault_lines(error.faults), status=422)
    except Refused as error:
        if error.status not in {404, 409}:  # no such machine, or it has two
            raise
        return _form(desk, ask, ask.form, {"machine": error.message}, status=error.status)
    # Not by a redirect: a secret stands in no address and no cookie.
    return page(desk, ask, "machine_key_made.html", title="The key", status=201, made=made)


async def revoke(desk: Desk, ask: Ask) -> Response:
    """The question, and its answer."""
    key_id = ask.places["id"]
    one = next((one for one in (await ask.api.get("/machine-keys"))["items"] if one["id"] == key_id), None)
    if one is None:
        raise NotFound("There is no such key.")
    if ask.is_post:
        await ask.api.delete(f"/machine-keys/{segment(key_id)}")
        return see(desk, ask, "/machine-keys", f"A key of {one['machine']} is revoked.")
    return page(desk, ask, "machine_key_revoke.html", title=f"Revoke this key of {one['machine']}?", one=one)


async def held(desk: Desk, ask: Ask) -> Response:
    """Admin tokens, keys of machines and app tokens of people in one list: who holds it, and when it was last used."""
    cursor = ask.params.get("cursor", "")
    found = await ask.api.get("/held", cursor=cursor, limit=_HELD)
    return page(
        desk,
        ask,
        "held.html",
        title="Who holds what",
        rows=list(map(_row, found["items"])),
        next=found["next"] or "",
        is_first=not cursor,
        may=may(ask),
    )


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    where = {
        "admin": ("/tokens/", "revokeToken"),
        "machine": ("/machine-keys/", "revokeMachineKey"),
        "app": (f"/users/{segment(one['user_id'] or '')}/tokens/", "revokeUserToken"),
    }
    path, operation = where[one["kind"]]
    return {**one, "operation": operation, "revoke": f"{path}{segment(one['id'])}/revoke"}


def _asked(form: Mapping[str, str]) -> dict[str, Any]:
    """What the API is sent. Raises Invalid."""
    faults: list[tuple[str, str]] = []
    asked: dict[str, Any] = {name: form.get(name, "").strip() for name in ("machine", "name")}
    if not asked["machine"]:
        faults.append(("machine", "is missing"))
    if form.get("days", "").strip():
        days = number_of(form["days"])
        if days is None or not 1 <= days <= DAYS_MAX:
            faults.append(("days", f"is a number of days, from 1 to {DAYS_MAX}; empty: until it is revoked"))
        else:
            asked["expires_in"] = days * DAY_S
    if faults:
        raise Invalid(tuple(faults))
    return asked


def _form(
    desk: Desk, ask: Ask, filled: Mapping[str, str], faults: Mapping[str, str] = {}, *, status: int = 200
) -> Response:
    return page(
        desk,
        ask,
        "machine_key_new.html",
        title="Make a machine key",
        status=status,
        filled={name: filled.get(name, "") for name in ("machine", "name", "days")},
        faults=faults,
    )
