"""A desk for each test."""

from __future__ import annotations

import pytest

from tests.unit.web.api.desk import ApiDesk


@pytest.fixture
def api() -> ApiDesk:
    return ApiDesk()
