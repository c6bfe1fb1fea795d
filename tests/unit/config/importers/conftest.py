"""What the tests of importers share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.config.importers.desk import Desk
from vestibule.config.importers.note import Imported


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def told() -> Callable[[Imported, str], list[str]]:
    """The notes about an option, by the start of its name."""

    def find(found: Imported, name: str) -> list[str]:
        return [f"{note.about.name} {note.text}" for note in found.notes if note.name.startswith(name)]

    return find
