"""What only the SQLite store has to answer for; the rest is in tests/contract."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from tests.helpers.vault import VAULT
from vestibule.model import Session
from vestibule.store import records, sqlite

NOW = 1_800_000_000.0
SESSION = Session(id="s1", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + 100, idle_s=100.0)


@pytest.mark.parametrize("url", ["", "sqlite:", "state/x.db", "postgres://x", "sqlite:///abs", "file:x"])
def test_another_url_is_refused(url):
    with pytest.raises(ValueError, match="sqlite:PATH"):
        sqlite.path_of(url)


@pytest.mark.parametrize("path", ["state/vestibule.db", "/var/lib/x.db", "a b?.db"])
def test_the_path_stands_after_the_scheme(path):
    assert str(sqlite.path_of(f"sqlite:{path}")) == path


async def test_a_path_with_odd_characters_is_that_file(tmp_path):
    path = tmp_path / "a?b #c%20.db"
    store = await sqlite.open_store(f"sqlite:{path}", VAULT)
    await store.sessions.create(SESSION, b"h")
    kept = records.open_records(path)
    assert await kept.people.user("u1") is None
    await kept.close()
    await store.close()
    assert path.exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]


async def test_what_was_kept_is_there_after_a_restart(tmp_path):
    url = f"sqlite:{tmp_path / 'x.db'}"
    store = await sqlite.open_store(url, VAULT)
    await store.sessions.create(SESSION, b"h")
    await store.close()
    store = await sqlite.open_store(url, VAULT)
    assert await store.sessions.by_id("s1", NOW) == SESSION
    await store.close()


@pytest.mark.parametrize(
    "change", ["sealed = 'x'", "sealed = x''", "seen_at = 'x'", "old_until = 'x'", "handle = 5"]
)
async def test_a_value_of_another_type_is_as_if_the_row_were_not_there(tmp_path, change):
    """A column of SQLite takes whatever is put there."""
    path = tmp_path / "x.db"
    store = await sqlite.open_store(f"sqlite:{path}", VAULT)
    await store.sessions.create(SESSION, b"h")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE sessions SET {change}")
        connection.commit()
    assert await store.sessions.by_id("s1", NOW) is None
    assert await store.sessions.by_handle(b"h", NOW) is None
    assert not await store.sessions.save(SESSION, 0)
    await store.close()


@pytest.mark.parametrize("sql", ["_BY_ID", "_BY_HANDLE", "_BY_OLD_HANDLE", "_BY_DIGEST", "_OF_USER"])
async def test_a_session_is_found_by_index_alone(tmp_path, sql):
    path = tmp_path / "x.db"
    store = await sqlite.open_store(f"sqlite:{path}", VAULT)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN " + getattr(sqlite, sql), ("x", NOW)).fetchall()
    assert not [row for row in plan if row[-1].startswith("SCAN")]
    await store.close()


@pytest.mark.parametrize("table", ["grants", "marks", "leases", "parked", "tries"])
async def test_a_sweep_reads_expired_rows_only(tmp_path, table):
    path = tmp_path / "x.db"
    store = await sqlite.open_store(f"sqlite:{path}", VAULT)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN SELECT rowid FROM {table} WHERE expires_at <= 1"
        ).fetchall()
        ends = connection.execute("EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE ends_at <= 1").fetchall()
    assert not [row for row in (*plan, *ends) if row[-1].startswith("SCAN")]
    await store.close()
