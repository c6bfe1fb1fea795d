"""Who has not come through the door yet: the oldest makes room."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.edge.pending import DEADLINE_S, MOST, Pending, most_within


class One:
    def __init__(self, pending: Pending, address: str) -> None:
        self.pending, self.address, self.why = pending, address, ""
        pending.add(self, address)

    def give_up(self, why: str) -> None:
        self.why = why
        self.pending.discard(self, self.address)


@pytest.mark.parametrize(("files", "most"), [(1 << 20, MOST), (1024, 256), (100, 64)])
def test_who_stalls_has_no_more_than_a_share_of_the_files_there_may_be(files, most):
    assert most_within(files) == most


async def test_the_oldest_makes_room():
    pending = Pending(3, 10)
    first, *others = (One(pending, f"a{number}") for number in range(3))
    last = One(pending, "a9")
    assert first.why
    assert not any(one.why for one in (*others, last))
    assert len(pending) == 3


async def test_the_oldest_of_an_address_makes_room_for_another_of_it():
    pending = Pending(10, 2)
    other = One(pending, "b")
    first, second, third = (One(pending, "a") for _ in range(3))
    assert first.why
    assert not any(one.why for one in (other, second, third))


async def test_an_address_that_may_have_one_may_have_the_next():
    pending = Pending(10, 1)
    found = [One(pending, "a") for _ in range(5)]
    assert [bool(one.why) for one in found] == [True] * 4 + [False]
    assert len(pending) == 1


async def test_those_of_proxies_are_counted_together_alone():
    pending = Pending(10, 1)
    found = [One(pending, "") for _ in range(5)]
    assert not any(one.why for one in found)


async def test_whose_time_is_over_is_sent_away(monkeypatch):
    pending = Pending()
    one = One(pending, "a")
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + DEADLINE_S + 1)
    pending._look()
    assert one.why
    assert len(pending) == 0
