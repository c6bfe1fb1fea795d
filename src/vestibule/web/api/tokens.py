"""`/tokens`: bearer tokens of this API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from vestibule.core import event as names
from vestibule.errors import NotFound
from vestibule.model import AdminToken
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Id, Line, Model, Whole, example, moment, moment_or_none

YEARS_S = 10 * 366 * 86400

Scope = Literal[
    "sessions:read",
    "sessions:write",
    "sessions:introspect",
    "users:read",
    "users:write",
    "providers:read",
    "providers:write",
    "tokens:write",
    "orgs:read",
    "orgs:write",
    "machines:write",
    "audit:read",
    "traffic:read",
    "configuration:read",
    "configuration:write",
    "log:write",
    "events:write",
    "webhooks:write",
    "credentials:read",
    "credentials:reveal",
]
"""The names of `core.scope`, which a test keeps alike."""

router = APIRouter(prefix="/tokens", tags=["tokens"])


class NewToken(Model):
    """What a token is made of."""

    model_config = example({"name": "deploy", "expires_in": 2592000, "scopes": ["sessions:introspect"]})

    name: Annotated[Line, Field(min_length=1)]
    """For people, and for the log: who did what."""
    expires_in: Annotated[int, Field(ge=1, le=YEARS_S, strict=True), Whole] | None = None
    """Seconds it is good for; without it: until it is revoked. What one with scopes makes ends with it, at last."""
    scopes: Annotated[tuple[Scope, ...], Field(max_length=50)] = ()
    """What it may do; none: everything. A token with scopes gives no others."""


class Token(Model):
    """A token as it is listed: not the token itself."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    """null: never."""
    seen_at: datetime | None
    """When it was last used, to the minute; null: never."""
    scopes: list[str]
    """What it may do; none: everything."""


class MadeToken(Token):
    """A token that was just made."""

    model_config = example(
        {
            "id": "9nUtJjTbUu5pxGhRkhwUSw",
            "name": "deploy",
            "created_at": "2026-11-22T05:14:00Z",
            "expires_at": "2026-12-22T05:14:00Z",
            "seen_at": None,
            "scopes": ["sessions:introspect"],
            "token": "vst_admin_…",
        }
    )

    token: str
    """The token itself, shown this once."""


class Tokens(Model):
    """All tokens, the oldest first, those that have expired too."""

    items: list[Token]


@router.post("", operation_id="createToken", status_code=201, responses=errors(400, 413, 415))
async def create(at: At, new: NewToken) -> MadeToken:
    """Make a token. It is shown once."""
    token, bearer = await at.office.tokens.create(
        new.name, new.expires_in, at.now, scopes=new.scopes, maker=at.actor.token
    )
    await at.changed(names.TOKEN_CREATED, target=f"token {token.id}", after=_kept(token))
    return MadeToken(**_shown(token).model_dump(), token=bearer.reveal())


@router.get("", operation_id="listTokens", responses=errors())
async def list_all(at: At) -> Tokens:
    """All tokens, without themselves."""
    return Tokens(items=[_shown(token) for token in await at.office.tokens.list()])


@router.delete("/{id}", operation_id="revokeToken", status_code=204, responses=errors(404))
async def revoke(at: At, id: Id) -> Response:  # noqa: A002 - the name in the path
    """End a token at once."""
    gone = next((one for one in await at.office.tokens.list() if one.id == id), None)
    if not await at.office.tokens.revoke(id, by=at.actor.token):
        raise NotFound(f"There is no token {id}.")
    before = None if gone is None else _kept(gone)
    await at.changed(names.TOKEN_REVOKED, target=f"token {id}", before=before)
    return Response(status_code=204)


def _kept(token: AdminToken) -> dict[str, Any]:
    """What the trail says of a token."""
    return {"name": token.name, "scopes": token.scopes, "expires_at": moment_or_none(token.expires_at)}


def _shown(token: AdminToken) -> Token:
    return Token(
        id=token.id,
        name=token.name,
        created_at=moment(token.created_at),
        expires_at=moment_or_none(token.expires_at),
        seen_at=moment_or_none(token.seen_at),
        scopes=list(token.scopes),
    )
