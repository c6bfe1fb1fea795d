"""`/users`: the people of this installation. They come by signing in; here they are looked at, blocked, deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from vestibule import model
from vestibule.core import event as names
from vestibule.errors import NotFound
from vestibule.model import User
from vestibule.service.app_tokens import told_of
from vestibule.web.api import identities
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.identities import Identity
from vestibule.web.api.office import ApiCall, At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Filter, Id, Line, Model, example, moment, moment_or_none

router = APIRouter(prefix="/users", tags=["users"])

_ALICE = {
    "id": "9nUtJjTbUu5pxGhRkhwUSw",
    "name": "Alice Example",
    "login": "alice",
    "email": "alice@example.com",
    "disabled": False,
    "profile": {"company": "Example"},
    "created_at": "2026-11-22T05:14:00Z",
    "seen_at": "2026-11-22T05:14:00Z",
}


_PROFILE = Field(max_length=50, json_schema_extra={"additionalProperties": False})


class Person(Model):
    """A user."""

    model_config = example(_ALICE)

    id: str
    """`User-Id` to backends."""
    name: str
    login: str
    email: str
    """The verified address as last told; empty: none."""
    disabled: bool
    """True: blocked."""
    profile: dict[str, str]
    """What the person filled in at registration, or was given here."""
    created_at: datetime
    seen_at: datetime | None


class WholePerson(Person):
    """A user with all identities."""

    model_config = example({**_ALICE, "identities": []})

    identities: list[Identity]


class AppToken(Model):
    """A token that a user made for their programs: not the token itself."""

    model_config = example(
        {
            "id": "9nUtJjTbUu5pxGhRkhwUSw",
            "name": "laptop",
            "host": "git.example.com",
            "paths": ["/alice/repo"],
            "methods": [],
            "created_at": "2026-11-22T05:14:00Z",
            "expires_at": "2027-02-20T05:14:00Z",
            "seen_at": None,
        }
    )

    id: str
    name: str
    host: str
    paths: list[str]
    """It is good at these and below them; empty: on the whole host."""
    methods: list[str]
    """Empty: all."""
    created_at: datetime
    expires_at: datetime
    seen_at: datetime | None
    """When it was last used, to the minute; null: never."""


class Asked(Paging):
    """Which users are wanted; all filters apply."""

    email: Filter = ""
    """This address is theirs, or an identity's of theirs; upper and lower case alike."""
    text: Filter = ""
    """This stands somewhere in name, login or address."""
    disabled: bool | None = None
    """Blocked ones only, or the others only."""


class Changes(Model):
    """What to change; what is left out stays."""

    model_config = example({"name": "Alice B. Example", "profile": {"company": "Example", "team": None}})

    name: Line | None = None
    """Shown to backends from then on, whatever the provider says; empty or null: the provider's, again."""
    login: Line | None = None
    """As `name`."""
    profile: Annotated[dict[Line, Line | None], _PROFILE] | None = None
    """Members to set, and with null to remove; null: all of them are removed."""
    disabled: Annotated[bool, Field(strict=True)] = False
    """True blocks the user and ends all their sessions and app tokens at once."""


@router.get("", operation_id="listUsers", responses=errors())
async def list_page(at: At, asked: Annotated[Asked, Query()]) -> Listing[Person]:
    """The users, the oldest first."""
    page = page_of(at.office.ring, "users", asked)
    found = await at.office.people.users(page, email=asked.email, text=asked.text, disabled=asked.disabled)
    return listing(
        at.office.ring,
        "users",
        asked,
        found,
        place=lambda user: (user.created_at, user.id),
        shown=lambda user: Person(**_shown(user)),
    )


@router.get("/{id}", operation_id="getUser", responses=errors(404))
async def get(at: At, id: Id) -> WholePerson:  # noqa: A002 - the name in the path
    """A user with all identities."""
    return await _whole(at, await at.office.people.user(id))


@router.patch("/{id}", operation_id="updateUser", responses=errors(400, 404, 413, 415))
async def update(at: At, id: Id, changes: Changes) -> WholePerson:  # noqa: A002 - the name in the path
    """Change a user: a JSON Merge Patch (RFC 7396)."""
    people, given = at.office.people, changes.model_fields_set
    user = await people.user(id)
    if given & {"name", "login", "profile"}:
        before, user = await people.update(
            id,
            name=(changes.name or "") if "name" in given else None,
            login=(changes.login or "") if "login" in given else None,
            profile=_merged(user.profile, changes.profile) if "profile" in given else None,
        )
        await at.changed(names.USER_UPDATED, user_id=id, before=_kept(before), after=_kept(user))
    if "disabled" in given and user.disabled != changes.disabled:
        user = await _set_disabled(at, id, to=changes.disabled)
    return await _whole(at, user)


@router.delete("/{id}", operation_id="deleteUser", status_code=204, responses=errors(404))
async def delete(at: At, id: Id) -> Response:  # noqa: A002 - the name in the path
    """Delete a user with all identities, credentials, app tokens and sessions."""
    user = await at.office.people.user(id)
    await at.office.people.delete(id, at.now)
    await at.changed(names.USER_DELETED, user_id=id, before=_kept(user))
    return Response(status_code=204)


@router.post("/{id}/block", operation_id="blockUser", responses=errors(404))
async def block(at: At, id: Id) -> Person:  # noqa: A002 - the name in the path
    """Block a user; all their sessions and app tokens end at once."""
    return Person(**_shown(await _set_disabled(at, id, to=True)))


@router.post("/{id}/unblock", operation_id="unblockUser", responses=errors(404))
async def unblock(at: At, id: Id) -> Person:  # noqa: A002 - the name in the path
    """Let a user in again."""
    return Person(**_shown(await _set_disabled(at, id, to=False)))


@router.get("/{id}/identities", operation_id="listUserIdentities", responses=errors(404))
async def list_identities(at: At, id: Id) -> Listing[Identity]:  # noqa: A002 - the name in the path
    """A user's identities, the oldest first, in one page."""
    await at.office.people.user(id)
    return Listing(items=await _identities(at, id), next=None)


@router.delete(
    "/{id}/identities/{identity}",
    operation_id="deleteUserIdentity",
    status_code=204,
    responses=errors(404, 409),
)
async def delete_identity(at: At, id: Id, identity: Id) -> Response:  # noqa: A002 - the name in the path
    """Take an identity from a user, but not the last one."""
    people = at.office.people
    for account in await people.accounts_of(id):
        if identities.id_of(account) == identity:
            await people.unlink(id, account.issuer, account.subject)
            gone = {
                name: getattr(account, name) for name in ("issuer", "subject", "client", "login", "email")
            }
            await at.changed(names.IDENTITY_REMOVED, target=f"identity {identity}", user_id=id, before=gone)
            return Response(status_code=204)
    raise NotFound("This user has no such identity.")


@router.get("/{id}/tokens", operation_id="listUserTokens", responses=errors(404))
async def list_tokens(at: At, id: Id) -> Listing[AppToken]:  # noqa: A002 - the name in the path
    """A user's app tokens, the oldest first, those that have expired in the last 30 days too, in one page."""
    await at.office.people.user(id)
    return Listing(items=[token_of(token) for token in await at.office.app_tokens.of_user(id)], next=None)


@router.delete("/{id}/tokens/{token}", operation_id="revokeUserToken", status_code=204, responses=errors(404))
async def revoke_token(at: At, id: Id, token: Id) -> Response:  # noqa: A002 - the name in the path
    """End an app token of a user at once."""
    gone = next((one for one in await at.office.app_tokens.of_user(id) if one.id == token), None)
    await at.office.app_tokens.revoke(id, token)
    told = None if gone is None else told_of(gone)
    await at.changed(names.APP_TOKEN_REVOKED, target=f"app token {token}", user_id=id, before=told)
    return Response(status_code=204)


async def _set_disabled(at: ApiCall, user_id: str, *, to: bool) -> User:
    before, user = await at.office.people.set_disabled(user_id, to, at.now)
    await at.changed(
        names.USER_BLOCKED if to else names.USER_UNBLOCKED,
        user_id=user_id,
        before={"disabled": before.disabled},
        after={"disabled": user.disabled},
    )
    return user


def _kept(user: User) -> dict[str, Any]:
    """What the trail says of a person."""
    return {name: getattr(user, name) for name in ("name", "login", "email", "profile", "disabled")}


def _merged(profile: dict[str, str], patch: dict[str, str | None] | None) -> dict[str, str]:
    if patch is None:
        return {}
    kept = {name: value for name, value in profile.items() if name not in patch}
    return {**kept, **{name: value for name, value in patch.items() if value is not None}}


async def _identities(at: ApiCall, user_id: str) -> list[Identity]:
    return [identities.shown(account) for account in await at.office.people.accounts_of(user_id)]


async def _whole(at: ApiCall, user: User) -> WholePerson:
    return WholePerson(**_shown(user), identities=await _identities(at, user.id))


def token_of(token: model.AppToken) -> AppToken:
    """The token as it is told, without itself."""
    return AppToken(
        id=token.id,
        name=token.name,
        host=token.host,
        paths=list(token.prefixes),
        methods=list(token.methods),
        created_at=moment(token.created_at),
        expires_at=moment(token.expires_at),
        seen_at=moment_or_none(token.seen_at),
    )


def _shown(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "login": user.login,
        "email": user.email,
        "disabled": user.disabled,
        "profile": user.profile,
        "created_at": moment(user.created_at),
        "seen_at": moment_or_none(user.seen_at),
    }
