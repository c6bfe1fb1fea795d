"""The chain of the trail, on every store: whole after whatever its writers do, and broken by whatever others do."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from tests.contract.test_migrations import File, Remote
from tests.helpers.vault import RING
from vestibule.core import chain
from vestibule.core.chain import Fault, Walk, first_fault
from vestibule.core.event import SESSION_CREATED, Event
from vestibule.core.seal import Key, KeyRing
from vestibule.service.trail import Trail as Proving
from vestibule.store import records
from vestibule.store.base_events import AuditFilter

NOW = 1_800_000_000.0
[OLD] = RING.keys
NEW = Key("k2", b"2" * 32)


def events(first: int, count: int) -> list[Event]:
    return [
        Event(id=f"e{n:03}", at=NOW + n, action=SESSION_CREATED, user_id=f"u{n}", detail={"ö": [n, None]})
        for n in range(first, first + count)
    ]


async def fault(audit: Any, ring: KeyRing | None = RING, *wanted: str) -> Fault | None:
    anchor, head = await audit.ends()
    return first_fault(anchor, await audit.rows(0, 10_000), head, ring, wanted=wanted)


async def seqs(audit: Any) -> list[int]:
    return [entry.seq for entry in await audit.rows(0, 10_000)]


async def test_nothing_is_a_chain_too(store):
    assert await store.audit.rows(0, 9) == ()
    assert await fault(store.audit) is None


async def test_batches_stand_together_one_behind_the_other(store):
    await asyncio.gather(*(store.audit.add(events(10 * n, 5)) for n in range(12)))
    rows = await store.audit.rows(0, 100)
    assert [row.seq for row in rows] == list(range(1, 61))
    batches = [{row.id[:3] for row in rows[at : at + 5]} for at in range(0, 60, 5)]
    assert all(len(batch) == 1 for batch in batches)
    assert await fault(store.audit) is None


async def test_what_is_there_already_takes_no_place(store):
    await store.audit.add(events(0, 2))
    await store.audit.add([*events(1, 2), *events(1, 2)])
    assert [row.id for row in await store.audit.rows(0, 9)] == ["e000", "e001", "e002"]
    assert await seqs(store.audit) == [1, 2, 3]
    assert await fault(store.audit) is None


async def test_rows_come_in_their_order_a_page_at_a_time_and_by_filter(store):
    await store.audit.add(list(reversed(events(0, 4))))
    assert [row.id for row in await store.audit.rows(1, 2)] == ["e002", "e001"]
    wanted = AuditFilter(user_id="u1")
    assert [row.id for row in await store.audit.rows(0, 9, wanted)] == ["e001"]
    assert await store.audit.rows(0, 9, AuditFilter(until=NOW)) == ()


async def test_a_chain_that_was_swept_goes_on_at_its_anchor(store):
    await store.audit.add(events(0, 6))
    assert await store.audit.sweep(NOW + 4, 3) == 3
    assert await fault(store.audit) is None
    assert await store.audit.sweep(NOW + 99) == 3
    assert await fault(store.audit) is None
    await store.audit.add(events(7, 2))
    assert await seqs(store.audit) == [7, 8]
    assert await fault(store.audit) is None


async def test_a_hash_that_was_kept_is_found_also_in_the_anchor_and_another_is_not(store):
    await store.audit.add(events(0, 3))
    first, _, last = await store.audit.rows(0, 9)
    assert await fault(store.audit, RING, first.hash, last.hash) is None
    await store.audit.sweep(NOW + 1)
    assert await fault(store.audit, RING, first.hash) is None
    lost = await fault(store.audit, RING, "f" * 64)
    assert lost is not None
    assert "in none of the rows" in lost.detail


async def test_after_a_rotation_new_rows_vouch_for_those_of_a_key_that_is_gone(store, monkeypatch):
    await store.audit.add(events(0, 3))
    await store.audit.sweep(NOW + 1)
    ring = KeyRing((NEW, OLD))
    monkeypatch.setattr(store.audit, "_ring", ring)
    await store.audit.reseal()
    assert await fault(store.audit, KeyRing((NEW,))) is None
    await store.audit.add(events(5, 1))
    assert {row.key_id for row in await store.audit.rows(0, 9)} == {OLD.id, NEW.id}
    assert await fault(store.audit, ring) is None
    assert await fault(store.audit, KeyRing((NEW,))) is None


async def test_what_an_unknown_key_has_sealed_is_not_sealed_anew(store, monkeypatch):
    await store.audit.add(events(0, 1))
    monkeypatch.setattr(store.audit, "_ring", KeyRing((NEW,)))
    await store.audit.reseal()
    found = await fault(store.audit, KeyRing((NEW,)))
    assert found == Fault("e000", "the end is sealed by key k1, which is not in the key ring")


async def test_whoever_has_another_key_makes_no_chain(store, monkeypatch):
    await store.audit.add(events(0, 2))
    monkeypatch.setattr(store.audit, "_ring", KeyRing((Key("k1", b"guessed." * 4),)))
    await store.audit.add(events(2, 2))
    found = await fault(store.audit)
    assert found is not None
    assert "bears another seal than ours" in found.detail
    # By the hashes alone it is one: nobody without the key can say more.
    assert await fault(store.audit, None) == await fault(store.audit, None)


# -- on databases that somebody writes to from outside ----------------------------------------


class Trail:
    """A database with six rows in its trail."""

    def __init__(self, database: Any, audit: Any) -> None:
        self.execute = database.execute
        self.url = database.url
        self.audit = audit


@pytest.fixture(params=["sqlite", "postgres"])
async def trail(request, tmp_path) -> AsyncIterator[Trail]:
    database: Any
    if request.param == "sqlite":
        database = File(tmp_path / "vestibule.db")
        await database.bring_up()
    else:
        database = Remote(request.getfixturevalue("postgres"))
    kept = records.open_records(database.place, ring=RING)
    async with contextlib.aclosing(_Closing(kept)):
        yield Trail(database, kept.audit)


class _Closing:
    def __init__(self, kept: records.Records) -> None:
        self.aclose = kept.close


COLUMNS = "seq, previous, id, at, action, outcome, actor, target, user_id, session_id, host, address, device"
ALL = f"{COLUMNS}, request_id, detail, key_id, hash, seal"
COPY = (
    f"INSERT INTO audit ({ALL}) SELECT {{}}, request_id, detail, key_id, hash, seal FROM audit WHERE seq = 3"
)
TAMPERINGS = [
    *(
        pytest.param(
            (f"UPDATE audit SET {column} = '{value}' WHERE seq = 3",), "e002", "is not what was", id=column
        )
        for column, value in [
            ("action", "session.ended"),
            ("outcome", "refused"),
            ("actor", "somebody"),
            ("target", "x"),
            ("user_id", "mallory"),
            ("session_id", "x"),
            ("host", "x"),
            ("address", "x"),
            ("device", "x"),
            ("request_id", "x"),
            ("detail", "{}"),
            ("key_id", ""),
            ("hash", "0" * 64),
        ]
    ),
    pytest.param(("UPDATE audit SET at = at + 0.001 WHERE seq = 3",), "e002", "is not what was", id="time"),
    pytest.param(("UPDATE audit SET id = 'e009' WHERE seq = 3",), "e009", "is not what was", id="id"),
    pytest.param(("UPDATE audit SET seal = '' WHERE seq = 3",), "e002", "another seal", id="seal"),
    pytest.param(
        ("UPDATE audit SET previous = hash WHERE seq = 3",), "e002", "does not follow", id="previous"
    ),
    pytest.param(
        # moved between two columns: the same text in a row
        ("UPDATE audit SET host = user_id, user_id = '' WHERE seq = 3",),
        "e002",
        "is not what was",
        id="a value in another column",
    ),
    pytest.param(("DELETE FROM audit WHERE seq = 3",), "e003", "row 3 is missing", id="deleted"),
    pytest.param(("DELETE FROM audit WHERE seq = 1",), "e001", "row 1 is missing", id="the first deleted"),
    pytest.param(
        ("DELETE FROM audit WHERE seq = 3", "UPDATE audit SET seq = seq - 1 WHERE seq = 4"),
        "e003",
        "does not follow",
        id="deleted and the gap closed",
    ),
    pytest.param(
        (
            "UPDATE audit SET seq = 99 WHERE seq = 3",
            "UPDATE audit SET seq = 3 WHERE seq = 4",
            "UPDATE audit SET seq = 4 WHERE seq = 99",
        ),
        "e003",
        "does not follow",
        id="put in another order",
    ),
    pytest.param(
        (
            COPY.format(
                COLUMNS.replace("seq, previous, id", "7, (SELECT hash FROM audit WHERE seq = 6), 'e100'")
            ),
        ),
        "e100",
        "is not what was",
        id="put in",
    ),
    pytest.param(("DELETE FROM audit WHERE seq > 4",), "", "the end was cut off", id="cut off"),
    pytest.param(
        (
            "DELETE FROM audit WHERE seq > 4",
            "UPDATE audit_ends SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4) WHERE name = 'head'",
        ),
        "",
        "another seal than ours",
        id="cut off with the head",
    ),
    pytest.param(
        (
            "DELETE FROM audit WHERE seq > 4",
            "UPDATE audit_ends SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4) WHERE name = 'head'",
            "UPDATE audit_ends SET seal = (SELECT seal FROM audit WHERE seq = 4) WHERE name = 'head'",
        ),
        "",
        "another seal than ours",
        id="cut off with a row's seal as the head's",
    ),
    pytest.param(("DELETE FROM audit_ends",), "", "the end was cut off", id="both ends deleted"),
    pytest.param(
        (
            "DELETE FROM audit WHERE seq < 3",
            "DELETE FROM audit_ends WHERE name = 'anchor'",
            "INSERT INTO audit_ends SELECT 'anchor', 2, previous, 'k1', '' FROM audit WHERE seq = 3",
        ),
        "",
        "the beginning",
        id="the beginning cut off",
    ),
    pytest.param(
        (
            "UPDATE audit SET key_id = ''",
            "UPDATE audit_ends SET key_id = '', seal = ''",
        ),
        "e000",
        "is not what was",
        id="all made to be from before the chain",
    ),
]


@pytest.mark.parametrize(("statements", "row", "detail"), TAMPERINGS)
async def test_what_was_done_to_it_is_found_and_named(trail, statements, row, detail):
    await trail.audit.add(events(0, 6))
    assert await fault(trail.audit) is None
    for sql in statements:
        trail.execute(sql)
    found = await fault(trail.audit)
    assert found is not None
    assert (found.id, detail in found.detail) == (row, True), found


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(("DELETE FROM audit WHERE seq > 4",), id="rows cut off"),
        pytest.param(("DELETE FROM audit_ends WHERE name = 'head'",), id="the head deleted"),
        pytest.param(
            (
                "DELETE FROM audit WHERE seq > 4",
                "UPDATE audit_ends SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4) WHERE name = 'head'",
            ),
            id="cut off with the head",
        ),
        pytest.param(("UPDATE audit_ends SET seq = 3 WHERE name = 'head'",), id="the head moved back"),
        pytest.param(("UPDATE audit_ends SET seal = '' WHERE name = 'head'",), id="the seal taken off"),
    ],
)
async def test_what_was_done_to_the_end_stays_in_the_trail_which_goes_on(trail, statements):
    await trail.audit.add(events(0, 6))
    for sql in statements:
        trail.execute(sql)
    await trail.audit.add(events(10, 2))
    found = await fault(trail.audit)
    assert found is not None
    assert found.id.startswith("evt_broken_")
    assert [row.id for row in await trail.audit.rows(0, 99)][-2:] == ["e010", "e011"]


FORGED = """
DELETE FROM audit_ends; DELETE FROM audit WHERE seq > 1;
UPDATE audit SET key_id = '', seal = '', actor = 'user innocent', previous = '{previous}', hash = '{hash}';
INSERT INTO audit_ends (name, seq, hash, key_id, seal) VALUES ('head', 1, '{hash}', '', '')
"""


@pytest.mark.parametrize("how", ["an earlier state", "written anew", "emptied"])
async def test_who_writes_the_database_while_it_is_added_to_can_not_take_it_back(trail, how):
    """Threat: rows cut off with the head that stood there before, or all of it made to be from before the chain."""
    await trail.audit.add(events(0, 4))
    _, earlier = await trail.audit.ends()
    [first, *_] = await trail.audit.rows(0, 1)
    await trail.audit.add(events(4, 2))
    if how == "an earlier state":
        trail.execute("DELETE FROM audit WHERE seq > 4")
        trail.execute(
            f"UPDATE audit_ends SET seq = 4, hash = '{earlier.hash}', seal = '{earlier.seal}' WHERE name = 'head'"
        )
    elif how == "written anew":
        bare = replace(first, key_id="", seal="", actor="user innocent")
        forged = chain.linked(bare, chain.NO_HASH)
        for sql in FORGED.format(previous=forged.previous, hash=forged.hash).split(";"):
            trail.execute(sql)
    else:
        trail.execute("DELETE FROM audit")
        trail.execute("DELETE FROM audit_ends")
    assert not (await Proving(trail.audit, RING).verify()).ok
    await trail.audit.add(events(10, 1))
    proof = await Proving(trail.audit, RING).verify()
    assert (proof.ok, proof.broken_id[:11]) == (False, "evt_broken_")


async def test_what_was_tampered_with_is_not_swept_away(trail):
    await trail.audit.add(events(0, 6))
    trail.execute("DELETE FROM audit WHERE seq = 1")
    assert await trail.audit.sweep(NOW + 99) == 0
    assert len(await seqs(trail.audit)) == 5


OF_0009 = "INSERT INTO audit VALUES ('old{n}', {at}, 'session.created', 'ok', '', '', 'u{n}', '', '', '', '', '', '{{}}')"


@pytest.fixture(params=["sqlite", "postgres"])
async def upgraded(request, tmp_path) -> AsyncIterator[Trail]:
    """A database that was brought up from 0009 with rows in it."""
    database: Any
    if request.param == "sqlite":
        database = File(tmp_path / "vestibule.db")
    else:
        cluster = request.getfixturevalue("postgres_cluster")
        database = Remote(made := cluster.database(empty=True))
    await asyncio.to_thread(database.upgrade, "0009")
    for number in range(4):
        database.execute(OF_0009.format(n=number, at=NOW - number))
    await database.bring_up()
    kept = records.open_records(database.place, ring=RING)
    async with contextlib.aclosing(_Closing(kept)):
        yield Trail(database, kept.audit)
    if request.param == "postgres":
        cluster.drop(made)


async def test_rows_from_before_the_chain_are_linked_and_vouched_for_by_the_first_behind_them(upgraded):
    assert [row.id for row in await upgraded.audit.rows(0, 9)] == ["old3", "old2", "old1", "old0"]
    unsealed = await fault(upgraded.audit)
    assert unsealed is not None
    assert "bears no seal" in unsealed.detail
    await upgraded.audit.add(events(0, 1))
    assert await fault(upgraded.audit) is None
    upgraded.execute("UPDATE audit SET user_id = 'mallory' WHERE id = 'old1'")
    assert await fault(upgraded.audit) == Fault("old1", "row 3 is not what was written")


async def test_rows_from_before_the_chain_are_swept_as_others_are(upgraded):
    await upgraded.audit.add(events(0, 1))
    assert await upgraded.audit.sweep(NOW - 1) == 2
    assert await fault(upgraded.audit) is None


# -- several processes ------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from pathlib import Path
from vestibule.core.event import Event
from vestibule.core.postgres import parse
from vestibule.core.seal import Key, KeyRing
from vestibule.store.records import open_records

async def main(url, name):
    place = Path(url.removeprefix("sqlite:")) if url.startswith("sqlite:") else parse(url)
    kept = open_records(place, ring=KeyRing((Key("k1", b"k" * 32),)))
    for batch in range(25):
        made = [Event(id=f"{name}-{batch}-{n}", at=1.8e9, action="session.created") for n in range(4)]
        await kept.audit.add(made)
        if batch == 12:
            await kept.audit.sweep(2e9, 3)
    await kept.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_add_at_the_same_time_make_one_chain(trail):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, trail.url, name]) for name in "abc"]
    assert [await asyncio.to_thread(writer.wait, 120) for writer in writers] == [0, 0, 0]
    rows = await trail.audit.rows(0, 10_000)
    assert [row.seq for row in rows] == list(range(10, 301))
    batches = [
        [row.id.rpartition("-")[0] for row in rows if row.seq in range(at, at + 4)]
        for at in range(13, 301, 4)
    ]
    assert all(len(set(batch)) == 1 for batch in batches)
    assert {batch[0][0] for batch in batches} == set("abc")
    assert await fault(trail.audit) is None


async def test_a_walk_says_what_it_has_seen(trail):
    await trail.audit.add(events(0, 3))
    anchor, _ = await trail.audit.ends()
    walk = Walk(anchor, RING)
    for row in await trail.audit.rows(0, 9):
        assert walk.take(row) is None
    assert (walk.rows, walk.unsealed, walk.first_at, walk.last_at) == (3, 0, NOW, NOW + 2)
    assert walk.take(replace(row, seq=9)) == Fault("e002", "row 4 is missing: after row 3 comes 9")
