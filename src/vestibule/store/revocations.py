"""Which sessions were ended of late, in each store of SQL: what holds whatever a session store elsewhere says.

One statement tells of a session whether it may live: by itself, by its parent and by its user.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from vestibule.model import Session
from vestibule.store.database import Database

if TYPE_CHECKING:
    from vestibule.store.memory_records import People
    from vestibule.store.server import Server

_AT_ONCE: Final = 500
_MAY_LIVE: Final = """
    SELECT s.id FROM {sessions} LEFT JOIN users AS u ON u.id = s.user_id
    WHERE (s.user_id = '' OR (NOT u.disabled AND u.valid_from <= s.created_at AND u.sessions_from <= s.created_at))
          AND NOT EXISTS (SELECT 1 FROM revocations AS r WHERE r.session_id IN (s.id, s.parent_id))
"""
_IN_SERVER: Final = _MAY_LIVE.format(
    sessions="unnest($1::text[], $2::text[], $3::text[], $4::float8[]) AS s (id, parent_id, user_id, created_at)"
)
_IN_FILE: Final = "WITH s (id, parent_id, user_id, created_at) AS (VALUES {rows})" + _MAY_LIVE.format(
    sessions="s"
)
_REVOKE_IN_FILE: Final = """
    INSERT INTO revocations (session_id, expires_at) VALUES (?, ?)
    ON CONFLICT (session_id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)
"""
# In order of their ids, so that two who revoke the same ones don't wait for each other in a ring.
_REVOKE_IN_SERVER: Final = """
    INSERT INTO revocations AS r (session_id, expires_at)
    SELECT id, max(until) FROM unnest($1::text[], $2::float8[]) AS n (id, until) GROUP BY id ORDER BY id
    ON CONFLICT (session_id) DO UPDATE SET expires_at = greatest(r.expires_at, excluded.expires_at)
"""
_SWEEP_IN_FILE: Final = """
    DELETE FROM revocations
    WHERE session_id IN (SELECT session_id FROM revocations WHERE expires_at <= ? LIMIT ?)
"""
_SWEEP_IN_SERVER: Final = """
    WITH gone AS (
        DELETE FROM revocations WHERE session_id = ANY (ARRAY(
            SELECT session_id FROM revocations WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
        RETURNING 1)
    SELECT count(*) FROM gone
"""


class InFile:
    """`store.base.Revocations` in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revoke(self, ended: Sequence[tuple[str, float]]) -> None:
        """Insert them; synced."""
        rows = tuple(ended)

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_REVOKE_IN_FILE, rows)

        await self._database.write(work)

    async def living(self, sessions: Sequence[Session]) -> frozenset[str]:
        """Ask for some at a time; for none, too, so that it is known whether the file can be read."""
        found: list[str] = []
        for start in range(0, len(sessions) or 1, _AT_ONCE):
            rows = _rows(sessions[start : start + _AT_ONCE]) or [("", "", "", 0.0)]
            sql = _IN_FILE.format(rows=", ".join(["(?, ?, ?, ?)"] * len(rows)))
            arguments = [value for row in rows for value in row]
            found += [session_id for (session_id,) in await self._database.rows(sql, arguments)]
        return frozenset(found) - {""}

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete them; not synced."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(_SWEEP_IN_FILE, (now, limit)).rowcount

        return await self._database.write(work, is_durable=False)


class InServer:
    """`store.base.Revocations` in PostgreSQL."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def revoke(self, ended: Sequence[tuple[str, float]]) -> None:
        """Insert them."""
        ids, ends = [session_id for session_id, _ in ended], [until for _, until in ended]
        await self._server.rows(_REVOKE_IN_SERVER, ids, ends)

    async def living(self, sessions: Sequence[Session]) -> frozenset[str]:
        """Ask for all at once."""
        columns: list[list[Any]] = [list(column) for column in zip(*_rows(sessions), strict=True)]
        rows = await self._server.rows(_IN_SERVER, *(columns or [[], [], [], []]))
        return frozenset(session_id for (session_id,) in rows)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete them; may be lost."""
        [(number,)] = await self._server.rows(_SWEEP_IN_SERVER, now, limit, is_durable=False)
        return int(number)


class InMemory:
    """`store.base.Revocations` for tests."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._ends: dict[str, float] = {}

    async def revoke(self, ended: Sequence[tuple[str, float]]) -> None:
        """Keep them."""
        for session_id, until in ended:
            self._ends[session_id] = max(until, self._ends.get(session_id, until))

    async def living(self, sessions: Sequence[Session]) -> frozenset[str]:
        """Look at each."""
        return frozenset(one.id for one in sessions if self._may_live(one))

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget them."""
        dead = [session_id for session_id, until in self._ends.items() if until <= now][:limit]
        for session_id in dead:
            del self._ends[session_id]
        return len(dead)

    def _may_live(self, session: Session) -> bool:
        if session.id in self._ends or session.parent_id in self._ends:
            return False
        user = self._people.kept.get(session.user_id)
        if user is None:
            return not session.user_id
        return user.lets_live(session.created_at)


def _rows(sessions: Sequence[Session]) -> list[tuple[str, str, str, float]]:
    return [(one.id, one.parent_id, one.user_id, one.created_at) for one in sessions]
