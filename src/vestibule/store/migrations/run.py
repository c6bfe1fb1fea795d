"""Runs the migrations with Alembic. Imported only when there is something to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from vestibule.errors import StoreError

SCRIPTS: Final = Path(__file__).parent


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
    except SQLAlchemyError as exc:
        raise StoreError(f"The store {path} could not be brought up to date.", detail=str(exc)) from exc


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    """Stop sqlite3 from committing on its own, which would tear a migration in two."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
