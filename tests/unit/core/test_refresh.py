"""Refresh tokens: good once."""

from __future__ import annotations

import msgspec
import pytest

from vestibule.core.refresh import PREFIX, Refresh, judged, read, rotated, seal
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Session

RING = KeyRing((Key("k1", b"k" * 32),))
NOW = 1_800_000_000.0
SHOWN = Refresh(session_id="s", app="ios", number=3, host="a.example")


def session(**more: object) -> Session:
    found = {"id": "s", "host": "h", "created_at": NOW, "seen_at": NOW, "expires_at": NOW + 9, "idle_s": 9.0}
    return Session(**{**found, "app": "ios", "rotation": 3, "rotated_at": NOW - 100, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({}, "rotate"),
        ({"rotation": 4}, "reused"),
        ({"rotation": 4, "rotated_at": NOW}, "again"),
        ({"rotation": 4, "rotated_at": NOW - 9.9}, "again"),
        ({"rotation": 4, "rotated_at": NOW - 10}, "reused"),
        ({"rotation": 4, "rotated_at": NOW + 5}, "reused"),
        ({"rotation": 5, "rotated_at": NOW}, "reused"),
        ({"rotation": 2}, "invalid"),
        ({"app": "android"}, "invalid"),
        ({"app": ""}, "invalid"),
    ],
    ids=[
        "the good one",
        "long past",
        "just past",
        "nearly too late",
        "too late",
        "the clock went back",
        "past twice",
        "not yet given",
        "another app's",
        "a browser's session",
    ],
)
def test_what_becomes_of_it(more, verdict):
    assert judged(SHOWN, session(**more), leeway_s=10.0, now=NOW) == verdict


def test_without_leeway_the_one_before_is_never_good():
    assert judged(SHOWN, session(rotation=4, rotated_at=NOW), leeway_s=0.0, now=NOW) == "reused"


def test_the_next_number_is_good_after_a_rotation():
    after = rotated(session(), now=NOW)
    assert (after.rotation, after.rotated_at) == (4, NOW)


def test_one_of_an_older_version_names_no_host():
    older = msgspec.msgpack.encode(["s", "ios", 3])
    assert msgspec.msgpack.decode(older, type=Refresh) == Refresh(session_id="s", app="ios", number=3)


def test_it_can_be_read_here_alone():
    text = seal(RING, SHOWN, nonce=b"n" * 12)
    assert read(RING, text) == SHOWN
    assert read(KeyRing((Key("k1", b"x" * 32),)), text) is None
    for bad in ("", PREFIX, text[:-1], text + "A", text + "\n", text[7:], PREFIX + "é", text + "A" * 1024):
        assert read(RING, bad) is None
