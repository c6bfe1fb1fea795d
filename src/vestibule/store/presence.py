"""Whether there are organisations, asked by the drivers that sessions are read by.

A request asks, so it is known before the records of organisations are imported (`store.records`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vestibule.store.database import Database

if TYPE_CHECKING:
    from vestibule.store.memory_organisations import Organisations
    from vestibule.store.server import Server

_ANY: Final = "SELECT 1 FROM organisations LIMIT 1"


class InFile:
    """`store.base.Presence` in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def organisations(self) -> bool:
        """Ask for one."""
        return await self._database.row(_ANY) is not None


class InServer:
    """`store.base.Presence` in PostgreSQL."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def organisations(self) -> bool:
        """Ask for one."""
        return await self._server.row(_ANY) is not None


class InMemory:
    """`store.base.Presence` for tests."""

    def __init__(self, kept: Organisations) -> None:
        self._kept = kept

    async def organisations(self) -> bool:
        """Look."""
        return await self._kept.any()
