"""`/orgs/SLUG/directory`: the tokens by which an organisation's directory provisions people (SCIM), and who is who."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from vestibule.core import event as names
from vestibule.store.base_directory import DirectoryToken
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Id, Line, Model, Slug, Whole, example, moment, moment_or_none
from vestibule.web.api.tokens import YEARS_S

router = APIRouter(prefix="/orgs/{slug}/directory", tags=["organisations"])

JoinBy = Literal["subject", "external_id", "user_name"]
_OKTA = {
    "id": "9nUtJjTbUu5pxGhRkhwUSw",
    "name": "Okta",
    "created_at": "2026-11-22T05:14:00Z",
    "expires_at": None,
    "seen_at": None,
}


class Settings(Model):
    """How an organisation's directory is understood."""

    model_config = example({"join_by": "subject"})

    join_by: JoinBy
    """By what somebody who signs in is somebody who was provisioned. `subject`: what the provider calls them (OpenID
    Connect's `sub`, SAML's NameID) is their `externalId`, or else their `userName`; `external_id`: it is their
    `externalId`; `user_name`: their login or e-mail address is their `userName`."""


class NewDirectoryToken(Model):
    """What a token is made of."""

    model_config = example({"name": "Okta", "expires_in": 31536000})

    name: Annotated[Line, Field(max_length=100)] = ""
    """For people: whose it is."""
    expires_in: Annotated[int, Field(ge=1, le=YEARS_S, strict=True), Whole] | None = None
    """Seconds it is good for; without it: until it is revoked."""


class DirectoryTokenShown(Model):
    """A token as it is listed: not the token itself."""

    model_config = example(_OKTA)

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    """null: never."""
    seen_at: datetime | None
    """When it was last used, to the minute; null: never."""


class MadeDirectoryToken(DirectoryTokenShown):
    """A token that was just made."""

    model_config = example({**_OKTA, "token": "vst_scim_…"})

    token: str
    """The token itself, shown this once."""


class DirectoryTokens(Model):
    """All of an organisation's, the oldest first, those that have ended too."""

    items: list[DirectoryTokenShown]


@router.get("", operation_id="getDirectory", responses=errors(404))
async def settings(at: At, slug: Slug) -> Settings:
    """By what people who sign in are people who were provisioned."""
    org = await at.office.organisations.get(slug)
    return Settings(join_by=await at.office.directory_tokens.rule(org.id))


@router.put("", operation_id="putDirectory", responses=errors(400, 404, 413, 415))
async def put(at: At, slug: Slug, new: Settings) -> Settings:
    """Change it, for those who have not signed in yet."""
    org = await at.office.organisations.get(slug)
    before = await at.office.directory_tokens.rule(org.id)
    await at.office.directory_tokens.set_rule(org.id, new.join_by)
    await at.changed(
        names.ORG_UPDATED,
        target=f"org {slug}",
        before={"join_by": before},
        after={"join_by": new.join_by},
    )
    return new


@router.post(
    "/tokens", operation_id="createDirectoryToken", status_code=201, responses=errors(400, 404, 409, 413, 415)
)
async def create(at: At, slug: Slug, new: NewDirectoryToken) -> MadeDirectoryToken:
    """Make a token for the organisation's directory, which may have two. It is shown once."""
    org = await at.office.organisations.get(slug)
    token, text = await at.office.directory_tokens.make(org.id, new.name, new.expires_in, at.now)
    await at.changed(
        names.DIRECTORY_TOKEN_CREATED, target=f"directory_token {token.id}", after=_kept(slug, token)
    )
    return MadeDirectoryToken(**_shown(token).model_dump(), token=text.reveal())


@router.get("/tokens", operation_id="listDirectoryTokens", responses=errors(404))
async def list_all(at: At, slug: Slug) -> DirectoryTokens:
    """The organisation's tokens, without themselves."""
    org = await at.office.organisations.get(slug)
    return DirectoryTokens(items=[_shown(one) for one in await at.office.directory_tokens.list(org.id)])


@router.delete("/tokens/{id}", operation_id="revokeDirectoryToken", status_code=204, responses=errors(404))
async def revoke(at: At, slug: Slug, id: Id) -> Response:  # noqa: A002 - the name in the path
    """End a token at once."""
    org = await at.office.organisations.get(slug)
    gone = await at.office.directory_tokens.revoke(org.id, id)
    await at.changed(names.DIRECTORY_TOKEN_REVOKED, target=f"directory_token {id}", before=_kept(slug, gone))
    return Response(status_code=204)


def _kept(slug: str, token: DirectoryToken) -> dict[str, Any]:
    """What the trail says of a token."""
    return {"org": slug, "name": token.name, "expires_at": moment_or_none(token.expires_at)}


def _shown(token: DirectoryToken) -> DirectoryTokenShown:
    return DirectoryTokenShown(
        id=token.id,
        name=token.name,
        created_at=moment(token.created_at),
        expires_at=moment_or_none(token.expires_at),
        seen_at=moment_or_none(token.seen_at),
    )
