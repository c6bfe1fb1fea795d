"""Runs the migrations with Alembic. Imported only when there is something to do."""

from __future__ import annotations

import asyncio
import functools
import importlib
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import URL, Connection, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from vestibule.core.postgres import Postgres
from vestibule.errors import StoreError

SCRIPTS: Final = Path(__file__).parent
_LOCK: Final = 0x7665_7374_6962_756C
"""Number of the advisory lock in PostgreSQL."""
_STATEMENT_S: Final = 600.0


def upgrade(path: Path, revision: str = "head") -> None:
    """Bring the schema in this file up to `revision`, all steps in one transaction. Raises StoreError.

    Two programs that start at once do it once: the second waits and finds it done.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path.absolute())),
        poolclass=NullPool,
        connect_args={"timeout": 30.0},
    )
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            command.upgrade(configuration(connection), revision)
    except (SQLAlchemyError, CommandError) as exc:
        raise _failed(str(path), exc) from exc


def upgrade_server(postgres: Postgres, revision: str = "head") -> None:
    """Bring the schema in this database up to `revision`, as `upgrade` does; runs an event loop of its own."""
    try:
        asyncio.run(_upgrade_server(postgres, revision))
    except (SQLAlchemyError, CommandError, OSError) as exc:
        raise _failed(str(postgres), exc) from exc


async def _upgrade_server(postgres: Postgres, revision: str) -> None:
    # asyncpg, which not everybody needs, is imported by who comes here.
    server = importlib.import_module("vestibule.store.server")
    connect = functools.partial(server.connected, postgres, statement_s=_STATEMENT_S)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
            await connection.run_sync(lambda sync: command.upgrade(configuration(sync), revision))
    finally:
        await engine.dispose()


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _failed(store: str, exc: Exception) -> StoreError:
    return StoreError(f"The store {store} could not be brought up to date.", detail=str(exc))


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    """Stop sqlite3 from committing on its own, which would tear a migration in two."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
