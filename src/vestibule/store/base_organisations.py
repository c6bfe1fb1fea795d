"""The Protocol of organisations and who belongs to them (`store.base` has the others)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vestibule.core.organisation import Affiliation, Domain, Group, Member, Organisation, Source
from vestibule.store.base import Page


class Affiliations(Protocol):
    """Says what people are affiliated with: organisations as they are kept here, or a directory."""

    async def affiliations_of(self, user_id: str) -> tuple[Affiliation, ...]:
        """All of this user's, in no order; empty for who has none. Raises StoreError."""


class Organisations(Affiliations, Protocol):
    """Organisations, their domains, members and groups: records, in SQL."""

    async def any(self) -> bool:
        """Whether there is one at all; cheap."""

    async def create(self, org: Organisation) -> bool:
        """Insert it; False when its slug is taken. Durable on return."""

    async def get(self, org_id: str) -> Organisation | None:
        """The organisation, or None."""

    async def by_slug(self, slug: str) -> Organisation | None:
        """The organisation of this slug, or None."""

    async def list(self, page: Page) -> tuple[Organisation, ...]:
        """One page of them."""

    async def of_user(self, user_id: str) -> tuple[Organisation, ...]:
        """Those the user is a member of, by slug."""

    async def save(self, org: Organisation, expect_version: int) -> bool:
        """Replace name and `updated_at` if its version is the expected one, which then grows by one."""

    async def delete(self, org_id: str) -> bool:
        """Delete it with domains, members and groups; False when there is none. Durable on return.

        Does NOT delete its identity providers: they must have gone before.
        """

    # -- domains ------------------------------------------------------------------------------

    async def add_domain(self, domain: Domain) -> bool:
        """Insert it; False when the organisation has it already, or when it is verified and another's."""

    async def domains(self, org_id: str) -> tuple[Domain, ...]:
        """All of an organisation's, in order of their names."""

    async def owner_of(self, domain: str) -> Organisation | None:
        """The organisation that has proven this domain its own, or None."""

    async def verify(self, org_id: str, domain: str, by: str, now: float) -> bool:
        """It is the organisation's; False when there is no such domain, or it is another's. Durable on return."""

    async def drop_domain(self, org_id: str, domain: str) -> bool:
        """Delete it; False when there is no such domain. Durable on return."""

    # -- members ------------------------------------------------------------------------------

    async def join(self, member: Member) -> bool:
        """Insert the user as a member; False when they are one already, as which they stay. Durable on return.

        Raises StoreError where there is no such user or organisation.
        """

    async def member(self, org_id: str, user_id: str) -> Member | None:
        """The member, or None."""

    async def members(self, org_id: str, page: Page) -> tuple[Member, ...]:
        """One page of them; their place in the order is (created_at, user_id)."""

    async def set_roles(self, org_id: str, user_id: str, roles: Sequence[str]) -> bool:
        """Replace a member's roles; False when they are none. Durable on return."""

    async def leave(self, org_id: str, user_id: str) -> bool:
        """Delete the member, and from the organisation's groups; False when they are none. Durable on return."""

    # -- groups -------------------------------------------------------------------------------

    async def create_group(self, group: Group) -> bool:
        """Insert it; False when the organisation has one of this name. Durable on return."""

    async def group(self, org_id: str, group_id: str) -> Group | None:
        """The organisation's group, or None."""

    async def groups(self, org_id: str, page: Page) -> tuple[Group, ...]:
        """One page of them."""

    async def delete_group(self, org_id: str, group_id: str) -> tuple[str, ...] | None:
        """Delete it; who was in it, by their ids, or None when there is no such group. Durable on return."""

    async def in_group(self, group_id: str, page: Page) -> tuple[Member, ...]:
        """One page of those who are in it; their place in the order is that of `members`."""

    async def add_to_group(self, org_id: str, group_id: str, user_id: str) -> bool:
        """Put a member of the organisation in its group; False when they are in it. Durable on return.

        Raises StoreError where it has no such group or member.
        """

    async def drop_from_group(self, org_id: str, group_id: str, user_id: str) -> bool:
        """Take them out; False when they are not in it. Durable on return."""


__all__ = ("Affiliations", "Organisations", "Source")
