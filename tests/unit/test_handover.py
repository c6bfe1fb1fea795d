"""Which of the sockets that were handed over is whose, and how a program is started in the place of another."""

from __future__ import annotations

import socket

import pytest

from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError
from vestibule.handover import VARIABLE, Command, Inheritance, why_not
from vestibule.systemd import Given, Unit


class Socket:
    """As much of one as is looked at."""

    def __init__(self, family, name):
        self.family, self._name, self.is_closed = family, name, False

    def __str__(self):
        return f"{self.family.name} {self._name}"

    def getsockname(self):
        return self._name

    def close(self):
        self.is_closed = True


def four(host, port):
    return Socket(socket.AF_INET, (host, port))


def six(host, port):
    return Socket(socket.AF_INET6, (host, port, 0, 0))


def inherited(**named) -> Inheritance:
    return Inheritance(Unit(), [Given(name, one) for name, ones in named.items() for one in ones])


@pytest.mark.parametrize(
    ("given", "address", "is_taken"),
    [
        (four("127.0.0.1", 80), ListenAddress(host="127.0.0.1", port=80), True),
        (four("127.0.0.1", 80), ListenAddress(host="127.0.0.1", port=81), False),
        (four("127.0.0.1", 80), ListenAddress(host="127.0.0.2", port=80), False),
        (four("0.0.0.0", 80), ListenAddress(host="127.0.0.1", port=80), False),
        (six("::", 80), ListenAddress(host="::", port=80), True),
        (six("::", 80), ListenAddress(host="0.0.0.0", port=80), False),
        (Socket(socket.AF_UNIX, "/run/v"), ListenAddress(path="/run/v"), True),
        (Socket(socket.AF_UNIX, "/run/v"), ListenAddress(path="/run/w"), False),
        (Socket(socket.AF_UNIX, "/run/v"), ListenAddress(host="127.0.0.1", port=80), False),
        (four("127.0.0.1", 80), ListenAddress(path="/run/v"), False),
        (four("127.0.0.1", 80), ListenAddress(systemd="web"), True),
        (Socket(socket.AF_UNIX, "/run/v"), ListenAddress(systemd="web"), True),
        (four("127.0.0.1", 80), ListenAddress(systemd="tls"), False),
    ],
    ids=str,
)
def test_a_socket_of_systemd_is_for_its_name_or_its_address(given, address, is_taken):
    inheritance = inherited(web=[given])
    taken = inheritance.take([address])
    assert [one.sockets for one in taken.values()] == ([(given,)] if is_taken else [])
    assert all(not one.is_ours for one in taken.values())
    assert inheritance.drop() == (() if is_taken else ("web",))
    assert given.is_closed is not is_taken


def test_one_name_may_stand_for_several_sockets_and_each_is_given_once():
    both, other = [four("0.0.0.0", 80), six("::", 80)], four("0.0.0.0", 443)
    inheritance = inherited(web=both, tls=[other])
    web = ListenAddress(systemd="web")
    taken = inheritance.take([web, ListenAddress(host="0.0.0.0", port=80)])
    assert {at: one.sockets for at, one in taken.items()} == {web: tuple(both)}
    assert inheritance.drop() == ("tls",)


def test_who_was_started_by_nobody_has_nothing_to_tell():
    inheritance = Inheritance.of({}, 77)
    assert not inheritance.is_handover
    assert inheritance.take([ListenAddress(host="127.0.0.1", port=80)]) == {}
    inheritance.tell_ready()
    inheritance.tell_faults(["x"])


@pytest.mark.parametrize(
    "environ",
    [{VARIABLE: "x"}, {VARIABLE: "{}"}, {"LISTEN_FDS": "many", "LISTEN_PID": "77"}],
    ids=["no JSON", "nothing in it", "no number"],
)
def test_what_can_not_be_read_is_said(environ):
    with pytest.raises(ConfigError, match="started with"):
        Inheritance.of(dict(environ), 77)


def test_a_program_is_started_again_as_it_was_but_for_what_was_its_own():
    environ = {
        "HOME": "/root",
        "NOTIFY_SOCKET": "/n",
        "WATCHDOG_USEC": "5",
        "WATCHDOG_PID": "7",
        "LISTEN_PID": "7",
        "LISTEN_FDS": "1",
        VARIABLE: "{}",
    }
    command = Command.of("/venv/bin/python", ["serve", "app.hcl"], environ)
    assert command.arguments == ("/venv/bin/python", "-P", "-m", "vestibule", "serve", "app.hcl")
    assert command.environ == {"HOME": "/root", "NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "5"}


def test_process_1_of_a_container_is_not_replaced():
    assert "container" in why_not(1)
    assert why_not(2) == ""
