"""One SQLite file: reads where they are asked for, writes by one thread, in batches.

A read of one row takes 10 to 16 µs and is done on the event loop by a connection that can only read and
never waits; when the file is busy (somebody recovers its log) the read is done again in a thread, patiently.
A write is a function of a connection. The writer takes all that wait, runs each in a savepoint of one
transaction, commits once with the log synced to disk, and only then answers: what was answered survives kill
-9 and power cuts. A batch of nothing but writes that may be lost is committed without the sync.

A connection that met an unexpected fault is closed, and the next call opens another: a full disk, a stalled
one or a lock held too long is over when it is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

from vestibule.errors import StoreError

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], T]
Row: TypeAlias = tuple[Any, ...]
Arguments: TypeAlias = Sequence[str | bytes | int | float]

BATCH: Final = 256
BUSY_S: Final = 5.0
"""How long a writer, or a read in a thread, waits for somebody else's lock."""
_LOOK_AGAIN_S: Final = 0.01
_LOG_BYTES: Final = 16 * 1024 * 1024
_PASSING: Final = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT))


class _Write(Generic[T]):
    """One write that waits, and where its outcome goes."""

    __slots__ = ("future", "is_durable", "work")

    def __init__(self, work: Work[T], future: asyncio.Future[T], *, is_durable: bool) -> None:
        self.work = work
        self.future = future
        self.is_durable = is_durable

    def settle(self, outcome: T | Exception) -> None:
        """Hand the outcome to whoever still waits; on the event loop."""
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Database:
    """An open file; belongs to the event loop it was opened on."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, *, busy_s: float = BUSY_S) -> None:
        self._path = path
        self._loop = loop
        self._busy_s = busy_s
        self._reader: sqlite3.Connection | None = None
        self._waiting: queue.SimpleQueue[_Write[Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._write_all, name="vestibule-store", daemon=True)

    @classmethod
    async def open(cls, path: Path, *, busy_s: float = BUSY_S) -> Database:
        """The database in this file, which exists. Raises StoreError."""
        database = cls(path, asyncio.get_running_loop(), busy_s=busy_s)
        database._thread.start()
        try:
            await database.write(_recovered)
        except StoreError:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Finish the writes that wait, then let go of the file."""
        if self._closed:
            return
        self._closed = True
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)
        self._drop_reader()

    async def row(self, sql: str, arguments: Arguments = ()) -> Row | None:
        """The first row, or None. Raises StoreError."""
        rows = await self.rows(sql, arguments, limit=1)
        return rows[0] if rows else None

    async def rows(self, sql: str, arguments: Arguments = (), *, limit: int = 1000) -> list[Row]:
        """At most `limit` rows. Raises StoreError."""
        if self._closed:
            raise StoreError("The store is closed.")
        try:
            if self._reader is None:
                self._reader = _connected(self._path, busy_s=0.0, is_reader=True)
            return _fetched(self._reader, sql, arguments, limit)
        except sqlite3.Error as exc:
            if not _is_passing(exc):
                self._drop_reader()
                raise _store_error(exc) from exc
        return await asyncio.to_thread(self._rows_patiently, sql, arguments, limit)

    async def rows_aside(self, sql: str, arguments: Arguments = (), *, limit: int = 1000) -> list[Row]:
        """The same in a thread: for what takes longer than the event loop may stand still. Raises StoreError."""
        if self._closed:
            raise StoreError("The store is closed.")
        return await asyncio.to_thread(self._rows_patiently, sql, arguments, limit)

    async def write(self, work: Work[T], *, is_durable: bool = True) -> T:
        """What `work` returns, once it is committed; `work` runs in the writer's thread and may run SQL only.

        Raises StoreError when it was not written, and what `work` raises. Whoever stops waiting does not
        stop it.
        """
        if self._closed:
            raise StoreError("The store is closed.")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put(_Write(work, future, is_durable=is_durable))
        return await future

    def _rows_patiently(self, sql: str, arguments: Arguments, limit: int) -> list[Row]:
        try:
            connection = _connected(self._path, busy_s=self._busy_s, is_reader=True)
            with contextlib.closing(connection):
                return _fetched(connection, sql, arguments, limit)
        except sqlite3.Error as exc:
            raise _store_error(exc) from exc

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _write_all(self) -> None:
        """The writer's thread: batch after batch until it is told to stop."""
        connection: sqlite3.Connection | None = None
        while batch := self._next_batch():
            try:
                if connection is None:
                    connection = _connected(self._path, busy_s=self._busy_s, is_reader=False)
                outcomes = _committed(connection, batch)
            except Exception as exc:  # noqa: BLE001 - whoever waits must hear of any fault, or waits for ever
                outcomes = [_store_error(exc) for _ in batch]
                if connection is not None and not _is_passing(exc):
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
                    connection = None
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                self._loop.call_soon_threadsafe(_settle, batch, outcomes)
        if connection is not None:
            connection.close()

    def _next_batch(self) -> list[_Write[Any]]:
        """All writes that wait, at least one and at most `BATCH`; empty when the database is closed."""
        batch: list[_Write[Any]] = []
        first = self._waiting.get()
        if first is None:
            return batch
        batch.append(first)
        with contextlib.suppress(queue.Empty):
            while len(batch) < BATCH:
                further = self._waiting.get_nowait()
                if further is None:
                    self._waiting.put(None)
                    break
                batch.append(further)
        return batch


def _recovered(connection: sqlite3.Connection) -> None:
    """Read once: that recovers the log of a killed process here, and not under the event loop."""
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def prepare(path: Path) -> None:
    """Make the file, readable by its owner alone, and the folder it stands in. Raises StoreError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise StoreError(f"The store {path} can't be opened: {exc.strerror}.") from exc


def _connected(path: Path, *, busy_s: float, is_reader: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if is_reader:
            connection.execute("PRAGMA query_only=ON")
        else:
            _write_ahead(connection, busy_s)
            connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}").fetchone()
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, busy_s: float) -> None:
    """Switch to a write-ahead log; SQLite itself waits for nobody here, as when two start on a new file at once."""
    end = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as exc:
            if not _is_passing(exc) or time.monotonic() >= end:
                raise
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


def _fetched(connection: sqlite3.Connection, sql: str, arguments: Arguments, limit: int) -> list[Row]:
    """At most `limit` rows; the statement is reset, so that the read holds back no checkpoint."""
    cursor = connection.execute(sql, arguments)
    try:
        return cursor.fetchmany(limit)
    finally:
        cursor.close()


def _committed(connection: sqlite3.Connection, batch: list[_Write[Any]]) -> list[Any]:
    """What each write returned or raised, once all that succeeded are on disk.

    Raises sqlite3.Error: none is.
    """
    is_durable = any(write.is_durable for write in batch)
    connection.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_attempted(connection, write.work) for write in batch]
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        raise
    return outcomes


def _attempted(connection: sqlite3.Connection, work: Work[Any]) -> Any:
    """What this write returned, or what it raised and undid. Raises what undid the whole transaction."""
    connection.execute("SAVEPOINT one")
    try:
        outcome = work(connection)
    except Exception as exc:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO one")
        outcome = _store_error(exc) if isinstance(exc, sqlite3.Error) else exc
    connection.execute("RELEASE one")
    return outcome


def _settle(batch: list[_Write[Any]], outcomes: list[Any]) -> None:
    for write, outcome in zip(batch, outcomes, strict=True):
        write.settle(outcome)


def _is_passing(exc: Exception) -> bool:
    """True for a fault that leaves the connection as good as it was."""
    code = getattr(exc, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _PASSING


def _store_error(exc: Exception) -> StoreError:
    name = getattr(exc, "sqlite_errorname", type(exc).__name__)
    return StoreError("The store can't be reached just now.", detail=f"{name}: {exc}")
