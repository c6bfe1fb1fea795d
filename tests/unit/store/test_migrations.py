"""The schema: made, brought up, refused; and what the program believes of it."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from vestibule.errors import StoreError
from vestibule.store import migrations
from vestibule.store.migrations import run
from vestibule.store.tables import METADATA


def execute(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(sql).fetchall()
        connection.commit()
    return rows


def test_the_revisions_the_program_knows_are_those_of_alembic():
    scripts = ScriptDirectory.from_config(run.configuration())
    walked = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(walked)) == migrations.REVISIONS
    assert scripts.get_current_head() == migrations.HEAD


def test_the_migrations_make_the_tables_the_program_uses(tmp_path):
    path = tmp_path / "vestibule.db"
    migrations.bring_up(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_a_new_file_is_its_owners_alone(tmp_path):
    path = tmp_path / "state" / "vestibule.db"
    migrations.bring_up(path)
    assert migrations.revision_of(path) == migrations.HEAD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_time_changes_nothing(tmp_path):
    path = tmp_path / "vestibule.db"
    migrations.bring_up(path)
    execute(path, "INSERT INTO marks VALUES ('flow', x'00', 1.0)")
    migrations.bring_up(path)
    assert execute(path, "SELECT kind FROM marks") == [("flow",)]


def test_of_many_that_start_at_once_all_find_the_tables(tmp_path):
    path = tmp_path / "vestibule.db"
    migrations.prepare(path)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: subprocess.run([sys.executable, "-c", BRING_UP, path], check=True), range(3)))
    assert migrations.revision_of(path) == migrations.HEAD


BRING_UP = """
import sys
from pathlib import Path
from vestibule.store import migrations
migrations.bring_up(Path(sys.argv[1]))
"""


def test_a_start_with_nothing_to_do_imports_neither_alembic_nor_sqlalchemy(tmp_path):
    path = tmp_path / "vestibule.db"
    migrations.bring_up(path)
    code = BRING_UP + "import vestibule.store.sqlite\nassert not {'alembic', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_a_newer_schema_is_refused_and_left(tmp_path):
    path = tmp_path / "vestibule.db"
    migrations.bring_up(path)
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"newer version.*9999.*Run that version"):
        migrations.bring_up(path)
    assert migrations.revision_of(path) == "9999"


def test_somebody_elses_database_is_refused_and_left(tmp_path):
    path = tmp_path / "other.db"
    execute(path, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="not one of this program's"):
        migrations.bring_up(path)
    assert execute(path, "SELECT name FROM sqlite_schema") == [("recipes",)]


@pytest.mark.parametrize("raw", [b"not a database at all, but long enough to be looked at" * 20, b"x" * 10])
def test_a_file_that_is_no_database_is_refused_and_left(tmp_path, raw):
    path = tmp_path / "vestibule.db"
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="can't be read"):
        migrations.bring_up(path)
    assert path.read_bytes() == raw


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be opened"):
        migrations.bring_up(tmp_path / "file" / "vestibule.db")


def test_a_migration_that_breaks_off_leaves_nothing(tmp_path):
    """Half way, a table of this name is in the way: whatever was made before it is undone."""
    path = tmp_path / "vestibule.db"
    execute(path, "CREATE TABLE users (id TEXT)")
    with pytest.raises(StoreError, match="could not be brought up"):
        run.upgrade(path)
    assert execute(path, "SELECT name FROM sqlite_schema") == [("users",)]
