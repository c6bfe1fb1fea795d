"""Which listener goes on, which is new, whose socket it takes, and what is undone where a reload is given up."""

from __future__ import annotations

import pytest

from vestibule.core.listener import ListenAddress
from vestibule.listening import Listeners, Place, Plan, _same_place
from vestibule.proxy import listener
from vestibule.proxy.capacity import Capacity

PORT = ListenAddress(host="127.0.0.1", port=80)


class Listener:
    """What is done to it."""

    def __init__(self) -> None:
        self.done = []

    def __getattr__(self, name):
        return lambda *others: self.done.append((name, *others))


def plan(new: Listener, old: Listener, *, is_heir: bool = False) -> Plan:
    places = {
        ("site", PORT): Place(new, None, is_new=True, rules=None),
        ("own", PORT): Place(old, None, is_new=False, rules=None),
    }
    return Plan(places=places, gone=[], heirs=[(new, old)] if is_heir else [], generation=None)


def test_only_connections_that_are_counted_can_make_room():
    """Those of edges, and of the admin API, are none of the capacity's."""
    capacity = Capacity()
    listeners = Listeners(clock=lambda: 0.0, capacity=capacity, shelf=None, ring=None, log=None)
    counted, going, own = (
        listener.Listener(PORT, None, clock=lambda: 0.0, capacity=of) for of in (capacity, capacity, None)
    )
    for at, one in enumerate((counted, own, Listener())):
        one.open = {at}
        listeners._places["site", at] = Place(one, None, is_new=False, rules=None)
    going.open = {"going"}
    listeners.leaving.append(going)
    assert list(capacity.everyone()) == [{0}, {"going"}]


@pytest.mark.parametrize("name", ["stop", "drop"])
def test_what_is_given_up_ends_what_is_new_and_nothing_else(name):
    new, old = Listener(), Listener()
    getattr(plan(new, old), name)()
    assert (new.done, old.done) == ([(name,)], [])


def test_a_socket_that_was_taken_over_is_given_back_before_the_heir_stops():
    new, old = Listener(), Listener()
    plan(new, old, is_heir=True).stop()
    assert new.done == [("give_back", old), ("stop",)]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (PORT, ListenAddress(host="127.0.0.1", port=80, scheme="https"), True),
        (PORT, ListenAddress(host="127.0.0.1", port=81), False),
        (PORT, ListenAddress(host="0.0.0.0", port=80), False),
        (ListenAddress(path="/run/a"), ListenAddress(path="/run/a", scheme="https"), True),
        (ListenAddress(path="/run/a"), ListenAddress(path="/run/b"), False),
    ],
    ids=["another protocol", "another port", "all addresses", "another protocol by a file", "another file"],
)
def test_a_socket_is_kept_where_the_place_is_the_very_same(one, other, is_same):
    found = [Listener(), Listener()]
    found[0].address, found[1].address = one, other
    assert _same_place(*found) is is_same
