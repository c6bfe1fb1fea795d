"""Addresses to listen on: who can reach them, and which can't be had together."""

from __future__ import annotations

import pytest

from vestibule.core.listener import Listener

LOOPBACK = Listener(host="127.0.0.1", port=80)


@pytest.mark.parametrize(
    ("listener", "is_loopback", "text"),
    [
        (LOOPBACK, True, "127.0.0.1:80"),
        (Listener(host="::1", port=80), True, "[::1]:80"),
        (Listener(host="0.0.0.0", port=80), False, "0.0.0.0:80"),
        (Listener(host="::", port=80), False, "[::]:80"),
        (Listener(host="192.0.2.1", port=80), False, "192.0.2.1:80"),
        (Listener(path="/run/x"), True, "unix:/run/x"),
    ],
    ids=str,
)
def test_who_can_reach_it(listener: Listener, is_loopback: bool, text: str) -> None:
    assert (listener.is_loopback, str(listener)) == (is_loopback, text)


@pytest.mark.parametrize(
    ("other", "clashes"),
    [
        (LOOPBACK, True),
        (Listener(host="0.0.0.0", port=80), True),
        (Listener(host="::", port=80), True),
        (Listener(host="127.0.0.2", port=80), False),
        (Listener(host="127.0.0.1", port=81), False),
        (Listener(path="/run/x"), False),
    ],
    ids=str,
)
def test_which_can_not_be_had_together(other: Listener, clashes: bool) -> None:
    assert LOOPBACK.clashes(other) is clashes
    assert other.clashes(LOOPBACK) is clashes


def test_free_ports_never_clash_and_sockets_clash_by_path() -> None:
    free = Listener(host="127.0.0.1", port=0)
    assert not free.clashes(free)
    assert Listener(path="/a").clashes(Listener(path="/a"))
    assert not Listener(path="/a").clashes(Listener(path="/b"))
