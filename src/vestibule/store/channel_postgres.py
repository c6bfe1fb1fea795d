"""The channel of processes that share a PostgreSQL database: LISTEN and NOTIFY, on one connection of each.

A notification reaches all who listen in the order of the transactions that made them, whoever made it. It belongs to
the database: another database of the same server hears nothing. Each batch of frames is one transaction, which writes
nothing and waits for no disk. A connection pooler in between has to leave connections to their clients (pgbouncer:
`pool_mode = session`).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import asyncpg

from vestibule.core.postgres import Postgres
from vestibule.errors import StoreError
from vestibule.store.bus import Link, Transport
from vestibule.store.server import FAULTS, connecting

_CHANNEL: Final = "vestibule_changes"
_NOTIFY: Final = "SELECT pg_notify($1, frame) FROM unnest($2::text[]) AS frame"
_STATEMENT_S: Final = 2.0
_CLOSE_S: Final = 0.5


def open_postgres(place: Postgres) -> Transport:
    """The channel of this database."""
    return _Postgres(place)


class _Postgres:
    def __init__(self, place: Postgres) -> None:
        self._place = place

    async def connect(self, take: Callable[[bytes], None], lost: Callable[[], None]) -> Link:
        options = connecting(self._place, statement_s=_STATEMENT_S)
        options["server_settings"] |= {
            "application_name": "vestibule changes",
            "synchronous_commit": "off",  # what is said is of no use after a crash
        }
        try:
            connection = await asyncpg.connect(**options)
        except FAULTS as exc:
            raise _away(exc) from exc
        link = _PostgresLink(connection)
        try:
            connection.add_termination_listener(lambda _connection: lost())
            await connection.add_listener(_CHANNEL, lambda *told: take(_frame(told[-1])))
        except BaseException as exc:
            connection.terminate()
            if isinstance(exc, FAULTS):
                raise _away(exc) from exc
            raise
        return link


class _PostgresLink:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def send(self, frames: Sequence[bytes]) -> None:
        texts = [base64.b64encode(frame).decode("ascii") for frame in frames]
        try:
            await self._connection.fetch(_NOTIFY, _CHANNEL, texts)
        except FAULTS as exc:
            raise _away(exc) from exc

    async def close(self) -> None:
        try:
            with contextlib.suppress(*FAULTS):
                await self._connection.close(timeout=_CLOSE_S)
        finally:
            self._connection.terminate()


def _frame(payload: str) -> bytes:
    """What somebody notified of; empty, which nobody can read either, where it is no frame."""
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _away(exc: BaseException) -> StoreError:
    return StoreError("The channel of changes can't be reached.", detail=f"{type(exc).__name__}: {exc}")
