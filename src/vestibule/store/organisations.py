"""Organisations, and who belongs to them, by SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, and_, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from vestibule.core.organisation import Affiliation, Domain, Group, Member, Organisation
from vestibule.errors import StoreError
from vestibule.store.base import Page
from vestibule.store.engine import Engine, changed, paged, store_error
from vestibule.store.tables_organisations import DOMAINS, GROUP_MEMBERS, GROUPS, MEMBERS, ORGANISATIONS

_ORG: Final = select(*(ORGANISATIONS.c[name] for name in Organisation.__struct_fields__))
_DOMAIN: Final = select(*(DOMAINS.c[name] for name in Domain.__struct_fields__))
_MEMBER: Final = select(*(MEMBERS.c[name] for name in Member.__struct_fields__))
_GROUP: Final = select(*(GROUPS.c[name] for name in Group.__struct_fields__))
_decode: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class Organisations:
    """`store.base_organisations.Organisations`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def any(self) -> bool:
        """Ask for one."""
        return await self._engine.row(select(ORGANISATIONS.c.id).limit(1)) is not None

    async def create(self, org: Organisation) -> bool:
        """Insert it: the unique index says whether the slug is taken."""
        try:
            await self._engine.change(insert(ORGANISATIONS).values(**msgspec.structs.asdict(org)))
        except IntegrityError:
            return False
        return True

    async def get(self, org_id: str) -> Organisation | None:
        """Ask by the primary key."""
        return await self._org(_ORG.where(ORGANISATIONS.c.id == org_id))

    async def by_slug(self, slug: str) -> Organisation | None:
        """Ask by the index."""
        return await self._org(_ORG.where(ORGANISATIONS.c.slug == slug))

    async def list(self, page: Page) -> tuple[Organisation, ...]:
        """Read one page by the index of its order."""
        query = paged(_ORG, page, ORGANISATIONS.c.created_at, ORGANISATIONS.c.id, after=page.after)
        return tuple(map(_org, await self._engine.rows(query)))

    async def of_user(self, user_id: str) -> tuple[Organisation, ...]:
        """Join with the user's memberships."""
        query = _ORG.join(MEMBERS, MEMBERS.c.org_id == ORGANISATIONS.c.id).where(MEMBERS.c.user_id == user_id)
        return tuple(map(_org, await self._engine.rows(query.order_by(ORGANISATIONS.c.slug))))

    async def save(self, org: Organisation, expect_version: int) -> bool:
        """Update where the version is still the expected one."""
        statement = (
            update(ORGANISATIONS)
            .where(ORGANISATIONS.c.id == org.id, ORGANISATIONS.c.version == expect_version)
            .values(name=org.name, updated_at=org.updated_at, version=expect_version + 1)
        )
        return await self._engine.change(statement) == 1

    async def delete(self, org_id: str) -> bool:
        """Delete by the primary key; what refers to it goes along."""
        return await self._engine.change(delete(ORGANISATIONS).where(ORGANISATIONS.c.id == org_id)) == 1

    async def affiliations_of(self, user_id: str) -> tuple[Affiliation, ...]:
        """Two queries: what they are a member of, and the groups they are in."""
        query: Select[Any] = (
            select(ORGANISATIONS.c.slug, MEMBERS.c.roles, MEMBERS.c.source)
            .join(MEMBERS, MEMBERS.c.org_id == ORGANISATIONS.c.id)
            .where(MEMBERS.c.user_id == user_id)
        )
        found: list[Affiliation] = []
        for row in await self._engine.rows(query):
            found.append(Affiliation(kind="org", org=row.slug, source=row.source))
            found += (Affiliation(kind="role", org=row.slug, name=role) for role in _roles(row))
        if not found:
            return ()
        within: Select[Any] = (
            select(ORGANISATIONS.c.slug, GROUPS.c.name)
            .join(GROUPS, GROUPS.c.org_id == ORGANISATIONS.c.id)
            .join(GROUP_MEMBERS, GROUP_MEMBERS.c.group_id == GROUPS.c.id)
            .where(GROUP_MEMBERS.c.user_id == user_id)
        )
        rows = await self._engine.rows(within)
        return (*found, *(Affiliation(kind="group", org=row.slug, name=row.name) for row in rows))

    # -- domains ------------------------------------------------------------------------------

    async def add_domain(self, domain: Domain) -> bool:
        """Insert it, unless it is somebody's."""
        try:
            async with self._engine.transaction() as connection:
                taken = select(DOMAINS.c.org_id).where(
                    DOMAINS.c.domain == domain.domain, DOMAINS.c.verified_at.is_not(None)
                )
                if (await connection.execute(taken)).first() is not None:
                    return False
                await connection.execute(insert(DOMAINS).values(**msgspec.structs.asdict(domain)))
        except IntegrityError:
            return False
        return True

    async def domains(self, org_id: str) -> tuple[Domain, ...]:
        """Read them by the primary key."""
        query = _DOMAIN.where(DOMAINS.c.org_id == org_id).order_by(DOMAINS.c.domain)
        return tuple(Domain(**row._asdict()) for row in await self._engine.rows(query))

    async def owner_of(self, domain: str) -> Organisation | None:
        """Join by the index of what is verified."""
        query = _ORG.join(DOMAINS, DOMAINS.c.org_id == ORGANISATIONS.c.id)
        return await self._org(query.where(DOMAINS.c.domain == domain, DOMAINS.c.verified_at.is_not(None)))

    async def verify(self, org_id: str, domain: str, by: str, now: float) -> bool:
        """Update by the primary key; the index of what is verified says whether it is another's."""
        statement = update(DOMAINS).where(DOMAINS.c.org_id == org_id, DOMAINS.c.domain == domain)
        try:
            return await self._engine.change(statement.values(verified_at=now, verified_by=by)) == 1
        except IntegrityError:
            return False

    async def drop_domain(self, org_id: str, domain: str) -> bool:
        """Delete by the primary key."""
        statement = delete(DOMAINS).where(DOMAINS.c.org_id == org_id, DOMAINS.c.domain == domain)
        return await self._engine.change(statement) == 1

    # -- members ------------------------------------------------------------------------------

    async def join(self, member: Member) -> bool:
        """Insert it: the primary key says whether they are one."""
        values = {**msgspec.structs.asdict(member), "roles": _text(member.roles)}
        try:
            await self._engine.change(insert(MEMBERS).values(**values))
        except IntegrityError as exc:
            if await self.member(member.org_id, member.user_id) is None:
                raise store_error(exc) from exc
            return False
        return True

    async def member(self, org_id: str, user_id: str) -> Member | None:
        """Ask by the primary key."""
        row = await self._engine.row(_MEMBER.where(*_is(org_id, user_id)))
        return None if row is None else _member(row)

    async def members(self, org_id: str, page: Page) -> tuple[Member, ...]:
        """Read one page by the index of its order."""
        query = _MEMBER.where(MEMBERS.c.org_id == org_id)
        return await self._members(query, page)

    async def set_roles(self, org_id: str, user_id: str, roles: Sequence[str]) -> bool:
        """Update by the primary key."""
        statement = update(MEMBERS).where(*_is(org_id, user_id)).values(roles=_text(roles))
        return await self._engine.change(statement) == 1

    async def leave(self, org_id: str, user_id: str) -> bool:
        """Delete by the primary key; what refers to it goes along."""
        return await self._engine.change(delete(MEMBERS).where(*_is(org_id, user_id))) == 1

    # -- groups -------------------------------------------------------------------------------

    async def create_group(self, group: Group) -> bool:
        """Insert it: the unique index says whether the name is taken."""
        try:
            await self._engine.change(insert(GROUPS).values(**msgspec.structs.asdict(group)))
        except IntegrityError:
            return False
        return True

    async def group(self, org_id: str, group_id: str) -> Group | None:
        """Ask by the primary key."""
        row = await self._engine.row(_GROUP.where(GROUPS.c.id == group_id, GROUPS.c.org_id == org_id))
        return None if row is None else Group(**row._asdict())

    async def groups(self, org_id: str, page: Page) -> tuple[Group, ...]:
        """Read one page of the organisation's."""
        query = _GROUP.where(GROUPS.c.org_id == org_id)
        query = paged(query, page, GROUPS.c.created_at, GROUPS.c.id, after=page.after)
        return tuple(Group(**row._asdict()) for row in await self._engine.rows(query))

    async def delete_group(self, org_id: str, group_id: str) -> tuple[str, ...] | None:
        """Read who is in it, then delete it."""
        async with self._engine.transaction() as connection:
            inside = select(GROUP_MEMBERS.c.user_id).where(
                GROUP_MEMBERS.c.group_id == group_id, GROUP_MEMBERS.c.org_id == org_id
            )
            were = tuple((await connection.execute(inside.order_by(GROUP_MEMBERS.c.user_id))).scalars())
            statement = delete(GROUPS).where(GROUPS.c.id == group_id, GROUPS.c.org_id == org_id)
            return were if changed(await connection.execute(statement)) == 1 else None

    async def in_group(self, group_id: str, page: Page) -> tuple[Member, ...]:
        """Join with the group's members."""
        theirs = and_(
            GROUP_MEMBERS.c.org_id == MEMBERS.c.org_id, GROUP_MEMBERS.c.user_id == MEMBERS.c.user_id
        )
        return await self._members(
            _MEMBER.where(exists().where(theirs, GROUP_MEMBERS.c.group_id == group_id)), page
        )

    async def add_to_group(self, org_id: str, group_id: str, user_id: str) -> bool:
        """Insert it: the references say whether both are the organisation's."""
        values = {"group_id": group_id, "user_id": user_id, "org_id": org_id}
        try:
            await self._engine.change(insert(GROUP_MEMBERS).values(**values))
        except IntegrityError as exc:
            known = select(GROUP_MEMBERS.c.group_id).where(*_in_group(org_id, group_id, user_id))
            if await self._engine.row(known) is None:
                raise store_error(exc) from exc
            return False
        return True

    async def drop_from_group(self, org_id: str, group_id: str, user_id: str) -> bool:
        """Delete by the primary key."""
        statement = delete(GROUP_MEMBERS).where(*_in_group(org_id, group_id, user_id))
        return await self._engine.change(statement) == 1

    async def _org(self, query: Select[Any]) -> Organisation | None:
        row = await self._engine.row(query)
        return None if row is None else _org(row)

    async def _members(self, query: Select[Any], page: Page) -> tuple[Member, ...]:
        query = paged(query, page, MEMBERS.c.created_at, MEMBERS.c.user_id, after=page.after)
        return tuple(map(_member, await self._engine.rows(query)))


def _is(org_id: str, user_id: str) -> tuple[Any, Any]:
    return MEMBERS.c.org_id == org_id, MEMBERS.c.user_id == user_id


def _in_group(org_id: str, group_id: str, user_id: str) -> tuple[Any, Any, Any]:
    return (
        GROUP_MEMBERS.c.group_id == group_id,
        GROUP_MEMBERS.c.user_id == user_id,
        GROUP_MEMBERS.c.org_id == org_id,
    )


def _text(roles: Sequence[str]) -> str:
    return msgspec.json.encode(tuple(roles)).decode()


def _roles(row: Row[Any]) -> tuple[str, ...]:
    try:
        return _decode(row.roles)
    except msgspec.DecodeError as exc:
        raise StoreError("The store is broken.", detail=f"roles of a member: {exc}") from exc


def _member(row: Row[Any]) -> Member:
    return Member(**{**row._asdict(), "roles": _roles(row)})


def _org(row: Row[Any]) -> Organisation:
    return Organisation(**row._asdict())
