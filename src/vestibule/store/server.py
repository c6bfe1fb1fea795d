"""One PostgreSQL database: statements on connections of a pool.

Each statement is a transaction of its own and prepared once a connection. The times here are the outermost: connecting
(unless the operator gives it more) and waiting for a free connection 2 s, a statement 5 s (the server itself breaks it
off then). How long somebody waits
at most, and what happens while the server is away, `store.guard` says. A connection whose statement was given up is
dropped: an answer that comes late finds nobody.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from vestibule.core.postgres import Postgres
from vestibule.errors import StoreError

Row: TypeAlias = Sequence[Any]

CONNECT_S: Final = 2.0
STATEMENT_S: Final = 5.0
_SILENCE_S: Final = 1.0
"""How much longer than a statement may take the server may say nothing; then nobody is there."""
_CLOSE_S: Final = 5.0
_IDLE_S: Final = 300.0
_BEGIN_WITH: Final = 4
"""So many connections are there from the beginning."""
FAULTS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError too
)
"""Whatever asyncpg raises."""


class _Connection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
    """A connection that is given back as it was taken: nothing here listens, sets or locks beyond a statement."""

    def get_reset_query(self) -> str:
        """Nothing; asyncpg's own is a round trip after each statement."""
        return ""


class _HangingUp(_Connection):
    """A connection that doesn't wait long for a goodbye: what was given up is no reason to."""

    after_s = CONNECT_S

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's own signature
        """Close it in time, or hang up. Raises TimeoutError: it was hung up."""
        await super().close(timeout=min(timeout or self.after_s, self.after_s))


class Server:
    """Pools of connections to one database; belongs to the event loop it was opened on."""

    def __init__(self, durable: asyncpg.Pool, relaxed: asyncpg.Pool) -> None:
        self._durable = durable
        self._relaxed = relaxed

    @classmethod
    async def open(cls, postgres: Postgres) -> Server:
        """The database's pools, some connections made. Raises StoreError.

        Else the first people who come at once wait for as many connections to be made, and it looks as if the database
        were slow.
        """
        options = connecting(postgres)
        options |= {
            "connection_class": _Connection,
            "max_inactive_connection_lifetime": _IDLE_S,
            "min_size": 0,  # else asyncpg tries on its own, and writes to a log of its own
        }
        settings = {**options["server_settings"], "synchronous_commit": "off"}
        server = cls(
            await asyncpg.create_pool(**options, max_size=8),
            await asyncpg.create_pool(**{**options, "server_settings": settings}, max_size=2),
        )
        try:
            await asyncio.gather(*(_fetched(server._durable, "SELECT 1", ()) for _ in range(_BEGIN_WITH)))
        except FAULTS as exc:
            await server.close()
            raise unopened(postgres, exc) from exc
        return server

    async def close(self) -> None:
        """Let what is under way end, then let go of the connections."""
        await asyncio.gather(_closed(self._durable), _closed(self._relaxed))

    async def row(self, sql: str, *arguments: Any) -> Row | None:
        """The first row, or None; what it wrote is durable. Raises StoreError."""
        rows = await self.rows(sql, *arguments)
        return rows[0] if rows else None

    async def rows(self, sql: str, *arguments: Any, is_durable: bool = True) -> Sequence[Row]:
        """All rows. Without `is_durable`, what it wrote may be lost in a crash of the server. Raises StoreError."""
        pool = self._durable if is_durable else self._relaxed
        try:
            return await _fetched(pool, sql, arguments)
        except asyncpg.CharacterNotInRepertoireError:
            return ()  # a text with NUL in it: it can't be stored, so nothing has it
        except FAULTS as exc:
            raise StoreError(
                "The store can't be reached just now.", detail=f"{type(exc).__name__}: {exc}"
            ) from exc


async def _closed(pool: asyncpg.Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), _CLOSE_S)
    except FAULTS:
        pool.terminate()


async def connected(
    postgres: Postgres, *, statement_s: float = STATEMENT_S, hangs_up_after_s: float = CONNECT_S
) -> asyncpg.Connection:
    """A connection of its own, which is closed in this time. Raises OSError, asyncpg's errors, StoreError."""
    options = connecting(postgres, statement_s=statement_s)
    connection = await asyncpg.connect(**options, connection_class=_HangingUp)
    connection.after_s = hangs_up_after_s
    return connection


def connecting(postgres: Postgres, *, statement_s: float = STATEMENT_S) -> dict[str, Any]:
    """What asyncpg has to know. Raises StoreError when the file of authorities can't be read."""
    return {
        "host": postgres.host,
        "port": postgres.port,
        "user": postgres.user or None,
        "password": postgres.password.reveal() or None,
        "database": postgres.name,
        "ssl": _tls(postgres),
        "timeout": max(CONNECT_S, postgres.timeout_s),
        "command_timeout": statement_s + _SILENCE_S,
        "server_settings": {
            "application_name": "vestibule",
            "statement_timeout": f"{statement_s * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{statement_s * 1000:.0f}",
        },
    }


def unopened(postgres: Postgres, exc: Exception) -> StoreError:
    """What is told when the program can't start."""
    return StoreError(
        f"The store {postgres} can't be opened: {str(exc) or 'it does not answer'}.",
        detail=type(exc).__name__,
    )


async def _fetched(pool: asyncpg.Pool, sql: str, arguments: Sequence[Any]) -> Sequence[Row]:
    async with pool.acquire(timeout=CONNECT_S) as connection:
        try:
            rows: Sequence[Row] = await connection.fetch(sql, *arguments)
        except (TimeoutError, asyncio.CancelledError):
            # Threat: somebody else's answer, read by who has this connection next. Asking the server to stop, on a
            # connection more, would take as long again.
            connection.terminate()
            raise
        return rows


def _tls(postgres: Postgres) -> ssl.SSLContext | str | bool:
    """As libpq does by `sslmode`; with a file of authorities, `require` is `verify-ca`."""
    if postgres.host.startswith("/") or postgres.sslmode == "disable":
        return False
    if postgres.sslmode == "prefer":
        return "prefer"
    try:
        context = ssl.create_default_context(cafile=postgres.sslrootcert or None)
    except OSError as exc:  # SSLError too
        raise unopened(postgres, exc) from exc
    context.check_hostname = postgres.sslmode == "verify-full"
    if not postgres.is_checked:
        context.verify_mode = ssl.CERT_NONE
    return context
