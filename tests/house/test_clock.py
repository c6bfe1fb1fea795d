"""One clock: who asks the system's own is signed out, or signs out, by its jumps."""

from __future__ import annotations

import ast

import pytest

from tests.house.source import ROOT

SRC = ROOT / "src" / "vestibule"
EXEMPT = frozenset(
    (
        "observe/clock.py",  # it is the clock
        "observe/log.py",  # tells when the system says it was, for who compares it with other logs
        "demo/provider.py",  # another machine, so to speak
    )
)
MODULES = sorted(path for path in SRC.rglob("*.py") if str(path.relative_to(SRC)) not in EXEMPT)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_nobody_asks_the_systems_clock(path):
    asked = [
        f"{path.name}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in {"time", "time_ns"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    ]
    assert not asked, "by vestibule.observe.clock.now, please"
