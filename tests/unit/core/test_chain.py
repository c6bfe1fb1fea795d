"""`core.chain`: the rows of the trail, linked and sealed."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.core.chain import (
    ANCHOR,
    HEAD,
    NO_HASH,
    TEXTS,
    End,
    Entry,
    Fault,
    extended,
    first_fault,
    hash_of,
    head_of,
    is_sealed,
    linked,
    sealed_end,
    swept,
)
from vestibule.core.event import AUDIT_BROKEN, SESSION_CREATED, Event
from vestibule.core.seal import Key, KeyRing

NOW = 1_800_000_000.0
OLD, NEW = Key("k1", b"1" * 32), Key("k2", b"2" * 32)
RING = KeyRing((OLD,))
START = End(name=HEAD)
BOTTOM = End(name=ANCHOR)


def event(number: int, **fields: Any) -> Event:
    return Event(**{"id": f"e{number}", "at": NOW + number, "action": SESSION_CREATED, **fields})


def chained(count: int = 4) -> tuple[tuple[Entry, ...], End]:
    return extended(START, [event(number) for number in range(count)], RING)


def by_hand(entry: Entry) -> str:
    """As docs/audit.md has it, for who wants to check an export by a program of their own."""
    data = b"vestibule audit 1" + struct.pack(">qd", entry.seq, entry.at)
    for name in TEXTS:
        text = getattr(entry, name).encode()
        data += struct.pack(">q", len(text)) + text
    return hashlib.sha256(data).hexdigest()


def test_a_hash_is_over_all_columns_and_the_hash_before():
    (first, second, *_), _ = chained()
    assert (first.previous, second.previous) == (NO_HASH, first.hash)
    assert first.hash == hash_of(first) == by_hand(first)
    assert set(TEXTS) | {"seq", "at", "hash", "seal"} == set(Entry.__struct_fields__)


@pytest.mark.parametrize("name", [name for name in Entry.__struct_fields__ if name not in {"hash", "seal"}])
def test_no_column_can_be_changed_without_another_hash(name):
    (entry, *_), _ = chained()
    other = {"seq": 9, "at": NOW + 0.001}.get(name, "x")
    assert hash_of(replace(entry, **{name: other})) != entry.hash


def test_a_text_can_not_move_from_one_column_to_the_next():
    (entry, *_), _ = extended(START, [event(1, actor="ab", target="c")], RING)
    assert hash_of(replace(entry, actor="a", target="bc")) != entry.hash


def test_the_hash_of_a_row_stays_what_it_is_in_all_versions():
    """Whoever keeps a head elsewhere, or an export, must find it again."""
    written = event(1, actor="user u1", detail={"ö": [1, None]})
    (entry,), _ = extended(START, [written], KeyRing((Key("k1", b"k" * 32),)))
    assert entry.detail == '{"ö":[1,null]}'
    assert entry.hash == by_hand(entry)
    assert json.loads(entry.detail) == written.detail


@pytest.mark.parametrize(
    ("head", "last", "fault"),
    [
        pytest.param(START, None, "", id="new"),
        pytest.param(replace(START, seq=2, hash="aa"), (2, "aa"), "", id="from before the chain"),
        pytest.param(sealed_end(HEAD, 2, "aa", RING), (2, "aa"), "", id="sealed"),
        pytest.param(sealed_end(HEAD, 2, "aa", RING), None, "", id="all swept"),
        pytest.param(sealed_end(HEAD, 2, "aa", RING), (1, "bb"), "another than", id="cut off"),
        pytest.param(sealed_end(HEAD, 2, "aa", RING), (3, "cc"), "another than", id="moved back"),
        pytest.param(START, (3, "cc"), "another than", id="gone"),
        pytest.param(replace(START, seq=2, hash="aa"), None, "is gone", id="emptied"),
        pytest.param(
            sealed_end(HEAD, 2, "aa", KeyRing((NEW,))), (2, "aa"), "key k2, which is not in", id="unknown key"
        ),
        pytest.param(
            replace(sealed_end(HEAD, 2, "aa", RING), seal="ö"), (2, "aa"), "another seal", id="another seal"
        ),
    ],
)
def test_before_it_goes_on_the_head_is_looked_at(head, last, fault):
    found, said = head_of(head, last, RING)
    assert fault in said
    assert bool(fault) is bool(said)
    assert (found.seq, found.hash) == (last or (head.seq, head.hash))


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        pytest.param(sealed_end(HEAD, 4, "aa", RING), "", id="as it was left"),
        pytest.param(sealed_end(HEAD, 9, "ff", RING), "", id="others have added"),
        pytest.param(sealed_end(HEAD, 3, "bb", RING), "put back", id="an earlier one"),
        pytest.param(sealed_end(HEAD, 4, "cc", RING), "put back", id="other rows"),
        pytest.param(replace(START, seq=9, hash="ff"), "without seals", id="as if from before the chain"),
        pytest.param(START, "put back", id="as if new"),
    ],
)
def test_who_has_added_before_knows_what_must_be_there(head, fault):
    last = (head.seq, head.hash) if head.seq else None
    found, said = head_of(head, last, RING, sealed_end(HEAD, 4, "aa", RING))
    assert fault in said
    assert bool(fault) is bool(said)
    assert found == head


def test_what_was_done_to_the_head_is_a_row_in_front_of_the_next_ones():
    entries, head = chained()
    more, end = extended(head, [event(9)], RING, fault="the last row is gone")
    assert [entry.action for entry in more] == [AUDIT_BROKEN, SESSION_CREATED]
    found = first_fault(BOTTOM, (*entries, *more), end, RING)
    assert found == Fault(more[0].id, "before row 5 the trail did not end as it was left")


def test_a_seal_of_one_end_is_none_of_the_other_nor_a_row_s():
    end = sealed_end(HEAD, 2, "aa", RING)
    assert is_sealed(end, RING)
    assert not is_sealed(replace(end, name=ANCHOR), RING)
    assert not is_sealed(replace(end, seq=3), RING)
    entries, head = chained()
    assert not is_sealed(replace(head, seal=entries[-1].seal), RING)


@pytest.mark.parametrize(
    ("before", "expected"),
    [(NOW, None), (NOW + 1, 1), (NOW + 3, 3), (NOW + 99, 4)],
    ids=["none is old", "one", "three", "all"],
)
def test_old_rows_are_swept_up_to_the_first_young_one(before, expected):
    entries, _ = chained()
    anchor = swept(BOTTOM, entries, before, RING)
    assert (anchor and anchor.seq) == expected
    assert anchor is None or is_sealed(anchor, RING)


def test_behind_an_anchor_that_nobody_sealed_nothing_is_swept():
    (first, *rest), _ = chained()
    forged = replace(BOTTOM, seq=first.seq, hash=first.hash, key_id="k1", seal="aa")
    assert swept(forged, rest, NOW + 99, RING) is None
    assert swept(sealed_end(ANCHOR, first.seq, first.hash, RING), rest, NOW + 99, RING) is not None


@pytest.mark.parametrize("hurt", ["anchor", "link", "gap"])
def test_what_is_not_as_it_was_left_is_not_swept(hurt):
    (first, *rest), _ = chained()
    anchor = replace(BOTTOM, seq=7) if hurt == "anchor" else BOTTOM
    row = {"anchor": first, "link": replace(first, previous="aa"), "gap": rest[0]}[hurt]
    assert swept(anchor, (row, *rest), NOW + 99, RING) is None


@pytest.mark.parametrize(
    "columns",
    [{"user_id": b"x"}, {"detail": None}, {"at": "soon"}, {"previous": "ö"}, {"seal": "ö"}, {"hash": "ö"}],
    ids=str,
)
def test_a_row_of_anything_is_told_of_and_hurts_nobody(columns):
    entries, head = chained()
    found = first_fault(BOTTOM, (entries[0], replace(entries[1], **columns), *entries[2:]), head, RING)
    assert found is not None
    assert found.id == "e1"


def test_without_a_key_the_hashes_alone_are_checked():
    entries, head = chained()
    unsealed = [replace(entry, seal="") for entry in entries]
    assert first_fault(BOTTOM, unsealed, head, None) is None
    assert first_fault(BOTTOM, unsealed, head, RING) == Fault("e0", "row 1 bears another seal than ours")
    assert first_fault(BOTTOM, entries[1:], head, None) == Fault(
        "e1", "row 1 is missing: after row 0 comes 2"
    )


def relinked(rows: list[Entry]) -> tuple[Entry, ...]:
    """The rows in a chain that holds, as anybody can make it who has no key."""
    found: list[Entry] = []
    for row in rows:
        found.append(linked(row, found[-1].hash if found else NO_HASH))
    return tuple(found)


def test_a_row_without_a_seal_is_none_behind_one_that_has_it():
    entries, _ = chained()
    bare = [replace(entry, key_id="", seal="") for entry in entries]
    before = (*relinked(bare[:2]),)
    more, head = extended(sealed_end(HEAD, 2, before[-1].hash, RING), [event(8)], RING)
    assert first_fault(BOTTOM, (*before, *more), head, RING) is None
    last = linked(replace(bare[3], seq=4), more[-1].hash)
    end = sealed_end(HEAD, 4, last.hash, RING)
    assert first_fault(BOTTOM, (*before, *more, last), end, RING) == Fault("e3", "row 4 bears no seal")


def test_a_last_row_that_is_another_than_the_head_s_is_told_of_without_a_key_too():
    entries, head = chained()
    last = linked(replace(entries[-1], actor="nobody"), entries[-2].hash)
    found = first_fault(BOTTOM, (*entries[:-1], last), head, None)
    assert found is not None
    assert "the end was cut off or added to" in found.detail


def test_a_head_that_was_kept_is_found_in_the_anchor_once_its_row_was_swept():
    entries, head = chained()
    kept = entries[1].hash
    anchor = swept(BOTTOM, entries, NOW + 2, RING)
    assert anchor is not None
    assert anchor.hash == kept
    assert first_fault(anchor, entries[2:], head, RING, wanted=[kept]) is None
