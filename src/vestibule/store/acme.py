"""Certificates by ACME, by SQLAlchemy Core."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import Column, Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from vestibule.store.base_acme import AccountRow, CertificateRow, Fenced, OrderRow, ProofRow
from vestibule.store.engine import Engine, changed
from vestibule.store.tables import ACME_ACCOUNTS, ACME_ORDERS, ACME_PROOFS, CERTIFICATES

R = TypeVar("R", bound=Fenced)
_INSERT: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class _Fenced(Generic[R]):
    """Rows by their key, each replaced and deleted only by who isn't overtaken."""

    def __init__(self, engine: Engine, table: Table, kind: type[R]) -> None:
        self._engine = engine
        self._table = table
        self._kind = kind
        self._key: Column[Any] = next(iter(table.primary_key.columns))

    async def all(self) -> tuple[R, ...]:
        """Read the table."""
        rows = await self._engine.rows(select(self._table).order_by(self._key))
        return tuple(self._kind(**row._asdict()) for row in rows)

    async def put(self, row: R) -> bool:
        """Insert it, or update where the fence isn't higher: one statement."""
        values = msgspec.structs.asdict(row)
        rest = {name: value for name, value in values.items() if name != self._key.name}
        async with self._engine.transaction() as connection:
            insert = _INSERT[connection.dialect.name](self._table).values(**values)
            statement = insert.on_conflict_do_update(
                index_elements=[self._key], set_=rest, where=self._table.c.fence <= row.fence
            )
            return changed(await connection.execute(statement)) == 1

    async def delete(self, key: str, fence: int) -> bool:
        """Delete by the primary key, unless the fence is higher."""
        mine = self._key == key, self._table.c.fence <= fence
        return await self._engine.change(delete(self._table).where(*mine)) == 1


class Accounts(_Fenced[AccountRow]):
    """`store.base_acme.Accounts`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, ACME_ACCOUNTS, AccountRow)


class Orders(_Fenced[OrderRow]):
    """`store.base_acme.Orders`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, ACME_ORDERS, OrderRow)

    async def hurry(self, name: str) -> bool:
        """Set when it is looked at; the fence stays."""
        at_once = update(ACME_ORDERS).where(ACME_ORDERS.c.name == name).values(next_at=0.0)
        return await self._engine.change(at_once) == 1


class Certificates(_Fenced[CertificateRow]):
    """`store.base_acme.Certificates`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, CERTIFICATES, CertificateRow)

    async def hurry(self, name: str) -> bool:
        """Set when it is renewed; the fence stays."""
        at_once = update(CERTIFICATES).where(CERTIFICATES.c.name == name).values(renew_at=0.0)
        return await self._engine.change(at_once) == 1


class Proofs:
    """`store.base_acme.Proofs`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def pending(self, now: float) -> tuple[ProofRow, ...]:
        """Read what hasn't expired."""
        table = ACME_PROOFS
        query = select(table).where(table.c.expires_at > now).order_by(table.c.token)
        return tuple(ProofRow(**row._asdict()) for row in await self._engine.rows(query))

    async def put(self, row: ProofRow) -> None:
        """Delete and insert."""
        async with self._engine.transaction() as connection:
            await connection.execute(delete(ACME_PROOFS).where(ACME_PROOFS.c.token == row.token))
            await connection.execute(ACME_PROOFS.insert().values(**msgspec.structs.asdict(row)))

    async def clear(self, name: str) -> tuple[ProofRow, ...]:
        """Delete by name, and say what went."""
        statement = delete(ACME_PROOFS).where(ACME_PROOFS.c.name == name).returning(*ACME_PROOFS.c)
        async with self._engine.transaction() as connection:
            rows = (await connection.execute(statement)).all()
        return tuple(sorted((ProofRow(**row._asdict()) for row in rows), key=lambda row: row.token))

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete by the index."""
        table = ACME_PROOFS
        old = select(table.c.token).where(table.c.expires_at <= now).limit(limit)
        return await self._engine.change(delete(table).where(table.c.token.in_(old)))
