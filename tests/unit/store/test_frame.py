"""Frames: only what this installation wrote is read, and each fits a notification of PostgreSQL."""

from __future__ import annotations

import base64

import msgspec
import pytest

from tests.helpers.vault import RING
from vestibule.core.seal import Key, KeyRing
from vestibule.store.base import EVERYTHING
from vestibule.store.frame import (
    FRAME_MAX_BYTES,
    Ack,
    Beat,
    Change,
    Frame,
    Goodbye,
    Sync,
    packed,
    read,
    written,
)

NODE = "f" * 32
FRAME = Frame(1, NODE, 7, (Beat(3), Change("session", "é"), Sync(1), Ack("a" * 32, 2), Goodbye()))


def test_what_was_written_is_read():
    assert read(written(FRAME, RING), RING) == FRAME


def sealed(value: object) -> bytes:
    body = msgspec.msgpack.encode(value)
    return RING.mac("changes", body) + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 31,
        b"\0" * 200,
        written(FRAME, RING)[:-1],
        written(FRAME, RING) + b"\0",
        written(FRAME, KeyRing((Key("k1", b"another" * 8),))),
        sealed([2, NODE, 7, []]),
        sealed([1, NODE, 7, [["future", 1]]]),
        sealed([1, NODE, "7", []]),
        sealed({"node": NODE}),
        sealed(None),
    ],
    ids=[
        *("nothing", "too short", "zeros", "cut", "longer", "another installation's"),
        *("a later version", "an unknown message", "a wrong type", "another shape", "null"),
    ],
)
def test_what_is_no_frame_of_ours_is_not_read(data):
    assert read(data, RING) is None


def test_what_a_later_version_adds_to_a_message_is_left_out():
    assert read(sealed([1, NODE, 7, [["b", 3, "more"]], "more"]), RING) == Frame(1, NODE, 7, (Beat(3),))


def test_a_key_that_is_kept_still_reads():
    older, newer = KeyRing((Key("k1", b"k" * 32),)), KeyRing((Key("k2", b"n" * 32), Key("k1", b"k" * 32)))
    assert read(written(FRAME, older), newer) == FRAME
    assert read(written(FRAME, newer), older) is None


@pytest.mark.parametrize("size", [0, 1, 30, 5_000], ids=str)
def test_each_group_fits_a_notification_and_nothing_is_lost_or_moved(size):
    messages = [Change("session", f"{number}{'é' * (size // 2)}") for number in range(300)]
    groups = list(packed(messages))
    assert [message for group in groups for message in group] == messages
    for number, group in enumerate(groups):
        data = written(Frame(1, NODE, 2**40 + number, group), RING)
        assert len(data) <= FRAME_MAX_BYTES
        assert len(base64.b64encode(data)) < 8000


def test_the_largest_frame_is_the_largest_that_fits():
    whole = Change("k", "a" * (FRAME_MAX_BYTES - 96 - 16 - 1))
    assert list(packed([whole])) == [(whole,)]
    assert len(written(Frame(1, NODE, 2**40, (whole,)), RING)) <= FRAME_MAX_BYTES


@pytest.mark.parametrize("key", ["a" * FRAME_MAX_BYTES, "\ud800"], ids=["too long", "a lone surrogate"])
def test_what_can_not_be_said_is_said_as_everything(key):
    groups = list(packed([Beat(1), Change("session", key), Beat(2)]))
    assert [message for group in groups for message in group] == [
        Beat(1),
        Change(EVERYTHING, EVERYTHING),
        Beat(2),
    ]
