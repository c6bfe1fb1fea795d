"""What `test_bus` runs several of: a process with sessions behind their cache, a store and a bus; it obeys.

Arguments: URL of the store, the channel (`hub:PATH`, or a URL of PostgreSQL). Lines of JSON on standard input are
commands, lines on standard output what came of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

import uvloop

from vestibule.core.postgres import parse
from vestibule.core.record import Vault
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.model import Device
from vestibule.observe.log import Log
from vestibule.service.sessions import SESSION, Sessions
from vestibule.store import postgres, sqlite
from vestibule.store.base import EVERYTHING
from vestibule.store.bus import Bus
from vestibule.store.channel_postgres import open_postgres
from vestibule.store.channel_socket import Hub, open_hub
from vestibule.store.stamp import Stamp

RING = KeyRing((Key("k1", b"k" * 32),))


class Peer:
    """Each method is a command."""

    def __init__(self, store, channel: str) -> None:
        self._store = store
        kind, _, path = channel.partition(":")
        transport = open_hub(path) if kind == "hub" else open_postgres(parse(channel))
        self._bus = Bus(transport, RING, Log(level="debug"), stamp=Stamp(store.tries))
        self._heard = 0
        self._bus.subscribe("flood", self._count)
        self._sessions = Sessions(store.sessions, self._bus)
        self._bus.start()

    def _count(self, key: str) -> None:
        self._heard += key != EVERYTHING

    async def begin(self) -> tuple[str, str]:
        """A new session: its id and its handle."""
        session, handle = await self._sessions.start(
            host="h", user_id="", identities=(), clients=("google",), device=Device(), now=time.time()
        )
        return session.id, handle

    async def ask(self, handle: str) -> str:
        """As the gateway asks for each request."""
        try:
            session = self._sessions.peek(handle) or await self._sessions.load(handle)
        except StoreError:
            return "away"
        return "in" if session is not None else "out"

    async def is_cached(self, handle: str) -> bool:
        """Whether the cache alone lets it in."""
        return self._sessions.peek(handle) is not None

    async def end(self, session_id: str) -> bool:
        """Sign it out."""
        return await self._sessions.end(session_id)

    async def end_and_die(self, session_id: str) -> None:
        """Killed between the write to the store and the publish."""
        await self._store.sessions.delete(session_id)
        os.kill(os.getpid(), signal.SIGKILL)

    async def is_current(self) -> bool:
        return self._bus.is_current(time.monotonic())

    async def peers(self) -> int:
        return len(self._bus._hearing.peers)

    async def flood(self, count: int) -> int:
        """So many changes as fast as the loop goes; how many settled ones that makes."""
        for number in range(count):
            self._bus.publish("flood", f"s{number:021}")
            if number % 200 == 199:
                await asyncio.sleep(0.01)
        await self._bus.settle()
        return count

    async def heard(self) -> int:
        return self._heard

    async def cpu(self) -> float:
        """Seconds of it that were used so far."""
        return time.process_time()

    async def publish(self, key: str) -> None:
        self._bus.publish(SESSION, key)
        await self._bus.settle()

    async def close(self) -> None:
        await self._bus.close()
        await self._store.close()


async def main(url: str, channel: str) -> None:
    if url == "hub":
        hub = Hub(channel)
        await hub.start()
        print('"ready"', flush=True)
        await asyncio.Event().wait()
    vault = Vault(RING)
    store = await (
        sqlite.open_store(url, vault) if url.startswith("sqlite:") else postgres.open_store(parse(url), vault)
    )
    peer = Peer(store, channel)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print('"ready"', flush=True)
    while line := await reader.readline():
        command, *arguments = json.loads(line)
        print(json.dumps(await getattr(peer, command)(*arguments)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
