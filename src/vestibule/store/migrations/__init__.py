"""The schema of the SQL store, brought up step by step by Alembic.

Importing Alembic and SQLAlchemy takes a second, so what a start asks first is asked of sqlite3 alone (in
`remote`, of asyncpg): which revision the store has, and whether it is the one this program wants. The list of
revisions is kept here by hand; a test keeps it equal to what stands in `versions/`.
"""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
from pathlib import Path
from typing import Final

from vestibule.errors import StoreError
from vestibule.store.database import prepare

REVISIONS: Final = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
)
"""All revisions, oldest first."""
HEAD: Final = REVISIONS[-1]


def bring_up(path: Path) -> None:
    """Make the file and its tables, or bring them up to `HEAD`; slow where something is to do.

    Raises StoreError when the file can't be read, isn't ours, or was made by a newer program.
    """
    prepare(path)
    if not is_current(revision_of(path), str(path)):
        importlib.import_module("vestibule.store.migrations.run").upgrade(path)


def is_current(revision: str | None, store: str) -> bool:
    """False when the store has to be brought up. Raises StoreError when its revision isn't known here."""
    if revision is not None and revision not in REVISIONS:
        raise StoreError(
            f"The store {store} was made by a newer version of this program (its schema is {revision}, "
            f"this one's {HEAD}). Run that version, or give this one another store."
        )
    return revision == HEAD


def revision_of(path: Path) -> str | None:
    """The revision of the schema in this file, None where it is empty. Raises StoreError."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
        ) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            if not names:
                return None
            if "alembic_version" not in names:
                raise StoreError(f"The file {path} is a database, but not one of this program's.")
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error as exc:
        raise StoreError(f"The store {path} can't be read: {exc}.", detail=type(exc).__name__) from exc
    return str(rows[0][0]) if rows else None
