"""Sessions, grants, marks, leases and what is parked in one SQLite file, by sqlite3 itself.

The tables are made by `store.migrations`. A dead session is one whose `ends_at` has come: the earlier of its
absolute and its idle end, kept with each write, so that one index serves reading and sweeping.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from vestibule.core.record import Record, Vault
from vestibule.model import Session
from vestibule.store import migrations, presence
from vestibule.store.base import Held, Page, SealedGrant, SigningKeyRow
from vestibule.store.database import Database, Row
from vestibule.store.revocations import InFile
from vestibule.store.rows import (
    COLUMNS,
    SIGNING_KEYS,
    Place,
    all_live_of,
    grant_of,
    held_of,
    live_of,
    page_of_host,
    record_of,
    renewed,
    saved,
    signing_key_of,
    values_of,
)
from vestibule.store.sealing import Sealing, client_digest, digests_of, host_digest, is_of, sid_digest, untold

_PREFIX: Final = "sqlite:"
_STEP: Final = 500
"""How many sessions are deleted at a time where there may be many."""

_SESSION: Final = f"""
    SELECT {COLUMNS} FROM sessions AS s LEFT JOIN users AS u ON u.id = s.user_id
    WHERE (s.user_id = '' OR (u.disabled = 0 AND max(u.valid_from, u.sessions_from) <= s.created_at))
"""  # noqa: S608 - our own names
_BY_ID: Final = _SESSION + "AND s.id = ?1 AND s.ends_at > ?2"
_BY_HANDLE: Final = _SESSION + "AND s.handle = ?1 AND s.ends_at > ?2"
_BY_OLD_HANDLE: Final = _SESSION + "AND s.old_handle = ?1 AND s.ends_at > ?2 AND s.old_until > ?2"
_OF_DIGEST: Final = "(SELECT session_id FROM session_digests WHERE digest = ?1)"
_BY_DIGEST: Final = f"{_SESSION} AND s.id IN {_OF_DIGEST} AND s.ends_at > ?2"
_KEPT: Final = f"SELECT {COLUMNS} FROM sessions AS s WHERE id = ? AND version = ?"  # noqa: S608 - our own names
_CREATE: Final = """
    INSERT INTO sessions (id, version, seen_at, sealed, user_id, parent_id, created_at, expires_at, idle_s,
                          handle, old_handle, old_until, host_digest, ends_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SAVE: Final = """
    UPDATE sessions SET version = ?2, seen_at = max(seen_at, ?3), sealed = ?4, user_id = ?5, parent_id = ?6,
                        created_at = ?7, expires_at = ?8, idle_s = ?9, handle = ?10, old_handle = ?11,
                        old_until = ?12, host_digest = ?13, ends_at = min(?8, max(seen_at, ?3) + ?9)
    WHERE id = ?1
"""
_FOUND_BY: Final = "INSERT OR IGNORE INTO session_digests (digest, session_id) VALUES (?, ?)"
_NOT_FOUND_BY: Final = "DELETE FROM session_digests WHERE digest = ? AND session_id = ?"
_WITH_DIGEST: Final = "SELECT session_id FROM session_digests WHERE digest = ? LIMIT ?"
_CHILDREN: Final = "SELECT id FROM sessions WHERE parent_id = ? AND parent_id <> ''"
_OF_HOST: Final = f"""
    {_SESSION} AND s.host_digest = ?1 AND s.ends_at > ?2 AND (s.created_at, s.id) < (?3, ?4)
    ORDER BY s.created_at DESC, s.id DESC LIMIT ?5
"""
_OF_USER: Final = _SESSION + "AND s.user_id = ?1 AND s.ends_at > ?2 ORDER BY s.created_at DESC, s.id"
_TOUCH: Final = """
    UPDATE sessions SET seen_at = ?2, ends_at = min(expires_at, ?2 + idle_s) WHERE id = ?1 AND seen_at < ?2
"""

_GRANTS: Final = "SELECT owner, client, version, sealed, expires_at FROM grants WHERE owner = ? "
_PUT: Final = "REPLACE INTO grants (owner, client, version, sealed, expires_at) VALUES (?, ?, ?, ?, ?)"
_REPLACE: Final = """
    UPDATE grants SET version = ?3, sealed = ?4, expires_at = ?5
    WHERE owner = ?1 AND client = ?2 AND version = ?6
"""
_DROP: Final = "DELETE FROM grants WHERE owner = ? AND client = ? "
_CONSUME: Final = """
    INSERT INTO marks (kind, key, expires_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (kind, key) DO UPDATE SET expires_at = excluded.expires_at WHERE marks.expires_at <= ?4
"""
_PARKED: Final = "SELECT sealed FROM parked WHERE kind = ? AND key = ? AND expires_at > ?"
_TAKE: Final = "DELETE FROM parked WHERE kind = ? AND key = ? RETURNING sealed, expires_at"
# A window never ends later than one that begins now: the clock may have been ahead when it began.
_TRY: Final = """
    INSERT INTO tries (kind, key, number, expires_at) VALUES (?1, ?2, 1, ?4)
    ON CONFLICT (kind, key) DO UPDATE
    SET number = CASE WHEN expires_at > ?3 THEN number + 1 ELSE 1 END,
        expires_at = CASE WHEN expires_at > ?3 THEN min(expires_at, ?4) ELSE ?4 END
    RETURNING number
"""
_TRIES: Final = "SELECT number, expires_at FROM tries WHERE kind = ? AND key = ? AND expires_at > ?"
_ADD_KEY: Final = """
    INSERT INTO signing_keys (number, id, sealed, created_at, signs_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""


class Sessions:
    """`store.base.Sessions`."""

    def __init__(self, database: Database, sealing: Sealing) -> None:
        self._database = database
        self._sealing = sealing

    async def create(self, session: Session, handle_hash: bytes) -> None:
        """Insert it; synced."""
        values = values_of(Record(session, handle_hash), self._sealing)
        digests = [(digest, session.id) for digest in digests_of(session)]

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_CREATE, values)
            connection.executemany(_FOUND_BY, digests)

        await self._database.write(work)

    async def by_handle(self, handle_hash: bytes, now: float) -> Held | None:
        """Ask for the current handle first, then for the one before it."""
        row = await self._database.row(_BY_HANDLE, (handle_hash, now))
        if row is None:
            row = await self._database.row(_BY_OLD_HANDLE, (handle_hash, now))
        return None if row is None else held_of(row, self._sealing, handle_hash, now)

    async def by_id(self, session_id: str, now: float) -> Session | None:
        """Ask by the primary key."""
        row = await self._database.row(_BY_ID, (session_id, now))
        return None if row is None else live_of(row, self._sealing, now)

    async def save(self, session: Session, expect_version: int) -> bool:
        """Update where the version is still the expected one; synced."""
        return await self._replace(
            session.id, expect_version, lambda kept: saved(session, expect_version, kept)
        )

    async def renew_handle(
        self, session: Session, expect_version: int, handle_hash: bytes, *, old_good_until: float
    ) -> bool:
        """Update session and handles in one step; synced."""
        return await self._replace(
            session.id,
            expect_version,
            lambda kept: renewed(session, expect_version, kept, handle_hash, old_good_until),
        )

    async def _replace(self, session_id: str, version: int, change: Callable[[Record], Record]) -> bool:
        sealing = self._sealing

        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute(_KEPT, (session_id, version)).fetchone()
            kept = None if row is None else record_of(row, sealing, math.inf)
            if kept is None:
                return False
            record = change(kept)
            connection.execute(_SAVE, values_of(record, sealing)[:-1])
            before, after = digests_of(kept.session), digests_of(record.session)
            connection.executemany(_NOT_FOUND_BY, [(digest, session_id) for digest in before - after])
            connection.executemany(_FOUND_BY, [(digest, session_id) for digest in after - before])
            return True

        return await self._database.write(work)

    async def delete(self, session_id: str) -> tuple[str, ...]:
        """Delete it, its children and what they own in one step; synced."""
        return await self._database.write(lambda connection: _delete(connection, [session_id]))

    async def of_user(self, user_id: str, now: float) -> tuple[Session, ...]:
        """Ask by the user's index."""
        if not user_id:
            return ()
        rows = await self._database.rows(_OF_USER, (user_id, now), limit=1000)
        return all_live_of(rows, self._sealing, now)

    async def delete_of(self, user_id: str) -> tuple[str, ...]:
        """Delete all and what they own in one step; synced."""
        if not user_id:
            return ()

        def work(connection: sqlite3.Connection) -> tuple[str, ...]:
            found = connection.execute("SELECT id FROM sessions WHERE user_id = ?", (user_id,)).fetchall()
            return _delete(connection, [session_id for (session_id,) in found])

        return await self._database.write(work)

    async def delete_by(self, client: str) -> tuple[str, ...]:
        """Delete a few of them, so that others' writes come between; synced."""
        digest = client_digest(client)

        def work(connection: sqlite3.Connection) -> tuple[str, ...]:
            found = connection.execute(_WITH_DIGEST, (digest, _STEP)).fetchall()
            return _delete(connection, [session_id for (session_id,) in found])

        return await self._database.write(work)

    async def by_sid(self, issuer: str, sid: str, now: float) -> tuple[Session, ...]:
        """Ask by the digest; what the records say counts."""
        rows = await self._database.rows(_BY_DIGEST, (sid_digest(issuer, sid), now), limit=1000)
        return tuple(one for one in all_live_of(rows, self._sealing, now) if is_of(one, issuer, sid))

    async def of_host(self, host: str, page: Page, now: float) -> tuple[Session, ...]:
        """Ask by the index of hosts, aside; what the records say counts."""
        digest, database = host_digest(host), self._database

        async def ask(before: Place) -> Sequence[Row]:
            return await database.rows_aside(_OF_HOST, (digest, now, *before, page.limit))

        return await page_of_host(host, page, now, self._sealing, ask)

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Update all in one write, which alone isn't worth a sync."""
        rows = tuple(seen)

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_TOUCH, rows)

        await self._database.write(work, is_durable=False)

    async def tally(self, now: float) -> int:
        """Count along the index of ends, aside: it may be long."""
        [(count,)] = await self._database.rows_aside(
            "SELECT count(*) FROM sessions WHERE ends_at > ?", (now,)
        )
        return int(count)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete the longest dead first; they are dead with or without it, so it isn't synced."""

        def work(connection: sqlite3.Connection) -> int:
            dead = connection.execute(
                "SELECT id FROM sessions WHERE ends_at <= ? ORDER BY ends_at LIMIT ?", (now, limit)
            ).fetchall()
            connection.executemany("DELETE FROM grants WHERE owner = ?", dead)
            connection.executemany("DELETE FROM sessions WHERE id = ?", dead)
            return len(dead)

        return await self._database.write(work, is_durable=False)


class Grants:
    """`store.base.Grants`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: str, client: str) -> SealedGrant | None:
        """Ask by the primary key."""
        row = await self._database.row(_GRANTS + "AND client = ?", (owner, client))
        return None if row is None else grant_of(row)

    async def put(self, grant: SealedGrant, expect_version: int | None) -> bool:
        """Insert or update; synced."""
        values = (grant.owner, grant.client, grant.version, grant.sealed, grant.expires_at)

        def work(connection: sqlite3.Connection) -> bool:
            if expect_version is None:
                return connection.execute(_PUT, values).rowcount == 1
            return connection.execute(_REPLACE, (*values, expect_version)).rowcount == 1

        return await self._database.write(work)

    async def delete(self, owner: str, client: str, expect_version: int | None = None) -> bool:
        """Delete by the primary key; synced."""

        def work(connection: sqlite3.Connection) -> bool:
            if expect_version is None:
                return connection.execute(_DROP, (owner, client)).rowcount == 1
            return (
                connection.execute(_DROP + "AND version = ?", (owner, client, expect_version)).rowcount == 1
            )

        return await self._database.write(work)

    async def of(self, owner: str) -> tuple[SealedGrant, ...]:
        """Ask by the first half of the primary key."""
        return tuple(map(grant_of, await self._database.rows(_GRANTS + "ORDER BY client", (owner,))))

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete grants that outlived their owner; not synced."""
        return await _swept(self._database, "grants", now, limit)


class Marks:
    """`store.base.Marks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def consume(self, kind: str, key: bytes, now: float, expires_at: float) -> bool:
        """Insert, or take over an expired one; synced."""

        def work(connection: sqlite3.Connection) -> bool:
            return connection.execute(_CONSUME, (kind, key, expires_at, now)).rowcount == 1

        return await self._database.write(work)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete expired ones; not synced."""
        return await _swept(self._database, "marks", now, limit)


class Leases:
    """`store.base.Leases`.

    Who comes back after a power cut finds no process that held one: nothing is synced.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(self, name: str, owner: str, now: float, ttl_s: float) -> int | None:
        """Replace the row unless another owner's is still good; AUTOINCREMENT never gives a number twice."""

        def work(connection: sqlite3.Connection) -> int | None:
            held = connection.execute(
                "SELECT 1 FROM leases WHERE name = ? AND owner <> ? AND expires_at > ?", (name, owner, now)
            ).fetchone()
            if held is not None:
                return None
            connection.execute("DELETE FROM leases WHERE name = ?", (name,))
            cursor = connection.execute(
                "INSERT INTO leases (name, owner, expires_at) VALUES (?, ?, ?)", (name, owner, now + ttl_s)
            )
            return cursor.lastrowid

        return await self._database.write(work, is_durable=False)

    async def release(self, name: str, owner: str) -> None:
        """Delete the owner's row."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM leases WHERE name = ? AND owner = ?", (name, owner))

        await self._database.write(work, is_durable=False)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete those that ran out; not synced."""
        return await _swept(self._database, "leases", now, limit)


class Parking:
    """`store.base.Parking`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def park(self, kind: str, key: bytes, sealed: bytes, expires_at: float) -> None:
        """Insert or replace; synced."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "REPLACE INTO parked (kind, key, sealed, expires_at) VALUES (?, ?, ?, ?)",
                (kind, key, sealed, expires_at),
            )

        await self._database.write(work)

    async def parked(self, kind: str, key: bytes, now: float) -> bytes | None:
        """Ask by the primary key."""
        row = await self._database.row(_PARKED, (kind, key, now))
        return None if row is None else row[0]

    async def take(self, kind: str, key: bytes, now: float) -> bytes | None:
        """Delete by the primary key; synced."""

        def work(connection: sqlite3.Connection) -> bytes | None:
            taken = connection.execute(_TAKE, (kind, key)).fetchall()
            return next((sealed for sealed, expires_at in taken if expires_at > now), None)

        return await self._database.write(work)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete what nobody came for; not synced."""
        return await _swept(self._database, "parked", now, limit)


class SigningKeys:
    """`store.base.SigningKeys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[SigningKeyRow, ...]:
        """Read the table."""
        return tuple(map(signing_key_of, await self._database.rows(SIGNING_KEYS)))

    async def add(self, row: SigningKeyRow) -> bool:
        """Insert it, unless it is there; synced."""

        def work(connection: sqlite3.Connection) -> bool:
            return connection.execute(_ADD_KEY, msgspec.structs.astuple(row)).rowcount == 1

        return await self._database.write(work)

    async def delete(self, number: int) -> None:
        """Delete by the primary key."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM signing_keys WHERE number = ?", (number,))

        await self._database.write(work)


class Tries:
    """`store.base.Tries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kind: str, key: bytes, now: float, window_s: float) -> int:
        """Insert or count up; not synced."""

        def work(connection: sqlite3.Connection) -> int:
            [(number,)] = connection.execute(_TRY, (kind, key, now, now + window_s)).fetchall()
            return int(number)

        return await self._database.write(work, is_durable=False)

    async def count(self, kind: str, key: bytes, now: float) -> tuple[int, float]:
        """Ask by the primary key."""
        row = await self._database.row(_TRIES, (kind, key, now))
        return (0, 0.0) if row is None else (row[0], row[1])

    async def clear(self, kind: str, key: bytes) -> None:
        """Delete by the primary key; not synced."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM tries WHERE kind = ? AND key = ?", (kind, key))

        await self._database.write(work, is_durable=False)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete windows that ran out; not synced."""
        return await _swept(self._database, "tries", now, limit)


class Store:
    """All that one file keeps for the data plane."""

    def __init__(self, database: Database, sealing: Sealing) -> None:
        self._database = database
        self.sessions = Sessions(database, sealing)
        self.grants = Grants(database)
        self.marks = Marks(database)
        self.leases = Leases(database)
        self.parking = Parking(database)
        self.signing_keys = SigningKeys(database)
        self.tries = Tries(database)
        self.revocations = InFile(database)
        self.presence = presence.InFile(database)

    async def close(self) -> None:
        """Finish the writes that wait, then let go of the file."""
        await self._database.close()


async def open_store(url: str, vault: Vault, *, unreadable: Callable[[str], None] = untold) -> Store:
    """The store at `sqlite:PATH`, made or brought up to date first.

    `unreadable` is told the ids of sessions whose records can't be opened or were altered, once each; it may be
    called in any thread. Raises StoreError, with what to do about it.
    """
    path = path_of(url)
    await asyncio.to_thread(migrations.bring_up, path)
    return Store(await Database.open(path), Sealing(vault, unreadable=unreadable))


def path_of(url: str) -> Path:
    """The file a `sqlite:PATH` URL names. Raises ValueError for any other."""
    path = url.removeprefix(_PREFIX)
    if path == url or not path or path.startswith("//"):
        raise ValueError(f"the URL of an SQLite store is {_PREFIX}PATH")
    return Path(path)


def _delete(connection: sqlite3.Connection, ids: Sequence[str]) -> tuple[str, ...]:
    """Delete these sessions, their children and what they own; the ids of those that were there."""
    doomed = dict.fromkeys(ids)
    for session_id in ids:
        doomed |= dict.fromkeys(child for (child,) in connection.execute(_CHILDREN, (session_id,)))
    connection.executemany("DELETE FROM grants WHERE owner = ?", [(session_id,) for session_id in doomed])
    gone = "DELETE FROM sessions WHERE id = ?"
    return tuple(name for name in doomed if connection.execute(gone, (name,)).rowcount == 1)


async def _swept(database: Database, table: str, now: float, limit: int) -> int:
    sql = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE expires_at <= ? LIMIT ?)"  # noqa: S608 - our own names

    def work(connection: sqlite3.Connection) -> int:
        return connection.execute(sql, (now, limit)).rowcount

    return await database.write(work, is_durable=False)
