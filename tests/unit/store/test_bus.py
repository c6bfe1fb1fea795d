"""A bus on a channel that is held, cut and let go by hand, with a clock that is moved."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import pytest

from tests.helpers.buses import KIND, Heard, until
from tests.helpers.vault import RING
from vestibule.errors import StoreError
from vestibule.store import bus as module
from vestibule.store.base import EVERYTHING
from vestibule.store.frame import Beat, Change, Goodbye, Sync, read


class Channel:
    """Repeats frames to all; while it is held, to nobody; while it is away, nobody connects."""

    def __init__(self) -> None:
        self.links: list[Line] = []
        self.is_away = False
        self.is_held = False
        self.is_broken = False
        self.held: deque[bytes] = deque()
        self.said: list[object] = []

    async def connect(self, take, lost):
        if self.is_away:
            raise StoreError("The channel is away.")
        if self.is_broken:
            raise ZeroDivisionError
        link = Line(self, take, lost)
        self.links.append(link)
        return link

    def enter(self, frame: bytes) -> None:
        self.said += read(frame, RING).messages
        self.held.append(frame)
        if not self.is_held:
            self.let_go()

    def let_go(self) -> None:
        self.is_held = False
        while self.held:
            frame = self.held.popleft()
            for link in tuple(self.links):
                link.take(frame)

    def cut(self, *, away: bool = False) -> None:
        """All connections are lost, with what is held."""
        self.is_away = away
        self.held.clear()
        links, self.links = self.links, []
        for link in links:
            link.lost()

    def of(self, kind: type) -> list[object]:
        return [message for message in self.said if isinstance(message, kind)]


class Line:
    def __init__(self, channel: Channel, take, lost) -> None:
        self.channel, self.take, self.lost = channel, take, lost

    async def send(self, frames) -> None:
        for frame in frames:
            self.channel.enter(frame)

    async def close(self) -> None:
        with contextlib.suppress(ValueError):
            self.channel.links.remove(self)


class Row:
    """The stamp."""

    def __init__(self) -> None:
        self.number = 0
        self.is_away = False
        self.asked = 0
        """How many wait for it now."""
        self.read_times = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self) -> int:
        self.asked += 1
        await self.gate.wait()
        self.asked -= 1
        self.read_times += 1
        if self.is_away:
            raise StoreError("The store is away.")
        return self.number

    async def raise_(self) -> None:
        if self.is_away:
            raise StoreError("The store is away.")
        self.number += 1


class World:
    """One bus, whose clock is moved."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.channel = Channel()
        self.row = Row()
        self.bus = self.another()
        self.buses = [self.bus]

    def another(self) -> Heard:
        return Heard(self.channel, stamp=self.row, mono=lambda: self.at, only_here=frozenset({"private"}))

    @property
    def is_current(self) -> bool:
        return self.bus.is_current(self.at)

    async def move(self, seconds: float) -> None:
        """Time passes, and a beat is due."""
        self.at += seconds
        before = len(self.channel.of(Beat))
        for bus in self.buses:
            bus._wake.set()
        await until(lambda: len(self.channel.of(Beat)) >= before + len(self.buses))

    async def joined(self) -> Heard:
        """Another, which is current; each hears the other."""
        other = self.another()
        self.buses.append(other)
        other.start()
        await until(lambda: other.is_current(self.at))
        await self.move(0.25)
        await until(lambda: self.bus.peers == other.peers == 1)
        return other


@pytest.fixture
async def world(monkeypatch):
    """Current, with nothing heard or said that matters. What is waited for in earnest is short."""
    for name in ("AGAIN_S", "STAMP_S"):
        monkeypatch.setattr(module, name, 0.001)
    world = World()
    world.bus.start()
    await until(lambda: world.is_current)
    world.bus.knows_all()
    world.bus.heard.clear()
    yield world
    for bus in world.buses:
        await bus.close()


@pytest.fixture
def hasty(monkeypatch):
    """Nobody is waited for long."""
    monkeypatch.setattr(module, "ECHO_S", 0.01)
    monkeypatch.setattr(module, "_MARGIN_S", 0.0)
    monkeypatch.setattr(module, "TRUST_S", 0.01)


# -- current ---------------------------------------------------------------------------------------


async def test_it_is_current_for_a_second_from_when_the_beat_was_sent(world):
    world.channel.is_held = True
    await world.move(0.25)
    sent_at = world.at
    world.at += 0.5
    await until(lambda: world.bus._stamp_mono == world.at)
    world.channel.let_go()
    assert world.bus.is_current(sent_at + 0.999)
    assert not world.bus.is_current(sent_at + 1.0)


async def test_it_is_not_current_before_a_beat_came_back(world):
    other = world.another()
    world.buses.append(other)
    world.channel.is_held = True
    other.start()
    await until(lambda: len(world.channel.held) > 0)
    assert not other.is_current(world.at)
    world.channel.let_go()
    await until(lambda: other.is_current(world.at))
    assert EVERYTHING in other.heard


async def test_beats_alone_do_not_keep_it_current(world):
    """Who can't read the stamp may miss what nobody could tell by the channel."""
    world.row.is_away = True
    for _ in range(4):
        assert world.is_current
        await world.move(0.25)
    assert not world.is_current
    world.row.is_away = False
    await until(lambda: world.is_current)


async def test_the_stamp_counts_from_when_it_was_asked_for(world):
    world.row.gate.clear()
    await until(lambda: world.row.asked)
    asked_at, world.at = world.at, world.at + 0.9
    read_until_now = world.row.read_times
    world.row.gate.set()
    world.row.gate.clear()  # for whoever asks next
    await until(lambda: world.row.read_times > read_until_now)
    await asyncio.sleep(0)
    assert world.bus._stamp_mono == asked_at


async def test_the_stamp_alone_does_not_keep_it_current(world):
    world.channel.is_held = True
    world.at += 1.0
    await asyncio.sleep(0.02)
    assert not world.is_current


async def test_a_stamp_that_was_raised_has_all_forgotten(world):
    world.row.number += 1
    await until(lambda: world.bus.heard)
    assert world.bus.heard == [EVERYTHING]


async def test_who_loses_the_connection_is_not_current_and_forgets_everything_before_it_is_again(world):
    heard_when_current = []
    world.bus.subscribe(KIND, lambda _key: heard_when_current.append(world.is_current))
    world.channel.cut(away=True)
    await until(lambda: not world.is_current)
    assert world.bus.heard == []
    world.channel.is_away = False
    await until(lambda: world.is_current)
    assert world.bus.heard == [EVERYTHING]
    assert heard_when_current == [False]


async def test_a_connection_on_which_nothing_comes_back_is_made_anew(world):
    world.channel.is_held = True
    [link] = world.channel.links
    for _ in range(12):
        await world.move(0.25)
    await until(lambda: world.channel.links and world.channel.links != [link])


async def test_whatever_goes_wrong_is_tried_again(world):
    world.channel.is_broken = True
    world.channel.cut()
    await until(lambda: "changes_failed" in world.bus.text.getvalue())
    assert not world.is_current
    world.channel.is_broken = False
    await until(lambda: world.is_current)


# -- publishing ------------------------------------------------------------------------------------


async def test_what_is_published_while_nobody_can_be_reached_is_said_later(world):
    world.channel.cut(away=True)
    await until(lambda: not world.bus._is_connected)
    world.channel.said.clear()
    world.bus.publish(KIND, "s1")
    world.bus.publish(KIND, "s2")
    world.channel.is_away = False
    await until(lambda: len(world.channel.of(Change)) == 2)
    assert world.channel.of(Change) == [Change(KIND, "s1"), Change(KIND, "s2")]


async def test_what_was_said_and_did_not_come_back_is_said_as_everything(world):
    world.channel.is_held = True
    world.bus.publish(KIND, "s1")
    await until(lambda: world.channel.of(Change))
    world.channel.said.clear()
    world.channel.is_held = False
    world.channel.cut()
    await until(lambda: world.channel.of(Change))
    assert world.channel.of(Change) == [Change(EVERYTHING, EVERYTHING)]


async def test_a_connection_that_lost_no_change_is_followed_by_none(world):
    world.bus.publish(KIND, "s1")
    await world.bus.settle()
    world.channel.said.clear()
    world.channel.cut()
    await until(lambda: world.is_current)
    assert world.channel.of(Change) == []


async def test_too_much_to_be_kept_is_told_as_everything(world, monkeypatch):
    monkeypatch.setattr(module, "_QUEUE_MAX", 100)
    world.channel.cut(away=True)
    await until(lambda: not world.bus._is_connected)
    world.channel.said.clear()
    for number in range(1_000):
        world.bus.publish(KIND, f"s{number}")
    assert len(world.bus._queue) <= 101
    assert world.bus.heard[-1] == "s999"
    world.channel.is_away = False
    await until(lambda: world.channel.of(Change))
    assert world.channel.of(Change)[0] == Change(EVERYTHING, EVERYTHING)


async def test_what_a_listener_publishes_stays_here(world):
    world.bus.subscribe(KIND, lambda key: world.bus.publish("child", key))
    world.bus.publish(KIND, "s1")
    await world.bus.settle()
    assert world.channel.of(Change) == [Change(KIND, "s1")]


async def test_a_private_kind_stays_here_and_is_never_everything(world):
    heard = []
    world.bus.subscribe("private", heard.append)
    world.bus.publish("private", "s1")
    world.row.number += 1
    await until(lambda: EVERYTHING in world.bus.heard)
    assert heard == ["s1"]
    assert world.channel.of(Change) == []


async def test_a_listener_that_fails_spares_the_others_and_begins_all_anew(world):
    """What it kept, it may have had to forget."""

    def fail(key: str) -> None:
        if key == "s1":
            raise ZeroDivisionError

    heard = []
    other = await world.joined()
    other.subscribe("grant", fail)
    other.subscribe("grant", heard.append)
    world.bus.publish("grant", "s1")
    await until(lambda: "s1" in heard)
    assert "changes_listener" in other.text.getvalue()
    await until(lambda: EVERYTHING in heard)
    await until(lambda: other.is_current(world.at))


# -- settling --------------------------------------------------------------------------------------


async def test_nothing_published_is_nothing_to_wait_for(world):
    await world.bus.settle()
    assert world.channel.of(Sync) == []


async def test_all_who_wait_for_the_same_share_one_question(world):
    world.bus.publish(KIND, "s1")
    await asyncio.gather(*(world.bus.settle() for _ in range(10)))
    await world.bus.settle()
    assert len(world.channel.of(Sync)) == 1
    world.bus.publish(KIND, "s2")
    await world.bus.settle()
    assert len(world.channel.of(Sync)) == 2


async def test_who_stops_waiting_stops_nobody_else(world):
    world.channel.is_held = True
    world.bus.publish(KIND, "s1")
    impatient, patient = (asyncio.create_task(world.bus.settle()) for _ in range(2))
    await until(lambda: world.channel.of(Sync))
    impatient.cancel()
    await asyncio.sleep(0)
    world.channel.let_go()
    await patient
    assert impatient.cancelled()


async def test_what_does_not_come_back_raises_the_stamp(world, hasty):
    world.channel.is_held = True
    world.bus.publish(KIND, "s1")
    await world.bus.settle()
    assert world.row.number == 1


async def test_what_comes_back_raises_nothing(world):
    for number in range(10):
        world.bus.publish(KIND, f"s{number}")
        await world.bus.settle()
    world.at += 0.5
    await asyncio.sleep(0.01)
    assert world.row.number == 0


async def test_what_nobody_settles_and_nobody_hears_raises_the_stamp_too(world):
    world.channel.is_held = True
    world.bus.publish(KIND, "s1")
    world.at += 0.6
    await until(lambda: world.row.number == 1)
    await asyncio.sleep(0.01)
    assert world.row.number == 1
    world.bus.publish(KIND, "s2")
    world.at += 0.6
    await until(lambda: world.row.number == 2)


async def test_without_stamp_and_channel_settling_ends(world, hasty):
    world.channel.cut(away=True)
    world.row.is_away = True
    world.bus.publish(KIND, "s1")
    await world.bus.settle()
    assert "changes_stamp" in world.bus.text.getvalue()
    world.row.is_away = False
    world.at += 1.0
    await until(lambda: world.row.number == 1)


async def test_it_is_settled_once_all_have_taken_it(world):
    other = await world.joined()
    slow = next(link for link in world.channel.links if link.take.__self__ is other._connection)
    take, waiting = slow.take, []
    slow.take = waiting.append
    world.bus.publish(KIND, "s1")
    settling = asyncio.create_task(world.bus.settle())
    await until(lambda: waiting)
    await asyncio.sleep(0.02)
    assert not settling.done()
    for frame in waiting:
        take(frame)
    assert other.heard[-1] == "s1"
    await settling


async def test_who_does_not_answer_is_waited_for_no_longer_than_it_may_believe_itself_current(world, hasty):
    other = await world.joined()
    deaf = next(link for link in world.channel.links if link.take.__self__ is other._connection)
    deaf.take = lambda _frame: None
    world.bus.publish(KIND, "s1")
    await world.bus.settle()
    assert world.row.number == 0


async def test_closing_lets_all_go_on_who_wait(world):
    world.channel.is_held = True
    world.bus.publish(KIND, "s1")
    waiting = asyncio.create_task(world.bus.settle())
    await until(lambda: world.channel.of(Sync))
    await world.bus.close()
    await waiting
    assert isinstance(world.channel.said[-1], Goodbye)
