"""Work that many ask for at once and that is done once."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.service.flight import Flights


class Work:
    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = 0

    async def __call__(self) -> int:
        self.begun += 1
        await self.gate.wait()
        if self.begun > 1:
            raise ValueError("twice")
        return self.begun


async def test_all_who_ask_meanwhile_get_the_one_result():
    flights, work = Flights[int](), Work()
    waiting = [asyncio.create_task(flights.share("a", work, name="work")) for _ in range(20)]
    await asyncio.sleep(0)
    assert "a" in flights
    assert "b" not in flights
    work.gate.set()
    assert await asyncio.gather(*waiting) == [1] * 20
    assert "a" not in flights


async def test_who_stops_waiting_does_not_stop_it_and_close_waits_for_it():
    flights, work = Flights[int](), Work()
    waiting = asyncio.create_task(flights.share("a", work, name="work"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert "a" in flights
    work.gate.set()
    await flights.close()
    assert "a" not in flights


async def test_what_it_raises_reaches_whoever_waits_and_the_next_begins_anew():
    flights, work = Flights[int](), Work()
    work.gate.set()
    assert await flights.share("a", work, name="work") == 1
    with pytest.raises(ValueError, match="twice"):
        await flights.share("a", work, name="work")
