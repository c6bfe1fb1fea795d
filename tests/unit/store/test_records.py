"""People in SQL, beside the writer of sessions."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from tests.helpers.vault import VAULT
from vestibule.errors import StoreError
from vestibule.model import Account, Session, User
from vestibule.store import records, sqlite

NOW = 1_800_000_000.0


def account(user_id: str) -> Account:
    return Account(issuer="https://a", subject=user_id, user_id=user_id, client="google")


@pytest.fixture
async def parts(tmp_path):
    path = tmp_path / "x.db"
    store, kept = await sqlite.open_store(f"sqlite:{path}", VAULT), records.open_records(path)
    yield store, kept.people, path
    await kept.close()
    await store.close()


async def test_both_writers_of_one_file_get_their_turn(parts):
    store, people, _ = parts

    async def sign_in(n: int) -> None:
        await people.register(User(id=f"u{n}", created_at=NOW), account(f"u{n}"))
        session = Session(
            id=f"s{n}", host="h", user_id=f"u{n}", created_at=NOW, seen_at=NOW, expires_at=NOW + 9, idle_s=9.0
        )
        await store.sessions.create(session, str(n).encode())
        assert await store.sessions.by_id(f"s{n}", NOW) == session

    await asyncio.gather(*(sign_in(n) for n in range(300)))


async def test_a_lock_held_too_long_is_a_store_error_and_over_when_it_is_over(parts):
    _, people, path = parts
    await people.user("warm")
    async with people._engine._engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout=20")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError):
            await people.register(User(id="u1", created_at=NOW), account("u1"))
        with pytest.raises(StoreError):
            await people.seen(User(id="u1", created_at=NOW), account("u1"))
        assert await people.user("u1") is None
        other.execute("ROLLBACK")
    await people.register(User(id="u1", created_at=NOW), account("u1"))
    assert await people.user("u1") is not None


async def test_a_file_without_tables_is_a_store_error(tmp_path):
    kept = records.open_records(tmp_path / "none.db")
    with pytest.raises(StoreError):
        await kept.people.user_of("https://a", "1")
    await kept.close()


async def test_who_is_cancelled_twice_while_it_asks_leaves_nobody_waiting(parts):
    _, people, path = parts
    await people.user("warm")
    before = asyncio.all_tasks()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asking = asyncio.ensure_future(people.register(User(id="u1", created_at=NOW), account("u1")))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.sleep(0.02)  # its connection is being closed: behind what it asked
        for task in asyncio.all_tasks() - before:
            task.cancel()
        other.execute("ROLLBACK")
    left = asyncio.all_tasks() - before
    assert left
    await asyncio.wait(left, timeout=10)
    assert not asyncio.all_tasks() - before
