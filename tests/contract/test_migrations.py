"""What holds for the schema on every database: made, compared, brought up with what is in it, refused."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from tests.helpers.vault import VAULT
from tests.real.postgres import Database
from vestibule.errors import StoreError
from vestibule.model import Account, Session, User
from vestibule.store import migrations, postgres, records, server, sqlite
from vestibule.store.base import Page
from vestibule.store.migrations import remote, run
from vestibule.store.tables import METADATA

NOW = 1_800_000_000.0


class File:
    """A database in an SQLite file."""

    def __init__(self, path: Path) -> None:
        migrations.prepare(path)
        self.place = path
        self.url = f"sqlite:{path}"

    def execute(self, sql: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.place)) as connection:
            rows = connection.execute(sql).fetchall()
            connection.commit()
        return rows

    def tables(self) -> set[str]:
        return {name for (name,) in self.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}

    def blob(self, value: bytes) -> str:
        return f"x'{value.hex()}'"

    async def bring_up(self) -> None:
        await asyncio.to_thread(migrations.bring_up, self.place)

    def upgrade(self, revision: str) -> None:
        run.upgrade(self.place, revision)

    async def open(self) -> Any:
        return await sqlite.open_store(self.url, VAULT)

    def engine(self) -> Any:
        return create_async_engine(f"sqlite+aiosqlite:///{self.place}")


class Remote:
    """A database in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self.place = database.place
        self.url = database.url
        self.execute = database.execute

    def tables(self) -> set[str]:
        return {
            name for (name,) in self.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }

    def blob(self, value: bytes) -> str:
        return f"'\\x{value.hex()}'"

    async def bring_up(self) -> None:
        await remote.bring_up(self.place)

    def upgrade(self, revision: str) -> None:
        run.upgrade_server(self.place, revision)

    async def open(self) -> Any:
        return await postgres.open_store(self.place, VAULT)

    def engine(self) -> Any:
        return create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda: server.connected(self.place)
        )


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request, tmp_path) -> Iterator[Any]:
    """Each kind of database in turn, with nothing in it."""
    if request.param == "sqlite":
        yield File(tmp_path / "vestibule.db")
        return
    cluster = request.getfixturevalue("postgres_cluster")
    database = cluster.database(empty=True)
    yield Remote(database)
    cluster.drop(database)


async def test_the_migrations_make_the_tables_the_program_uses(empty):
    await empty.bring_up()

    def difference(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection), METADATA)

    engine = empty.engine()
    async with engine.connect() as connection:
        assert await connection.run_sync(difference) == []
    await engine.dispose()
    assert empty.tables() - {"sqlite_sequence"} == {*METADATA.tables, "alembic_version"}


async def test_a_second_time_changes_nothing(empty):
    await empty.bring_up()
    empty.execute(f"INSERT INTO marks VALUES ('flow', {empty.blob(b'1')}, 1.0)")
    await empty.bring_up()
    assert empty.execute("SELECT kind FROM marks") == [("flow",)]


# -- up from every earlier version ------------------------------------------------------------


def of_0001(empty: Any) -> Iterator[str]:
    """Everything the first version could keep."""
    handle, data = empty.blob(b"h" * 32), empty.blob(b'{"host":"h","clients":["google"]}')
    ends = NOW + 100
    yield (
        "INSERT INTO sessions (id, handle, old_until, user_id, parent_id, created_at, seen_at, expires_at, idle_s, "
        f"ends_at, version, data) VALUES ('s1', {handle}, 0, 'u1', '', {NOW}, {NOW}, {ends}, 100, {ends}, 3, {data})"
    )
    yield f"INSERT INTO grants VALUES ('s1', 'google', 4, {empty.blob(b'box')}, {ends})"
    yield f"INSERT INTO marks VALUES ('flow', {empty.blob(b'1')}, {ends})"
    yield f"INSERT INTO leases (fence, name, owner, expires_at) VALUES (7, 'job', 'a', {ends})"
    for user_id, name, email in (("u1", "Zoë", "Zoë@Example.com"), ("u2", "", "")):
        yield (
            "INSERT INTO users (id, created_at, seen_at, name, email) "
            f"VALUES ('{user_id}', {NOW}, {NOW + 5}, '{name}', '{email}')"
        )
    for subject, user_id in (("1", "u1"), ("2", "u2")):
        yield (
            "INSERT INTO identities (issuer, subject, user_id, client, created_at) "
            f"VALUES ('https://a', '{subject}', '{user_id}', 'google', {NOW + 1})"
        )


def of_0002(empty: Any) -> Iterator[str]:
    """The same as the second version kept it, with an admin token and an invitation."""
    yield from of_0001(empty)
    yield "UPDATE users SET email_lower = 'zoë@example.com' WHERE id = 'u1'"
    yield "UPDATE identities SET seen_at = created_at"
    columns = "id, hash, name, created_at, expires_at, seen_at"
    yield f"INSERT INTO admin_tokens ({columns}) VALUES ('t1', {empty.blob(b'h' * 32)}, 'CI', {NOW}, NULL, NULL)"


def of_0003(empty: Any) -> Iterator[str]:
    """The same as the third version kept it, with an app token."""
    yield from of_0002(empty)
    yield (
        "INSERT INTO app_tokens (id, hash, user_id, name, host, prefixes, methods, scopes, created_at, expires_at) "
        f"VALUES ('a1', {empty.blob(b'h' * 32)}, 'u1', 'CI', '', '[]', '[]', '[]', {NOW}, {NOW + 100})"
    )


def of_0006(empty: Any) -> Iterator[str]:
    """The same without sessions, which are sealed from then on."""
    sealed = ("INSERT INTO sessions", "INSERT INTO grants")
    return (sql for sql in of_0003(empty) if not sql.startswith(sealed))


OLD = {
    "0001": of_0001,
    "0002": of_0002,
    **dict.fromkeys(("0003", "0004", "0005"), of_0003),
    **dict.fromkeys(
        ("0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013", "0014", "0015"), of_0006
    ),
}


@pytest.fixture(params=migrations.REVISIONS[:-1])
async def old(request, empty) -> SimpleNamespace:
    """A database of an earlier version with something of everything in it, brought up and opened."""
    await asyncio.to_thread(empty.upgrade, request.param)
    for sql in OLD[request.param](empty):
        empty.execute(sql)
    if isinstance(empty, Remote):  # the program took its fences from it
        empty.execute("SELECT setval('leases_fence_seq', 7)")
    store, kept = await empty.open(), records.open_records(empty.place)
    yield SimpleNamespace(**{**vars(kept), **vars(store)})
    await kept.close()
    await store.close()


async def test_open_sessions_of_before_are_gone_with_what_they_held(old):
    assert await old.sessions.by_handle(b"h" * 32, NOW) is None
    assert await old.sessions.of_user("u1", NOW) == ()
    assert await old.grants.of("s1") == ()
    again = Session(id="s1", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + 100, idle_s=100.0)
    await old.sessions.create(again, b"h" * 32)
    assert (await old.sessions.by_handle(b"h" * 32, NOW)).session == again


async def test_what_happens_once_and_who_does_what_outlive_a_new_version(old):
    assert not await old.marks.consume("flow", b"1", NOW, NOW + 9)
    assert await old.leases.acquire("job", "b", NOW, 30) is None
    assert await old.leases.acquire("other", "b", NOW, 30) > 7


async def test_people_outlive_a_new_version_and_are_found_as_others_are(old):
    zoe = User(id="u1", created_at=NOW, seen_at=NOW + 5, name="Zoë", email="Zoë@Example.com")
    account = Account(
        issuer="https://a",
        subject="1",
        user_id="u1",
        client="google",
        created_at=NOW + 1,
        seen_at=NOW + 1,
    )
    assert await old.people.user_of("https://a", "1") == zoe
    assert await old.people.accounts_of("u1") == (account,)
    assert await old.people.users(Page(), email="ZOË@example.COM") == (zoe,)
    assert await old.people.user("u2") == User(id="u2", created_at=NOW, seen_at=NOW + 5)
    assert await old.people.owners_of("zoë@example.com") == ()
    await old.people.seen(zoe, Account(**{**_fields(account), "email": "zoe@example.com", "kind": "google"}))
    assert await old.people.owners_of("zoe@example.com") == (zoe,)


def _fields(account: Account) -> dict[str, Any]:
    return {name: getattr(account, name) for name in account.__struct_fields__}


# -- what is refused --------------------------------------------------------------------------


async def test_a_newer_schema_is_refused_and_left(empty):
    await empty.bring_up()
    empty.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"newer version.*9999.*Run that version"):
        await empty.bring_up()
    assert empty.execute("SELECT version_num FROM alembic_version") == [("9999",)]


async def test_a_schema_that_became_newer_in_the_meantime_is_refused_and_left(empty):
    await empty.bring_up()
    empty.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="could not be brought up"):
        await asyncio.to_thread(empty.upgrade, "head")
    assert empty.execute("SELECT version_num FROM alembic_version") == [("9999",)]


async def test_somebody_elses_database_is_refused_and_left(empty):
    empty.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match=r"not (one of )?this program's"):
        await empty.bring_up()
    assert empty.tables() == {"recipes"}


async def test_a_migration_that_breaks_off_leaves_nothing(empty):
    """Half way, a table of this name is in the way: whatever was made before it is undone."""
    empty.execute("CREATE TABLE parked (id TEXT)")
    with pytest.raises(StoreError, match="could not be brought up"):
        await asyncio.to_thread(empty.upgrade, "head")
    assert empty.tables() - {"sqlite_sequence"} == {"parked"}


# -- several at once --------------------------------------------------------------------------

START = """
import asyncio, sys
from vestibule.core.postgres import parse
from vestibule.core.record import Vault
from vestibule.core.seal import Key, KeyRing

VAULT = Vault(KeyRing((Key("k1", b"k" * 32),)))

async def main(url):
    if url.startswith("sqlite:"):
        from vestibule.store.sqlite import open_store
        store = await open_store(url, VAULT)
    else:
        from vestibule.store.postgres import open_store
        store = await open_store(parse(url), VAULT)
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


def test_of_many_that_start_at_once_all_find_the_tables(empty):
    programs = [subprocess.Popen([sys.executable, "-c", START, empty.url]) for _ in range(3)]
    assert [program.wait(60) for program in programs] == [0, 0, 0]
    assert empty.execute("SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]


async def test_a_start_with_nothing_to_do_imports_neither_alembic_nor_sqlalchemy(empty):
    await empty.bring_up()
    code = START + "\nassert not {'alembic', 'sqlalchemy'} & set(sys.modules)"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, empty.url], check=True)
