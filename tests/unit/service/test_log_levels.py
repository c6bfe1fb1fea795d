"""How much is logged, changed while running: what one process sets, all come to have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vestibule.errors import Invalid
from vestibule.observe.log import ACCESS, OFF, Levels
from vestibule.service.log_levels import ASKED, SET, LogLevels
from vestibule.store.base import EVERYTHING


class Wire:
    """Processes that hear each other; `store.base.Changes` of each is a `Member`."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.soon: list[Callable[[], Any]] = []
        self.time = 1000.0

    def process(self, level: str = "info") -> LogLevels:
        member = Member(self)
        self.members.append(member)
        return LogLevels(Levels(level), member, later=self.soon.append, now=lambda: self.time)

    def run(self) -> None:
        for _ in range(100):
            if self.soon:
                self.soon.pop(0)()
        assert not self.soon


class Member:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._listeners: dict[str, Callable[[str], None]] = {}
        self._is_telling = False

    def subscribe(self, kind: str, listener: Callable[[str], None]) -> None:
        self._listeners[kind] = listener

    def publish(self, kind: str, key: str) -> None:
        others = [] if self._is_telling else [one for one in self._wire.members if one is not self]
        for member in (self, *others):
            member.hear(kind, key)

    def hear(self, kind: str, key: str) -> None:
        was, self._is_telling = self._is_telling, True
        self._listeners[kind](key)
        self._is_telling = was


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_at_first_they_are_those_of_the_configuration(wire: Wire):
    state = wire.process("warning").state()
    assert (state["level"], state[ACCESS], state["store"]) == ("warning", OFF, "")


def test_what_one_sets_all_have(wire: Wire):
    one, other = wire.process(), wire.process()
    one.set({"store": "debug", "level": "error"})
    assert other.state() == one.state()
    assert (other.state()["store"], other.state()["level"]) == ("debug", "error")
    other.set({"store": "", "access": "info"})
    assert one.state() == other.state()
    assert (one.state()["store"], one.state()["level"], one.state()["access"]) == ("", "error", "info")


def test_a_process_that_begins_later_asks(wire: Wire):
    one = wire.process()
    one.set({"store": "debug"})
    late = wire.process()
    late.begin()
    wire.run()
    assert late.state() == one.state()


def test_a_process_that_may_have_missed_something_asks(wire: Wire):
    one, other = wire.process(), wire.process()
    deaf = wire.members.pop()
    one.set({"store": "debug"})
    wire.members.append(deaf)
    deaf.hear(SET, EVERYTHING)
    deaf.hear(ASKED, EVERYTHING)
    wire.run()
    assert other.state() == one.state()


def test_nobody_answers_who_has_nothing_to_say(wire: Wire):
    wire.process()
    late = wire.process("error")
    late.begin()
    wire.run()
    assert late.state()["level"] == "error"


def test_of_two_changes_the_later_one_counts_however_they_come(wire: Wire):
    one, other = wire.process(), wire.process()
    apart = wire.members.pop()
    one.set({"store": "debug"})
    wire.time += 1
    wire.members[:], before = [apart], wire.members[:]
    other.set({"store": "error"})
    wire.members[:] = [*before, apart]
    for process in (one, other):
        process.begin()
    wire.run()
    assert one.state() == other.state()
    assert one.state()["store"] == "error"


def test_a_clock_that_stands_makes_no_change_old(wire: Wire):
    one, other = wire.process(), wire.process()
    for level in ("debug", "error", "info"):
        one.set({"store": level})
    assert other.state()["store"] == "info"


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        pytest.param({"stores": "info"}, ("stores", "there is no such component"), id="component"),
        pytest.param({"store": "loud"}, ("store", "is one of debug, info, warning, error, off"), id="level"),
        pytest.param({"level": "off"}, ("level", "is one of debug, info, warning, error"), id="all off"),
        pytest.param({"level": ""}, ("level", "is one of"), id="all empty"),
    ],
)
def test_what_there_is_not_changes_nothing(wire: Wire, wanted: dict[str, str], fault: tuple[str, str]):
    one = wire.process()
    before = one.state()
    with pytest.raises(Invalid) as told:
        one.set({"proxy": "debug", **wanted})
    [(path, message)] = told.value.faults
    assert (path, message.startswith(fault[1])) == (fault[0], True)
    assert one.state() == before
