"""The stores that must keep the contracts of `vestibule.store.base`, each opened anew for a test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from vestibule.store import memory, migrations, records, sqlite


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory) -> Path:
    """A file with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    migrations.bring_up(path)
    return path


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path, empty_file) -> AsyncIterator[SimpleNamespace]:
    """Each store in turn: `sessions`, `grants`, `marks`, `leases`, `people`."""
    if request.param == "memory":
        yield memory.Store()
        return
    path = tmp_path / "vestibule.db"
    shutil.copy(empty_file, path)
    opened = await sqlite.open_store(f"sqlite:{path}")
    people = records.open_people(path)
    yield SimpleNamespace(
        sessions=opened.sessions,
        grants=opened.grants,
        marks=opened.marks,
        leases=opened.leases,
        people=people,
    )
    await people.close()
    await opened.close()
