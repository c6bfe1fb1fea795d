"""How records reach their database, by SQLAlchemy Core: transactions, faults, pages.

Imported only after the listeners are up: SQLAlchemy takes a second. On SQLite it writes to the same file as
`store.database`'s writer; each takes the write lock at the start of its transaction, waits for the other,
and holds it for one short transaction, so neither can find its snapshot overtaken.

A server is asked as `store.guard` says: nobody waits for it longer than they should.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiosqlite
from sqlalchemy import URL, Column, Connection, Executable, Row, Select, event, literal, select, tuple_
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from vestibule.core.postgres import Postgres
from vestibule.errors import StoreError
from vestibule.observe.log import Log
from vestibule.store.base import Page
from vestibule.store.guard import BUDGET_S, LONG_S, Breaker

_BUSY_S: Final = 5.0
LOOK_UP_S: Final = 1.0
"""How long a look-up of records may take: sign-ins and pages wait for it, of requests only the first with an app token.
More than the budget of sessions, since the first connection is made by a lot of Python."""
_AWAY_CLASSES: Final = frozenset(("08", "57", "58"))
"""Classes of SQLSTATE by which a server says that it, and not the statement, has a fault."""
_NO_VALUE: Final = "22"
"""Class of SQLSTATE data exception: PostgreSQL, or its driver by itself, can't store what it is asked for."""
# What fails is told as a StoreError; SQLAlchemy's own tracebacks don't belong between the log's lines.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


class Engine:
    """Statements and transactions on one database; every fault but a broken constraint is a StoreError."""

    def __init__(
        self, engine: AsyncEngine, *, one_writer: bool, log: Log | None = None, budget_s: float = BUDGET_S
    ) -> None:
        """With a log, it is guarded by a breaker that writes there; `budget_s`: how long a look-up may take."""
        self._engine = engine
        self._breaker: Breaker | None = None
        if log is not None:
            self._breaker = Breaker(self._ask_for_nothing, log=log, name="records", budget_s=budget_s)
        self._writing = engine.execution_options(writes=True)
        # Of those who wait in SQLite for a lock, none is first: so only one waits.
        self._turn = asyncio.Lock() if one_writer else contextlib.nullcontext()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._breaker is not None:
            await self._breaker.close()
        await self._engine.dispose()

    async def row(self, query: Select[Any]) -> Row[Any] | None:
        """The only row, or None. Raises StoreError."""
        rows = await self.rows(query)
        return rows[0] if rows else None

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """All rows. Raises StoreError."""
        if self._breaker is None:
            return await self._found(query)
        return await self._breaker.ask(functools.partial(self._found, query))

    async def rows_patiently(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """The same for what reads a whole table: that it takes long says nothing of the store. Raises StoreError."""
        if self._breaker is None:
            return await self._found(query)
        return await self._breaker.ask(functools.partial(self._found, query), LONG_S, is_told=False)

    async def measure(self) -> float | None:
        """Seconds that next to nothing takes now; None: there was no answer in time."""
        if self._breaker is not None:
            return await self._breaker.measure()
        began = time.monotonic()
        try:
            await self._ask_for_nothing()
        except StoreError:
            return None
        return time.monotonic() - began

    async def _ask_for_nothing(self) -> None:
        await self._found(select(literal(1)))

    async def _found(self, query: Select[Any]) -> Sequence[Row[Any]]:
        try:
            async with self._engine.connect() as connection:
                found: Sequence[Row[Any]] = (await connection.execute(query)).all()
                return found
        except DBAPIError as exc:
            if (getattr(exc.orig, "sqlstate", None) or "").startswith(_NO_VALUE):
                return ()  # a text with NUL or half a character in it, a number beyond 64 bits: nothing has it
            raise store_error(exc) from exc
        except (UnicodeEncodeError, OverflowError):
            return ()  # the same of SQLite's driver
        except (SQLAlchemyError, OSError) as exc:
            raise store_error(exc) from exc

    async def change(self, statement: Executable) -> int:
        """Execute it in a transaction of its own; how many rows it met. Raises IntegrityError, StoreError."""
        async with self.transaction() as connection:
            return changed(await connection.execute(statement))

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is durable at its end, undone when it is left by an error.

        Raises IntegrityError as it is, for what the caller makes of it; StoreError.
        """
        try:
            async with self._in_time(), self._turn, self._writing.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as exc:  # TimeoutError too
            if self._breaker is not None and not _is_answer(exc):
                self._breaker.fault(type(exc).__name__)
            raise store_error(exc) from exc

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Around a transaction: it has the time that writes have. Raises TimeoutError, StoreError."""
        if self._breaker is None:
            yield
            return
        self._breaker.check()
        async with asyncio.timeout(self._breaker.patient_s):
            yield


def on_postgres(postgres: Postgres, log: Log) -> Engine:
    """The records in this database, whose tables exist. Connects at the first use; comes back by itself."""
    # asyncpg, which not everybody needs, is imported by who comes here.
    server = importlib.import_module("vestibule.store.server")
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=functools.partial(server.connected, postgres, hangs_up_after_s=BUDGET_S),
        pool_size=4,
        max_overflow=0,
        pool_timeout=server.CONNECT_S,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    return Engine(engine, one_writer=False, log=log, budget_s=max(LOOK_UP_S, postgres.timeout_s))


def on_sqlite(path: Path) -> Engine:
    """The records in this SQLite file, whose tables exist. Opens it at the first use."""
    url = URL.create("sqlite+aiosqlite", database=str(path.absolute()))
    # One writes at a time, the others read. No more than these are ever opened: each is a thread.
    engine = create_async_engine(
        url,
        async_creator=functools.partial(_opened, path),
        pool_size=3,
        max_overflow=0,
        pool_timeout=_BUSY_S,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return Engine(engine, one_writer=True)


class _File(aiosqlite.Connection):
    """An open file that may be stopped more than once.

    The library's own thread ends at the first stop, and who waits for a second one waits for ever: a task that was
    cancelled twice while it asked (once by who began it, once by the loop's end) kept the program from ending.
    """

    _stopping: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        """Have the thread end; done when it has let go of the file."""
        if self._stopping is None:
            self._stopping = super().stop()
        return self._stopping


async def _opened(path: Path) -> aiosqlite.Connection:
    file = _File(lambda: sqlite3.connect(path.absolute(), timeout=_BUSY_S), iter_chunk_size=64)
    file._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does it: what hangs must not keep the program
    return await file


def changed(result: Any) -> int:
    """How many rows a statement met."""
    return int(result.rowcount)


def paged(query: Select[Any], page: Page, *keys: Column[Any], after: tuple[Any, ...] | None) -> Select[Any]:
    """The query's rows of one page, in the order of these columns, whose values the last one before had."""
    if after is not None:
        last = tuple_(*(literal(value, key.type) for key, value in zip(keys, after, strict=True)))
        query = query.where(tuple_(*keys) > last)
    return query.order_by(*keys).limit(page.limit)


def _is_answer(exc: Exception) -> bool:
    """True where the server is there, and it is the statement that it can't do."""
    state = getattr(getattr(exc, "orig", None), "sqlstate", None) or ""
    return bool(state) and state[:2] not in _AWAY_CLASSES


def store_error(exc: Exception) -> StoreError:
    """What is told of this fault; statements may be in the detail, their values are not."""
    return StoreError("The store can't be reached just now.", detail=f"{type(exc).__name__}: {exc}")


def _prepare(connection: Any, _record: object) -> None:
    """Leave transactions to `_begin`, sync each commit, keep references whole, fold case as Python does."""
    connection.isolation_level = None
    connection.create_function("lower", 1, _lower, deterministic=True)
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
