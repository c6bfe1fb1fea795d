"""What stands under which key, in which slot."""

from __future__ import annotations

import struct

import pytest

from vestibule.model import Session
from vestibule.store.redis_keys import (
    SLACK_MS,
    Keys,
    packed,
    packed_grant,
    seen_bytes,
    ttl_ms,
    unpacked,
    unpacked_grant,
    version_bytes,
)
from vestibule.store.redis_net import slot_of

NOW = 1_800_000_000.25
SESSION = Session(
    id="s1", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + 100.5, idle_s=50.0, version=2**47
)
KEYS = Keys("vestibule:")


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3 % 16384),
        (b"foo", 12182),
        (b"{foo}.bar", 12182),
        (b"a{foo}b{bar}", 12182),
        (b"", 0),
    ],
)
def test_a_slot_is_what_the_cluster_specification_says(key, slot):
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"foo{bar}{zap}", b"bar"),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar", b"foo{bar"),
    ],
)
def test_of_a_key_with_braces_counts_what_stands_in_the_first(key, counts):
    assert slot_of(key) == slot_of(counts)
    assert slot_of(b"foo{}{bar}") != slot_of(b"bar")


def test_what_belongs_to_a_session_stands_in_one_slot():
    keys = (KEYS.session("s1"), KEYS.grants("s1"), KEYS.children("s1"))
    assert len({slot_of(key) for key in keys}) == 1
    assert len(set(keys)) == 3


def test_shards_are_spread_and_a_member_is_always_in_the_same():
    members = [str(number).encode() for number in range(500)]
    shards = {KEYS.shard("m", member) for member in members}
    assert len(shards) == 16
    assert len({slot_of(shard) for shard in shards}) == 16
    assert KEYS.shard("m", b"1") == KEYS.shard("m", b"1") != KEYS.shard("k", b"1")


def test_a_session_is_packed_so_that_scripts_find_their_way():
    value = packed(SESSION, b"sealed")
    assert unpacked(value) == (NOW, 2**47, b"sealed")
    assert value.startswith(seen_bytes(NOW))
    assert value[24:32] == version_bytes(2**47)
    with pytest.raises(struct.error):
        unpacked(b"short")


def test_a_grant_is_packed_with_its_version_first():
    value = packed_grant(7, NOW, b"box")
    assert unpacked_grant(value) == (7, NOW, b"box")
    assert value[:8] == version_bytes(7)


@pytest.mark.parametrize(
    ("left_s", "ms"),
    [(100.5, 100_500), (0.0, 0), (-5.0, 0), (1e12, 10 * 366 * 86_400_000)],
)
def test_a_key_lives_longer_than_its_session_and_not_for_ever(left_s, ms):
    session = Session(id="s", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + left_s, idle_s=1.0)
    assert ttl_ms(session) == SLACK_MS + ms
