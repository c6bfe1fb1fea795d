"""A WebSocket that is told to end: between two frames, once, and nothing after it."""

from __future__ import annotations

import pytest

from vestibule.proxy.tunnel import Tunnel, Way

BYE = b"\x88\x02\x03\xe9"


def test_bytes_pass_as_they_are():
    way = Way()
    assert way.passed(b"\x81\x03ab") == b"\x81\x03ab"
    assert way.passed(b"c\x82") == b"c\x82"


def test_between_two_frames_goodbye_is_said_at_once_and_nothing_follows():
    way = Way()
    way.passed(b"\x81\x03abc")
    assert way.leave(BYE) == BYE
    assert (way.is_closed, way.passed(b"\x81\x01x")) == (True, b"")
    assert way.leave(BYE) == b""


@pytest.mark.parametrize("rest", [b"bc", b"bc\x81\x01x"], ids=["alone", "with the next"])
def test_within_a_frame_it_waits_for_its_end(rest):
    way = Way()
    way.passed(b"\x81\x04a")
    assert way.leave(BYE) == b""
    assert way.passed(b"_") == b"_"
    assert way.passed(rest) == b"bc" + BYE
    assert way.passed(b"\x81\x01x") == b""


@pytest.mark.parametrize("begun", [b"\x88\x02\x03\xe8", b"\x88\x02\x03"], ids=["whole", "begun"])
def test_who_closes_by_itself_is_left_to_do_so(begun):
    way = Way()
    way.passed(begun)
    assert way.leave(BYE) == b""
    assert way.passed(b"\xe8"[: 4 - len(begun)]) == b"\xe8"[: 4 - len(begun)]


def test_a_close_that_comes_while_goodbye_waits_is_the_last():
    way = Way()
    way.passed(b"\x88")
    assert way.leave(BYE) == b""
    assert way.passed(b"\x02\x03\xe8\x81\x00") == b"\x02\x03\xe8"
    assert way.is_closed


def test_each_side_is_told_in_its_way():
    tunnel = Tunnel()
    to_client, to_backend = tunnel.leave()
    assert tunnel.is_leaving
    assert to_client == BYE
    assert (to_backend[:2], len(to_backend)) == (b"\x88\x82", 8)
    mask = to_backend[2:6]
    assert bytes(byte ^ mask[at] for at, byte in enumerate(to_backend[6:])) == b"\x03\xe9"
