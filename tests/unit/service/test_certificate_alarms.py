"""Who is told that a certificate ends, when, and how often."""

from __future__ import annotations

import io
import json

import pytest
from msgspec.structs import replace

from tests.unit.core.test_certificate import certificate
from vestibule.core.certificate import DAY_S, Certificate, Source
from vestibule.core.event import CERTIFICATE_EXPIRES, Event
from vestibule.observe.log import Log
from vestibule.service.certificate_alarms import shown_once, sound
from vestibule.service.shelf import Shelf
from vestibule.store.memory import Marks

NOW = 1_800_000_000.0


class Told:
    """What became of events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def tell(self, *events: Event) -> None:
        self.events += events


class Stand:
    def __init__(self) -> None:
        self.shelf, self.marks, self.told, self.out, self.now = Shelf(), Marks(), Told(), io.StringIO(), NOW

    def put(self, name: str, days: float, source: Source = Source.FILE) -> None:
        self.shelf.put(name, ending(name, days, source))

    async def sound(self) -> list[int]:
        """The days that were told of."""
        before = len(self.told.events)
        await sound(self.shelf, self.marks, self.told, Log(self.out), now=lambda: self.now)  # type: ignore[arg-type] # all it asks of events
        return [event.detail["days_left"] for event in self.told.events[before:]]  # type: ignore[misc] # a number


def ending(name: str, days: float, source: Source) -> Certificate:
    until_at = NOW + days * DAY_S
    made = certificate(name)
    return replace(
        made,
        not_before_at=until_at - 90 * DAY_S,
        not_after_at=until_at,
        source=source,
        fingerprint=f"of {name}",
    )


@pytest.fixture
def stand() -> Stand:
    return Stand()


async def test_a_certificate_that_is_good_for_long_is_not_told_of(stand: Stand):
    stand.put("a.example", 31)
    assert await stand.sound() == []


async def test_each_alarm_goes_off_once(stand: Stand):
    stand.put("a.example", 30)
    told = []
    for _ in range(32):
        told += await stand.sound()
        told += await stand.sound()
        stand.now += DAY_S
    assert told == [30, 7, 1, 0]


async def test_all_processes_together_tell_once(stand: Stand):
    stand.put("a.example", 5)
    assert await stand.sound() == [5]
    other = Stand()
    other.marks, other.shelf = stand.marks, stand.shelf
    assert await other.sound() == []


async def test_its_successor_has_alarms_of_its_own(stand: Stand):
    stand.put("a.example", 5)
    assert await stand.sound() == [5]
    stand.shelf.put("a.example", replace(ending("a.example", 6, Source.FILE), fingerprint="another"))
    assert await stand.sound() == [6]


@pytest.mark.parametrize(
    ("source", "days", "level", "advice"),
    [
        (Source.ACME, 20, "warning", "it is renewed by itself"),
        (Source.FILE, 6, "warning", "put the renewed certificate into the same files"),
        (Source.FILE, 0.5, "error", "put the renewed certificate into the same files"),
        (Source.LOCAL, -1, "error", "it is renewed by itself"),
    ],
)
async def test_it_is_said_what_to_do(stand: Stand, source: Source, days: float, level: str, advice: str):
    stand.put("a.example", days, source)
    await stand.sound()
    line = json.loads(stand.out.getvalue())
    assert (line["level"], line["event"], line["hosts"]) == (level, "certificate_expires", ["a.example"])
    assert line["advice"].startswith(advice)
    (event,) = stand.told.events
    assert (event.action, event.host) == (CERTIFICATE_EXPIRES, "a.example")
    assert event.detail["advice"] == line["advice"]


async def test_one_for_several_hosts_is_told_of_once(stand: Stand):
    shared = ending("*.example", 3, Source.FILE)
    stand.shelf.put("b.example", shared)
    stand.shelf.put("a.example", shared)
    assert await stand.sound() == [3]
    assert stand.told.events[0].detail["hosts"] == ["a.example", "b.example"]
    assert shown_once(stand.shelf) == [(("a.example", "b.example"), shared)]
