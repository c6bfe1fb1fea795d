"""What organisations' directories have provisioned, by SQLAlchemy Core; hashes of tokens never leave the database.

A member that is added twice at once is added once: whoever changes a group holds its row until they are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, Table, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from vestibule.core.organisation import Affiliation, issuer_in
from vestibule.errors import StoreError
from vestibule.protocol.scim_patch import Members
from vestibule.store.base_directory import (
    TOKENS_MAX,
    DirectoryToken,
    Entry,
    JoinBy,
    Kind,
    Reference,
    Saved,
    Wanted,
)
from vestibule.store.engine import Engine, changed, store_error
from vestibule.store.tables import IDENTITIES
from vestibule.store.tables_directory import DIRECTORY_GROUP_MEMBERS as MEMBERS
from vestibule.store.tables_directory import DIRECTORY_GROUPS as GROUPS
from vestibule.store.tables_directory import DIRECTORY_RULES as RULES
from vestibule.store.tables_directory import DIRECTORY_TOKENS as TOKENS
from vestibule.store.tables_directory import DIRECTORY_USERS as USERS
from vestibule.store.tables_organisations import ORGANISATIONS

_AT_ONCE: Final = 1000
"""Ids in one statement."""
_ISSUERS_MAX: Final = 16
"""Of one organisation that are looked for one by one; where there are more, all its accounts are looked through."""
_TOKEN: Final = select(*(TOKENS.c[name] for name in DirectoryToken.__struct_fields__))
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Directory:
    """`store.base_directory.Directory`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def insert(self, entry: Entry, members: Sequence[Members] = ()) -> Saved:
        """Insert it: the name's index says whether it is taken."""
        try:
            async with self._engine.transaction() as connection:
                values = {"id": entry.id, "org_id": entry.org_id, "created_at": entry.created_at}
                await connection.execute(insert(_table(entry.kind)).values(**values, **_columns(entry)))
                touched = await _change(connection, entry, members)
                if touched is None:
                    await connection.rollback()
                    return Saved(outcome="no_member")
        except IntegrityError as exc:
            return await self._taken(entry, exc)
        return Saved(touched=await self._joined(touched))

    async def _taken(self, entry: Entry, exc: IntegrityError) -> Saved:
        """That the name is another's. Raises StoreError for another fault."""
        is_taken = select(USERS.c.id).where(
            USERS.c.org_id == entry.org_id, USERS.c.folded == entry.folded, USERS.c.id != entry.id
        )
        if entry.kind == "User" and await self._engine.row(is_taken) is not None:
            return Saved(outcome="taken")
        raise store_error(exc) from exc

    async def get(self, org_id: str, kind: Kind, entry_id: str) -> Entry | None:
        """Ask by the primary key."""
        table = _table(kind)
        row = await self._engine.row(select(table).where(table.c.id == entry_id, table.c.org_id == org_id))
        return None if row is None else _entry(row, kind)

    async def save(self, entry: Entry, expect_version: int, members: Sequence[Members] = ()) -> Saved:
        """Update where the version is still the expected one, which holds the row; then the members."""
        table = _table(entry.kind)
        statement = (
            update(table)
            .where(table.c.id == entry.id, table.c.org_id == entry.org_id, table.c.version == expect_version)
            .values(**{**_columns(entry), "version": expect_version + 1})
        )
        try:
            async with self._engine.transaction() as connection:
                if changed(await connection.execute(statement)) != 1:
                    return Saved(outcome="stale")
                touched = await _change(connection, entry, members)
                if touched is None:
                    await connection.rollback()
                    return Saved(outcome="no_member")
        except IntegrityError as exc:
            return await self._taken(entry, exc)
        return Saved(touched=await self._joined(touched))

    async def delete(self, org_id: str, kind: Kind, entry_id: str) -> Saved | None:
        """Delete by the primary key; memberships go with it."""
        table = _table(kind)
        async with self._engine.transaction() as connection:
            members: set[str] = set()
            if kind == "Group":
                query = select(MEMBERS.c.member_id).where(MEMBERS.c.group_id == entry_id)
                members = set((await connection.execute(query)).scalars())
            statement = delete(table).where(table.c.id == entry_id, table.c.org_id == org_id)
            if changed(await connection.execute(statement)) != 1:
                return None
        return Saved(touched=await self._joined(members))

    async def entries(
        self,
        org_id: str,
        kind: Kind,
        wanted: Wanted,
        *,
        after: tuple[float, str] | None = None,
        offset: int = 0,
        limit: int,
    ) -> tuple[Entry, ...]:
        """Read one page by the index of its order, filtered."""
        table = _table(kind)
        query = _wanted(select(table), org_id, kind, wanted)
        if after is not None:
            at, entry_id = after
            query = query.where(
                or_(table.c.created_at > at, and_(table.c.created_at == at, table.c.id > entry_id))
            )
        query = query.order_by(table.c.created_at, table.c.id).offset(offset).limit(limit)
        return tuple(_entry(row, kind) for row in await self._engine.rows(query))

    async def count(self, org_id: str, kind: Kind, wanted: Wanted) -> int:
        """Count them, patiently."""
        query = _wanted(select(func.count()).select_from(_table(kind)), org_id, kind, wanted)
        rows = await self._engine.rows_patiently(query)
        return int(rows[0][0]) if rows else 0  # none: it is asked for what nothing can have

    async def references(self, kind: Kind, entry_ids: Iterable[str]) -> Mapping[str, tuple[Reference, ...]]:
        """Join, some hundred at a time."""
        mine, other = (MEMBERS.c.member_id, MEMBERS.c.group_id)
        table = GROUPS
        if kind == "Group":
            mine, other, table = other, mine, USERS
        found: dict[str, list[Reference]] = {}
        for ids in _some(entry_ids):
            query = (
                select(mine, table.c.id, table.c.name)
                .join(table, table.c.id == other)
                .where(mine.in_(ids))
                .order_by(table.c.folded, table.c.id)
            )
            for row in await self._engine.rows_patiently(query):
                owner, entry_id, name = tuple(row)
                found.setdefault(owner, []).append(Reference(entry_id, name))
        return {owner: tuple(several) for owner, several in found.items()}

    # -- people and their users ---------------------------------------------------------------

    async def of_user(self, user_id: str) -> tuple[Entry, ...]:
        """Ask by the user's index."""
        query = select(USERS).where(USERS.c.user_id == user_id).order_by(USERS.c.org_id)
        return tuple(_entry(row, "User") for row in await self._engine.rows(query))

    async def join(self, org_id: str, entry_id: str, user_id: str) -> bool:
        """Update where it is nobody yet: an index says whether the user is another already."""
        statement = (
            update(USERS)
            .where(
                USERS.c.id == entry_id,
                USERS.c.org_id == org_id,
                USERS.c.is_active,
                or_(USERS.c.user_id.is_(None), USERS.c.user_id == user_id),
            )
            .values(user_id=user_id)
        )
        try:
            return await self._engine.change(statement) == 1
        except IntegrityError:
            return False

    async def user_of(self, org_id: str, subject: str) -> str:
        """Ask by the index of accounts, for each issuer of the organisation's: all of them begin alike.

        They are few, and its people may be many: each that is provisioned is asked about.
        """
        begin = issuer_in(org_id, "")
        issuers = await self._issuers(begin)
        is_theirs = and_(IDENTITIES.c.issuer >= begin, IDENTITIES.c.issuer.startswith(begin, autoescape=True))
        if len(issuers) <= _ISSUERS_MAX:
            is_theirs = IDENTITIES.c.issuer.in_(issuers)
        if not issuers:
            return ""
        query = select(IDENTITIES.c.user_id).where(is_theirs, IDENTITIES.c.subject == subject)
        rows = await self._engine.rows(query.distinct().limit(2))
        return str(rows[0][0]) if len(rows) == 1 else ""

    async def _issuers(self, begin: str) -> list[str]:
        """The issuers that begin so, of each one row read; where they are more than `_ISSUERS_MAX`, one more."""
        found: list[str] = []
        while len(found) <= _ISSUERS_MAX:
            after = IDENTITIES.c.issuer > (found[-1] if found else begin)
            query = select(IDENTITIES.c.issuer).where(after).order_by(IDENTITIES.c.issuer).limit(1)
            row = await self._engine.row(query)
            if row is None or not row[0].startswith(begin):
                break
            found.append(row[0])
        return found

    async def rule(self, org_id: str) -> JoinBy:
        """Ask by the primary key."""
        row = await self._engine.row(select(RULES.c.join_by).where(RULES.c.org_id == org_id))
        return "subject" if row is None else msgspec.convert(row[0], JoinBy)

    async def set_rule(self, org_id: str, rule: JoinBy) -> None:
        """Replace it."""
        try:
            async with self._engine.transaction() as connection:
                await connection.execute(delete(RULES).where(RULES.c.org_id == org_id))
                await connection.execute(insert(RULES).values(org_id=org_id, join_by=rule))
        except IntegrityError as exc:  # there is no such organisation
            raise store_error(exc) from exc

    async def affiliations_of(self, user_id: str) -> tuple[Affiliation, ...]:
        """Join the user's active entries with their groups."""
        query = (
            select(ORGANISATIONS.c.slug, GROUPS.c.name)
            .select_from(USERS)
            .join(ORGANISATIONS, ORGANISATIONS.c.id == USERS.c.org_id)
            .outerjoin(MEMBERS, MEMBERS.c.member_id == USERS.c.id)
            .outerjoin(GROUPS, GROUPS.c.id == MEMBERS.c.group_id)
            .where(USERS.c.user_id == user_id, USERS.c.is_active)
        )
        found = set()
        for row in await self._engine.rows(query):
            slug, name = tuple(row)
            found.add(Affiliation(kind="org", org=slug, source="scim"))
            if name:
                found.add(Affiliation(kind="group", org=slug, name=name, source="scim"))
        return tuple(sorted(found))

    async def _joined(self, entry_ids: Iterable[str]) -> tuple[str, ...]:
        """The users that these entries are."""
        found: set[str] = set()
        for ids in _some(entry_ids):
            query = select(USERS.c.user_id).where(USERS.c.id.in_(ids), USERS.c.user_id.is_not(None))
            found.update(user_id for (user_id,) in await self._engine.rows_patiently(query))
        return tuple(sorted(found))

    # -- tokens -------------------------------------------------------------------------------

    async def create_token(self, token: DirectoryToken, token_hash: bytes) -> bool:
        """Forget what has ended, look for a free slot, insert."""
        is_theirs = TOKENS.c.org_id == token.org_id
        try:
            async with self._engine.transaction() as connection:
                await connection.execute(
                    delete(TOKENS).where(is_theirs, TOKENS.c.expires_at <= token.created_at)
                )
                taken = set((await connection.execute(select(TOKENS.c.slot).where(is_theirs))).scalars())
                slot = next((one for one in range(TOKENS_MAX) if one not in taken), None)
                if slot is None:
                    return False
                values = msgspec.structs.asdict(token)
                await connection.execute(insert(TOKENS).values(hash=token_hash, slot=slot, **values))
        except IntegrityError as exc:  # an id, hash or slot that is taken
            raise store_error(exc) from exc
        return True

    async def token_by_hash(self, token_hash: bytes, now: float) -> DirectoryToken | None:
        """Ask by the hash's index."""
        is_good = or_(TOKENS.c.expires_at.is_(None), TOKENS.c.expires_at > now)
        row = await self._engine.row(_TOKEN.where(TOKENS.c.hash == token_hash, is_good))
        return None if row is None else DirectoryToken(**row._asdict())

    async def tokens(self, org_id: str) -> tuple[DirectoryToken, ...]:
        """Ask by the organisation."""
        query = _TOKEN.where(TOKENS.c.org_id == org_id).order_by(TOKENS.c.created_at, TOKENS.c.id)
        return tuple(DirectoryToken(**row._asdict()) for row in await self._engine.rows(query))

    async def token_seen(self, token_id: str, now: float) -> None:
        """Update by the primary key."""
        await self._engine.change(update(TOKENS).where(TOKENS.c.id == token_id).values(seen_at=now))

    async def delete_token(self, org_id: str, token_id: str) -> bool:
        """Delete by the primary key."""
        return (
            await self._engine.change(
                delete(TOKENS).where(TOKENS.c.id == token_id, TOKENS.c.org_id == org_id)
            )
            == 1
        )


async def _change(connection: AsyncConnection, entry: Entry, steps: Sequence[Members]) -> set[str] | None:
    """The entries that came or went; None: one that is to come is not in the directory."""
    touched: set[str] = set()
    for step in steps:
        there: set[str] = set()
        if step.is_emptied:
            query = select(MEMBERS.c.member_id).where(MEMBERS.c.group_id == entry.id)
            there = set((await connection.execute(query)).scalars())
        else:
            for ids in _some((*step.add, *step.remove)):
                query = select(MEMBERS.c.member_id).where(
                    MEMBERS.c.group_id == entry.id, MEMBERS.c.member_id.in_(ids)
                )
                there.update((await connection.execute(query)).scalars())
        goes = there - set(step.add) if step.is_emptied else there & set(step.remove)
        comes = set(step.add) - there
        for ids in _some(comes):
            known = select(USERS.c.id).where(USERS.c.org_id == entry.org_id, USERS.c.id.in_(ids))
            if len((await connection.execute(known)).all()) != len(ids):
                return None
            await connection.execute(
                insert(MEMBERS), [{"group_id": entry.id, "member_id": one} for one in ids]
            )
        for ids in _some(goes):
            await connection.execute(
                delete(MEMBERS).where(MEMBERS.c.group_id == entry.id, MEMBERS.c.member_id.in_(ids))
            )
        touched |= goes | comes
    return touched


def _some(ids: Iterable[str]) -> Iterator[list[str]]:
    """The ids, so many at a time, each once and in one order for all."""
    several = sorted(set(ids))
    for start in range(0, len(several), _AT_ONCE):
        yield several[start : start + _AT_ONCE]


def _wanted(query: Select[Any], org_id: str, kind: Kind, wanted: Wanted) -> Select[Any]:
    table = _table(kind)
    query = query.where(table.c.org_id == org_id)
    if wanted.id is not None:
        query = query.where(table.c.id == wanted.id)
    if wanted.ids is not None:
        query = query.where(table.c.id.in_(wanted.ids))
    if wanted.name is not None:
        query = query.where(table.c.folded == wanted.name.casefold())
    if wanted.external_id is not None:
        query = query.where(table.c.external_id == wanted.external_id)
    if wanted.has is not None:
        mine, other = (MEMBERS.c.member_id, MEMBERS.c.group_id)
        if kind == "Group":
            mine, other = other, mine
        query = query.where(table.c.id.in_(select(mine).where(other == wanted.has)))
    return query


def _table(kind: Kind) -> Table:
    return USERS if kind == "User" else GROUPS


def _columns(entry: Entry) -> dict[str, Any]:
    """What `save` replaces."""
    values: dict[str, Any] = {
        "name": entry.name,
        "folded": entry.folded,
        "external_id": entry.external_id,
        "document": msgspec.json.encode(entry.document).decode(),
        "version": entry.version,
        "updated_at": entry.updated_at,
    }
    return {**values, "is_active": entry.is_active} if entry.kind == "User" else values


def _entry(row: Row[Any], kind: Kind) -> Entry:
    values = row._asdict()
    del values["folded"]
    try:
        values["document"] = _decode(values["document"])
    except msgspec.DecodeError as exc:
        raise StoreError("The store is broken.", detail=f"document of {kind} {row.id}: {exc}") from exc
    if kind == "User":
        values["user_id"] = values["user_id"] or ""
    return Entry(kind=kind, **values)
