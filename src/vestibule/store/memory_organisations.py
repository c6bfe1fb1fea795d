"""Organisations in memory, for tests and the demo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from vestibule.core.organisation import Affiliation, Domain, Group, Member, Organisation
from vestibule.errors import StoreError
from vestibule.store.base import Page

if TYPE_CHECKING:
    from vestibule.store.memory_records import People


class Organisations:
    """`store.base_organisations.Organisations`."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._orgs: dict[str, Organisation] = {}
        self._domains: dict[tuple[str, str], Domain] = {}
        self._all_members: dict[tuple[str, str], Member] = {}
        self._groups: dict[str, Group] = {}
        self._inside: set[tuple[str, str]] = set()
        """(group, user)."""

    @property
    def _members(self) -> dict[tuple[str, str], Member]:
        """Those whose user is still there."""
        gone = [place for place in self._all_members if place[1] not in self._people.kept]
        for place in gone:
            self._forget(place)
        return self._all_members

    async def any(self) -> bool:
        """Look."""
        return bool(self._orgs)

    async def create(self, org: Organisation) -> bool:
        """Keep it, unless its slug is taken."""
        if org.id in self._orgs or await self.by_slug(org.slug) is not None:
            return False
        self._orgs[org.id] = org
        return True

    async def get(self, org_id: str) -> Organisation | None:
        """Look it up."""
        return self._orgs.get(org_id)

    async def by_slug(self, slug: str) -> Organisation | None:
        """Look at each."""
        return next((org for org in self._orgs.values() if org.slug == slug), None)

    async def list(self, page: Page) -> tuple[Organisation, ...]:
        """Sort them."""
        by_age = sorted(self._orgs.values(), key=lambda org: (org.created_at, org.id))
        rest = [org for org in by_age if page.after is None or (org.created_at, org.id) > page.after]
        return tuple(rest[: page.limit])

    async def of_user(self, user_id: str) -> tuple[Organisation, ...]:
        """Look at each membership."""
        theirs = (self._orgs[org_id] for org_id, member in self._members if member == user_id)
        return tuple(sorted(theirs, key=lambda org: org.slug))

    async def save(self, org: Organisation, expect_version: int) -> bool:
        """Replace it, if the version is the expected one."""
        known = self._orgs.get(org.id)
        if known is None or known.version != expect_version:
            return False
        self._orgs[org.id] = replace(
            known, name=org.name, updated_at=org.updated_at, version=expect_version + 1
        )
        return True

    async def delete(self, org_id: str) -> bool:
        """Forget it, and what is its."""
        if self._orgs.pop(org_id, None) is None:
            return False
        for place in [one for one in self._domains if one[0] == org_id]:
            del self._domains[place]
        for place in [one for one in self._all_members if one[0] == org_id]:
            self._forget(place)
        for group in [one for one in self._groups.values() if one.org_id == org_id]:
            del self._groups[group.id]
        return True

    async def affiliations_of(self, user_id: str) -> tuple[Affiliation, ...]:
        """Look at each."""
        found: list[Affiliation] = []
        for (org_id, _), member in self._members.items():
            if member.user_id == user_id:
                slug = self._orgs[org_id].slug
                found.append(Affiliation(kind="org", org=slug, source=member.source))
                found += (Affiliation(kind="role", org=slug, name=role) for role in member.roles)
        groups = [self._groups[group] for group, user in self._inside if user == user_id]
        found += (Affiliation(kind="group", org=self._orgs[one.org_id].slug, name=one.name) for one in groups)
        return tuple(found)

    # -- domains ------------------------------------------------------------------------------

    async def add_domain(self, domain: Domain) -> bool:
        """Keep it, unless it is somebody's."""
        if (domain.org_id, domain.domain) in self._domains or await self.owner_of(domain.domain) is not None:
            return False
        self._domains[domain.org_id, domain.domain] = domain
        return True

    async def domains(self, org_id: str) -> tuple[Domain, ...]:
        """Sort them."""
        theirs = (one for one in self._domains.values() if one.org_id == org_id)
        return tuple(sorted(theirs, key=lambda one: one.domain))

    async def owner_of(self, domain: str) -> Organisation | None:
        """Look at each."""
        for one in self._domains.values():
            if one.domain == domain and one.verified_at is not None:
                return self._orgs[one.org_id]
        return None

    async def verify(self, org_id: str, domain: str, by: str, now: float) -> bool:
        """Replace it, unless it is another's."""
        known, owner = self._domains.get((org_id, domain)), await self.owner_of(domain)
        if known is None or (owner is not None and owner.id != org_id):
            return False
        self._domains[org_id, domain] = replace(known, verified_at=now, verified_by=by)
        return True

    async def drop_domain(self, org_id: str, domain: str) -> bool:
        """Forget it."""
        return self._domains.pop((org_id, domain), None) is not None

    # -- members ------------------------------------------------------------------------------

    async def join(self, member: Member) -> bool:
        """Keep it, unless they are one."""
        if (member.org_id, member.user_id) in self._members:
            return False
        if member.org_id not in self._orgs or member.user_id not in self._people.kept:
            raise _missing(f"organisation {member.org_id} or user {member.user_id}")
        self._all_members[member.org_id, member.user_id] = member
        return True

    async def member(self, org_id: str, user_id: str) -> Member | None:
        """Look it up."""
        return self._members.get((org_id, user_id))

    async def members(self, org_id: str, page: Page) -> tuple[Member, ...]:
        """Sort them."""
        return _paged((one for one in self._members.values() if one.org_id == org_id), page)

    async def set_roles(self, org_id: str, user_id: str, roles: Sequence[str]) -> bool:
        """Replace them."""
        known = self._members.get((org_id, user_id))
        if known is None:
            return False
        self._all_members[org_id, user_id] = replace(known, roles=tuple(roles))
        return True

    async def leave(self, org_id: str, user_id: str) -> bool:
        """Forget it."""
        if (org_id, user_id) not in self._members:
            return False
        self._forget((org_id, user_id))
        return True

    def _forget(self, place: tuple[str, str]) -> None:
        org_id, user_id = place
        del self._all_members[place]
        inside = [one for one in self._inside if one[1] == user_id and self._groups[one[0]].org_id == org_id]
        self._inside.difference_update(inside)

    # -- groups -------------------------------------------------------------------------------

    async def create_group(self, group: Group) -> bool:
        """Keep it, unless its name is taken."""
        theirs = {one.name for one in self._groups.values() if one.org_id == group.org_id}
        if group.id in self._groups or group.name in theirs:
            return False
        self._groups[group.id] = group
        return True

    async def group(self, org_id: str, group_id: str) -> Group | None:
        """Look it up."""
        found = self._groups.get(group_id)
        return found if found is not None and found.org_id == org_id else None

    async def groups(self, org_id: str, page: Page) -> tuple[Group, ...]:
        """Sort them."""
        theirs = (one for one in self._groups.values() if one.org_id == org_id)
        by_age = sorted(theirs, key=lambda one: (one.created_at, one.id))
        rest = [one for one in by_age if page.after is None or (one.created_at, one.id) > page.after]
        return tuple(rest[: page.limit])

    async def delete_group(self, org_id: str, group_id: str) -> tuple[str, ...] | None:
        """Forget it."""
        if await self.group(org_id, group_id) is None:
            return None
        were = tuple(sorted(user for group, user in self._inside if group == group_id))
        self._inside.difference_update([(group_id, user) for user in were])
        del self._groups[group_id]
        return were

    async def in_group(self, group_id: str, page: Page) -> tuple[Member, ...]:
        """Look at each."""
        members = self._members
        group = self._groups.get(group_id)
        if group is None:
            return ()
        inside = (members[group.org_id, user] for one, user in self._inside if one == group_id)
        return _paged(inside, page)

    async def add_to_group(self, org_id: str, group_id: str, user_id: str) -> bool:
        """Keep it, if both are the organisation's."""
        if await self.group(org_id, group_id) is None or (org_id, user_id) not in self._members:
            raise _missing(f"group {group_id} or member {user_id}")
        is_new = (group_id, user_id) not in self._inside
        self._inside.add((group_id, user_id))
        return is_new

    async def drop_from_group(self, org_id: str, group_id: str, user_id: str) -> bool:
        """Forget it."""
        if await self.group(org_id, group_id) is None or (group_id, user_id) not in self._inside:
            return False
        self._inside.discard((group_id, user_id))
        return True


def _paged(members: Iterable[Member], page: Page) -> tuple[Member, ...]:
    by_age = sorted(members, key=lambda one: (one.created_at, one.user_id))
    rest = [one for one in by_age if page.after is None or (one.created_at, one.user_id) > page.after]
    return tuple(rest[: page.limit])


def _missing(what: str) -> StoreError:
    return StoreError("The store can't keep this.", detail=f"there is no {what}")
