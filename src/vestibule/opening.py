"""What the program keeps, opened: its keys, its store, and how processes tell each other of changes."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from pathlib import Path

import msgspec

from vestibule.config.compile import Compiled
from vestibule.core.postgres import Postgres
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Secret
from vestibule.observe.log import Log
from vestibule.store import base, keyfile, sqlite
from vestibule.store.base import Store
from vestibule.store.changes import Changes
from vestibule.store.guard import Guarded


class Kept(msgspec.Struct, frozen=True):
    """What is open while the program runs."""

    ring: KeyRing
    store: Store
    changes: base.Changes


async def opened(compiled: Compiled, log: Log) -> Kept:
    """All of it. Raises ConfigError, StoreError, with what to do about it."""
    ring = open_ring(compiled)
    return Kept(ring, await open_store(compiled.database, log), await open_changes(compiled))


def open_ring(compiled: Compiled) -> KeyRing:
    """The key ring: of the environment's session key where there is one, else of the key file. Raises ConfigError."""
    if compiled.session_key is not None:
        return ring_of(compiled.session_key)
    if isinstance(compiled.database, Postgres):
        return keyfile.read_shared(compiled.key_file)
    return keyfile.read_or_create(compiled.key_file)


def ring_of(session_key: Secret) -> KeyRing:
    """A ring of one key from `VESTIBULE_SESSION_KEY`; its id tells two keys apart, and nothing else of them."""
    secret = hashlib.sha256(b"vestibule session key\0" + session_key.reveal().encode()).digest()
    key_id = hashlib.sha256(b"vestibule key id\0" + secret).hexdigest()[:8]
    return KeyRing((Key(key_id, secret),))


async def open_store(database: Path | Postgres, log: Log) -> Store:
    """The store for the data plane; asyncpg is imported by who needs it. Raises StoreError.

    A server is guarded: nobody waits for it longer than they should.
    """
    if isinstance(database, Path):
        return await sqlite.open_store(f"sqlite:{database}")
    postgres = await asyncio.to_thread(importlib.import_module, "vestibule.store.postgres")
    return Guarded(await postgres.open_store(database), log=log)


async def open_changes(compiled: Compiled) -> base.Changes:
    """How changes are told: by the bus of whatever is shared; within this process where nothing is."""
    return Changes(is_shared=isinstance(compiled.database, Postgres) or compiled.workers > 1)
