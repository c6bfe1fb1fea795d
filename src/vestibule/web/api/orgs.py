"""`/orgs`: organisations and their domains. Operators have them all; an organisation's administrator, their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints
from starlette.responses import Response

from vestibule.core import event as names
from vestibule.core import organisation
from vestibule.errors import ClientError, Conflict
from vestibule.service.organisations import RECORD, text_of
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.etag import ETAG, IfMatch, etag_of, version_of
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import (
    DOMAIN,
    SLUG,
    DomainName,
    Line,
    Model,
    Slug,
    example,
    moment,
    moment_or_none,
)

router = APIRouter(prefix="/orgs", tags=["organisations"])

Name = Annotated[Line, Field(min_length=1, max_length=organisation.NAME_MAX)]

_ACME = {
    "slug": "acme",
    "name": "Acme Ltd",
    "version": 0,
    "created_at": "2026-11-22T05:14:00Z",
    "updated_at": "2026-11-22T05:14:00Z",
}


class NewOrg(Model):
    """An organisation to be."""

    model_config = example({"slug": "acme", "name": "Acme Ltd"})

    slug: Annotated[str, StringConstraints(pattern=SLUG)]
    """What rules, headers and paths call it: a-z, 0-9 and `-` inside, at most 40 characters. It can't be changed."""
    name: Name
    """For people."""


class OrgChanges(Model):
    """What to change."""

    model_config = example({"name": "Acme Group"})

    name: Name


class Org(Model):
    """An organisation."""

    model_config = example(_ACME)

    slug: str
    name: str
    version: int
    """For `If-Match`, as the ETag is."""
    created_at: datetime
    updated_at: datetime


class NewDomain(Model):
    """A domain that the organisation says is its own."""

    model_config = example({"domain": "acme.example"})

    domain: Annotated[str, StringConstraints(pattern=DOMAIN, max_length=253)]
    """In lower case, as the DNS has it: without subdomains, each of which is a domain of its own."""


class Domain(Model):
    """A domain of e-mail addresses."""

    domain: str
    verified_at: datetime | None
    """null: nothing counts by it yet."""
    verified_by: Literal["dns", "operator", ""]
    record: str
    """Where the DNS must say so: the name of a TXT record."""
    text: str
    """What it must say."""


class Domains(Model):
    """All domains of an organisation."""

    items: list[Domain]


class Affiliation(Model):
    """One thing that a person is in."""

    kind: Literal["org", "group", "role"]
    name: str
    """As rules, headers and assertions have it: `acme/admins`."""
    source: Literal["gateway", "provider", "scim"]
    """Who says so."""


class Affiliations(Model):
    """All that the gateway itself says of a person, beside what their providers say."""

    items: list[Affiliation]


@router.post("", operation_id="createOrg", status_code=201, responses=errors(400, 409, 413, 415))
async def create(at: At, new: NewOrg, response: Response) -> Org:
    """Make an organisation."""
    made = await at.office.organisations.create(new.slug, new.name, at.now)
    await at.changed(names.ORG_CREATED, target=f"org {made.slug}", after=_told(made))
    response.headers["etag"] = etag_of(made.version)
    return _shown(made)


@router.get("", operation_id="listOrgs", responses=errors())
async def list_page(at: At, asked: Annotated[Paging, Query()]) -> Listing[Org]:
    """The organisations, the oldest first."""
    page = page_of(at.office.ring, "orgs", asked)
    found = await at.office.organisations.list(page)
    return listing(
        at.office.ring, "orgs", asked, found, place=lambda org: (org.created_at, org.id), shown=_shown
    )


@router.get("/{slug}", operation_id="getOrg", responses={**errors(404), 200: {"headers": ETAG}})
async def get(at: At, slug: Slug, response: Response) -> Org:
    """An organisation."""
    org = await at.office.organisations.get(slug)
    response.headers["etag"] = etag_of(org.version)
    return _shown(org)


@router.patch(
    "/{slug}",
    operation_id="updateOrg",
    responses={**errors(400, 404, 409, 412, 413, 415), 200: {"headers": ETAG}},
)
async def update(at: At, slug: Slug, changes: OrgChanges, response: Response, if_match: IfMatch = "") -> Org:
    """Change its name."""
    before = await at.office.organisations.get(slug)
    with _matching(if_match):
        org = await at.office.organisations.rename(slug, changes.name, at.now, version=version_of(if_match))
    await at.changed(names.ORG_UPDATED, target=f"org {slug}", before=_told(before), after=_told(org))
    response.headers["etag"] = etag_of(org.version)
    return _shown(org)


@router.delete("/{slug}", operation_id="deleteOrg", status_code=204, responses=errors(404, 409, 412))
async def delete(at: At, slug: Slug, if_match: IfMatch = "") -> Response:
    """Delete it with its domains, members and groups. Its people stay; they are its members no more."""
    with _matching(if_match):
        gone = await at.office.organisations.delete(slug, version=version_of(if_match))
    await at.changed(names.ORG_DELETED, target=f"org {slug}", before=_told(gone))
    return Response(status_code=204)


# -- domains ----------------------------------------------------------------------------------


@router.post(
    "/{slug}/domains",
    operation_id="addOrgDomain",
    status_code=201,
    responses=errors(400, 404, 409, 413, 415),
)
async def add_domain(at: At, slug: Slug, new: NewDomain) -> Domain:
    """Add a domain. It counts once it is verified: by its DNS, which must have the text, or by an operator."""
    org = await at.office.organisations.get(slug)
    made = await at.office.organisations.add_domain(org, new.domain, at.now)
    await at.changed(names.ORG_DOMAIN_ADDED, target=f"org {slug}", detail={"domain": made.domain})
    return _domain(made)


@router.get("/{slug}/domains", operation_id="listOrgDomains", responses=errors(404))
async def list_domains(at: At, slug: Slug) -> Domains:
    """All domains of an organisation."""
    org = await at.office.organisations.get(slug)
    return Domains(items=[_domain(one) for one in await at.office.organisations.domains(org)])


@router.post("/{slug}/domains/{domain}/verify", operation_id="verifyOrgDomain", responses=errors(404, 409))
async def verify_domain(at: At, slug: Slug, domain: DomainName) -> Domain:
    """Ask the DNS whether the domain is the organisation's."""
    org = await at.office.organisations.get(slug)
    found = await at.office.organisations.prove_domain(org, domain, at.now)
    await at.changed(
        names.ORG_DOMAIN_VERIFIED, target=f"org {slug}", detail={"domain": domain, "by": found.verified_by}
    )
    return _domain(found)


@router.post("/{slug}/domains/{domain}/confirm", operation_id="confirmOrgDomain", responses=errors(404, 409))
async def confirm_domain(at: At, slug: Slug, domain: DomainName) -> Domain:
    """Say, as an operator, that the domain is the organisation's; nobody is asked."""
    org = await at.office.organisations.get(slug)
    found = await at.office.organisations.vouch_for_domain(org, domain, at.now)
    await at.changed(
        names.ORG_DOMAIN_VERIFIED, target=f"org {slug}", detail={"domain": domain, "by": found.verified_by}
    )
    return _domain(found)


@router.delete(
    "/{slug}/domains/{domain}", operation_id="removeOrgDomain", status_code=204, responses=errors(404)
)
async def remove_domain(at: At, slug: Slug, domain: DomainName) -> Response:
    """Take a domain from an organisation."""
    org = await at.office.organisations.get(slug)
    await at.office.organisations.drop_domain(org, domain)
    await at.changed(names.ORG_DOMAIN_REMOVED, target=f"org {slug}", detail={"domain": domain})
    return Response(status_code=204)


@contextmanager
def _matching(if_match: str) -> Iterator[None]:
    """Around a change: one that comes too late for `If-Match` is 412. Spec: RFC 9110 section 15.5.13."""
    try:
        yield
    except Conflict as error:
        if error.code == "changed" and version_of(if_match) is not None:
            raise ClientError(error.message, code="changed", status=412) from None
        raise


def _told(org: organisation.Organisation) -> dict[str, Any]:
    """What the trail says of an organisation."""
    return {"slug": org.slug, "name": org.name}


def _shown(org: organisation.Organisation) -> Org:
    return Org(
        slug=org.slug,
        name=org.name,
        version=org.version,
        created_at=moment(org.created_at),
        updated_at=moment(org.updated_at),
    )


def _domain(one: organisation.Domain) -> Domain:
    by: Literal["dns", "operator", ""] = "dns" if one.verified_by == "dns" else "operator"
    return Domain(
        domain=one.domain,
        verified_at=moment_or_none(one.verified_at),
        verified_by=by if one.verified_at is not None else "",
        record=f"{RECORD}.{one.domain}",
        text=text_of(one),
    )
