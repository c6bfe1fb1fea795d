"""What of the schema only an SQLite file has; the rest is in tests/contract."""

from __future__ import annotations

import contextlib
import sqlite3
import stat

import pytest
from alembic.script import ScriptDirectory

from vestibule.errors import StoreError
from vestibule.store import migrations
from vestibule.store.migrations import run


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


def test_a_new_file_is_its_owners_alone(tmp_path):
    path = tmp_path / "state" / "vestibule.db"
    migrations.bring_up(path)
    assert migrations.revision_of(path) == migrations.HEAD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


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
