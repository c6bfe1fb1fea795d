"""Sessions, grants, marks, leases and what is parked in PostgreSQL, by asyncpg itself.

Each method is one statement, so each is atomic without a transaction around it. What may be lost in a crash of the
server (last seen, sweeps) does not wait for its disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from vestibule.core.postgres import Postgres
from vestibule.core.record import Record, Vault
from vestibule.model import Session
from vestibule.store import presence
from vestibule.store.base import Held, Page, SealedGrant, SigningKeyRow
from vestibule.store.migrations import remote
from vestibule.store.revocations import InServer
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
from vestibule.store.server import Server

_STEP: Final = 500
"""How many sessions are deleted at a time where there may be many."""
_SESSION: Final = f"""
    SELECT {COLUMNS} FROM sessions AS s LEFT JOIN users AS u ON u.id = s.user_id
    WHERE (s.user_id = '' OR (NOT u.disabled AND greatest(u.valid_from, u.sessions_from) <= s.created_at))
          AND s.ends_at > $2
"""  # noqa: S608 - our own names
_BY_ID: Final = _SESSION + "AND s.id = $1"
_BY_HANDLE: Final = f"""
    ({_SESSION} AND s.handle = $1)
    UNION ALL
    ({_SESSION} AND s.old_handle = $1 AND s.old_until > $2)
    LIMIT 1
"""
_OF_DIGEST: Final = "(SELECT session_id FROM session_digests WHERE digest = $1)"
_BY_DIGEST: Final = f"{_SESSION} AND s.id IN {_OF_DIGEST} LIMIT 1000"
_OF_USER: Final = _SESSION + "AND s.user_id = $1 ORDER BY s.created_at DESC, s.id LIMIT 1000"
_OF_HOST: Final = f"""
    {_SESSION} AND s.host_digest = $1 AND (s.created_at, s.id) < ($3, $4)
    ORDER BY s.created_at DESC, s.id DESC LIMIT $5
"""
_KEPT: Final = f"SELECT {COLUMNS} FROM sessions AS s WHERE id = $1 AND version = $2"  # noqa: S608 - our own names
_CREATE: Final = """
    WITH made AS (
        INSERT INTO sessions (id, version, seen_at, sealed, user_id, parent_id, created_at, expires_at, idle_s,
                              handle, old_handle, old_until, host_digest, ends_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id)
    INSERT INTO session_digests (digest, session_id) SELECT unnest($15::bytea[]), id FROM made
"""
_SAVE: Final = """
    WITH saved AS (
        UPDATE sessions SET version = $2, seen_at = greatest(seen_at, $3), sealed = $4, user_id = $5,
                            parent_id = $6, created_at = $7, expires_at = $8, idle_s = $9, handle = $10,
                            old_handle = $11, old_until = $12, host_digest = $13,
                            ends_at = least($8, greatest(seen_at, $3) + $9)
        WHERE id = $1 AND version = $14 RETURNING id),
    lost AS (DELETE FROM session_digests USING saved WHERE session_id = saved.id AND digest = ANY($15::bytea[])),
    won AS (INSERT INTO session_digests (digest, session_id) SELECT unnest($16::bytea[]), id FROM saved
            ON CONFLICT DO NOTHING)
    SELECT 1 FROM saved
"""
_WITH_DIGEST: Final = "SELECT session_id FROM session_digests WHERE digest = $1 LIMIT $2"
# The sessions' rows before their grants, and in order of their ids: so nobody waits for another in a ring.
_DELETE: Final = """
    WITH doomed AS (SELECT id FROM sessions WHERE {whose}
                    ORDER BY id FOR UPDATE),
         gone AS (DELETE FROM sessions USING doomed WHERE sessions.id = doomed.id RETURNING sessions.id),
         ended AS (SELECT coalesce(array_agg(id), '{{}}') AS ids FROM gone),
         granted AS (DELETE FROM grants USING ended WHERE owner = ANY(ended.ids) {or_else})
    SELECT unnest(ids) FROM ended
"""
_DELETE_ONE: Final = _DELETE.format(
    whose="id = $1 OR (parent_id = $1 AND parent_id <> '')", or_else="OR owner = $1"
)
_DELETE_OF: Final = _DELETE.format(
    whose="""user_id = $1
             OR (parent_id <> '' AND parent_id IN (SELECT id FROM sessions WHERE user_id = $1))""",
    or_else="",
)
_DELETE_THESE: Final = _DELETE.format(
    whose="id = ANY($1::text[]) OR (parent_id = ANY($1::text[]) AND parent_id <> '')", or_else=""
)
# Rows are locked in order of their ids, which two that touch the same ones have in common.
_TOUCH: Final = """
    UPDATE sessions AS s SET seen_at = l.seen_at, ends_at = least(s.expires_at, l.seen_at + s.idle_s)
    FROM (SELECT o.id, n.seen_at
          FROM sessions AS o JOIN unnest($1::text[], $2::float8[]) AS n (id, seen_at) ON n.id = o.id
          ORDER BY o.id FOR UPDATE OF o) AS l
    WHERE s.id = l.id AND s.seen_at < l.seen_at
"""
_SWEEP: Final = """
    WITH dead AS (SELECT id FROM sessions WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2
                  FOR UPDATE SKIP LOCKED),
         gone AS (DELETE FROM sessions USING dead WHERE sessions.id = dead.id),
         granted AS (DELETE FROM grants USING dead WHERE owner = dead.id)
    SELECT count(*) FROM dead
"""

_GRANTS: Final = "SELECT owner, client, version, sealed, expires_at FROM grants WHERE owner = $1 "
_PUT: Final = """
    INSERT INTO grants (owner, client, version, sealed, expires_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (owner, client) DO UPDATE
    SET version = excluded.version, sealed = excluded.sealed, expires_at = excluded.expires_at RETURNING 1
"""
_REPLACE: Final = """
    UPDATE grants SET version = $3, sealed = $4, expires_at = $5
    WHERE owner = $1 AND client = $2 AND version = $6 RETURNING 1
"""
_DROP: Final = """
    DELETE FROM grants WHERE owner = $1 AND client = $2 AND ($3::bigint IS NULL OR version = $3) RETURNING 1
"""
_CONSUME: Final = """
    INSERT INTO marks (kind, key, expires_at) VALUES ($1, $2, $4)
    ON CONFLICT (kind, key) DO UPDATE SET expires_at = excluded.expires_at WHERE marks.expires_at <= $3
    RETURNING 1
"""
# A number is drawn only by who has the name's lock: otherwise the one who drew first might come second.
_ACQUIRE: Final = """
    WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended($1, 0)))
    INSERT INTO leases AS l (fence, name, owner, expires_at)
    SELECT nextval('leases_fence_seq'), $1, $2, $4 FROM alone
    ON CONFLICT (name) DO UPDATE
    SET fence = excluded.fence, owner = excluded.owner, expires_at = excluded.expires_at
    WHERE l.owner = excluded.owner OR l.expires_at <= $3
    RETURNING fence
"""
_PARK: Final = """
    INSERT INTO parked (kind, key, sealed, expires_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (kind, key) DO UPDATE SET sealed = excluded.sealed, expires_at = excluded.expires_at
"""
_PARKED: Final = "SELECT sealed FROM parked WHERE kind = $1 AND key = $2 AND expires_at > $3"
_TAKE: Final = "DELETE FROM parked WHERE kind = $1 AND key = $2 RETURNING sealed, expires_at"
# A window never ends later than one that begins now: the clock may have been ahead when it began.
_TRY: Final = """
    INSERT INTO tries AS t (kind, key, number, expires_at) VALUES ($1, $2, 1, $4)
    ON CONFLICT (kind, key) DO UPDATE
    SET number = CASE WHEN t.expires_at > $3 THEN t.number + 1 ELSE 1 END,
        expires_at = CASE WHEN t.expires_at > $3 THEN least(t.expires_at, $4) ELSE $4 END
    RETURNING number
"""
_TRIES: Final = "SELECT number, expires_at FROM tries WHERE kind = $1 AND key = $2 AND expires_at > $3"
_ADD_KEY: Final = """
    INSERT INTO signing_keys (number, id, sealed, created_at, signs_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING RETURNING 1
"""


class Sessions:
    """`store.base.Sessions`."""

    def __init__(self, server: Server, sealing: Sealing) -> None:
        self._server = server
        self._sealing = sealing

    async def create(self, session: Session, handle_hash: bytes) -> None:
        """Insert it."""
        values = values_of(Record(session, handle_hash), self._sealing)
        await self._server.rows(_CREATE, *values, list(digests_of(session)))

    async def by_handle(self, handle_hash: bytes, now: float) -> Held | None:
        """Ask for the current handle, and where nobody has it for the one before, in one statement."""
        row = await self._server.row(_BY_HANDLE, handle_hash, now)
        return None if row is None else held_of(row, self._sealing, handle_hash, now)

    async def by_id(self, session_id: str, now: float) -> Session | None:
        """Ask by the primary key."""
        row = await self._server.row(_BY_ID, session_id, now)
        return None if row is None else live_of(row, self._sealing, now)

    async def save(self, session: Session, expect_version: int) -> bool:
        """Update where the version is still the expected one."""
        kept = await self._kept(session.id, expect_version)
        return kept is not None and await self._replace(kept, saved(session, expect_version, kept))

    async def renew_handle(
        self, session: Session, expect_version: int, handle_hash: bytes, *, old_good_until: float
    ) -> bool:
        """Update session and handles."""
        kept = await self._kept(session.id, expect_version)
        return kept is not None and await self._replace(
            kept, renewed(session, expect_version, kept, handle_hash, old_good_until)
        )

    async def _kept(self, session_id: str, version: int) -> Record | None:
        row = await self._server.row(_KEPT, session_id, version)
        return None if row is None else record_of(row, self._sealing, math.inf)

    async def _replace(self, kept: Record, record: Record) -> bool:
        """Put this record in the place of the one that is kept, if it is still there; one statement."""
        before, after = digests_of(kept.session), digests_of(record.session)
        values = values_of(record, self._sealing)[:-1]
        lost, won = list(before - after), list(after - before)
        return await self._server.row(_SAVE, *values, kept.session.version, lost, won) is not None

    async def delete(self, session_id: str) -> tuple[str, ...]:
        """Delete it, its children and what they own."""
        return tuple(ended for (ended,) in await self._server.rows(_DELETE_ONE, session_id))

    async def of_user(self, user_id: str, now: float) -> tuple[Session, ...]:
        """Ask by the user's index."""
        rows = await self._server.rows(_OF_USER, user_id, now) if user_id else ()
        return all_live_of(rows, self._sealing, now)

    async def delete_of(self, user_id: str) -> tuple[str, ...]:
        """Delete all and what they own."""
        rows = await self._server.rows(_DELETE_OF, user_id) if user_id else ()
        return tuple(session_id for (session_id,) in rows)

    async def delete_by(self, client: str) -> tuple[str, ...]:
        """Delete a few of them: no statement takes long."""
        while rows := await self._server.rows(_WITH_DIGEST, client_digest(client), _STEP):
            found = [session_id for (session_id,) in rows]
            # Else somebody else ended them meanwhile.
            if gone := await self._server.rows(_DELETE_THESE, found):
                return tuple(session_id for (session_id,) in gone)
        return ()

    async def by_sid(self, issuer: str, sid: str, now: float) -> tuple[Session, ...]:
        """Ask by the digest; what the records say counts."""
        rows = await self._server.rows(_BY_DIGEST, sid_digest(issuer, sid), now)
        return tuple(one for one in all_live_of(rows, self._sealing, now) if is_of(one, issuer, sid))

    async def of_host(self, host: str, page: Page, now: float) -> tuple[Session, ...]:
        """Ask by the index of hosts; what the records say counts."""
        digest, server = host_digest(host), self._server

        async def ask(before: Place) -> Sequence[Sequence[Any]]:
            return await server.rows(_OF_HOST, digest, now, *before, page.limit)

        return await page_of_host(host, page, now, self._sealing, ask)

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Update all at once; may be lost."""
        latest: dict[str, float] = {}
        for session_id, seen_at in seen:
            latest[session_id] = max(seen_at, latest.get(session_id, seen_at))
        await self._server.rows(_TOUCH, list(latest), list(latest.values()), is_durable=False)

    async def tally(self, now: float) -> int:
        """Count along the index of ends."""
        [(count,)] = await self._server.rows("SELECT count(*) FROM sessions WHERE ends_at > $1", now)
        return int(count)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete the longest dead first, but none that somebody works on; may be lost."""
        return await _counted(self._server, _SWEEP, now, limit)


class Grants:
    """`store.base.Grants`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def get(self, owner: str, client: str) -> SealedGrant | None:
        """Ask by the primary key."""
        row = await self._server.row(_GRANTS + "AND client = $2", owner, client)
        return None if row is None else grant_of(row)

    async def put(self, grant: SealedGrant, expect_version: int | None) -> bool:
        """Insert or update."""
        values = (grant.owner, grant.client, grant.version, grant.sealed, grant.expires_at)
        if expect_version is None:
            return await self._server.row(_PUT, *values) is not None
        return await self._server.row(_REPLACE, *values, expect_version) is not None

    async def delete(self, owner: str, client: str, expect_version: int | None = None) -> bool:
        """Delete by the primary key."""
        return await self._server.row(_DROP, owner, client, expect_version) is not None

    async def of(self, owner: str) -> tuple[SealedGrant, ...]:
        """Ask by the first half of the primary key."""
        rows = await self._server.rows(_GRANTS + 'ORDER BY client COLLATE "C"', owner)
        return tuple(map(grant_of, rows))

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete grants that outlived their owner; may be lost."""
        return await _swept(self._server, "grants", now, limit)


class Marks:
    """`store.base.Marks`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def consume(self, kind: str, key: bytes, now: float, expires_at: float) -> bool:
        """Insert, or take over an expired one."""
        return await self._server.row(_CONSUME, kind, key, now, expires_at) is not None

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete expired ones; may be lost."""
        return await _swept(self._server, "marks", now, limit)


class Leases:
    """`store.base.Leases`.

    Those who hold one outlive a crash of the server, so taking one is durable.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def acquire(self, name: str, owner: str, now: float, ttl_s: float) -> int | None:
        """Insert, or take over the owner's own or one that ran out; a sequence never gives a number twice."""
        row = await self._server.row(_ACQUIRE, name, owner, now, now + ttl_s)
        return None if row is None else int(row[0])

    async def release(self, name: str, owner: str) -> None:
        """Delete the owner's row; lost, it runs out."""
        sql = "DELETE FROM leases WHERE name = $1 AND owner = $2"
        await self._server.rows(sql, name, owner, is_durable=False)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete those that ran out; may be lost."""
        return await _swept(self._server, "leases", now, limit)


class Parking:
    """`store.base.Parking`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def park(self, kind: str, key: bytes, sealed: bytes, expires_at: float) -> None:
        """Insert or replace."""
        await self._server.rows(_PARK, kind, key, sealed, expires_at)

    async def parked(self, kind: str, key: bytes, now: float) -> bytes | None:
        """Ask by the primary key."""
        row = await self._server.row(_PARKED, kind, key, now)
        return None if row is None else bytes(row[0])

    async def take(self, kind: str, key: bytes, now: float) -> bytes | None:
        """Delete by the primary key: of two, one gets the row."""
        row = await self._server.row(_TAKE, kind, key)
        return bytes(row[0]) if row is not None and row[1] > now else None

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete what nobody came for; may be lost."""
        return await _swept(self._server, "parked", now, limit)


class SigningKeys:
    """`store.base.SigningKeys`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def all(self) -> tuple[SigningKeyRow, ...]:
        """Read the table."""
        return tuple(map(signing_key_of, await self._server.rows(SIGNING_KEYS)))

    async def add(self, row: SigningKeyRow) -> bool:
        """Insert it, unless it is there: of two, one puts it in."""
        return await self._server.row(_ADD_KEY, *msgspec.structs.astuple(row)) is not None

    async def delete(self, number: int) -> None:
        """Delete by the primary key."""
        await self._server.rows("DELETE FROM signing_keys WHERE number = $1", number)


class Tries:
    """`store.base.Tries`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def add(self, kind: str, key: bytes, now: float, window_s: float) -> int:
        """Insert or count up; may be lost."""
        [(number,)] = await self._server.rows(_TRY, kind, key, now, now + window_s, is_durable=False)
        return int(number)

    async def count(self, kind: str, key: bytes, now: float) -> tuple[int, float]:
        """Ask by the primary key."""
        row = await self._server.row(_TRIES, kind, key, now)
        return (0, 0.0) if row is None else (row[0], row[1])

    async def clear(self, kind: str, key: bytes) -> None:
        """Delete by the primary key; may be lost."""
        sql = "DELETE FROM tries WHERE kind = $1 AND key = $2"
        await self._server.rows(sql, kind, key, is_durable=False)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete windows that ran out; may be lost."""
        return await _swept(self._server, "tries", now, limit)


class Store:
    """All that one database keeps for the data plane."""

    def __init__(self, server: Server, sealing: Sealing) -> None:
        self._server = server
        self.sessions = Sessions(server, sealing)
        self.grants = Grants(server)
        self.marks = Marks(server)
        self.leases = Leases(server)
        self.parking = Parking(server)
        self.signing_keys = SigningKeys(server)
        self.tries = Tries(server)
        self.revocations = InServer(server)
        self.presence = presence.InServer(server)

    async def close(self) -> None:
        """Let what is under way end, then let go of the connections."""
        await self._server.close()


async def open_store(
    postgres: Postgres, vault: Vault, *, unreadable: Callable[[str], None] = untold
) -> Store:
    """The store in this database, which exists; its tables are made or brought up to date first.

    `unreadable` is told the ids of sessions whose records can't be opened or were altered, once each. Raises
    StoreError, with what to do about it.
    """
    await remote.bring_up(postgres)
    return Store(await Server.open(postgres), Sealing(vault, unreadable=unreadable))


async def _swept(server: Server, table: str, now: float, limit: int) -> int:
    sql = f"""
        WITH gone AS (
            DELETE FROM {table} WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM {table} WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
            RETURNING 1)
        SELECT count(*) FROM gone
    """  # noqa: S608 - our own names
    return await _counted(server, sql, now, limit)


async def _counted(server: Server, sql: str, now: float, limit: int) -> int:
    [(number,)] = await server.rows(sql, now, limit, is_durable=False)
    return int(number)
