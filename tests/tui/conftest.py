"""Times are shown as they are here: the tests' place is Greenwich."""

from __future__ import annotations

import time

import pytest


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
