"""What systemd hands over and is told, as far as it needs no socket; the rest is the real tests'."""

from __future__ import annotations

import pytest

from vestibule.systemd import Unit, given_sockets

US = {"LISTEN_FDS": "2", "LISTEN_PID": "77", "LISTEN_FDNAMES": "web:tls"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {**US, "LISTEN_PID": "78"},
        {name: text for name, text in US.items() if name != "LISTEN_PID"},
        {**US, "LISTEN_FDS": "0"},
    ],
    ids=["none", "another's", "nobody's", "no files"],
)
def test_sockets_that_are_not_for_this_process_are_left(environ):
    environ = dict(environ)
    assert given_sockets(environ, 77) == ()
    assert not [name for name in environ if name.startswith("LISTEN_")]


@pytest.mark.parametrize(
    ("environ", "is_unit", "watchdog_s"),
    [
        ({}, False, 0.0),
        ({"NOTIFY_SOCKET": "/run/notify"}, True, 0.0),
        ({"NOTIFY_SOCKET": "@notify"}, True, 0.0),
        ({"NOTIFY_SOCKET": "notify"}, False, 0.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"}, True, 30.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "77"}, True, 30.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"}, True, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, False, 0.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, True, 0.0),
    ],
)
def test_what_is_known_of_the_unit_is_taken_from_the_environment(environ, is_unit, watchdog_s):
    environ = {**environ, "HOME": "/root"}
    unit = Unit.of(environ, 77)
    assert (bool(unit), unit.watchdog_s) == (is_unit, watchdog_s)
    assert environ == {"HOME": "/root"}


def test_where_there_is_no_unit_nobody_is_told():
    unit = Unit()
    unit.ready("listening")
    unit.reloading()
    unit.alive()
    unit.stopping()
    unit.succeeded_by(7)


def test_ready_is_said_once_and_again_after_a_reload_alone(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(Unit, "_tell", lambda _self, *words: said.append(words[0].partition("=")[0]))
    unit = Unit("/run/notify")
    for step in (unit.ready, unit.ready, unit.reloading, unit.reloading, unit.ready, unit.ready):
        step("serving") if step == unit.ready else step()
    assert said == ["READY", "STATUS", "RELOADING", "RELOADING", "READY", "STATUS"]
