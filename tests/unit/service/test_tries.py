"""What failed is counted for all processes, and never costs a store more than it may."""

from __future__ import annotations

import pytest

from tests.unit.service.conftest import Away, Clock
from vestibule.core.lockout import Counter
from vestibule.service.tries import SharedTries
from vestibule.store.memory import Store

ANN = Counter("password of", "ann", 3, 60.0)
BOB = Counter("password of", "bob", 3, 60.0)
HERE = Counter("password from", "192.0.2.1", 5, 60.0)


class Nodes:
    """Two processes on one store, which can be away."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = Away(store.tries)
        self.one, self.two = (SharedTries(self.store) for _ in range(2))  # type: ignore[arg-type]
        self.clock = clock

    async def fail(self, node: SharedTries, *counters: Counter, times: int = 1) -> None:
        for _ in range(times):
            await node.failed(counters, self.clock.now())

    async def wait_s(self, node: SharedTries, *counters: Counter) -> float:
        return await node.wait_s(counters, self.clock.now())


@pytest.fixture
def nodes(store: Store, clock: Clock) -> Nodes:
    return Nodes(store, clock)


async def test_failures_at_two_nodes_are_one_count(nodes: Nodes):
    await nodes.fail(nodes.one, ANN, times=2)
    assert await nodes.wait_s(nodes.two, ANN) == 0
    nodes.clock.move(10)
    await nodes.fail(nodes.two, ANN)
    assert await nodes.wait_s(nodes.one, ANN) == 50
    assert await nodes.wait_s(nodes.two, ANN) == 50
    assert await nodes.wait_s(nodes.one, BOB) == 0
    nodes.clock.move(50)
    assert await nodes.wait_s(nodes.one, ANN) == 0
    assert await nodes.wait_s(nodes.two, ANN) == 0


async def test_the_longest_of_several_counts(nodes: Nodes):
    await nodes.fail(nodes.one, HERE, times=5)
    nodes.clock.move(20)
    await nodes.fail(nodes.one, ANN, times=3)
    assert await nodes.wait_s(nodes.two, ANN, HERE) == 60
    assert await nodes.wait_s(nodes.two, BOB, HERE) == 40


async def test_who_is_known_to_be_locked_costs_the_store_nothing(nodes: Nodes):
    await nodes.fail(nodes.one, ANN, times=3)
    await nodes.wait_s(nodes.two, ANN)
    nodes.store.calls.clear()
    for node in (nodes.one, nodes.two):
        assert await nodes.wait_s(node, ANN) == 60
        assert node.known_wait_s((ANN, BOB), nodes.clock.now()) == 60
    assert nodes.store.calls == []


async def test_a_lockout_that_was_known_holds_while_the_store_is_away_and_nothing_else_is_locked(
    nodes: Nodes,
):
    await nodes.fail(nodes.one, ANN, times=3)
    nodes.store.is_away = True
    assert await nodes.wait_s(nodes.one, ANN) == 60
    assert await nodes.wait_s(nodes.two, ANN) == 0
    await nodes.fail(nodes.one, BOB, times=9)
    nodes.store.is_away = False
    assert await nodes.wait_s(nodes.one, BOB) == 0
    assert await nodes.wait_s(nodes.two, ANN) == 60


async def test_what_a_store_is_told_and_asked_in_a_second_is_bounded(store: Store, clock: Clock):
    away = Away(store.tries)
    node = SharedTries(away, writes_max=4, reads_max=6)  # type: ignore[arg-type]
    for number in range(50):
        counter = Counter("password of", f"user{number}", 3, 60.0)
        await node.wait_s((counter,), clock.now())
        await node.failed((counter,), clock.now())
    assert (away.calls.count("add"), away.calls.count("count")) == (4, 6)
    clock.move(1)
    await node.failed((ANN,), clock.now())
    assert away.calls.count("add") == 5


async def test_no_name_and_no_address_reaches_the_store(nodes: Nodes, store: Store):
    await nodes.fail(nodes.one, ANN, HERE)
    kept = repr(store.tries.__dict__)
    assert "ann" not in kept
    assert "192.0.2" not in kept


async def test_a_window_of_a_clock_that_is_far_ahead_locks_nobody_for_longer_than_one(nodes: Nodes):
    nodes.clock.move(86_400)
    await nodes.fail(nodes.one, ANN, times=3)
    nodes.clock.move(-86_400)
    assert await nodes.wait_s(nodes.two, ANN) == 60
