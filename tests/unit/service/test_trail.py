"""`service.trail`: the chain looked through and copied, while it grows and is swept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vestibule.core.chain import End, Entry
from vestibule.core.chain_text import check, line_of
from vestibule.core.event import SESSION_CREATED, SESSION_ENDED, Event
from vestibule.core.seal import Key, KeyRing
from vestibule.service import trail as module
from vestibule.service.trail import Trail
from vestibule.store.base_events import AuditFilter
from vestibule.store.memory_events import Audit, Outbox

NOW = 1_800_000_000.0
RING = KeyRing((Key("k1", b"k" * 32),))


def events(first: int, count: int, action: str = SESSION_CREATED) -> list[Event]:
    return [Event(id=f"e{n:03}", at=NOW + n, action=action) for n in range(first, first + count)]


class Busy(Audit):
    """Something happens just before rows are read: so many times."""

    def __init__(self, *happening: Any) -> None:
        super().__init__(Outbox(), RING)
        self._happening = list(happening)

    async def rows(self, after: int, limit: int, wanted: AuditFilter | None = None) -> tuple[Entry, ...]:
        if self._happening:
            await self._happening.pop(0)(self)
        return await super().rows(after, limit, wanted)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)


async def copied(trail: Trail, after: int = 0, wanted: AuditFilter | None = None) -> list[Entry | End]:
    return [one async for batch in trail.copy(after, wanted) for one in batch]


async def grow(audit: Audit) -> None:
    await audit.add(events(100 + len(audit.kept), 2))


async def sweep(audit: Audit) -> None:
    await audit.sweep(NOW + 4)


@pytest.mark.parametrize("count", [0, 1, 3, 7])
async def test_a_whole_trail_is_whole(count):
    audit = Busy()
    await audit.add(events(0, count))
    proof = await Trail(audit, RING).verify()
    assert (proof.ok, proof.rows, proof.head, proof.detail) == (True, count, audit.head.hash, "")


@pytest.mark.parametrize(
    "happening", [(grow, grow, grow, grow), (sweep,), (grow, sweep, grow)], ids=["grows", "swept", "both"]
)
async def test_a_trail_that_changes_as_it_may_meanwhile_is_whole(happening):
    audit = Busy(*happening)
    await audit.add(events(0, 8))
    trail = Trail(audit, RING)
    assert (await trail.verify()).ok


async def test_the_first_broken_row_is_named():
    audit = Busy()
    await audit.add(events(0, 8))
    del audit.kept[4]
    proof = await Trail(audit, RING).verify()
    assert (proof.ok, proof.broken_id) == (False, "e005")
    assert proof.detail == "row 5 is missing: after row 4 comes 6"


async def test_a_hash_that_was_kept_must_be_there():
    audit = Busy()
    await audit.add(events(0, 8))
    trail = Trail(audit, RING)
    assert (await trail.verify((audit.kept[2].hash,))).ok
    assert not (await trail.verify(("0" * 63 + "1",))).ok


async def test_many_who_ask_at_once_are_answered_one_after_the_other():
    audit = Busy()
    await audit.add(events(0, 8))
    trail = Trail(audit, RING)
    assert all(one.ok for one in await asyncio.gather(*(trail.verify() for _ in range(5))))


@pytest.mark.parametrize("happening", [(), (grow, grow)], ids=["quiet", "grows"])
async def test_a_copy_has_all_there_is_and_can_be_verified_by_itself(happening):
    audit = Busy(*happening)
    await audit.add(events(0, 8))
    found = await copied(Trail(audit, RING))
    assert check(map(line_of, found), RING).fault is None
    assert len(found) == len(audit.kept) + 2


async def test_a_copy_goes_on_where_another_broke_off():
    audit = Busy()
    await audit.add(events(0, 8))
    trail = Trail(audit, RING)
    first, rest = (await copied(trail))[:5], await copied(trail, 4)
    assert check(map(line_of, [*first, *rest]), RING).fault is None


async def test_a_copy_of_some_has_no_ends():
    audit = Busy()
    await audit.add([*events(0, 4), *events(4, 4, SESSION_ENDED)])
    found = await copied(Trail(audit, RING), 5, AuditFilter(action=SESSION_ENDED))
    assert [one.seq for one in found] == [6, 7, 8]
    assert all(isinstance(one, Entry) for one in found)
