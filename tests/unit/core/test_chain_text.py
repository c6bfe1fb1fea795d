"""`core.chain_text`: a copy of the trail, and whether it is whole."""

from __future__ import annotations

import json

import pytest

from vestibule.core.chain import ANCHOR, HEAD, End, extended, sealed_end
from vestibule.core.chain_text import check, line_of, read_line
from vestibule.core.event import SESSION_CREATED, Event
from vestibule.core.seal import Key, KeyRing

NOW = 1_800_000_000.125
RING = KeyRing((Key("k1", b"1" * 32),))
EVENTS = [
    Event(id=f"e{n}", at=NOW + n / 3, action=SESSION_CREATED, user_id="ö", detail={"n": [1.5, None, "\n"]})
    for n in range(4)
]
ROWS, LAST = extended(End(name=HEAD), EVENTS, RING)
COPY = [line_of(End(name=ANCHOR)), *map(line_of, ROWS), line_of(LAST)]


def test_a_line_is_json_and_reads_as_the_row_it_was():
    assert [read_line(line) for line in COPY] == [End(name=ANCHOR), *ROWS, LAST]
    assert json.loads(COPY[1])["detail"] == {"n": [1.5, None, "\n"]}
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in COPY)


def test_a_whole_copy_says_what_is_in_it():
    found = check(COPY, RING, wanted=(ROWS[1].hash,))
    assert (found.fault, found.rows, found.unsealed, found.head) == (None, 4, 0, ROWS[-1].hash)
    assert (found.first_at, found.last_at) == (NOW, NOW + 1)


def test_a_copy_that_begins_where_old_rows_were_swept_is_whole():
    anchor = sealed_end(ANCHOR, 2, ROWS[1].hash, RING)
    assert check([line_of(anchor), *COPY[3:]], RING).fault is None


@pytest.mark.parametrize(
    ("lines", "row", "detail"),
    [
        pytest.param(COPY[:-1], "", "it has no head; go on with what comes after row 4", id="broken off"),
        pytest.param([*COPY[:-2], COPY[-2][:40]], "", "line 5 is no row", id="broken off within a line"),
        pytest.param([*COPY[:2], *COPY[3:]], "e2", "row 2 is missing", id="a line left out"),
        pytest.param([COPY[0], *COPY[2:]], "e1", "row 1 is missing", id="the first left out"),
        pytest.param([*COPY[:-2], COPY[-1]], "", "cut off", id="the last left out"),
        pytest.param([*COPY, COPY[2]], "e1", "behind the head", id="a row behind the head"),
        pytest.param([*COPY[:2], COPY[0]], "", "begins another", id="two copies in one"),
        pytest.param([b"[]\n"], "", "line 1 is no row", id="something else"),
        pytest.param([b'{"seq": 1}\n'], "", "line 1 is no row", id="a part of a row"),
        pytest.param(
            [COPY[0], COPY[1].replace(b"session.created", b"session.ended"), *COPY[2:]],
            "e0",
            "is not what was written",
            id="altered",
        ),
        pytest.param([], "", "it has no head", id="nothing"),
    ],
)
def test_what_is_wrong_with_a_copy_is_told(lines, row, detail):
    fault = check(lines, RING).fault
    assert fault is not None
    assert (fault.id, detail in fault.detail) == (row, True), fault


def test_without_a_key_a_chain_of_somebody_else_s_is_one_but_has_not_the_head_that_was_kept():
    rows, last = extended(End(name=HEAD), EVENTS[:2], KeyRing((Key("k1", b"2" * 32),)))
    forged = [line_of(End(name=ANCHOR)), *map(line_of, rows), line_of(last)]
    assert check(forged, None).fault is None
    assert check(forged, RING).fault is not None
    kept = check(forged, None, wanted=(LAST.hash,)).fault
    assert kept is not None
    assert "in none of the rows" in kept.detail
