"""Users and their identities, by SQLAlchemy Core: the control plane's records.

Imported only after the listeners are up: SQLAlchemy takes a second. It writes to the same SQLite file as
`store.database`'s writer; each takes the write lock at the start of its transaction, waits for the other,
and holds it for one short transaction, so neither can find its snapshot overtaken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Row, Select, event, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from vestibule.errors import StoreError
from vestibule.model import User
from vestibule.store.tables import IDENTITIES, USERS

_BUSY_S: Final = 5.0
_USER: Final = select(
    USERS.c.id, USERS.c.created_at, USERS.c.name, USERS.c.email, USERS.c.valid_from, USERS.c.disabled
)


class People:
    """`store.base.People`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(writes=True)
        # Of those who wait in SQLite for a lock, none is first: so only one waits.
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._engine.dispose()

    async def user_of(self, issuer: str, subject: str) -> User | None:
        """Join identity and user."""
        return await self._one(
            _USER.join(IDENTITIES).where(IDENTITIES.c.issuer == issuer, IDENTITIES.c.subject == subject)
        )

    async def user(self, user_id: str) -> User | None:
        """Ask by the primary key."""
        return await self._one(_USER.where(USERS.c.id == user_id))

    async def register(self, user: User, issuer: str, subject: str, client: str, now: float) -> User:
        """Insert both; whose identity it is when they were there first is asked after."""
        try:
            async with self._transaction() as connection:
                await connection.execute(
                    insert(USERS).values(
                        id=user.id,
                        created_at=user.created_at,
                        seen_at=now,
                        name=user.name,
                        email=user.email,
                        valid_from=user.valid_from,
                        disabled=user.disabled,
                    )
                )
                await connection.execute(
                    insert(IDENTITIES).values(
                        issuer=issuer, subject=subject, user_id=user.id, client=client, created_at=now
                    )
                )
        except IntegrityError as exc:
            known = await self.user_of(issuer, subject)
            if known is None:
                raise _store_error(exc) from exc
            return known
        return user

    async def seen(self, user: User, now: float) -> None:
        """Update name, address and when."""
        async with self._transaction() as connection:
            await connection.execute(
                update(USERS)
                .where(USERS.c.id == user.id)
                .values(name=user.name, email=user.email, seen_at=now)
            )

    async def _one(self, query: Select[Any]) -> User | None:
        try:
            async with self._engine.connect() as connection:
                row = (await connection.execute(query)).one_or_none()
        except (SQLAlchemyError, OSError) as exc:
            raise _store_error(exc) from exc
        return None if row is None else _user(row)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._turn, self._writing.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as exc:
            raise _store_error(exc) from exc


def open_people(path: Path) -> People:
    """The records in this SQLite file, whose tables exist. Opens it at the first use."""
    url = URL.create("sqlite+aiosqlite", database=str(path.absolute()))
    engine = create_async_engine(url, connect_args={"timeout": _BUSY_S}, pool_size=2)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return People(engine)


def _prepare(connection: Any, _record: object) -> None:
    """Leave transactions to `_begin`, sync each commit, and keep references whole."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        created_at=row.created_at,
        name=row.name,
        email=row.email,
        valid_from=row.valid_from,
        disabled=row.disabled,
    )


def _store_error(exc: Exception) -> StoreError:
    return StoreError("The store can't be reached just now.", detail=f"{type(exc).__name__}: {exc}")
