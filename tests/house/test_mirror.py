"""tests/unit mirrors the pure rungs: whoever opens a module of theirs knows where its tests stand."""

from __future__ import annotations

import pytest

from tests.house.source import ROOT

SRC = ROOT / "src" / "vestibule"
MIRRORED = sorted(
    path.relative_to(SRC)
    for rung in ("protocol", "core")
    for path in (SRC / rung).rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("module", MIRRORED, ids=str)
def test_each_module_has_a_test_file_of_its_own(module):
    test = ROOT / "tests" / "unit" / module.parent / f"test_{module.name}"
    assert test.is_file()
    assert "def test_" in test.read_text("utf-8")
