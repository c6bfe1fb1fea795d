"""`/held`: all that opens anything without a browser, in one list: who holds it, and when it was last used."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query

from vestibule.core import scope
from vestibule.core.person import called
from vestibule.model import AdminToken, MachineKey
from vestibule.store.base import Bearer, Page
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.office import ApiCall, At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Model, example, moment, moment_or_none

router = APIRouter(prefix="/held", tags=["tokens"])

_LISTS: Final = ("listTokens", "listAppTokens", "listMachineKeys")
_Held = AdminToken | Bearer | MachineKey


class Held(Model):
    """A token or key, without itself, and whose it is."""

    model_config = example(
        {
            "kind": "app",
            "id": "9nUtJjTbUu5pxGhRkhwUSw",
            "holder": "alice@example.com",
            "user_id": "tKSFIaDWlCnO0SeGnMFmQw",
            "name": "laptop",
            "created_at": "2026-11-22T05:14:00Z",
            "expires_at": "2027-02-20T05:14:00Z",
            "seen_at": None,
        }
    )

    kind: Literal["admin", "app", "machine"]
    """Of this API (`/tokens`), of a person's program (`/users/{user_id}/tokens`), of a machine (`/machine-keys`)."""
    id: str
    holder: str
    """Of `admin` what it may do; of `app` the person, by address, login or name; of `machine` the machine."""
    user_id: str | None
    """Whose it is; null where it is no person's."""
    name: str
    created_at: datetime
    expires_at: datetime | None
    """null: never."""
    seen_at: datetime | None
    """When it was last used, to the minute; null: never."""


class Asked(Paging):
    """Which page of them."""


@router.get("", operation_id="listHeld", responses=errors())
async def list_page(at: At, asked: Annotated[Asked, Query()]) -> Listing[Held]:
    """All tokens and keys, the oldest first. It takes the scopes of all three: a list with holes would look whole."""
    if at.actor.token is not None:
        for operation in _LISTS:
            scope.check(at.actor.token.scopes, operation)
    page = page_of(at.office.ring, "held", asked)
    found: list[_Held] = [*await at.office.app_tokens.list(page), *await _others(at, page)]
    found.sort(key=_place)
    return listing(at.office.ring, "held", asked, found[: page.limit], place=_place, shown=_shown)


async def _others(at: ApiCall, page: Page) -> list[AdminToken | MachineKey]:
    """Those that stand in short lists, which are read whole: as many as operators made."""
    short: list[AdminToken | MachineKey] = [
        *await at.office.tokens.list(),
        *await at.office.machine_keys.list(),
    ]
    return [one for one in short if page.after is None or _place(one) > page.after]


def _place(held: _Held) -> tuple[float, str]:
    one = held.token if isinstance(held, Bearer) else held
    return one.created_at, one.id


def _shown(held: _Held) -> Held:
    one = held.token if isinstance(held, Bearer) else held
    match held:
        case AdminToken():
            kind, holder, user_id = "admin", " ".join(held.scopes) or "everything", None
        case MachineKey():
            kind, holder, user_id = "machine", held.machine, None
        case Bearer():
            kind, holder, user_id = "app", called(held.user) or held.user.id, held.user.id
    return Held.model_validate(
        {
            "kind": kind,
            "id": one.id,
            "holder": holder,
            "user_id": user_id,
            "name": one.name,
            "created_at": moment(one.created_at),
            "expires_at": moment_or_none(one.expires_at),
            "seen_at": moment_or_none(one.seen_at),
        }
    )
