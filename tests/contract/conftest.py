"""The stores that must keep the contracts of `vestibule.store.base`, each opened anew for a test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.vault import RING, VAULT
from vestibule.store import memory, migrations, postgres, records, redis, split, sqlite


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory) -> Path:
    """A file with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    migrations.bring_up(path)
    return path


@pytest.fixture
def kept_in(request, tmp_path, empty_file) -> Callable[[str], AbstractAsyncContextManager[SimpleNamespace]]:
    """Opens a store by its name: all of its `Store` and its `Records`; with Redis, the rest is in SQLite."""

    @asynccontextmanager
    async def opened_as(name: str) -> AsyncIterator[SimpleNamespace]:
        if name == "memory":
            yield memory.Store(VAULT, ring=RING)
            return
        if name == "postgres":
            place = request.getfixturevalue("postgres").place
            opened, kept = await postgres.open_store(place, VAULT), records.open_records(place, ring=RING)
        else:
            path = tmp_path / "vestibule.db"
            shutil.copy(empty_file, path)
            opened, kept = (
                await sqlite.open_store(f"sqlite:{path}", VAULT),
                records.open_records(path, ring=RING),
            )
        if name.startswith("redis"):
            place = request.getfixturevalue(name.replace("-", "_")).place
            opened = split.Store(await redis.open_store(place, VAULT), opened)
        yield SimpleNamespace(**{**vars(kept), **vars(opened)})
        await kept.close()
        await opened.close()

    return opened_as


@pytest.fixture(params=["memory", "sqlite", "postgres", "redis", "redis-cluster"])
async def store(kept_in, request) -> AsyncIterator[SimpleNamespace]:
    """Each store in turn."""
    async with kept_in(request.param) as store:
        yield store
