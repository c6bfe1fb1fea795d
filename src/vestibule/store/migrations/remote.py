"""The schema in PostgreSQL: asyncpg alone asks which revision it has; Alembic is imported where something is to do."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from vestibule.core.postgres import Postgres
from vestibule.errors import StoreError
from vestibule.store.migrations import is_current
from vestibule.store.server import FAULTS, connected, unopened

_LOOK = """
    SELECT to_regclass('alembic_version') IS NOT NULL,
           (SELECT count(*) FROM pg_class
            WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace)
"""


async def bring_up(postgres: Postgres) -> None:
    """Make the tables, or bring them up to `HEAD`; of several programs that start at once, one does it.

    Raises StoreError when the database can't be reached, isn't ours, or was made by a newer program.
    """
    if is_current(await revision_of(postgres), str(postgres)):
        return
    run = await asyncio.to_thread(importlib.import_module, "vestibule.store.migrations.run")
    await asyncio.to_thread(run.upgrade_server, postgres)


async def revision_of(postgres: Postgres) -> str | None:
    """The revision of the schema in this database, None where it is empty. Raises StoreError."""
    try:
        connection = await connected(postgres)
        try:
            return await _revision(connection, postgres)
        finally:
            connection.terminate()
    except FAULTS as exc:
        raise unopened(postgres, exc) from exc


async def _revision(connection: Any, postgres: Postgres) -> str | None:
    is_ours, tables = await connection.fetchrow(_LOOK)
    if not is_ours:
        if tables:
            raise StoreError(
                f"The database {postgres} holds tables, but not this program's: give it one of its own "
                f"(CREATE DATABASE vestibule)."
            )
        return None
    revision = await connection.fetchval("SELECT version_num FROM alembic_version")
    return None if revision is None else str(revision)
