"""`/orgs/SLUG/members` and `/orgs/SLUG/groups`: who is in an organisation, and in which of its groups."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from vestibule.core import event as names
from vestibule.core import organisation
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.office import ApiCall, At
from vestibule.web.api.orgs import Affiliation, Affiliations, Name
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Id, Line, Model, Slug, example, moment

router = APIRouter(prefix="/orgs/{slug}", tags=["organisations"])
of_users = APIRouter(prefix="/users", tags=["users"])

Role = Annotated[Line, Field(min_length=1, max_length=organisation.NAME_MAX)]


class Membership(Model):
    """What a member may be."""

    model_config = example({"roles": ["admin"]})

    roles: Annotated[list[Role], Field(max_length=20)] | None = None
    """For rules, as `role:SLUG/NAME`. null: as they are."""


class Member(Model):
    """A person of an organisation."""

    model_config = example(
        {
            "user_id": "9nUtJjTbUu5pxGhRkhwUSw",
            "roles": ["admin"],
            "source": "gateway",
            "created_at": "2026-11-22T05:14:00Z",
        }
    )

    user_id: str
    roles: list[str]
    source: Literal["gateway", "provider", "scim"]
    """Who made them a member first."""
    created_at: datetime


class NewGroup(Model):
    """A group to be."""

    model_config = example({"name": "admins"})

    name: Name
    """Rules name it `group:SLUG/NAME`; it can't be changed."""


class Group(Model):
    """A group that the organisation keeps here."""

    model_config = example(
        {"id": "9nUtJjTbUu5pxGhRkhwUSw", "name": "admins", "created_at": "2026-11-22T05:14:00Z"}
    )

    id: str
    name: str
    created_at: datetime


@router.get("/members", operation_id="listOrgMembers", responses=errors(404))
async def list_members(at: At, slug: Slug, asked: Annotated[Paging, Query()]) -> Listing[Member]:
    """The members, the oldest first."""
    org = await at.office.organisations.get(slug)
    name = f"members of {org.id}"
    found = await at.office.organisations.members(org, page_of(at.office.ring, name, asked))
    return _members(at, name, asked, found)


@router.put("/members/{id}", operation_id="putOrgMember", responses=errors(400, 404, 413, 415))
async def put_member(at: At, slug: Slug, id: Id, wanted: Membership) -> Member:  # noqa: A002 - the name in the path
    """Make a user a member, or give a member other roles. It holds at their next request."""
    org = await at.office.organisations.get(slug)
    if at.actor.org:  # of others' people its administrator knows nothing
        await at.office.organisations.member(org, id)
    await at.office.people.user(id)
    found = await at.office.organisations.put_member(org, id, wanted.roles, at.now)
    await at.changed(
        names.ORG_MEMBER_CHANGED, target=f"org {slug}", user_id=id, detail={"roles": list(found.roles)}
    )
    return _member(found)


@router.get("/members/{id}", operation_id="getOrgMember", responses=errors(404))
async def get_member(at: At, slug: Slug, id: Id) -> Member:  # noqa: A002 - the name in the path
    """A member."""
    org = await at.office.organisations.get(slug)
    return _member(await at.office.organisations.member(org, id))


@router.delete("/members/{id}", operation_id="removeOrgMember", status_code=204, responses=errors(404))
async def remove_member(at: At, slug: Slug, id: Id) -> Response:  # noqa: A002 - the name in the path
    """Take somebody out of the organisation and its groups. It holds at their next request.

    Who signs in again by its own provider is a member again, and who is active in its directory stays one.
    """
    org = await at.office.organisations.get(slug)
    await at.office.organisations.drop_member(org, id)
    await at.changed(names.ORG_MEMBER_REMOVED, target=f"org {slug}", user_id=id)
    return Response(status_code=204)


# -- groups -----------------------------------------------------------------------------------


@router.post(
    "/groups", operation_id="createOrgGroup", status_code=201, responses=errors(400, 404, 409, 413, 415)
)
async def create_group(at: At, slug: Slug, new: NewGroup) -> Group:
    """Make a group."""
    org = await at.office.organisations.get(slug)
    made = await at.office.organisations.create_group(org, new.name, at.now)
    await at.changed(names.ORG_GROUP_CREATED, target=f"org {slug}", detail={"group": made.name})
    return _group(made)


@router.get("/groups", operation_id="listOrgGroups", responses=errors(404))
async def list_groups(at: At, slug: Slug, asked: Annotated[Paging, Query()]) -> Listing[Group]:
    """The groups that the organisation keeps here, the oldest first."""
    org = await at.office.organisations.get(slug)
    name = f"groups of {org.id}"
    found = await at.office.organisations.groups(org, page_of(at.office.ring, name, asked))
    return listing(
        at.office.ring, name, asked, found, place=lambda one: (one.created_at, one.id), shown=_group
    )


@router.delete("/groups/{id}", operation_id="deleteOrgGroup", status_code=204, responses=errors(404))
async def delete_group(at: At, slug: Slug, id: Id) -> Response:  # noqa: A002 - the name in the path
    """Delete a group. Who was in it has lost it at their next request."""
    org = await at.office.organisations.get(slug)
    group = await at.office.organisations.group(org, id)
    await at.office.organisations.delete_group(org, id)
    await at.changed(names.ORG_GROUP_DELETED, target=f"org {slug}", detail={"group": group.name})
    return Response(status_code=204)


@router.get("/groups/{id}/members", operation_id="listOrgGroupMembers", responses=errors(404))
async def list_group(
    at: At,
    slug: Slug,
    id: Id,  # noqa: A002 - the name in the path
    asked: Annotated[Paging, Query()],
) -> Listing[Member]:
    """Who is in a group."""
    org = await at.office.organisations.get(slug)
    name = f"members of group {id}"
    found = await at.office.organisations.in_group(org, id, page_of(at.office.ring, name, asked))
    return _members(at, name, asked, found)


@router.put(
    "/groups/{id}/members/{user_id}", operation_id="putOrgGroupMember", status_code=204, responses=errors(404)
)
async def add_to_group(at: At, slug: Slug, id: Id, user_id: Id) -> Response:  # noqa: A002 - the name in the path
    """Put a member of the organisation into its group. It holds at their next request."""
    org = await at.office.organisations.get(slug)
    group = await at.office.organisations.group(org, id)
    if await at.office.organisations.add_to_group(org, id, user_id):
        await at.changed(
            names.ORG_GROUP_JOINED, target=f"org {slug}", user_id=user_id, detail={"group": group.name}
        )
    return Response(status_code=204)


@router.delete(
    "/groups/{id}/members/{user_id}",
    operation_id="removeOrgGroupMember",
    status_code=204,
    responses=errors(404),
)
async def drop_from_group(at: At, slug: Slug, id: Id, user_id: Id) -> Response:  # noqa: A002 - the name in the path
    """Take somebody out of a group. It holds at their next request."""
    org = await at.office.organisations.get(slug)
    group = await at.office.organisations.group(org, id)
    await at.office.organisations.drop_from_group(org, id, user_id)
    await at.changed(
        names.ORG_GROUP_LEFT, target=f"org {slug}", user_id=user_id, detail={"group": group.name}
    )
    return Response(status_code=204)


# -- of one person ----------------------------------------------------------------------------


@of_users.get("/{id}/affiliations", operation_id="listUserAffiliations", responses=errors(404))
async def affiliations(at: At, id: Id) -> Affiliations:  # noqa: A002 - the name in the path
    """What the gateway itself says a user is in, and where each comes from; their providers say more."""
    await at.office.people.user(id)
    found = await at.office.organisations.affiliations_of(id)
    return Affiliations(items=[Affiliation(kind=one.kind, name=one.told, source=one.source) for one in found])


def _members(
    at: ApiCall, name: str, asked: Paging, found: tuple[organisation.Member, ...]
) -> Listing[Member]:
    return listing(
        at.office.ring, name, asked, found, place=lambda one: (one.created_at, one.user_id), shown=_member
    )


def _member(one: organisation.Member) -> Member:
    return Member(
        user_id=one.user_id, roles=list(one.roles), source=one.source, created_at=moment(one.created_at)
    )


def _group(one: organisation.Group) -> Group:
    return Group(id=one.id, name=one.name, created_at=moment(one.created_at))
