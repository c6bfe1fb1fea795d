"""`/orgs/SLUG/identity-providers`: an organisation's own, which speak of that organisation alone."""

from __future__ import annotations

from urllib.parse import unquote

from fastapi import APIRouter, Response

from vestibule.core import event as names
from vestibule.web.api.etag import ETAG, IfMatch, version_of
from vestibule.web.api.identity_providers import (
    IdentityProvider,
    IdentityProviders,
    Patch,
    ProviderId,
    Written,
    changed_by,
    met,
    shown,
)
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Slug

router = APIRouter(prefix="/orgs/{slug}/identity-providers", tags=["organisations"])


@router.post(
    "",
    operation_id="createOrgProvider",
    status_code=201,
    responses={**errors(400, 404, 409, 413, 415), 201: {"headers": ETAG}},
)
async def create(at: At, slug: Slug, written: Written, response: Response) -> IdentityProvider:
    """Add a provider of the organisation; its `id` begins with the slug and a dot."""
    org = await at.office.organisations.get(slug)
    made = await at.office.org_providers.create(org, written)
    await changed_by(at, names.PROVIDER_CREATED, None, made, written)
    return shown(made, response)


@router.get("", operation_id="listOrgProviders", responses=errors(404))
async def list_all(at: At, slug: Slug) -> IdentityProviders:
    """All providers of the organisation."""
    org = await at.office.organisations.get(slug)
    return IdentityProviders(items=[shown(one) for one in await at.office.org_providers.of(org)])


@router.get("/{id}", operation_id="getOrgProvider", responses={**errors(404), 200: {"headers": ETAG}})
async def get(
    at: At,
    slug: Slug,
    id: ProviderId,  # noqa: A002 - the name in the path
    response: Response,
) -> IdentityProvider:
    """A provider of the organisation."""
    org = await at.office.organisations.get(slug)
    return shown(await at.office.org_providers.get(org, unquote(id)), response)


@router.patch(
    "/{id}",
    operation_id="updateOrgProvider",
    responses={**errors(400, 404, 409, 412, 413, 415), 200: {"headers": ETAG}},
)
async def update(  # noqa: PLR0917 - parts of one request
    at: At,
    slug: Slug,
    id: ProviderId,  # noqa: A002 - the name in the path
    patch: Patch,
    response: Response,
    if_match: IfMatch = "",
) -> IdentityProvider:
    """Change a provider: a JSON Merge Patch (RFC 7396). Secrets that it doesn't name stay."""
    org = await at.office.organisations.get(slug)
    before = await at.office.org_providers.get(org, unquote(id))
    with met(if_match):
        changed = await at.office.org_providers.patch(org, before.id, patch, version=version_of(if_match))
    await changed_by(at, names.PROVIDER_UPDATED, before, changed, patch)
    return shown(changed, response)


@router.delete("/{id}", operation_id="deleteOrgProvider", status_code=204, responses=errors(404, 409, 412))
async def delete(
    at: At,
    slug: Slug,
    id: ProviderId,  # noqa: A002 - the name in the path
    if_match: IfMatch = "",
) -> Response:
    """Delete a provider; nobody gets in by it any more."""
    org = await at.office.organisations.get(slug)
    before = await at.office.org_providers.get(org, unquote(id))
    with met(if_match):
        await at.office.org_providers.delete(org, before.id, version=version_of(if_match))
    await changed_by(at, names.PROVIDER_DELETED, before, None)
    return Response(status_code=204)
