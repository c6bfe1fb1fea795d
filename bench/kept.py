"""Stores full of sessions, made without signing anybody in: what is measured is what a million of them cost."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import trustme
from msgspec.structs import replace

from bench.process import free_ports
from tests.real import redis as redis_server
from tests.real.postgres import Cluster
from vestibule.core import redis as core_redis
from vestibule.core.postgres import Postgres
from vestibule.core.record import Vault
from vestibule.core.session import hash_of
from vestibule.model import Account, Device, Identity, Session, User
from vestibule.protocol import base64url
from vestibule.store import postgres, records, redis, split, sqlite
from vestibule.store.base import Store

AT_ONCE = 256
PEOPLE = 50
HOST = "127.0.0.1"
AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
)


class Place(Protocol):
    """Where a store is, with the servers it needs running."""

    name: str
    block: str
    """The `store` block of a configuration that uses it."""

    async def open(self, vault: Vault) -> Store:
        """The store."""

    async def people(self) -> tuple[str, ...]:
        """Ids of people who were put there."""

    def size_bytes(self) -> int:
        """What it holds just now: on disk, or in memory where that is where it stands."""


class Sqlite:
    """One file."""

    name = "sqlite"

    def __init__(self, directory: Path) -> None:
        self.file = directory / "vestibule.db"
        self.block = f'store {{\n  url = "sqlite:{self.file}"\n}}\n'

    async def open(self, vault: Vault) -> Store:
        """The store."""
        return await sqlite.open_store(f"sqlite:{self.file}", vault)

    async def people(self) -> tuple[str, ...]:
        """Ids of people who were put there."""
        return await _people(self.file)

    def size_bytes(self) -> int:
        """The file's and its log's."""
        return sum(path.stat().st_size for path in self.file.parent.glob("vestibule.db*"))


class Server:
    """A PostgreSQL of its own, which syncs as it comes."""

    name = "postgres"

    def __init__(self, stack: ExitStack) -> None:
        cluster = Cluster(free_ports(1)[0], trustme.CA(), is_durable=True)
        stack.callback(cluster.stop)
        self._database = cluster.database()
        self.place: Postgres = self._database.place
        self.block = f'store {{\n  url = "{self._database.url}"\n}}\n'

    async def open(self, vault: Vault) -> Store:
        """The store."""
        return await postgres.open_store(self.place, vault)

    async def people(self) -> tuple[str, ...]:
        """Ids of people who were put there."""
        return await _people(self.place)

    def size_bytes(self) -> int:
        """All relations of the database, with their indices."""
        return int(self._database.execute("SELECT pg_database_size(current_database())")[0][0])


class Redis:
    """A Redis of its own with the log that docs/stores.md asks for; people and revocations are in a file."""

    name = "redis"

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._server = redis_server.Server(free_ports(1)[0], "appendonly yes", "appendfsync everysec")
        stack.callback(self._server.stop)
        self._server.wait()
        self._file = directory / "vestibule.db"
        url = f"redis://{HOST}:{self._server.port}"
        # How long it takes is what is measured, so that it is late is no fault.
        self._place = replace(core_redis.parse(url), timeout_s=10.0)
        self.block = f'store {{\n  url = "sqlite:{self._file}"\n  sessions = "{url}"\n}}\n'

    async def open(self, vault: Vault) -> Store:
        """The store."""
        database = await sqlite.open_store(f"sqlite:{self._file}", vault)
        return split.Store(await redis.open_store(self._place, vault), database)

    async def people(self) -> tuple[str, ...]:
        """Ids of people who were put there."""
        return await _people(self._file)

    def size_bytes(self) -> int:
        """What Redis holds in memory."""
        told = self._server.say("INFO", "memory").decode()
        return int(told.partition("used_memory:")[2].partition("\r")[0])


async def _people(database: Path | Postgres) -> tuple[str, ...]:
    kept = records.open_records(database)
    ids = tuple(f"person-{number}" for number in range(PEOPLE))
    try:
        for user_id in ids:
            user = User(id=user_id, created_at=time.time() - 1, name=user_id, email=f"{user_id}@example.com")
            account = Account(issuer="https://op.example", subject=user_id, user_id=user_id, client="demo")
            await kept.people.register(user, account)
    finally:
        await kept.close()
    return ids


def session_of(user_id: str, now: float, *, idle_s: float = 86_400.0) -> Session:
    """A session as a sign-in makes it: one identity with a few groups, a browser."""
    return Session(
        id=base64url.encode(secrets.token_bytes(16)),
        host=HOST,
        created_at=now,
        seen_at=now,
        expires_at=now + 7 * 86_400,
        idle_s=idle_s,
        user_id=user_id,
        identities=(
            Identity(
                client="demo",
                issuer="https://op.example",
                subject=user_id,
                login=user_id,
                name=user_id,
                email=f"{user_id}@example.com",
                groups=("staff", "engineering", "on-call"),
            ),
        ),
        clients=("demo",),
        device=Device(user_agent=AGENT, address="192.0.2.1"),
        signed_in_at=now,
    )


async def fill(
    store: Store, people: tuple[str, ...], number: int, *, keep: int, now: float, idle_s: float = 86_400.0
) -> list[str]:
    """Store so many sessions, many at once; the handles of the last `keep`."""
    handles: list[str] = []
    numbers = iter(range(number))

    async def work() -> None:
        for index in numbers:
            handle = base64url.encode(secrets.token_bytes(32))
            session = session_of(people[index % len(people)], now, idle_s=idle_s)
            await store.sessions.create(session, hash_of(handle))
            if index >= number - keep:
                handles.append(handle)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return handles


PLACES: dict[str, Callable[[Path, ExitStack], Place]] = {
    "sqlite": lambda directory, _stack: Sqlite(directory),
    "postgres": lambda _directory, stack: Server(stack),
    "redis": Redis,
}
