"""Which server of a Redis has a key, and the connection to it: one server, a primary of Sentinels, a Cluster.

A server is connected to by one task, whoever waits for it. When it is found away, one goes on trying, twice a second,
and all others are told at once: each server for itself, so that one of a Cluster holds up none that asks another.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias

from vestibule.core.redis import Address
from vestibule.store.redis_wire import Broken, Late, Login, Refused, Wire

SLOTS: Final = 16384
_AGAIN_S: Final = 0.5
_LOOK_EVERY_S: Final = 1.0
_A_MOMENT_AGO: Final = "it was found away a moment ago"

Heard: TypeAlias = Callable[[str, str], None]
"""Told which server is away, and why; with an empty text, that it is back."""


def unheard(_server: str, _why: str) -> None:
    """Tell nobody."""


class Net(Protocol):
    """All servers of one Redis."""

    async def wire(self, key: bytes) -> Wire:
        """A connection to the primary that has this key. Raises Broken, Refused."""

    def moved(self, key: bytes, refused: Refused) -> bool:
        """Take in what a server said instead of an answer; True when another should be asked now."""

    async def wire_at(self, address: Address) -> Wire:
        """A connection to this server, which another named (ASK). Raises Broken, Refused."""

    async def primaries(self) -> list[Wire]:
        """Connections to all of them. Raises Broken, Refused."""

    async def close(self) -> None:
        """Let go of all connections."""


class Link:
    """The connection to one server, made anew when it is needed."""

    def __init__(
        self, name: str, connect: Callable[[], Awaitable[Wire]], *, wait_s: float, heard: Heard = unheard
    ) -> None:
        """`wait_s`: how long one waits for a connection, which itself may take longer."""
        self._name = name
        self._connect = connect
        self._wait_s = wait_s
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._task: asyncio.Task[Wire] | None = None
        self._is_away = False
        self._was_there = False
        self._why = ""
        self._again_mono = 0.0

    async def wire(self) -> Wire:
        """The open connection. Raises Broken, Refused."""
        wire = self._wire
        if wire is not None:
            if wire.fault is None:
                return wire
            self._wire = None
            if isinstance(wire.fault, Late):
                self._note_away(str(wire.fault))
        if self._task is None:
            if self._is_away and self._loop.time() < self._again_mono:
                raise Broken(f"{_A_MOMENT_AGO}: {self._why}")
            self._task = self._loop.create_task(self._made())
            self._task.add_done_callback(_looked_at)
        elif self._is_away:
            raise Broken(f"{_A_MOMENT_AGO}: {self._why}")
        task = self._task
        await asyncio.wait((task,), timeout=self._wait_s)
        if not task.done():
            self._note_away("it takes long to connect")
            raise Late("it takes long to connect")
        return task.result()

    def drop(self, why: str) -> None:
        """End the connection: it leads to the wrong server."""
        if self._wire is not None:
            self._wire.end(Broken(why))

    async def close(self) -> None:
        """End it for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._wire is not None:
            self._wire.end(Broken("it is closed"))
            await self._wire.ended()

    async def _made(self) -> Wire:
        try:
            wire = self._wire = await self._connect()
        except (Broken, Refused) as exc:
            self._note_away(str(exc))
            raise
        finally:
            self._task = None
        # A connection that is made again may lead to a server that has lost something: that is told, too.
        if self._is_away or self._was_there:
            self._heard(self._name, "")
        self._is_away, self._was_there = False, True
        return wire

    def _note_away(self, why: str) -> None:
        if not self._is_away:
            self._heard(self._name, why)
        self._is_away, self._why = True, why
        self._again_mono = self._loop.time() + _AGAIN_S


class Single:
    """One server, at an address that does not change."""

    def __init__(self, address: Address, login: Login, timeout_s: float, heard: Heard = unheard) -> None:
        self._link = Link(
            str(address), lambda: Wire.connect(address, login, timeout_s), wait_s=timeout_s, heard=heard
        )

    async def wire(self, key: bytes) -> Wire:
        """The one there is."""
        del key
        return await self._link.wire()

    def moved(self, key: bytes, refused: Refused) -> bool:
        """A server alone sends nobody elsewhere."""
        del key, refused
        return False

    async def wire_at(self, address: Address) -> Wire:
        """The one there is."""
        del address
        return await self._link.wire()

    async def primaries(self) -> list[Wire]:
        """The one there is."""
        return [await self._link.wire()]

    async def close(self) -> None:
        """Let go of it."""
        await self._link.close()


class Sentinels:
    """The primary that Sentinels name: asked at each connect, and once a second while it is in use.

    The latter finds a primary that was replaced and doesn't know it yet, which would take writes that get lost.
    """

    def __init__(
        self,
        addresses: tuple[Address, ...],
        primary: str,
        login: Login,
        asking: Login,
        *,
        timeout_s: float,
        heard: Heard = unheard,
    ) -> None:
        """`asking`: how one logs in at the Sentinels."""
        self._addresses = list(addresses)
        self._primary = primary
        self._login = login
        self._asking = asking
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._link = Link(primary, self._connect, wait_s=timeout_s, heard=heard)
        self._links = {one: self._link_to(one) for one in addresses}
        self._at: Address | None = None
        self._looked_mono = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def wire(self, key: bytes) -> Wire:
        """To the primary."""
        del key
        wire = await self._link.wire()
        if self._loop.time() >= self._looked_mono + _LOOK_EVERY_S and self._looking is None:
            self._looked_mono = self._loop.time()
            self._looking = self._loop.create_task(self._look())
        return wire

    def moved(self, key: bytes, refused: Refused) -> bool:
        """A primary that became a replica says READONLY: the next connect asks the Sentinels."""
        del key
        if refused.word != "READONLY":
            return False
        self._link.drop("it is no primary any more")
        return True

    async def wire_at(self, address: Address) -> Wire:
        """To the primary: nobody names others."""
        del address
        return await self._link.wire()

    async def primaries(self) -> list[Wire]:
        """The one there is."""
        return [await self._link.wire()]

    async def close(self) -> None:
        """Let go of primary and Sentinels."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(self._link.close(), *(link.close() for link in self._links.values()))

    def _link_to(self, address: Address) -> Link:
        return Link(
            str(address),
            lambda: Wire.connect(address, self._asking, self._timeout_s),
            wait_s=self._timeout_s,
        )

    async def _connect(self) -> Wire:
        address = await self._found()
        wire = await Wire.connect(address, self._login, self._timeout_s)
        try:
            role = await wire.ask(("ROLE",))
        except Refused:  # the user may not ask; then the first write tells
            role = [b"master"]
        if role[0] != b"master":
            wire.end(Broken("it is no primary"))
            raise Broken(f"{address} is no primary (yet)")
        self._at = address
        return wire

    async def _found(self) -> Address:
        """Where the primary is, by the first Sentinel that knows. Raises Broken, Refused."""
        faults = []
        for at in tuple(self._addresses):
            try:
                wire = await self._links[at].wire()
                found = await wire.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._primary))
            except (Broken, Refused) as exc:
                faults.append(_with_place(at, exc))
                continue
            if found is None:
                faults.append(f"{at} knows no primary `{self._primary}`")
                continue
            self._addresses.remove(at)
            self._addresses.insert(0, at)
            return Address(found[0].decode(), int(found[1]))
        raise Broken(f"no Sentinel says where the primary is: {'; '.join(faults)}")

    async def _look(self) -> None:
        """Drop the connection when the Sentinels name another primary."""
        try:
            with contextlib.suppress(Broken, Refused):
                if await self._found() != self._at:
                    self._link.drop("there is another primary")
        finally:
            self._looking = None


class Cluster:
    """Servers that share the slots of all keys; which has which is asked of any of them, and anew when one is wrong."""

    def __init__(
        self, seeds: tuple[Address, ...], login: Login, timeout_s: float, heard: Heard = unheard
    ) -> None:
        self._heard = heard
        self._seeds = seeds
        self._login = login
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._links: dict[Address, Link] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._is_stale = True
        self._looking: asyncio.Task[None] | None = None
        self._looked_mono = float("-inf")

    async def wire(self, key: bytes) -> Wire:
        """To the primary of the key's slot, as far as is known."""
        slot = slot_of(key)
        owner = self._owners[slot]
        if owner is None:
            await self._look_again()
            owner = self._owners[slot]
        elif self._is_stale:
            self._begin_look()
        if owner is None:
            self._is_stale = True
            raise Broken("no server of the Cluster has this slot")
        try:
            return await self._link(owner).wire()
        except Broken:
            self._is_stale = True
            raise

    def moved(self, key: bytes, refused: Refused) -> bool:
        """MOVED names the slot's owner; whatever else is said of the Cluster has it asked anew."""
        if refused.word == "MOVED":
            slot, _, at = refused.rest.partition(" ")
            if address := _address_of(at, self._owners[int(slot)]):
                self._owners[int(slot)] = address
            self._is_stale = True
            return True
        if refused.word in ("CLUSTERDOWN", "READONLY"):
            self._is_stale = True
        del key
        return False

    async def wire_at(self, address: Address) -> Wire:
        """To the server that another named."""
        return await self._link(address).wire()

    async def primaries(self) -> list[Wire]:
        """To each that has slots."""
        if self._is_stale:
            await self._look_again()
        owners = dict.fromkeys(filter(None, self._owners))
        return [await self._link(owner).wire() for owner in owners]

    async def close(self) -> None:
        """Let go of all."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links.values()))

    def _link(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = Link(
                str(address),
                lambda: Wire.connect(address, self._login, self._timeout_s),
                wait_s=self._timeout_s,
                heard=self._heard,
            )
        return link

    def _begin_look(self) -> asyncio.Task[None] | None:
        """Ask who has which slot, unless somebody did a moment ago."""
        if self._looking is None and self._loop.time() >= self._looked_mono + _AGAIN_S:
            self._looked_mono = self._loop.time()
            self._looking = self._loop.create_task(self._look())
            self._looking.add_done_callback(_looked_at)
        return self._looking

    async def _look_again(self) -> None:
        task = self._begin_look()
        if task is None:
            raise Broken(_A_MOMENT_AGO)
        await asyncio.shield(task)

    async def _look(self) -> None:
        """Raises Broken, Refused when nobody says."""
        known = dict.fromkeys((*filter(None, self._owners), *self._seeds))
        faults = []
        try:
            for at in known:
                try:
                    wire = await self._link(at).wire()
                    self._take(await wire.ask(("CLUSTER", "SLOTS")), at)
                except Broken as exc:
                    faults.append(_with_place(at, exc))
                else:
                    self._is_stale = False
                    return
        finally:
            self._looking = None
        raise Broken(f"no server of the Cluster answers: {'; '.join(faults[:3])}")

    def _take(self, ranges: list[list[object]], asked: Address) -> None:
        """What CLUSTER SLOTS says: ranges of first, last, primary, replicas."""
        owners: list[Address | None] = [None] * SLOTS
        for first, last, primary, *_ in ranges:
            assert isinstance(first, int)
            assert isinstance(last, int)
            assert isinstance(primary, list)
            host = (primary[0] or b"").decode()
            # A server that doesn't know its own name is the one that was asked.
            address = Address(host if host not in ("", "?") else asked.host, int(primary[1]))
            for slot in range(first, last + 1):
                owners[slot] = address
        self._owners = owners
        gone = self._links.keys() - {*filter(None, owners), *self._seeds}
        for address in gone:
            self._links.pop(address).drop("it has no slots any more")


def slot_of(key: bytes) -> int:
    """The slot of a key: of what stands between its first braces, if there is something (Cluster specification)."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


def _address_of(at: str, before: Address | None) -> Address | None:
    """HOST:PORT of a redirection; without a host it is the one that answered."""
    host, _, port = at.rpartition(":")
    host = host or (before.host if before is not None else "")
    return Address(host, int(port)) if host and port.isdecimal() else None


def _with_place(at: Address, exc: Exception) -> str:
    """What is wrong, with the server, named once."""
    return f"{exc}" if f"{exc}".startswith(f"{at}") else f"{at}: {exc}"


def ask_address(refused: Refused) -> Address | None:
    """Whom ASK names, for this one command."""
    return _address_of(refused.rest.partition(" ")[2], None)


def _looked_at(task: asyncio.Task[Wire] | asyncio.Task[None]) -> None:
    """Nobody need wait for it any more."""
    if not task.cancelled():
        task.exception()
