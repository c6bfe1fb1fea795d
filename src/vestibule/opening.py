"""What the program keeps, opened: its keys, its store, and how processes tell each other of changes."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from vestibule.config.compile import Compiled
from vestibule.config.environment import session_keys_in
from vestibule.core.postgres import Postgres
from vestibule.core.record import Vault
from vestibule.core.redis import Redis
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Secret
from vestibule.observe.log import Log
from vestibule.observe.meter import Meter
from vestibule.providers.base import TokenSource
from vestibule.role import Role
from vestibule.service import key_watch
from vestibule.service.grants import GRANT, REFRESHED
from vestibule.service.jobs import Job
from vestibule.service.key_watch import KeyWatch
from vestibule.service.sessions import SESSION
from vestibule.store import base, keyfile, split, sqlite
from vestibule.store.base import Store
from vestibule.store.bus import Bus, Transport
from vestibule.store.changes import Changes
from vestibule.store.channel_socket import Hub, open_hub
from vestibule.store.guard import Guarded
from vestibule.store.split import Database as SqlStore
from vestibule.store.stamp import Stamp
from vestibule.store.timed import timed


class Kept(msgspec.Struct, frozen=True):
    """What is open while the program runs."""

    ring: KeyRing
    meter: Meter
    """What the store's calls are counted by."""
    store: Store
    changes: base.Changes
    hub: Hub | None
    """Where the processes of one machine meet, in the one that holds it."""

    async def close(self) -> None:
        """Say goodbye, then let go of all of it."""
        await self.changes.close()
        if self.hub is not None:
            await self.hub.close()
        await self.store.close()


async def opened(compiled: Compiled, log: Log, role: Role) -> Kept:
    """All of it. Raises ConfigError, StoreError, with what to do about it."""
    ring = open_ring(compiled)
    servers, meter = Servers(log), Meter()
    store = await open_store(compiled.database, ring, log, servers, elsewhere=compiled.sessions, meter=meter)
    hub = None
    if role is not Role.WORKER and _has_hub(compiled):
        hub = Hub(compiled.bus_socket)
        await hub.start()
    changes = await open_changes(compiled, ring, store, log)
    servers.doubt = partial(_doubt, changes)
    return Kept(ring, meter, store, changes, hub)


def _doubt(changes: base.Changes) -> None:
    for kind in (SESSION, GRANT):
        changes.publish(kind, base.EVERYTHING)


def open_ring(compiled: Compiled) -> KeyRing:
    """The key ring: of the environment's session key where there is one, else of the key file. Raises ConfigError."""
    if compiled.session_key is not None:
        return ring_of(compiled.session_key)
    if isinstance(compiled.database, Postgres):
        return keyfile.read_shared(compiled.key_file)
    return keyfile.read_or_create(compiled.key_file)


def ring_in(path: Path) -> KeyRing:
    """The ring in a key file, for who checks what it has sealed; none is made. Raises StoreError."""
    return KeyRing(keyfile.keys_in(path))


def ring_of(session_keys: Secret) -> KeyRing:
    """The ring of what `VESTIBULE_SESSION_KEY` holds: one key, or several, of which the first seals."""
    return KeyRing(tuple(dict.fromkeys(map(_key_of, session_keys_in(session_keys.reveal())))))


def _key_of(session_key: str) -> Key:
    """The key; its id tells two keys apart, and nothing else of them."""
    secret = hashlib.sha256(b"vestibule session key\0" + session_key.encode()).digest()
    return Key(hashlib.sha256(b"vestibule key id\0" + secret).hexdigest()[:8], secret)


def keys_of(compiled: Compiled) -> tuple[Key, ...]:
    """The keys there are, for who looks after them; none are made. Raises StoreError."""
    if compiled.session_key is not None:
        return ring_of(compiled.session_key).keys
    return keyfile.keys_in(compiled.key_file)


def change_keys(compiled: Compiled, changed: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> None:
    """Put the keys that `changed` makes of those in the key file in their place. Raises StoreError, and as it does."""
    keyfile.change(compiled.key_file, changed)


def new_key(active_at: float) -> Key:
    """A fresh key, which seals from then on."""
    return keyfile.new_key(active_at=active_at)


def key_jobs(compiled: Compiled, ring: KeyRing, log: Log) -> tuple[Job, ...]:
    """What keeps the ring as its file says; nothing where the keys are the environment's."""
    if compiled.session_key is not None:
        return ()
    path = compiled.key_file
    watch = KeyWatch(ring, log, stamp=lambda: keyfile.stamp_of(path), read=lambda: keyfile.read_keys(path))
    return (Job(name="key ring", every_s=key_watch.LOOK_EVERY_S, run=watch.look, is_shared=False),)


class Servers:
    """Hears which of Redis' servers are away or back; who is back may have lost what is cached here."""

    def __init__(self, log: Log) -> None:
        self._log = log.of("store")
        self._away: set[str] = set()
        self.doubt: Callable[[], None] = lambda: None
        """Has all that is cached read again."""

    def __call__(self, server: str, why: str) -> None:
        """One of them is away, and why; or it is back, or was connected to anew (empty)."""
        if why:
            self._away.add(server)
            self._log.warning("store_away", store=f"redis {server}", detail=why)
            return
        if server in self._away:
            self._away.remove(server)
            self._log.warning("store_back", store=f"redis {server}", detail="")
        self.doubt()


async def open_store(
    database: Path | Postgres,
    ring: KeyRing,
    log: Log,
    servers: Servers,
    *,
    elsewhere: Redis | None = None,
    meter: Meter | None = None,
) -> Store:
    """The store for the data plane; what speaks to a server is imported by who needs it. Raises StoreError.

    A server is guarded: nobody waits for it longer than they should. Redis sees to that for each of its servers, of
    which `servers` is told. What is asked of each is counted by `meter`.
    """
    meter = meter or Meter()
    vault, loop, log = Vault(ring), asyncio.get_running_loop(), log.of("store")

    def unreadable(session_id: str) -> None:  # in any thread
        loop.call_soon_threadsafe(lambda: log.warning("record_unreadable", session=session_id))

    opened: SqlStore
    if isinstance(database, Path):
        opened = await sqlite.open_store(f"sqlite:{database}", vault, unreadable=unreadable)
    else:
        postgres = await asyncio.to_thread(importlib.import_module, "vestibule.store.postgres")
        server = await postgres.open_store(database, vault, unreadable=unreadable)
        opened = Guarded(server, log=log, budget_s=database.timeout_s)
    opened = timed(opened, "records", meter)
    if elsewhere is None:
        return opened
    try:
        redis = await asyncio.to_thread(importlib.import_module, "vestibule.store.redis")
        kept = await redis.open_store(
            elsewhere,
            vault,
            unreadable=unreadable,
            warn=lambda said: log.warning("store_forgets", detail=said),
            heard=servers,
        )
    except BaseException:
        await opened.close()
        raise
    return split.Store(timed(kept, "sessions", meter), opened)


def last_word(store: Store) -> base.Revocations | None:
    """Whom to ask of sessions while they themselves can't be reached; None where all stands in one place."""
    return store.database.revocations if isinstance(store, split.Store) else None


def _has_hub(compiled: Compiled) -> bool:
    """Whether other processes of this machine may use the same file: workers, or another gateway that names it, too."""
    place = compiled.database
    return isinstance(place, Path) and (compiled.workers > 1 or place.parent != compiled.state)


async def open_changes(compiled: Compiled, ring: KeyRing, store: Store, log: Log) -> base.Changes:
    """How changes are told: by the database where it is a server, by a socket among the processes of one machine."""
    if isinstance(compiled.database, Postgres):
        channel = await asyncio.to_thread(importlib.import_module, "vestibule.store.channel_postgres")
        transport: Transport = channel.open_postgres(compiled.database)
    elif _has_hub(compiled):
        transport = open_hub(compiled.bus_socket)
    else:
        return Changes()
    sql = store.database if isinstance(store, split.Store) else store
    bus = Bus(transport, ring, log, stamp=Stamp(sql.tries), only_here=frozenset({REFRESHED}))
    bus.start()
    return bus


def token_sources(compiled: Compiled) -> dict[str, TokenSource]:
    """Where the app's own credentials come from, by name."""
    return {name: cast("TokenSource", config.open()) for name, config in compiled.token_sources.items()}
