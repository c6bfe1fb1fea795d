"""Identity providers that were added while the program runs, by SQLAlchemy Core."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from vestibule.store.base import ProviderRow
from vestibule.store.engine import Engine
from vestibule.store.tables import IDENTITY_PROVIDERS as TABLE

_ROW: Final = select(TABLE)
_OLDEST: Final = TABLE.c.created_at, TABLE.c.id


class IdentityProviders:
    """`store.base.IdentityProviders`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def all(self) -> tuple[ProviderRow, ...]:
        """Read the table."""
        return tuple(map(_provider, await self._engine.rows(_ROW.order_by(*_OLDEST))))

    async def get(self, provider_id: str) -> ProviderRow | None:
        """Ask by the primary key."""
        row = await self._engine.row(_ROW.where(TABLE.c.id == provider_id))
        return None if row is None else _provider(row)

    async def insert(self, row: ProviderRow) -> bool:
        """Insert it: the primary key says whether the id is taken."""
        try:
            await self._engine.change(insert(TABLE).values(**msgspec.structs.asdict(row)))
        except IntegrityError:
            return False
        return True

    async def update(self, row: ProviderRow, expect_version: int) -> bool:
        """Update where the version is still the expected one; when it came to be stays."""
        values = msgspec.structs.asdict(row)
        del values["id"], values["created_at"]
        statement = (
            update(TABLE)
            .where(TABLE.c.id == row.id, TABLE.c.version == expect_version)
            .values({**values, "version": expect_version + 1})
        )
        return await self._engine.change(statement) == 1

    async def delete(self, provider_id: str) -> bool:
        """Delete by the primary key."""
        return await self._engine.change(delete(TABLE).where(TABLE.c.id == provider_id)) == 1

    async def stamp(self) -> str:
        """Digest of what changes with every change, the contents left out; an edit by hand is seen by its length."""
        query = select(
            TABLE.c.id,
            TABLE.c.version,
            TABLE.c.enabled,
            TABLE.c.provider_type,
            TABLE.c.created_at,
            TABLE.c.updated_at,
            func.length(TABLE.c.config),
            func.length(TABLE.c.sealed),
        ).order_by(TABLE.c.id)
        rows = [tuple(row) for row in await self._engine.rows(query)]
        return hashlib.sha256(repr(rows).encode()).hexdigest()


def _provider(row: Row[Any]) -> ProviderRow:
    return ProviderRow(**row._asdict())
