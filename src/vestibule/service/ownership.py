"""Whose a provider of the database is: what an organisation's may be, and what the operator's own can't be called."""

from __future__ import annotations

from msgspec.structs import replace

from vestibule.config.row import Row, section_of
from vestibule.core.organisation import is_providers_id
from vestibule.errors import Conflict, Invalid
from vestibule.service.confined import Facts, believed_within
from vestibule.store.base_organisations import Organisations


def theirs(row: Row, facts: Facts | None) -> Row:
    """The row, believed as an organisation's provider is; `facts`: of the organisation. Raises Invalid.

    Threat: a path of some app, of which an organisation makes the place where its people come back.
    """
    if facts is None:
        raise Invalid((("", "its organisation is gone"),))
    org, domains = facts
    faults = []
    if not is_providers_id(org.slug, row.id):
        faults.append(("id", f'begins with "{org.slug}."'))
    if getattr(row.config, "redirect_url", ""):
        faults.append((f"{section_of(row.kind)}.redirect_url", "is for the operator's own: leave it out"))
    if faults:
        raise Invalid(tuple(faults))
    return replace(row, config=believed_within(row.config, domains))


async def check_whose(row: Row, org_id: str, store: Organisations | None) -> None:
    """Raise Invalid for what no organisation's may be, Conflict `taken` where an operator's is called as one is.

    Threat: a provider called as an organisation, by which rules that name the organisation mean the provider.
    """
    if store is None:
        return
    if org_id:
        org = await store.get(org_id)
        theirs(row, None if org is None else (org, ()))
    elif await store.by_slug(row.id.casefold()) is not None:
        raise Conflict(f"{row.id} is an organisation: give this provider another ID.", code="taken")
