"""What supervisor and processes say to each other."""

from __future__ import annotations

import os
import pickle

import pytest

from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.core.listener import ListenAddress
from vestibule.line import (
    FAULT_CHARS,
    FAULTS_MAX,
    Abandon,
    Commit,
    Outcome,
    Prepare,
    Prepared,
    Upgrade,
    Upgraded,
    Wanted,
    close_all,
    line_pair,
    read,
    shortened,
    written,
)

TEXT = 'host "a.test" {\n  backend = "internal:echo"\n  tls = "off"\n  access { allow = ["public"] }\n}\n'


@pytest.fixture
def pair():
    ours, theirs = line_pair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "message",
    [
        Wanted(),
        Prepare((ListenAddress(host="::1", port=80), ListenAddress(path="/run/x", mode=0o660))),
        Prepared(("one", "two")),
        Commit(),
        Abandon(),
        Outcome(("é" * 1000,)),
        Upgrade(),
        Upgraded(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_said_is_heard(pair, message):
    ours, theirs = pair
    ours.say(message)
    assert theirs.hear() == (message, [])


def test_messages_stay_apart_and_in_order(pair):
    ours, theirs = pair
    for message in (Wanted(), Commit(), Abandon()):
        ours.say(message)
    assert [theirs.hear()[0] for _ in range(3)] == [Wanted(), Commit(), Abandon()]


def test_where_nothing_was_said_nobody_waits(pair):
    with pytest.raises(BlockingIOError):
        pair[0].hear()


def test_an_end_that_is_gone_is_told_from_silence(pair):
    ours, theirs = pair
    theirs.close()
    assert ours.hear() is None


def test_as_many_faults_are_said_as_a_message_holds(pair):
    ours, theirs = pair
    faults = shortened(["\0" * 5000] * 500)
    assert (len(faults), {len(fault) for fault in faults}) == (FAULTS_MAX, {FAULT_CHARS})
    ours.say(Outcome(faults))
    assert theirs.hear()[0].faults == faults


def test_a_configuration_is_read_by_each_as_it_was_written(pair, tmp_path):
    file = tmp_path / "app.hcl"
    file.write_text(TEXT)
    compiled = compile_config(load((file,), {}))
    descriptor = written(compiled)
    ours, theirs = pair
    ours.say(Wanted(), (descriptor,))
    os.close(descriptor)
    _, files = theirs.hear()
    for _ in range(2):  # and again, however far it was read
        found = read(files[0])
        assert (found.loaded_at, list(found.table.hosts)) == (compiled.loaded_at, list(compiled.table.hosts))
    close_all(files)


def test_what_is_no_configuration_is_refused():
    descriptor = os.memfd_create("other")
    os.write(descriptor, pickle.dumps("other"))
    with pytest.raises(TypeError):
        read(descriptor)
    os.close(descriptor)
