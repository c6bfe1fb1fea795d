"""Fifty people at several nodes while everything around them breaks, and what each of them may be answered.

A person sends requests over connections of their own to any node, signs out and in again now and then. Each answer is
judged by what the person had been promised before: what is theirs, and nobody else's; nothing after a sign-out that was
acknowledged; no sign-out that nobody asked for; a 503 that says when to come back where something is broken, and only
there.

What may be missed is counted apart (`missed`): a sign-out made at another node, at a node that could not reach the store,
for as long as grace lasts.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.real.nodes import Node, Nodes, handle_of

RECOVERY_S = 3.0
"""How long after a fault all is as before."""
RESTART_S = 12.0
"""How long a node that was killed may take to be there again on a machine that is busy with all the others."""
HANG_S = 10.0
"""Nobody waits that long for anything."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that was broken, and when."""

    node: int
    kind: str
    began: float
    ended: float
    """Infinite: it still is."""


class Weather:
    """What is broken, and was."""

    def __init__(self) -> None:
        self.past: list[Fault] = []
        self.now: dict[tuple[int, str], float] = {}

    @contextlib.contextmanager
    def broken(self, nodes: tuple[int, ...], kind: str) -> Iterator[None]:
        """While this is entered, that is broken at these nodes."""
        began = time.monotonic()
        for node in nodes:
            self.now[node, kind] = began
        try:
            yield
        finally:
            for node in nodes:
                del self.now[node, kind]
                self.past.append(Fault(node, kind, began, time.monotonic()))

    def was(self, node: int, kinds: tuple[str, ...], since: float, until: float, *, tail_s: float) -> bool:
        """Whether one of these was broken at the node in this time, or not `tail_s` before it."""
        if any((node, kind) in self.now and self.now[node, kind] <= until for kind in kinds):
            return True
        return any(
            fault.node == node
            and fault.kind in kinds
            and fault.began <= until
            and fault.ended + tail_s >= since
            for fault in reversed(self.past)
        )


class Ticket:
    """A session handle, and what is known of it."""

    def __init__(self, person: str, handle: str) -> None:
        self.person = person
        self.handle = handle
        self.session = ""
        """Its session's id, once an answer has told."""
        self.leaving_at = float("inf")
        """When its sign-out was first asked for."""
        self.left_at = float("inf")
        """When its sign-out was acknowledged."""


class Connection:
    """One connection of a browser's to a node, made anew when it breaks."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, head: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, header and body. Raises OSError, EOFError, TimeoutError.

        A connection that was there before and is gone by now is made anew, as browsers do.
        """
        if self._streams is not None:
            with contextlib.suppress(OSError, EOFError):
                return await self._asked(head)
        return await self._asked(head)

    async def _asked(self, head: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        try:
            async with asyncio.timeout(HANG_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._node.gateway.port)
                reader, writer = self._streams
                writer.write(head)
                lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
                header = {
                    name.lower(): value.strip()
                    for line in lines[1:]
                    if line
                    for name, _, value in (line.partition(b":"),)
                }
                body = await reader.readexactly(int(header.get(b"content-length", b"0")))
        except BaseException:
            self.close()
            raise
        if header.get(b"connection") == b"close":
            self.close()
        return int(lines[0].split(b" ")[1]), header, body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclasses.dataclass
class Verdict:
    """What came of a run."""

    answers: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)
    missed: int = 0
    sign_ins: int = 0
    sign_outs: int = 0
    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def blame(self, what: str) -> None:
        """Note what should not have been; the first are enough to see what it is."""
        self.answers["wrong"] += 1
        if len(self.wrong) < 50:
            self.wrong.append(what)


class Chaos:
    """One run."""

    def __init__(
        self,
        nodes: Nodes,
        people: tuple[str, ...],
        *,
        requests: int,
        seconds: float,
        seed: int,
        grace_s: float,
        bound_s: float,
        kills: bool = True,
    ) -> None:
        """`bound_s`: by then a sign-out has reached every node that can reach the store."""
        self.nodes = nodes
        self.people = people
        self.verdict = Verdict()
        self.weather = Weather()
        self._requests = requests
        self._pace_s = seconds * len(people) / requests
        self._random = random.Random(seed)
        self._grace_s = grace_s
        self._bound_s = bound_s
        self._kills = kills
        self._asked = 0
        self._answered = 0
        self._stale: collections.deque[Ticket] = collections.deque(maxlen=200)
        self._is_over = False

    async def run(self) -> Verdict:
        """All of it; at the end everybody is asked once more, in calm."""
        tickets = dict(zip(self.people, await self._everybody_in(), strict=True))
        breaking = asyncio.create_task(self._break())
        try:
            async with asyncio.TaskGroup() as group:
                for person in self.people:
                    group.create_task(self._live(person, tickets))
        finally:
            self._is_over = True
            await breaking
        await asyncio.sleep(RECOVERY_S)
        await self._all_is_well(tickets)
        self.verdict.wrong += self.nodes.app.wrong
        return self.verdict

    # -- people --------------------------------------------------------------------------------

    async def _everybody_in(self) -> list[Ticket]:
        found = []
        for person in self.people:
            ticket = await self._sign_in(person, self.nodes[0])
            assert ticket is not None, f"{person} can't sign in"
            found.append(ticket)
        return found

    async def _live(self, person: str, tickets: dict[str, Ticket]) -> None:
        choice = random.Random(f"{person}{self._random.random()}")
        connections = [Connection(node) for node in self.nodes.nodes]
        ticket: Ticket | None = tickets[person]
        due = time.monotonic()
        try:
            while self._answered < self._requests:
                due += self._pace_s * choice.uniform(0.5, 1.5)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                number = choice.randrange(len(connections))
                what = choice.random()
                if ticket is None:
                    ticket = await self._sign_in(person, self.nodes[number])
                    if ticket is not None:
                        tickets[person] = ticket
                    due = time.monotonic()
                elif what < 0.002 or (what < 0.1 and ticket.leaving_at < float("inf")):
                    if await self._sign_out(ticket, connections[number]):
                        self._stale.append(ticket)
                        ticket = None
                elif what < 0.02 and self._stale:
                    await self._get(choice.choice(self._stale), "p", connections[number], number)
                elif what < 0.07:
                    await self._get(ticket, "admins", connections[number], number)
                else:
                    await self._get(ticket, "p", connections[number], number)
        finally:
            for connection in connections:
                connection.close()

    async def _get(self, ticket: Ticket, kind: str, connection: Connection, number: int) -> None:
        """One request, judged."""
        self._asked += 1
        seq, began = self._asked, time.monotonic()
        port = self.nodes[number].gateway.port
        head = (
            f"GET /{kind}/{ticket.person}/{seq} HTTP/1.1\r\nHost: app.example.com:{port}\r\nAccept: text/html\r\n"
            f"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
            f"Cookie: vestibule-{port}={ticket.handle}\r\n\r\n"
        )
        try:
            status, header, body = await connection.ask(head.encode())
        except TimeoutError:
            self._broken(f"{ticket.person} waits for ever at {number}", number, began)
        except (OSError, EOFError) as error:
            self._broken(f"{ticket.person} is cut off at {number}: {error!r}", number, began)
        else:
            self._judge(ticket, kind, number, began, seq, status, header, body)

    def _broken(self, what: str, number: int, began: float) -> None:
        """No answer at all: only a node that was killed may do that."""
        self.verdict.answers["none"] += 1
        if not self.weather.was(number, ("killed",), began, time.monotonic(), tail_s=0.5):
            self.verdict.blame(what)

    def _judge(  # noqa: PLR0917 - all of one answer
        self,
        ticket: Ticket,
        kind: str,
        number: int,
        began: float,
        seq: int,
        status: int,
        header: dict[bytes, bytes],
        body: bytes,
    ) -> None:
        ended = time.monotonic()
        self._answered += 1
        self.verdict.answers[str(status)] += 1
        who = f"{ticket.person} at node {number}, request {seq}"
        if status == 200:
            self._let_in(ticket, kind, number, began, seq, body, who)
        elif status == 403:
            if kind != "admins" or ticket.person in self.nodes.app.admins:
                self.verdict.blame(f"{who}: 403 for what is theirs")
        elif status in {302, 303, 401}:
            if ticket.leaving_at > ended:
                self.verdict.blame(f"{who}: signed out, and nobody asked for it")
        elif status == 503:
            if b"retry-after" not in header or b"set-cookie" in header:
                self.verdict.blame(f"{who}: a 503 that doesn't say when to come back, or touches cookies")
            kinds = ("store", "killed", "provider")
            if not self.weather.was(number, kinds, began, ended, tail_s=RECOVERY_S):
                self.verdict.blame(f"{who}: 503 while nothing is broken: {body[-300:]!r}")
        else:
            self.verdict.blame(f"{who}: {status} {body[-300:]!r}")

    def _let_in(  # noqa: PLR0917 - as above
        self, ticket: Ticket, kind: str, number: int, began: float, seq: int, body: bytes, who: str
    ) -> None:
        """A 200: theirs, of their session, of this request, and at a time when they were in."""
        person, session, echoed = body.decode().split()
        if (person, echoed) != (ticket.person, str(seq)):
            self.verdict.blame(f"{who}: got what {person} asked for with {echoed}")
        ticket.session = ticket.session or session
        if session != ticket.session:
            self.verdict.blame(f"{who}: another session than before")
        if kind == "admins" and person not in self.nodes.app.admins:
            self.verdict.blame(f"{who}: let in where only admins are")
        late_s = began - ticket.left_at
        if late_s < 0:
            return
        if late_s < self._bound_s and self.weather.was(number, ("bus",), began, began, tail_s=RECOVERY_S):
            self.verdict.answers["let in within the bound"] += 1
        elif late_s < self._grace_s + self._bound_s and self.weather.was(
            number, ("store",), ticket.left_at - self._bound_s, began, tail_s=RECOVERY_S
        ):
            self.verdict.missed += 1
        else:
            self.verdict.blame(f"{who}: let in {late_s:.3f} s after the sign-out")

    async def _sign_in(self, person: str, node: Node) -> Ticket | None:
        """A new session, or None where something is broken."""
        path = f"/p/{person}/0"
        try:
            async with node.browser() as browser, asyncio.timeout(30):
                page = await browser.sign_in(person, path)
                if page.status != 200 or page.url.path != path:
                    self.verdict.answers[f"sign-in {page.status}"] += 1
                    return None
                self.verdict.sign_ins += 1
                return Ticket(person, handle_of(browser))
        except Exception as error:  # noqa: BLE001 - a node that was killed, a provider that is down: it is tried again
            self.verdict.answers[f"sign-in {type(error).__name__}"] += 1
            return None

    async def _sign_out(self, ticket: Ticket, connection: Connection) -> bool:
        """True once it was acknowledged."""
        ticket.leaving_at = min(ticket.leaving_at, time.monotonic())
        port = connection._node.gateway.port
        origin = f"http://app.example.com:{port}"
        head = (
            f"POST /@/signout HTTP/1.1\r\nHost: app.example.com:{port}\r\nOrigin: {origin}\r\nAccept: text/html\r\n"
            f"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nContent-Length: 0\r\n"
            f"Cookie: vestibule-{port}={ticket.handle}\r\n\r\n"
        )
        try:
            status, _, _ = await connection.ask(head.encode())
        except (OSError, EOFError, TimeoutError):
            self.verdict.answers["sign-out broken"] += 1
            return False
        self.verdict.answers[f"sign-out {status}"] += 1
        if status not in {200, 302, 303}:
            return False
        ticket.left_at = time.monotonic()
        self.verdict.sign_outs += 1
        return True

    async def _all_is_well(self, tickets: dict[str, Ticket]) -> None:
        """In calm: who is in is let in at every node, who is out at none."""
        for number, node in enumerate(self.nodes.nodes):
            connection = Connection(node)
            for ticket in (*tickets.values(), *self._stale):
                before = self.verdict.answers["200"]
                await self._get(ticket, "p", connection, number)
                if ticket.leaving_at == float("inf") and self.verdict.answers["200"] == before:
                    self.verdict.blame(f"{ticket.person} is not let in at node {number}, and all is well")
            connection.close()

    # -- what breaks ---------------------------------------------------------------------------

    async def _break(self) -> None:
        """One fault after the other, with calm between them."""
        while not self._is_over:
            await self._rest(self._random.uniform(0.3, 1.5))
            breakers = (
                [self._break_store] * 6
                + [self._break_provider] * 2
                + [self._kill] * (2 if self._kills else 0)
            )
            if not self._is_over:
                await self._random.choice(breakers)()
                await self._rest(RECOVERY_S)

    async def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._is_over and time.monotonic() < end:
            await asyncio.sleep(0.05)

    async def _break_store(self) -> None:
        hurts: dict[str, Callable[[Any], None]] = {
            "refused": lambda network: network.refuse(),
            "cut": lambda network: network.cut(),
            "slow": lambda network: network.slow(5.0),
            "a little slow": lambda network: network.slow(self._random.uniform(0.02, 0.2)),
            "hanging": lambda network: network.hang(),
            "half": lambda network: network.half(self._random.randrange(1, 2000)),
            "half, cut": lambda network: network.half(self._random.randrange(1, 2000), cut=True),
            "throttled": lambda network: network.throttle(20_000),
        }
        kind = self._random.choice(sorted(hurts))
        which = self._which()
        self.verdict.faults[f"store {kind}"] += 1
        with self.weather.broken(which, "store"):
            for number in which:
                await asyncio.to_thread(hurts[kind], self._way(self.nodes[number]))
            await self._rest(self._random.uniform(0.2, 3.0))
            for number in which:
                await asyncio.to_thread(self.nodes[number].network.calm)

    def _way(self, node: Node) -> Any:
        """The node's network to all of the store, or to one of its servers: sessions, or people and changes."""
        network = node.network
        return network if self._random.random() < 0.5 else self._random.choice(network.each)

    def _which(self) -> tuple[int, ...]:
        """One node, or all."""
        everyone = tuple(range(len(self.nodes)))
        return everyone if self._random.random() < 0.4 else (self._random.choice(everyone),)

    async def _break_provider(self) -> None:
        kind = self._random.choice(("down", "500", "html", "slow", "late"))
        self.verdict.faults[f"provider {kind}"] += 1
        provider = self.nodes.provider
        with self.weather.broken(tuple(range(len(self.nodes))), "provider"):
            if kind == "down":
                await asyncio.to_thread(provider.go_down)
            else:
                trouble: dict[str, Any] = {
                    "500": {"status": 500, "body": "oh"},
                    "html": {"html": "<html>maintenance</html>"},
                    "slow": {"delay_ms": 3000},
                    "late": {"late_ms": 3000},
                }[kind]
                await asyncio.to_thread(provider.trouble, "/token", times=1000, **trouble)
            await self._rest(self._random.uniform(0.5, 2.0))
            await asyncio.to_thread(provider.come_back if kind == "down" else provider.calm)

    async def _kill(self) -> None:
        number = self._random.randrange(len(self.nodes))
        self.verdict.faults["killed"] += 1
        gateway = self.nodes[number].gateway
        with self.weather.broken((number,), "killed"):
            children = _children(gateway.process.pid)
            if children and self._random.random() < 0.7:
                self.verdict.faults["one of its processes"] += 1
                os.kill(self._random.choice(children), signal.SIGKILL)
                await self._rest(2.0)
                return
            gateway.kill()
            await asyncio.to_thread(gateway.start_again)


def _children(pid: int) -> list[int]:
    """The processes that this one has started: workers, where there are several."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
