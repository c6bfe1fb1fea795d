"""One SQLite file: batches, faults, and what comes after them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading

import pytest

from vestibule.errors import StoreError
from vestibule.store.database import Database, prepare


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "test.db"
    prepare(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)")
    return path


@pytest.fixture
async def database(path):
    database = await Database.open(path, busy_s=0.05)
    yield database
    await database.close()


def insert(key, value=b""):
    def work(connection):
        connection.execute("INSERT INTO t VALUES (?, ?)", (key, value))
        return key

    return work


async def holding(database, work=lambda _: None):
    """A write that keeps the writer busy, and the event that lets it go on: what is asked for now waits together."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(connection):
        work(connection)
        entered.set()
        go_on.wait(10)

    held = asyncio.create_task(database.write(hold))
    await asyncio.to_thread(entered.wait, 10)
    return held, go_on


async def keys(database) -> list[int]:
    return [key for (key,) in await database.rows("SELECT k FROM t ORDER BY k")]


async def test_each_writer_gets_its_own_answer(database):
    assert await asyncio.gather(*(database.write(insert(n)) for n in range(1000))) == list(range(1000))
    assert await keys(database) == list(range(1000))


async def test_writes_run_in_the_order_they_were_asked_for(database):
    order = []
    await asyncio.gather(*(database.write(lambda _, n=n: order.append(n)) for n in range(500)))
    assert order == list(range(500))


async def test_writes_that_wait_together_are_committed_together(database):
    """While the first holds the writer, the others queue up, and one transaction takes them all."""
    statements = []
    held, go_on = await holding(database, lambda connection: connection.set_trace_callback(statements.append))
    others = [asyncio.create_task(database.write(insert(n))) for n in range(100)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(held, *others)
    assert statements.count("COMMIT") == 2
    assert await keys(database) == list(range(100))


async def test_a_read_sees_what_was_answered(database):
    for n in range(50):
        await database.write(insert(n))
        assert await database.row("SELECT count(*) FROM t") == (n + 1,)


async def test_a_write_that_fails_is_undone_alone(database):
    def half(connection):
        connection.execute("INSERT INTO t VALUES (100, NULL)")
        raise ValueError("no")

    outcomes = await asyncio.gather(
        database.write(insert(1)),
        database.write(half),
        database.write(insert(1)),
        database.write(insert(2)),
        return_exceptions=True,
    )
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], ValueError)
    assert isinstance(outcomes[2], StoreError)
    assert outcomes[3] == 2
    assert await keys(database) == [1, 2]


async def test_who_stops_waiting_leaves_the_others_their_answers(database):
    held, go_on = await holding(database)
    left, stayed = (asyncio.create_task(database.write(insert(n))) for n in (1, 2))
    await asyncio.sleep(0)
    left.cancel()
    go_on.set()
    await held
    assert await stayed == 2
    assert left.cancelled()
    assert await keys(database) == [1, 2]


async def test_the_reader_cannot_write(database):
    with pytest.raises(StoreError):
        await database.rows("INSERT INTO t VALUES (1, NULL)")
    assert await keys(database) == []


async def test_a_lock_held_too_long_is_a_store_error_and_over_when_it_is_over(database, path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            await database.write(insert(1))
        assert "SQLITE_BUSY" in caught.value.detail
        assert await keys(database) == []
        other.execute("ROLLBACK")
    assert await database.write(insert(1)) == 1


async def test_a_read_that_finds_the_file_busy_is_done_again_in_a_thread(path):
    database = Database(path, asyncio.get_running_loop())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("INSERT INTO t VALUES (7, NULL)")
        reading = asyncio.create_task(keys(database))
        await asyncio.sleep(0)
        assert not reading.done()
        await asyncio.to_thread(other.close)
        assert await reading == [7]
    database._drop_reader()


async def test_a_full_disk_is_a_store_error_and_over_when_it_is_over(database):
    pages = (await database.row("PRAGMA page_count"))[0]
    await database.write(lambda connection: connection.execute(f"PRAGMA max_page_count={pages}").fetchone())
    with pytest.raises(StoreError) as caught:
        await database.write(insert(1, bytes(100_000)))
    assert "SQLITE_FULL" in caught.value.detail
    assert await keys(database) == []
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count=100000").fetchone())
    assert await database.write(insert(1, bytes(100_000))) == 1


async def test_a_fault_that_undoes_the_transaction_fails_all_of_its_writes_and_no_later_one(database):
    def broken(connection):
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    held, go_on = await holding(database)
    together = [asyncio.create_task(database.write(work)) for work in (insert(1), broken, insert(2))]
    await asyncio.sleep(0)
    go_on.set()
    await held
    outcomes = await asyncio.gather(*together, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreError] * 3
    assert await keys(database) == []
    assert await database.write(insert(3)) == 3
    assert await keys(database) == [3]


async def test_a_broken_file_is_a_store_error_for_readers_and_writers(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, bytes(500)) for n in range(500)])
    raw = path.read_bytes()
    path.write_bytes(raw[:4096] + b"\xaa" * (len(raw) - 4096))
    database = await Database.open(path)
    with pytest.raises(StoreError):
        await database.rows("SELECT k FROM t")
    with pytest.raises(StoreError):
        await database.write(insert(1000))
    await database.close()


async def test_a_file_that_is_not_there_is_a_store_error(tmp_path):
    with pytest.raises(StoreError):
        await Database.open(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


async def test_closing_finishes_what_was_asked_for(path):
    database = await Database.open(path)
    writes = [asyncio.create_task(database.write(insert(n))) for n in range(600)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*writes) == list(range(600))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (600,)


async def test_after_closing_nothing_is_read_or_written(path):
    database = await Database.open(path)
    await database.close()
    await database.close()
    with pytest.raises(StoreError, match="closed"):
        await database.row("SELECT 1")
    with pytest.raises(StoreError, match="closed"):
        await database.write(insert(1))


async def test_only_writes_that_may_be_lost_are_committed_without_a_sync(database):
    def level(connection):
        return connection.execute("PRAGMA synchronous").fetchone()[0]

    assert await database.write(level) == 2
    assert await database.write(level, is_durable=False) == 1
    assert await database.write(level) == 2


async def test_the_log_is_emptied_while_readers_come_and_go(database, path):
    """No read is left open that would keep the log growing."""
    for n in range(300):
        await database.write(insert(n, bytes(20_000)))
        await database.row("SELECT v FROM t WHERE k = ?", (n,))
    assert path.with_name("test.db-wal").stat().st_size < 5_000_000
