"""What every store makes of session rows that somebody else wrote to, or moved, or carried away."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from tests.helpers.vault import RING, VAULT
from tests.real.postgres import Database
from vestibule.core import grant as grants
from vestibule.core.record import Vault
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Account, Device, Grant, Identity, Secret, Session, Tokens, User
from vestibule.store import memory, migrations, postgres, records, sqlite
from vestibule.store.base import SealedGrant

NOW = 1_800_000_000.0
H1, H2, H3 = (bytes([n]) * 32 for n in range(1, 4))
NEW = Key("k2", b"2" * 32)
[OLD] = RING.keys
CANARIES = (
    "canary-login",
    "canary@example.com",
    "canary-subject",
    "CanaryBrowser/1.0",
    "canary-sid",
    "canary-attribute",
)
ZOE = Identity(
    client="google",
    issuer="https://accounts.google.com",
    subject="canary-subject",
    login="canary-login",
    email="canary@example.com",
    sid="canary-sid",
)
ALICE = Session(
    id="alice",
    host="app.example",
    created_at=NOW,
    seen_at=NOW,
    expires_at=NOW + 1000,
    idle_s=100.0,
    identities=(ZOE,),
    clients=("google",),
    device=Device(user_agent="CanaryBrowser/1.0", address="192.0.2.7"),
    attributes={"note": "canary-attribute"},
)
BOB = replace(ALICE, id="bob", identities=(), clients=("github",))


class InMemory:
    """Rows in memory."""

    def __init__(self, store: memory.Store) -> None:
        self._rows = store.sessions._kept

    def set(self, session_id: str, column: str, value: Any) -> None:
        setattr(self._rows[session_id], column, value)

    def get(self, session_id: str, column: str) -> Any:
        return getattr(self._rows[session_id], column)


class InFile:
    """Rows in an SQLite file."""

    def __init__(self, path: Any) -> None:
        self._path = path

    def set(self, session_id: str, column: str, value: Any) -> None:
        self._do(f"UPDATE sessions SET {column} = ? WHERE id = ?", value, session_id)

    def get(self, session_id: str, column: str) -> Any:
        return self._do(f"SELECT {column} FROM sessions WHERE id = ?", session_id)[0][0]

    def _do(self, sql: str, *arguments: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            rows = connection.execute(sql, arguments).fetchall()
            connection.commit()
        return rows


class OnServer:
    """Rows in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, session_id: str, column: str, value: Any) -> None:
        said = f"'\\x{value.hex()}'" if isinstance(value, bytes) else repr(value)
        self._database.execute(f"UPDATE sessions SET {column} = {said} WHERE id = '{session_id}'")

    def get(self, session_id: str, column: str) -> Any:
        [[said]] = self._database.execute(f"SELECT {column} FROM sessions WHERE id = '{session_id}'")
        return bytes.fromhex(said[2:]) if said.startswith("\\x") else float(said)


class Hurt:
    """A store with Alice and Bob in it, its rows, and of whom it told that they can't be read."""

    def __init__(self, store: Any, people: Any, rows: Any, told: list[str]) -> None:
        self.sessions, self.people, self.rows, self.told = store.sessions, people, rows, told

    async def found(self) -> set[str]:
        """Whom any way of asking finds."""
        held = [await self.sessions.by_handle(handle, NOW) for handle in (H1, H2, H3)]
        named = [await self.sessions.by_id(name, NOW) for name in ("alice", "bob")]
        listed = [*await self.sessions.of_user("u1", NOW), *await self.sessions.of_user("u2", NOW)]
        told = await self.sessions.by_sid(ZOE.issuer, ZOE.sid, NOW)
        return {one.id for one in (*(h.session for h in held if h), *(s for s in named if s), *listed, *told)}


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def hurt(request, tmp_path) -> AsyncIterator[Hurt]:
    """Each store in turn, to be written to from outside."""
    told: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        store: Any
        rows: Any
        if request.param == "memory":
            store = kept = memory.Store(VAULT, unreadable=told.append)
            rows = InMemory(store)
        elif request.param == "postgres":
            database = request.getfixturevalue("postgres")
            store = await postgres.open_store(database.place, VAULT, unreadable=told.append)
            kept, rows = records.open_records(database.place), OnServer(database)
        else:
            path = tmp_path / "x.db"
            store = await sqlite.open_store(f"sqlite:{path}", VAULT, unreadable=told.append)
            kept, rows = records.open_records(path), InFile(path)
        stack.push_async_callback(store.close)
        if kept is not store:
            stack.push_async_callback(kept.close)
        for user_id in ("u1", "u2"):
            account = Account(issuer="https://a", subject=user_id, user_id=user_id, client="google")
            await kept.people.register(User(id=user_id, created_at=NOW), account)
        await store.sessions.create(replace(ALICE, user_id="u1"), H1)
        await store.sessions.create(replace(BOB, user_id="u2"), H2)
        yield Hurt(store, kept.people, rows, told)


CHANGES = [
    pytest.param("user_id", "u1", id="another's user"),
    pytest.param("user_id", "", id="nobody's"),
    pytest.param("parent_id", "alice", id="another's child"),
    pytest.param("created_at", NOW + 5, id="made later"),
    pytest.param("expires_at", NOW + 99_999, id="ends later"),
    pytest.param("idle_s", 99_999.0, id="idles longer"),
    pytest.param("version", 7, id="another version"),
    pytest.param("handle", H3, id="found by another handle"),
    pytest.param("old_handle", H3, id="found by an old handle it never had"),
    pytest.param("old_until", NOW + 99, id="old handle honoured longer"),
    pytest.param("sealed", b"", id="empty"),
    pytest.param(
        "sealed", RING.seal("grant", b"{}", aad=b"bob\x000", nonce=bytes(12)), id="a box of another kind"
    ),
]


@pytest.mark.parametrize(("column", "value"), CHANGES)
async def test_a_changed_column_is_as_if_the_row_were_not_there_and_told_once(hurt, column, value):
    hurt.rows.set("bob", column, value)
    if column == "old_handle":
        hurt.rows.set("bob", "old_until", NOW + 99)
    assert await hurt.found() == {"alice"}
    assert await hurt.found() == {"alice"}
    assert hurt.told == ["bob"]
    assert not await hurt.sessions.save(BOB, 7 if column == "version" else 0)


@pytest.mark.parametrize(
    "columns", [("sealed",), ("sealed", "user_id", "handle")], ids=["box", "box and columns"]
)
async def test_the_record_of_another_row_opens_nowhere_else(hurt, columns):
    mine = {column: hurt.rows.get("bob", column) if column != "user_id" else "u2" for column in columns}
    theirs = {column: hurt.rows.get("alice", column) if column != "user_id" else "u1" for column in columns}
    if "handle" in columns:  # it is unique
        hurt.rows.set("alice", "handle", H3)
    for column in columns:
        hurt.rows.set("bob", column, theirs[column])
        hurt.rows.set("alice", column, mine[column])
    assert await hurt.found() == set()
    assert sorted(hurt.told) == ["alice", "bob"]


async def test_two_rows_with_their_handles_exchanged_let_nobody_in(hurt):
    for name, handle in (("alice", H3), ("bob", H1), ("alice", H2)):
        hurt.rows.set(name, "handle", handle)
    assert await hurt.sessions.by_handle(H1, NOW) is None
    assert await hurt.sessions.by_handle(H2, NOW) is None
    assert await hurt.found() == set()


async def test_a_last_seen_to_come_is_one_of_now(hurt):
    hurt.rows.set("bob", "seen_at", NOW + 99_999)
    hurt.rows.set("bob", "ends_at", NOW + 99_999)
    assert (await hurt.sessions.by_handle(H2, NOW + 50)).session.seen_at == NOW + 50
    assert await hurt.sessions.by_handle(H2, NOW + 1000) is None
    assert await hurt.sessions.by_id("bob", NOW + 1000) is None


async def test_an_end_put_off_is_not(hurt):
    hurt.rows.set("bob", "ends_at", NOW + 99_999)
    assert await hurt.sessions.by_handle(H2, NOW + 99) is not None
    assert await hurt.sessions.by_handle(H2, NOW + 100) is None
    assert await hurt.sessions.by_id("bob", NOW + 100) is None
    assert await hurt.sessions.of_user("u2", NOW + 100) == ()
    assert hurt.told == []


async def test_a_row_that_was_altered_can_be_ended_and_swept(hurt):
    hurt.rows.set("bob", "sealed", b"x")
    assert await hurt.sessions.delete_by("github") == ("bob",)
    hurt.rows.set("alice", "sealed", b"x")
    assert await hurt.sessions.sweep(NOW + 1000) == 1


# -- keys -------------------------------------------------------------------------------------


async def test_a_session_outlives_its_key_while_that_is_in_the_ring(tmp_path):
    url = f"sqlite:{tmp_path / 'x.db'}"
    store = await sqlite.open_store(url, VAULT)
    await store.sessions.create(ALICE, H1)
    await store.close()
    told: list[str] = []
    store = await sqlite.open_store(url, Vault(KeyRing((NEW, OLD))), unreadable=told.append)
    assert (await store.sessions.by_handle(H1, NOW)).session == ALICE
    assert await store.sessions.save(ALICE, 0)
    await store.close()
    store = await sqlite.open_store(url, VAULT, unreadable=told.append)
    assert await store.sessions.by_handle(H1, NOW) is None
    assert told == ["alice"]
    await store.close()


async def test_a_database_carried_away_is_of_no_use_without_the_key_file(tmp_path):
    path, stolen = tmp_path / "x.db", tmp_path / "stolen.db"
    migrations.bring_up(path)
    store = await sqlite.open_store(f"sqlite:{path}", VAULT)
    await store.sessions.create(ALICE, H1)
    grant = Grant(
        owner="alice", client="google", obtained_at=NOW, tokens=Tokens(access_token=Secret("canary-token"))
    )
    sealed = grants.sealed(grant, RING, nonce=bytes(12))
    await store.grants.put(
        SealedGrant(owner="alice", client="google", version=0, sealed=sealed, expires_at=NOW + 9), None
    )
    await store.close()
    raw = path.read_bytes()
    assert [canary for canary in (*CANARIES, "canary-token") if canary.encode() in raw] == []

    shutil.copy(path, stolen)
    other = KeyRing((Key(OLD.id, b"x" * 32),))
    store = await sqlite.open_store(f"sqlite:{stolen}", Vault(other))
    assert await store.sessions.by_handle(H1, NOW) is None
    assert await store.sessions.by_id("alice", NOW) is None
    assert await store.sessions.by_sid(ZOE.issuer, ZOE.sid, NOW) == ()
    found = await store.grants.get("alice", "google")
    assert grants.opened(found.sealed, other, owner="alice", client="google", version=0) is None
    await store.close()
