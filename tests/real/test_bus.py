"""Revocations among real processes, on the socket of one machine and on PostgreSQL, whatever becomes of them.

Each process is `bus_peer`: sessions behind their cache, as the gateway has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.real.fault import Fault
from vestibule.store import migrations

pytestmark = pytest.mark.real

PEER = Path(__file__).with_name("bus_peer.py")
ROOT = Path(__file__).parents[2]


class Peer:
    """One process."""

    def __init__(self, running: asyncio.subprocess.Process) -> None:
        self._running = running
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, *arguments: str) -> Peer:
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            PEER,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert await running.stdout.readline() == b'"ready"\n'
        return cls(running)

    async def do(self, command: str, *arguments: object) -> object:
        """What came of it; None when it was the last it did."""
        async with self._turn:
            self.say(command, *arguments)
            line = await self._running.stdout.readline()
            return json.loads(line) if line else None

    def say(self, command: str, *arguments: object) -> None:
        """Have it do that when it comes to it."""
        self._running.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")

    async def until(self, command: str, *arguments: object, answer: object) -> None:
        """Returns once that is what comes of it."""
        for _ in range(6_000):
            if await self.do(command, *arguments) == answer:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{command} never becomes {answer}")

    def signal(self, number: signal.Signals) -> None:
        self._running.send_signal(number)

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self._running._transport.close()  # the pipes, too
        await self._running.wait()


class House:
    """Where processes meet: a store, and a way for each of them to the channel that can be broken alone."""

    def __init__(self, stack: contextlib.AsyncExitStack, ports) -> None:
        self._stack = stack
        self._ports = ports
        self.url = ""
        self.hub: Peer | None = None
        self._hub_path = ""
        self._place = None

    async def on_postgres(self, postgres) -> House:
        self._place, self.url = postgres.place, postgres.url
        return self

    async def on_a_hub(self, directory: Path) -> House:
        migrations.bring_up(directory / "vestibule.db")
        self.url, self._hub_path = f"sqlite:{directory}/vestibule.db", f"{directory}/bus.sock"
        await self.start_hub()
        return self

    async def start_hub(self) -> None:
        self.hub = await Peer.start("hub", self._hub_path)
        self._stack.push_async_callback(self.hub.stop)

    async def peer(self) -> tuple[Peer, Fault | None]:
        """A process, and what its way to the channel leads through."""
        if self._place is None:
            way, channel = None, f"hub:{self._hub_path}"
        else:
            way = self._stack.enter_context(Fault(self._ports.take(), self._place.port))
            channel = self.url.replace(f":{self._place.port}/", f":{way.port}/")
        peer = await Peer.start(self.url, channel)
        self._stack.push_async_callback(peer.stop)
        return peer, way

    async def pair(self) -> tuple[Peer, Fault | None, Peer, Fault | None]:
        """Two that are current and know each other."""
        (here, here_way), (there, there_way) = await self.peer(), await self.peer()
        for peer in (here, there):
            await peer.until("peers", answer=1)
            await peer.until("is_current", answer=True)
        return here, here_way, there, there_way


@pytest.fixture
async def stack():
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=["hub", "postgres"])
async def house(request, stack, ports, state_dir) -> House:
    house = House(stack, ports)
    if request.param == "postgres":
        return await house.on_postgres(request.getfixturevalue("postgres"))
    return await house.on_a_hub(state_dir)


@pytest.fixture
async def far(stack, ports, postgres) -> House:
    """On PostgreSQL, where each process has a way of its own to the channel; to the store all have another."""
    return await House(stack, ports).on_postgres(postgres)


async def known(here: Peer, *others: Peer) -> tuple[str, str]:
    """A session, for which nobody asks the store any more."""
    session_id, handle = await here.do("begin")
    for _ in range(10):
        for peer in (here, *others):
            assert await peer.do("ask", handle) == "in"
        await asyncio.sleep(1.1)
        # where one forgot everything meanwhile, it is asked again
        if all([await peer.do("is_cached", handle) for peer in (here, *others)]):
            return session_id, handle
    raise AssertionError("never cached")


async def test_when_a_sign_out_is_answered_nobody_else_lets_a_request_through(house):
    here, _, there, _ = await house.pair()
    await known(here, there)  # by now they have listened for long enough to wait for each other alone
    for _ in range(50):
        session_id, handle = await here.do("begin")
        assert await there.do("ask", handle) == "in"
        while not await there.do("is_cached", handle):  # where it forgot everything meanwhile
            assert await there.do("ask", handle) == "in"
        assert await here.do("end", session_id)
        assert await there.do("ask", handle) == "out"


async def test_a_process_that_was_stopped_lets_nobody_in_who_was_signed_out_meanwhile(house):
    """It is asked before it can have read what came for it."""
    here, _, there, _ = await house.pair()
    session_id, handle = await known(here, there)
    there.signal(signal.SIGSTOP)
    assert await here.do("end", session_id)
    asked = asyncio.create_task(there.do("ask", handle))
    await asyncio.sleep(2)
    there.signal(signal.SIGCONT)
    assert await asked == "out"
    await there.until("is_current", answer=True)
    await here.until("peers", answer=1)


async def test_a_process_that_was_stopped_for_longer_than_others_wait_is_a_peer_again(house):
    here, _, there, _ = await house.pair()
    there.signal(signal.SIGSTOP)
    await here.until("peers", answer=0)
    there.signal(signal.SIGCONT)
    await here.until("peers", answer=1)
    session_id, handle = await known(here, there)
    assert await here.do("end", session_id)
    assert await there.do("ask", handle) == "out"


async def test_what_a_killed_process_told_nobody_of_is_not_missed_for_ever(house):
    here, _, there, _ = await house.pair()
    session_id, handle = await known(here, there)
    assert await here.do("end_and_die", session_id) is None
    await there.until("ask", handle, answer="out")
    await there.until("is_current", answer=True)


async def test_who_leaves_is_not_missed(house):
    here, _, there, _ = await house.pair()
    _, handle = await known(here, there)
    await here.do("close")
    await there.until("peers", answer=0)
    assert await there.do("is_cached", handle)


async def test_many_changes_disturb_nobody(house):
    """As many as ten thousand people sign in a second: all arrive, and a sign-out among them is as good as ever."""
    here, _, there, _ = await house.pair()
    session_id, handle = await known(there, here)
    flood = asyncio.create_task(here.do("flood", 20_000))
    await there.do("end", session_id)
    assert await flood == 20_000
    await there.until("heard", answer=20_000)
    assert await here.do("ask", handle) == "out"


# -- the way is cut --------------------------------------------------------------------------------


BOTH = ("who signs out", "who is told")


@pytest.mark.parametrize(
    ("break_", "whose"),
    [
        (Fault.hang, BOTH[:1]),
        (Fault.hang, BOTH[1:]),
        (Fault.hang, BOTH),
        (Fault.refuse, BOTH[:1]),
        (Fault.refuse, BOTH[1:]),
        (Fault.refuse, BOTH),
        (lambda way: way.half(0), BOTH[:1]),
    ],
    ids=[
        *("hangs for who signs out", "hangs for who is told", "hangs for both"),
        *("refuses who signs out", "refuses who is told", "refuses both", "says nothing to who signs out"),
    ],
)
async def test_where_the_way_is_cut_a_sign_out_holds_too(far, break_, whose):
    """The store is reached by another way."""
    here, here_way, there, there_way = await far.pair()
    session_id, handle = await known(here, there)
    for name, way in zip(BOTH, (here_way, there_way), strict=True):
        if name in whose:
            break_(way)
    assert await here.do("end", session_id)
    assert await there.do("ask", handle) == "out"
    for way in (here_way, there_way):
        way.calm()
    for peer in (here, there):
        await peer.until("is_current", answer=True)
        await peer.until("peers", answer=1)
    session_id, handle = await known(here, there)
    assert await here.do("end", session_id)
    assert await there.do("ask", handle) == "out"


async def test_a_way_that_has_been_cut_for_long_makes_no_difference(far):
    """Nobody hears of a sign-out from where nobody has been heard for seconds, but by the stamp."""
    here, here_way, there, _ = await far.pair()
    here_way.refuse()
    await there.until("peers", answer=0)
    await asyncio.sleep(1.5)
    session_id, handle = await here.do("begin")
    assert await there.do("ask", handle) == "in"
    await there.until("is_cached", handle, answer=True)
    assert await here.do("end", session_id)
    assert await there.do("ask", handle) == "out"


async def test_a_hub_that_dies_is_missed_by_no_sign_out(stack, ports, state_dir):
    house = await House(stack, ports).on_a_hub(state_dir)
    here, _, there, _ = await house.pair()
    session_id, handle = await known(here, there)
    house.hub.signal(signal.SIGKILL)
    assert await here.do("end", session_id)
    assert await there.do("ask", handle) == "out"
    await house.start_hub()
    for peer in (here, there):
        await peer.until("is_current", answer=True)
        await peer.until("peers", answer=1)


async def test_a_hub_that_stands_still_is_missed_by_no_sign_out(stack, ports, state_dir):
    house = await House(stack, ports).on_a_hub(state_dir)
    here, _, there, _ = await house.pair()
    session_id, handle = await known(here, there)
    house.hub.signal(signal.SIGSTOP)
    assert await here.do("end", session_id)
    assert await there.do("ask", handle) == "out"
    house.hub.signal(signal.SIGCONT)
    for peer in (here, there):
        await peer.until("is_current", answer=True)


async def test_a_hub_that_was_replaced_while_it_runs_divides_nobody(stack, ports, state_dir):
    house = await House(stack, ports).on_a_hub(state_dir)
    here, _, there, _ = await house.pair()
    await house.start_hub()  # at the same place; the one before goes on
    for peer in (here, there):
        await peer.until("is_current", answer=True)
        await peer.until("peers", answer=1)
    session_id, handle = await known(here, there)
    third, _ = await house.peer()
    await third.until("peers", answer=2)
    assert await third.do("end", session_id)
    assert await there.do("ask", handle) == "out"
