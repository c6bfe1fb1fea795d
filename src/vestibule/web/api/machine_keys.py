"""`/machine-keys`: keys that machines of the kind `key` show at the token endpoint."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from vestibule.core import event as names
from vestibule.model import MachineKey
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Id, Line, Model, Whole, example, moment, moment_or_none
from vestibule.web.api.tokens import YEARS_S

router = APIRouter(prefix="/machine-keys", tags=["tokens"])


class NewKey(Model):
    """What a key is made of."""

    model_config = example({"machine": "backup", "name": "nas", "expires_in": 7776000})

    machine: Annotated[Line, Field(min_length=1)]
    """Name of a `machine` of the kind `key` in the configuration."""
    name: Annotated[Line, Field(max_length=100)] = ""
    """For people: where it is kept. Backends are told it as `Proxy-Machine-Subject`; without it: the key's id."""
    expires_in: Annotated[int, Field(ge=1, le=YEARS_S, strict=True), Whole] | None = None
    """Seconds it is good for; without it: until it is revoked."""


class Key(Model):
    """A key as it is listed: not the key itself."""

    id: str
    machine: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    """null: never."""
    seen_at: datetime | None
    """When it was last shown, to the minute; null: never."""


class MadeKey(Key):
    """A key that was just made."""

    model_config = example(
        {
            "id": "9nUtJjTbUu5pxGhRkhwUSw",
            "machine": "backup",
            "name": "nas",
            "created_at": "2026-11-22T05:14:00Z",
            "expires_at": "2027-02-20T05:14:00Z",
            "seen_at": None,
            "key": "vst_mk_…",
        }
    )

    key: str
    """The key itself, shown this once."""


class Keys(Model):
    """All keys, the oldest first, those that have ended too."""

    items: list[Key]


@router.post("", operation_id="createMachineKey", status_code=201, responses=errors(400, 404, 409, 413, 415))
async def create(at: At, new: NewKey) -> MadeKey:
    """Make a key for a machine, which may have two. It is shown once."""
    key, text = await at.office.machine_keys.make(
        at.office.machines, new.machine, new.name, new.expires_in, at.now
    )
    await at.changed(names.MACHINE_KEY_CREATED, target=f"machine_key {key.id}", after=_kept(key))
    return MadeKey(**_shown(key).model_dump(), key=text.reveal())


@router.get("", operation_id="listMachineKeys", responses=errors())
async def list_all(at: At) -> Keys:
    """All keys of machines, without themselves."""
    return Keys(items=[_shown(key) for key in await at.office.machine_keys.list()])


@router.delete("/{id}", operation_id="revokeMachineKey", status_code=204, responses=errors(404))
async def revoke(at: At, id: Id) -> Response:  # noqa: A002 - the name in the path
    """End a key at once, and the access tokens that were given for it."""
    gone = await at.office.machine_keys.revoke(id)
    await at.changed(names.MACHINE_KEY_REVOKED, target=f"machine_key {id}", before=_kept(gone))
    return Response(status_code=204)


def _kept(key: MachineKey) -> dict[str, Any]:
    """What the trail says of a key."""
    return {"machine": key.machine, "name": key.name, "expires_at": moment_or_none(key.expires_at)}


def _shown(key: MachineKey) -> Key:
    return Key(
        id=key.id,
        machine=key.machine,
        name=key.name,
        created_at=moment(key.created_at),
        expires_at=moment_or_none(key.expires_at),
        seen_at=moment_or_none(key.seen_at),
    )
