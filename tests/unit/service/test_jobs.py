"""Periodic work under a lease."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.errors import StoreError
from vestibule.service.jobs import Job, Jobs, sweeping


class Node:
    """Jobs of one process, with what it was told."""

    def __init__(self, store, clock, jobs=(), *, name="a", jitter=0.5) -> None:
        self.failures = []
        self.waits = []
        self.clock = clock
        self.turns_left = 10
        self.jobs = Jobs(
            jobs,
            store.leases,
            node=name,
            jitter=lambda: jitter,
            failed=lambda job, exc: self.failures.append((job, exc.code)),
            now=clock.now,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.move(seconds)
        if len(self.waits) > self.turns_left:
            await asyncio.Event().wait()


def noted(runs, name="job", every_s=60.0, **fields) -> Job:
    async def run(now: float, fence: int) -> None:
        runs.append((now, fence))

    return Job(name=name, every_s=every_s, run=run, **fields)


async def test_one_of_two_processes_runs_a_job_with_its_fence(store, clock):
    runs = []
    one, two = Node(store, clock, name="a"), Node(store, clock, name="b")
    job = noted(runs)
    assert await one.jobs.turn(job)
    assert not await two.jobs.turn(job)
    assert await one.jobs.turn(job)
    assert [now for now, _ in runs] == [clock.now()] * 2
    assert runs[0][1] < runs[1][1]


async def test_another_process_takes_over_from_one_that_died_with_a_greater_fence(store, clock):
    runs = []
    one, two = Node(store, clock, name="a"), Node(store, clock, name="b")
    job = noted(runs)
    await one.jobs.turn(job)
    clock.move(119.9)
    assert not await two.jobs.turn(job)
    clock.move(0.1)
    assert await two.jobs.turn(job)
    assert runs[1][1] > runs[0][1]


async def test_what_each_process_does_for_itself_needs_no_lease(store, clock):
    runs = []
    job = noted(runs, is_shared=False)
    for name in ("a", "b"):
        assert await Node(store, clock, name=name).jobs.turn(job)
    assert runs == [(clock.now(), 0)] * 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreError(), "store_unavailable"), (KeyError("unforeseen"), "internal_error")],
    ids=["store", "fault"],
)
async def test_a_job_that_fails_is_reported_and_comes_again(store, clock, error, code):
    turns = []

    async def run(now: float, fence: int) -> None:
        turns.append(fence)
        raise error

    node = Node(store, clock)
    job = Job(name="bad", every_s=60.0, run=run)
    assert not await node.jobs.turn(job)
    assert not await node.jobs.turn(job)
    assert node.failures == [("bad", code)] * 2
    assert len(turns) == 2


@pytest.mark.parametrize(
    ("jitter", "first", "further"),
    [(0.0, 0.0, 54.0), (0.5, 30.0, 60.0), (1.0, 60.0, 66.0)],
)
async def test_turns_are_spread_over_their_period(store, clock, jitter, first, further):
    runs = []
    node = Node(store, clock, [noted(runs)], jitter=jitter)
    node.turns_left = 3
    node.jobs.start()
    while len(node.waits) <= node.turns_left:
        await asyncio.sleep(0)
    await node.jobs.close()
    assert node.waits == pytest.approx([first, further, further, further])
    assert len(runs) == 3


async def test_a_clean_stop_leaves_the_job_to_others(store, clock):
    runs = []
    job = noted(runs)
    one, two = Node(store, clock, [job], name="a"), Node(store, clock, [job], name="b")
    assert await one.jobs.turn(job)
    await one.jobs.close()
    assert await two.jobs.turn(job)


async def test_a_sweep_goes_on_until_little_is_left(store, clock):
    left = [200, 200, 3]

    async def sweep(now: float, limit: int) -> int:
        assert (now, limit) == (clock.now(), 200)
        return left.pop(0)

    await sweeping("x", sweep).run(clock.now(), 1)
    assert left == []


async def test_a_sweep_empties_the_store_of_what_expired(store, clock):
    for n in range(450):
        await store.marks.consume("flow", str(n).encode(), clock.now(), clock.now() + 1)
    clock.move(2)
    assert await Node(store, clock).jobs.turn(sweeping("old marks", store.marks.sweep))
    assert await store.marks.sweep(clock.now()) == 0
