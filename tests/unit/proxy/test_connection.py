"""What connections of either protocol have in common."""

from __future__ import annotations

import socket
import struct

import pytest

from vestibule.proxy.connection import gets_less, reset


class Below:
    """A socket, and the transport on it."""

    def __init__(self, *, error: OSError | None = None) -> None:
        self.done: list[object] = []
        self.error = error

    def get_extra_info(self, name):
        return self if name == "socket" else None

    def setsockopt(self, *told):
        if self.error is not None:
            raise self.error
        self.done.append(told)

    def abort(self):
        self.done.append("abort")


class Bare(Below):
    def get_extra_info(self, name):
        return None


NO_LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("below", "done"),
    [
        (Below(), [NO_LINGER, "abort"]),
        (Below(error=OSError("no such option")), ["abort"]),
        (Bare(), ["abort"]),
    ],
    ids=["of a socket", "of one without lingering", "of nothing that is known"],
)
def test_a_reset_leaves_nothing_to_the_system_that_nobody_takes(below, done):
    """Threat: what a slow reader doesn't take is kept for it long after the connection is over here."""
    reset(below)
    assert below.done == done


@pytest.mark.parametrize(
    ("before", "now", "is_less"),
    [(0, 10, True), (10, 9, True), (10, 10, False), (10, 11, False), (0, 0, False), (10, 0, False)],
)
def test_who_takes_something_is_slow_and_not_stuck(before, now, is_less):
    assert gets_less(before, now) is is_less
