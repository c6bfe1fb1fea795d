"""Tokens: those of the admin API, and those that people made for their programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from vestibule.core.scope import SCOPES
from vestibule.errors import Invalid, NotFound
from vestibule.web.admin.allowed import may, scopes_of
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.api import Refused, segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines, number_of

DAY_S: Final = 86400
DAYS_MAX: Final = 3660
_PEOPLE: Final = "25"
_TOKENS: Final = "100"


async def listed(desk: Desk, ask: Ask) -> Response:
    """All admin tokens, without themselves."""
    found = await ask.api.get("/tokens")
    own = ask.guest.actor.token if ask.guest is not None else None
    return page(
        desk,
        ask,
        "tokens.html",
        title="Admin tokens",
        tokens=found["items"],
        own_id=own.id if own is not None else "",
        may=may(ask),
    )


async def new(desk: Desk, ask: Ask) -> Response:
    """The form; sent, the token is made, and shown on the answer to that alone."""
    if not ask.is_post:
        return _form(desk, ask, {"days": "90"}, ())
    scopes = ask.lists.get("scopes", ())
    try:
        made = await ask.api.post("/tokens", _asked(ask.form, scopes))
    except Invalid as error:
        return _form(desk, ask, ask.form, scopes, faults=fault_lines(error.faults), status=422)
    except Refused as error:
        if error.code != "scope_missing":
            raise
        return _form(desk, ask, ask.form, scopes, faults={"scopes": error.message}, status=403)
    # Not by a redirect: a secret stands in no address and no cookie.
    return page(desk, ask, "token_made.html", title="The token", status=201, made=made)


def _asked(form: Mapping[str, str], scopes: tuple[str, ...]) -> dict[str, Any]:
    """What the API is sent. Raises Invalid."""
    faults: list[tuple[str, str]] = []
    name = form.get("name", "").strip()
    if not name:
        faults.append(("name", "is missing"))
    asked: dict[str, Any] = {"name": name}
    if form.get("kind") == "scoped":
        if not scopes:
            faults.append(("scopes", "tick at least one, or let it do everything"))
        asked["scopes"] = list(scopes)
    elif form.get("kind") != "all":
        faults.append(("kind", "say which"))
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
    desk: Desk,
    ask: Ask,
    filled: Mapping[str, str],
    scopes: tuple[str, ...],
    *,
    faults: Mapping[str, str] = {},
    status: int = 200,
) -> Response:
    own = scopes_of(ask) or ()
    offered = [
        {"name": name, "text": text, "is_ticked": name in scopes}
        for name, text in SCOPES.items()
        if not own or name in own
    ]
    return page(
        desk,
        ask,
        "token_new.html",
        title="Make an admin token",
        status=status,
        filled={name: filled.get(name, "") for name in ("name", "days")},
        kind=filled.get("kind", "") or "scoped",
        offered=offered,
        may_all=not own,
        faults=faults,
    )


async def revoke(desk: Desk, ask: Ask) -> Response:
    """The question, and its answer."""
    token_id = ask.places["id"]
    one = next((one for one in (await ask.api.get("/tokens"))["items"] if one["id"] == token_id), None)
    if one is None:
        raise NotFound("There is no such token.")
    if ask.is_post:
        await ask.api.delete(f"/tokens/{segment(token_id)}")
        return see(desk, ask, "/tokens", f"The token {one['name']} is revoked.")
    own = ask.guest.actor.token if ask.guest is not None else None
    is_own = own is not None and own.id == token_id
    return page(desk, ask, "token_revoke.html", title=f"Revoke {one['name']}?", one=one, is_own=is_own)


# -- of people ------------------------------------------------------------------------------------


async def of_people(desk: Desk, ask: Ask) -> Response:
    """All that people made; or, where somebody is looked for, people with theirs, a page of people at a time."""
    text = ask.params.get("text", "").strip()
    if not text:
        return await _all(desk, ask)
    found = await ask.api.get("/users", text=text, cursor=ask.params.get("cursor", ""), limit=_PEOPLE)
    people = [{**one, "tokens": await _of(ask, one["id"])} for one in found["items"]]
    return page(
        desk,
        ask,
        "app_tokens.html",
        title="App tokens",
        people=[one for one in people if one["tokens"]],
        without=sum(not one["tokens"] for one in people),
        next=found["next"] or "",
        text=text,
        is_first="cursor" not in ask.params,
        may=may(ask),
    )


async def _all(desk: Desk, ask: Ask) -> Response:
    found = await ask.api.get("/app-tokens", cursor=ask.params.get("cursor", ""), limit=_TOKENS)
    return page(
        desk,
        ask,
        "app_tokens.html",
        title="App tokens",
        tokens=found["items"],
        people=(),
        next=found["next"] or "",
        text="",
        is_first="cursor" not in ask.params,
        may=may(ask),
    )


async def of_one(desk: Desk, ask: Ask) -> Response:
    """Those of one person."""
    one = await ask.api.get(f"/users/{segment(ask.places['id'])}")
    return page(
        desk,
        ask,
        "app_tokens.html",
        title=f"App tokens of {_called(one)}",
        people=[{**one, "tokens": await _of(ask, one["id"])}],
        without=0,
        next="",
        text="",
        is_first=True,
        is_one=True,
        may=may(ask),
    )


async def revoke_of_one(desk: Desk, ask: Ask) -> Response:
    """The question, and its answer."""
    user_id, token_id = ask.places["id"], ask.places["token"]
    person = await ask.api.get(f"/users/{segment(user_id)}")
    one = next((one for one in await _of(ask, user_id) if one["id"] == token_id), None)
    if one is None:
        raise NotFound("There is no such token.")
    back = f"/users/{segment(user_id)}/tokens"
    if ask.is_post:
        await ask.api.delete(f"{back}/{segment(token_id)}")
        return see(desk, ask, back, f"The token {one['name']} of {_called(person)} is revoked.")
    title = f"Revoke {one['name']} of {_called(person)}?"
    return page(desk, ask, "app_token_revoke.html", title=title, one=one, person=person, back=back)


async def _of(ask: Ask, user_id: str) -> list[Any]:
    return list((await ask.api.get(f"/users/{segment(user_id)}/tokens"))["items"])


def _called(person: Mapping[str, Any]) -> str:
    return str(person["email"] or person["login"] or person["name"] or person["id"])
