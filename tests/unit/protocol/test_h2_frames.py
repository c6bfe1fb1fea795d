"""Frames one by one, however the bytes come; and what they may cost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import frames_h2 as f
from tests.helpers.peer_h2 import frames_of
from vestibule.protocol.h2_frames import (
    BLOCK_LIMIT_BYTES,
    ENHANCE_YOUR_CALM,
    FRAME_LIMIT_BYTES,
    FRAME_SIZE_ERROR,
    IDLE_FRAMES_MAX,
    IDLE_FRAMES_PER_S,
    PREFACE,
    PROTOCOL_ERROR,
    RESETS_MAX,
    STALL_COST,
    Broken,
    Budget,
    Gate,
    goaway,
    ping,
    reset,
)

FRAMES = [f.settings(), f.headers(), f.data(b"hello", ends=True), f.window(5), f.raw(f.PING, 0, 0, bytes(8))]


def fed(gate: Gate, data: bytes, now: float = 0.0) -> list[bytes]:
    return [frame.data for frame in gate.feed(data, now)]


@pytest.fixture
def gate() -> Gate:
    gate = Gate()
    fed(gate, PREFACE + f.settings())
    return gate


@given(st.lists(st.integers(0, len(PREFACE) + sum(map(len, FRAMES))), max_size=12))
def test_frames_are_the_same_however_they_are_cut(cuts):
    data, gate = PREFACE + b"".join(FRAMES), Gate()
    marks = [0, *sorted(cuts), len(data)]
    assert [one for at, end in itertools.pairwise(marks) for one in fed(gate, data[at:end])] == FRAMES
    assert gate.greeted
    assert gate.held_bytes == 0


def test_what_came_before_the_fault_is_handed_out(gate):
    frames = gate.feed(f.headers() + f.raw(f.DATA, 0, 1, b"", length=FRAME_LIMIT_BYTES + 1), 0.0)
    assert next(frames).kind == f.HEADERS
    with pytest.raises(Broken) as broken:
        next(frames)
    assert broken.value.code == FRAME_SIZE_ERROR


def test_a_frame_that_is_too_large_is_refused_by_its_head(gate):
    with pytest.raises(Broken):
        fed(gate, f.raw(f.DATA, 0, 1, b"", length=1 << 20))
    assert gate.held_bytes < 100


def test_frames_of_no_protocol_spoken_here_are_seen_by_nobody(gate):
    assert fed(gate, f.raw(0x10, 0, 0, b"u=1") + f.raw(f.PING, 0, 0, bytes(8)) + f.raw(0xFF)) == [FRAMES[4]]


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n", PREFACE + f.headers(), PREFACE + f.raw(f.SETTINGS, f.ACK), PREFACE + f.raw(0x99)],
    ids=["HTTP/1.1", "a request", "an acknowledgement", "an unknown frame"],
)
def test_a_connection_begins_with_preface_and_settings(data):
    with pytest.raises(Broken) as broken:
        fed(Gate(), data)
    assert broken.value.code == PROTOCOL_ERROR


def test_it_is_known_when_a_head_is_on_its_way(gate):
    assert not gate.waits_for_head
    fed(gate, f.data(b"hello")[:12])
    assert not gate.waits_for_head
    fed(gate, f.data(b"hello")[12:])
    whole = f.headers()
    fed(gate, whole[:10])
    assert gate.waits_for_head
    fed(gate, whole[10:])
    assert not gate.waits_for_head
    fed(gate, f.headers(flags=0))
    assert gate.waits_for_head
    fed(gate, f.raw(f.CONTINUATION, f.END_HEADERS, 1))
    assert not gate.waits_for_head


def test_a_header_block_has_an_end(gate):
    fed(gate, f.headers(flags=0))
    more = f.raw(f.CONTINUATION, 0, 1, bytes(FRAME_LIMIT_BYTES))
    with pytest.raises(Broken) as broken:
        fed(gate, more * (BLOCK_LIMIT_BYTES // FRAME_LIMIT_BYTES + 1))
    assert broken.value.code == ENHANCE_YOUR_CALM


def test_nor_does_one_go_on_for_ever_that_comes_slowly(gate):
    fed(gate, f.headers(flags=0))
    more = f.raw(f.CONTINUATION, 0, 1, bytes(FRAME_LIMIT_BYTES // 2))
    whole = BLOCK_LIMIT_BYTES // (FRAME_LIMIT_BYTES // 2)
    for number in range(1, whole):
        fed(gate, more, number * 100.0)
    with pytest.raises(Broken) as broken:
        fed(gate, more, whole * 100.0)
    assert broken.value.code == ENHANCE_YOUR_CALM


def test_frames_that_carry_nothing_are_counted_by_time_and_by_what_was_carried(gate):
    one = f.raw(f.PING, 0, 0, bytes(8))
    for second in range(1, 30):
        fed(gate, one * (IDLE_FRAMES_PER_S // 2), float(second))
    for _ in range(40):
        fed(gate, f.window(1) * 500, 30.0)
        gate.earn(500 * 1024)
    with pytest.raises(Broken) as broken:
        fed(gate, one * (IDLE_FRAMES_MAX + 1), 30.0)
    assert broken.value.code == ENHANCE_YOUR_CALM


def test_a_stream_that_was_let_wait_is_worth_many_resets(gate):
    for _ in range(RESETS_MAX // STALL_COST):
        gate.on_stall(0.0)
    with pytest.raises(Broken, match="left to wait") as told:
        gate.on_stall(0.0)
    assert told.value.code == ENHANCE_YOUR_CALM


def test_resets_are_counted_against_what_was_completed(gate):
    for _ in range(RESETS_MAX * 3):
        gate.on_completed()
        gate.on_reset(0.0)
    for _ in range(RESETS_MAX - 1):
        gate.on_reset(0.0)
    with pytest.raises(Broken) as broken:
        gate.on_reset(0.0)
    assert broken.value.code == ENHANCE_YOUR_CALM


def test_a_budget_saves_nothing_up():
    budget = Budget(10, 1)
    budget.earn(1000)
    assert budget.spend(10, 1000.0)
    assert not budget.spend(1, 1000.0)
    assert budget.spend(0, 1001.5)


def test_frames_of_our_own_are_read_as_what_they_are():
    one, two, three = frames_of(goaway(7, 2) + ping(b"12345678") + reset(5, 8))
    assert (one.last_stream_id, one.error_code) == (7, 2)
    assert two.opaque_data == b"12345678"
    assert (three.stream_id, three.error_code) == (5, 8)


def test_what_went_out_explains_two_frames_that_open_windows(gate):
    for _ in range(2 * IDLE_FRAMES_MAX):
        gate.on_sent(1)
        assert len(fed(gate, f.window(1))) == 1


def test_settings_cost_what_it_takes_to_look_at_each_stream(gate):
    for _ in range(9):
        gate.on_settings(1000, 0.0)
    with pytest.raises(Broken) as refused:
        gate.on_settings(1000, 0.0)
    assert refused.value.code == ENHANCE_YOUR_CALM


def test_nobody_has_more_settings_than_there_are(gate):
    with pytest.raises(Broken) as refused:
        fed(gate, f.settings(*((code, 1) for code in range(0x100, 0x180))))
    assert refused.value.code == ENHANCE_YOUR_CALM


def test_before_a_server_there_is_no_preface():
    gate = Gate(b"", 2, 1)
    assert len(fed(gate, f.settings())) == 1
    with pytest.raises(Broken):
        fed(gate, f.settings() * 2)
