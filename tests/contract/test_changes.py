"""What every `store.base.Changes` does: in one process, and among several by each channel."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from tests.helpers.buses import KIND, Heard, together, until
from vestibule.core.postgres import parse
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.store.base import EVERYTHING
from vestibule.store.changes import Changes, Lent
from vestibule.store.channel_postgres import open_postgres
from vestibule.store.channel_socket import Hub, open_hub


@pytest.fixture(params=["hub", "postgres"])
async def channel(request, state_dir):
    """What makes transports of one channel."""
    if request.param == "postgres":
        place = request.getfixturevalue("postgres").place
        yield lambda: open_postgres(place)
        return
    hub = Hub(str(state_dir / "bus.sock"))
    await hub.start()
    yield lambda: open_hub(str(state_dir / "bus.sock"))
    await hub.close()


@pytest.fixture(params=["alone", "hub", "postgres"])
async def changes(request, state_dir):
    """Each kind, started."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "alone":
            yield Changes()
            return
        if request.param == "hub":
            hub = Hub(str(state_dir / "bus.sock"))
            await hub.start()
            stack.push_async_callback(hub.close)
            transport = open_hub(str(state_dir / "bus.sock"))
        else:
            transport = open_postgres(request.getfixturevalue("postgres").place)
        [bus] = await stack.enter_async_context(together(lambda: transport, 1))
        yield bus


# -- every kind ------------------------------------------------------------------------------------


async def test_who_is_unsubscribed_hears_nothing_more_and_the_others_do(changes):
    heard = []

    def first(key: str) -> None:
        heard.append(("first", key))

    changes.subscribe("grant", first)
    changes.subscribe("grant", lambda key: heard.append(("second", key)))
    changes.unsubscribe("grant", first)
    changes.unsubscribe("user", first)
    changes.publish("grant", "s1")
    assert heard == [("second", "s1")]


async def test_who_unsubscribes_while_a_change_is_told_keeps_it_from_nobody(changes):
    heard = []

    def once(key: str) -> None:
        heard.append(("once", key))
        changes.unsubscribe("grant", once)

    changes.subscribe("grant", once)
    changes.subscribe("grant", lambda key: heard.append(("always", key)))
    changes.publish("grant", "s1")
    changes.publish("grant", "s2")
    assert heard == [("once", "s1"), ("always", "s1"), ("always", "s2")]


async def test_what_was_lent_is_taken_back_whole_and_nothing_else(changes):
    heard = []
    changes.subscribe("grant", lambda key: heard.append(("process", key)))
    lent = Lent(changes)
    for kind in ("grant", "user"):
        lent.subscribe(kind, lambda key: heard.append(("generation", key)))
    lent.publish("grant", "s1")
    await lent.close()
    lent.publish("grant", "s2")
    changes.publish("user", "u1")
    assert heard == [("process", "s1"), ("generation", "s1"), ("process", "s2")]


async def test_a_change_reaches_every_listener_of_its_kind_before_publish_returns(changes):
    heard = []
    changes.subscribe("grant", lambda key: heard.append(("first", key)))
    changes.subscribe("grant", lambda key: heard.append(("second", key)))
    changes.subscribe("user", lambda key: heard.append(("user", key)))
    changes.publish("grant", "s1")
    assert heard == [("first", "s1"), ("second", "s1")]
    changes.publish("user", "u1")
    assert heard[2:] == [("user", "u1")]


async def test_nobody_need_listen(changes):
    changes.publish("unknown", "s1")


async def test_a_change_is_told_here_once(changes):
    heard = []
    changes.subscribe("grant", heard.append)
    changes.publish("grant", "s1")
    await changes.settle()
    await changes.settle()
    assert heard == ["s1"]


async def test_a_listener_may_publish(changes):
    heard = []
    changes.subscribe("grant", lambda key: changes.publish("child", f"{key} child"))
    changes.subscribe("child", heard.append)
    changes.publish("grant", "s1")
    await changes.settle()
    assert heard == ["s1 child"]


async def test_settling_returns_where_nothing_was_published_too(changes):
    await changes.settle()


async def test_it_closes_once_and_is_of_use_here_afterwards(changes):
    heard = []
    changes.subscribe("grant", heard.append)
    await changes.close()
    await changes.close()
    changes.publish("grant", "s1")
    await changes.settle()
    assert heard == ["s1"]


def test_what_is_alone_is_always_current():
    assert Changes().is_current(0.0)
    assert Changes().is_current(1e9)


# -- several processes -----------------------------------------------------------------------------


async def test_all_have_taken_a_change_when_settling_returns(channel):
    async with together(channel, 3) as buses:
        for number, bus in enumerate(buses):
            bus.publish(KIND, f"s{number}")
            await bus.settle()
            assert [other.heard[-1] for other in buses] == [f"s{number}"] * 3


async def test_changes_arrive_in_the_order_they_were_published_and_each_once(channel):
    async with together(channel, 2) as (here, there):
        said = [f"s{number}" for number in range(2_000)]
        for number, key in enumerate(said):
            here.publish(KIND, key)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await here.settle()
        assert there.heard == here.heard == said


async def test_what_several_say_at_once_arrives_at_all(channel):
    async with together(channel, 4) as buses:

        async def say(bus):
            for number in range(50):
                bus.publish(KIND, f"{id(bus)} {number}")
                await asyncio.sleep(0)
            await bus.settle()

        await asyncio.gather(*map(say, buses))
        said = {f"{id(bus)} {number}" for bus in buses for number in range(50)}
        for bus in buses:
            assert set(bus.heard) == said
            assert len(bus.heard) == 200


async def test_a_key_that_fits_no_frame_is_told_as_everything(channel):
    async with together(channel, 2) as (here, there):
        here.publish(KIND, "s" * 20_000)
        here.publish(KIND, "s\udc80")
        here.publish(KIND, "después")
        await here.settle()
        assert there.heard == [EVERYTHING, EVERYTHING, "después"]


async def test_who_says_goodbye_is_missed_by_nobody(channel):
    async with together(channel, 3) as (one, two, leaving):
        leaving.publish(KIND, "its last")
        await leaving.close()
        await until(lambda: one.peers == two.peers == 1, "it is heard of no more")
        one.publish(KIND, "s1")
        await one.settle()
        assert one.heard == two.heard == ["its last", "s1"]
        assert "changes_silent" not in one.text.getvalue()


async def test_who_comes_later_is_settled_with_too(channel):
    async with together(channel, 1) as [first]:
        first.publish(KIND, "s1")
        await first.settle()
        async with together(channel, 1) as [second]:
            await until(lambda: first.peers == second.peers == 1)
            first.publish(KIND, "s2")
            await first.settle()
            assert second.heard[-1] == "s2"
            assert "s1" not in second.heard


async def test_who_has_just_come_waits_for_those_it_has_not_heard_yet(channel):
    async with together(channel, 1) as [first]:
        newcomer = Heard(channel())
        newcomer.start()
        newcomer.publish(KIND, "s1")
        await newcomer.settle()
        assert "s1" in first.heard
        await newcomer.close()


async def test_who_was_closed_is_not_current(channel):
    async with together(channel, 1) as [bus]:
        await bus.close()
        assert not bus.is_good


async def test_where_nobody_can_be_reached_nobody_is_current_and_settling_returns(state_dir, free_port):
    async with contextlib.AsyncExitStack() as stack:
        for transport in (
            open_hub(str(state_dir / "nobody.sock")),
            open_postgres(parse(f"postgresql://u:p@127.0.0.1:{free_port}/d?sslmode=disable")),
        ):
            with pytest.raises(StoreError):
                await transport.connect(lambda _frame: None, lambda: None)
            bus = Heard(transport)
            stack.push_async_callback(bus.close)
            bus.start()
            bus.publish(KIND, "s1")
            await bus.settle()
            assert not bus.is_current(time.monotonic())


async def test_what_another_key_ring_says_is_taken_for_anything(channel):
    async with together(channel, 1) as [bus]:
        stranger = Heard(channel(), ring=KeyRing((Key("k1", b"another" * 8),)))
        stranger.start()
        await until(lambda: bus.heard)
        await stranger.close()
        assert set(bus.heard) == {EVERYTHING}
        assert bus.peers == 0
        assert bus.text.getvalue().count("changes_unreadable") == 1


async def test_all_understand_who_seals_with_a_newer_key_that_they_have(channel):
    both = KeyRing((Key("k2", b"n" * 32), Key("k1", b"k" * 32)))
    async with together(channel, 1) as [bus]:
        bus._ring = KeyRing((Key("k1", b"k" * 32), Key("k2", b"n" * 32)))
        newer = Heard(channel(), ring=both)
        newer.start()
        await until(lambda: bus.peers == newer.peers == 1)
        newer.publish(KIND, "s1")
        await newer.settle()
        assert bus.heard[-1] == "s1"
        await newer.close()


async def test_a_hub_takes_its_place_again_once_the_one_that_took_it_is_gone(state_dir):
    path = str(state_dir / "shared.sock")
    first, second = Hub(path), Hub(path)
    await first.start()
    await second.start()
    await second.close()
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(StoreError):
                link = await open_hub(path).connect(lambda _frame: None, lambda: None)
                break
            await asyncio.sleep(0.02)
    await link.close()
    await first.close()
    assert not (state_dir / "shared.sock").exists()


async def test_a_hub_leaves_the_place_to_the_one_that_took_it(state_dir):
    path = str(state_dir / "shared.sock")
    first, second = Hub(path), Hub(path)
    await first.start()
    await second.start()
    await first.close()
    link = await open_hub(path).connect(lambda _frame: None, lambda: None)
    await link.send([b"frame"])
    await link.close()
    await second.close()
