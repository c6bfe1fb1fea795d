"""Whoever leaves waits for providers to hear of it, and not for long."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.service import leaving
from vestibule.service.leaving import heard


async def test_nothing_begun_is_nothing_to_wait_for():
    await heard(())


async def test_it_is_waited_for_all_of_it_whether_or_not_it_fails():
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def ends() -> None:
        await asyncio.sleep(0)

    begun = [asyncio.ensure_future(fails()), asyncio.ensure_future(ends())]
    await heard(begun)
    assert [one.done() for one in begun] == [True, True]
    assert isinstance(begun[0].exception(), ValueError)


async def test_a_provider_that_does_not_answer_keeps_nobody_and_is_still_told(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(leaving, "HEARD_S", 0.0)
    answers = asyncio.Event()

    async def slow() -> None:
        await answers.wait()

    begun = asyncio.ensure_future(slow())
    await heard((begun,))
    assert not begun.done()
    answers.set()
    await begun
