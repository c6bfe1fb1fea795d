"""The stores that must keep the contracts of `vestibule.store.base`, each opened anew for a test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.vault import VAULT
from vestibule.store import memory, migrations, postgres, records, sqlite


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory) -> Path:
    """A file with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    migrations.bring_up(path)
    return path


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request, tmp_path, empty_file) -> AsyncIterator[SimpleNamespace]:
    """Each store in turn: all of its `Store` and its `Records`."""
    if request.param == "memory":
        yield memory.Store(VAULT)
        return
    if request.param == "postgres":
        place = request.getfixturevalue("postgres").place
        opened, kept = await postgres.open_store(place, VAULT), records.open_records(place)
    else:
        path = tmp_path / "vestibule.db"
        shutil.copy(empty_file, path)
        opened, kept = await sqlite.open_store(f"sqlite:{path}", VAULT), records.open_records(path)
    yield SimpleNamespace(**{**vars(kept), **vars(opened)})
    await kept.close()
    await opened.close()
