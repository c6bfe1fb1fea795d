"""The guard of a store: nobody waits longer than they should, and what came too late is nobody's."""

from __future__ import annotations

import asyncio
import io
import itertools
import json

import pytest

from tests.helpers import virtual
from vestibule.errors import StoreError
from vestibule.observe.log import Log
from vestibule.store import base, memory
from vestibule.store.guard import (
    AGAIN_S,
    AT_ONCE,
    BUDGET_S,
    FAULTS,
    LONG_S,
    PARTS,
    PATIENT_S,
    PROBE_S,
    Breaker,
    Guarded,
)


class Server:
    """Answers after `late_s`; with a fault, if it has one."""

    def __init__(self) -> None:
        self.late_s = 0.01
        self.fault: Exception | None = None
        self.asked = 0
        self.given = itertools.count()
        self.cancelled = 0
        self.said = io.StringIO()
        self.breaker = Breaker(self.answer, log=Log(self.said))

    async def answer(self) -> int:
        self.asked += 1
        number = next(self.given)
        try:
            await asyncio.sleep(self.late_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fault is not None:
            raise self.fault
        return number

    @property
    def told(self) -> list[str]:
        """The events of the log."""
        return [json.loads(line)["event"] for line in self.said.getvalue().splitlines()]

    async def ask(self, within_s: float | None = None, *, is_told: bool = True) -> int | str:
        try:
            return await self.breaker.ask(self.answer, within_s, is_told=is_told)
        except StoreError as error:
            return error.detail


def now() -> float:
    return asyncio.get_running_loop().time()


def test_an_answer_in_time_is_the_answer():
    async def story() -> None:
        server = Server()
        assert [await server.ask() for _ in range(3)] == [0, 1, 2]
        assert not server.breaker.is_away

    virtual.run(story())


def test_nobody_waits_longer_than_the_budget_and_then_nobody_waits():
    async def story() -> None:
        server = Server()
        server.late_s = 5.0
        began = now()
        waiting = [asyncio.create_task(server.ask()) for _ in range(100)]
        await asyncio.gather(*waiting)
        assert now() - began == pytest.approx(BUDGET_S)
        asked = server.asked
        for _ in range(100):
            assert "found away" in str(await server.ask())
        assert now() - began == pytest.approx(BUDGET_S)
        assert server.asked == asked
        assert server.cancelled == server.asked
        await server.breaker.close()

    virtual.run(story())


def test_a_thousand_who_ask_at_once_are_no_fault_of_the_store():
    async def story() -> None:
        server, connections = Server(), asyncio.Semaphore(8)

        async def looked_up() -> int:
            async with connections:
                return await server.answer()

        crowd = [asyncio.create_task(server.breaker.ask(looked_up)) for _ in range(1000)]
        await asyncio.sleep(0)
        revocation = asyncio.create_task(server.breaker.ask(looked_up, PATIENT_S))
        found = await asyncio.gather(*crowd, return_exceptions=True)
        assert isinstance(await revocation, int)
        assert not server.breaker.is_away
        assert server.told == []
        late = [one for one in found if isinstance(one, StoreError)]
        assert 0 < len(late) < 1000
        assert {one.detail for one in late} == {"too many ask it at once, for 0.25 s"}

    virtual.run(story())


def test_who_waits_for_a_turn_while_the_store_is_found_away_waits_no_longer():
    async def story() -> None:
        server = Server()
        server.late_s = 60.0
        began = now()
        waiting = [asyncio.create_task(server.ask()) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.1)
        waiting += [asyncio.create_task(server.ask(PATIENT_S)) for _ in range(50)]
        found = await asyncio.gather(*waiting)
        assert now() - began == pytest.approx(BUDGET_S)
        assert ["found away" in str(one) for one in found] == [False] * AT_ONCE + [True] * 50
        assert server.asked == AT_ONCE
        await server.breaker.close()

    virtual.run(story())


def test_a_late_answer_is_nobodys_and_the_next_one_is_ones_own():
    async def story() -> None:
        server = Server()
        server.late_s = 5.0
        assert "no answer" in str(await server.ask())
        server.late_s = 0.01
        await asyncio.sleep(10)
        assert await server.ask() == next(server.given) - 1
        assert server.told == ["store_away", "store_back"]

    virtual.run(story())


def test_time_in_which_this_process_stood_still_is_no_fault_of_the_store():
    async def story() -> None:
        server = Server()
        server.late_s = BUDGET_S * 0.9
        loop = asyncio.get_running_loop()
        for _ in range(10):
            asking = asyncio.create_task(server.ask())
            await asyncio.sleep(0.01)
            loop._virtual.now += 1.0  # a long turn of the loop, in which the answer may have come
            assert isinstance(await asking, int)
        assert not server.breaker.is_away

    virtual.run(story())


def test_a_process_that_is_always_late_excuses_a_store_that_hangs_a_few_times_only():
    async def story() -> None:
        server = Server()
        server.late_s = 600.0
        loop, began = asyncio.get_running_loop(), now()

        async def be_late() -> None:
            while True:
                await asyncio.sleep(0.01)
                loop._virtual.now += 0.2

        lateness = asyncio.create_task(be_late())
        assert "no answer" in str(await server.ask())
        assert now() - began < 5.0
        lateness.cancel()
        await server.breaker.close()

    virtual.run(story())


def test_who_does_not_let_itself_be_cancelled_is_not_waited_for():
    async def story() -> None:
        server = Server()

        async def stubborn() -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(60)
            return "late"

        began = now()
        with pytest.raises(StoreError):
            await server.breaker.ask(stubborn)
        assert now() - began == pytest.approx(BUDGET_S)
        await server.breaker.close()

    virtual.run(story())


def test_faults_in_a_row_count_and_one_between_them_that_is_none_begins_anew():
    async def story() -> None:
        server = Server()
        for _ in range(3):
            server.fault = StoreError(detail="refused")
            for _ in range(FAULTS - 1):
                assert await server.ask() == "refused"
            server.fault = None
            await server.ask()
        assert not server.breaker.is_away
        server.fault = StoreError(detail="refused")
        for _ in range(FAULTS):
            await server.ask()
        assert await server.ask() == "it was found away: refused"
        await server.breaker.close()

    virtual.run(story())


@pytest.mark.parametrize(
    ("within_s", "is_told", "is_away_after"),
    [
        pytest.param(None, True, 1, id="a look-up: at once"),
        pytest.param(PATIENT_S, True, FAULTS, id="a write: some in a row"),
        pytest.param(LONG_S, False, None, id="a job: never"),
    ],
)
def test_what_a_late_answer_says_of_the_store_goes_by_who_waits(within_s, is_told, is_away_after):
    async def story() -> None:
        server = Server()
        server.late_s = 60.0
        for turn in range(1, 6):
            began = now()
            await server.ask(within_s, is_told=is_told)
            assert now() - began == pytest.approx(within_s or BUDGET_S)
            assert server.breaker.is_away == (turn == is_away_after)
            if server.breaker.is_away:
                break
        else:
            assert is_away_after is None
        await server.breaker.close()

    virtual.run(story())


@pytest.mark.parametrize("late_s", [5.0, BUDGET_S + 0.1], ids=["hangs", "slower than it may be"])
def test_one_probe_at_a_time_asks_until_it_is_there_again(late_s):
    async def story() -> None:
        server = Server()
        server.late_s = late_s
        await server.ask()
        asked = server.asked
        await asyncio.sleep(60)
        assert server.breaker.is_away
        turn_s = AGAIN_S + min(PROBE_S, late_s)
        assert 1 <= server.asked - asked <= 2 * 60 / turn_s
        server.late_s = 0.01
        back = now()
        while server.breaker.is_away:
            await asyncio.sleep(0.05)
        assert now() - back < 3
        assert server.told == ["store_away", "store_back"]
        assert isinstance(await server.ask(), int)

    virtual.run(story())


def test_who_gives_up_takes_their_call_along():
    async def story() -> None:
        server = Server()
        task = asyncio.create_task(server.ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert server.cancelled == 1
        assert not server.breaker.is_away

    virtual.run(story())


def test_a_fault_that_is_none_of_the_stores_goes_through():
    async def story() -> None:
        server = Server()
        server.fault = ValueError("a fault of ours")
        with pytest.raises(ValueError, match="of ours"):
            await server.ask()
        assert not server.breaker.is_away

    virtual.run(story())


# -- a whole store ----------------------------------------------------------------------------


def test_every_method_of_every_part_of_a_store_is_guarded():
    parts = {name: value for name, value in vars(base.Store).items() if isinstance(value, property)}
    assert parts.keys() <= PARTS.keys()
    store = memory.Store()
    guarded = Guarded(store, log=Log(io.StringIO()))
    for name, protocol in PARTS.items():
        for method in vars(protocol):
            if not method.startswith("_"):
                assert getattr(getattr(guarded, name), method) is not getattr(getattr(store, name), method)


def test_a_guarded_store_answers_as_the_store_does():
    async def story() -> None:
        guarded = Guarded(memory.Store(), log=Log(io.StringIO()))
        assert await guarded.marks.consume("flow", b"k", 1.0, 2.0)
        assert not await guarded.marks.consume("flow", b"k", 1.0, 2.0)
        assert await guarded.sessions.sweep(now(), limit=5) == 0
        await guarded.close()

    virtual.run(story())


class Hanging:
    """A store that never answers."""

    def __getattr__(self, name: str):
        return self

    async def __call__(self, *_args, **_options):
        await asyncio.sleep(600.0)


@pytest.mark.parametrize(
    ("part", "method", "within_s"),
    [
        ("sessions", "by_handle", BUDGET_S),
        ("sessions", "by_id", BUDGET_S),
        ("grants", "get", BUDGET_S),
        ("parking", "parked", BUDGET_S),
        ("tries", "count", BUDGET_S),
        ("revocations", "living", BUDGET_S),
        ("presence", "organisations", BUDGET_S),
        ("sessions", "delete", PATIENT_S),
        ("revocations", "revoke", PATIENT_S),
        ("sessions", "sweep", LONG_S),
    ],
)
def test_how_long_a_call_may_take_goes_by_who_waits_for_it(part, method, within_s):
    async def story() -> None:
        guarded, began = Guarded(Hanging(), log=Log(io.StringIO())), now()
        with pytest.raises(StoreError):
            await getattr(getattr(guarded, part), method)("x")
        assert now() - began == pytest.approx(within_s)
        await guarded.breaker.close()

    virtual.run(story())


def test_a_round_trip_is_measured_and_whatever_it_comes_to_trips_nothing():
    async def story():
        server = Server()
        quick = await server.breaker.measure()
        server.late_s = 10.0
        late = [await server.breaker.measure() for _ in range(FAULTS + 1)]
        server.late_s, server.fault = 0.01, StoreError("full")
        broken = [await server.breaker.measure() for _ in range(FAULTS + 1)]
        is_away, told = server.breaker.is_away, server.told
        await server.breaker.close()
        return quick, late, broken, is_away, told

    quick, late, broken, is_away, told = virtual.run(story())
    assert 0 < quick < BUDGET_S
    assert (set(late), set(broken), is_away, told) == ({None}, {None}, False, [])
