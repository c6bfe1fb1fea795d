"""A reload in all processes: nothing changes anywhere until the last has it ready."""

from __future__ import annotations

import msgspec
import pytest

from vestibule import agreeing
from vestibule.agreeing import Agreement, fresh_sockets
from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError
from vestibule.line import Abandon, Commit, Prepare

OLD, NEW, OTHER = (ListenAddress(host="127.0.0.1", port=port) for port in (1, 2, 3))


class Line:
    """What was said; a broken one takes nothing."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.said, self.files, self._is_broken = [], [], is_broken

    def say(self, message, files=()):
        if self._is_broken:
            raise BrokenPipeError
        self.said.append(message)
        self.files.append(tuple(files))


class Party(msgspec.Struct, kw_only=True, eq=False):
    name: str = ""
    line: Line | None
    sockets: dict = {}
    also: dict = {}


class Socket:
    def __init__(self, number: int = 9) -> None:
        self.number, self.is_closed = number, False

    def fileno(self) -> int:
        return self.number

    def dup(self) -> Socket:
        return Socket(self.number + 100)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def parties():
    return [Party(name=name, line=Line()) for name in ("control", "worker 1", "worker 2")]


@pytest.fixture
def agreement(monkeypatch):
    monkeypatch.setattr(agreeing, "written", lambda _compiled: 99)
    monkeypatch.setattr(agreeing.os, "close", lambda _file: None)
    return Agreement(compiled=None, fresh={NEW: (Socket(11), Socket(12))}, until_mono=30.0)


def said(parties) -> list[list[type]]:
    return [[type(message) for message in party.line.said] for party in parties]


def test_each_worker_is_given_a_socket_of_its_own_with_the_configuration(agreement, parties):
    control, *workers = parties
    agreement.begin(control, workers)
    assert [party.line.said for party in parties] == [[Prepare(())], [Prepare((NEW,))], [Prepare((NEW,))]]
    assert [party.line.files for party in parties] == [[(99,)], [(99, 11)], [(99, 12)]]
    assert not agreement.is_settled


def test_it_is_settled_when_the_last_has_it_ready(agreement, parties):
    control, *workers = parties
    agreement.begin(control, workers)
    for party in parties:
        assert not agreement.is_settled
        agreement.heard(party, ())
    assert (agreement.is_settled, agreement.faults, agreement.outdated) == (True, (), [])


def test_one_that_can_not_take_it_ends_it_for_all(agreement, parties):
    control, *workers = parties
    agreement.begin(control, workers)
    agreement.heard(control, ())
    agreement.heard(workers[0], ("no",))
    assert (agreement.is_settled, agreement.faults) == (True, ("no",))
    agreement.abandon()
    assert said(parties) == [[Prepare, Abandon]] * 3
    assert all(bound.is_closed for bound in agreement.fresh[NEW])


def test_one_that_answers_twice_counts_once(agreement, parties):
    control, *workers = parties
    agreement.begin(control, workers)
    agreement.heard(control, ())
    agreement.heard(control, ("no",))
    assert (agreement.faults, len(agreement.waiting)) == ((), 2)


@pytest.mark.parametrize("has_answered", [False, True], ids=["before its answer", "after its answer"])
def test_one_that_dies_is_not_waited_for(agreement, parties, has_answered):
    control, *workers = parties
    agreement.begin(control, workers)
    if has_answered:
        agreement.heard(workers[1], ())
    agreement.lost(workers[1])
    agreement.heard(control, ())
    agreement.heard(workers[0], ())
    assert (agreement.is_settled, agreement.faults) == (True, ())
    assert [party.name for party in agreement.outdated] == ["worker 2"]


@pytest.mark.parametrize("line", [None, Line(is_broken=True)], ids=["hung up", "broken"])
def test_one_that_can_not_be_asked_is_outdated(agreement, parties, line):
    control, *workers = parties
    workers[0].line = line
    agreement.begin(control, workers)
    assert agreement.outdated == [workers[0]]
    assert workers[0] not in agreement.waiting


def test_one_that_is_silent_for_too_long_is_outdated(agreement, parties):
    control, *workers = parties
    agreement.begin(control, workers)
    agreement.heard(control, ())
    agreement.heard(workers[0], ())
    agreement.expire(29.9)
    assert not agreement.is_settled
    agreement.expire(30.0)
    assert (agreement.is_settled, agreement.outdated) == (True, [workers[1]])


# -- in force everywhere -----------------------------------------------------------------------------


@pytest.fixture
def agreed(agreement, parties):
    """All have it ready; each worker has a socket of an address that goes."""
    control, *workers = parties
    for number, worker in enumerate(workers, 1):
        worker.sockets, worker.also = {OLD: Socket(number)}, {OLD: (Socket(number + 10),)}
    agreement.begin(control, workers)
    for party in parties:
        agreement.heard(party, ())
    return agreement


def test_all_who_have_it_ready_are_told_that_it_is_in_force(agreed, parties):
    control, *workers = parties
    agreed.commit(control, workers, [OLD, NEW])
    assert said(parties) == [[Prepare, Commit]] * 3
    assert agreed.outdated == []


def test_each_worker_keeps_its_sockets_and_has_its_share_of_the_new_ones(agreed, parties):
    control, *workers = parties
    agreed.commit(control, workers, [OLD, NEW])
    assert [{at: one.number for at, one in worker.sockets.items()} for worker in workers] == [
        {OLD: 1, NEW: 11},
        {OLD: 2, NEW: 12},
    ]
    assert control.sockets == {}


def test_sockets_of_an_address_that_is_gone_are_closed(agreed, parties):
    control, *workers = parties
    gone = [one for worker in workers for one in (worker.sockets[OLD], *worker.also[OLD])]
    agreed.commit(control, workers, [NEW])
    assert all(one.is_closed for one in gone)
    assert [(list(worker.sockets), worker.also) for worker in workers] == [([NEW], {})] * 2


def test_the_control_process_has_the_sockets_of_the_admin_api(agreed, parties):
    control, *workers = parties
    agreed.admin = {OTHER: (Socket(31),)}
    agreed.commit(control, workers, [OLD, NEW, OTHER])
    assert {at: one.number for at, one in control.sockets.items()} == {OTHER: 31}


def test_who_can_not_be_told_is_outdated(agreed, parties):
    control, *workers = parties
    workers[1].line = None
    agreed.commit(control, workers, [OLD, NEW])
    assert agreed.outdated == [workers[1]]


# -- sockets of new addresses ----------------------------------------------------------------------


@pytest.fixture
def bound(monkeypatch):
    """What was bound, and whether others may share the port."""
    found = {}

    def bind(address, number, *, is_shared=False):
        if address == OTHER:
            raise ConfigError(("taken",))
        found[address] = tuple(Socket() for _ in range(number)), is_shared
        return found[address][0]

    monkeypatch.setattr(agreeing, "bound_sockets", bind)
    return found


def test_only_new_addresses_are_bound_one_socket_a_worker(bound):
    fresh = fresh_sockets([OLD, NEW, NEW], [{OLD: Socket()}, {OLD: Socket()}])
    assert {at: len(each) for at, each in fresh.items()} == {NEW: 2}
    assert {at: is_shared for at, (_, is_shared) in bound.items()} == {NEW: False}


def test_an_address_that_changes_what_it_speaks_keeps_its_sockets(bound):
    had = [{OLD: Socket(1)}, {OLD: Socket(2)}]
    fresh = fresh_sockets([msgspec.structs.replace(OLD, scheme="https")], had)
    assert [[one.number for one in each] for each in fresh.values()] == [[101, 102]]
    assert bound == {}


def test_all_addresses_of_a_port_are_bound_beside_one_of_it(bound):
    everywhere = ListenAddress(host="0.0.0.0", port=OLD.port)
    fresh_sockets([everywhere], [{OLD: Socket()}])
    assert bound[everywhere][1]


def test_an_address_that_can_not_be_had_leaves_none_bound(bound):
    with pytest.raises(ConfigError, match="taken"):
        fresh_sockets([NEW, OTHER], [{}])
    assert [one.is_closed for one in bound[NEW][0]] == [True]


def test_more_new_addresses_than_a_message_holds_are_refused_before_any_is_bound(bound):
    wanted = [ListenAddress(host="127.0.0.1", port=port) for port in range(1000, 1300)]
    with pytest.raises(ConfigError, match="too many"):
        fresh_sockets(wanted, [{}])
    assert bound == {}


def test_no_descriptor_left_refuses_the_reload_alone(bound):
    """Threat: the supervisor ends, and all it holds, because a reload wants one file too many."""

    class Scarce(Socket):
        def dup(self):
            raise OSError(24, "Too many open files")

    with pytest.raises(ConfigError, match="Too many open files"):
        fresh_sockets([NEW, msgspec.structs.replace(OLD, scheme="https")], [{OLD: Scarce()}])
    assert [one.is_closed for one in bound[NEW][0]] == [True]
