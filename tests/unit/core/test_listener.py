"""Addresses to listen on: who can reach them, and which can't be had together."""

from __future__ import annotations

import pytest

from vestibule.core.listener import ListenAddress

LOOPBACK = ListenAddress(host="127.0.0.1", port=80)


@pytest.mark.parametrize(
    ("listener", "is_loopback", "text"),
    [
        (LOOPBACK, True, "127.0.0.1:80"),
        (ListenAddress(host="::1", port=80), True, "[::1]:80"),
        (ListenAddress(host="0.0.0.0", port=80), False, "0.0.0.0:80"),
        (ListenAddress(host="::", port=80), False, "[::]:80"),
        (ListenAddress(host="192.0.2.1", port=80), False, "192.0.2.1:80"),
        (ListenAddress(path="/run/x"), True, "unix:/run/x"),
        (ListenAddress(systemd="web"), False, "systemd:web"),
    ],
    ids=str,
)
def test_who_can_reach_it(listener: ListenAddress, is_loopback: bool, text: str) -> None:
    assert (listener.is_loopback, str(listener)) == (is_loopback, text)


@pytest.mark.parametrize(
    ("other", "clashes"),
    [
        (LOOPBACK, True),
        (ListenAddress(host="0.0.0.0", port=80), True),
        (ListenAddress(host="::", port=80), False),
        (ListenAddress(host="127.0.0.2", port=80), False),
        (ListenAddress(host="127.0.0.1", port=81), False),
        (ListenAddress(path="/run/x"), False),
    ],
    ids=str,
)
def test_which_can_not_be_had_together(other: ListenAddress, clashes: bool) -> None:
    assert LOOPBACK.clashes(other) is clashes
    assert other.clashes(LOOPBACK) is clashes


def test_free_ports_never_clash_and_sockets_clash_by_path() -> None:
    free = ListenAddress(host="127.0.0.1", port=0)
    assert not free.clashes(free)
    assert ListenAddress(path="/a").clashes(ListenAddress(path="/a"))
    assert not ListenAddress(path="/a").clashes(ListenAddress(path="/b"))
    assert ListenAddress(systemd="a").clashes(ListenAddress(systemd="a"))
    assert not ListenAddress(systemd="a").clashes(ListenAddress(systemd="b"))
    assert not ListenAddress(systemd="a").clashes(LOOPBACK)


def test_the_families_stand_side_by_side():
    everywhere = ListenAddress(host="::", port=80)
    assert not everywhere.clashes(ListenAddress(host="0.0.0.0", port=80))
    assert everywhere.clashes(ListenAddress(host="::1", port=80))


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        (ListenAddress(path="/run/x"), 0o600),
        (ListenAddress(path="/run/x", group=True), 0o660),
        (ListenAddress(path="/run/x", owner_group="www-data"), 0o660),
        (ListenAddress(path="/run/x", owner_group="www-data", mode=0o666), 0o666),
    ],
)
def test_who_may_open_a_unix_socket(address: ListenAddress, mode: int) -> None:
    assert address.file_mode == mode


@pytest.mark.parametrize(
    ("address", "port"),
    [
        (ListenAddress(host="127.0.0.1", port=8000), 8000),
        (ListenAddress(host="127.0.0.1", port=0), 0),
        (ListenAddress(path="/run/x"), 80),
        (ListenAddress(path="/run/x", scheme="https"), 443),
        (ListenAddress(systemd="web"), 80),
    ],
)
def test_by_which_port_people_come(address: ListenAddress, port: int) -> None:
    assert address.shown_port == port
